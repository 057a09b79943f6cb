"""Does the first result answer? On all queries of queries.yml, beside the theme's own engine."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
QUERIES = yaml.safe_load((Path(__file__).parent / "queries.yml").read_text("utf-8"))
CATEGORIES = [category for category in QUERIES if category != "none"]
LEAST = {"tuned": 0.97, "aside": 0.95}
LEAST_OF_A_CATEGORY = 0.90
LEAST_SECTIONS = 0.85


@dataclass
class Tally:
    right: int = 0
    all: int = 0

    def add(self, right: bool) -> None:
        self.right += right
        self.all += 1

    @property
    def share(self) -> float:
        return self.right / self.all


@pytest.fixture(params=LEAST)
def part(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def queries(part: str) -> dict[str, list[dict]]:
    return {
        category: [entry for entry in QUERIES[category] if entry.get("aside", False) == (part == "aside")]
        for category in CATEGORIES
    }


def success_at_1(
    queries: dict[str, list[dict]], first_page: Callable[[str], str | None], addresses: dict[str, str]
) -> tuple[dict[str, Tally], list[str]]:
    """Tallies by category and under "all", and a line for each query whose first result is wrong."""
    tallies, misses = {category: Tally() for category in [*queries, "all"]}, []
    for category, entries in queries.items():
        for entry in entries:
            page = first_page(entry["query"])
            right = page in {addresses[id] for id in entry["pages"]}
            tallies[category].add(right)
            tallies["all"].add(right)
            if not right:
                misses.append(f"{category}: «{entry['query']}» should lead to {entry['pages']}, not to {page}")
    return tallies, misses


def test_the_first_result_is_the_page_that_answers(part, queries, engine, stock_engine, addresses, record_property):
    ours, misses = success_at_1(queries, engine.first_page, addresses)
    stock, _ = success_at_1(queries, stock_engine.first_page, addresses)
    rows = [f"{name:14}{t.all:6}{t.share:8.3f}{stock[name].share:8.3f}" for name, t in ours.items()]
    title = f"Success@1, queries {part}"
    record_property("printed", "\n".join([title, f"{'':14}{'number':>6}{'ours':>8}{'stock':>8}", *rows]))
    assert ours["all"].share >= LEAST[part], "\n".join(misses)
    for category in CATEGORIES:
        assert ours[category].share >= LEAST_OF_A_CATEGORY, "\n".join(misses)


def test_enter_opens_the_section_that_answers(part, queries, engine, addresses):
    """Of the queries that one section of the best page answers, most lead right into it."""
    tally = Tally()
    for entry in (entry for entries in queries.values() for entry in entries if "section" in entry):
        items = engine.answer(entry["query"])["items"]
        first = items[0][0]["location"] if items else ""
        if first.startswith(addresses[entry["pages"][0]]):
            tally.add(first.endswith("#" + entry["section"]))
    assert tally.share >= LEAST_SECTIONS


def test_the_engine_is_tried_on_the_same_index_as_the_stock_one(stock_engine):
    assert stock_engine.first_page("dropout") is not None
