"""Labs: their rules, and what the site knows of each.

A lab is one Python file (scripts/labs/source.py); `make labs` executes it and keeps notebook, drawings and a record
beside it (scripts/labs/records.py). Here they are only read and compared.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path

from scripts.labs import records, source
from scripts.labs.notebook import Outputs, outputs_of
from scripts.labs.records import MEGABYTES, SECONDS, Files
from scripts.labs.source import Cell
from scripts.site import anatomy, figures
from scripts.site.notes import Heading, Note
from scripts.site.problems import Problem
from scripts.site.programme import LONGEST_DESCRIPTION, Programme
from scripts.site.urls import is_external, page_url, resolve

# Key of the front matter → its type.
FRONT = {"lab": int, "questions": list, "minutes": int, "description": str}
OPENING = {"goal": "Что мы построим"}
CLOSING = {
    "observe": "Что наблюдать",
    "exercises": "Упражнения",
    "examiner": "Вопросы экзаменатора",
    "sources": "Источники",
}
EXERCISE = re.compile(r"Упражнение (\d+)\. \S")
FEWEST_EXERCISES = 3
FEWEST_QUESTIONS = 6
# Under this key of an output's metadata the kit says what the figure is (scripts/labs/kit.py).
FIGURE = "lab_figure"


@dataclass(frozen=True)
class Lab:
    """A lab whose files have been checked."""

    note: Note
    files: Files

    @property
    def number(self) -> int:
        return self.note.front["lab"]

    @property
    def label(self) -> str:
        return f"Лабораторная {self.number}"

    @property
    def url(self) -> str:
        return page_url(self.note.uri)

    @cached_property
    def seconds(self) -> float:
        return records.read_manifest(self.files.root)[self.files.name]["seconds"]

    @cached_property
    def outputs(self) -> dict[int, Outputs]:
        """The outputs of the code cells, by the cell's line."""
        return _outputs(self.files)

    def drawings(self) -> dict[str, Path]:
        """Address below the site's root → file."""
        root = self.files.root
        return {path.relative_to(root).as_posix(): path for path in self.files.drawings.glob("*.svg")}


def read(notes: dict[str, Note], root: Path) -> list[Lab]:
    """All labs by number; what `check` complains of may make this fail."""
    found = [Lab(notes[files.uri], files) for files in records.all_labs(root)]
    return sorted(found, key=lambda lab: lab.number)


def check(notes: dict[str, Note], programme: Programme, root: Path) -> list[Problem]:
    found = records.all_labs(root)
    problems = list(_check_orphans(found, root))
    for files in found:
        note = notes[files.uri]
        unreadable = [note.problem(line, "X2", message) for line, message in source.mistakes(files.text)]
        problems += [*unreadable, *_check_front(note, files, programme), *_check_text(note, files.cells)]
        if not unreadable:
            problems += _check_run(note, files)
    return problems


def _check_orphans(found: list[Files], root: Path) -> Iterator[Problem]:
    for path in records.orphans(found, root):
        yield Problem(path.relative_to(root).as_posix(), 0, 0, "X5", "its lab is gone: run `make labs`")
    for number, count in Counter(files.number for files in found).items():
        if count > 1:
            twice = [files for files in found if files.number == number][-1]
            yield Problem(twice.path, 0, 0, "X1", f"there is another lab {number}: give this file a free number")


def _check_front(note: Note, files: Files, programme: Programme) -> Iterator[Problem]:
    front = note.front
    for key in sorted(FRONT.keys() ^ front.keys()):
        state = "missing" if key in FRONT else "unknown"
        message = f"front matter key `{key}` is {state}: a lab has {', '.join(FRONT)}"
        yield note.problem(note.line_with(f"{key}:"), "X1", message)
    for key, kind in FRONT.items():
        if key in front and (not isinstance(front[key], kind) or not front[key]):
            yield note.problem(note.line_with(f"{key}:"), "X1", f"`{key}` has to be a {kind.__name__}, and not empty")
    if front.get("lab", files.number) != files.number:
        yield note.problem(note.line_with("lab:"), "X1", f"the file name says that this is lab {files.number}")
    if len(str(front.get("description", ""))) > LONGEST_DESCRIPTION:
        message = f"the description is longer than {LONGEST_DESCRIPTION} characters: shorten it"
        yield note.problem(note.line_with("description:"), "X1", message)
    yield from _check_questions(note, programme)


