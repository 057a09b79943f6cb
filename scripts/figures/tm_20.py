"""Figures of tm-20: from sound to a log-mel spectrogram, what it keeps, and what it throws away."""

from functools import cache

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from scipy.fft import idct

from scripts.dl.audio_augmentation import gain
from scripts.dl.griffin_lim import griffin_lim
from scripts.dl.mel import FLOOR, hz_to_mel, log_mel, mel_filters, mel_points, mfcc
from scripts.dl.speech import BANDWIDTHS, PEAK, Utterance, phrase, tract_response, vowel_formants
from scripts.dl.stft import decibels, frequencies, hann, stft
from scripts.experiments import waveform_or_mel as experiment
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

RATE = 16_000
N, HOP, N_FFT, BANDS = 400, 160, 512, 80  # 25 ms, 10 ms
RANGE = 60.0  # dB shown below the loudest point
SHADES = 16  # of an image: few, so that it compresses well


def fade(x: np.ndarray, seconds: float = 0.01, rate: int = RATE) -> np.ndarray:
    """Raised-cosine edges, and the peak of a phrase."""
    y = edged(x, seconds, rate)
    return PEAK * y / np.abs(y).max()


def edged(x: np.ndarray, seconds: float = 0.01, rate: int = RATE) -> np.ndarray:
    """Raised-cosine edges."""
    n = round(seconds * rate)
    edge = np.sin(np.pi / 2 * np.arange(n) / n) ** 2
    y = x.copy()
    y[:n] *= edge
    y[-n:] *= edge[::-1]
    return y


def in_turn(*sounds: np.ndarray, pause: float = 0.3) -> np.ndarray:
    """One after another with silence between, as loud relative to each other as they are, for the ear to compare."""
    silence = np.zeros(round(pause * RATE))
    joined = np.concatenate([piece for x in sounds for piece in (edged(x), silence)][:-1])
    return PEAK * joined / np.abs(joined).max()


def shades(theme: Theme, count: int = SHADES) -> ListedColormap:
    return ListedColormap(pyplot.get_cmap(theme.sequential)(np.linspace(0, 1, count)))


# --- Three vowels ---------------------------------------------------------------------------------------------------


@cache
def vowels() -> Utterance:
    """«а – и – у», 0.3 s each, the voice falling from 140 to 100 Hz."""
    return phrase("аиу", 0.3, (140.0, 100.0), RATE)


@cache
def power() -> np.ndarray:
    """(T, 257) |X|² of the three vowels."""
    return np.abs(stft(vowels().samples, hann(N), HOP, N_FFT)) ** 2


def show(panel, S: np.ndarray, theme: Theme, extent: tuple[float, float, float, float], depth: float) -> None:
    """A spectrogram (T, bands), time to the right, shades over `depth` below its maximum."""
    panel.imshow(S.T, origin="lower", aspect="auto", extent=extent, cmap=shades(theme), vmin=S.max() - depth,
                 vmax=S.max(), interpolation="none")  # fmt: skip
    panel.grid(False)


def hz_on_mel(panel, values: tuple[int, ...], bands: int = BANDS, rate: int = RATE) -> None:
    """Label the axis of mel bands with the Hz of their centres."""
    step = hz_to_mel(rate / 2) / (bands + 1)
    panel.set_yticks([hz_to_mel(f) / step - 0.5 for f in values], [number(f) for f in values])


def name_vowels(panel, height: float, theme: Theme) -> None:
    for letter, (start, end) in zip(vowels().text, vowels().spans, strict=True):
        panel.text((start + end) / 2, height, letter, ha="center", va="bottom", color=theme.ink)


