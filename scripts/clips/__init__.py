"""Sound clips of the site: one module a page, each public function one clip that a figure of the page shows.

`clip` marks a function as a clip, `Sound` is what it returns. What is heard is computed by the code that the figure
draws: the reader can listen to the spectrogram on the screen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.artifacts import Kind

if TYPE_CHECKING:  # numpy is not needed to *list* the clips
    import numpy as np

CLIPS = Kind(
    name="clip",
    mark="clip",
    modules=Path("scripts/clips"),
    output=Path("clips"),
    suffixes={"mp3": ".mp3"},
    shared=(Path("scripts/clips/encoding.py"),),
)


@dataclass(frozen=True)
class Sound:
    """One channel: `samples` between −1 and 1, shape (length,), `rate` of them a second."""

    samples: "np.ndarray"
    rate: int


def clip(make: Callable[[], Sound]) -> Callable[[], Sound]:
    """Mark `make` as a clip of its module's page.

    The function `vowel_phrase` of `tm_20.py` becomes `clips/tm-20/vowel-phrase.mp3`. It takes nothing and gives the
    same sound each time.
    """
    return make
