"""Sounds of tm-20: what its figures show."""

from scripts.clips import Sound, clip
from scripts.figures import tm_20


@clip
def vowel_phrase() -> Sound:
    """The three vowels of `pipeline`."""
    return Sound(tm_20.fade(tm_20.vowels().samples), tm_20.RATE)


@clip
def two_phases() -> Sound:
    """The two sounds of `phases`, one after the other."""
    return Sound(tm_20.in_turn(*tm_20.twins()), tm_20.RATE)


@clip
def from_mel() -> Sound:
    """The top of `inversion`, then its middle: 80 mel bands, phases of Griffin and Lim."""
    return _after_vowels("mel")


@clip
def from_mfcc() -> Sound:
    """The top of `inversion`, then its last: 13 cepstral coefficients."""
    return _after_vowels("mfcc")


def _after_vowels(name: str) -> Sound:
    return Sound(tm_20.in_turn(tm_20.vowels().samples, tm_20.reconstructions()[name]), tm_20.RATE)