def _check_questions(note: Note, programme: Programme) -> Iterator[Problem]:
    linked = {resolve(note.uri, link.target)[0] for link in note.links if not is_external(link.target)}
    for id in note.front.get("questions") or []:
        question = programme.by_id.get(id)
        if question is None:
            yield note.problem(note.line_with("questions:"), "X1", f"`{id}`: the programme has no such question")
        elif question.uri not in linked:
            message = f"the text does not link {id}, which the lab illustrates: link ../{question.uri}"
            yield note.problem(note.line_with("questions:"), "X4", message)


def _check_text(note: Note, cells: list[Cell]) -> Iterator[Problem]:
    yield from anatomy.check_sections(note, OPENING, CLOSING, rule="X3")
    yield from anatomy.check_indents(note)
    exercises = list(_in_section(note, "exercises"))
    if len(exercises) < FEWEST_EXERCISES:
        message = f"{len(exercises)} exercises, but a lab has at least {FEWEST_EXERCISES}: write more"
        yield note.problem(_line_of_section(note, "exercises"), "X3", message)
    for number, exercise in enumerate(exercises, 1):
        yield from _check_exercise(note, exercise, number, cells)
    start = _line_of_section(note, "examiner")
    asked = sum(note.line_of(block.start()) > start for block in anatomy.BLOCK.finditer(note.without_code))
    if asked < FEWEST_QUESTIONS:
        message = f'{asked} blocks `??? question "…"`, but a lab has at least {FEWEST_QUESTIONS}: write more'
        yield note.problem(start, "X3", message)


def _check_exercise(note: Note, exercise: Heading, number: int, cells: list[Cell]) -> Iterator[Problem]:
    named = EXERCISE.match(exercise.text)
    if not named or int(named[1]) != number or exercise.id != f"exercise-{number}":
        message = f"an exercise is called `### Упражнение {number}. … {{#exercise-{number}}}`: rename it"
        yield note.problem(exercise.line, "X3", message)
    end = next((heading.line for heading in note.headings if heading.line > exercise.line), 10**9)
    if not any(cell.is_code and cell.is_solution and exercise.line < cell.line < end for cell in cells):
        message = 'the exercise has no solution that runs: add a cell `# %% tags=["solution"]`'
        yield note.problem(exercise.line, "X3", message)


def _line_of_section(note: Note, id: str) -> int:
    return next((heading.line for heading in note.headings if heading.id == id), 1)


def _in_section(note: Note, id: str) -> Iterator[Heading]:
    """The headings below that of the section."""
    start = _line_of_section(note, id)
    return takewhile(lambda heading: heading.level > 2, (h for h in note.headings if h.line > start))


def _check_run(note: Note, files: Files) -> Iterator[Problem]:
    if reason := records.why_stale(files):
        yield note.problem(1, "X5", f"stale lab: {reason}; run `make labs`")
        return
    record = records.read_manifest(files.root)[files.name]
    if record["seconds"] > SECONDS or record["megabytes"] > MEGABYTES:
        message = f"the lab takes {record['seconds']} s and {record['megabytes']} MB; at most {SECONDS} and {MEGABYTES}"
        yield note.problem(1, "X6", message)
    for line, outputs in _outputs(files).items():
        for output in outputs:
            yield from _check_output(note, line, output)


def _check_output(note: Note, line: int, output: dict) -> Iterator[Problem]:
    if output["output_type"] == "error":
        yield note.problem(line, "X5", f"the cell has failed ({output.get('ename')}): mend it and run `make labs`")
    elif output.get("name") == "stderr":
        yield note.problem(line, "X5", "the cell writes to stderr: silence the warning's cause and run `make labs`")
    if figure := output.get("metadata", {}).get(FIGURE):
        if len(figure["alt"]) < figures.SHORTEST_ALT:
            message = f"the alternative text is shorter than {figures.SHORTEST_ALT} characters: say what is to be seen"
            yield note.problem(line, "F2", message)
        if not figure["caption"].strip():
            yield note.problem(line, "F3", "the figure has no caption: give `@figure` one")


def _outputs(files: Files) -> dict[int, Outputs]:
    lines = (cell.line for cell in files.cells if cell.is_code)
    return dict(zip(lines, outputs_of(files.read_notebook()), strict=True))
