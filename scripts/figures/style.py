"""The one look of all figures: size, fonts, and colours that mean the same thing on every page.

Widths are chosen for the phone: a figure of `WIDTH` inches set in `FONT_SIZE` points is still readable when the screen
squeezes it to 330 px, so panels are stacked rather than put side by side.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import font_manager, pyplot
from matplotlib.figure import Figure

FONTS = Path(__file__).parent / "fonts"
WIDTH = 5.6
FONT_SIZE = 10.0


@dataclass(frozen=True)
class Theme:
    """Colours of one theme, named by what they mean (colour-blind safe, after Okabe and Ito).

    `background` and `ink` are the page's own paper and text. `forward` is the forward pass, values and predictions;
    `backward` gradients and adjoints; `good` the remedy or the target; `bad` the failure; `extra` and `accent` two
    further hues; `muted` axes, notes and references; `grid` hairlines; `surface` the fill of a box in a scheme.
    `sequential` and `diverging` are names of matplotlib colour maps.
    """

    name: str
    background: str
    surface: str
    ink: str
    muted: str
    grid: str
    forward: str
    backward: str
    good: str
    bad: str
    extra: str
    accent: str
    sequential: str
    diverging: str


LIGHT = Theme(
    name="light", background="#fdfcf8", surface="#f3efe4", ink="#22201c", muted="#6b665c", grid="#e2ddd0",
    forward="#0b5fa5", backward="#c2410c", good="#0a7a5c", bad="#b3262e", extra="#8e4a94", accent="#9a6a00",
    sequential="YlGnBu", diverging="RdBu_r",
)  # fmt: skip
DARK = Theme(
    name="dark", background="#16181d", surface="#22262e", ink="#e4e1d8", muted="#a09b90", grid="#333843",
    forward="#6db3f2", backward="#f5935a", good="#4fc9a1", bad="#f2777a", extra="#cf9bd6", accent="#e3b341",
    sequential="viridis", diverging="RdBu_r",
)  # fmt: skip
THEMES = (LIGHT, DARK)

# The order in which unnamed series take their colours.
CYCLE = ("forward", "backward", "good", "extra", "accent", "bad")


def _register_fonts() -> None:
    for path in sorted(FONTS.glob("*.ttf")):
        font_manager.fontManager.addfont(path)


def _parameters(theme: Theme) -> dict[str, object]:
    return {
        "figure.figsize": (WIDTH, WIDTH * 0.62),
        "figure.facecolor": theme.background,
        "figure.constrained_layout.use": True,
        "savefig.facecolor": theme.background,
        "axes.facecolor": theme.background,
        "axes.edgecolor": theme.muted,
        "axes.labelcolor": theme.ink,
        "axes.titlecolor": theme.ink,
        "axes.titlesize": FONT_SIZE,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.8,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.prop_cycle": matplotlib.cycler(color=[getattr(theme, name) for name in CYCLE]),
        "grid.color": theme.grid,
        "grid.linewidth": 0.6,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "xtick.labelcolor": theme.ink,
        "ytick.labelcolor": theme.ink,
        "text.color": theme.ink,
        "font.family": ["Literata", "DejaVu Sans"],
        "font.size": FONT_SIZE,
        "axes.labelsize": FONT_SIZE,
        "xtick.labelsize": FONT_SIZE - 1,
        "ytick.labelsize": FONT_SIZE - 1,
        "legend.fontsize": FONT_SIZE - 1,
        "legend.frameon": False,
        "lines.linewidth": 1.8,
        "mathtext.fontset": "cm",
        "axes.formatter.use_mathtext": True,
        "axes.unicode_minus": True,
        # Glyphs as outlines: an SVG shown in <img> cannot use the page's fonts.
        "svg.fonttype": "path",
        # A fixed salt makes element ids, and so the file, the same on every redraw.
        "svg.hashsalt": "dl-exam",
    }


@contextmanager
def applied(theme: Theme) -> Iterator[None]:
    """Draw inside this context to draw in `theme`."""
    _register_fonts()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_parameters(theme))
        yield
        pyplot.close("all")


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as an SVG without a date, so that the same drawing is the same file."""
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
