"""The order of a page's sections, and how much of each it has to have."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from scripts.site.notes import Heading, Note
from scripts.site.problems import Problem
from scripts.site.programme import THEORY_MINIMUM, TICKETS, is_question_page

ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")
# A line of a folded answer, and right under it one that has lost its indent and ends the block.
OUTDENTED = re.compile(r"^(?: {4}.*|\?\?\?.*)\n(?! {4}|\?\?\?)(?=[^\n])", re.MULTILINE)
FORMULA_OR_LINK = re.compile(r"\$|\]\(")
BLOCK = re.compile(r"^\?\?\?\+?[ \t]+(?P<kind>\w+)[ \t]+\"(?P<title>.+)\"[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class Anatomy:
    """What a page of one part consists of: sections in order (id → title), fewest follow-ups and cards."""

    opening: dict[str, str]
    closing: dict[str, str]
    follow_ups: int
    cards: int


ANATOMY = {
    TICKETS: Anatomy(
        {"answer": "Ответ за минуту", "plan": "План ответа"},
        {
            "mistakes": "Частые ошибки",
            "follow-ups": "Вопросы вдогонку",
            "cards": "Проверь себя",
            "sources": "Источники",
        },
        follow_ups=8,
        cards=10,
    ),
    THEORY_MINIMUM: Anatomy(
        {"answer": "Короткий ответ", "formulas": "Формулы"},
        {"mistakes": "Ловушки", "follow-ups": "Вопросы вдогонку", "cards": "Проверь себя", "sources": "Источники"},
        follow_ups=4,
        cards=5,
    ),
}


def check(notes: dict[str, Note]) -> list[Problem]:
    problems = []
    for note in notes.values():
        problems += _check_headings(note)
        if is_question_page(note.uri):
            anatomy = ANATOMY[note.uri.partition("/")[0]]
            sections = check_sections(note, anatomy.opening, anatomy.closing)
            problems += [*sections, *_check_blocks(note, anatomy), *check_indents(note)]
    return problems


def _check_headings(note: Note) -> Iterator[Problem]:
    titles = [heading for heading in note.headings if heading.level == 1]
    if len(titles) != 1:
        yield note.problem(titles[-1].line if titles else 1, "A1", f"a page has one title (`# …`), not {len(titles)}")
    lines: dict[str, int] = {}
    for heading in note.headings:
        yield from _check_heading(note, heading)
        if heading.id and (first := lines.setdefault(heading.id, heading.line)) != heading.line:
            message = f"the id `{heading.id}` already stands on line {first}: rename this one"
            yield note.problem(heading.line, "A4", message)


def _check_heading(note: Note, heading: Heading) -> Iterator[Problem]:
    if heading.id is None:
        if heading.level > 1:
            message = f"the heading «{heading.text}» has no id: add one in Latin letters, as in {{#chain-rule}}"
            yield note.problem(heading.line, "A3", message)
    elif not ID.match(heading.id):
        message = f"the id `{heading.id}` is not lower-case Latin words joined by hyphens: rename it"
        yield note.problem(heading.line, "A3", message)
    if FORMULA_OR_LINK.search(heading.text):
        yield note.problem(heading.line, "A5", "a heading holds neither formulas nor links: say it in words")


def check_sections(note: Note, opening: dict[str, str], closing: dict[str, str], rule: str = "A2") -> Iterator[Problem]:
    """The sections that a page has to have (id → title), in their order, whatever stands between the two groups."""
    sections = {heading.id: heading for heading in note.headings if heading.level == 2}
    fixed = opening | closing
    for id, title in fixed.items():
        if id not in sections:
            message = f"the section «{title}» is missing: add `## {title} {{#{id}}}`"
            yield note.problem(note.line_with("# "), rule, message)
        elif sections[id].text != title:
            message = f"the section {{#{id}}} is called «{title}»: rename the heading"
            yield note.problem(sections[id].line, rule, message)
    order = [id for id in sections if id in fixed]
    wanted = [id for id in fixed if id in sections]
    for id, expected in zip(order, wanted, strict=True):
        if id != expected:
            message = f"the section {{#{expected}}} has to come before {{#{id}}}: move it"
            yield note.problem(sections[id].line, rule, message)
            return


def _check_blocks(note: Note, anatomy: Anatomy) -> Iterator[Problem]:
    counts = Counter(match["kind"] for match in BLOCK.finditer(note.without_code))
    for kind, fewest, id in (("question", anatomy.follow_ups, "follow-ups"), ("card", anatomy.cards, "cards")):
        if counts[kind] < fewest:
            line = next((heading.line for heading in note.headings if heading.id == id), 1)
            message = f'{counts[kind]} blocks `??? {kind} "…"`, but a page has at least {fewest}: write more'
            yield note.problem(line, "A6", message)


def check_indents(note: Note) -> Iterator[Problem]:
    for block in BLOCK.finditer(note.text):
        answer = note.text[block.start() :].partition("\n???")[0].partition("\n#")[0]
        if broken := OUTDENTED.search(answer):
            line = note.line_of(block.start() + broken.end())
            yield note.problem(line, "A6", "the folded answer breaks off here: indent its lines by four spaces")
