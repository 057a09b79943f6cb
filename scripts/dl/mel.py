"""Mel scale, triangular filters, log-mel spectrogram, MFCC.

Powers are (…, T, K), K = n_fft // 2 + 1 frequencies; mel powers are (…, T, M) for M filters. Frequencies are in Hz,
logarithms natural.

Sources: scale "htk": O'Shaughnessy 1987 in the form of the HTK Book, section 5.4; "slaney": Slaney 1998 (Auditory
Toolbox: linear below 1 kHz, logarithmic above), the default of librosa. MFCC: Davis, Mermelstein 1980.
"""

import numpy as np
from scipy.fft import dct

from scripts.dl.stft import frequencies, hann, stft

FLOOR = 1e-10  # added to powers before the logarithm

SLANEY_STEP = 200 / 3  # Hz in a mel below 1 kHz
SLANEY_KNEE = 1000.0  # Hz, where the logarithm begins
SLANEY_LOG = np.log(6.4) / 27  # growth of ln f in a mel above it


# --8<-- [start:scale]
def hz_to_mel(f, scale="htk"):
    f = np.asarray(f, dtype=float)
    if scale == "htk":
        return 2595 * np.log10(1 + f / 700)
    knee = SLANEY_KNEE / SLANEY_STEP  # 15 mel
    above = knee + np.log(np.maximum(f, 1e-9) / SLANEY_KNEE) / SLANEY_LOG
    return np.where(f < SLANEY_KNEE, f / SLANEY_STEP, above)


# --8<-- [end:scale]


def mel_to_hz(mel: np.ndarray, scale: str = "htk") -> np.ndarray:
    """The inverse of `hz_to_mel`."""
    mel = np.asarray(mel, dtype=float)
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    knee = SLANEY_KNEE / SLANEY_STEP
    return np.where(mel < knee, mel * SLANEY_STEP, SLANEY_KNEE * np.exp(SLANEY_LOG * (mel - knee)))


def mel_points(n_mels: int, low: float, high: float, scale: str = "htk") -> np.ndarray:
    """(n_mels + 2,) Hz, equally spaced in mel: filter i rises from point i to i + 1 and falls to i + 2."""
    return mel_to_hz(np.linspace(hz_to_mel(low, scale), hz_to_mel(high, scale), n_mels + 2), scale)


# --8<-- [start:filters]
def mel_filters(n_mels, n_fft, rate, low=0.0, high=None, scale="htk", unit_area=False):
    """(n_mels, n_fft // 2 + 1): each row is a triangle of height 1."""
    points = mel_points(n_mels, low, high or rate / 2, scale)
    left, centre, right = points[:-2, None], points[1:-1, None], points[2:, None]
    f = frequencies(n_fft, rate)
    rise, fall = (f - left) / (centre - left), (right - f) / (right - centre)
    M = np.maximum(0, np.minimum(rise, fall))
    return M * 2 / (right - left) if unit_area else M


# --8<-- [end:filters]


# --8<-- [start:log-mel]
def log_mel(x, rate=16_000, n_mels=80, n_fft=512, window=0.025, hop=0.010, scale="htk", floor=FLOOR):
    """(…, L) samples -> (…, T, n_mels) natural logarithms of power."""
    w = hann(round(window * rate))
    power = np.abs(stft(x, w, round(hop * rate), n_fft)) ** 2
    return np.log(power @ mel_filters(n_mels, n_fft, rate, scale=scale).T + floor)


# --8<-- [end:log-mel]


def pre_emphasis(x: np.ndarray, coefficient: float = 0.97) -> np.ndarray:
    """(…, L): x[n] - c x[n - 1], a high-pass that flattens the fall of the voice's spectrum."""
    return np.concatenate([x[..., :1], x[..., 1:] - coefficient * x[..., :-1]], axis=-1)


def normalize(S: np.ndarray, axis: int | tuple[int, ...] = -2, eps: float = 1e-5) -> np.ndarray:
    """Zero mean and unit variance along `axis`; by default over time, for each band of one utterance."""
    return (S - S.mean(axis=axis, keepdims=True)) / np.sqrt(S.var(axis=axis, keepdims=True) + eps)


def mfcc(S: np.ndarray, count: int = 13) -> np.ndarray:
    """(…, T, count): the first coefficients of the orthonormal DCT-II of each row of a log-mel spectrogram."""
    return dct(S, type=2, norm="ortho", axis=-1)[..., :count]
