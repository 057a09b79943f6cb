import pytest

from scripts.site import terms
from scripts.site.glossary import Glossary, Place, Term
from tests.unit.make import PROGRAMME

QUESTION = PROGRAMME.by_id["ticket-01"]


def term(id, page="tm-01#why", mark=True, **names):
    kinds = {"ru": (), "en": (), "abbr": (), "slang": (), "authors": ()} | names
    return Term(id, kinds, f"Определение: {id} – «термин».", Place.parse(page), (), mark, 1)


TERMS = terms.Terms(
    Glossary(
        (
            term("clipping", ru=("градиентный клиппинг", "клиппинг"), slang=("клип",)),
            term("gradient", ru=("градиент",)),
            term("bn", ru=("батч-нормализация",), abbr=("BN", "W"), en=("batch normalization",)),
            term("own", page="ticket-01#idea", ru=("обратный проход",)),
            term("locality", ru=("локальность",)),
            term("window", ru=("окно",), mark=False),
        )
    )
)


def marked(page):
    return terms.mark(page, QUESTION, TERMS, PROGRAMME)


def found(text):
    return [(text[start:end], term.id) for start, end, term in TERMS.find(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("без градиентного клиппинга", [("градиентного клиппинга", "clipping")]),
        ("Градиенты и клиппинг", [("Градиенты", "gradient"), ("клиппинг", "clipping")]),
        ("батч‑нормализацией", [("батч‑нормализацией", "bn")]),
        ("слои BN и bn, Batch\u00a0Normalization", [("BN", "bn"), ("Batch\u00a0Normalization", "bn")]),
        ("градиентный. Клиппинг", [("Клиппинг", "clipping")]),
        ("батч – нормализация", []),
        ("локальностью локальных", [("локальностью", "locality")]),
        ("окно и клип", []),
    ],
)
def test_names_are_found_in_any_form(text, expected):
    assert found(text) == expected


def test_the_first_use_becomes_a_link_with_the_definition():
    page = marked("<p>Градиент и ещё раз градиент.</p>")
    assert page == (
        '<p><a class="term" href="../../theory-minimum/01-first/#why" '
        'data-definition="Определение: gradient – «термин».">Градиент</a> и ещё раз градиент.</p>'
    )


@pytest.mark.parametrize(
    "page",
    [
        "<h2>Градиент</h2>",
        '<a href="x">градиент</a>',
        "<pre><code>градиент</code></pre>",
        "<summary>Что такое <em>градиент</em>?</summary>",
        '<span class="arithmatex" data-x="1">\\(\\text{градиент} &lt; 1\\)</span>',
        '<img alt="градиент">',
        "<!-- градиент -->",
        "<p>обратный проход</p>",
        "<p>W</p>",
        '<h2 id="sources">Источники</h2><p>Градиент</p>',
    ],
)
def test_headings_links_code_formulas_and_the_pages_own_terms_are_left_alone(page):
    assert marked(page) == page


def test_marking_goes_on_after_what_is_skipped():
    page = marked("<h2>Градиент<br>и</h2><p>a &lt; b &#36; <b>градиент</b> &amp; <img src='x'> BN</p>")
    assert page.count('class="term"') == 2
    assert "a &lt; b &#36; <b><a" in page and "</a></b> &amp; <img src='x'> <a" in page
