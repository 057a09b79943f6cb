"""Figures of tm-09: how depth harms plain networks, and what a shortcut does to the signal and to the gradient."""

import math
from functools import cache

import numpy as np
import torch
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits

from scripts.dl.initialization import he_normal
from scripts.dl.residual import second_moments
from scripts.experiments import residual as experiment
from scripts.figures import figure
from scripts.figures.digits import CLASSES, digits
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

# --- Accuracy against depth ----------------------------------------------------------------------------------------

KINDS = {
    experiment.PLAIN: ("без связей", "bad", "-", "o"),
    experiment.PLAIN_BN: ("без связей, BN", "accent", "-", "s"),
    experiment.RESIDUAL: ("связи без нормировки", "extra", "--", "v"),
    experiment.RESIDUAL_BN: ("связи и BN", "good", "-", "D"),
    experiment.SCALED: (r"связи, ветвь $\times\,1/\sqrt{n}$", "forward", ":", "^"),
    experiment.ZERO: ("связи, ветвь с нуля", "backward", ":", "P"),
}
CHANCE = 1 / CLASSES


def accuracies(kind: str, which: str) -> np.ndarray:
    """`train` or `test` accuracies, (depths, seeds); a network that diverged answers at random."""
    found = [experiment.depth(kind, layers) for layers in experiment.DEPTHS]
    return np.array([np.where(one["finite"], one[which], CHANCE) for one in found])


@figure
def depth(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.6))
    for kind, (label, colour, line, marker) in KINDS.items():
        result, hue = accuracies(kind, "train"), getattr(theme, colour)
        panel.fill_between(
            experiment.DEPTHS, result.min(axis=1), result.max(axis=1), color=hue, alpha=0.15, linewidth=0
        )
        panel.plot(experiment.DEPTHS, np.median(result, axis=1), color=hue, linestyle=line, marker=marker,
                   markersize=5, label=label)  # fmt: skip
    panel.axhline(CHANCE, color=theme.muted, linewidth=1)
    panel.annotate("угадывание", (0.02, CHANCE - 0.015), xycoords=("axes fraction", "data"), va="top",
                   color=theme.muted, fontsize=9)  # fmt: skip
    panel.set(xlabel="скрытых слоёв", ylabel="доля верных на обучении", ylim=(0, 1.03))
    panel.set_xticks(experiment.DEPTHS)
    panel.yaxis.set_major_formatter(ticks(1))
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
    return drawing


# --- The signal and the gradient at the start of training ----------------------------------------------------------

BLOCKS, HIDDEN, BATCH, INITS = 40, 256, 256, 3
BRANCH_VARIANCE = 1 - 1 / math.pi  # batch variance of W relu(z), z from N(0, 1), Var W = 2 / d
GROWTH = {
    "bare": ("без нормировки", "bad"),
    "batch-norm": ("BN в ветви", "good"),
    "scaled": (r"ветвь $\times\,1/\sqrt{n}$", "forward"),
    "post": ("исходный блок", "accent"),
}


def _standardize(x: torch.Tensor) -> torch.Tensor:
    return (x - x.mean(dim=0)) / x.std(dim=0, correction=0)


