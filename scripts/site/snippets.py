"""Code on pages comes from files that tests run: `--8<-- "scripts/dl/mlp.py:backward"` names a file and a section."""

import re
from pathlib import Path

from scripts.site.notes import Note
from scripts.site.problems import Problem

SNIPPET = re.compile(r'^[ \t]*-+8<-+[ \t]+"(?P<path>[^":]+)(?::(?P<section>[\w-]+))?"', re.MULTILINE)


def check(notes: dict[str, Note], root: Path) -> list[Problem]:
    return [
        note.problem(note.line_of(match.start()), "C1", message)
        for note in notes.values()
        for match in SNIPPET.finditer(note.text)
        if (message := _mistake(match, root))
    ]


def _mistake(match: re.Match[str], root: Path) -> str | None:
    file = root / match["path"]
    if not file.is_file():
        return f"there is no {match['path']} to take code from: correct the path (from the repository's root)"
    marks = [f"--8<-- [{edge}:{match['section']}]" for edge in ("start", "end")]
    if match["section"] and not all(mark in file.read_text(encoding="utf-8") for mark in marks):
        return f"{match['path']} has no section `{match['section']}`: mark it with {' … '.join(marks)}"
    return None
