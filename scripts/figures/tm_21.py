"""Figures of tm-21: one phrase under every augmentation, rooms, speed against stretch, learning in noise."""

from functools import cache

import numpy as np
from matplotlib.figure import Figure

from scripts.dl import audio_augmentation as aug
from scripts.dl.mel import log_mel, mel_points
from scripts.dl.speech import PEAK, phrase
from scripts.dl.stft import decibels, frequencies, hann, istft, stft
from scripts.experiments import noisy_ctc as experiment
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot
from scripts.figures.tm_20 import HOP, N_FFT, RATE, N, hz_on_mel, shades

# --- One phrase, ten times ------------------------------------------------------------------------------------------

FACTOR = 1.1  # of speed and of stretch
SEMITONES = 3.0
CLIP_SHARE = 0.15  # of the peak, where the clipped sound is cut
ROOM, SOURCE, MICROPHONE, REFLECTION = (6.0, 4.5, 3.0), (1.2, 1.5, 1.6), (4.6, 3.1, 1.3), 0.85
MASKS = {"F": 16, "m_F": 2, "T_m": 14, "m_T": 2}
MASK_SEED = 131  # both masks of time lie inside vowels, both of bands apart
DEPTH, BANDS = 60.0, 64  # dB shown; mel bands


@cache
def original() -> np.ndarray:
    """«а, и, у», 0.25 s each with pauses of 0.08 s, the voice falling from 140 to 100 Hz."""
    return phrase("аиу", 0.25, (140.0, 100.0), RATE, gap=0.08).samples


@cache
def room(reflection: float = REFLECTION) -> np.ndarray:
    return aug.without_rumble(aug.room_response(ROOM, SOURCE, MICROPHONE, reflection, RATE, 0.4), RATE)


def noisy(snr: float) -> np.ndarray:
    return aug.add_noise(original(), aug.pink_noise(len(original()), np.random.default_rng(0)), snr)


@cache
def sounds() -> dict[str, np.ndarray]:
    """Every augmentation of the panel that is a sound, on the scale of the original."""
    x = original()
    return {
        "original": x,
        "noise_10": noisy(10.0),
        "noise_0": noisy(0.0),
        "room": aug.reverberate(np.pad(x, (0, round(0.2 * RATE))), room()),
        "telephone": aug.telephone(x, RATE),
        "clipping": aug.clip(x, CLIP_SHARE * PEAK),
        "speed": aug.speed(x, FACTOR),
        "stretch": aug.time_stretch(x, FACTOR),
        "pitch": aug.pitch_shift(x, SEMITONES),
    }


def visible(x: np.ndarray) -> np.ndarray:
    """(T, 64) log-mel, cut off `DEPTH` below the maximum of the original."""
    return np.maximum(log_mel(x, RATE, BANDS), log_mel(original(), RATE, BANDS).max() - DEPTH * np.log(10) / 10)


@cache
def masked() -> np.ndarray:
    """The original after SpecAugment; the mean is of what the panel shows."""
    return aug.spec_augment(visible(original()), np.random.default_rng(MASK_SEED), **MASKS)


def masked_sound() -> np.ndarray:
    """The original without the masked times and bands: silence where the network sees the mean."""
    hidden = masked() != visible(original())
    times, bands = hidden.all(axis=1), hidden.all(axis=0)
    points, f = mel_points(BANDS, 0, RATE / 2), frequencies(N_FFT, RATE)
    nearest = np.abs(f[:, None] - points[1:-1]).argmin(axis=1)
    X = stft(original(), hann(N), HOP, N_FFT) * ~(times[:, None] | bands[nearest])
    return istft(X, hann(N), HOP, N_FFT, length=len(original()))


TITLES = {
    "original": "исходная", "noise_10": "шум, SNR 10 дБ", "noise_0": "шум, SNR 0 дБ", "room": "комната",
    "telephone": "телефон", "clipping": "ограничение", "speed": "скорость 1,1", "stretch": "растяжение 1,1",
    "pitch": "тон +3 полутона", "masks": "SpecAugment",
}  # fmt: skip


