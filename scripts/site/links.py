"""Links between notes: every one leads somewhere, and each page knows who leads to it."""

import difflib
import html
from collections.abc import Iterator
from pathlib import Path

from scripts.site import clips, figures, urls
from scripts.site.notes import Note, Reference
from scripts.site.problems import Problem
from scripts.site.programme import Programme, is_question_page
from scripts.site.urls import is_external, page_url, relative_url


def resolve(note: Note, target: str) -> tuple[str, str]:
    """The uri inside docs/ and the anchor that a relative `target` on `note` means; both may be empty."""
    return urls.resolve(note.uri, target)


def check(notes: dict[str, Note], programme: Programme, docs: Path) -> list[Problem]:
    anchors = {uri: _anchors(note) for uri, note in notes.items()}
    return [
        problem
        for note in notes.values()
        for link in note.links
        if not is_external(link.target) and not clips.parse(link.target)
        for problem in _check_link(note, link, anchors, programme, docs)
    ]


def check_islands(notes: dict[str, Note]) -> Iterator[Problem]:
    """Question pages to which, or from which, no other question page leads."""
    leads_to = {uri: outgoing(note, notes) for uri, note in notes.items() if is_question_page(uri)}
    reached = {note.uri for targets in leads_to.values() for note in targets}
    for uri, targets in leads_to.items():
        if not targets:
            yield notes[uri].problem(1, "L5", "the page leads to no other question: link what it builds on")
        if uri not in reached:
            yield notes[uri].problem(1, "L5", "no other question leads to this page: link it where its subject is used")


def _anchors(note: Note) -> set[str]:
    drawings = (figures.parse(image.target) for image in note.images)
    made_by_cells = {figures.anchor_of(name) for name in note.figure_names}
    headings = {heading.id for heading in note.headings if heading.id}
    return headings | {figures.anchor(drawing) for drawing in drawings if drawing} | made_by_cells


def _check_link(
    note: Note, link: Reference, anchors: dict[str, set[str]], programme: Programme, docs: Path
) -> Iterator[Problem]:
    uri, anchor = resolve(note, link.target)
    if link.target.startswith("/"):
        message = f"the link `{link.target}` is absolute and breaks below a subpath: make it relative"
        yield note.problem(link.line, "L1", message, link.column)
    elif uri in anchors:
        if anchor and anchor not in anchors[uri]:
            message = f"dead anchor: {uri} has no `#{anchor}`" + _nearest(anchor, anchors[uri])
            yield note.problem(link.line, "L2", message, link.column)
    elif not (docs / uri).is_file():
        message = f"dead link: there is no {uri} in docs/" + _nearest(uri, [*anchors, *programme.by_uri])
        yield note.problem(link.line, "L1", message, link.column)


def _nearest(name: str, names: object) -> str:
    close = difflib.get_close_matches(name, sorted(names), n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def without_heading_previews(page: str) -> str:
    """Take the hover preview off the ¶ of each heading, which would show the section it stands in."""
    return page.replace('class="headerlink" data-preview=""', 'class="headerlink"')


def outgoing(note: Note, notes: dict[str, Note]) -> list[Note]:
    """The question pages that `note` links to, each once, in the order of the first link."""
    uris = dict.fromkeys(resolve(note, link.target)[0] for link in note.links if not is_external(link.target))
    return [notes[uri] for uri in uris if uri in notes and uri != note.uri and is_question_page(uri)]


def incoming(note: Note, notes: dict[str, Note]) -> list[Note]:
    """The question pages that link to `note`."""
    return [other for uri, other in notes.items() if is_question_page(uri) and note in outgoing(other, notes)]


def practised(note: Note, notes: dict[str, Note]) -> list[Note]:
    """The labs that say they illustrate the question of `note`."""
    return [lab for lab in notes.values() if lab.is_lab and note.id in (lab.front.get("questions") or [])]


def related_html(note: Note, notes: dict[str, Note], programme: Programme) -> str:
    """The foot of a question page or a lab: where it leads, who leads here, what there is to try."""
    sections = [
        _section("Связанные вопросы", outgoing(note, notes), note, programme),
        _section("Где это используется", incoming(note, notes), note, programme),
        _section("Лабораторные", practised(note, notes) if note.id else [], note, programme),
    ]
    if not any(sections):
        return ""
    # Kept out of the search index: these titles belong to other pages.
    return f'<nav class="related" aria-label="Связи страницы" data-search-exclude>{"".join(sections)}</nav>'


def _section(title: str, targets: list[Note], note: Note, programme: Programme) -> str:
    if not targets:
        return ""
    items = "".join(f"<li>{link(target, note, programme)}</li>" for target in targets)
    return f'<section><h2 class="related__title">{title}</h2><ul>{items}</ul></section>'


def link(target: Note, note: Note, programme: Programme) -> str:
    """«Билет 1. Обратное распространение ошибки»: a link with a preview from `note` to a question page or a lab."""
    href = relative_url(page_url(note.uri), page_url(target.uri))
    return f'<a href="{href}" data-preview>{label(target, programme)}. {html.escape(target.title)}</a>'


def label(note: Note, programme: Programme) -> str:
    return f"Лабораторная {note.front['lab']}" if note.is_lab else programme.by_uri[note.uri].label
