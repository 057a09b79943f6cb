"""Short-time Fourier transform and its inverse by overlap-add.

A waveform x is (…, L) samples. A spectrum is (…, T, K): rows are frames, columns the K = n_fft // 2 + 1 frequencies
k f_s / n_fft from 0 to f_s / 2. The window is (N,) samples, N ≤ n_fft; the hop is H samples. (`torch.stft` returns
the transpose, (…, K, T).)

Sources: Allen 1977 (Short term spectral analysis, synthesis, and modification by discrete Fourier transform); inverse:
Griffin, Lim 1984 (Signal estimation from modified short-time Fourier transform), eq. 6.
"""

import numpy as np


def hann(N: int) -> np.ndarray:
    """(N,) periodic Hann window, as `torch.hann_window`: shifted by N / 2 and added it gives a constant."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N) / N)


def frame_count(length: int, N: int, hop: int, center: bool = True) -> int:
    """Frames of a signal of `length` samples. `center` pads both ends, so that frame m is centred on sample m hop."""
    return 1 + length // hop if center else 1 + (length - N) // hop


def frames(x: np.ndarray, N: int, hop: int) -> np.ndarray:
    """(…, 1 + (L - N) // hop, N): overlapping pieces; a tail shorter than N is dropped.

    Raises ValueError for a signal shorter than N.
    """
    if x.shape[-1] < N:
        raise ValueError(f"a signal of {x.shape[-1]} samples has no frame of {N}")
    return np.lib.stride_tricks.sliding_window_view(x, N, axis=-1)[..., ::hop, :]


# --8<-- [start:stft]
def stft(x, window, hop, n_fft=None, center=True):
    """(…, T, n_fft // 2 + 1) complex: row m is the FFT of frame m."""
    N = len(window)
    n_fft = n_fft or N
    if center:  # frame m is centred on sample m * hop
        ends = [(0, 0)] * (x.ndim - 1) + [(n_fft // 2, n_fft // 2)]
        x = np.pad(x, ends, mode="reflect")
        window, N = centred(window, n_fft), n_fft
    return np.fft.rfft(frames(x, N, hop) * window, n_fft)


# --8<-- [end:stft]


def centred(window: np.ndarray, n_fft: int) -> np.ndarray:
    """(n_fft,): the window with zeros on both sides.

    Raises ValueError for a window longer than n_fft.
    """
    left = (n_fft - len(window)) // 2
    if left < 0:
        raise ValueError(f"a window of {len(window)} samples is longer than n_fft = {n_fft}")
    return np.pad(window, (left, n_fft - len(window) - left))


def istft(
    X: np.ndarray,
    window: np.ndarray,
    hop: int,
    n_fft: int | None = None,
    center: bool = True,
    length: int | None = None,
) -> np.ndarray:
    """(…, L): the signal whose spectrum is nearest to X in least squares (Griffin, Lim 1984, eq. 6).

    Frames are windowed once more, added where they overlap, and divided by the sum of squared windows; the exact
    inverse of `stft` wherever some window is not zero. Samples that no window reaches are 0. `length` cuts or pads.
    """
    n_fft = n_fft or len(window)
    window = centred(window, n_fft) if center else np.pad(window, (0, n_fft - len(window)))
    pieces = np.fft.irfft(X, n_fft) * window
    T = pieces.shape[-2]
    total = n_fft + hop * (T - 1)
    x, weight = np.zeros((*pieces.shape[:-2], total)), np.zeros(total)
    for m in range(T):
        x[..., m * hop : m * hop + n_fft] += pieces[..., m, :]
        weight[m * hop : m * hop + n_fft] += window**2
    x = np.divide(x, weight, out=np.zeros_like(x), where=weight > 1e-11)
    if center:
        x = x[..., n_fft // 2 :]
        length = hop * (T - 1) if length is None else length
    if length is None:
        return x
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, max(0, length - x.shape[-1]))])[..., :length]


def frequencies(n_fft: int, rate: float) -> np.ndarray:
    """(n_fft // 2 + 1,) Hz of the columns of a spectrum."""
    return np.arange(n_fft // 2 + 1) * rate / n_fft


def decibels(power: np.ndarray, reference: float = 1.0, floor: float = 1e-10) -> np.ndarray:
    """10 lg(power / reference); powers below `floor` count as `floor`."""
    return 10 * np.log10(np.maximum(power, floor) / reference)
