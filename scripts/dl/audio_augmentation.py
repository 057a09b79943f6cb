"""Augmentations of sound: of the waveform, and of the log-mel spectrogram.

A waveform x is (L,) samples, a spectrogram S is (T, M): rows are frames, columns mel bands. What is random takes a
generator; everything else is a function of its arguments.

Sources: image method: Allen, Berkley 1979, with the band-limited impulses of Peterson 1986. Speed: Ko et al. 2015.
Phase vocoder: Flanagan, Golden 1966, with the identity phase locking of Laroche, Dolson 1999. SpecAugment: Park et al.
2019 (arXiv 1904.08779), section 2. VTLP: Jaitly, Hinton 2013. mixup: Zhang et al. 2017 (1710.09412). μ-law: ITU-T
G.711.
"""

from fractions import Fraction

import numpy as np
from scipy.signal import butter, fftconvolve, resample_poly, sosfilt, sosfiltfilt

from scripts.dl.mel import mel_points
from scripts.dl.stft import frequencies, hann, istft, stft

SOUND = 343.0  # speed of sound, m/s, in air at 20 °C

# --- Loudness and noise --------------------------------------------------------------------------------------------


def gain(x: np.ndarray, decibels: float) -> np.ndarray:
    """Amplitudes times 10^(dB/20), so that the power is times 10^(dB/10)."""
    return x * 10 ** (decibels / 20)


# --8<-- [start:noise]
def add_noise(x, noise, snr):
    """x plus `noise` (as long as x) scaled to `snr` decibels."""
    signal_power, noise_power = np.mean(x**2), np.mean(noise**2)
    if noise_power == 0:
        raise ValueError("silence has no signal-to-noise ratio")
    return x + np.sqrt(signal_power / (noise_power * 10 ** (snr / 10))) * noise


# --8<-- [end:noise]


def snr(x: np.ndarray, y: np.ndarray) -> float:
    """Decibels of the signal x over the noise y - x."""
    return 10 * np.log10(np.mean(x**2) / np.mean((y - x) ** 2))


def pink_noise(length: int, rng: np.random.Generator) -> np.ndarray:
    """(length,) noise with power falling as 1 / f, nearer to a street or a room than white noise is."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum, length)
    return noise / noise.std()


def clip(x: np.ndarray, limit: float) -> np.ndarray:
    """Samples beyond ±limit are cut off, as by an overdriven microphone."""
    return np.clip(x, -limit, limit)


# --- Rooms ---------------------------------------------------------------------------------------------------------


def image_sources(room, source, reflection: float, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Mirror images of the source in the walls of a shoebox: positions (n, 3) in metres and amplitudes (n,).

    `room` is its three sides, one corner at the origin; `reflection` is the share of pressure every wall gives back;
    images are made for all cells of the mirrored lattice within `reach` metres. An image seen through k walls has the
    amplitude reflection^k.
    """
    room, source = np.asarray(room, float), np.asarray(source, float)
    axes = []
    for side, coordinate in zip(room, source, strict=True):
        n = np.arange(-int(reach / (2 * side)) - 1, int(reach / (2 * side)) + 2)
        positions = np.concatenate([2 * n * side + coordinate, 2 * n * side - coordinate])
        walls = np.concatenate([2 * np.abs(n), np.abs(n) + np.abs(n - 1)])
        axes.append((positions, walls))
    grids = np.meshgrid(*(positions for positions, _ in axes), indexing="ij")
    bounces = sum(np.meshgrid(*(walls for _, walls in axes), indexing="ij"))
    return np.stack([grid.ravel() for grid in grids], axis=1), reflection ** bounces.ravel().astype(float)


def room_response(room, source, microphone, reflection: float, rate: int, seconds: float) -> np.ndarray:
    """(round(seconds * rate),): pressure at the microphone after an impulse at the source, image method.

    Each image arrives after d / c seconds with the amplitude reflection^k / (4 π d), as an impulse limited to the
    band below rate / 2 (a Hann-windowed sinc of ±4 ms), because d / c falls between samples.
    """
    positions, amplitudes = image_sources(room, source, reflection, SOUND * seconds)
    distances = np.linalg.norm(positions - np.asarray(microphone, float), axis=1)
    delays = distances / SOUND * rate
    length, half = round(seconds * rate), round(0.004 * rate)
    heard = delays < length + half
    delays, strengths = delays[heard], amplitudes[heard] / (4 * np.pi * distances[heard])
    offsets = np.arange(-half, half + 1)
    nearest = np.round(delays).astype(int)
    away = nearest[:, None] + offsets - delays[:, None]
    window = 0.5 + 0.5 * np.cos(np.pi * np.clip(away / (half + 1), -1, 1))
    pulses = strengths[:, None] * window * np.sinc(away)
    h = np.zeros(length + 2 * half + 2)
    places = nearest[:, None] + offsets
    inside = (places >= 0) & (places < length)
    np.add.at(h, places[inside], pulses[inside])
    return h[:length]


