"""What a search costs a reader: bytes, time until the first result can be seen, time for each key."""

import json
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Browser, Page

from scripts.bench import engines, loading
from scripts.bench.engines import PAGEFIND
from scripts.browser.serving import PREFIX, SiteServer

SCRIPT = Path(__file__).with_name("searching.js").read_text("utf-8")
DESKTOP = {"viewport": {"width": 1280, "height": 800}}


@dataclass(frozen=True)
class Site:
    """One engine's copy of the site, served."""

    name: str
    folder: Path
    server: SiteServer

    def bytes(self, kinds: Iterable[str], among: Iterable[str] | None = None) -> int:
        """Compressed size of these `kinds` of the engine's files, or of those `among` the addresses asked for."""
        files = [
            file for kind, files in engines.files(self.name, self.folder).items() if kind in kinds for file in files
        ]
        wanted = files if among is None else [file for file in files if self._address(file) in set(among)]
        return sum(map(loading.compressed_size, wanted))

    def _address(self, file: Path) -> str:
        return PREFIX + file.relative_to(self.folder).as_posix()


@dataclass(frozen=True)
class Opened:
    """A page opened with a query: ms until the first result, and the addresses that were asked for."""

    first: float
    requests: list[str]


def open_with_query(browser: Browser, site: Site, query: str, phone: bool) -> Opened:
    """Open the start page with `query` in its address and empty caches, on a desktop or on a slow phone."""
    context = browser.new_context(**(loading.PHONE if phone else DESKTOP))
    page = context.new_page()
    if phone:
        loading.slow_down(page)
    site.server.requests.clear()
    _prepare(page, site, asked=query if site.name == PAGEFIND else "")
    page.goto(f"{site.server.url}?q={quote(query)}", wait_until="commit")
    page.wait_for_function("window.bench.first !== null", timeout=120_000)
    opened = Opened(page.evaluate("window.bench.first"), _paths(site.server.requests))
    context.close()
    return opened


def open_without_query(browser: Browser, site: Site) -> list[str]:
    """The addresses that are asked for with a page on which nobody searches."""
    page = browser.new_page(**DESKTOP)
    site.server.requests.clear()
    page.goto(site.server.url)
    page.wait_for_load_state("networkidle")
    page.close()
    return _paths(site.server.requests)


def turn_to_search(browser: Browser, site: Site, query: str) -> float:
    """Milliseconds from the moment when the reader of a page turns to the search until the first result is seen."""
    context = browser.new_context(**DESKTOP)
    page = context.new_page()
    _prepare(page, site, asked="")
    page.goto(site.server.url, wait_until="networkidle")
    began = page.evaluate("([query, engine]) => window.bench.turn(query, engine)", [query, site.name])
    page.wait_for_function("window.bench.first !== null")
    first = page.evaluate("window.bench.first")
    context.close()
    return first - began


def type_queries(browser: Browser, site: Site, queries: list[str]) -> list[float]:
    """Milliseconds from each key to its answer, while `queries` are typed letter by letter."""
    page = browser.new_page(**DESKTOP)
    _prepare(page, site, asked=queries[0] if site.name == PAGEFIND else "")
    page.goto(f"{site.server.url}?q={quote(queries[0])}")
    page.wait_for_function("window.bench.first !== null")
    ask = "async (query) => (await window.bench.find(query))[0]" if site.name == PAGEFIND else "window.bench.type"
    times = [page.evaluate(f"(query) => ({ask})(query)", prefix) for query in queries for prefix in prefixes(query)]
    page.close()
    return times


def prefixes(query: str) -> Iterator[str]:
    """What stands in the field after each key; a space at the end changes nothing."""
    return (query[:length] for length in range(1, len(query) + 1) if query[length - 1] != " ")


def quantile(times: list[float], percent: int) -> float:
    return statistics.quantiles(times, n=100, method="inclusive")[percent - 1]


def _prepare(page: Page, site: Site, asked: str) -> None:
    page.add_init_script(f"window.asked = {json.dumps(asked)}; window.root = {json.dumps(site.server.url)};\n{SCRIPT}")


def _paths(requests: list[str]) -> list[str]:
    return [request.partition("?")[0] for request in requests]
