"""Figures of ticket-10: sampling, windows, the lattices of CTC and RNN-T on one phrase, what tiny models learn."""

from functools import cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from scipy.special import logsumexp

from scripts.dl import audio_augmentation as aug
from scripts.dl import ctc, transducer
from scripts.dl.mel import log_mel
from scripts.dl.speech import PEAK, tone
from scripts.dl.stft import decibels, hann, stft
from scripts.experiments import vowel_ctc as vowels
from scripts.experiments import vowel_models as models
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

SMALL = 8.5
SHADES = 12  # of an image: few, so that it compresses well
DEPTH = 60.0  # dB shown below the loudest point
HUE = {"и": "forward", "а": "backward", "у": "good", "∅": "muted"}


def shades(theme: Theme) -> ListedColormap:
    return ListedColormap(pyplot.get_cmap(theme.sequential)(np.linspace(0, 1, SHADES)))


def paint(panel: Axes, image: np.ndarray, theme: Theme, extent, low: float, high: float, origin="lower") -> None:
    """A matrix (rows, columns) of shades between `low` and `high`."""
    panel.imshow(image, origin=origin, aspect="auto", extent=extent, cmap=shades(theme), vmin=low, vmax=high,
                 interpolation="none")  # fmt: skip
    panel.grid(False)


# --- Sampling --------------------------------------------------------------------------------------------------------

TOO_HIGH, ALIAS, AUDIO_RATE = 9000.0, 7000.0, 16_000
SWEEP_RATE, SWEEP_SECONDS, SWEEP_TOP = 8000, 3.0, 7800.0


@cache
def sweep() -> np.ndarray:
    """A tone that rises from 200 Hz to `SWEEP_TOP`, sampled at 8 kHz without a low-pass filter."""
    t = np.arange(round(SWEEP_SECONDS * SWEEP_RATE)) / SWEEP_RATE
    phase = 2 * np.pi * (200 * t + (SWEEP_TOP - 200) * t**2 / (2 * SWEEP_SECONDS))
    edge = np.clip(np.minimum(t, SWEEP_SECONDS - t) / 0.02, 0, 1)
    return 0.4 * np.sin(phase) * edge


@figure
def aliasing(theme: Theme) -> Figure:
    drawing, (samples, picture) = pyplot.subplots(2, 1, figsize=(WIDTH, 4.9))
    t = np.linspace(0, 1e-3, 1000)
    for frequency, sign, colour, line in ((TOO_HIGH, 1, "bad", "-"), (ALIAS, -1, "forward", "--")):
        samples.plot(1000 * t, sign * PEAK * np.sin(2 * np.pi * frequency * t), line, linewidth=1.2,
                     color=getattr(theme, colour), label=f"{frequency / 1000:.0f} кГц")  # fmt: skip
    count = AUDIO_RATE // 1000 + 1
    samples.plot(np.arange(count) * 1000 / AUDIO_RATE, tone(TOO_HIGH, count / AUDIO_RATE, AUDIO_RATE), "o",
                 color=theme.ink, markersize=5, label="отсчёты")  # fmt: skip
    samples.set(xlabel="время, мс", ylim=(-1.0, 1.7), title="Отсчёты 16 кГц: 9 кГц неотличимы от 7 кГц")
    samples.legend(ncols=3, loc="upper center")
    samples.xaxis.set_major_formatter(ticks(1))
    samples.yaxis.set_major_formatter(ticks(1))
    S = decibels(np.abs(stft(sweep(), hann(256), 128)) ** 2)
    paint(picture, S.T, theme, (0, SWEEP_SECONDS, 0, SWEEP_RATE / 2000), S.max() - DEPTH, S.max())
    picture.plot([0, SWEEP_SECONDS], [0.2, SWEEP_TOP / 1000], ":", color=theme.ink)
    picture.axhline(SWEEP_RATE / 2000, color=theme.bad, linewidth=1.2)
    picture.text(
        0.05, SWEEP_RATE / 2000 + 0.15, "половина частоты дискретизации", color=theme.bad, fontsize=SMALL + 0.5
    )
    picture.set(xlim=(0, SWEEP_SECONDS), ylim=(0, SWEEP_TOP / 1000 + 0.2), xlabel="время, с", ylabel="частота, кГц",
                title="Тон поднимается до 7,8 кГц, отсчёты 8 кГц")  # fmt: skip
    samples.set_yticks([-0.8, 0, 0.8])
    picture.xaxis.set_major_formatter(ticks(1))
    return drawing


