"""The notebook for Jupyter and Colab."""

import json
import re
import subprocess
import sys

import nbformat
import pytest

from scripts.labs import notebook, records
from scripts.labs.addresses import Addresses, read_addresses
from scripts.labs.records import Files
from tests.unit.sample_lab import OUTPUTS, ROOT, TEXT, repository

SITE = "https://site.example/notes"
URI = "labs/90-sample.ipynb"


@pytest.fixture
def files(tmp_path) -> Files:
    return repository(tmp_path)


def test_it_is_valid_and_always_the_same(files):
    text = files.notebook.read_text(encoding="utf-8")
    nbformat.validate(nbformat.reads(text, as_version=4))
    assert text == notebook.dumps(files.make_notebook(OUTPUTS))
    made = json.loads(text)
    assert [cell["id"] for cell in made["cells"]] == [f"cell-{number:03}" for number in range(len(made["cells"]))]
    assert not re.search(r"execution_count\": \d|\{#|\?\?\?|\]\(\.\.", text)


def test_solutions_are_folded(files):
    cells = [cell for cell in files.read_notebook()["cells"] if "solution" in cell["metadata"].get("tags", [])]
    assert [cell["cell_type"] for cell in cells] == ["markdown", "code", "code", "code"]
    assert "".join(cells[0]["source"]).startswith("<details>\n<summary>Решение</summary>\n\nПроизводная куба")
    assert cells[1]["source"][0] == "#@title Решение\n"
    assert cells[1]["metadata"]["cellView"] == "form" and cells[1]["metadata"]["jupyter"]["source_hidden"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("## Части {#parts}", "## Части"),
        ("[слово](../tickets/01-first.md#idea)", f"[слово]({SITE}/tickets/01-first/#idea)"),
        ("[слово](02-other.ipynb)", f"[слово]({SITE}/labs/02-other/)"),
        ("[список](index.md)", f"[список]({SITE}/labs/)"),
        ("[ниже](#sources)", f"[ниже]({SITE}/labs/90-sample/#sources)"),
        ("![Кривая](../../figures/tm-01/curve.svg)", f"![Кривая]({SITE}/figures/tm-01/curve.svg)"),
        ("[статья](https://arxiv.org/abs/1412.6980)", "[статья](https://arxiv.org/abs/1412.6980)"),
        ("`[не](ссылка.md)`", "`[не](ссылка.md)`"),
        (
            '??? question "Зачем?"\n    Затем.\n\n    И ещё.\n\n## Дальше',
            "<details>\n<summary>Зачем?</summary>\n\nЗатем.\n\nИ ещё.\n\n</details>\n\n## Дальше",
        ),
    ],
)
def test_markdown_of_the_site_becomes_that_of_jupyter(text, expected):
    assert notebook.for_jupyter(text, URI, SITE) == expected


def test_what_is_printed_in_pieces_becomes_one_output():
    pieces = [{"output_type": "stream", "name": "stdout", "text": text} for text in ("раз\n", "два", " три\n")]
    assert notebook.plain_outputs(pieces) == [pieces[0] | {"text": ["раз\n", "два три\n"]}]


def test_the_addresses_are_those_of_mkdocs_yml():
    found = read_addresses(ROOT)
    assert found.repository.startswith("https://") and found.site.startswith("https://")


def first_cell(repository: str) -> str:
    made = notebook.make([], URI, [], Addresses(repository, SITE))
    return "".join(made["cells"][0]["source"])


def run_first_cell(code: str, folder) -> str:
    probe = "\nfrom scripts.labs import kit\nprint(kit.__file__)"
    run = subprocess.run([sys.executable, "-I", "-c", code + probe], cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_the_first_cell_finds_the_repository_above():
    assert run_first_cell(first_cell("https://nowhere.example/a"), ROOT / "docs/labs") == str(
        ROOT / "scripts/labs/kit.py"
    )


def test_the_first_cell_fetches_the_repository_where_there_is_none(tmp_path):
    origin = tmp_path / "origin"
    for name, text in {"__init__.py": "", "labs/__init__.py": "", "labs/kit.py": ""}.items():
        (origin / "scripts" / name).parent.mkdir(parents=True, exist_ok=True)
        (origin / "scripts" / name).write_text(text)
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "--quiet"], ["add", "."], [*identity, "commit", "--quiet", "-m", "all"]):
        subprocess.run(["git", *command], cwd=origin, check=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run_first_cell(first_cell(origin.as_uri()), empty) == str(empty / "origin/scripts/labs/kit.py")


# What changes in the lab, what `make labs` will say.
CHANGES = {
    "code": (lambda lab: change(lab, "x**2", "x * x"), "the code that it runs has changed"),
    "text": (lambda lab: change(lab, "Теперь нарисуем.", "Нарисуем."), "the text has changed"),
    "notebook": (lambda lab: lab.notebook.write_text(lab.notebook.read_text() + "\n"), "changed by hand"),
    "no notebook": (lambda lab: lab.notebook.unlink(), "is missing"),
    "drawing": (lambda lab: next(lab.drawings.glob("*.svg")).write_text("<svg/>"), "the drawings in figures/lab-90"),
    "no drawing": (lambda lab: next(lab.drawings.glob("*.svg")).unlink(), "the drawings in figures/lab-90"),
    "no record": (lambda lab: records.write_manifest({}, lab.root), "never been executed"),
}


def change(lab: Files, old: str, new: str) -> None:
    lab.source.write_text(TEXT.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize("kind", CHANGES)
def test_a_changed_lab_is_stale(files, kind):
    assert records.why_stale(files) is None
    spoil, words = CHANGES[kind]
    spoil(files)
    assert words in records.why_stale(Files(files.source, files.root))


def test_changed_code_that_the_lab_imports_makes_it_stale(files):
    kit = files.root / "scripts/labs/kit.py"
    kit.parent.mkdir(parents=True)
    kit.write_text("")
    assert records.why_run(files) == "the code that it runs has changed"


def test_what_a_lab_left_behind_is_found(files):
    files.source.unlink()
    assert {path.name for path in records.orphans([], files.root)} == {
        "90-sample.ipynb",
        "parabola-and-slope.svg",
        "parabola-and-slope.dark.svg",
    }
