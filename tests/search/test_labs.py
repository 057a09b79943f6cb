"""Labs are found by their own words and stand behind the pages that answer."""

from pathlib import Path

import pytest
import yaml

QUERIES = yaml.safe_load((Path(__file__).parent / "queries.yml").read_text("utf-8"))


@pytest.mark.parametrize(
    "query", ["лабораторная", "лабораторные", "упражнение", "notebook", "ноутбук", "jupyter", "Colab", "ipynb"]
)
def test_words_of_labs_lead_to_their_list(engine, query):
    assert engine.first_page(query) == "labs/"


def test_no_question_is_answered_by_a_lab_first(engine):
    asked = [entry["query"] for entries in QUERIES.values() for entry in entries if "pages" in entry]
    assert [query for query in asked if (engine.first_page(query) or "").startswith("labs/")] == []
