"""What the cells of a lab import: budgets, claims and figures.

A lab runs in three places: executed by `make labs`, shortened by `make test` (LAB_REDUCED=1), and at a reader's, in
Jupyter or Colab. The cells do not have to know where they are.
"""

import io
import os
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

from IPython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure

from scripts.figures import style
from scripts.figures.style import Theme

REDUCED = os.environ.get("LAB_REDUCED") == "1"
# Where `make labs` wants the drawings of the lab that it executes; readers have no such place.
DRAWINGS = os.environ.get("LAB_DRAWINGS")
# The key of the output's metadata under which the page finds the figure.
FIGURE = "lab_figure"


def budget(full: int, reduced: int) -> int:
    """How many steps, pictures or repeats to take: `full`, or `reduced` in a shortened run."""
    return reduced if REDUCED else full


def claim(holds: bool, text: str, *, trained: bool = False) -> None:
    """Print what has been checked; raise AssertionError with `text` where it does not hold.

    A claim about a `trained` model is not checked in a shortened run, which hardly trains.
    """
    if trained and REDUCED:
        print(f"– {text} (не проверено: сокращённый запуск)")
        return
    if not holds:
        raise AssertionError(f"не выполнено: {text}")
    print(f"✓ {text}")


def figure(caption: str, alt: str) -> Callable[[Callable[[Theme], Figure]], Callable[[Theme], Figure]]:
    """Draw the decorated function at once, for the light and the dark theme; a reader's notebook shows the light one.

    `caption` and `alt` are Markdown and plain text as under the figures of the notes. The function takes a theme and
    returns a matplotlib figure; what it computes belongs into earlier cells, for it is called twice.
    """

    def show(draw: Callable[[Theme], Figure]) -> Callable[[Theme], Figure]:
        name = draw.__name__.replace("_", "-")
        if DRAWINGS:
            for theme, suffix in ((style.LIGHT, ".svg"), (style.DARK, ".dark.svg")):
                with style.applied(theme):
                    style.save(draw(theme), Path(DRAWINGS) / (name + suffix))
        with style.applied(style.LIGHT):
            picture = io.BytesIO()
            draw(style.LIGHT).savefig(picture, format="png", dpi=110)
        if get_ipython() is not None:
            data = {"image/png": b64encode(picture.getvalue()).decode(), "text/plain": f"[{alt}]"}
            display(data, raw=True, metadata={FIGURE: {"name": name, "caption": caption, "alt": alt}})
        return draw

    return show
