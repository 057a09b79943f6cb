import numpy as np
import pytest
import torch

from scripts.dl.stft import centred, decibels, frame_count, frames, frequencies, hann, istft, stft

x = np.random.default_rng(0).standard_normal(1000)


@pytest.mark.parametrize(("N", "hop", "n_fft"), [(64, 16, 64), (50, 20, 64), (50, 13, 96)])
def test_centred_transform_is_that_of_torch(N, hop, n_fft):
    window = torch.hann_window(N, dtype=torch.float64)
    theirs = torch.stft(
        torch.tensor(x), n_fft, hop, N, window, center=True, pad_mode="reflect", return_complex=True
    ).numpy()
    ours = stft(x, hann(N), hop, n_fft)
    np.testing.assert_allclose(ours, theirs.T, atol=1e-12)
    assert ours.shape == (frame_count(1000, N, hop), n_fft // 2 + 1)


def test_transform_without_padding_is_that_of_torch():
    window = torch.hann_window(64, dtype=torch.float64)
    theirs = torch.stft(torch.tensor(x), 64, 16, 64, window, center=False, return_complex=True).numpy()
    ours = stft(x, hann(64), 16, center=False)
    np.testing.assert_allclose(ours, theirs.T, atol=1e-12)
    assert len(ours) == frame_count(1000, 64, 16, center=False)


def test_transform_is_the_sum_of_its_definition():
    N, hop, n_fft, m, k = 40, 10, 64, 3, 7
    n = np.arange(N)
    expected = np.sum(x[m * hop + n] * hann(N) * np.exp(-2j * np.pi * k * n / n_fft))
    assert stft(x, hann(N), hop, n_fft, center=False)[m, k] == pytest.approx(expected)


def test_leading_axes_are_independent():
    batch = np.stack([x, x[::-1]])
    together = stft(batch, hann(64), 16)
    np.testing.assert_allclose(together[1], stft(x[::-1], hann(64), 16), atol=1e-13)
    np.testing.assert_allclose(istft(together, hann(64), 16, length=1000), batch, atol=1e-12)


@pytest.mark.parametrize(("N", "hop", "n_fft"), [(64, 16, 64), (64, 32, 64), (50, 13, 96)])
def test_inverse(N, hop, n_fft):
    X = stft(x, hann(N), hop, n_fft)
    back = istft(X, hann(N), hop, n_fft, length=1000)
    covered = 1000 - 1000 % hop
    np.testing.assert_allclose(back[:covered], x[:covered], atol=1e-12)
    plain = istft(stft(x, hann(N), hop, n_fft, center=False), hann(N), hop, n_fft, center=False)
    np.testing.assert_allclose(plain[1 : len(plain) - n_fft], x[1 : len(plain) - n_fft], atol=1e-9)


def test_inverse_of_a_changed_spectrum_is_that_of_torch():
    X = stft(x, hann(64), 16) * np.random.default_rng(1).standard_normal((63, 33))
    window = torch.hann_window(64, dtype=torch.float64)
    theirs = torch.istft(torch.tensor(X.T), 64, 16, 64, window, center=True).numpy()
    np.testing.assert_allclose(istft(X, hann(64), 16), theirs, atol=1e-10)


def test_hann_windows_add_up_to_a_constant():
    np.testing.assert_allclose(hann(64), torch.hann_window(64, dtype=torch.float64).numpy(), atol=1e-15)
    np.testing.assert_allclose(hann(64)[:32] + hann(64)[32:], 1.0)


def test_errors():
    with pytest.raises(ValueError, match="no frame"):
        frames(x[:10], 11, 1)
    with pytest.raises(ValueError, match="longer than n_fft"):
        centred(hann(65), 64)


def test_frequencies_and_decibels():
    assert frequencies(512, 16_000)[[0, 1, -1]].tolist() == [0, 31.25, 8000]
    np.testing.assert_allclose(decibels(np.array([1.0, 100.0, 0.0])), [0, 20, -100])
