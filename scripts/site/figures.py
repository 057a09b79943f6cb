"""Figures on pages: each one drawn, fresh, described and used; shown in the reader's theme.

In a note a figure is an image and, right under it, its caption in emphasis, which GitHub shows as it is. The Markdown
extension below turns the pair into a `<figure>` with the light and the dark drawing, of which the browser loads the one
it shows.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from markdown import Extension, Markdown
from markdown.treeprocessors import Treeprocessor

from scripts.figures import FIGURES
from scripts.site import made
from scripts.site.made import CAPTION, Target
from scripts.site.notes import Note, Reference
from scripts.site.problems import Problem

SIZE = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
SHORTEST_ALT = 30
PIXELS_PER_POINT = 96 / 72


def parse(target: str) -> Target | None:
    """The figure that an image's target names, or None for any other image."""
    return made.parse(target, FIGURES)


def anchor(drawing: Target) -> str:
    return anchor_of(drawing.name)


def anchor_of(name: str) -> str:
    return f"fig-{name}"


def check(notes: dict[str, Note], root: Path) -> list[Problem]:
    uses = [(note, image) for note in notes.values() for image in note.images if parse(image.target)]
    problems = [problem for note, image in uses for problem in _check_use(note, image)]
    return problems + made.check(uses, FIGURES, fresh_rule="F1", use_rule="F4", root=root)


def _check_use(note: Note, image: Reference) -> Iterator[Problem]:
    if len(image.text) < SHORTEST_ALT:
        message = f"the alternative text is shorter than {SHORTEST_ALT} characters: say what is to be seen"
        yield note.problem(image.line, "F2", message, image.column)
    if not CAPTION.match(note.text, image.end):
        message = "the figure has no caption: write it on the next line, *in emphasis*"
        yield note.problem(image.line, "F3", message, image.column)


def used_files(notes: dict[str, Note], root: Path) -> dict[str, Path]:
    """Address below the site's root → file, for every drawing that a note shows."""
    return made.addresses((image for note in notes.values() for image in note.images), FIGURES, root)


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


def _build(paragraph: Element, image: Element, caption: Element, drawing: Target, root: Path) -> None:
    """Turn the paragraph of an image and its caption into a `<figure>`, in place."""
    up = drawing.up.removeprefix("../")  # from docs/ as the root, for MkDocs makes the addresses of links and images
    width, height = _size(root / drawing.uri("light"))
    tail = paragraph.tail
    paragraph.clear()
    paragraph.tag, paragraph.tail = "figure", tail
    paragraph.attrib = {"class": "figure", "id": anchor(drawing)}
    link = SubElement(paragraph, "a", {"class": "figure__link", "href": up + drawing.uri("light")})
    for theme in FIGURES.suffixes:
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
