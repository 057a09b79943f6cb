"""Figures of tm-22: collapse on the ring, a frozen discriminator, and why pairs of samples tell more than samples."""

from functools import cache

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from scipy.optimize import minimize
from scipy.special import comb
from scipy.stats import norm

from scripts.dl.gan import jensen_shannon, kullback_leibler
from scripts.experiments import frozen_discriminator, gan_ring
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

# --- The ring ------------------------------------------------------------------------------------------------------

MODES = len(gan_ring.CENTRES)
RUNS = {
    ("collapse", 0): "Пять шагов генератора на шаг дискриминатора",
    ("non-saturating", 1): "Поровну: две моды потеряны",
    ("non-saturating", 0): "Поровну, другие случайные числа: все восемь",
}
PICTURES = (6, 8, 10, 11)  # frames of the collapsing run with most points in one mode


def run(kind: str, seed: int) -> dict[str, np.ndarray]:
    return gan_ring.ring(kind, seed)


def shares(kind: str, seed: int) -> np.ndarray:
    """Share of generated points in each mode and in none, (S, MODES + 1)."""
    counts = run(kind, seed)["counts"].astype(float)
    return counts / counts.sum(axis=1, keepdims=True)


@figure
def ring(theme: Theme) -> Figure:
    drawing = pyplot.figure(figsize=(WIDTH, 6.6))
    pictures = [f"picture {k}" for k in PICTURES]
    maps = [f"map {kind} {seed}" for kind, seed in RUNS]
    places = drawing.subplot_mosaic(
        [pictures, *[[name] * len(PICTURES) for name in maps]], height_ratios=(1.0, 1, 1, 1)
    )
    found = run("collapse", 0)
    for name, k in zip(pictures, PICTURES, strict=True):
        panel = places[name]
        panel.scatter(*gan_ring.CENTRES.T, s=26, color=theme.good, marker="+", linewidths=1.4)
        panel.scatter(*found["points"][k].T.astype(float), s=4, color=theme.bad, linewidths=0, rasterized=True)
        panel.set_title(f"шаг {number(found['frames'][k])}")
        panel.set_aspect("equal")
        panel.set(xlim=(-3, 3), ylim=(-3, 3), xticks=(), yticks=())
    for name, ((kind, seed), title) in zip(maps, RUNS.items(), strict=True):
        panel, table = places[name], shares(kind, seed)[:, :MODES]
        image = panel.imshow(
            np.maximum(table.T, 0.005), aspect="auto", origin="lower", interpolation="nearest", cmap=theme.sequential,
            norm=LogNorm(0.005, 1), extent=(0, run(kind, seed)["rounds"][-1], 0.5, MODES + 0.5),
        )  # fmt: skip
        panel.set_title(title)
        panel.set(yticks=(1, 3, 5, 7), ylabel="мода")
        panel.grid(visible=False)
        panel.xaxis.set_major_formatter(ticks())
    places[maps[-1]].set_xlabel("шаг дискриминатора")
    bar = drawing.colorbar(image, ax=[places[name] for name in maps], ticks=(0.01, 0.1, 1), pad=0.02)
    bar.ax.yaxis.set_major_formatter(ticks())
    bar.ax.minorticks_off()
    bar.set_label("доля точек")
    return drawing


# --- A frozen discriminator ----------------------------------------------------------------------------------------

FITTED = 1500


def still() -> dict[str, np.ndarray]:
    return frozen_discriminator.frozen(FITTED)


@figure
def frozen(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 7.6), sharex=True)
    found, view = still(), frozen_discriminator.VIEW
    logit = np.maximum(found["logit"].astype(float), -12)
    titles = {"points": "500 независимых точек", "generator": "500 выходов сети $G(z)$"}
    for panel, (name, title) in zip(panels, titles.items(), strict=True):
        field = panel.contourf(
            view[::2], view[::2], logit[::2, ::2], levels=np.arange(-12, 6.1, 2), cmap=theme.sequential
        )
        moments = found[name].astype(float)
        panel.scatter(*moments[0].T, s=6, color=theme.accent, linewidths=0, rasterized=True, label="в начале")
        if name == "generator":
            panel.scatter(*moments[1].T, s=6, color=theme.extra, linewidths=0, rasterized=True, label="40 шагов")
        _, places = np.unique(np.round(moments[-1], 1), axis=0, return_index=True)  # one of hundreds at one place
        panel.scatter(
            *moments[-1][places].T, s=26, color=theme.bad, edgecolors="white", linewidths=0.5, label="2000 шагов"
        )
        panel.set_title(title)
        panel.set_aspect("equal")
        panel.set(xlim=(view[0], view[-1]), ylim=(view[0], view[-1]))
        panel.grid(visible=False)
        panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), handletextpad=0.2)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter(ticks())
    bar = drawing.colorbar(field, ax=panels, location="bottom", shrink=0.6, aspect=30, ticks=(-12, -6, 0, 6))
    bar.ax.xaxis.set_major_formatter(ticks())
    bar.set_label("логит замороженного дискриминатора")
    return drawing


