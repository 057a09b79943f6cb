"""Figures of ticket-11: a GAN on a ring, what its losses minimise, why it circles, and what FID measures."""

from dataclasses import dataclass
from functools import cache

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from scipy.optimize import minimize
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from scripts.dl import games
from scripts.dl.gan import jensen_shannon, kullback_leibler, optimal_discriminator
from scripts.dl.generative_metrics import fid
from scripts.dl.wasserstein import potential_line
from scripts.experiments.gan_ring import CENTRES, ring
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

# The ring

STORY = (
    ("non-saturating", (250, 1000, 2000), "ненасыщающиеся потери, шаги 1 : 1"),
    ("collapse", (900, 1100, 1200), "те же потери, пять шагов G на шаг D"),
    ("wgan-gp", (250, 750, 1500), "WGAN-GP"),
)
SHOWN, BANDS = 100, 9  # points of a picture that are drawn; colours of its field


def _picture(panel: Axes, theme: Theme, run: dict[str, np.ndarray], moment: int) -> None:
    at = int(np.flatnonzero(run["frames"] == moment)[0])
    field = run["field"][at].astype(float)
    reach = np.abs(field - np.median(field)).max()
    bands = matplotlib.colormaps[theme.diverging].resampled(BANDS)
    panel.imshow(
        field - np.median(field), extent=(-3, 3, -3, 3), origin="lower", cmap=bands, alpha=0.45,
        vmin=-reach, vmax=reach, interpolation="bilinear", interpolation_stage="data",
    )  # fmt: skip
    panel.plot(*CENTRES.T, "o", color="none", markeredgecolor=theme.ink, markersize=6, markeredgewidth=0.8)
    points = run["points"][at, :SHOWN].astype(float)
    panel.plot(*points.T, ".", color=theme.ink, markersize=2.2)
    panel.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[])
    panel.grid(False)
    panel.set_title(f"раунд {moment}", fontsize=9, fontweight="normal")


@figure
def ring_story(theme: Theme) -> Figure:
    drawing = pyplot.figure(figsize=(WIDTH, 6.9))
    for part, (kind, moments, title) in zip(drawing.subfigures(3, 1), STORY, strict=True):
        part.set_facecolor(theme.background)
        part.suptitle(title, fontsize=10, fontweight="bold")
        for panel, moment in zip(part.subplots(1, 3), moments, strict=True):
            _picture(panel, theme, ring(kind, 0), moment)
    return drawing


def overlap(counts: np.ndarray) -> np.ndarray:
    """How much of the ideal sample (an eighth at every mode, nothing elsewhere) was generated: counts (…, 9) -> 0…1."""
    shares = counts[..., :-1] / counts.sum(axis=-1, keepdims=True)
    return np.minimum(shares, 1 / len(CENTRES)).sum(axis=-1)


def smooth(values: np.ndarray, width: int = 5) -> np.ndarray:
    """Moving average over `width` snapshots, shorter by width - 1."""
    return np.convolve(values, np.full(width, 1 / width), mode="valid")


@figure
def losses(theme: Theme) -> Figure:
    drawing, (top, middle, bottom) = pyplot.subplots(3, 1, figsize=(WIDTH, 7.2), sharex=True)
    plain, critic = ring("non-saturating", 0), ring("wgan-gp", 0)
    rounds = plain["rounds"][2:-2]
    top.plot(rounds, smooth(plain["d_loss"]), color=theme.forward, label="потери D")
    top.plot(rounds, smooth(plain["g_loss"]), color=theme.backward, label="потери G")
    top.axhline(np.log(4), color=theme.muted, linewidth=1, linestyle=":")
    top.text(2000, np.log(4) + 0.03, "log 4", color=theme.muted, ha="right", fontsize=9)
    top.set(ylim=(0, 2), title="ненасыщающийся GAN")
    middle.plot(critic["rounds"][2:-2], smooth(-critic["d_loss"]), color=theme.forward, label="оценка критика")
    middle.plot(critic["frames"], critic["distance"], "o", color=theme.ink, markersize=5, label="$W_1$ выборок")
    middle.set(ylim=(-0.1, 2), title="WGAN-GP")
    for run, colour, label in ((plain, "bad", "ненасыщающийся GAN"), (critic, "good", "WGAN-GP")):
        bottom.plot(run["rounds"][2:-2], smooth(overlap(run["counts"])), color=getattr(theme, colour), label=label)
    bottom.set(ylim=(0, 1), xlim=(0, 2000), xlabel="раунд", title="совпадение с кольцом")
    for panel, place in ((top, "lower right"), (middle, "upper right"), (bottom, "upper left")):
        panel.yaxis.set_major_formatter(ticks())
        panel.legend(loc=place)
    return drawing