# --- One phrase, three windows ---------------------------------------------------------------------------------------

WINDOWS = (0.005, 0.025, 0.1)  # seconds
STEP, GRID = 0.003, 256  # least seconds between frames; points of the FFT that are shown


@cache
def spectrogram(window: float) -> np.ndarray:
    """(T, 129) decibels of the phrase, a frame each 3 ms or fifth of the window; one grid of frequencies."""
    size = round(window * vowels.RATE)
    n_fft = max(GRID, 1 << (size - 1).bit_length())
    padded = np.abs(stft(vowels.sample().samples, hann(size), round(max(STEP, window / 5) * vowels.RATE), n_fft)) ** 2
    return decibels(padded[:, :: n_fft // GRID])


def wave(panel: Axes, theme: Theme) -> None:
    """The phrase as samples, the letters over their vowels."""
    x, spans = vowels.sample().samples, vowels.sample().spans
    panel.plot(np.arange(len(x)) / vowels.RATE, x, color=theme.muted, linewidth=0.4, rasterized=True)
    for letter, (start, end) in zip(vowels.sample().text, spans, strict=True):
        panel.axvspan(start, end, color=getattr(theme, HUE[letter]), alpha=0.13, linewidth=0)
        panel.text((start + end) / 2, 0.92, letter, ha="center", color=getattr(theme, HUE[letter]))
    panel.set(xlim=(0, len(x) / vowels.RATE), ylim=(-0.9, 1.35))
    panel.set_yticks([])
    panel.grid(False)


@figure
def windows(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(5, 1, figsize=(WIDTH, 8.4), sharex=True, height_ratios=(0.7, 1, 1, 1, 1))
    wave(panels[0], theme)
    panels[0].set_title("Волна, 8 кГц")
    seconds = len(vowels.sample().samples) / vowels.RATE
    for panel, window in zip(panels[1:4], WINDOWS, strict=True):
        S = spectrogram(window)
        paint(panel, S.T, theme, (0, seconds, 0, vowels.RATE / 2000), S.max() - DEPTH, S.max())
        panel.set(ylabel="кГц", title=f"Окно {number(1000 * window)} мс")
    S = log_mel(vowels.sample().samples, vowels.RATE, vowels.BANDS, vowels.N_FFT)
    paint(panels[4], S.T, theme, (0, seconds, 0, vowels.BANDS), S.max() - DEPTH * np.log(10) / 10, S.max())
    panels[4].set(ylabel="полоса", xlabel="время, с", title="Лог-мел, 25 мс через 10 мс, 40 полос")
    panels[4].xaxis.set_major_formatter(ticks(1))
    return drawing


# --- The lattice of CTC ----------------------------------------------------------------------------------------------

TEXT = "иаау"
PLATEAU, BROKEN = 4, 5  # epochs: the last that says only blanks, and the next


def labels() -> vowels.Labels:
    return vowels.encode(TEXT)


def outputs(epoch: int) -> np.ndarray:
    """(T, K) log-probabilities of the phrase after an epoch, in float64 and normalised again."""
    said = vowels.learning()["log_p"][epoch].astype(float)
    return said - logsumexp(said, axis=1, keepdims=True)


def states() -> list[str]:
    return ["∅", *(part for letter in TEXT for part in (letter, "∅"))]


def moments() -> np.ndarray:
    """Seconds of the outputs: the centre of each frame."""
    return np.arange(len(outputs(0))) * vowels.FRAME


def lattice(panel: Axes, theme: Theme, log_p: np.ndarray) -> None:
    """Shares of the states at each frame, the best path over them."""
    share, best = ctc.posterior(log_p, labels()), ctc.best_alignment(log_p, labels())
    half = vowels.FRAME / 2
    paint(panel, share.T, theme, (-half, moments()[-1] + half, len(states()) - 0.5, -0.5), 0, 1, origin="upper")
    panel.plot(moments(), best, "o", color=theme.bad, markersize=2.6)
    panel.set_yticks(range(len(states())), states())
    for tick, name in zip(panel.get_yticklabels(), states(), strict=True):
        tick.set_color(getattr(theme, HUE[name]))


@figure
def ctc_lattice(theme: Theme) -> Figure:
    drawing, (top, early, late) = pyplot.subplots(3, 1, figsize=(WIDTH, 6.4), sharex=True, height_ratios=(0.5, 1, 1))
    wave(top, theme)
    for panel, epoch in ((early, BROKEN), (late, vowels.EPOCHS)):
        lattice(panel, theme, outputs(epoch))
        panel.set_title(f"После {epoch} эпох: доли состояний")
    late.set_xlabel("время, с")
    late.xaxis.set_major_formatter(ticks(1))
    return drawing


# --- Output minus posterior ------------------------------------------------------------------------------------------


def symbol_lines(panel: Axes, theme: Theme, values: np.ndarray, letters: str = "∅иау", **options) -> None:
    """Columns of (T, K) in the colours of their symbols."""
    for letter in letters:
        column = 0 if letter == "∅" else vowels.encode(letter)[0]
        panel.plot(moments(), values[:, column], color=getattr(theme, HUE[letter]), label=letter, **options)


@figure
def gradient(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(3, 1, figsize=(WIDTH, 6.0), sharex=True)
    log_p = outputs(PLATEAU)
    _, slope = ctc.loss_and_gradient(log_p, labels())
    titles = ("Выход сети $p_t(k)$", "Апостериорные доли", "Минус градиент: доли минус выход")
    for panel, values, title in zip(panels, (np.exp(log_p), np.exp(log_p) - slope, -slope), titles, strict=True):
        symbol_lines(panel, theme, values)
        for (start, end), letter in zip(vowels.sample().spans, TEXT, strict=True):
            panel.axvspan(start, end, color=getattr(theme, HUE[letter]), alpha=0.1, linewidth=0)
        panel.set_title(title)
        panel.set_yticks([0, 0.5, 1])
        panel.yaxis.set_major_formatter(ticks(1))
    panels[2].set_yticks([-0.1, 0, 0.1])
    panels[2].set_ylim(-0.14, 0.14)
    drawing.legend(*panels[0].get_legend_handles_labels(), ncols=4, loc="outside lower center")
    panels[0].set(ylim=(-0.05, 1.05), xlim=(0, moments()[-1]))
    panels[1].set_ylim(-0.05, 1.05)
    panels[2].set_xlabel("время, с")
    panels[2].xaxis.set_major_formatter(ticks(1))
    return drawing


# --- Learning --------------------------------------------------------------------------------------------------------

SHOWN = (PLATEAU, BROKEN, 8, vowels.EPOCHS)


@figure
def learning(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(5, 1, figsize=(WIDTH, 7.6), height_ratios=(1.3, 0.8, 0.8, 0.8, 0.8))
    found = vowels.learning()
    epochs = np.arange(1, vowels.EPOCHS + 1)
    panels[0].plot(epochs, found["error"][1:], "o-", color=theme.bad, markersize=3, label="ошибка по меткам")
    panels[0].plot(epochs, found["blanks"][1:], "s--", color=theme.muted, markersize=3, label="доля кадров с ∅")
    panels[0].set(ylim=(-0.05, 1.1), xlabel="эпоха", title="Сто новых фраз")
    panels[0].set_xticks(range(2, vowels.EPOCHS + 1, 2))
    panels[0].set_yticks([0, 0.5, 1])
    panels[0].legend(loc="center right", bbox_to_anchor=(1.0, 0.36))
    panels[0].yaxis.set_major_formatter(ticks(1))
    for panel, epoch in zip(panels[1:], SHOWN, strict=True):
        symbol_lines(panel, theme, np.exp(outputs(epoch)), linewidth=1.5)
        panel.set(ylim=(-0.05, 1.1), xlim=(0, moments()[-1]), title=f"Фраза «и а – а у», эпоха {epoch}")
        panel.set_yticks([0, 1])
        for (start, end), letter in zip(vowels.sample().spans, TEXT, strict=True):
            panel.axvspan(start, end, color=getattr(theme, HUE[letter]), alpha=0.1, linewidth=0)
        if panel is not panels[-1]:
            panel.set_xticklabels([])
    drawing.legend(*panels[1].get_legend_handles_labels(), ncols=4, loc="outside lower center")
    panels[-1].set_xlabel("время, с")
    panels[-1].xaxis.set_major_formatter(ticks(1))
    return drawing


# --- Two frames ------------------------------------------------------------------------------------------------------

TWO_FRAMES = np.array([[0.6, 0.4], [0.6, 0.4]])  # p(∅), p(а)


def leaves() -> list[tuple[str, float, str]]:
    """Paths of two frames: symbols, probability, what they collapse to."""
    found = []
    for first in (0, 1):
        for second in (0, 1):
            text = "".join("∅а"[k] for k in (first, second))
            said = "а" if ctc.collapse((first, second)) else ""
            found.append((text, TWO_FRAMES[0, first] * TWO_FRAMES[1, second], said))
    return found


@figure
def greedy_tree(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.5))
    panel.axis("off")
    panel.set(xlim=(-0.25, 4.6), ylim=(-0.75, 3.75))
    style = {"ha": "center", "va": "center"}

    def node(x: float, y: float, text: str, colour: str) -> None:
        panel.text(x, y, text, color=getattr(theme, colour), zorder=3, **style,
                   bbox={"boxstyle": "round", "facecolor": theme.surface, "edgecolor": theme.muted})  # fmt: skip

    def edge(start: tuple[float, float], end: tuple[float, float], p: float) -> None:
        panel.plot(*zip(start, end, strict=True), color=theme.muted, linewidth=1.2, zorder=1)
        middle = (start[0] + 0.55 * (end[0] - start[0]), start[1] + 0.55 * (end[1] - start[1]))
        panel.text(*middle, number(p, 1), fontsize=SMALL + 0.5, color=theme.ink, zorder=2, **style,
                   bbox={"facecolor": theme.background, "edgecolor": "none", "pad": 1.2})  # fmt: skip

    heights = (3.0, 2.0, 1.0, 0.0)
    branches = (2.5, 0.5)
    node(0, 1.5, "старт", "muted")
    for first, y in enumerate(branches):
        edge((0, 1.5), (1.1, y), TWO_FRAMES[0, first])
        node(1.1, y, "∅а"[first], ("muted", "backward")[first])
        for second in (0, 1):
            height = heights[2 * first + second]
            edge((1.1, y), (2.2, height), TWO_FRAMES[1, second])
            node(2.2, height, "∅а"[second], ("muted", "backward")[second])
    for (path, p, said), height in zip(leaves(), heights, strict=True):
        best = path == "∅∅"
        colour = theme.bad if best else theme.good
        panel.text(2.5, height, f"{path}  →  «{said}»   {number(p, 2)}", va="center", color=colour)
    panel.text(2.5, 3.5, "жадный ответ", color=theme.bad, fontsize=SMALL + 0.5, va="center")
    total = sum(p for _, p, said in leaves() if said)
    panel.text(2.5, -0.55, f"вместе «а»: {number(total, 2)}", color=theme.good, va="center", weight="bold")
    for x, text in ((1.1, "кадр 1"), (2.2, "кадр 2")):
        panel.text(x, 3.6, text, color=theme.muted, fontsize=SMALL + 0.5, **style)
    return drawing


# --- The lattice of RNN-T --------------------------------------------------------------------------------------------

FAINT = 6.0  # powers of ten shown below the largest α


def transducer_outputs() -> np.ndarray:
    """(T, U + 1, K) log-probabilities of the phrase."""
    said = models.transducer("all")["log_p"].astype(float)
    return said - logsumexp(said, axis=-1, keepdims=True)


@figure
def transducer_lattice(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(4, 1, figsize=(WIDTH, 8.0), sharex=True, height_ratios=(0.45, 1, 1, 1.4))
    wave(panels[0], theme)
    log_p, half = transducer_outputs(), vowels.FRAME / 2
    extent = (-half, moments()[-1] + half, -0.5, len(TEXT) + 0.5)
    alpha = transducer.forward(log_p, labels()) / np.log(10)
    paint(panels[1], np.maximum(alpha, -FAINT).T, theme, extent, -FAINT, 0)
    paint(panels[2], transducer.posterior(log_p, labels()).T, theme, extent, 0, 1)
    t, u = np.array(transducer.best_alignment(log_p, labels())).T
    for panel, title in ((panels[1], "RNN-T: log₁₀ α(t, u), от −6 до 0"), (panels[2], "RNN-T: доля путей через узел")):
        panel.plot(moments()[t], u, "-", color=theme.bad, linewidth=1.4)
        panel.set(title=title)
        panel.set_yticks(range(len(TEXT) + 1), ["–", *(TEXT[: n + 1] for n in range(len(TEXT)))])
    lattice(panels[3], theme, outputs(vowels.EPOCHS))
    panels[3].set(title="CTC на той же фразе", xlabel="время, с")
    panels[3].xaxis.set_major_formatter(ticks(1))
    return drawing


# --- Short and long phrases ------------------------------------------------------------------------------------------

MODELS = ("CTC", "LAS")
SEEDS = 3  # trainings from different weights


@cache
def length_errors() -> np.ndarray:
    """(2, SEEDS, 2): label errors of MODELS, of each training, on short and on long phrases."""
    found = vowels.learning()
    others = [[models.recogniser(seed) for seed in range(1, SEEDS)], [models.attention(seed) for seed in range(SEEDS)]]
    ctc_rows, las_rows = ([(r["error"], r["long_error"]) for r in results] for results in others)
    return np.array([[(found["error"][-1], found["long_error"]), *ctc_rows], las_rows], dtype=float)


@figure
def lengths(theme: Theme) -> Figure:
    drawing, (bars, attention) = pyplot.subplots(2, 1, figsize=(WIDTH, 4.8), height_ratios=(0.65, 1.1))
    rows = np.arange(len(MODELS))[::-1]
    for column, (colour, name) in enumerate((("forward", "3–6 гласных, как в обучении"), ("bad", "12–16 гласных"))):
        each, places = length_errors()[:, :, column], rows + 0.19 - 0.38 * column
        bars.barh(places, each.mean(axis=1), 0.36, color=getattr(theme, colour), label=name)
        for values, place in zip(each, places, strict=True):
            bars.plot(values, np.full(SEEDS, place), "|", color=theme.ink, markersize=7)
            bars.text(values.max() + 0.012, place, number(100 * values.mean(), 1), va="center", fontsize=SMALL + 0.5)
    bars.set_yticks(rows, MODELS)
    bars.set(xlim=(0, 0.62), xticks=[], title="Ошибка по меткам, %, среднее трёх обучений")
    bars.grid(False)
    bars.spines["bottom"].set_visible(False)
    bars.legend(loc="upper right")
    found = models.attention(0)
    weights, said = found["long_weights"], vowels.decode(found["long_labels"])
    paint(attention, weights, theme, (0, weights.shape[1] * vowels.FRAME, len(weights) - 0.5, -0.5), 0, 0.4, "upper")
    attention.set_yticks(range(len(weights)), [*said, "конец"][: len(weights)])
    attention.set(xlabel="время, с", title=f"LAS слышит «{vowels.decode(found['long_right'])}»")
    attention.xaxis.set_major_formatter(ticks(1))
    return drawing


# --- Augmentation ----------------------------------------------------------------------------------------------------

SNR, ROOM_REFLECTION, SPEED = 10.0, 0.85, 1.1


@cache
def augmented() -> dict[str, np.ndarray]:
    """The phrase and what augmentation of the waveform makes of it, 8 kHz."""
    x, rng = vowels.sample().samples, np.random.default_rng(0)
    room = aug.room_response((6.0, 4.5, 3.0), (1.2, 1.5, 1.6), (4.6, 3.1, 1.3), ROOM_REFLECTION, vowels.RATE, 0.3)
    return {
        "phrase": x,
        "noise": aug.add_noise(x, rng.standard_normal(len(x)), SNR),
        "room": aug.reverberate(np.pad(x, (0, round(0.15 * vowels.RATE))), room),
        "speed": aug.speed(x, SPEED),
    }


def mel_picture(name: str) -> np.ndarray:
    return log_mel(augmented()[name], vowels.RATE, vowels.BANDS, vowels.N_FFT)


@figure
def augmentations(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(5, 1, figsize=(WIDTH, 7.4), sharex=True, sharey=True)
    clean = mel_picture("phrase")
    pictures = {
        "Без обработки": clean,
        f"Белый шум, SNR {number(SNR)} дБ": mel_picture("noise"),
        "Комната": mel_picture("room"),
        f"Скорость {number(SPEED)}": mel_picture("speed"),
        "SpecAugment": aug.spec_augment(clean, np.random.default_rng(3), F=8, m_F=1, T_m=12, m_T=1),
    }
    high = clean.max()
    for panel, (title, S) in zip(panels, pictures.items(), strict=True):
        paint(panel, S.T, theme, (0, len(S) / 100, 0, vowels.BANDS), high - DEPTH * np.log(10) / 10, high)
        panel.set(title=title, ylabel="полоса", xlim=(0, 0.8))
    panels[-1].set_xlabel("время, с")
    panels[-1].xaxis.set_major_formatter(ticks(1))
    return drawing
