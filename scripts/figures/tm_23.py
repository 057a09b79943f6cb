"""Figures of tm-23: what the Wasserstein distance sees, and what becomes of critics under clipping and penalties."""

from functools import cache

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import norm

from scripts.dl import wasserstein
from scripts.dl.gan import jensen_shannon, optimal_discriminator
from scripts.experiments import wgan
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot


def tex(value: float) -> str:
    """The number inside a formula of matplotlib."""
    return number(value).replace(",", "{,}").replace("−", "-")


# --- Two Gaussians on the line -------------------------------------------------------------------------------------

GRID = np.linspace(-4.0, 8.0, 4801)
SHIFTS = np.linspace(0.0, 3.0, 61)
CRITIC_STEPS = 1500


def _cells(mean: float) -> np.ndarray:
    """N(mean, STD²) as probabilities on GRID."""
    density = norm.pdf(GRID, mean, wgan.STD)
    return density / density.sum()


@cache
def separation() -> dict[str, np.ndarray]:
    """JSD and W_1 of N(0, STD²) and N(shift, STD²) at SHIFTS, and the mean over the model of the gradient's absolute
    value that its points receive from D*: with log(1 - D), and with -log D."""
    real = _cells(0.0)
    found = {"jsd": [], "distance": [], "saturating": [], "non-saturating": []}
    for shift in SHIFTS:
        fake = _cells(shift)
        slope = shift / wgan.STD**2  # of the logit of D*, which is linear: both variances are equal
        D = optimal_discriminator(real, fake)
        found["jsd"].append(jensen_shannon(real, fake))
        found["distance"].append(wasserstein.wasserstein_line(GRID, GRID, real, fake))
        found["saturating"].append(fake @ D * slope)
        found["non-saturating"].append(fake @ (1 - D) * slope)
    return {name: np.array(values) for name, values in found.items()}


@cache
def line() -> dict[str, np.ndarray]:
    """At wgan.LINE, for the shift wgan.SHIFT: densities, D*, and both critics, the exact potential and the trained one,
    zero halfway."""
    x = wgan.LINE
    real, fake = norm.pdf(x, 0, wgan.STD), norm.pdf(x, wgan.SHIFT, wgan.STD)
    grid, f = wasserstein.potential_line(GRID, GRID, _cells(0.0), _cells(wgan.SHIFT))
    halfway = wgan.SHIFT / 2
    trained = wgan.line_critic(CRITIC_STEPS)["values"]
    return {
        "real": real,
        "fake": fake,
        "D": optimal_discriminator(real, fake),
        "potential": np.interp(x, grid, f) - np.interp(halfway, grid, f),
        "critic": trained - np.interp(halfway, x, trained),
    }


@figure
def signal(theme: Theme) -> Figure:
    drawing, (top, middle, bottom) = pyplot.subplots(3, 1, figsize=(WIDTH, 6.9))
    found, x = line(), wgan.LINE
    for panel in (top, middle):
        low, high = (0, 1) if panel is top else (-4.2, 4.2)
        for name, colour, label in (("real", theme.good, "данные"), ("fake", theme.extra, "генератор")):
            height = low + found[name] / found["real"].max() * 0.55 * (high - low)
            panel.fill_between(x, low, height, color=colour, alpha=0.25, linewidth=0, label=label)
    top.plot(x, found["D"], color=theme.bad, label="$D^*(x)$")
    top.set(ylim=(0, 1.05), ylabel="вероятность")
    middle.plot(x, found["potential"], color=theme.forward, label="потенциал $f^*$")
    middle.plot(x, found["critic"], color=theme.accent, linestyle="--", label="обученный критик")
    middle.set(ylim=(-4.2, 4.4), ylabel="$f(x)$", xlabel="$x$")
    for panel in (top, middle):
        panel.set_xlim(x[0], x[-1])
        panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=4, columnspacing=1.0, handlelength=1.4)
    curves = separation()
    bottom.plot(SHIFTS, curves["distance"], color=theme.forward, label="$W_1$")
    bottom.plot(SHIFTS, curves["jsd"], color=theme.bad, label="JSD")
    bottom.axhline(np.log(2), color=theme.muted, linewidth=1, linestyle=":")
    bottom.annotate("$\\log 2$", (0.06, np.log(2) + 0.08), color=theme.muted)
    bottom.set(xlim=(0, 3), ylim=(0, 3.1), xlabel="расстояние между центрами")
    bottom.legend(loc="upper left")
    for panel in (top, middle, bottom):
        panel.xaxis.set_major_formatter(ticks())
        panel.yaxis.set_major_formatter(ticks())
    return drawing


# --- Critics in the plane ------------------------------------------------------------------------------------------

PLANE_STEPS = 2500
TITLES = {
    "clip": f"обрезка, $c={tex(wgan.THRESHOLD)}$",
    "one-sided-10": "односторонний, $\\lambda=10$",
    "two-sided-10": "двусторонний, $\\lambda=10$",
    "two-sided-1": "двусторонний, $\\lambda=1$",
}


def plane(kind: str) -> dict[str, np.ndarray]:
    return wgan.plane_critic(kind, PLANE_STEPS)


