"""The synthetic voice: pitch, formants, length, and that it is always the same."""

import numpy as np
import pytest

from scripts.dl import speech
from scripts.dl.stft import hann

RATE = 16_000


def spectrum(x, rate=RATE):
    return np.fft.rfftfreq(len(x), 1 / rate), np.abs(np.fft.rfft(x * hann(len(x))))


@pytest.mark.parametrize("letter", speech.VOWELS)
def test_the_gain_of_the_tract_peaks_at_the_formants(letter):
    f = np.arange(50.0, 4000.0, 5.0)
    formants = speech.vowel_formants(letter, RATE)
    gain = np.abs(speech.tract_response(f[:, None], formants, speech.BANDWIDTHS[: len(formants)], RATE)[:, 0])
    peaks = f[1:-1][(gain[1:-1] > gain[:-2]) & (gain[1:-1] > gain[2:])]
    for formant in formants[:3]:
        assert np.abs(peaks - formant).min() < 40
    assert np.abs(speech.tract_response(0.0, formants, speech.BANDWIDTHS[: len(formants)], RATE)) == pytest.approx(1)


def test_harmonics_stand_at_multiples_of_the_pitch():
    f, magnitude = spectrum(speech.phrase("а", 0.5, pitch=(125, 125)).samples)
    on = [magnitude[np.abs(f - 125 * k) < 8].max() for k in range(1, 10)]
    between = [magnitude[np.abs(f - 125 * (k + 0.5)) < 8].max() for k in range(1, 10)]
    assert min(on) > 20 * max(between)


def test_spans_pitch_and_peak():
    u = speech.phrase("аиу", [0.3, 0.2, 0.1], pitch=(140, 100), gap=[0.05, 0])
    np.testing.assert_allclose(u.spans, [[0, 0.3], [0.35, 0.55], [0.55, 0.65]])
    assert len(u.samples) == round(0.65 * RATE)
    assert np.abs(u.samples).max() == pytest.approx(0.8)
    assert u.pitch[0] == pytest.approx(140)
    assert u.pitch[-1] == pytest.approx(100, abs=0.1)
    gap = u.samples[int(0.301 * RATE) : int(0.349 * RATE)]
    assert np.abs(gap).max() == 0


def test_without_a_gap_the_voice_goes_on():
    u = speech.phrase("аи", 0.2)
    assert np.abs(u.samples[int(0.19 * RATE) : int(0.21 * RATE)]).max() > 0.1


def test_same_arguments_same_samples():
    np.testing.assert_array_equal(speech.phrase("аэ").samples, speech.phrase("аэ").samples)
    a, b = (speech.phrase("аэ", whisper=np.random.default_rng(0)).samples for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_a_whisper_has_formants_but_no_pitch():
    x = speech.phrase("и", 1.0, whisper=np.random.default_rng(0)).samples
    f, magnitude = spectrum(x)
    assert magnitude[np.abs(f - 2250) < 60].mean() > 5 * magnitude[np.abs(f - 1200) < 60].mean()
    low = magnitude[(f > 100) & (f < 400)]
    assert low.max() / np.median(low) < 12


def test_a_shorter_tract_raises_the_formants():
    np.testing.assert_allclose(speech.vowel_formants("а", RATE, 1.1)[:3], 1.1 * np.array(speech.VOWELS["а"]))


@pytest.mark.parametrize(("letter", "low", "high"), [("с", 5000, 8000), ("ш", 1800, 4500)])
def test_fricatives_are_noise_in_their_band(letter, low, high):
    f, magnitude = spectrum(speech.fricative(letter, 0.5, RATE, np.random.default_rng(0)))
    inside = (f > low) & (f < high)
    assert (magnitude[inside] ** 2).sum() > 0.85 * (magnitude**2).sum()


def test_a_tone_above_the_nyquist_frequency_is_aliased():
    np.testing.assert_allclose(speech.tone(9000, 0.1, RATE), -speech.tone(7000, 0.1, RATE), atol=1e-9)


@pytest.mark.parametrize(
    ("text", "options"),
    [("", {}), ("б", {}), ("аи", {"seconds": [0.1]}), ("а", {"seconds": 0.0}), ("аи", {"gap": [-0.1]})],
)
def test_bad_arguments(text, options):
    with pytest.raises(ValueError):
        speech.phrase(text, **options)
