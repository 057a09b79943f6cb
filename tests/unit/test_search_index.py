"""The search index: plain text, readable formulas, names of the glossary."""

import json

import pytest

from scripts.site.glossary import Glossary, Place, Term
from scripts.site.readable import LEFT_OUT, readable
from scripts.site.search import INDEX, SCRIPT, make, plain, rewrite
from tests.unit.make import PROGRAMME

LABELS = {"tickets/01-first/": "Билет 1", "theory-minimum/01-first/": "Вопрос 1"}

STOCK = {
    "config": {"lang": ["ru", "en"]},
    "docs": [
        {"location": "tickets/01-first/", "title": "Первый", "text": "<p>Слово.</p>"},
        {"location": "tickets/01-first/#cards", "title": "Проверь себя", "text": "<p>Слово?</p>"},
        {"location": "tickets/01-first/#idea", "title": r"Идея \(x_i\)", "text": "<p>Мысль &amp; слово.</p>"},
        {"location": "theory-minimum/01-first/", "title": "Вопрос", "text": ""},
        {"location": "glossary/", "title": "Глоссарий", "text": "", "boost": 0.5},
    ],
}
TERM = Term(
    id="idea",
    names={"ru": ("идея",), "en": ("idea",), "abbr": (), "slang": (), "authors": ()},
    definition="",
    page=Place("ticket-01", "idea"),
    also=(Place("tm-01", ""),),
    mark=True,
    line=1,
)


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        (r"\lVert W\rVert_2<1", "‖W‖₂<1"),
        (r"\beta_l", "βₗ"),
        (r"-\log p_\theta", "-log p_θ"),
        (r"\mathrm{KL}(p_d\|p_g)", "KL(p_d‖p_g)"),
        (r"0{,}94", "0,94"),
        (r"x^{n+1}", "xⁿ⁺¹"),
        (r"\arg\max_i x_i", "arg maxᵢ xᵢ"),
    ],
)
def test_formulas_read_as_text(tex, text):
    assert readable(tex) == text


@pytest.mark.parametrize("tex", [r"\frac{a}{b}", r"\sum_i x_i", r"W\in\mathbb R^{K\times n}", "a+b" * 20])
def test_formulas_that_a_line_cannot_hold_are_left_out(tex):
    assert readable(tex) == LEFT_OUT


def test_plain_text_of_a_section():
    page = r'<p>Шаг <em>мал</em>: \(\eta&lt;2/h\), а <a href="x">дальше</a>.</p> \[\frac ab\] <p>Всё.</p>'
    assert plain(page) == "Шаг мал: η<2/h, а дальше. Всё."


def test_text_that_looks_like_markup_stays_text():
    assert plain("<p>&lt;script&gt;</p>") == "<script>"


def test_pages_carry_their_labels_and_cards_are_left_out():
    docs = make(STOCK, Glossary(()), PROGRAMME, LABELS)["docs"]
    assert [doc["title"] for doc in docs] == ["Билет 1. Первый", "Идея xᵢ", "Вопрос 1. Вопрос", "Глоссарий"]
    assert docs[1]["text"] == "Мысль & слово."
    assert docs[3]["boost"] == 0.5


def test_names_point_to_the_documents_that_explain_them():
    index = make(STOCK, Glossary((TERM,)), PROGRAMME, LABELS)
    assert index["terms"] == [{"names": ["идея", "idea"], "places": [1, 2]}]


def test_the_index_is_written_as_letters_and_as_a_script(tmp_path):
    (tmp_path / INDEX).parent.mkdir()
    (tmp_path / INDEX).write_text(json.dumps(STOCK), encoding="utf-8")
    rewrite(tmp_path, Glossary((TERM,)), PROGRAMME, LABELS)
    text = (tmp_path / INDEX).read_text(encoding="utf-8")
    assert "Мысль" in text
    assert json.loads(text) == make(STOCK, Glossary((TERM,)), PROGRAMME, LABELS)
    assert (tmp_path / SCRIPT).read_text(encoding="utf-8") == f"var __index={text}"
