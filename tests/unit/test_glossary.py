import pytest

from scripts.site import glossary
from tests.unit.make import PROGRAMME, note, notes

FIRST = note("# Первый\n\n## Часть {#idea}\n")
SECOND = note("# Второй\n", "theory-minimum/01-first.md")
TERM = """- id: weight-decay
  ru: [затухание весов, штраф на веса]
  en: [weight decay]
  abbr: [WD]
  slang: [вейт дикей]
  definition: "Каждый шаг весь вектор весов умножают на число чуть меньше единицы."
  page: ticket-01#idea
  also: [tm-01, ticket-01]
"""
OTHER = """- id: adam
  en: [Adam]
  definition: "Оптимизатор, который делит импульс на корень из среднего квадрата градиента."
  page: tm-01
"""


def read(tmp_path, text):
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data/glossary.yml").write_text(text, encoding="utf-8")
    return glossary.load(tmp_path)


def messages(tmp_path, text):
    terms, unreadable = read(tmp_path, text)
    return [str(problem) for problem in [*unreadable, *glossary.check(terms, notes(FIRST, SECOND), PROGRAMME)]]


def test_good_terms_have_no_problems(tmp_path):
    assert messages(tmp_path, TERM + OTHER) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("definition", "meaning", "unknown key `meaning`"),
        ("  page: ticket-01#idea\n", "", "no `page`"),
        ("weight-decay", "Weight decay", "not lower-case Latin words"),
        ("Каждый шаг весь вектор весов умножают на число чуть меньше единицы.", "Штраф.", "one sentence of 40"),
        ("#idea", "#ideas", "tickets/01-first.md has no section `#ideas`"),
        ("[tm-01, ", "[tm-99, ", "the programme has no `tm-99`"),
        ("  slang: [вейт дикей]\n", "", "no term of ticket-01 has a name of the kind `slang`"),
    ],
)
def test_each_mistake_is_named(tmp_path, old, new, words):
    assert any(words in message and message.startswith("data/glossary.yml") for message in
               messages(tmp_path, TERM.replace(old, new)))  # fmt: skip


@pytest.mark.parametrize("spelling", ["Weight-Decay", "weight decay", "WEIGHT DECAY"])
def test_a_name_belongs_to_one_term(tmp_path, spelling):
    (message,) = messages(tmp_path, TERM + OTHER.replace("[Adam]", f"[{spelling}]"))
    assert message == (
        f"data/glossary.yml:9: «{spelling}» names both `weight-decay` and `adam`: leave it to one of them [G2]"
    )


def test_the_page_lists_terms_by_letter_with_their_names_and_places(tmp_path):
    terms, _ = read(tmp_path, OTHER + TERM)
    page = glossary.fill("<p>x</p><!-- glossary -->", "glossary/", terms, notes(FIRST, SECOND), PROGRAMME)
    letters = ['<h2 id="letter-8" data-search-exclude>З</h2>', '<h2 id="letter-latin" data-search-exclude>A–Z</h2>']
    assert page.index(letters[0]) < page.index(letters[1])
    assert '<div class="glossary__term" id="weight-decay"><dt>Затухание весов</dt>' in page
    assert "штраф на веса, weight decay, WD, вейт дикей</dd>" in page
    assert '<a href="../tickets/01-first/#idea">Билет 1. Первый</a>, <a' in page
    assert page.count("Билет 1") == 1  # each page once
    assert "<dt>Adam</dt><dd>Оптимизатор" in page


def test_other_pages_are_left_alone(tmp_path):
    terms, _ = read(tmp_path, TERM)
    assert glossary.fill("<p>x</p>", "", terms, notes(FIRST), PROGRAMME) == "<p>x</p>"
