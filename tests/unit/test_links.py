import pytest

from scripts.site import links
from scripts.site.urls import relative_url
from tests.unit.make import PROGRAMME, TICKET, note, notes

FIGURE = "![Кривая, которая идёт вверх.](../../figures/tm-01/curve.svg)\n*Подпись.*\n"
TARGET = note(f"# Ответ\n\n## Почему {{#why}}\n\n{FIGURE}", "theory-minimum/01-first.md")


def messages(link, tmp_path):
    page = note(f"# Билет\n\nСм. [слово]({link}).\n\n## Часть {{#idea}}\n")
    return [str(problem) for problem in links.check(notes(page, TARGET), PROGRAMME, tmp_path)]


@pytest.mark.parametrize(
    "link",
    [
        "../theory-minimum/01-first.md",
        "../theory-minimum/01-first.md#why",
        "../theory-minimum/01-first.md#fig-curve",
        "#idea",
        "https://arxiv.org/abs/1412.6980",
    ],
)
def test_good_links(link, tmp_path):
    assert messages(link, tmp_path) == []


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("../theory-minimum/01-frist.md", "did you mean `theory-minimum/01-first.md`?"),
        ("01-nothing.md", "dead link: there is no tickets/01-nothing.md"),
        ("../theory-minimum/01-first.md#wyh", "no `#wyh`; did you mean `why`?"),
        ("#ideas", "did you mean `idea`?"),
        ("../theory-minimum/02-later.md", "dead link: there is no theory-minimum/02-later.md"),
        ("/tickets/01-first/", "make it relative"),
    ],
)
def test_bad_links_are_named_with_line_and_column(link, words, tmp_path):
    (message,) = messages(link, tmp_path)
    assert message.startswith("docs/tickets/01-first.md:3:5: ")
    assert words in message


def test_a_file_beside_the_notes_may_be_linked(tmp_path):
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets/deck.apkg").touch()
    assert messages("../assets/deck.apkg", tmp_path) == []


def test_an_island_is_told():
    ticket = note("# Билет\n\n[туда](../theory-minimum/01-first.md)\n")
    found = [str(problem) for problem in links.check_islands(notes(ticket, TARGET))]
    assert found == [
        "docs/tickets/01-first.md:1: no other question leads to this page: link it where its subject is used [L5]",
        "docs/theory-minimum/01-first.md:1: the page leads to no other question: link what it builds on [L5]",
    ]


@pytest.mark.parametrize(
    ("base", "target", "expected"),
    [
        ("tickets/01-first/", "theory-minimum/01-first/", "../../theory-minimum/01-first/"),
        ("", "tickets/01-first/", "tickets/01-first/"),
        ("tickets/", "tickets/01-first/", "01-first/"),
        ("tickets/01-first/", "", "../../"),
        ("tickets/01-first/", "figures/a.svg", "../../figures/a.svg"),
    ],
)
def test_relative_url(base, target, expected):
    assert relative_url(base, target) == expected


def test_related_html_lists_both_directions():
    ticket = note("# Билет\n\n[туда](../theory-minimum/01-first.md), [снова](../theory-minimum/01-first.md#why)\n")
    content = notes(ticket, TARGET)
    there = links.related_html(ticket, content, PROGRAMME)
    assert there.count("Вопрос 1. Ответ") == 1 and 'href="../../theory-minimum/01-first/"' in there
    assert "Связанные вопросы" in there and "Где это используется" not in there
    back = links.related_html(TARGET, content, PROGRAMME)
    assert f"{TICKET.label}. Билет" in back and "Где это используется" in back and "Связанные вопросы" not in back