# --- Which distribution a divergence prefers -----------------------------------------------------------------------

AXIS = np.linspace(-6.0, 6.0, 1201)
CENTRE, SPREAD = 2.0, 0.5
FORWARD, REVERSE, SHANNON = r"$\mathrm{KL}(p_d\|p_g)$", r"$\mathrm{KL}(p_g\|p_d)$", "JSD"


def _cells(mean: float, std: float) -> np.ndarray:
    density = norm.pdf(AXIS, mean, std)
    return density / density.sum()


def two_modes(centre: float = CENTRE) -> np.ndarray:
    """The data: equal Gaussians at -centre and centre, as probabilities on AXIS."""
    return (_cells(-centre, SPREAD) + _cells(centre, SPREAD)) / 2


@cache
def best_gaussian(divergence: str, centre: float = CENTRE) -> tuple[float, float, float]:
    """Mean, deviation and value of the Gaussian nearest to the data (right mode, if it takes one)."""
    data = two_modes(centre)
    measure = {
        FORWARD: kullback_leibler,
        REVERSE: lambda p, q: kullback_leibler(q, p),
        SHANNON: jensen_shannon,
    }[divergence]
    found = [
        minimize(lambda v: measure(data, _cells(v[0], np.exp(v[1]))), (mean, np.log(std)), method="Nelder-Mead",
                 options={"xatol": 1e-5, "fatol": 1e-9})
        for mean, std in ((0.1, 2.0), (0.9 * centre, 0.6))
    ]  # fmt: skip
    best = min(found, key=lambda result: result.fun)
    return float(best.x[0]), float(np.exp(best.x[1])), float(best.fun)


@figure
def divergences(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.4))
    step = AXIS[1] - AXIS[0]
    panel.fill_between(AXIS, 0, two_modes() / step, color=theme.muted, alpha=0.25, linewidth=0, label="данные")
    looks = ((FORWARD, theme.good, "-", 5), (REVERSE, theme.bad, "-", 2), (SHANNON, theme.forward, "--", 2))
    for divergence, colour, style, width in looks:  # two of them nearly coincide
        mean, std, _ = best_gaussian(divergence)
        panel.plot(AXIS, _cells(mean, std) / step, color=colour, linestyle=style, linewidth=width, label=divergence)
    panel.set(xlim=(-5, 5), ylim=(0, 0.9), xlabel="$x$", ylabel="плотность")
    panel.legend(loc="upper left")
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(ticks())
    return drawing


# --- Packing -------------------------------------------------------------------------------------------------------

PACKS = np.arange(1, 11)
LOST = 0.2  # the data is uniform on [0, 1]; one generator never visits the first LOST of it
TILTED = (1.4, 0.6)  # the other visits one half more often and the other less


def lost_distance(m: int) -> float:
    """Total variation of m independent samples from the data and from the generator that lost a part of it."""
    return 1 - (1 - LOST) ** m


def tilted_distance(m: int) -> float:
    """The same for the generator that lost nothing but is uneven."""
    k = np.arange(m + 1)
    ratio = TILTED[0] ** k * TILTED[1] ** (m - k)
    return float(np.sum(comb(m, k) / 2**m * np.abs(ratio - 1)) / 2)


@figure
def packing(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.3))
    panel.plot(PACKS, [lost_distance(m) for m in PACKS], color=theme.bad, marker="o", markersize=5,
               label="потеряна пятая часть данных")  # fmt: skip
    panel.plot(PACKS, [tilted_distance(m) for m in PACKS], color=theme.good, marker="s", markersize=5,
               label="всё на месте, но неравномерно")  # fmt: skip
    panel.set(xlabel="объектов в одном входе дискриминатора, $m$", ylabel="полная вариация", ylim=(0, 1))
    panel.set_xticks(PACKS)
    panel.yaxis.set_major_formatter(ticks())
    panel.legend(loc="upper left")
    return drawing
