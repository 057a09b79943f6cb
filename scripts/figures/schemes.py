"""Boxes and arrows of drawn schemes."""

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from scripts.figures.style import Theme

Point = tuple[float, float]


def arrow(axes: Axes, start: Point, end: Point, colour: str, width: float = 1.1, bend: float = 0.0) -> None:
    """An arrow from edge to edge; `bend` is the height of its arc as a share of its length."""
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=9, linewidth=width, color=colour, shrinkA=0, shrinkB=0,
            connectionstyle=f"arc3,rad={bend}", zorder=2,
        )
    )  # fmt: skip


def box(
    axes: Axes, centre: Point, size: Point, theme: Theme, edge: str | None = None, fill: str | None = None,
    text: str = "",
) -> None:  # fmt: skip
    """A box with rounded corners around `centre`, `size` its width and height, with `text` in its middle."""
    (x, y), (width, height) = centre, size
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0,rounding_size=0.06", linewidth=1.1,
            facecolor=fill or theme.surface, edgecolor=edge or theme.muted, zorder=3,
        )
    )  # fmt: skip
    axes.text(x, y, text, ha="center", va="center", color=theme.ink, fontsize=11, zorder=4)
