"""The text of a lab: one Python file in jupytext's percent format, read cell by cell.

`as_markdown` shows the file as the Markdown that the checks of notes read, line for line, so that whatever they find
has its true place in the file.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

MARKER = re.compile(r"# %%(?P<markdown> \[markdown\])?(?P<solution> tags=\[\"solution\"\])?[ \t]*\Z")
ANY_MARKER = re.compile(r"# ?%%")
# What stands before the text in a line of Markdown.
COMMENT = "# "


@dataclass(frozen=True)
class Cell:
    """`line` is the marker's, from 1; `text` is Markdown without the comment marks, or code. Solutions are folded."""

    line: int
    is_code: bool
    is_solution: bool
    text: str


@dataclass(frozen=True)
class _Part:
    """A marker (None before the first one) and the lines after it, up to the next."""

    line: int
    marker: re.Match[str] | None
    lines: list[str]
    is_last: bool = False

    @property
    def is_code(self) -> bool:
        return self.marker is not None and not self.marker["markdown"]


def cells(text: str) -> list[Cell]:
    found = []
    for part in _parts(text):
        if part.marker:
            lines = part.lines if part.is_code else [_uncommented(line) for line in part.lines]
            body = "\n".join(lines).strip("\n").rstrip()
            found.append(Cell(part.line, part.is_code, bool(part.marker["solution"]), body))
    return found


def as_markdown(text: str) -> str:
    """The file as a note: code stands in fences, which open on the marker and close on the blank line behind it."""
    lines = [line for part in _parts(text) for line in _markdown_lines(part)]
    return "\n".join(lines) + "\n"


def _markdown_lines(part: _Part) -> list[str]:
    if not part.is_code:
        return [""] * bool(part.marker) + [_uncommented(line) for line in part.lines]
    if part.is_last and part.lines and part.lines[-1].strip():
        return ["```python", *part.lines, "```"]  # one line more than the file has, after its last
    return ["```python", *part.lines[:-1], "```"] if part.lines else [""]


def mistakes(text: str) -> Iterator[tuple[int, str]]:
    """What is not in the format, by line."""
    try:
        ast.parse(text)
    except SyntaxError as error:
        yield error.lineno or 1, f"this is not Python: {error.msg}"
    for part in _parts(text):
        if part.is_code:
            yield from _code_mistakes(part)
        else:
            yield from _prose_mistakes(part)


def _code_mistakes(part: _Part) -> Iterator[tuple[int, str]]:
    if not any(line.strip() for line in part.lines):
        yield part.line, "the cell is empty: remove it"
    elif part.lines[-1].strip() and not part.is_last:
        yield part.line + len(part.lines), "leave a blank line between the code and the next cell"


def _prose_mistakes(part: _Part) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(part.lines, part.line + bool(part.marker)):
        if ANY_MARKER.match(line):
            yield number, 'a cell begins with `# %%` or `# %% [markdown]`, and perhaps `tags=["solution"]`: correct it'
        elif line.strip() and line.rstrip() != "#" and not line.startswith(COMMENT):
            yield number, "code outside of a code cell: put `# %%` before it, or `# ` before text"


def _parts(text: str) -> Iterator[_Part]:
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if MARKER.match(line)]
    if starts[:1] != [0]:
        yield _Part(1, None, lines[: starts[0] if starts else None], is_last=not starts)
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield _Part(start + 1, MARKER.match(lines[start]), lines[start + 1 : end], is_last=end == len(lines))


def _uncommented(line: str) -> str:
    return line.removeprefix(COMMENT).rstrip() if line.startswith(COMMENT) else line.rstrip().removeprefix("#")
