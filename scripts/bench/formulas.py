"""Prints the comparison of formulas as one table."""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import sync_playwright

from scripts.bench import loading, variants
from scripts.bench.variants import BUILD, CLIENT, Variant
from scripts.browser import chromium
from scripts.browser.serving import SiteServer


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare formulas rendered while building and in the browser.")
    parser.add_argument("--builds", type=int, default=3, help="builds of each kind; the fastest counts")
    parser.add_argument("--loads", type=int, default=7, help="page loads of each kind; the median counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder), options.builds, options.loads)


def compare(folder: Path, builds: int, loads: int) -> None:
    servers = {name: SiteServer() for name in (BUILD, CLIENT)}
    made = {name: variants.prepare(name, folder / name, server.url) for name, server in servers.items()}
    times = {name: measure_builds(variant, builds) for name, variant in made.items()}
    page, formulas = page_with_most_formulas(made[CLIENT].site)
    for name, server in servers.items():
        server.serve(made[name].site)
    runs = {(name, slow): [] for slow in (False, True) for name in servers}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=chromium.ARGUMENTS)
        # In turns, so that whatever else the machine does falls on all; the first turn only warms up.
        for turn in range(loads + 1):
            for (name, slow), measured in runs.items():
                run = loading.load(browser, servers[name], made[name].site, page, formulas, slow)
                if turn:
                    measured.append(run)
        browser.close()
    results = {key: loading.median(measured) for key, measured in runs.items()}

    print(f"\nThe page is {page} with {formulas} formulas, on a processor slowed down {loading.SLOWDOWN} times;")
    print(f"medians of {loads} loads. Builds are the fastest of {builds}.\n")
    print(f"{'formulas are rendered':52}{BUILD:>14}{CLIENT:>17}{'ratio':>8}")
    for label, unit, ours, theirs in rows(times, results):
        ratio = f"{theirs / ours:.2f}" if ours else "–"
        print(f"{f'{label}, {unit}':52}{number(ours):>14}{number(theirs):>17}{ratio:>8}")


def measure_builds(variant: Variant, repeats: int) -> dict[str, variants.Duration]:
    return {"cold": variant.fastest(cold=True, repeats=repeats), "warm": variant.fastest(cold=False, repeats=repeats)}


def page_with_most_formulas(site: Path) -> tuple[str, int]:
    counts = {
        file.parent.relative_to(site).as_posix() + "/": file.read_text("utf-8").count('class="arithmatex"')
        for file in site.glob("*/*/index.html")
    }
    page = max(counts, key=counts.__getitem__)
    return page, counts[page]


def rows(times, results) -> Iterator[tuple[str, str, float, float]]:
    """Label, unit, and the two values."""
    for state, meaning in (("cold", "no formula cached"), ("warm", "all formulas cached")):
        ours, theirs = times[BUILD][state], times[CLIENT][state]
        yield f"build, {meaning}, clock", "s", ours.wall, theirs.wall
        yield f"build, {meaning}, processor", "s", ours.cpu, theirs.cpu
    ours, theirs = results[BUILD, False], results[CLIENT, False]
    yield (
        "bytes until the first formula is visible, gzip",
        "KB",
        sum(ours.bytes.values()) / 1000,
        sum(theirs.bytes.values()) / 1000,
    )
    for kind in loading.KINDS.values():
        yield f"  {kind}", "KB", ours.bytes[kind] / 1000, theirs.bytes[kind] / 1000
    for slow, network in ((False, ""), (True, ", slow 4G")):
        ours, theirs = results[BUILD, slow], results[CLIENT, slow]
        yield f"first formula visible{network}", "ms", ours.first, theirs.first
        yield f"all formulas of the page set{network}", "ms", ours.all, theirs.all
        yield f"layout shift{network}", "score", ours.shift, theirs.shift


def number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3f}"


if __name__ == "__main__":
    main()
