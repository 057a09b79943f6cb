from dataclasses import replace

import pytest

from scripts.site import programme
from scripts.site.problems import ContentError
from tests.unit.make import LATER, PROGRAMME, note, notes

TICKET_TEXT = """---
id: ticket-01
question: "Первый билет."
needs: [tm-01, tm-02]
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
        ("tm-02]", "tm-99]", ":4:", "no such question"),
        ("description:", "subtitle:", ":5:", "`subtitle` is unknown"),
        ("О чём страница", "О чём страница" * 12, ":5:", "longer than 160"),
        ("{#formulas}", "{#formula}", ":8:", "«формулы»"),
    ],
)
def test_each_mistake_is_named_with_its_line(old, new, place, words):
    found = messages(ticket=TICKET_TEXT.replace(old, new))
    assert any(message.startswith(f"docs/tickets/01-first.md{place}") and words in message for message in found)


def test_a_written_question_without_a_page_is_a_problem():
    found = messages(questions=replace(PROGRAMME, unwritten=frozenset()))
    assert [message for message in found if "write this page" in message and "02-later.md" in message]


def test_a_page_that_the_list_calls_unwritten_is_a_problem():
    page = note(THEORY_TEXT.replace("tm-01", "tm-02").replace("Первый", "Второй").replace("why", "how"), LATER.uri)
    assert [message for message in messages(extra=[page]) if "remove it from there" in message]


def test_a_page_outside_the_programme_is_a_problem():
    assert "no question of data/program.yml" in messages(extra=[note("# X\n", "tickets/99-x.md")])[0]


def write_programme(root, ids, unwritten):
    entries = "".join(f'  - {{id: {id}, slug: {slug}, question: "q", clauses: {{a: "b"}}}}\n' for id, slug in ids)
    (root / "data").mkdir()
    (root / "data/program.yml").write_text(f"tickets:\n{entries}theory-minimum: []\n")
    (root / "data/unwritten.yml").write_text("".join(f"- {id}\n" for id in unwritten))


@pytest.mark.parametrize(
    ("ids", "unwritten", "words"),
    [
        ([("ticket-01", "a"), ("ticket-01", "b")], [], "`ticket-01` stands twice"),
        ([("ticket-01", "a"), ("ticket-02", "a")], [], "`tickets/a.md` stands twice"),
        ([("ticket-01", "a")], ["ticket-02"], "`ticket-02` is not in data/program.yml"),
    ],
)
def test_load_refuses_duplicates_and_unknown_ids(tmp_path, ids, unwritten, words):
    write_programme(tmp_path, ids, unwritten)
    with pytest.raises(ContentError, match=words):
        programme.load(tmp_path)


def test_load_reads_the_real_programme():
    loaded = programme.load(programme.Path(__file__).parents[2])
    assert len(list(loaded.part("tickets"))) == 13
    assert len(list(loaded.part("theory-minimum"))) == 28
    assert loaded.by_id["tm-02"].label == "Вопрос 2"
    assert loaded.by_id["ticket-13"].url == "tickets/13-vit-multimodal/"
