"""Figures of tm-08: where adaptive optimisers lead, what switching to SGD changes, and what SWATS measures."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from matplotlib.figure import Figure

from scripts.dl.activations import TANH
from scripts.dl.initialization import xavier_normal
from scripts.dl.losses import softmax_cross_entropy
from scripts.dl.mlp import MLP
from scripts.dl.optimizers import SGD, AdaGrad, Adam, Optimizer, RMSProp
from scripts.dl.schedules import cosine
from scripts.dl.swats import SWATS
from scripts.figures import figure
from scripts.figures.digits import digits
from scripts.figures.numbers import number, ticks
from scripts.figures.style import FONT_SIZE, WIDTH, Theme, pyplot

SMALL = FONT_SIZE - 1

# 1. The construction of Wilson et al., 2017, section 3.3.

OBJECTS, POSITIVE = 200, 120
SHARED, UNIQUE = 3, 5  # features common to all objects; places for the features of one object


@cache
def wilson_data() -> tuple[np.ndarray, np.ndarray]:
    """X (200, 1003) and y (200,): y itself, two ones, then per object one 1 if it is positive, five if negative."""
    y = np.concatenate([np.ones(POSITIVE), -np.ones(OBJECTS - POSITIVE)])
    X = np.zeros((OBJECTS, SHARED + UNIQUE * OBJECTS))
    X[:, 0], X[:, 1:SHARED] = y, 1.0
    for i, label in enumerate(y):
        start = SHARED + UNIQUE * i
        X[i, start : start + (1 if label > 0 else UNIQUE)] = 1.0
    return X, y


WILSON = {
    "GD": (lambda w: SGD([w], lr=0.25), 6000),
    "импульс": (lambda w: SGD([w], lr=0.1, momentum=0.9), 3000),
    "AdaGrad": (lambda w: AdaGrad([w], lr=0.1), 2000),
    "RMSProp": (lambda w: RMSProp([w], lr=0.001), 3000),
    "Adam": (lambda w: Adam([w], lr=0.001), 3000),
}


@dataclass(frozen=True, eq=False)
class Separator:
    """A solution of the least squares: `weights` (1003,), the largest residual, and the score of a new object of
    either class, whose own features met no training object and so have zero weight."""

    weights: np.ndarray
    residual: float
    positive_score: float
    negative_score: float


@cache
def wilson(name: str) -> Separator:
    X, y = wilson_data()
    build, steps = WILSON[name]
    w = np.zeros(X.shape[1])
    optimizer = build(w)
    for _ in range(steps):
        optimizer.step([2 * X.T @ (X @ w - y) / OBJECTS])
    ones = w[1] + w[2]
    return Separator(w, float(np.abs(X @ w - y).max()), float(w[0] + ones), float(-w[0] + ones))


def wilson_test_accuracy(name: str, size: int = 1000) -> float:
    """On fresh objects, 60 % of them positive in expectation."""
    labels = np.where(np.random.default_rng(0).random(size) < POSITIVE / OBJECTS, 1, -1)
    found = wilson(name)
    scores = np.where(labels > 0, found.positive_score, found.negative_score)
    return float(np.mean(np.sign(scores) == labels))


@figure
def wilson_construction(theme: Theme) -> Figure:
    drawing, (upper, lower) = pyplot.subplots(2, 1, figsize=(WIDTH, 5.9), height_ratios=(1, 1.05))
    groups = ("сама метка", "единица", "единица", "уникальный,\nкласс +", "уникальный,\nкласс −")
    places = np.arange(len(groups))
    columns = [0, 1, 2, SHARED, SHARED + UNIQUE * POSITIVE]
    for shift, name, colour in ((-0.2, "GD", theme.good), (0.2, "Adam", theme.bad)):
        upper.bar(places + shift, wilson(name).weights[columns], width=0.38, color=colour, label=name)
    upper.axhline(0, color=theme.muted, linewidth=0.8)
    upper.set_xticks(places, groups)
    upper.set_ylabel("вес признака")
    upper.yaxis.set_major_formatter(ticks(1))
    upper.legend(loc="upper right")
    upper.grid(axis="x", visible=False)
    rows = np.arange(len(WILSON))[::-1]
    for row, name in zip(rows, WILSON, strict=True):
        found = wilson(name)
        lower.plot([found.negative_score, found.positive_score], [row, row], color=theme.grid, linewidth=3, zorder=1)
        lower.plot(found.positive_score, row, "o", color=theme.forward, markersize=8)
        lower.plot(found.negative_score, row, "D", color=theme.backward, markersize=7)
    lower.plot([], [], "o", color=theme.forward, label="новый объект класса +")
    lower.plot([], [], "D", color=theme.backward, label="новый объект класса −")
    lower.axvline(0, color=theme.muted, linewidth=1.0, linestyle="--")
    lower.set(xlim=(-1.25, 1.25), ylim=(-0.6, len(WILSON) - 0.4), xlabel="ответ классификатора (граница – ноль)")
    lower.set_yticks(rows, WILSON)
    lower.xaxis.set_major_formatter(ticks(1))
    lower.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncol=2)
    return drawing


# 2. A noisy quadratic: what is gained by the switch, and what by the smaller step.

DIMENSION, NOISE, STEPS, SWITCH, RUNS = 20, 0.2, 4000, 1000, 100


def curvatures() -> np.ndarray:
    return np.logspace(-1, 0, DIMENSION)


@dataclass(frozen=True)
class Strategy:
    """How one run begins and what replaces the optimiser at step SWITCH; `schedule` sets the rate of each step."""

    label: str
    start: Callable[[np.ndarray], Optimizer]
    then: Callable[[np.ndarray], Optimizer] | None = None
    schedule: Callable[[int], float] | None = None
    colour: str = "muted"


STRATEGIES = {
    "adam": Strategy("Adam, η = 0,01", lambda w: Adam([w], lr=0.01), colour="bad"),
    "same": Strategy(
        "Adam → SGD, η = 0,05", lambda w: Adam([w], lr=0.01), lambda w: SGD([w], lr=0.05), colour="accent"
    ),
    "switch": Strategy(
        "Adam → SGD, η = 0,015", lambda w: Adam([w], lr=0.01), lambda w: SGD([w], lr=0.015), colour="good"
    ),
    "small": Strategy("Adam, η = 0,003", lambda w: Adam([w], lr=0.003), colour="forward"),
    "cosine": Strategy(
        "Adam, косинус от 0,01", lambda w: Adam([w], lr=0.01), schedule=cosine(0.01, STEPS), colour="extra"
    ),
}


@cache
def quadratic(name: str) -> np.ndarray:
    """Mean loss ½ Σ h_i w_i² of 100 runs from w = 1 before each step, (4000,); gradients are h w + noise of 0.2."""
    strategy, h = STRATEGIES[name], curvatures()
    rng = np.random.default_rng(0)
    w = np.ones((RUNS, DIMENSION))
    optimizer = strategy.start(w)
    losses = []
    for t in range(STEPS):
        if t == SWITCH and strategy.then is not None:
            optimizer = strategy.then(w)
        if strategy.schedule is not None:
            optimizer.lr = strategy.schedule(t)
        losses.append(0.5 * float(np.mean((h * w**2).sum(axis=1))))
        optimizer.step([h * w + NOISE * rng.standard_normal(w.shape)])
    return np.array(losses)


def final_loss(name: str) -> float:
    """Mean over the last 500 steps."""
    return float(quadratic(name)[-500:].mean())


def sgd_floor(rate: float) -> float:
    """Σ ½ h Var w with Var w = η σ² / (h (2 - η h))."""
    return float(np.sum(rate * NOISE**2 / (2 * (2 - rate * curvatures()))))


def adam_floor(rate: float) -> float:
    """That of SGD with the rate η / σ, to first order: d η σ / 4."""
    return DIMENSION * rate * NOISE / 4


@figure
def switch_on_quadratic(theme: Theme) -> Figure:
    drawing, axes = pyplot.subplots(figsize=(WIDTH, 4.4))
    for name, strategy in STRATEGIES.items():
        losses = quadratic(name)
        smooth = losses.reshape(-1, 25).mean(axis=1)
        steps = np.arange(len(smooth)) * 25 + 12.5
        shown = steps > (SWITCH if strategy.then is not None else 0)
        line = "--" if name == "same" else "-"
        axes.semilogy(
            steps[shown], smooth[shown], color=getattr(theme, strategy.colour), label=strategy.label, linestyle=line
        )  # fmt: skip
    for floor in (adam_floor(0.01), adam_floor(0.003)):
        axes.axhline(floor, color=theme.ink, linewidth=0.9, linestyle=(0, (1, 3)))
    for level, digits_shown in ((adam_floor(0.01), 3), (adam_floor(0.003), 3), (final_loss("cosine"), 4)):
        axes.text(STEPS - 10, level * 1.12, number(level, digits_shown), fontsize=SMALL, ha="right", va="bottom")
    axes.axvline(SWITCH, color=theme.muted, linewidth=0.8)
    axes.text(SWITCH + 30, 1.5, "переключение", color=theme.muted, fontsize=SMALL)
    axes.set(xlabel="шаг", ylabel="средние потери", xlim=(0, STEPS), ylim=(8e-4, 5))
    axes.legend(loc="upper right", bbox_to_anchor=(1.0, 0.93))
    return drawing


# 3. SWATS on digits: the estimate of SGD's rate, and what the switch gives.

TRAIN, EPOCHS, BATCH, SEEDS = 600, 60, 32, 5
ADAM_RATE, EARLIEST = 0.01, 100


@dataclass(frozen=True, eq=False)
class Trained:
    """After each epoch: losses on training and test objects, accuracy on test; the optimiser when all is done."""

    train_loss: np.ndarray
    test_loss: np.ndarray
    accuracy: np.ndarray
    optimizer: object


TOTAL = EPOCHS * (TRAIN // BATCH)
CONTENDERS = {
    "adam": ("Adam", lambda p: Adam(p, lr=ADAM_RATE), None, "bad"),
    "cosine": ("Adam с косинусом", lambda p: Adam(p, lr=ADAM_RATE), cosine(ADAM_RATE, TOTAL), "extra"),
    "swats": ("SWATS", lambda p: SWATS(p, lr=ADAM_RATE, tolerance=0.01, earliest=EARLIEST), None, "good"),
    "sgd": ("SGD с импульсом", lambda p: SGD(p, lr=0.1, momentum=0.9), None, "forward"),
}


@cache
def digits_run(name: str, seed: int) -> Trained:
    """A 64-64-10 tanh network on 600 digits; the same initial weights and order of objects for all contenders."""
    _, build, schedule, _ = CONTENDERS[name]
    split, rng = digits(TRAIN), np.random.default_rng(seed)
    network = MLP([64, 64, 10], TANH, xavier_normal, rng)
    Y, Y_test = np.eye(10)[split.y_train], np.eye(10)[split.y_test]
    optimizer, history, t = build([*network.weights, *network.biases]), [], 0
    for _ in range(EPOCHS):
        order = rng.permutation(TRAIN)
        for start in range(0, TRAIN - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            if schedule is not None:
                optimizer.lr = schedule(t)
            _, grad_logits = softmax_cross_entropy(network.forward(split.X_train[chosen]), Y[chosen])
            gradients = network.backward(grad_logits)
            optimizer.step([*gradients.weights, *gradients.biases])
            t += 1
        train_loss, _ = softmax_cross_entropy(network.forward(split.X_train), Y)
        logits = network.forward(split.X_test)
        test_loss, _ = softmax_cross_entropy(logits, Y_test)
        history.append((train_loss, test_loss, np.mean(logits.argmax(axis=1) == split.y_test)))
    return Trained(*np.array(history).T, optimizer)


def summary(name: str) -> tuple[float, float, float]:
    """Means over the seeds of what the last epoch left: train loss, test loss, test accuracy."""
    runs = [digits_run(name, seed) for seed in range(SEEDS)]
    return tuple(
        float(np.mean([getattr(r, what)[-1] for r in runs])) for what in ("train_loss", "test_loss", "accuracy")
    )


@figure
def swats(theme: Theme) -> Figure:
    drawing, (upper, lower) = pyplot.subplots(2, 1, figsize=(WIDTH, 6.2))
    optimizer = digits_run("swats", 0).optimizer
    steps = np.arange(1, len(optimizer.rates) + 1)
    upper.semilogy(steps, optimizer.rates, "o", color=theme.muted, markersize=3, alpha=0.7, markeredgewidth=0)
    upper.semilogy(steps, optimizer.averages, color=theme.good)
    upper.axvline(optimizer.switched_at, color=theme.muted, linewidth=0.9, linestyle="--")
    upper.set(xlabel="номер шага Adam", ylabel="скорость обучения для SGD", xlim=(0, optimizer.switched_at * 1.08))
    upper.set_yticks([0.2, 0.5, 1, 2, 5], minor=False)
    upper.set_yticks([], minor=True)
    upper.yaxis.set_major_formatter(ticks())
    upper.set_ylim(0.15, 14)
    upper.plot([], [], "o", color=theme.muted, markersize=3, label=r"оценка $\gamma_t$")
    upper.plot([], [], color=theme.good, label=r"среднее $\Lambda_t$")
    upper.legend(loc="upper left", ncol=2)
    epochs = np.arange(1, EPOCHS + 1)
    for name, (label, _, _, colour) in CONTENDERS.items():
        losses = np.array([digits_run(name, seed).test_loss for seed in range(SEEDS)])
        lower.plot(epochs, losses.mean(axis=0), color=getattr(theme, colour), label=label)
        lower.fill_between(
            epochs, losses.min(axis=0), losses.max(axis=0), color=getattr(theme, colour), alpha=0.15, linewidth=0
        )  # fmt: skip
    lower.set(xlabel="эпоха", ylabel="потери на контрольной\nвыборке", xlim=(1, EPOCHS), ylim=(0.05, 0.25))
    lower.set_yticks(np.arange(0.05, 0.3, 0.05))
    lower.yaxis.set_major_formatter(ticks(2))
    lower.legend(loc="upper right", ncol=2)
    return drawing
