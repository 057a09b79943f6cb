import pytest

from scripts.site import listing, navigation, reading
from scripts.site.listing import Listing
from tests.unit.make import PROGRAMME, note, notes

TICKET = note('---\nid: ticket-01\nquestion: "Первый билет."\nneeds: [tm-01]\n---\n\n# Билет < 1\n\nслово\n')
THEORY = note("---\nid: tm-01\nneeds: []\n---\n\n# Ответ\n\n" + "слово " * 450, "theory-minimum/01-first.md")
PLANS = {"week": [{"title": "День 1", "section": "answer", "questions": ["ticket-01", "tm-01"]}]}
CONTENT = Listing(PROGRAMME, notes(TICKET, THEORY), PLANS)


def test_questions_are_links_with_their_reading_time():
    page = CONTENT.fill("<h1>x</h1><!-- programme: theory-minimum -->", "theory-minimum/")
    assert 'href="01-first/">Первый вопрос?</a><span class="programme__meta">4\u00a0мин' in page


def test_plan_links_to_the_section():
    page = CONTENT.fill("<!-- plan: week -->", "")
    assert 'href="tickets/01-first/#answer">Билет 1. Билет &lt; 1</a>' in page


def test_card_tells_wording_time_and_what_to_know_first():
    card = CONTENT.card(TICKET)
    assert "Первый билет." in card and "1\u00a0минута чтения" in card
    assert '<a href="../../theory-minimum/01-first/">Вопрос 1. Ответ</a></span>' in card


@pytest.mark.parametrize(
    ("questions", "words"),
    [
        (["ticket-01"], "`tm-01`: it is left out"),
        (["ticket-01", "tm-01", "tm-01"], "`tm-01`: it stands twice"),
        (["ticket-01", "tm-01", "tm-77"], "`tm-77`: the programme has no such question"),
    ],
)
def test_a_plan_covers_the_programme_once(questions, words):
    (problem,) = listing.check({}, {"week": [{"title": "", "questions": questions}]}, PROGRAMME)
    assert words in str(problem)


def test_an_unknown_marker_is_named_with_its_line():
    (problem,) = listing.check(notes(note("# T\n\n<!-- plan: year -->\n")), PLANS, PROGRAMME)
    assert str(problem).startswith("docs/tickets/01-first.md:3: unknown plan `year`")


def test_navigation_follows_the_programme():
    assert navigation.tree(CONTENT, []) == [
        {"Начало": "index.md"},
        {"Билеты": ["tickets/index.md", {"1. Билет < 1": "tickets/01-first.md"}]},
        {"Теоретический минимум": ["theory-minimum/index.md", {"1. Ответ": "theory-minimum/01-first.md"}]},
        {"Лабораторные": ["labs/index.md"]},
        {"Справочник": ["glossary.md", "notation.md"]},
    ]


def test_reading_time_counts_words_formulas_and_code():
    prose = "слово " * 300
    plain = note(f"# T\n\n{prose}")
    rich = note(f"# T\n\n{prose}\n\n$$\nx\n$$\n\n$$\ny\n$$\n\n```python\ncode = 1\n```\n")
    assert reading.minutes(plain) == 2
    assert reading.minutes(rich) == 3


@pytest.mark.parametrize(
    ("number", "expected"),
    [(1, "1 минута"), (2, "2 минуты"), (5, "5 минут"), (11, "11 минут"), (12, "12 минут"), (21, "21 минута"),
     (22, "22 минуты"), (114, "114 минут")],
)  # fmt: skip
def test_numerals_agree(number, expected):
    assert reading.spoken(number, *listing.MINUTES).replace("\u00a0", " ") == expected