@figure
def critics(theme: Theme) -> Figure:
    drawing = pyplot.figure(figsize=(WIDTH, 7.4))
    places = drawing.subplot_mosaic([list(TITLES)[:2], list(TITLES)[2:], ["norms", "norms"]], height_ratios=(3, 3, 2))
    colours = dict(zip(TITLES, (theme.bad, theme.good, theme.forward, theme.accent), strict=True))
    centres = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    for kind, title in TITLES.items():
        panel = places[kind]
        values = plane(kind)["values"][::2, ::2].astype(float)  # half the points: enough for the eye, and a small file
        panel.contourf(wgan.VIEW[::2], wgan.VIEW[::2], values, levels=9, cmap=theme.sequential)
        panel.scatter(*np.transpose(centres), s=14, color=theme.bad, edgecolors="white", linewidths=0.6)
        panel.set_title(title, color=colours[kind])
        panel.set_aspect("equal")
        panel.set(xticks=(-2, -1, 0, 1, 2), yticks=(-2, -1, 0, 1, 2))
        panel.grid(visible=False)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter(ticks())
    bottom, bins = places["norms"], np.linspace(0, 2, 81)
    for kind, title in TITLES.items():
        bottom.hist(plane(kind)["norms"], bins, histtype="step", color=colours[kind], linewidth=1.6, label=title)
    bottom.axvline(1, color=theme.muted, linewidth=1, linestyle=":")
    bottom.set(xlabel="норма градиента критика в точках $\\hat{x}$", ylabel="точек", xlim=(0, 2), yscale="log")
    bottom.xaxis.set_major_formatter(ticks())
    bottom.yaxis.set_major_formatter(ticks())
    return drawing


STARTS = 4


def starts() -> dict[str, np.ndarray]:
    return wgan.starts(STARTS, PLANE_STEPS)


# --- Depth ---------------------------------------------------------------------------------------------------------

DEPTH_STEPS = 600
THRESHOLDS = (0.1, 0.03, 0.01, 0.0)


def depth_norms(threshold: float) -> np.ndarray:
    return wgan.depth(threshold, DEPTH_STEPS)["norms"]


@figure
def depth(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.7))
    layers = np.arange(1, wgan.DEPTH + 1)
    looks = (("bad", "o"), ("backward", "s"), ("accent", "^"), ("good", "D"))
    for threshold, (colour, marker) in zip(THRESHOLDS, looks, strict=True):
        label = f"обрезка, $c={tex(threshold)}$" if threshold else "штраф, $\\lambda=10$"
        panel.plot(layers, depth_norms(threshold), color=getattr(theme, colour), marker=marker, markersize=4.5,
                   label=label)  # fmt: skip
    panel.set(yscale="log", xlabel="номер скрытого слоя", ylabel="норма градиента", xlim=(0.7, 12.3))
    panel.set_xticks(layers)
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
    return drawing


# --- The soft constraint -------------------------------------------------------------------------------------------

SLOPE_STEPS = 600


def penalised(slope: np.ndarray, one_sided: bool) -> np.ndarray:
    """Loss of a linear critic of this slope between two points at the distance GAP: -GAP s + WEIGHT (|s| - 1)²."""
    excess = np.abs(slope) - 1
    return -wgan.GAP * slope + wgan.WEIGHT * (np.maximum(excess, 0) if one_sided else excess) ** 2


def slopes(one_sided: bool, dimension: int = 1) -> np.ndarray:
    return wgan.slopes(int(one_sided), dimension, SLOPE_STEPS)["slopes"]


@figure
def soft(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 5.2), sharex=True, height_ratios=(3, 1.5))
    s = np.linspace(-1.6, 1.9, 351)
    for one_sided, colour, style, label in (
        (False, theme.bad, "-", "двусторонний"),
        (True, theme.good, "--", "односторонний"),
    ):
        top.plot(s, penalised(s, one_sided), color=colour, linestyle=style, label=label)
    jitter = np.random.default_rng(0).uniform(-0.2, 0.2, wgan.SEEDS)
    rows = {
        "двусторонний,\nпрямая": (slopes(False), theme.bad),
        "двусторонний,\nплоскость": (slopes(False, 2), theme.bad),
        "односторонний,\nпрямая": (slopes(True), theme.good),
    }
    for row, (values, colour) in zip((2, 1, 0), rows.values(), strict=True):
        bottom.scatter(values, row + jitter, s=22, color=colour, alpha=0.8, linewidths=0)
    for place in (1 + wgan.GAP / (2 * wgan.WEIGHT), -(1 - wgan.GAP / (2 * wgan.WEIGHT))):
        height = penalised(np.array(place), False)
        top.plot(place, height, marker="o", markersize=6, color=theme.ink)
        top.annotate(f"$s={tex(place)}$", (place, height + 3.4), ha="center", color=theme.ink)
        bottom.axvline(place, color=theme.muted, linewidth=1, linestyle=":")
    top.set(ylabel="потери критика", ylim=(-6, 14))
    top.legend(loc="upper right")
    bottom.set(yticks=(2, 1, 0), ylim=(-0.5, 2.5), xlabel="наклон критика $s$", xlim=(-1.6, 1.9))
    bottom.set_yticklabels(rows)
    bottom.grid(axis="y", visible=False)
    top.yaxis.set_major_formatter(ticks())
    bottom.xaxis.set_major_formatter(ticks())
    return drawing
