"""Reading a note: its front matter, headings, links and images, each with its place in the file."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from scripts.labs import source
from scripts.site.problems import ContentError, Problem

FENCE = re.compile(r"^[ >]*(?P<mark>`{3,}|~{3,})[^`\n]*\n.*?^[ >]*(?P=mark)[ \t]*$", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"(?<!`)(`+)(?!`)(?:(?!\n\s*\n).)+?(?<!`)\1(?!`)", re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
DISPLAY_FORMULA = re.compile(r"(?<!\\)\$\$.+?\$\$", re.DOTALL)
INLINE_FORMULA = re.compile(r"(?<![\\$])\$(?=\S)(?:\\.|[^$\\])+?(?<=\S)\$", re.DOTALL)
HEADING = re.compile(
    r"^(?P<marks>#{1,6})[ \t]+(?P<text>.+?)[ \t]*(?:\{(?P<attributes>[^{}\n]*)\})?[ \t]*$", re.MULTILINE
)
HEADING_ID = re.compile(r"#(\S+)")
LINK = re.compile(r"(?<!!)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^()\s]+)(?:\s+\"[^\"]*\")?\)")
IMAGE = re.compile(r"!\[(?P<alt>[^\]]*)\]\((?P<target>[^()\s]+)(?:\s+\"[^\"]*\")?\)")

# A lab's page is its notebook, its text the Python file beside it.
LAB = ".ipynb"
LAB_SOURCES = "labs/[0-9][0-9]-*.py"
LAB_FIGURE = re.compile(r"^@figure\(.*?^def (\w+)\(", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Heading:
    """`id` is None where the heading has no explicit one."""

    level: int
    text: str
    id: str | None
    line: int


@dataclass(frozen=True)
class Reference:
    """A link or an image: `text` is the link's text or the image's alternative text; `start`, `end` are offsets."""

    text: str
    target: str
    line: int
    column: int
    start: int
    end: int


@dataclass(frozen=True)
class Note:
    """A Markdown file of the site, or a lab, whose file is seen as Markdown (scripts/labs/source.py).

    `uri` is its path inside docs/ (`tickets/01-backpropagation.md`), `path` its path in the repository, `text` the
    whole file. Offsets and lines always count from the start of the file, front matter included; `margin` is how many
    characters the file has before each line of the text.
    """

    uri: str
    path: str
    text: str
    front: dict[str, Any] = field(compare=False)
    margin: int = 0

    @property
    def id(self) -> str | None:
        """The programme id that the front matter claims."""
        return self.front.get("id")

    @property
    def is_lab(self) -> bool:
        return self.uri.endswith(LAB)

    @property
    def title(self) -> str:
        return next((heading.text for heading in self.headings if heading.level == 1), self.uri)

    @cached_property
    def without_code(self) -> str:
        """The text with front matter, code and comments blanked out; every other offset stays where it was."""
        text = re.sub(r"\A---\n.*?^---$", _blank, self.text, flags=re.MULTILINE | re.DOTALL)
        for pattern in (FENCE, COMMENT, INLINE_CODE):
            text = pattern.sub(_blank, text)
        return text

    @cached_property
    def prose(self) -> str:
        """The text with formulas blanked out as well."""
        return INLINE_FORMULA.sub(_blank, DISPLAY_FORMULA.sub(_blank, self.without_code))

    @cached_property
    def headings(self) -> list[Heading]:
        return [
            Heading(len(match["marks"]), match["text"], _explicit_id(match["attributes"]), self.line_of(match.start()))
            for match in HEADING.finditer(self.without_code)
        ]

    @cached_property
    def links(self) -> list[Reference]:
        return list(self._references(LINK, "text"))

    @cached_property
    def images(self) -> list[Reference]:
        return list(self._references(IMAGE, "alt"))

    @cached_property
    def figure_names(self) -> list[str]:
        """The figures that the cells of a lab draw, as their files are called."""
        return [name.replace("_", "-") for name in LAB_FIGURE.findall(self.text)] if self.is_lab else []

    def _references(self, pattern: re.Pattern[str], text: str) -> Iterator[Reference]:
        for match in pattern.finditer(self.without_code):
            line, column = self.position_of(match.start())
            yield Reference(match[text], match["target"], line, column, match.start(), match.end())

    def line_of(self, offset: int) -> int:
        return self.text.count("\n", 0, offset) + 1

    def position_of(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both from 1."""
        return self.line_of(offset), offset - self.text.rfind("\n", 0, offset) + self.margin

    def line_with(self, start: str) -> int:
        """The first line that begins with `start`, or 1."""
        lines = self.text.splitlines()
        return next((number for number, line in enumerate(lines, 1) if line.startswith(start)), 1)

    def problem(self, line: int, rule: str, message: str, column: int = 0) -> Problem:
        return Problem(self.path, line, column, rule, message)


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def _explicit_id(attributes: str | None) -> str | None:
    found = HEADING_ID.search(attributes or "")
    return found[1] if found else None


def parse_note(text: str, uri: str, docs: str = "docs") -> Note:
    """The note at `uri` with this text; raises ContentError where its front matter is broken."""
    path = f"{docs}/{uri}"
    return Note(uri, path, text, _front_matter(text, path))


def parse_lab(text: str, uri: str, docs: str = "docs") -> Note:
    """The lab whose Python file is at `uri` and has this text; raises ContentError where its front matter is broken."""
    path = f"{docs}/{uri}"
    markdown = source.as_markdown(text)
    front = _front_matter(markdown, path)
    return Note(uri.removesuffix(".py") + LAB, path, markdown, front, len(source.COMMENT))


def read_notes(docs: Path) -> dict[str, Note]:
    """All notes and labs below `docs` by uri; raises ContentError naming every broken front matter."""
    notes, problems = {}, []
    for parse, files in ((parse_note, docs.rglob("*.md")), (parse_lab, docs.glob(LAB_SOURCES))):
        for file in sorted(files):
            try:
                text = file.read_text(encoding="utf-8").replace("\r\n", "\n")
                note = parse(text, file.relative_to(docs).as_posix(), docs.name)
                notes[note.uri] = note
            except ContentError as error:
                problems += error.problems
    if problems:
        raise ContentError(problems)
    return notes


def _front_matter(text: str, path: str) -> dict[str, Any]:
    if not text.startswith("---\n"):
        return {}
    end = text.find("\n---\n", 3)
    if end < 0:
        raise ContentError([Problem(path, 1, 0, "P1", "the front matter is not closed: add a line with three dashes")])
    try:
        front = yaml.safe_load(text[4 : end + 1]) or {}
    except yaml.MarkedYAMLError as error:
        raise ContentError([_yaml_problem(error, path)]) from error
    if not isinstance(front, dict):
        raise ContentError([Problem(path, 2, 0, "P1", "the front matter has to be `key: value` lines")])
    return front


def _yaml_problem(error: yaml.MarkedYAMLError, path: str) -> Problem:
    mark = error.problem_mark
    line, column = (mark.line + 2, mark.column + 1) if mark else (1, 0)
    message = f"broken front matter: {error.problem}; put values with `:` or quotes in them into double quotes"
    return Problem(path, line, column, "P1", message)