def without_rumble(h: np.ndarray, rate: int, low: float = 100.0) -> np.ndarray:
    """The response above `low` Hz: all images have one sign, and their sum drifts as no real room does (Allen and
    Berkley filter it in the same way)."""
    return sosfilt(butter(2, low, btype="highpass", fs=rate, output="sos"), h)


def energy_decay(h: np.ndarray) -> np.ndarray:
    """(L,) decibels: the energy still to come after each sample, from 0 down (Schroeder 1965)."""
    left = np.cumsum(h[::-1] ** 2)[::-1]
    return 10 * np.log10(np.maximum(left / left[0], 1e-12))


def reverberation_time(h: np.ndarray, rate: int) -> float:
    """Seconds of a fall by 60 dB, from the line through the decay between -5 and -25 dB."""
    decay = energy_decay(h)
    part = (decay <= -5) & (decay >= -25)
    slope = np.polyfit(np.flatnonzero(part) / rate, decay[part], 1)[0]
    return -60 / slope


# --8<-- [start:reverberate]
def reverberate(x, h):
    """x * h with the direct sound in its old place, as long and as loud as x."""
    direct = np.argmax(np.abs(h) > 0.5 * np.abs(h).max())  # the first strong peak
    y = fftconvolve(x, h)[direct : direct + len(x)]
    return y * np.sqrt(np.mean(x**2) / np.mean(y**2))


# --8<-- [end:reverberate]


# --- Time and pitch ------------------------------------------------------------------------------------------------


# --8<-- [start:speed]
def speed(x, a):
    """y(t) = x(a t): duration / a, all frequencies × a."""
    ratio = Fraction(a).limit_denominator(1000)
    return resample_poly(x, ratio.denominator, ratio.numerator)


# --8<-- [end:speed]


# --8<-- [start:stretch]
def time_stretch(x, a, n_fft=1024):
    """Duration / a, frequencies as before: phase vocoder."""
    hop, window = n_fft // 4, hann(n_fft)
    X = np.pad(stft(x, window, hop), [(0, 2), (0, 0)])
    steady = 2 * np.pi * hop * np.arange(X.shape[1]) / n_fft
    phase, Y = np.angle(X[0]), []
    for place in np.arange(0, len(X) - 2, a):  # a fractional frame of x
        m, part = int(place), place % 1
        size = (1 - part) * np.abs(X[m]) + part * np.abs(X[m + 1])
        angle, peak = np.angle(X[m]), nearest_peak(size)
        phase = phase[peak] + angle - angle[peak]
        Y.append(size * np.exp(1j * phase))
        turn = np.angle(X[m + 1]) - angle - steady
        turn -= 2 * np.pi * np.round(turn / (2 * np.pi))  # to [-π, π]
        phase = phase + steady + turn
    return istft(np.array(Y), window, hop, length=round(len(x) / a))


# --8<-- [end:stretch]


