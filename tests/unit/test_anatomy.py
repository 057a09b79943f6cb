import pytest

from scripts.site import anatomy
from tests.unit.make import note, notes

BLOCK = '??? {} "Что?"\n    Это.\n\n'
PAGE = (
    "# Заголовок\n\n## Короткий ответ {#answer}\n\n## Формулы {#formulas}\n\n## Разбор {#body}\n\n"
    "## Ловушки {#mistakes}\n\n## Вопросы вдогонку {#follow-ups}\n\n"
    + BLOCK.format("question") * 4
    + "## Проверь себя {#cards}\n\n"
    + BLOCK.format("card") * 5
    + "## Источники {#sources}\n"
)


def messages(text, uri="theory-minimum/01-first.md"):
    return [str(problem) for problem in anatomy.check(notes(note(text, uri)))]


def test_a_whole_page_has_no_problems():
    assert messages(PAGE) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("## Ловушки {#mistakes}\n\n", "", 1, "«Ловушки» is missing"),
        ("## Ловушки", "## Ошибки", 9, "is called «Ловушки»"),
        ("{#body}", "", 7, "has no id"),
        ("{#body}", "{#Тело}", 7, "not lower-case Latin"),
        ("{#body}", "{#formulas}", 7, "already stands on line 5"),
        ("## Разбор", "## Разбор $x$", 7, "neither formulas nor links"),
        (BLOCK.format("question"), "", 11, "0 blocks `??? question"),
        (BLOCK.format("card"), "", 25, "0 blocks `??? card"),
        ("# Заголовок\n", "# Заголовок\n\n# Второй\n", 3, "one title"),
        ("Это.\n\n## Проверь", "Это\nи то.\n\n## Проверь", 24, "breaks off here"),
    ],
)
def test_each_mistake_is_named_with_its_line(old, new, line, words):
    found = [message for message in messages(PAGE.replace(old, new)) if words in message]
    assert found and found[0].startswith(f"docs/theory-minimum/01-first.md:{line}: ")


def test_sections_out_of_order():
    swapped = PAGE.replace("{#answer}", "{#x}").replace("{#formulas}", "{#answer}").replace("{#x}", "{#formulas}")
    assert any("has to come before" in message for message in messages(swapped))


def test_other_pages_need_only_good_headings():
    assert messages("# О сайте\n\n## Часть {#part}\n", "about.md") == []
