"""The Chromium that the browser tests and the bench drive.

`python -m scripts.browser.chromium` prints its path; with `--install` a missing one is installed first.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC_APPS = ("Chromium.app/Contents/MacOS/Chromium", "Google Chrome.app/Contents/MacOS/Google Chrome")

# Chromium fills every window with a popup of its address bar, which takes longer than most pages of the site. The
# switch takes the place of Playwright's own, so that what Playwright turns off, for the sake of quiet and of plain
# HTTP, is here as well.
FEATURES_OFF = [
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    "AimEnabled",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
]

# A test browser talks to the site under test and to nobody else.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--disable-features={','.join(FEATURES_OFF)}",
]


class ChromiumMissing(RuntimeError):
    pass


def find() -> Path:
    """The first Chromium that starts: $CHROMIUM, one on PATH, a Mac application, Playwright's own."""
    named = os.environ.get("CHROMIUM")
    if named:
        if not starts(named):
            raise ChromiumMissing(f"CHROMIUM={named} does not start.")
        return Path(named)
    for candidate in candidates():
        if starts(candidate):
            return Path(candidate)
    raise ChromiumMissing("No Chromium found: `python -m scripts.browser.chromium --install` installs one.")


def candidates() -> Iterator[str]:
    yield from filter(None, map(shutil.which, NAMES))
    yield from (f"/Applications/{app}" for app in MAC_APPS)
    yield from map(str, filter(None, [playwright_chromium()]))


def playwright_chromium() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return playwright.chromium.executable_path


def starts(executable: str) -> bool:
    """Whether it runs at all: on Ubuntu, chromium-browser may be a stub that only names a snap."""
    try:
        run = subprocess.run([executable, "--version"], capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return run.returncode == 0


def install() -> Path:
    """In a container (root) the distribution's package comes first, elsewhere Playwright's download."""
    ways = [with_playwright, with_apt]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        ways.reverse()
    for way in ways:
        if way():
            try:
                return find()
            except ChromiumMissing:
                continue
    raise ChromiumMissing(
        "Chromium could not be installed. Install Chromium or Chrome yourself and, if it is not on PATH, "
        "say where: CHROMIUM=/path/to/chromium make test"
    )


def with_apt() -> bool:
    if not shutil.which("apt-get"):
        return False
    prefix: list[str] = []
    if os.geteuid() != 0:
        prefix = ["sudo", "--non-interactive"]
        if not shutil.which("sudo") or subprocess.run([*prefix, "true"], capture_output=True).returncode:
            return False
    say("installing the package `chromium` with apt-get")
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    subprocess.run([*apt, "update"], stdin=subprocess.DEVNULL)
    command = [*apt, "install", "--yes", "--no-install-recommends", "chromium"]
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode == 0


def with_playwright() -> bool:
    say("downloading Chromium with Playwright")
    return subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"]).returncode == 0


def say(what: str) -> None:
    print(f"No Chromium found: {what} …", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--install", action="store_true", help="install one if there is none")
    options = parser.parse_args()
    try:
        found = find()
    except ChromiumMissing as missing:
        if not options.install or os.environ.get("CHROMIUM"):
            sys.exit(str(missing))
        try:
            found = install()
        except ChromiumMissing as still_missing:
            sys.exit(str(still_missing))
    print(found)


if __name__ == "__main__":
    main()