# Gaussians that move apart

LINE = np.linspace(-12.0, 20.0, 6401)
STEP = LINE[1] - LINE[0]
SHIFTS = np.linspace(0.0, 8.0, 161)


def on_line(mean: float, std: float = 1.0) -> np.ndarray:
    """Probabilities of the cells of LINE under a Gaussian."""
    density = norm.pdf(LINE, mean, std)
    return density / density.sum()


@cache
def apart() -> dict[str, np.ndarray]:
    """Distances of N(0, 1) and N(m, 1) and their derivatives in m, for every m of SHIFTS.

    `non-saturating` has no value of its own in the game; it is KL(p_g || p_d) - 2 JSD.
    """
    data, cells = on_line(0.0), {}
    cells["jsd"] = np.array([jensen_shannon(data, on_line(m)) for m in SHIFTS])
    cells["w1"] = SHIFTS.copy()
    cells["non-saturating"] = SHIFTS**2 / 2 - 2 * cells["jsd"]
    slopes = {f"{name}-slope": np.gradient(values, SHIFTS, edge_order=2) for name, values in cells.items()}
    return cells | slopes


@figure
def moving_apart(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 5.6), sharex=True)
    series = (
        ("jsd", "bad", "JSD"),
        ("w1", "good", "$W_1$"),
        ("non-saturating", "forward", r"$\mathrm{KL}(p_g\|p_d)-2\,\mathrm{JSD}$"),
    )
    for name, colour, label in series:
        top.plot(SHIFTS, apart()[name], color=getattr(theme, colour), label=label)
        bottom.semilogy(SHIFTS[1:], apart()[f"{name}-slope"][1:], color=getattr(theme, colour))
    top.axhline(np.log(2), color=theme.muted, linewidth=1, linestyle=":")
    top.text(8, np.log(2) + 0.1, "log 2", color=theme.muted, ha="right", fontsize=9)
    top.set(ylim=(0, 5), ylabel="значение")
    top.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=3)
    bottom.set(ylim=(1e-4, 20), xlim=(0, 8), xlabel="расстояние $m$ между средними", ylabel="производная по $m$")
    bottom.yaxis.set_minor_locator(NullLocator())
    return drawing


# A discriminator and a critic on the line

GAP = 6.0
VIEW = np.linspace(-3.5, 9.5, 400)


@cache
def judges() -> dict[str, np.ndarray]:
    """D* and the best critic for data N(6, 1) and generator N(0, 1) on VIEW, and the size of the derivative of every
    loss in a generated point."""
    data, model = norm.pdf(VIEW, GAP), norm.pdf(VIEW)
    best = optimal_discriminator(data, model)
    logit_slope = GAP  # logit D* = log p_d / p_g = 6 x - 18
    points, potential = potential_line(LINE, LINE, on_line(GAP), on_line(0.0))
    critic = np.interp(VIEW, points, potential)
    return {
        "data": data,
        "model": model,
        "discriminator": best,
        "critic": critic - critic.mean(),
        "saturating": best * logit_slope,
        "non-saturating": (1 - best) * logit_slope,
        "wasserstein": np.abs(np.gradient(critic, VIEW)),
    }


@figure
def discriminator_and_critic(theme: Theme) -> Figure:
    drawing, (top, middle, bottom) = pyplot.subplots(3, 1, figsize=(WIDTH, 7.0), sharex=True, height_ratios=(2, 3, 3))
    curves = judges()
    top.fill_between(VIEW, curves["model"], color=theme.backward, alpha=0.25, linewidth=0)
    top.fill_between(VIEW, curves["data"], color=theme.forward, alpha=0.25, linewidth=0)
    top.text(0, 0.15, "$p_g$", color=theme.backward, ha="center", fontsize=12)
    top.text(GAP, 0.15, "$p_d$", color=theme.forward, ha="center", fontsize=12)
    top.set(ylim=(0, 0.45), yticks=[], ylabel="плотность")
    middle.plot(VIEW, curves["discriminator"], color=theme.bad, label="дискриминатор $D^*$")
    middle.plot(VIEW, curves["critic"] / GAP, color=theme.good, label=r"критик $f^\star/6$")
    middle.set(ylabel="выход", ylim=(-1.25, 1.75))
    middle.legend(loc="upper left")
    for name, colour, label in (
        ("saturating", "bad", r"$\log(1-D^*)$"),
        ("non-saturating", "forward", r"$-\log D^*$"),
        ("wasserstein", "good", r"$-f^\star$"),
    ):
        bottom.semilogy(VIEW, np.maximum(curves[name], 1e-30), color=getattr(theme, colour), label=label)
    bottom.set(ylim=(1e-8, 100), xlim=(VIEW[0], VIEW[-1]), xlabel="$x$", ylabel="длина градиента\nпо точке $x$")
    bottom.yaxis.set_minor_locator(NullLocator())
    bottom.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=3)
    middle.yaxis.set_major_formatter(ticks())
    return drawing


