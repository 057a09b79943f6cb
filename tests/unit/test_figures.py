import pytest
from markdown import Markdown

from scripts import artifacts
from scripts.figures import FIGURES
from scripts.site import figures
from tests.unit.make import note, notes

MODULE = """from scripts.dl.tool import data
from scripts.figures import figure


@figure
def the_curve(theme):
    return data


def helper():
    pass
"""
IMAGE = "![Кривая, которая поднимается до единицы.](../../figures/tm-01/the-curve.svg)"
USE = f"# T\n\n{IMAGE}\n*Подпись с $x$\nв две строки.*\n"


@pytest.fixture
def project(tmp_path):
    """A repository with one declared and drawn figure."""
    for folder in ("scripts/figures/fonts", "scripts/dl", "figures/tm-01"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "scripts/figures/tm_01.py").write_text(MODULE)
    (tmp_path / "scripts/dl/tool.py").write_text("from scripts.dl import base\n\ndata = base\n")
    (tmp_path / "scripts/dl/base.py").write_text("x = 1\n")
    for shared in FIGURES.shared:
        (tmp_path / shared).write_text("size = 1\n")
    (figure,) = artifacts.declared(FIGURES, tmp_path)
    for drawing in figure.files(tmp_path).values():
        drawing.write_text('<svg width="72pt" height="36pt" viewBox="0 0 72 36">')
    artifacts.record(figure, tmp_path)
    return tmp_path


def messages(project, text=USE):
    return [str(problem) for problem in figures.check(notes(note(text)), project)]


def test_a_fresh_described_figure_has_no_problems(project):
    assert messages(project) == []


@pytest.mark.parametrize("changed", ["figures/tm_01.py", "dl/tool.py", "dl/base.py", "figures/style.py"])
def test_a_change_of_any_code_involved_makes_it_stale(project, changed):
    file = project / "scripts" / changed
    file.write_text(file.read_text() + "\nmore = 2\n")
    (message,) = messages(project)
    assert message.startswith("docs/tickets/01-first.md:3:1: stale figure tm-01/the-curve: the code")
    assert "make figures" in message


def test_a_change_of_other_code_does_not(project):
    (project / "scripts/dl/other.py").write_text("y = 1\n")
    assert messages(project) == []


def test_a_drawing_changed_by_hand_or_deleted_is_stale(project):
    drawing = project / "figures/tm-01/the-curve.dark.svg"
    drawing.write_text("<svg>")
    assert "changed by hand" in messages(project)[0]
    drawing.unlink()
    assert "is missing" in messages(project)[0]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("the-curve", "no-curve", "missing figure"),
        ("Кривая, которая поднимается до единицы.", "Кривая", "alternative text is shorter"),
        ("\n*Подпись", "\n\n*Подпись", "no caption"),
        ("строки.*", "строки.", "no caption"),
    ],
)
def test_each_mistake_is_named_with_its_line(project, old, new, words):
    found = [message for message in messages(project, USE.replace(old, new)) if words in message]
    assert found and found[0].startswith("docs/tickets/01-first.md:3:1: ")


def test_an_unused_figure_and_a_drawing_without_a_function_are_problems(project):
    assert "scripts/figures/tm_01.py:6: no page shows the figure tm-01/the-curve" in messages(project, "# T\n")[0]
    (project / "figures/tm-01/old.svg").write_text("<svg>")
    assert "figures/tm-01/old.svg: no function makes this" in messages(project)[0]


def test_the_pair_becomes_a_figure_with_both_drawings(project):
    html = Markdown(extensions=["pymdownx.details", figures.FigureExtension(project)]).convert(USE)
    assert (
        '<figure class="figure" id="fig-the-curve"><a class="figure__link" href="../figures/tm-01/the-curve.svg">'
        in html
    )
    for theme, suffix in FIGURES.suffixes.items():
        assert f'figure__image--{theme}" height="48" loading="lazy" src="../figures/tm-01/the-curve{suffix}"' in html
    assert "<figcaption>Подпись с $x$\nв две строки.</figcaption></figure>" in html


def test_other_images_stay_as_they_are(project):
    html = Markdown(extensions=[figures.FigureExtension(project)]).convert("![снимок](../assets/a.png)\n*текст*")
    assert "<figure" not in html
