import pytest

from scripts.site import programme
from scripts.site.problems import ContentError
from scripts.site.programme import Programme, Question
from tests.unit.make import PROGRAMME, note, notes

TICKET_TEXT = """---
id: ticket-01
question: "Первый билет."
needs: [tm-01]
description: "О чём страница"
---

# Заголовок

## Идея {#idea}

## Формулы {#formulas}
"""
THEORY_TEXT = """---
id: tm-01
question: "Первый вопрос?"
needs: []
description: "О чём страница"
---

# Заголовок

## Почему {#why}
"""


def messages(ticket=TICKET_TEXT, theory=THEORY_TEXT, extra=(), questions=PROGRAMME):
    content = notes(note(ticket), note(theory, "theory-minimum/01-first.md"), *extra)
    return [str(problem) for problem in programme.check(questions, content)]


def test_right_pages_have_no_problems():
    assert messages() == []


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("id: ticket-01", "id: ticket-02", ":2:", "gives this page the id `ticket-01`"),
        ("Первый билет.", "Первый билет", ":3:", "«Первый билет.»"),
        ("tm-01]", "tm-99]", ":4:", "no such question"),
        ("description:", "subtitle:", ":5:", "`subtitle` is unknown"),
        ("О чём страница", "О чём страница" * 12, ":5:", "longer than 160"),
        ("{#formulas}", "{#formula}", ":8:", "«формулы»"),
    ],
)
def test_each_mistake_is_named_with_its_line(old, new, place, words):
    found = messages(ticket=TICKET_TEXT.replace(old, new))
    assert any(message.startswith(f"docs/tickets/01-first.md{place}") and words in message for message in found)


def test_a_question_without_a_page_is_a_problem():
    later = Question("tm-02", "theory-minimum", "02-later", "Второй вопрос?", {"how": "как"})
    found = messages(questions=Programme((*PROGRAMME.questions, later)))
    assert found == ["docs/theory-minimum/02-later.md: tm-02 has no page: write this file [P3]"]


def test_a_page_outside_the_programme_is_a_problem():
    assert "no question of data/program.yml" in messages(extra=[note("# X\n", "tickets/99-x.md")])[0]


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([("ticket-01", "a"), ("ticket-01", "b")], "`ticket-01` stands twice"),
        ([("ticket-01", "a"), ("ticket-02", "a")], "`tickets/a.md` stands twice"),
    ],
)
def test_load_refuses_duplicates(tmp_path, ids, words):
    entries = "".join(f'  - {{id: {id}, slug: {slug}, question: "q", clauses: {{a: "b"}}}}\n' for id, slug in ids)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/program.yml").write_text(f"tickets:\n{entries}theory-minimum: []\n")
    with pytest.raises(ContentError, match=words):
        programme.load(tmp_path)


def test_load_reads_the_real_programme():
    loaded = programme.load(programme.Path(__file__).parents[2])
    assert len(list(loaded.part("tickets"))) == 13
    assert len(list(loaded.part("theory-minimum"))) == 28
    assert loaded.by_id["tm-02"].label == "Вопрос 2"
    assert loaded.by_id["ticket-13"].url == "tickets/13-vit-multimodal/"
