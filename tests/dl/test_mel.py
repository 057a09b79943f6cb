import numpy as np
import pytest

from scripts.dl import mel
from scripts.dl.stft import hann, stft

x = np.random.default_rng(0).standard_normal(16_000)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_scales_are_inverted(scale):
    f = np.linspace(0, 8000, 500)
    m = mel.hz_to_mel(f, scale)
    np.testing.assert_allclose(mel.mel_to_hz(m, scale), f, atol=1e-9)
    assert np.all(np.diff(m) > 0)


def test_htk_scale():
    assert mel.hz_to_mel(1000) == pytest.approx(1000, abs=0.02)
    assert mel.hz_to_mel(8000) == pytest.approx(2840, abs=0.1)
    f = np.array([100.0, 1000.0, 8000.0])
    np.testing.assert_allclose(mel.hz_to_mel(f), 1127 * np.log(1 + f / 700), rtol=2e-5)


def test_slaney_scale():
    """Linear to 1 kHz = 15 mel; 27 mel above it the frequency is 6.4 times as high."""
    np.testing.assert_allclose(mel.hz_to_mel([200, 1000, 6400], "slaney"), [3, 15, 42], atol=1e-9)


def test_filters_are_triangles():
    M = mel.mel_filters(40, 4096, 16_000)
    points = mel.mel_points(40, 0, 8000)
    f = np.arange(2049) * 16_000 / 4096
    for row, left, centre, right in zip(M, points, points[1:], points[2:], strict=False):
        expected = np.interp(f, [left, centre, right], [0, 1, 0], left=0, right=0)
        np.testing.assert_allclose(row, expected, atol=1e-9)


def test_neighbouring_triangles_add_up_to_one():
    M = mel.mel_filters(40, 4096, 16_000)
    points = mel.mel_points(40, 0, 8000)
    f = np.arange(2049) * 16_000 / 4096
    inside = (f >= points[1]) & (f <= points[-2])
    np.testing.assert_allclose(M.sum(axis=0)[inside], 1, atol=1e-9)


def test_unit_area():
    M = mel.mel_filters(20, 8192, 16_000, unit_area=True)
    np.testing.assert_allclose(M.sum(axis=1) * 16_000 / 8192, 1, rtol=0.01)


def test_log_mel_by_steps():
    power = np.abs(stft(x, hann(400), 160, 512)) ** 2
    expected = np.log(np.einsum("tk,mk->tm", power, mel.mel_filters(80, 512, 16_000)) + mel.FLOOR)
    S = mel.log_mel(x)
    np.testing.assert_allclose(S, expected)
    assert S.shape == (101, 80)


def test_gain_is_a_shift():
    np.testing.assert_allclose(mel.log_mel(10 * x) - mel.log_mel(x), 2 * np.log(10), atol=1e-6)


def test_normalize():
    S = mel.normalize(mel.log_mel(x))
    np.testing.assert_allclose(S.mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(S.std(axis=0), 1, atol=1e-3)


def test_pre_emphasis():
    np.testing.assert_allclose(mel.pre_emphasis(np.array([1.0, 1.0, 3.0])), [1, 0.03, 2.03])


def test_mfcc_is_an_orthonormal_cosine_transform():
    S = mel.log_mel(x)
    M, n = 80, np.arange(80)
    c = 3
    expected = np.sqrt(2 / M) * S @ np.cos(np.pi * c * (2 * n + 1) / (2 * M))
    np.testing.assert_allclose(mel.mfcc(S)[:, c], expected)
    np.testing.assert_allclose((mel.mfcc(S, 80) ** 2).sum(), (S**2).sum())