def _block(kind: str, x: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
    if kind == "post":  # He et al., 2015: normalisation after each layer, ReLU after the sum
        inner = torch.relu(_standardize(x @ weights[0].T))
        return torch.relu(x + _standardize(inner @ weights[1].T))
    branch = x
    for W in weights:
        branch = torch.relu(_standardize(branch) if kind == "batch-norm" else branch) @ W.T
    return x + (branch / math.sqrt(BLOCKS) if kind == "scaled" else branch)


def _single(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(array, dtype=torch.float32)


@cache
def growth(kind: str) -> dict[str, np.ndarray]:
    """Medians over initialisations for l = 0 … n, relative to x_0 or to the top: `forward` the second moment of x_l,
    `spread` its variance over the batch, `backward` the square of the norm of its adjoint."""
    split = digits()
    X = split.X_train[:BATCH] - split.X_train.mean(axis=0)
    X = _single(X / np.sqrt(np.mean(X**2)))
    forward, spread, backward = [], [], []
    for seed in range(INITS):
        rng = np.random.default_rng(seed)
        stem = _single(rng.standard_normal((HIDDEN, X.shape[1])) / math.sqrt(X.shape[1]))
        states = [(X @ stem.T).requires_grad_()]
        for _ in range(BLOCKS):
            weights = [_single(he_normal(HIDDEN, HIDDEN, rng)) for _ in range(2)]
            states.append(_block(kind, states[-1], weights))
            states[-1].retain_grad()
        states[-1].backward(_single(rng.standard_normal(states[-1].shape)))
        with torch.no_grad():
            forward.append([(state**2).mean().item() for state in states])
            spread.append([state.var(dim=0, correction=0).mean().item() for state in states])
        backward.append([(state.grad**2).sum().item() for state in states])
    forward, spread, backward = (np.median(np.array(runs), axis=0) for runs in (forward, spread, backward))
    return {"forward": forward / forward[0], "spread": spread / spread[0], "backward": backward / backward[-1]}


def predicted(kind: str) -> dict[str, np.ndarray]:
    """What the text derives for `growth`; nothing for the original block."""
    blocks = np.arange(BLOCKS + 1)
    if kind == "batch-norm":
        spread = 1 + BRANCH_VARIANCE * blocks
        gains = 1 / (BRANCH_VARIANCE * spread[:-1])
        return {"forward": 1.0 + blocks, "spread": spread, "backward": second_moments(gains[::-1])[::-1]}
    if kind == "post":
        return {}
    moments = second_moments([1.0 if kind == "bare" else 1 / BLOCKS] * BLOCKS)
    return {"forward": moments, "backward": moments[::-1]}


@figure
def variance(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 6.6), sharex=True)
    blocks = np.arange(BLOCKS + 1)
    dots = {"color": theme.ink, "linewidth": 1.2, "linestyle": (0, (1, 3))}
    for panel, name in zip(panels, ("forward", "backward"), strict=True):
        for kind, (label, colour) in GROWTH.items():
            panel.semilogy(blocks, growth(kind)[name], color=getattr(theme, colour), label=label)
            if name in predicted(kind):
                panel.semilogy(blocks, predicted(kind)[name], **dots)
        panel.plot([], [], label="предсказание", **dots)
        panel.yaxis.minorticks_off()
        panel.set_ylim(0.3, 1e13)
        panel.set_yticks([1, 1e3, 1e6, 1e9, 1e12])
    panels[0].set_ylabel(r"$\mathrm{E}\,x_l^2\ /\ \mathrm{E}\,x_0^2$")
    panels[1].set_ylabel(r"$\Vert\bar x_l\Vert^2\ /\ \Vert\bar x_n\Vert^2$")
    panels[1].set_xlabel("блок $l$ (градиент идёт справа налево)")
    panels[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
    return drawing


# --- Shattered gradients -------------------------------------------------------------------------------------------

POINTS, SPAN, NEURONS, DEEP, BRANCH, LAG, NETWORKS = 256, 2.0, 200, 50, 0.1, 15, 20
SHATTERED = {
    "shallow": ("1 слой", "forward"),
    "plain": (f"{DEEP} слоёв без связей", "bad"),
    "residual": (f"{DEEP} слоёв, связи, ветвь × {number(BRANCH)}", "good"),
}


@cache
@threadpool_limits.wrap(limits=1)  # small matrices: threads would only get in each other's way
def slopes(kind: str, seed: int) -> np.ndarray:
    """df/dx of a random ReLU network of one input at 256 points of [-2, 2], scaled to mean 0 and variance 1."""
    rng = np.random.default_rng(seed)
    x = np.linspace(-SPAN, SPAN, POINTS, dtype=np.float32)[:, None]
    W, b = rng.standard_normal((NEURONS, 1), np.float32), rng.standard_normal(NEURONS, np.float32)
    h, dh = x @ W.T + b, np.tile(W.T, (POINTS, 1))
    for _ in range(DEEP if kind != "shallow" else 1):
        W = he_normal(NEURONS, NEURONS, rng).astype(np.float32)
        b = 0.1 * rng.standard_normal(NEURONS, np.float32)
        F, dF = np.maximum(h, 0) @ W.T + b, (dh * (h > 0)) @ W.T
        h, dh = (h + BRANCH * F, dh + BRANCH * dF) if kind == "residual" else (F, dF)
    slope = dh @ rng.standard_normal(NEURONS)
    return (slope - slope.mean()) / slope.std()


@cache
def autocorrelation(kind: str) -> np.ndarray:
    """Correlation of the slope at points k steps of the grid apart, k = 0 … 40; the mean over random networks."""
    curves = []
    for seed in range(NETWORKS):
        slope = slopes(kind, seed)
        curves.append([np.mean(slope[: POINTS - k] * slope[k:]) for k in range(41)])
    return np.mean(curves, axis=0)


@figure
def shattered(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(4, 1, figsize=(WIDTH, 7.4), height_ratios=(1, 1, 1, 1.9))
    x = np.linspace(-SPAN, SPAN, POINTS)
    for panel, (kind, (label, colour)) in zip(panels, SHATTERED.items(), strict=False):
        hue = getattr(theme, colour)
        panel.plot(x, slopes(kind, 0), color=hue, linewidth=1.1)
        panel.set_title(label, color=hue)
        panel.set(xlim=(-SPAN, SPAN), ylim=(-4, 4))
        panel.set_yticks([])
        panels[3].plot(autocorrelation(kind), color=hue)
    for panel in panels[:2]:
        panel.tick_params(labelbottom=False)
    panels[1].set_ylabel("наклон $df/dx$")
    panels[2].set_xlabel("вход $x$")
    panels[2].xaxis.set_major_formatter(ticks())
    panels[3].axvline(LAG, color=theme.muted, linewidth=1, linestyle=":")
    panels[3].set(xlabel="расстояние между точками, шагов сетки", ylabel="корреляция наклонов", xlim=(0, 40),
                  ylim=(-0.1, 1.02))  # fmt: skip
    panels[3].yaxis.set_major_formatter(ticks(1))
    return drawing


# --- Paths and lesions ---------------------------------------------------------------------------------------------


@cache
def path_shares() -> dict[str, np.ndarray]:
    """Shares by the number of branches passed: of the 2^n paths, `count`, and of the gradient `before` and `after`."""
    before, after = experiment.dissected()["paths"]
    n = len(before) - 1
    count = np.array([math.comb(n, k) for k in range(n + 1)], dtype=float)
    shares = {"count": count, "before": before, "after": after}
    return {name: values / values.sum() for name, values in shares.items()}


@figure
def paths(theme: Theme) -> Figure:
    drawing, (lengths, lesions) = pyplot.subplots(2, 1, figsize=(WIDTH, 6.4))
    shares, found = path_shares(), experiment.dissected()
    branches = np.arange(len(shares["count"]))
    lengths.bar(branches, shares["after"], width=0.8, color=theme.good, label="градиент после обучения")
    lengths.plot(
        branches, shares["before"], color=theme.backward, marker="o", markersize=4, label="градиент до обучения"
    )
    lengths.plot(branches, shares["count"], color=theme.muted, linestyle="--", label="число путей")
    lengths.set(xlabel="ветвей на пути", ylabel="доля", xlim=(-0.7, 30.7), ylim=(0, 0.23))
    lengths.yaxis.set_major_formatter(ticks(2))
    lengths.legend(loc="upper right")

    place = (np.arange(len(found["one"])) + 0.5) / len(found["one"])
    lesions.plot(place, found["one"], color=theme.good, marker="o", markersize=4, label="30 блоков со связями")
    plain = (np.arange(len(found["plain"])) + 0.5) / len(found["plain"])
    lesions.plot(plain, found["plain"], color=theme.bad, marker="s", markersize=5, label="5 блоков без связей")
    lesions.axhline(found["whole"], color=theme.good, linewidth=1, linestyle=":")
    lesions.set(xlabel="место удалённого блока: от входа к выходу", ylabel="доля верных на контроле", xlim=(0, 1),
                ylim=(0, 1.03))  # fmt: skip
    lesions.set_xticks([0, 0.5, 1], ["вход", "середина", "выход"])
    lesions.yaxis.set_major_formatter(ticks(1))
    lesions.legend(loc="center right")
    return drawing
