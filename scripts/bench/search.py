"""Prints the comparison of the search engines as one table."""

import argparse
import random
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml
from playwright.sync_api import Browser, sync_playwright

from scripts.bench import engines, searching
from scripts.bench.engines import OURS, PAGEFIND, PAGEFIND_VERSION, STOCK
from scripts.bench.loading import SLOWDOWN
from scripts.bench.searching import Site
from scripts.bench.variants import ROOT
from scripts.browser import chromium
from scripts.browser.serving import SiteServer

QUERIES = ROOT / "tests/search/queries.yml"
# The kinds of queries to which all three engines answer something.
KINDS = ("exact", "inflected", "english")
NAMES = (OURS, STOCK, PAGEFIND)

Row = tuple[str, str, dict[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the site's search engine with the theme's and Pagefind.")
    parser.add_argument("--loads", type=int, default=7, help="page loads of each kind; the median counts")
    parser.add_argument("--queries", type=int, default=30, help="queries that are typed letter by letter")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder), options.loads, choose_queries(options.queries))


def choose_queries(count: int) -> list[str]:
    """As many queries of the relevance tests, drawn with a fixed seed."""
    queries = yaml.safe_load(QUERIES.read_text("utf-8"))
    pool = [entry["query"] for kind in KINDS for entry in queries[kind]]
    return random.Random(0).sample(pool, count)


def compare(folder: Path, loads: int, queries: list[str]) -> None:
    servers = {name: SiteServer() for name in NAMES}
    folders = engines.sites(folder, servers[OURS].url)
    sites = {name: Site(name, folders[name], server) for name, server in servers.items()}
    for site in sites.values():
        site.server.serve(site.folder)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=chromium.ARGUMENTS)
        rows = [*bytes_of(browser, sites), *first_results(browser, sites, loads, queries[0])]
        rows += keys(browser, sites, queries)
        browser.close()

    print(f"\nPagefind {PAGEFIND_VERSION}; bytes are gzip; first results are medians of {loads} loads;")
    print(f"a phone has slow 4G and a processor slowed down {SLOWDOWN} times; {len(queries)} queries were typed.\n")
    print(f"{'search engine':52}" + "".join(f"{name:>12}" for name in NAMES) + f"{'ratios to ours':>18}")
    for label, unit, values in rows:
        ratios = " ".join(f"{values[name] / values[OURS]:8.2f}" for name in NAMES[1:])
        print(f"{f'{label}, {unit}':52}" + "".join(f"{values[name]:12.1f}" for name in NAMES) + f" {ratios}")


def bytes_of(browser: Browser, sites: dict[str, Site]) -> Iterator[Row]:
    for kind in ("index", "engine"):
        yield f"whole {kind}", "KB", {name: site.bytes([kind]) / 1000 for name, site in sites.items()}
    unasked = {name: searching.open_without_query(browser, site) for name, site in sites.items()}
    yield "fetched with a page on which nobody searches", "KB", fetched(sites, unasked)


def fetched(sites: dict[str, Site], requests: dict[str, list[str]]) -> dict[str, float]:
    """Kilobytes of index and engine among the `requests`."""
    return {name: site.bytes(("index", "engine"), requests[name]) / 1000 for name, site in sites.items()}


def first_results(browser: Browser, sites: dict[str, Site], loads: int, query: str) -> Iterator[Row]:
    runs = {(name, phone): [] for phone in (False, True) for name in sites}
    turns = {name: [] for name in sites}
    # In turns, so that whatever else the machine does falls on all; the first turn only warms up.
    for turn in range(loads + 1):
        for (name, phone), measured in runs.items():
            opened = searching.open_with_query(browser, sites[name], query, phone)
            if turn:
                measured.append(opened)
        for name, site in sites.items():
            turns[name].append(searching.turn_to_search(browser, site, query))
    yield (
        "fetched until the first result",
        "KB",
        fetched(sites, {name: runs[name, False][0].requests for name in sites}),
    )
    yield "turn to the search to first result, desktop", "ms", medians(turns)
    for phone, device in ((False, "desktop"), (True, "phone")):
        times = {name: [opened.first for opened in runs[name, phone]] for name in sites}
        yield f"page asked for to first result, {device}", "ms", medians(times)


def medians(times: dict[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(measured) for name, measured in times.items()}


def keys(browser: Browser, sites: dict[str, Site], queries: list[str]) -> Iterator[Row]:
    times = {name: searching.type_queries(browser, site, queries) for name, site in sites.items()}
    for percent in (50, 95):
        quantiles = {name: searching.quantile(times[name], percent) for name in sites}
        yield f"key to answer, p{percent}, desktop", "ms", quantiles


if __name__ == "__main__":
    main()
