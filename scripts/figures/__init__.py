"""Figures of the site: one module a page, each public function one figure.

`figure` marks a function as a figure. Everything else here (style, drawing, freshness) is shared by all pages.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # matplotlib is not needed to *list* the figures
    from matplotlib.figure import Figure

    from scripts.figures.style import Theme


def figure(draw: "Callable[[Theme], Figure]") -> "Callable[[Theme], Figure]":
    """Mark `draw` as a figure of its module's page.

    `draw` takes a theme and returns a finished matplotlib figure; it is called once for each theme, so whatever it
    computes belongs in a cached function. The function `hand_graph` of `ticket_01.py` becomes
    `figures/ticket-01/hand-graph.svg` and `hand-graph.dark.svg`.
    """
    return draw
