"""The notebook that a lab becomes for Jupyter and Colab, with the outputs of its execution.

Jupyter does not know the site's Markdown: ids of headings are dropped, links lead to the site, folded blocks become
`<details>`. The same text and outputs always give the same file, so that a changed text is seen and can be written anew
without running anything.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from scripts.labs.addresses import Addresses
from scripts.labs.source import Cell
from scripts.site.notes import HEADING, Note
from scripts.site.urls import is_external, site_url

Notebook = dict[str, Any]
Outputs = list[dict[str, Any]]

SOLUTION = "Решение"
BLOCK = re.compile(r'^\?\?\?\+? \w+ "(?P<title>.+)"\n(?P<body>(?:(?: {4}.*|[ \t]*)(?:\n|\Z))+)', re.MULTILINE)
# It finds the repository beside the notebook or, where there is none, fetches it.
FIRST_CELL = """\
# Эта ячейка подключает код конспекта: находит его рядом с ноутбуком, а если его нет (в Colab) – скачивает.
import subprocess
import sys
from pathlib import Path

REPOSITORY = "{repository}"
FOLDER = Path.cwd() / "{folder}"

places = [*map(Path, sys.path), Path.cwd(), *Path.cwd().parents, FOLDER]
root = next((place for place in places if (place / "scripts/labs/kit.py").is_file()), None)
if root is None:
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", REPOSITORY, str(FOLDER)], check=True)
    root = FOLDER
sys.path.insert(0, str(root.resolve()))"""


def make(cells: list[Cell], uri: str, outputs: Iterable[Outputs], addresses: Addresses) -> Notebook:
    """The notebook of the lab at `uri` (inside docs/); `outputs` are those of its code cells, in order."""
    remaining = iter(outputs)
    folder = addresses.repository.rpartition("/")[2]
    first = _code(FIRST_CELL.format(repository=addresses.repository, folder=folder), [], {})
    made = [first]
    for cell in cells:
        made.append(_code_cell(cell, next(remaining, [])) if cell.is_code else _text_cell(cell, uri, addresses.site))
    return {
        "cells": [{"id": f"cell-{number:03}"} | cell for number, cell in enumerate(made)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def dumps(notebook: Notebook) -> str:
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def outputs_of(notebook: Notebook) -> list[Outputs]:
    """The outputs of the lab's code cells: all but those of the first cell, which is not the lab's."""
    return [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"][1:]


def plain_outputs(outputs: Iterable[dict[str, Any]]) -> Outputs:
    """What an execution gave, without counts; what was printed in pieces is one piece."""
    kept: Outputs = []
    for output in outputs:
        output = {key: value for key, value in output.items() if key not in ("execution_count", "transient")}
        if output["output_type"] == "execute_result":
            output["output_type"] = "display_data"
        if output["output_type"] == "stream":
            if kept and kept[-1].get("name") == output["name"]:
                output["text"] = "".join(kept.pop()["text"]) + output["text"]
            output["text"] = _lines(output["text"])
        kept.append(output)
    return kept


def _code_cell(cell: Cell, outputs: Outputs) -> Notebook:
    if not cell.is_solution:
        return _code(cell.text, outputs, {})
    # Colab folds a form, Jupyter a hidden source.
    folded = {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["solution"]}
    return _code(f"#@title {SOLUTION}\n{cell.text}", outputs, folded)


def _code(source: str, outputs: Outputs, metadata: dict) -> Notebook:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": metadata,
        "outputs": outputs,
        "source": _lines(source),
    }


def _text_cell(cell: Cell, uri: str, site: str) -> Notebook:
    text = for_jupyter(cell.text, uri, site)
    if cell.is_solution:
        text = _details(SOLUTION, text)
    metadata = {"tags": ["solution"]} if cell.is_solution else {}
    return {"cell_type": "markdown", "metadata": metadata, "source": _lines(text)}


def for_jupyter(text: str, uri: str, site: str) -> str:
    """Markdown of the site as Markdown of Jupyter."""
    note = Note(uri, uri, text, {})
    for start, end, new in sorted([*_plain_headings(note), *_absolute_links(note, site)], reverse=True):
        text = text[:start] + new + text[end:]
    return BLOCK.sub(lambda block: _details(block["title"], _dedented(block["body"])) + "\n\n", text).rstrip("\n")


def _plain_headings(note: Note) -> Iterator[tuple[int, int, str]]:
    for heading in HEADING.finditer(note.without_code):
        yield heading.start(), heading.end(), f"{heading['marks']} {heading['text']}"


def _absolute_links(note: Note, site: str) -> Iterator[tuple[int, int, str]]:
    for reference in [*note.links, *note.images]:
        if not is_external(reference.target):
            start = note.text.index(f"({reference.target}", reference.start) + 1
            yield start, start + len(reference.target), f"{site}/{site_url(note.uri, reference.target)}"


def _dedented(body: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in body.splitlines()).strip("\n")


def _details(title: str, text: str) -> str:
    """Jupyter reads Markdown inside HTML where blank lines part them."""
    return f"<details>\n<summary>{title}</summary>\n\n{text}\n\n</details>"


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)
