"""Sound clips on pages: each one made, fresh, told in words and used; played when the reader asks.

In a note a clip is a link that stands alone with its transcript in emphasis right under it; GitHub shows both. The
Markdown extension turns the pair into a `<figure>` with a player, which loads nothing before it is touched.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from markdown import Extension, Markdown
from markdown.treeprocessors import Treeprocessor

from scripts.clips import CLIPS
from scripts.site import made
from scripts.site.made import CAPTION, Target
from scripts.site.notes import Note, Reference
from scripts.site.problems import Problem
from scripts.site.urls import relative_url

SHORTEST_TRANSCRIPT = 30
# MkDocs makes the addresses of links and images but not those of players: they wait for `resolve_addresses`.
UNRESOLVED = "data-clip"
ADDRESS = re.compile(rf'{UNRESOLVED}="([^"]+)"')


def parse(target: str) -> Target | None:
    """The clip that a link's target names, or None for any other link."""
    return made.parse(target, CLIPS)


def check(notes: dict[str, Note], root: Path) -> list[Problem]:
    uses = [(note, link) for note in notes.values() for link in note.links if parse(link.target)]
    problems = [problem for note, link in uses for problem in _check_use(note, link)]
    return problems + made.check(uses, CLIPS, fresh_rule="F7", use_rule="F7", root=root)


def _check_use(note: Note, link: Reference) -> Iterator[Problem]:
    transcript = CAPTION.match(note.text, link.end)
    if note.text[: link.start].rsplit("\n", 1)[-1].strip() or not transcript:
        message = "a clip stands on a line of its own with its transcript, *in emphasis*, on the next"
        yield note.problem(link.line, "F7", message, link.column)
    elif len(transcript[0].strip(" \t\n*")) < SHORTEST_TRANSCRIPT:
        message = f"the transcript is shorter than {SHORTEST_TRANSCRIPT} characters: say what is to be heard"
        yield note.problem(link.line, "F7", message, link.column)


def used_files(notes: dict[str, Note], root: Path) -> dict[str, Path]:
    """Address below the site's root → file, for every clip that a note lets hear."""
    return made.addresses((link for note in notes.values() for link in note.links), CLIPS, root)


def resolve_addresses(html: str, base: str) -> str:
    """Give each player in the HTML of the page at the address `base` the address of its clip."""
    return ADDRESS.sub(lambda match: f'src="{relative_url(base, match[1])}"', html)


class ClipExtension(Extension):
    """Python-Markdown extension."""

    def extendMarkdown(self, md: Markdown) -> None:
        # After inline patterns (20), so that transcripts are parsed; before MkDocs resolves links (0).
        md.treeprocessors.register(_ClipProcessor(md), "clips", 5)


class _ClipProcessor(Treeprocessor):
    def run(self, root: Element) -> None:
        for paragraph in root.iter("p"):
            children = list(paragraph)
            if [child.tag for child in children] == ["a", "em"]:
                link, transcript = children
                if clip := parse(link.get("href", "")):
                    _build(paragraph, "".join(link.itertext()), transcript, clip)


def _build(paragraph: Element, name: str, transcript: Element, clip: Target) -> None:
    """Turn the paragraph of a link and its transcript into a `<figure>` with a player, in place."""
    tail = paragraph.tail
    paragraph.clear()
    paragraph.tag, paragraph.tail = "figure", tail
    paragraph.attrib = {"class": "clip", "id": f"clip-{clip.name}"}
    SubElement(paragraph, "div", {"class": "clip__name"}).text = name
    player = {"class": "clip__player", "controls": "controls", "preload": "none", "aria-label": name}
    SubElement(paragraph, "audio", player | {UNRESOLVED: clip.uri("mp3")})
    transcript.tag, transcript.tail = "figcaption", None
    paragraph.append(transcript)
