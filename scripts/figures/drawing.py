"""Draw a figure once for each theme."""

import importlib
from pathlib import Path

from scripts.artifacts import Artifact
from scripts.figures import style
from scripts.figures.style import Theme
from scripts.sources import ROOT


def draw(figure: Artifact, root: Path = ROOT) -> None:
    """Write the light and the dark SVG of `figure`."""
    for theme in style.THEMES:
        path = figure.file(theme.name, root)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_svg(figure, theme, path)


def write_svg(figure: Artifact, theme: Theme, path: Path) -> None:
    """Draw `figure` in one theme; the same bytes each time on one machine."""
    module = importlib.import_module(f"scripts.figures.{figure.module.stem}")
    with style.applied(theme):
        style.save(getattr(module, figure.function)(theme), path)