# Gradients in the logit

LOGITS = np.linspace(-8.0, 8.0, 321)


@figure
def logit_gradients(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.6))
    sigmoid = 1 / (1 + np.exp(-LOGITS))
    panel.axvspan(-8, -2, color=theme.surface, zorder=0)
    panel.text(-7.8, 0.5, "D уверен:\nэто подделка", color=theme.muted, va="center", fontsize=9)
    panel.plot(LOGITS, sigmoid, color=theme.bad, label=r"$\log(1-\sigma(s))$: $\sigma(s)$")
    panel.plot(LOGITS, 1 - sigmoid, color=theme.forward, label=r"$-\log\sigma(s)$: $1-\sigma(s)$")
    panel.axhline(1, color=theme.good, linestyle="--", linewidth=1.4, label="$-s$: единица")
    panel.set(xlim=(-8, 8), ylim=(-0.03, 1.08), xlabel="логит $s$ сгенерированного объекта", ylabel="тяга вверх")
    panel.yaxis.set_major_formatter(ticks())
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=3, columnspacing=1.2, handlelength=1.4)
    return drawing


# One Gaussian for two

SEPARATION, NARROW = 1.7, 0.6
FIT_LINE = np.linspace(-12.0, 12.0, 2401)


def two_modes() -> np.ndarray:
    """Probabilities on FIT_LINE: Gaussians of deviation 0.6 at ±1.7 with weights 0.6 and 0.4."""
    density = 0.6 * norm.pdf(FIT_LINE, -SEPARATION, NARROW) + 0.4 * norm.pdf(FIT_LINE, SEPARATION, NARROW)
    return density / density.sum()


CRITERIA = {
    "forward": lambda data, model: kullback_leibler(data, model),
    "jsd": lambda data, model: 2 * jensen_shannon(data, model),
    "non-saturating": lambda data, model: 2 * kullback_leibler((data + model) / 2, data),
    "reverse": lambda data, model: kullback_leibler(model, data),
}


def gaussian(mean: float, log_std: float) -> np.ndarray:
    density = np.maximum(norm.pdf(FIT_LINE, mean, np.exp(log_std)), 1e-290)
    return density / density.sum()


@cache
def fit(name: str) -> tuple[float, float, float]:
    """Mean and deviation of the Gaussian nearest to the two modes by a criterion, and its value there."""
    data = two_modes()
    found = [
        minimize(lambda v: CRITERIA[name](data, gaussian(*v)), start, method="Nelder-Mead", options={"xatol": 1e-5})
        for start in ((-2.0, -0.3), (0.0, 1.0))
    ]
    best = min(found, key=lambda result: result.fun)
    return float(best.x[0]), float(np.exp(best.x[1])), float(best.fun)


@figure
def one_for_two(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.9))
    step = FIT_LINE[1] - FIT_LINE[0]
    shown = FIT_LINE[::6]
    panel.fill_between(shown, two_modes()[::6] / step, color=theme.grid, linewidth=0, label="$p_d$")
    for name, colour, line, label in (
        ("forward", "backward", "-", r"$\mathrm{KL}(p_d\|p_g)$"),
        ("jsd", "bad", "--", r"$2\,\mathrm{JSD}$"),
        ("non-saturating", "forward", "-", r"$2\,\mathrm{KL}(m\|p_d)$"),
        ("reverse", "good", "--", r"$\mathrm{KL}(p_g\|p_d)$"),
    ):
        mean, std, _ = fit(name)
        panel.plot(FIT_LINE, norm.pdf(FIT_LINE, mean, std), color=getattr(theme, colour), linestyle=line, label=label)
    panel.set(xlim=(-5.5, 5.5), ylim=(0, 0.75), xlabel="$x$", ylabel="плотность")
    panel.yaxis.set_major_formatter(ticks())
    panel.legend(loc="upper right", ncol=1)
    return drawing