@figure
def panel(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(5, 2, figsize=(WIDTH, 8.6), sharex=True, sharey=True)
    top, height = visible(original()).max(), DEPTH * np.log(10) / 10
    for cell, (name, title) in zip(panels.T.ravel(), TITLES.items(), strict=True):
        S = masked() if name == "masks" else visible(sounds()[name])
        cell.imshow(S.T, origin="lower", aspect="auto", extent=(0, len(S) * HOP / RATE, -0.5, BANDS - 0.5),
                    cmap=shades(theme, 12), vmin=top - height, vmax=top, interpolation="none")  # fmt: skip
        cell.set_title(title)
        cell.grid(False)
        hz_on_mel(cell, (250, 1000, 3000, 8000), BANDS)
        cell.set_xlim(0, 1.0)
    for cell in panels[:, 0]:
        cell.set_ylabel("Гц")
    for cell in panels[-1]:
        cell.set_xlabel("время, с")
        cell.set_xticks([0, 0.4, 0.8])
        cell.xaxis.set_major_formatter(ticks(1))
    return drawing


# --- Speed, stretch, pitch ------------------------------------------------------------------------------------------

STEADY, SECONDS = 125.0, 0.6  # Hz, s


@cache
def steady() -> dict[str, np.ndarray]:
    """One «а» of 125 Hz: as it is, faster, shorter, higher."""
    x = phrase("а", SECONDS, (STEADY, STEADY), RATE).samples
    return {
        "исходная": x,
        "скорость 1,1": aug.speed(x, FACTOR),
        "растяжение 1,1": aug.time_stretch(x, FACTOR),
        "тон +1,65 полутона": aug.pitch_shift(x, 12 * np.log2(FACTOR)),
    }


def spectrum(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hz and dB below the maximum of the middle 0.3 s."""
    n, size = round(0.3 * RATE), 1 << 15
    middle = x[(len(x) - n) // 2 :][:n] * np.hanning(n)
    P = np.abs(np.fft.rfft(middle, size)) ** 2
    return np.arange(len(P)) * RATE / size, decibels(P / P.max(), floor=1e-8)


def fundamental(x: np.ndarray) -> float:
    """Hz of the first harmonic."""
    f, P = spectrum(x)
    top = np.where((f > 0.8 * STEADY) & (f < 1.4 * STEADY), P, -np.inf).argmax()
    left, centre, right = P[top - 1 : top + 2]
    return f[top] + (f[1] - f[0]) * (left - right) / (2 * (left - 2 * centre + right))  # the vertex of a parabola


def harmonics(x: np.ndarray, count: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Hz and dB of the tops of the first `count` harmonics: the envelope that the formants draw."""
    f, P = spectrum(x)
    tops = fundamental(x) * np.arange(1, count + 1)
    return tops, np.interp(tops, f, P)


@figure
def speed_or_stretch(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(4, 1, figsize=(WIDTH, 6.4), sharex=True, sharey=True)
    colours = (theme.muted, theme.bad, theme.good, theme.extra)
    for cell, (name, x), colour in zip(panels, steady().items(), colours, strict=True):
        f, P = spectrum(x)
        shown = (f <= 2000) & (np.arange(len(f)) % 2 == 0)
        cell.plot(f[shown], P[shown], color=colour, linewidth=1.2)
        cell.plot(*harmonics(steady()["исходная"]), color=theme.ink, linewidth=1.0, linestyle=":")
        seconds = number(len(x) / RATE, 2)
        cell.set_title(f"{name}: {seconds} с")
        cell.set(ylim=(-62, 5), ylabel="дБ", yticks=(-60, -40, -20, 0))
        cell.yaxis.set_major_formatter(ticks())
    panels[-1].set_xlabel("частота, Гц (пунктир – огибающая исходной)")
    return drawing


# --- A room ---------------------------------------------------------------------------------------------------------


@figure
def room_response(theme: Theme) -> Figure:
    drawing, (impulse, decay) = pyplot.subplots(2, 1, figsize=(WIDTH, 4.6))
    h = room()
    t = np.arange(len(h)) / RATE
    early = t < 0.08
    impulse.plot(t[early] * 1000, h[early] / np.abs(h).max(), color=theme.forward, linewidth=0.9)
    impulse.set(xlabel="время, мс", ylabel="давление", title="Импульсный отклик, первые 80 мс")
    impulse.yaxis.set_major_formatter(ticks(1))
    for reflection, colour in ((REFLECTION, theme.bad), (0.6, theme.good)):
        response = room(reflection)
        fall = aug.energy_decay(response)
        shown = (t <= 0.3) & (np.arange(len(t)) % 40 == 0)
        time = number(aug.reverberation_time(response, RATE), 2)
        decay.plot(t[shown] * 1000, fall[shown], color=colour,
                   label=f"отражение {number(reflection)}: RT60 = {time} с")  # fmt: skip
    decay.set(xlabel="время, мс", ylabel="осталось энергии, дБ", ylim=(-62, 3), title="Затухание")
    decay.yaxis.set_major_formatter(ticks())
    decay.legend(loc="upper right")
    return drawing


# --- The recogniser in noise ----------------------------------------------------------------------------------------

SEEDS = 3
NAMES = {"clean": "без аугментаций", "noise": "белый шум", "masks": "маски", "both": "шум и маски"}


@cache
def label_errors() -> dict[str, np.ndarray]:
    """(seeds, noises, 1 + SNRs) for each policy."""
    return {
        policy: np.stack([experiment.robustness(policy, seed)["label_error"] for seed in range(SEEDS)])
        for policy in experiment.POLICIES
    }


@figure
def recogniser(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 5.4), sharex=True, sharey=True)
    places = np.arange(1 + len(experiment.SNRS))
    looks = {"clean": (theme.bad, "s", "-"), "noise": (theme.good, "o", "-"), "masks": (theme.accent, "^", "--"),
             "both": (theme.forward, "D", "--")}  # fmt: skip
    for i, (cell, title) in enumerate(zip(panels, ("Белый шум, как в обучении", "Розовый шум, новый"), strict=True)):
        for policy, (colour, marker, line) in looks.items():
            table = label_errors()[policy][:, i]
            cell.fill_between(places, table.min(axis=0), table.max(axis=0), color=colour, alpha=0.15, linewidth=0)
            cell.plot(places, table.mean(axis=0), color=colour, marker=marker, linestyle=line, markersize=5,
                      label=NAMES[policy])  # fmt: skip
        cell.set(ylabel="ошибка меток", title=title, ylim=(0, 0.48))
        cell.yaxis.set_major_formatter(ticks(1))
    panels[0].legend(loc="upper left")
    panels[1].set_xticks(places, ["без шума", *(number(snr) for snr in experiment.SNRS)])
    panels[1].set_xlabel("SNR при проверке, дБ")
    return drawing
