"""Figures of the site: one module a page, each public function one figure.

`figure` marks a function as a figure. Everything else here (style, numbers, digits, drawing) is shared by all pages.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.artifacts import Kind

if TYPE_CHECKING:  # matplotlib is not needed to *list* the figures
    from matplotlib.figure import Figure

    from scripts.figures.style import Theme

FIGURES = Kind(
    name="figure",
    mark="figure",
    modules=Path("scripts/figures"),
    output=Path("figures"),
    suffixes={"light": ".svg", "dark": ".dark.svg"},
    shared=(Path("scripts/figures/style.py"),),
    files="scripts/figures/fonts/*.ttf",
)


def figure(draw: "Callable[[Theme], Figure]") -> "Callable[[Theme], Figure]":
    """Mark `draw` as a figure of its module's page.

    `draw` takes a theme and returns a finished matplotlib figure; it is called once for each theme, so whatever it
    computes belongs in a cached function. The function `hand_graph` of `ticket_01.py` becomes
    `figures/ticket-01/hand-graph.svg` and `hand-graph.dark.svg`.
    """
    return draw
