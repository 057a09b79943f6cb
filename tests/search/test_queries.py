"""The queries by which the search will be judged: enough of each kind, each with a page and a section that exist."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from scripts.site import notes, programme

ROOT = Path(__file__).resolve().parents[2]
CATEGORIES = ("exact", "inflected", "english", "slang", "abbreviation", "typo", "layout", "question", "author")
QUERIES = yaml.safe_load((Path(__file__).parent / "queries.yml").read_text("utf-8"))
ON_SUBJECT = [entry for category in CATEGORIES for entry in QUERIES[category]]


def folded(query: str) -> str:
    return query.lower().replace("ё", "е")


def test_there_are_enough_of_every_category():
    assert set(QUERIES) == {*CATEGORIES, "none"}
    assert min(len(QUERIES[category]) for category in CATEGORIES) >= 100
    assert len(QUERIES["none"]) >= 30


def test_no_query_stands_twice():
    counts = Counter(folded(entry["query"]) for entries in QUERIES.values() for entry in entries)
    assert [query for query, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("category", CATEGORIES)
def test_about_a_third_is_set_aside(category):
    aside = sum(entry.get("aside", False) for entry in QUERIES[category])
    assert 0.2 < aside / len(QUERIES[category]) < 0.45


def test_every_question_is_asked_for_in_many_ways():
    asked = Counter(entry["pages"][0] for entry in ON_SUBJECT)
    assert min(asked[question.id] for question in programme.load(ROOT).questions) >= 8


def test_pages_and_sections_exist():
    questions = programme.load(ROOT).by_id
    found = notes.read_notes(ROOT / "docs")
    for entry in ON_SUBJECT:
        assert set(entry["pages"]) <= set(questions), entry
        headings = {heading.id for heading in found[questions[entry["pages"][0]].uri].headings}
        assert entry.get("section", "answer") in headings, entry


def test_what_is_not_about_the_subject_has_no_page():
    assert all("pages" not in entry for entry in QUERIES["none"])
