"""Sounds of ticket-10: what its figures show."""

import numpy as np

from scripts.clips import Sound, clip
from scripts.dl.speech import PEAK
from scripts.experiments import vowel_ctc as vowels
from scripts.figures import ticket_10 as page


def faded(x: np.ndarray, rate: int, seconds: float = 0.01) -> Sound:
    """Peak of 0.8 at most, raised-cosine edges."""
    n = round(seconds * rate)
    edge = np.sin(np.pi / 2 * np.arange(n) / n) ** 2
    y = x / max(1.0, np.abs(x).max() / PEAK)
    y[:n] *= edge
    y[-n:] *= edge[::-1]
    return Sound(y, rate)


@clip
def sweep() -> Sound:
    """The lower panel of `aliasing`."""
    return faded(page.sweep(), page.SWEEP_RATE)


@clip
def phrase() -> Sound:
    """«и а – а у» of `windows`, of both lattices, and of `augmentations`."""
    return faded(page.augmented()["phrase"], vowels.RATE)


@clip
def long_phrase() -> Sound:
    """What the attention model of `lengths` hears."""
    return faded(vowels.long_corpus()[0][0], vowels.RATE)


@clip
def noise() -> Sound:
    return faded(page.augmented()["noise"], vowels.RATE)


@clip
def room() -> Sound:
    return faded(page.augmented()["room"], vowels.RATE)


@clip
def speed() -> Sound:
    return faded(page.augmented()["speed"], vowels.RATE)