def nearest_peak(size: np.ndarray) -> np.ndarray:
    """(K,): for each bin the number of the nearest local maximum, whose phase the bin follows ("identity phase
    locking"): the bins of one harmonic turn together, otherwise they cancel and the voice sounds hollow."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(size, 2, constant_values=-1.0), 5)
    peaks = np.flatnonzero(size >= around.max(axis=1))
    between = (peaks[1:] + peaks[:-1]) / 2
    return peaks[np.searchsorted(between, np.arange(len(size)))]


def pitch_shift(x: np.ndarray, semitones: float) -> np.ndarray:
    """Frequencies × 2^(semitones / 12), duration as before: stretch, then play faster (or slower).

    The formants move with the pitch, as in `speed`.
    """
    a = float(Fraction(2 ** (semitones / 12)).limit_denominator(1000))
    y = speed(time_stretch(x, 1 / a), a)
    return np.pad(y, (0, max(0, len(x) - len(y))))[: len(x)]


# --- Channels ------------------------------------------------------------------------------------------------------


def band_pass(x: np.ndarray, rate: int, low: float, high: float) -> np.ndarray:
    """Butterworth of order 4, run forwards and backwards, so that nothing is delayed."""
    return sosfiltfilt(butter(4, [low, high], btype="bandpass", fs=rate, output="sos"), x)


def mu_law(x: np.ndarray, bits: int = 8, mu: float = 255.0) -> np.ndarray:
    """x in [-1, 1] through logarithmic quantisation to 2^bits levels and back."""
    compressed = np.sign(x) * np.log1p(mu * np.abs(x)) / np.log1p(mu)
    levels = 2 ** (bits - 1) - 1
    quantised = np.round(compressed * levels) / levels
    return np.sign(quantised) * np.expm1(np.abs(quantised) * np.log1p(mu)) / mu


def telephone(x: np.ndarray, rate: int) -> np.ndarray:
    """300–3400 Hz and 8 bits of μ-law: a fixed line."""
    return mu_law(np.clip(band_pass(x, rate, 300.0, 3400.0), -1, 1))


# --- Spectrogram ---------------------------------------------------------------------------------------------------


# --8<-- [start:specaugment]
def mask_spans(length, widest, count, rng):
    """(count, 2): starts and ends, width uniform on 0 … `widest`."""
    widths = rng.integers(0, min(widest, length) + 1, count)
    starts = rng.integers(0, length - widths + 1)
    return np.stack([starts, starts + widths], axis=1)


def spec_augment(S, rng, F=27, m_F=2, T_m=100, m_T=2, share=1.0):
    """S (T, M) with bands and times replaced by the mean of S."""
    T, M = S.shape
    out, fill = S.copy(), S.mean()
    for start, end in mask_spans(M, F, m_F, rng):
        out[:, start:end] = fill
    for start, end in mask_spans(T, min(T_m, int(share * T)), m_T, rng):
        out[start:end] = fill
    return out


# --8<-- [end:specaugment]


def time_warp(S: np.ndarray, place: int, shift: float) -> np.ndarray:
    """S (T, M) whose frame `place` is moved to `place + shift`; the ends stay, time is linear between.

    The paper moves one point by a two-dimensional spline; with the ends and the bands fixed it is nearly this.

    Raises ValueError when the moved frame would leave the spectrogram.
    """
    last = len(S) - 1
    if not 0 < place + shift < last:
        raise ValueError(f"frame {place} moved by {shift} leaves {len(S)} frames")
    sources = np.interp(np.arange(len(S)), [0, place + shift, last], [0, place, last])
    before = np.minimum(sources.astype(int), last - 1)
    part = (sources - before)[:, None]
    return (1 - part) * S[before] + part * S[before + 1]


# --8<-- [start:vtlp]
def vtlp_frequency(f, alpha, rate, high=4800.0):
    """f (Hz) times alpha up to a knee, then linear to rate / 2."""
    knee = high * min(alpha, 1) / alpha
    nyquist = rate / 2
    slope = (nyquist - alpha * knee) / (nyquist - knee)
    return np.where(f <= knee, alpha * f, nyquist - slope * (nyquist - f))


# --8<-- [end:vtlp]


def vtlp_filters(n_mels: int, n_fft: int, rate: int, alpha: float, high: float = 4800.0) -> np.ndarray:
    """Mel filters whose points are moved by `vtlp_frequency`: alpha < 1 shows the formants higher."""
    points = vtlp_frequency(mel_points(n_mels, 0.0, rate / 2), alpha, rate, high)
    left, centre, right = points[:-2, None], points[1:-1, None], points[2:, None]
    f = frequencies(n_fft, rate)
    return np.maximum(0, np.minimum((f - left) / (centre - left), (right - f) / (right - centre)))


# --- Pairs ---------------------------------------------------------------------------------------------------------


def mixup(x: np.ndarray, y: np.ndarray, other_x: np.ndarray, other_y: np.ndarray, share: float):
    """share of the first example and 1 - share of the second: inputs and one-hot (or soft) labels alike."""
    return share * x + (1 - share) * other_x, share * y + (1 - share) * other_y
