"""The exam programme and the promise that every question has its page.

`data/program.yml` is the examiners' list, word for word. Everything that lists questions is made from it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from scripts.site.notes import Note
from scripts.site.problems import ContentError, Problem

PROGRAMME = Path("data/program.yml")
TICKETS = "tickets"
THEORY_MINIMUM = "theory-minimum"
LABELS = {TICKETS: "Билет", THEORY_MINIMUM: "Вопрос"}
FRONT_KEYS = {"id", "question", "needs", "description"}
LONGEST_DESCRIPTION = 160


@dataclass(frozen=True)
class Question:
    """A question of the programme. `part` is TICKETS or THEORY_MINIMUM, `clauses` maps section ids to wordings."""

    id: str
    part: str
    slug: str
    wording: str
    clauses: dict[str, str]

    @property
    def number(self) -> int:
        return int(self.id.rpartition("-")[2])

    @property
    def label(self) -> str:
        """«Билет 1», «Вопрос 2»."""
        return f"{LABELS[self.part]} {self.number}"

    @property
    def uri(self) -> str:
        """Path of the page's note inside docs/."""
        return f"{self.part}/{self.slug}.md"

    @property
    def url(self) -> str:
        """Address of the page below the site's root."""
        return f"{self.part}/{self.slug}/"


@dataclass(frozen=True)
class Programme:
    questions: tuple[Question, ...]

    @cached_property
    def by_id(self) -> dict[str, Question]:
        return {question.id: question for question in self.questions}

    @cached_property
    def by_uri(self) -> dict[str, Question]:
        return {question.uri: question for question in self.questions}

    def part(self, part: str) -> Iterator[Question]:
        return (question for question in self.questions if question.part == part)


def load(root: Path) -> Programme:
    """Read the programme; raises ContentError for a duplicate id or address."""
    data = yaml.safe_load((root / PROGRAMME).read_text(encoding="utf-8"))
    questions = tuple(
        Question(entry["id"], part, entry["slug"], entry["question"], entry["clauses"])
        for part in (TICKETS, THEORY_MINIMUM)
        for entry in data[part]
    )
    problems = [
        *_duplicates(question.id for question in questions),
        *_duplicates(question.uri for question in questions),
    ]
    if problems:
        raise ContentError(problems)
    return Programme(questions)


def _duplicates(values: Iterable[str]) -> list[Problem]:
    repeated = [value for value, count in Counter(values).items() if count > 1]
    return [Problem(PROGRAMME.as_posix(), 0, 0, "P2", f"`{value}` stands twice: remove one") for value in repeated]


def check(programme: Programme, notes: dict[str, Note]) -> list[Problem]:
    """Every question has its page, every page its question, with the exact wording and all clauses."""
    problems = [_missing(question) for question in programme.questions if question.uri not in notes]
    for note in notes.values():
        if is_question_page(note.uri):
            problems += _check_page(note, programme)
    return problems


def is_question_page(uri: str) -> bool:
    return uri.startswith((f"{TICKETS}/", f"{THEORY_MINIMUM}/")) and not uri.endswith("/index.md")


def _missing(question: Question) -> Problem:
    return Problem(f"docs/{question.uri}", 0, 0, "P3", f"{question.id} has no page: write this file")


def _check_page(note: Note, programme: Programme) -> list[Problem]:
    question = programme.by_uri.get(note.uri)
    if question is None:
        message = f"no question of {PROGRAMME.as_posix()} has the slug `{Path(note.uri).stem}`: rename the file"
        return [note.problem(0, "P2", message)]
    return [
        *_check_identity(note, question),
        *_check_front_keys(note, programme),
        *_check_clauses(note, question),
    ]


def _check_identity(note: Note, question: Question) -> Iterator[Problem]:
    if note.id != question.id:
        message = f"`id: {note.id}` is wrong here: the programme gives this page the id `{question.id}`"
        yield note.problem(note.line_with("id:"), "P2", message)
    if note.front.get("question") != question.wording:
        message = f"`question:` has to be the examiners' wording to the letter: «{question.wording}»"
        yield note.problem(note.line_with("question:"), "P4", message)


def _check_front_keys(note: Note, programme: Programme) -> Iterator[Problem]:
    for key in sorted(FRONT_KEYS ^ set(note.front)):
        state = "missing" if key in FRONT_KEYS else "unknown"
        wanted = ", ".join(sorted(FRONT_KEYS))
        yield note.problem(note.line_with(f"{key}:"), "P1", f"front matter key `{key}` is {state}: a page has {wanted}")
    for id in note.front.get("needs") or []:
        if id not in programme.by_id:
            yield note.problem(note.line_with("needs:"), "P2", f"`needs: {id}`: the programme has no such question")
    if len(str(note.front.get("description", ""))) > LONGEST_DESCRIPTION:
        message = f"the description is longer than {LONGEST_DESCRIPTION} characters: shorten it"
        yield note.problem(note.line_with("description:"), "P1", message)


def _check_clauses(note: Note, question: Question) -> Iterator[Problem]:
    ids = {heading.id for heading in note.headings}
    for id, wording in question.clauses.items():
        if id not in ids:
            yield note.problem(
                note.line_with("# "), "P5", f"no section answers «{wording}»: give the one that does the id {{#{id}}}"
            )
