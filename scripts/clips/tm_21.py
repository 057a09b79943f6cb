"""Sounds of tm-21: every augmentation of its panel, each after the original, so that the ear can compare."""

import numpy as np

from scripts.clips import Sound, clip
from scripts.figures import tm_21
from scripts.figures.tm_20 import fade, in_turn


@clip
def original() -> Sound:
    return Sound(fade(tm_21.original()), tm_21.RATE)


@clip
def noise_10() -> Sound:
    return _compared("noise_10")


@clip
def noise_0() -> Sound:
    return _compared("noise_0")


@clip
def room() -> Sound:
    return _compared("room")


@clip
def telephone() -> Sound:
    return _compared("telephone")


@clip
def clipping() -> Sound:
    """As loud as the original: what is cut off would be heard as a change of loudness first."""
    found, x = tm_21.sounds()["clipping"], tm_21.original()
    return _after_original(found * np.std(x) / np.std(found))


@clip
def speed() -> Sound:
    return _compared("speed")


@clip
def stretch() -> Sound:
    return _compared("stretch")


@clip
def pitch() -> Sound:
    return _compared("pitch")


@clip
def masks() -> Sound:
    """SpecAugment has no sound of its own: the masked times and bands are silent here."""
    return _after_original(tm_21.masked_sound())


def _compared(name: str) -> Sound:
    return _after_original(tm_21.sounds()[name])


def _after_original(y: np.ndarray) -> Sound:
    return Sound(in_turn(tm_21.original(), y), tm_21.RATE)
