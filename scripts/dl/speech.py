"""Synthetic speech by the source–filter model (Fant, 1960; Klatt, 1980): the sounds of the speech pages.

The vocal folds give harmonics of the pitch F0 whose amplitudes fall by 6 dB per octave (12 dB of the glottal flow less
the 6 dB that radiation from the lips gives back). The vocal tract is a cascade of second-order resonators, formants;
they move smoothly from vowel to vowel. Whisper and fricatives replace the harmonics by noise. The same arguments always
give the same samples; what is random takes a generator.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

# Centre frequencies of the first three formants of Russian vowels, Hz, for an adult man (rounded; speakers vary by tens
# of per cent).
VOWELS: dict[str, tuple[float, float, float]] = {
    "а": (700.0, 1100.0, 2600.0),
    "э": (500.0, 1800.0, 2550.0),
    "и": (250.0, 2250.0, 3100.0),
    "о": (530.0, 800.0, 2500.0),
    "у": (300.0, 620.0, 2500.0),
    "ы": (300.0, 1480.0, 2250.0),
}
HIGHER_FORMANTS = (3600.0, 4500.0, 5500.0, 6500.0, 7500.0)  # the same for all vowels
BANDWIDTHS = (70.0, 90.0, 130.0, 200.0, 250.0, 300.0, 350.0, 400.0)  # -3 dB widths of the formants in Hz
FRICATIVES: dict[str, tuple[tuple[float, float], ...]] = {  # (centre, width) of the resonances of the noise, Hz
    "с": ((5800.0, 900.0), (7000.0, 1200.0)),
    "ш": ((2300.0, 500.0), (3600.0, 900.0)),
}
PEAK = 0.8  # largest absolute value of a phrase
EDGE = 0.02  # seconds of fading at the edges of a phrase and of a gap
TRANSITION = 0.06  # seconds in which the formants move from one vowel to the next


@dataclass(frozen=True, eq=False)
class Utterance:
    """`samples` (L,) of float64, |x| <= 0.8; `rate` in Hz; `text`, a letter per vowel; `spans` (len(text), 2), the
    start and the end of each vowel in seconds; `pitch` (L,) in Hz."""

    samples: np.ndarray
    rate: int
    text: str
    spans: np.ndarray
    pitch: np.ndarray


# --8<-- [start:tract]
def tract_response(frequencies, formants, bandwidths, rate):
    """Complex gain of the vocal tract, 1 at 0 Hz; the last axis of
    `formants` is the resonators, its other axes go with `frequencies`."""
    z = np.exp(-2j * np.pi * np.asarray(frequencies) / rate)
    gain = np.ones_like(z)
    for i, bandwidth in enumerate(bandwidths):
        radius = np.exp(-np.pi * bandwidth / rate)
        centre = 2 * np.pi * np.asarray(formants)[..., i] / rate
        B, C = 2 * radius * np.cos(centre), -(radius**2)
        gain = gain * (1 - B - C) / (1 - B * z - C * z**2)
    return gain


# --8<-- [end:tract]


def vowel_formants(letter: str, rate: int = 16_000, tract: float = 1.0) -> np.ndarray:
    """All formants of a vowel below `rate` / 2, in Hz; `tract` > 1 is a shorter vocal tract: all formants higher.

    Raises:
        ValueError: `letter` is not a vowel of `VOWELS`.
    """
    if letter not in VOWELS:
        raise ValueError(f"no such vowel: {letter!r}")
    return tract * np.array(VOWELS[letter] + HIGHER_FORMANTS)[: _resonators(rate, tract)]


def phrase(
    text: str,
    seconds: float | Sequence[float] = 0.3,
    pitch: Sequence[float] = (140.0, 100.0),
    rate: int = 16_000,
    gap: float | Sequence[float] = 0.0,
    tract: float = 1.0,
    whisper: np.random.Generator | None = None,
) -> Utterance:
    """Speak the vowels of `text` one after another.

    Args:
        text: letters of `VOWELS`.
        seconds: length of each vowel, one for all or one for each.
        pitch: F0 in Hz at equally spaced moments from the beginning to the end, geometric between them.
        rate: samples per second.
        gap: seconds of silence after each vowel but the last, one for all or one for each; without a gap the voice
            goes on and only the formants move.
        tract: factor of all formants.
        whisper: a generator of the noise that stands in for the voice; None: a voice.

    Raises:
        ValueError: an empty text, an unknown vowel, lengths that do not match or are not positive.
    """
    lengths, gaps = _each(seconds, len(text)), _each(gap, max(len(text) - 1, 0))
    if not text or (lengths <= 0).any() or (gaps < 0).any():
        raise ValueError("a phrase needs at least one vowel of positive length, and gaps that are not negative")
    starts = np.concatenate([[0.0], np.cumsum(lengths[:-1] + gaps)])
    spans = np.stack([starts, starts + lengths], axis=1)
    count = round(spans[-1, 1] * rate)
    times = np.arange(count) / rate
    knots = np.linspace(0, spans[-1, 1], len(pitch))
    contour = np.exp(np.interp(times, knots, np.log(np.asarray(pitch, dtype=float))))
    formants = _formant_tracks(text, spans, times, rate, tract)
    sound = _voice(contour, formants, rate) if whisper is None else _whispered(formants, rate, whisper)
    sound *= _envelope(spans, gaps, times)
    return Utterance(PEAK * sound / np.abs(sound).max(), rate, text, spans, contour)


def fricative(letter: str, seconds: float, rate: int, rng: np.random.Generator) -> np.ndarray:
    """The noise of «с» or «ш», (round(seconds * rate),), peak 0.8; resonances above rate / 2 are lost.

    Raises:
        ValueError: `letter` is not in `FRICATIVES`.
    """
    if letter not in FRICATIVES:
        raise ValueError(f"no such fricative: {letter!r}")
    sound = rng.standard_normal(round(seconds * rate))
    for centre, width in FRICATIVES[letter]:
        if centre < 0.95 * rate / 2:
            sound = lfilter([1.0, 0.0, -1.0], _denominator(centre, width, rate), sound)
    sound *= _envelope(np.array([[0.0, seconds]]), np.zeros(0), np.arange(len(sound)) / rate)
    return PEAK * sound / np.abs(sound).max()


def tone(frequency: float, seconds: float, rate: int) -> np.ndarray:
    """A sinusoid of amplitude 0.8, (round(seconds * rate),); above rate / 2 it is aliased, as sampling would do."""
    return PEAK * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def _each(value: float | Sequence[float], count: int) -> np.ndarray:
    values = np.asarray(value, dtype=float)
    if values.ndim and len(values) != count:
        raise ValueError(f"{len(values)} lengths for {count} pieces")
    return np.broadcast_to(values, (count,))


def _resonators(rate: int, tract: float) -> int:
    """How many formants lie safely below rate / 2 for every vowel."""
    third = max(formants[-1] for formants in VOWELS.values())
    return 2 + sum(tract * formant < 0.95 * rate / 2 for formant in (third, *HIGHER_FORMANTS))


def _formant_tracks(text: str, spans: np.ndarray, times: np.ndarray, rate: int, tract: float) -> np.ndarray:
    """(samples, resonators) in Hz: flat inside a vowel, linear across the boundary."""
    targets = np.repeat([vowel_formants(letter, rate, tract) for letter in text], 2, axis=0)
    margin = np.minimum(TRANSITION / 2, (spans[:, 1] - spans[:, 0]) / 2)
    knots = np.stack([spans[:, 0] + margin, spans[:, 1] - margin], axis=1).ravel()
    return np.stack([np.interp(times, knots, track) for track in targets.T], axis=1)


def _voice(pitch: np.ndarray, formants: np.ndarray, rate: int) -> np.ndarray:
    """Harmonics k·F0 below rate / 2, each multiplied by the gain of the tract at its frequency."""
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    bandwidths, sound = BANDWIDTHS[: formants.shape[1]], np.zeros(len(pitch))
    for k in range(1, int(rate / 2 / pitch.min()) + 1):
        audible = np.flatnonzero(k * pitch < rate / 2)
        gain = tract_response(k * pitch[audible], formants[audible], bandwidths, rate)
        sound[audible] += (gain * np.exp(1j * k * phase[audible])).real / k
    return sound


def _whispered(formants: np.ndarray, rate: int, rng: np.random.Generator, block: float = 0.005) -> np.ndarray:
    """Noise through the resonators, whose coefficients are renewed every `block` seconds."""
    sound, size = rng.standard_normal(len(formants)), max(1, round(block * rate))
    for i, bandwidth in enumerate(BANDWIDTHS[: formants.shape[1]]):
        state = np.zeros(2)
        for start in range(0, len(sound), size):
            denominator = _denominator(formants[start, i], bandwidth, rate)
            piece = slice(start, start + size)
            sound[piece], state = lfilter([denominator.sum()], denominator, sound[piece], zi=state)
    return sound


def _denominator(centre: float, bandwidth: float, rate: int) -> np.ndarray:
    radius = np.exp(-np.pi * bandwidth / rate)
    return np.array([1.0, -2 * radius * np.cos(2 * np.pi * centre / rate), radius**2])


def _envelope(spans: np.ndarray, gaps: np.ndarray, times: np.ndarray) -> np.ndarray:
    """1 inside the vowels, 0 in the gaps, raised-cosine edges of at most `EDGE` seconds inside the vowels."""
    envelope = np.zeros(len(times))
    joined = np.concatenate([[False], gaps == 0, [False]])  # whether the voice goes on across this boundary
    for i, (start, end) in enumerate(spans):
        edge = min(EDGE, (end - start) / 3)
        rise = np.ones_like(times) if joined[i] else np.clip((times - start) / edge, 0, 1)
        fall = np.ones_like(times) if joined[i + 1] else np.clip((end - times) / edge, 0, 1)
        inside = (times >= start) & (times < end)
        envelope[inside] = (np.sin(np.pi / 2 * np.minimum(rise, fall)) ** 2)[inside]
    return envelope