@figure
def pipeline(theme: Theme) -> Figure:
    drawing, (wave, spectrum, mel) = pyplot.subplots(3, 1, figsize=(WIDTH, 6.0), sharex=True)
    x = vowels().samples
    wave.plot(np.arange(len(x)) / RATE, x, color=theme.forward, linewidth=0.4, rasterized=True)
    wave.set(ylabel="давление", ylim=(-0.9, 1.15), title=f"Волна: {len(x)} отсчётов")
    wave.yaxis.set_major_formatter(ticks())
    name_vowels(wave, 0.85, theme)
    end = len(x) / RATE
    show(spectrum, decibels(power()), theme, (0, end, 0, 8), RANGE)
    spectrum.set(ylabel="частота, кГц", yticks=(0, 2, 4, 6, 8),
                 title=f"Спектр мощности: {power().shape[0]} × {power().shape[1]}")  # fmt: skip
    S = log_mel(x)
    show(mel, S, theme, (0, end, 0, BANDS), RANGE * np.log(10) / 10)
    mel.set(ylabel="частота, Гц", xlabel="время, с", title=f"Лог-мел: {S.shape[0]} × {S.shape[1]}")
    hz_on_mel(mel, (250, 1000, 2000, 4000, 8000))
    mel.xaxis.set_major_formatter(ticks(1))
    return drawing


# --- One frame through the filters ----------------------------------------------------------------------------------

FRAME = 15  # 150 ms, the middle of «а»


@figure
def one_frame(theme: Theme) -> Figure:
    drawing, (spectrum, filters, bands) = pyplot.subplots(3, 1, figsize=(WIDTH, 6.0))
    f = frequencies(N_FFT, RATE) / 1000
    spectrum.plot(f, decibels(power()[FRAME]), color=theme.forward, linewidth=1.2)
    for formant in (700, 1100, 2600):
        spectrum.axvline(formant / 1000, color=theme.muted, linewidth=0.8, linestyle=":")
    spectrum.set(ylabel="мощность, дБ", title="Кадр гласной «а»: 257 частот", xlim=(0, 8))
    M = mel_filters(BANDS, N_FFT, RATE)
    points = mel_points(BANDS, 0, RATE / 2) / 1000
    for i in range(3, BANDS, 4):
        filters.plot(points[i : i + 3], [0, 1, 0], color=theme.backward, linewidth=1.1)
    filters.set(ylabel="вес", xlabel="частота, кГц", xlim=(0, 8), title="Каждый четвёртый из 80 треугольников")
    filters.set_yticks([0, 1])
    S = np.log(power()[FRAME] @ M.T + FLOOR)
    bands.plot(np.arange(1, BANDS + 1), S, color=theme.good, marker=".", markersize=4, linewidth=1.2)
    bands.set(ylabel="логарифм", xlabel="номер мел-полосы", xlim=(0.5, BANDS + 0.5), title="Лог-мел: 80 чисел")
    for panel in (spectrum, bands):
        panel.yaxis.set_major_formatter(ticks())
    return drawing


# --- Phases and shifts ----------------------------------------------------------------------------------------------

PITCH = 250.0