# Games


@dataclass(frozen=True)
class Player:
    """A way to play the bilinear game and how it is drawn."""

    step: object
    colour: str
    label: str


PLAYERS = {
    "simultaneous": Player(games.simultaneous, "bad", "одновременный"),
    "alternating": Player(games.alternating, "forward", "поочерёдный"),
    "extragradient": Player(games.extragradient, "good", "экстраградиент"),
}
ETA, MOVES = 0.1, 200
PENALTIES = {0.0: "bad", 0.3: "forward", 1.0: "good", 4.0: "accent"}
DIRAC_ETA, DIRAC_MOVES = 0.2, 150


@cache
def bilinear(name: str) -> np.ndarray:
    """Points of 200 moves of step 0.1 from (1, 0)."""
    return games.play(PLAYERS[name].step, games.bilinear_field, (1.0, 0.0), ETA, MOVES)


@cache
def dirac(gamma: float) -> np.ndarray:
    """Points (theta, psi) of the Dirac-GAN from (1, 0) under alternating moves of step 0.2."""
    return games.play(games.alternating, lambda p: games.dirac_field(p, gamma), (1.0, 0.0), DIRAC_ETA, DIRAC_MOVES)


@figure
def circling(theme: Theme) -> Figure:
    drawing, (plane, radius, place) = pyplot.subplots(3, 1, figsize=(WIDTH, 8.8), height_ratios=(1.7, 1, 1))
    for name, player in PLAYERS.items():
        points, colour = bilinear(name), getattr(theme, player.colour)
        plane.plot(*points[:101].T, color=colour, linewidth=1.4, label=player.label)
        radius.plot(np.linalg.norm(points, axis=1), color=colour, linewidth=1.4)
    plane.plot(0, 0, "*", color=theme.ink, markersize=9)
    plane.plot(1, 0, "o", color=theme.ink, markersize=5)
    plane.set(aspect="equal", xlabel="$x$ (минимизирует)", ylabel="$y$ (максимизирует)")
    plane.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=3)
    radius.set(xlim=(0, MOVES), ylim=(0, 2.8), xlabel="шаг", ylabel="расстояние\nдо равновесия")
    for gamma, colour in PENALTIES.items():
        label = rf"$\gamma={number(gamma).replace(',', '{,}')}$"
        place.plot(dirac(gamma)[:, 0], color=getattr(theme, colour), linewidth=1.4, label=label)
    place.set(xlim=(0, DIRAC_MOVES), ylim=(-1.3, 1.3), xlabel="шаг", ylabel=r"точка генератора $\theta$")
    place.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=4)
    for panel in (plane, radius, place):
        panel.yaxis.set_major_formatter(ticks())
    plane.xaxis.set_major_formatter(ticks())
    return drawing


# FID of a distribution against itself

SIZES = (100, 200, 500, 1000, 2000, 5000, 10_000)
FEATURES, REPEATS = (16, 64), 3


def self_fid(d: int, n: int, seed: int) -> float:
    """FID between two samples of N(0, I_d) of n points each."""
    rng = np.random.default_rng([seed, d, n])
    return fid(rng.standard_normal((n, d)), rng.standard_normal((n, d)))


def expected_bias(d: int, n: int) -> float:
    """First order in 1 / n: 2 d / n from the means and d (d + 1) / (2 n) from the covariances."""
    return (d**2 + 5 * d) / (2 * n)


@cache
def biases(d: int) -> np.ndarray:
    """Mean over the repeats for each of SIZES."""
    with threadpool_limits(1):
        return np.array([np.mean([self_fid(d, n, seed) for seed in range(REPEATS)]) for n in SIZES])


@figure
def fid_bias(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.7))
    for d, colour in zip(FEATURES, ("good", "forward"), strict=True):
        hue = getattr(theme, colour)
        panel.loglog(SIZES, biases(d), "o", color=hue, markersize=6, label=f"$d={d}$, измерено")
        line = [expected_bias(d, n) for n in SIZES]
        panel.loglog(SIZES, line, color=hue, linewidth=1.2, linestyle="--", label="$(d^2+5d)/(2n)$")
    panel.set_xticks(SIZES, [f"{n // 1000} тыс." if n >= 1000 else str(n) for n in SIZES])
    panel.set_yticks([0.01, 0.1, 1, 10], ["0,01", "0,1", "1", "10"])
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_minor_locator(NullLocator())
    panel.set(xlabel="точек в каждой выборке $n$", ylabel="FID")
    panel.legend(loc="upper right")
    return drawing
