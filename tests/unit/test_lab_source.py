"""A lab's text: cells as jupytext reads them, and a note that has every line where the file has it."""

import jupytext
import pytest

from scripts.labs import records, source
from tests.unit.sample_lab import TEXT, note

FILES = [lab.text for lab in records.all_labs()]


@pytest.mark.parametrize("text", [TEXT, *FILES], ids=lambda text: text.split("# # ")[-1].splitlines()[0])
def test_cells_are_those_of_jupytext(text):
    front, *theirs = jupytext.reads(text, fmt="py:percent").cells
    assert front.cell_type == "raw"
    ours = source.cells(text)
    assert [(cell.text, cell.is_code) for cell in ours] == [
        (c.source.strip("\n"), c.cell_type == "code") for c in theirs
    ]
    assert [cell.is_solution for cell in ours] == ["solution" in c.metadata.get("tags", []) for c in theirs]


@pytest.mark.parametrize("text", [TEXT, *FILES], ids=lambda text: text.split("# # ")[-1].splitlines()[0])
def test_the_note_has_the_lines_of_the_file(text):
    ours, theirs = source.as_markdown(text).splitlines(), text.splitlines()
    assert len(ours) in (len(theirs), len(theirs) + 1)
    for mine, line in zip(ours, theirs, strict=False):
        assert mine in ("", "```", "```python", line, line.removeprefix("# ").rstrip())


def test_problems_have_the_line_and_column_of_the_file():
    lab = note()
    for link in lab.links:
        line = TEXT.splitlines()[link.line - 1]
        assert line[link.column - 1 :].startswith(f"[{link.text.splitlines()[0]}")
    for heading in lab.headings:
        assert heading.text in TEXT.splitlines()[heading.line - 1]


def test_code_is_no_prose():
    lab = note()
    assert "central difference" not in lab.prose
    assert [heading.text for heading in lab.headings if heading.level == 1] == ["Производная на доске"]
    assert lab.figure_names == ["parabola-and-slope"]
    assert lab.front["questions"] == ["ticket-01", "tm-01"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("# %% [markdown]\n# слово\nx = 1\n", 3, "code outside of a code cell"),
        ("x = 1\n# %%\ny = 2\n", 1, "code outside of a code cell"),
        ("# %%\nx = 1\n# %% [markdown]\n# слово\n", 2, "leave a blank line"),
        ("# %%\n\n# %%\nx = 1\n", 1, "the cell is empty"),
        ("# %% [markdown]\n# слово\n\n# %% [md]\n# слово\n", 4, "a cell begins with"),
        ("# %%\nx = (\n", 2, "this is not Python"),
    ],
)
def test_what_is_not_in_the_format_is_told(text, line, words):
    assert any(number == line and words in message for number, message in source.mistakes(text))


def test_the_sample_is_in_the_format():
    assert list(source.mistakes(TEXT)) == []