@cache
def twins(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two sounds of 0.6 s with equal harmonics of 250 Hz (the envelope of «а») and different random phases."""
    k = np.arange(1, int(RATE / 2 / PITCH))
    formants = vowel_formants("а", RATE)
    amplitudes = np.abs(tract_response(k * PITCH, formants, BANDWIDTHS[: len(formants)], RATE)) / k
    t, rng = np.arange(round(0.6 * RATE)) / RATE, np.random.default_rng(seed)
    sounds = []
    for _ in range(2):
        phases = rng.uniform(0, 2 * np.pi, len(k))
        sounds.append((amplitudes[:, None] * np.cos(2 * np.pi * PITCH * k[:, None] * t + phases[:, None])).sum(axis=0))
    peak = max(np.abs(x).max() for x in sounds)
    return PEAK * sounds[0] / peak, PEAK * sounds[1] / peak


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def inner(S: np.ndarray) -> np.ndarray:
    """Without the frames that the padded ends of the signal reach."""
    return S[3:-3]


@figure
def phases(theme: Theme) -> Figure:
    drawing, (first, second, mel) = pyplot.subplots(3, 1, figsize=(WIDTH, 5.4))
    a, b = twins()
    t = np.arange(320) / RATE * 1000
    for panel, x, colour, name in ((first, a, theme.forward, "первый"), (second, b, theme.backward, "второй")):
        panel.plot(t, x[3200:3520], color=colour, linewidth=1.3)
        panel.set(ylabel="давление", ylim=(-0.9, 0.9), title=f"Волна, {name} набор фаз")
        panel.yaxis.set_major_formatter(ticks())
    first.sharex(second)
    second.set_xlabel("время, мс")
    second.xaxis.set_major_formatter(ticks())
    bands = np.arange(1, BANDS + 1)
    mel.plot(bands, log_mel(a)[30], color=theme.forward, linewidth=3.5, alpha=0.5, label="первый")
    mel.plot(bands, log_mel(b)[30], color=theme.backward, linewidth=1.2, linestyle="--", label="второй")
    mel.set(ylabel="логарифм", xlabel="номер мел-полосы", title="Лог-мел одного кадра")
    mel.yaxis.set_major_formatter(ticks())
    mel.set_ylim(-16, 9)
    mel.legend(loc="lower right", ncols=2)
    return drawing


SHIFTS = np.arange(0, 161, 4)  # samples


@cache
def shift_correlations() -> dict[str, np.ndarray]:
    """Correlation of the three vowels with themselves, delayed by each of `SHIFTS`: waveform and log-mel."""
    x, longest = vowels().samples, SHIFTS[-1]
    still = x[longest:]
    mels = log_mel(still)
    late = [x[longest - shift : len(x) - shift] for shift in SHIFTS]
    return {
        "waveform": np.array([correlation(still, y) for y in late]),
        "mel": np.array([correlation(inner(mels), inner(log_mel(y))) for y in late]),
    }


@figure
def shift(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.0))
    found, milliseconds = shift_correlations(), SHIFTS / RATE * 1000
    panel.axhline(0, color=theme.muted, linewidth=0.8)
    panel.plot(milliseconds, found["mel"], color=theme.good, label="лог-мел")
    panel.plot(milliseconds, found["waveform"], color=theme.bad, label="волна")
    panel.set(xlabel="сдвиг, мс", ylabel="корреляция с исходной", ylim=(-0.8, 1.08))
    panel.set_yticks([-0.5, 0, 0.5, 1])
    panel.yaxis.set_major_formatter(ticks(1))
    panel.legend(loc="lower right", bbox_to_anchor=(1, 0.66))
    return drawing


# --- Back to sound --------------------------------------------------------------------------------------------------

GL_N, GL_HOP, GL_STEPS = 512, 128, 60
COEFFICIENTS = 13


def spectrum_of(mel_power: np.ndarray, M: np.ndarray, steps: int = 100) -> np.ndarray:
    """(T, K) >= 0 powers with nearly these mel powers (T, M): least squares by multiplicative updates, from a spectrum
    spread evenly over each triangle (Lee, Seung 2000)."""
    P = (mel_power / M.sum(axis=1)) @ M
    for _ in range(steps):
        P *= (mel_power @ M) / (P @ M.T @ M + FLOOR)
    return P


def _from_mel(mel_power: np.ndarray) -> np.ndarray:
    """Sound whose mel powers are near to (T, 80): a spectrum of such powers, then phases by Griffin and Lim."""
    magnitude = np.sqrt(spectrum_of(mel_power, mel_filters(BANDS, GL_N, RATE)))
    return griffin_lim(magnitude, hann(GL_N), GL_HOP, len(vowels().samples), GL_STEPS, np.random.default_rng(0))[0]


@cache
def reconstructions() -> dict[str, np.ndarray]:
    """The vowels from what is left of them: `mel` 80 mel bands, `mfcc` 13 coefficients."""
    X = stft(vowels().samples, hann(GL_N), GL_HOP)
    S = np.log(np.abs(X) ** 2 @ mel_filters(BANDS, GL_N, RATE).T + FLOOR)
    smooth = mfcc(S, BANDS) * (np.arange(BANDS) < COEFFICIENTS)
    return {
        "mel": fade(_from_mel(np.exp(S))),
        "mfcc": fade(_from_mel(np.exp(idct(smooth, norm="ortho", axis=-1)))),
    }


@figure
def inversion(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(3, 1, figsize=(WIDTH, 6.0), sharex=True, sharey=True)
    found = reconstructions()
    rows = ((vowels().samples, "Исходная"), (found["mel"], "Из 80 мел-полос"), (found["mfcc"], "Из 13 MFCC"))
    for panel, (x, title) in zip(panels, rows, strict=True):
        P = decibels(np.abs(stft(x, hann(N), HOP, N_FFT)) ** 2)[:, : N_FFT // 4 + 1]
        show(panel, P, theme, (0, len(x) / RATE, 0, 4), RANGE)
        panel.set(ylabel="кГц", title=title, yticks=(0, 1, 2, 3, 4))
    panels[-1].set_xlabel("время, с")
    panels[-1].xaxis.set_major_formatter(ticks(1))
    return drawing


# --- Little data ----------------------------------------------------------------------------------------------------

SEEDS = 5


@figure
def little_data(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.4))
    found = experiment.errors(SEEDS)
    for kind, label, colour, marker in (("waveform", "волна", "bad", "s"), ("mel", "лог-мел", "good", "o")):
        table, hue = np.maximum(found[kind], 0.001), getattr(theme, colour)
        panel.fill_between(experiment.SIZES, table.min(axis=1), table.max(axis=1), color=hue, alpha=0.18, linewidth=0)
        panel.plot(experiment.SIZES, table.mean(axis=1), color=hue, marker=marker, markersize=5, label=label)
    panel.set(xscale="log", yscale="log", xlabel="обучающих примеров", ylabel="доля ошибок")
    panel.set_xticks(experiment.SIZES)
    panel.set_yticks([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4])
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(ticks())
        axis.minorticks_off()
    panel.legend(loc="upper right")
    return drawing


# --- Cepstrum -------------------------------------------------------------------------------------------------------


@cache
def correlations() -> dict[str, np.ndarray]:
    """Absolute correlations between 26 log-mel bands, and between 13 MFCC, over frames of loud and quiet speech."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(40):
        text, pitch = "".join(rng.choice(list("аэиоуы"), 4)), rng.uniform(90, 220) * rng.uniform(0.8, 1.2, 2)
        x = phrase(text, 0.15, pitch, 8000, gap=0.05, tract=rng.uniform(0.85, 1.2)).samples
        noisy = gain(x, rng.uniform(-20, 0)) + 0.003 * rng.standard_normal(len(x))
        rows.append(log_mel(noisy, 8000, 26, 256))
    S = np.concatenate(rows)
    return {"mel": np.abs(np.corrcoef(S.T)), "mfcc": np.abs(np.corrcoef(mfcc(S).T))}


def off_diagonal(C: np.ndarray) -> float:
    return float(C[~np.eye(len(C), dtype=bool)].mean())


@figure
def cepstrum(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(1, 2, figsize=(WIDTH, 2.9))
    rows = (("mel", "26 лог-мел", 1, (5, 10, 15, 20, 25)), ("mfcc", "13 MFCC", 0, (0, 4, 8, 12)))
    for panel, (name, title, first, labels) in zip(panels, rows, strict=True):
        C = correlations()[name]
        ends = (first - 0.5, first - 0.5 + len(C))
        image = panel.imshow(C, origin="lower", cmap=shades(theme), vmin=0, vmax=1, interpolation="none",
                             extent=ends + ends)  # fmt: skip
        panel.set(title=title, xlabel="номер", xticks=labels, yticks=labels)
        panel.grid(False)
    bar = drawing.colorbar(image, ax=panels, shrink=0.8, ticks=(0, 0.5, 1))
    bar.ax.yaxis.set_major_formatter(ticks(1))
    bar.set_label("|корреляция|")
    return drawing
