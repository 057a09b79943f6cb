"""The log-mel page: frames, scales, filters, and what its figures say."""

import math

import numpy as np
import pytest

from scripts.clips import CLIPS, encoding
from scripts.clips import tm_20 as clips
from scripts.dl import mel
from scripts.dl.stft import frame_count, hann, stft
from scripts.experiments import waveform_or_mel as experiment
from scripts.figures import tm_20
from tests.content.page import DOCS, assert_said, printed

RATE = 16_000
ROOT = DOCS.parent


@pytest.fixture(scope="module")
def page():
    return printed("theory-minimum/20-log-mel-spectrogram.md")


# The pipeline


def test_frames_of_a_second(page):
    assert frame_count(RATE, 400, 160, center=False) == 98
    assert frame_count(RATE, 400, 160) == 101
    assert_said(page, 98, 101, digits=0)
    x = np.random.default_rng(0).standard_normal(RATE)
    assert stft(x, hann(400), 160, 512, center=False).shape == (98, 257)
    assert mel.log_mel(x).shape == (101, 80)
    assert RATE / 512 == 31.25


def test_half_a_minute(page):
    samples, frames = 30 * RATE, 30 * 100
    assert (samples, frames * 80) == (480_000, 240_000)
    assert samples // frames == 160
    assert (samples // frames) ** 2 == 25_600
    assert "480\\,000" in page
    assert "25\\,600" in page


def test_mel_formulas(page):
    assert round(float(mel.hz_to_mel(1000))) == 1000
    assert round(float(mel.hz_to_mel(8000))) == 2840
    assert 2595 / math.log(10) == pytest.approx(1127, rel=1e-4)
    assert mel.hz_to_mel(1000) / mel.hz_to_mel(8000) == pytest.approx(0.35, abs=0.005)
    assert_said(page, 1000, 2840, 35, digits=0)


def test_steps_of_the_filters(page):
    steps = np.diff(mel.mel_points(80, 0, 8000))
    assert_said(page, steps[0], steps[-1], digits=0)
    assert [round(s) for s in steps[[0, 1, -2, -1]]] == [22, 23, 258, 266]


def test_empty_rows():
    def empty(*arguments, scale):
        return np.flatnonzero(mel.mel_filters(*arguments, RATE, scale=scale).sum(axis=1) == 0).tolist()

    assert empty(128, 512, scale="htk") == [0]
    assert len(empty(128, 400, scale="htk")) == 4
    for n_fft in (400, 512):
        assert empty(128, n_fft, scale="slaney") == []
        assert empty(80, n_fft, scale="htk") == []


def test_gain_shifts_the_logarithm(page):
    x = tm_20.vowels().samples
    loud = mel.log_mel(x) > np.log(mel.FLOOR) + 12
    difference = (mel.log_mel(10 * x) - mel.log_mel(x))[loud]
    np.testing.assert_allclose(difference, 2 * math.log(10), atol=1e-4)
    assert_said(page, 2 * math.log(10), digits=2)
    assert_said(page, 6 * math.log(10), digits=1)


def test_a_short_channel_is_a_constant_and_a_room_is_not():
    x, rng = np.random.default_rng(0).standard_normal(2 * RATE), np.random.default_rng(1)
    x *= 1 + np.sin(2 * np.pi * 2 * np.arange(len(x)) / RATE)
    microphone = np.array([1.0, 0.4, -0.2])
    echo = rng.standard_normal(RATE // 2) * 10 ** (-3 * np.arange(RATE // 2) / (0.5 * RATE))

    def change(h):
        D = mel.log_mel(np.convolve(x, h)[: len(x)]) - mel.log_mel(x)
        return D[5:-5].std(axis=0).mean()

    assert change(microphone) < 0.1
    assert change(echo) > 0.5


def test_width_of_the_lobe():
    spectrum = np.abs(np.fft.rfft(hann(400), 1 << 18))
    f = np.arange(len(spectrum)) * RATE / (1 << 18)
    half = f[np.argmax(spectrum < spectrum[0] / 2)]  # -6 dB
    zero = f[np.argmax(np.diff(spectrum) > 0)]
    assert 2 * half == pytest.approx(80, abs=1)
    assert 2 * zero == pytest.approx(160, abs=1)


def test_other_half_of_the_spectrum_is_conjugate():
    X = np.fft.fft(np.random.default_rng(0).standard_normal(400), 512)
    np.testing.assert_allclose(X[257:], X[1:256][::-1].conj(), atol=1e-12)
    assert len(X[257:]) == 255


def test_unit_area_is_a_constant_in_each_band():
    P = tm_20.power()
    D = np.log(P @ mel.mel_filters(80, 512, RATE, unit_area=True).T) - np.log(P @ mel.mel_filters(80, 512, RATE).T)
    np.testing.assert_allclose(D.std(axis=0), 0, atol=1e-9)


def test_pre_emphasis_in_decibels(page):
    assert_said(page, -20 * math.log10(1 - 0.97), 20 * math.log10(1.97), digits=1)


# What the figures say


def test_phases(page):
    pairs = [tm_20.twins(seed) for seed in range(6)]
    waves = [tm_20.correlation(a, b) for a, b in pairs]
    mels = [tm_20.correlation(tm_20.inner(mel.log_mel(a)), tm_20.inner(mel.log_mel(b))) for a, b in pairs]
    assert_said(page, abs(waves[0]), abs(min(waves)), max(waves), digits=2)
    assert mels[0] == pytest.approx(0.9999, abs=5e-5)
    assert min(mels) >= 0.998


def test_shift(page):
    found = tm_20.shift_correlations()
    half = list(tm_20.SHIFTS).index(8)  # 0.5 ms
    assert found["waveform"][half] == pytest.approx(-0.02, abs=0.005)
    assert found["mel"][half] == pytest.approx(0.9999, abs=5e-5)
    assert found["mel"][-1] == pytest.approx(0.994, abs=5e-4)
    assert found["mel"].min() > 0.99
    assert np.abs(found["waveform"][half:]).max() < 0.5


def test_little_data(page):
    found = experiment.errors(tm_20.SEEDS)
    waves, mels = found["waveform"].mean(axis=1), found["mel"].mean(axis=1)
    sizes = list(experiment.SIZES)
    assert_said(page, mels[sizes.index(50)], waves[sizes.index(1600)], digits=3)
    assert_said(page, waves[0], mels[0], digits=2)
    assert np.all(mels < waves / 3)
    assert round(int(found["waveform_parameters"]), -2) == 8300
    assert round(int(found["mel_parameters"]), -2) == 9900


def test_reconstruction_keeps_the_pitch_only_from_mel():
    """The autocorrelation of the middle of «а» at the period of the voice, against the highest possible 1."""

    def periodicity(x):
        part = x[1600:3200]
        lags = np.arange(RATE // 150, RATE // 110)
        return max(np.corrcoef(part[lag:], part[:-lag])[0, 1] for lag in lags)

    found = tm_20.reconstructions()
    assert periodicity(tm_20.vowels().samples) > 0.9
    assert periodicity(found["mel"]) > periodicity(found["mfcc"]) + 0.2


def test_spectrum_of_mel_is_positive_and_fits():
    M = mel.mel_filters(80, 512, RATE)
    E = tm_20.power() @ M.T
    P = tm_20.spectrum_of(E, M)
    assert P.min() >= 0
    assert np.linalg.norm(P @ M.T - E) < 0.05 * np.linalg.norm(E)


def test_cepstrum(page):
    C = tm_20.correlations()
    assert_said(page, tm_20.off_diagonal(C["mel"]), tm_20.off_diagonal(C["mfcc"]), C["mfcc"][0, 1], digits=2)
    assert C["mfcc"][0, 1] == pytest.approx(C["mfcc"][~np.eye(13, dtype=bool)].max())


# Follow-ups


def test_networks_of_the_experiment():
    rng = np.random.default_rng(0)
    waves, labels = experiment.pieces(40, rng)
    assert waves.shape == (40, experiment.LENGTH)
    assert set(labels) == set(range(5))
    for kind in ("waveform", "mel"):
        assert experiment.network(kind)(experiment.features(waves, kind)).shape == (40, 5)


def test_noise_is_a_soft_maximum_in_the_logarithm():
    speech, noise = np.array([1.0, 1e-3, 1.0]), np.array([1e-3, 1.0, 1.0])
    np.testing.assert_allclose(np.log(speech + noise), np.log(speech) + np.log1p(noise / speech))
    np.testing.assert_allclose(np.log(speech + noise)[:2], np.log(np.maximum(speech, noise))[:2], atol=1e-2)


def test_gradient_of_the_log_mel_by_the_spectrum():
    rng = np.random.default_rng(0)
    X = rng.standard_normal(9) + 1j * rng.standard_normal(9)
    M, bar = rng.random((4, 9)), rng.standard_normal(4)

    def value(X):
        return bar @ np.log(M @ np.abs(X) ** 2 + 0.1)

    P_bar = (bar / (M @ np.abs(X) ** 2 + 0.1)) @ M
    for direction in (1.0, 1j):
        step = 1e-6 * direction
        numeric = np.array([(value(X + step * e) - value(X - step * e)) / 2e-6 for e in np.eye(9)])
        analytic = 2 * P_bar * (X.real if direction == 1.0 else X.imag)
        np.testing.assert_allclose(numeric, analytic, atol=1e-6)


def test_mel_is_coarse_for_low_notes():
    points = mel.mel_points(80, 0, 8000)
    i = np.abs(points - 100).argmin()
    assert round(points[i + 1] - points[i]) == 25
    assert round(100 * (2 ** (1 / 12) - 1)) == 6


def test_strides_of_wav2vec():
    kernels, strides = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
    field, jump = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        field, jump = field + (kernel - 1) * jump, jump * stride
    assert (field, jump) == (400, 320)


# Clips


def heard(name):
    """The decoded clip in its two parts, without the pause between."""
    samples = encoding.read(ROOT / CLIPS.output / "tm-20" / f"{name}.mp3").samples
    length, pause = len(tm_20.vowels().samples), round(0.3 * RATE)
    return samples[:length], samples[length + pause :]


@pytest.mark.parametrize("name", ["from-mel", "from-mfcc"])
def test_clips_of_reconstructions_follow_the_original(name):
    first, second = heard(name)
    assert np.corrcoef(first, tm_20.vowels().samples)[0, 1] > 0.99
    rebuilt = tm_20.reconstructions()[name.removeprefix("from-")]
    assert np.corrcoef(second[: len(rebuilt)], rebuilt)[0, 1] > 0.99


def test_clip_of_phases():
    sound = clips.two_phases()
    length = len(tm_20.twins()[0])
    first, second = sound.samples[:length], sound.samples[-length:]
    assert np.std(first) == pytest.approx(np.std(second), rel=0.02)  # as loud, or the ear would compare loudness
    assert length / RATE == 0.6
    assert np.abs(sound.samples).max() <= 0.8 + 1e-9
