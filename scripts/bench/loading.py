"""What a phone does with one page: bytes, and time until its formulas can be seen."""

import gzip
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page

from scripts.browser.serving import COMPRESSED, PREFIX, SiteServer

OBSERVER = Path(__file__).with_name("visible.js").read_text("utf-8")
PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "is_mobile": True}
SLOWDOWN = 4
# Bytes a second and milliseconds: what browsers' developer tools call slow 4G.
NETWORK = {"offline": False, "downloadThroughput": 1_600_000 / 8, "uploadThroughput": 750_000 / 8, "latency": 150}
KINDS = {".html": "HTML", ".css": "CSS", ".js": "JavaScript", ".woff2": "fonts"}

# What has arrived by the time the first formula can be seen.
ARRIVED = """() => performance.getEntriesByType("resource")
  .filter((entry) => entry.responseEnd <= window.bench.first).map((entry) => new URL(entry.name).pathname)"""


@dataclass(frozen=True)
class Load:
    """One loading of the page: milliseconds, layout shift, and bytes by kind."""

    first: float
    all: float
    shift: float
    bytes: Mapping[str, int]


def load(browser: Browser, server: SiteServer, site: Path, page_address: str, formulas: int, slow: bool) -> Load:
    """Load the page with empty caches on a processor slowed down, over a slow network too if `slow`."""
    context = browser.new_context(**PHONE)
    page = context.new_page()
    slow_down(page, network=slow)
    page.add_init_script(f"window.formulas = {formulas};\n{OBSERVER}")
    page.goto(server.url + page_address, wait_until="commit")
    page.wait_for_function("window.bench.first !== null && window.bench.all !== null", timeout=120_000)
    bench = page.evaluate("window.bench")
    arrived = {path.removeprefix(PREFIX) for path in page.evaluate(ARRIVED)}
    context.close()
    return Load(**bench, bytes=sizes(site, [f"{page_address}index.html", *arrived]))


def slow_down(page: Page, network: bool = True) -> None:
    """Give the page a processor `SLOWDOWN` times slower and, with `network`, slow 4G."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": SLOWDOWN})
    if network:
        devtools.send("Network.enable")
        devtools.send("Network.emulateNetworkConditions", NETWORK)


def sizes(site: Path, files: Iterable[str]) -> dict[str, int]:
    """Bytes by kind, as a server that compresses text sends them."""
    total = dict.fromkeys(KINDS.values(), 0)
    for file in files:
        kind = KINDS.get(Path(file).suffix)
        if kind:
            total[kind] += compressed_size(site / file)
    return total


def compressed_size(file: Path) -> int:
    """Bytes as a server sends them that compresses text."""
    content = file.read_bytes()
    return len(gzip.compress(content, 6)) if file.suffix in COMPRESSED else len(content)


def median(loads: list[Load]) -> Load:
    return Load(
        statistics.median(load.first for load in loads),
        statistics.median(load.all for load in loads),
        statistics.median(load.shift for load in loads),
        {kind: int(statistics.median(load.bytes[kind] for load in loads)) for kind in KINDS.values()},
    )
