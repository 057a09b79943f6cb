"""The drawings on the pages are what the code draws, every time, and light enough for a phone."""

import gzip
import os
import subprocess
import sys

import pytest

from scripts import artifacts
from scripts.figures import FIGURES, drawing, style
from scripts.sources import ROOT

DECLARED = artifacts.declared(FIGURES)
LARGEST = 60 * 1024
each_figure = pytest.mark.parametrize("figure", DECLARED, ids=lambda figure: figure.key)


@each_figure
def test_the_committed_drawing_is_fresh(figure):
    assert artifacts.why_stale(figure) is None


@each_figure
def test_the_drawing_is_light(figure):
    for file in figure.files().values():
        assert len(gzip.compress(file.read_bytes())) <= LARGEST


@each_figure
def test_a_redraw_gives_the_same_bytes(figure, tmp_path):
    for theme in style.THEMES:
        first, second = tmp_path / f"{theme.name}-1.svg", tmp_path / f"{theme.name}-2.svg"
        drawing.write_svg(figure, theme, first)
        drawing.write_svg(figure, theme, second)
        assert first.read_bytes() == second.read_bytes()
        assert theme.ink in first.read_text(encoding="utf-8")


def test_a_redraw_in_another_process_gives_the_same_bytes(tmp_path):
    script = (
        "import sys; from pathlib import Path\n"
        "from scripts import artifacts; from scripts.figures import FIGURES, drawing, style\n"
        "figure = next(f for f in artifacts.declared(FIGURES) if f.name == 'hand-graph')\n"
        "drawing.write_svg(figure, style.LIGHT, Path(sys.argv[1]))"
    )
    for seed in ("1", "2"):
        command = [sys.executable, "-c", script, str(tmp_path / f"{seed}.svg")]
        subprocess.run(command, check=True, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed})
    assert (tmp_path / "1.svg").read_bytes() == (tmp_path / "2.svg").read_bytes()
