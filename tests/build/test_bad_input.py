"""Bad input ends the build with a message that names file and line, and the last good site stays as it was."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit import sample_lab

ROOT = Path(__file__).parents[2]
PARTS = ("mkdocs.yml", "clips", "data", "docs", "figures", "overrides", "scripts", "search", "vendor")
PAGE = "docs/theory-minimum/01-backpropagation.md"
OPENING = "## Короткий ответ {#answer}\n"


@pytest.fixture
def project(tmp_path):
    """A copy of the project with a last good site in it."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy(source, tmp_path)
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("the last good site")
    return tmp_path


def build(project: Path, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mkdocs", "build", *options]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)


def edit(project: Path, file: str, old: str, new: str) -> int:
    """Replace `old`, which has to be there, once; return the line where it stood."""
    path = project / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def line_of(project: Path, text: str) -> int:
    return edit(project, PAGE, text, text)


def insert(project: Path, text: str) -> int:
    """Put a paragraph after the heading of the short answer; return its line."""
    return edit(project, PAGE, OPENING, f"{OPENING}\n{text}\n") + 2


def first_figure(project: Path) -> tuple[str, str]:
    """The page and the name of the first figure of PAGE."""
    return re.search(r"\.\./figures/([\w-]+)/([\w-]+)\.svg", (project / PAGE).read_text(encoding="utf-8")).groups()


def missing_figure(project):
    return edit(project, PAGE, "{}/{}.svg".format(*first_figure(project)), "tm-01/nowhere.svg")


def stale_figure(project):
    page, name = first_figure(project)
    module = project / f"scripts/figures/{page.replace('-', '_')}.py"
    module.write_text(module.read_text(encoding="utf-8") + "\nCHANGED = True\n", encoding="utf-8")
    return line_of(project, f"{page}/{name}.svg")


def unbalanced_brace(project):
    return insert(project, "$$\n\\frac{1}{2\n$$\n") + 1


def missing_code(project):
    return insert(project, '```python\n--8<-- "scripts/dl/none.py:x"\n```') + 1


def missing_clause(project):
    edit(project, PAGE, "{#idea}", "{#thought}")
    return line_of(project, "\n# ") + 1


def duplicate_id(project):
    insert(project, "## Ещё {#mistakes}")
    return line_of(project, "## Ловушки {#mistakes}")


# What spoils the project and returns the line (0: any), what the message says.
CASES = {
    "unknown command": (lambda p: insert(p, r"Тут $a+\foo$."), r"bad formula `a\+\\foo`: Undefined control sequence"),
    "unbalanced brace": (unbalanced_brace, r"bad formula `\\frac\{1\}\{2`"),
    "unclosed formula": (lambda p: insert(p, "Тут $a+b и всё."), "left-over formula delimiter"),
    "missing figure": (missing_figure, "missing figure"),
    "stale figure": (stale_figure, "stale figure .*make figures"),
    "dead link": (lambda p: insert(p, "[туда](03-nowhere.md)"), "dead link"),
    "dead anchor": (lambda p: insert(p, "[туда](#nowhere)"), "dead anchor"),
    "wrong id": (lambda p: edit(p, PAGE, "id: tm-01", "id: tm-09"), "gives this page the id `tm-01`"),
    "changed wording": (lambda p: edit(p, PAGE, "Приведите формулы.", "Формулы."), "examiners' wording"),
    "missing clause": (missing_clause, "no section answers «идея алгоритма»"),
    "duplicate id": (duplicate_id, "already stands on line"),
    "broken front matter": (lambda p: edit(p, PAGE, "id: tm-01", 'id: "tm-01') and 0, "broken front matter"),
    "missing code": (missing_code, "there is no scripts/dl/none.py"),
    "unknown list": (lambda p: insert(p, "<!-- plan: year -->"), "unknown plan"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_stops_the_build_and_leaves_the_last_site(project, case):
    spoil, words = CASES[case]
    line = spoil(project)
    result = build(project)
    assert result.returncode != 0
    assert re.search(f"{re.escape(PAGE)}:{line or '[0-9]+'}:.*{words}", result.stderr), result.stderr
    assert "Traceback" not in result.stderr
    assert (project / "site/index.html").read_text() == "the last good site"


def test_several_mistakes_are_reported_at_once(project):
    insert(project, r"Тут $\foo$.")
    insert(project, r"И тут $\bar$.")
    assert build(project).stderr.count("bad formula") == 2


def test_a_question_without_a_page_stops_the_build(project):
    (project / "docs/theory-minimum/28-gnn.md").unlink()
    result = build(project)
    assert result.returncode != 0 and "docs/theory-minimum/28-gnn.md: tm-28 has no page" in result.stderr


def test_a_strict_build_with_a_warning_leaves_the_last_site(project):
    insert(project, '<a href="nowhere.md">в обход проверок</a> ![снимок](nowhere.png)')
    result = build(project, "--strict")
    assert result.returncode != 0 and "nowhere.png" in result.stderr
    assert (project / "site/index.html").read_text() == "the last good site"


def test_a_good_build_replaces_the_last_site(project):
    result = build(project, "--strict")
    assert result.returncode == 0, result.stderr
    assert "the last good site" not in (project / "site/index.html").read_text(encoding="utf-8")
    assert not [path.name for path in project.iterdir() if path.name.startswith(".site")]


def test_a_stale_search_engine_stops_the_build(project):
    edit(project, "search/src/text.js", "const SHORTEST_SKELETON = 3", "const SHORTEST_SKELETON = 2")
    result = build(project)
    assert result.returncode != 0 and "search/search.min.js: the search engine is not what" in result.stderr
    assert "make engine" in result.stderr


def test_another_search_worker_of_the_theme_stops_the_build(project):
    edit(project, "scripts/site/engine.py", "search.a7633da7.min.js", "search.00000000.min.js")
    result = build(project)
    assert result.returncode != 0 and "its search may speak another protocol" in result.stderr
    assert "Traceback" not in result.stderr and (project / "site/index.html").read_text() == "the last good site"


def test_a_stale_lab_stops_the_build(project):
    sample_lab.repository(project)
    edit(project, "docs/labs/90-sample.py", "return x**2", "return x * x")
    result = build(project)
    told = [line for line in result.stderr.splitlines() if "docs/labs/90-sample" in line]
    assert told == ["docs/labs/90-sample.py:1: stale lab: the code that it runs has changed; run `make labs` [X5]"], (
        result.stderr
    )
    assert result.returncode != 0 and (project / "site/index.html").read_text() == "the last good site"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (r"шаг $\foo$", r"bad formula `\\foo`"),
        ("[шаг](../tickets/01-backpropagation.md#nowhere)", "dead anchor"),
        ("шаг $h и всё", "left-over formula delimiter"),
    ],
)
def test_a_mistake_in_the_text_of_a_lab_is_told_with_its_line(project, bad, words):
    text = sample_lab.TEXT.replace("Теперь нарисуем.", f"Вот {bad}.")
    sample_lab.repository(project, text)
    line = text[: text.index("Вот ")].count("\n") + 1
    result = build(project)
    assert result.returncode != 0
    # After «# Вот » and, in a formula, after what KaTeX still understood.
    assert re.search(rf"docs/labs/90-sample\.py:{line}:\d+: {words}", result.stderr), result.stderr


def test_of_a_lab_only_page_notebook_and_drawings_are_published(project):
    sample_lab.repository(project)
    result = build(project, "--strict")
    assert result.returncode == 0, result.stderr
    published = {path.relative_to(project / "site").as_posix() for path in (project / "site").glob("labs/**/*.*")}
    assert {path for path in published if "90" in path} == {
        "labs/90-sample/index.html",
        "labs/90-sample/90-sample.ipynb",
    }
    assert not [path for path in published if path.endswith((".py", "manifest.json"))]
    assert (project / "site/figures/lab-90/parabola-and-slope.dark.svg").is_file()
    page = (project / "site/labs/90-sample/index.html").read_text(encoding="utf-8")
    assert "/edit/main/docs/labs/90-sample.py" in page
    assert not re.search("MathJax|require(?:js)?[.(]", page, re.IGNORECASE)
