"""Figures on pages: each one drawn, fresh, described and used; shown in the reader's theme.

In a note a figure is an image and, right under it, its caption in emphasis, which GitHub shows as it is. The Markdown
extension below turns the pair into a `<figure>` with the light and the dark drawing, of which the browser loads the one
it shows.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from markdown import Extension, Markdown
from markdown.treeprocessors import Treeprocessor

from scripts.figures import freshness
from scripts.figures.freshness import Declared
from scripts.site.notes import Note, Reference
from scripts.site.problems import Problem

TARGET = re.compile(r"(?P<up>(?:\.\./)+)figures/(?P<page>[\w-]+)/(?P<name>[\w-]+)\.svg\Z")
SIZE = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
CAPTION = re.compile(r"\n[ \t]*\*(?=\S).+?\*[ \t]*(?=\n[ \t]*\n|\n?\Z)", re.DOTALL)
SHORTEST_ALT = 30
PIXELS_PER_POINT = 96 / 72


@dataclass(frozen=True)
class Drawing:
    """A figure as a note names it."""

    page: str
    name: str

    @property
    def anchor(self) -> str:
        return f"fig-{self.name}"

    def uri(self, theme: str) -> str:
        """Where the drawing stands in the built site."""
        return f"figures/{self.page}/{self.name}{freshness.THEME_SUFFIXES[theme]}"


def parse(target: str) -> Drawing | None:
    """The figure that an image's target names, or None for any other image."""
    match = TARGET.match(target)
    return Drawing(match["page"], match["name"]) if match else None


def check(notes: dict[str, Note], root: Path) -> list[Problem]:
    declared = {(figure.page, figure.name): figure for figure in freshness.declared_figures(root)}
    problems, used = [], set()
    for note in notes.values():
        for image in note.images:
            if drawing := parse(image.target):
                used.add((drawing.page, drawing.name))
                figure = declared.get((drawing.page, drawing.name))
                problems += [*_check_use(note, image), *_check_drawing(note, image, figure, root)]
    unused = (figure for key, figure in declared.items() if key not in used)
    return problems + [_unused(figure) for figure in unused] + list(_orphans(declared, root))


def _check_use(note: Note, image: Reference) -> Iterator[Problem]:
    if len(image.text) < SHORTEST_ALT:
        message = f"the alternative text is shorter than {SHORTEST_ALT} characters: say what is to be seen"
        yield note.problem(image.line, "F2", message, image.column)
    if not CAPTION.match(note.text, image.end):
        message = "the figure has no caption: write it on the next line, *in emphasis*"
        yield note.problem(image.line, "F3", message, image.column)


def _check_drawing(note: Note, image: Reference, figure: Declared | None, root: Path) -> Iterator[Problem]:
    if figure is None:
        message = f"missing figure: no function of scripts/figures draws {image.target.lstrip('./')}"
        yield note.problem(image.line, "F1", message, image.column)
    elif reason := freshness.why_stale(figure, root):
        message = f"stale figure {figure.page}/{figure.name}: {reason}; run `make figures`"
        yield note.problem(image.line, "F1", message, image.column)


def _unused(figure: Declared) -> Problem:
    message = f"no page shows the figure {figure.page}/{figure.name}: use it or delete the function"
    return Problem(figure.module.as_posix(), figure.line, 0, "F4", message)


def _orphans(declared: dict[tuple[str, str], Declared], root: Path) -> Iterator[Problem]:
    kept = {figure.drawing(root, theme) for figure in declared.values() for theme in freshness.THEME_SUFFIXES}
    for path in sorted((root / freshness.DRAWINGS).glob("*/*.svg")):
        if path not in kept:
            yield Problem(path.relative_to(root).as_posix(), 0, 0, "F4", "no function draws this: run `make figures`")


def used_files(notes: dict[str, Note], root: Path) -> dict[str, Path]:
    """Address below the site's root → file, for every drawing that a note shows."""
    drawings = {parse(image.target) for note in notes.values() for image in note.images} - {None}
    return {d.uri(theme): root / d.uri(theme) for d in drawings for theme in freshness.THEME_SUFFIXES}


class FigureExtension(Extension):
    """Python-Markdown extension; `root` is the repository, where the drawings stand."""

    def __init__(self, root: Path):
        super().__init__()
        self.root = root

    def extendMarkdown(self, md: Markdown) -> None:
        # After inline patterns (20), so that captions are parsed; before MkDocs resolves links (0).
        md.treeprocessors.register(_FigureProcessor(md, self.root), "figures", 5)


class _FigureProcessor(Treeprocessor):
    def __init__(self, md: Markdown, root: Path):
        super().__init__(md)
        self.root = root

    def run(self, root: Element) -> None:
        for paragraph in root.iter("p"):
            children = list(paragraph)
            if [child.tag for child in children] == ["img", "em"]:
                image, caption = children
                if drawing := parse(image.get("src", "")):
                    _build(paragraph, image, caption, drawing, self.root)


def _build(paragraph: Element, image: Element, caption: Element, drawing: Drawing, root: Path) -> None:
    """Turn the paragraph of an image and its caption into a `<figure>`, in place."""
    up = TARGET.match(image.get("src"))["up"].removeprefix("../")
    width, height = _size(root / drawing.uri("light"))
    tail = paragraph.tail
    paragraph.clear()
    paragraph.tag, paragraph.tail = "figure", tail
    paragraph.attrib = {"class": "figure", "id": drawing.anchor}
    link = SubElement(paragraph, "a", {"class": "figure__link", "href": up + drawing.uri("light")})
    for theme in freshness.THEME_SUFFIXES:
        attributes = {
            "class": f"figure__image figure__image--{theme}",
            "src": up + drawing.uri(theme),
            "alt": image.get("alt"),
            "width": width,
            "height": height,
            "loading": "lazy",
        }
        SubElement(link, "img", attributes)
    caption.tag, caption.tail = "figcaption", None
    paragraph.append(caption)


def _size(drawing: Path) -> tuple[str, str]:
    """Width and height in CSS pixels, so that the page does not move when the drawing arrives."""
    with drawing.open(encoding="utf-8") as file:
        width, height = SIZE.search(file.read(2000)).groups()
    return tuple(str(round(float(points) * PIXELS_PER_POINT)) for points in (width, height))
