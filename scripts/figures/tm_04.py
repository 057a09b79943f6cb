"""Figures of tm-04: what batch normalisation changes in optimisation, measured on small networks of digits."""

from copy import deepcopy
from functools import cache

import numpy as np
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits

from scripts.dl import initialization as init
from scripts.dl.normalization import EPS, standardize, standardize_backward
from scripts.figures import figure
from scripts.figures.digits import CLASSES, digits
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

PIXELS = 64


class Networks:
    """Several ReLU networks of one shape trained side by side: every array has the network as its first axis.

    `kind` is None (no normalisation), "batch" or "group"; normalisation stands between the linear map and the ReLU of
    every hidden layer. `parameters` lists weights (M, d_l, d_{l-1}), shifts (M, 1, d_l) and gains (M, 1, d_l).
    """

    def __init__(self, sizes, kind: str | None, initialize: init.Initializer, seeds, groups: int = 1):
        self.kind, self.groups, self.last = kind, groups, len(sizes) - 2
        generators = [np.random.default_rng(seed) for seed in seeds]
        pairs = list(zip(sizes[1:], sizes[:-1], strict=True))
        self.weights = [np.stack([initialize(*pair, rng) for rng in generators]) for pair in pairs]
        self.shifts = [np.zeros((len(generators), 1, width)) for width in sizes[1:]]
        hidden = sizes[1:-1] if kind else []
        self.gains = [np.ones((len(generators), 1, width)) for width in hidden]
        self.means = [np.zeros_like(gain) for gain in self.gains]
        self.variances = [np.ones_like(gain) for gain in self.gains]
        self.saved: list[tuple] = []

    @property
    def parameters(self) -> list[np.ndarray]:
        return self.weights + self.shifts + self.gains

    def _grouped(self, z: np.ndarray) -> np.ndarray:
        """A view whose axis -2 … of normalisation is the same for both kinds: (M, B, d) or (M, B, G, d/G)."""
        return z if self.kind == "batch" else z.reshape(*z.shape[:2], self.groups, -1)

    @property
    def _axes(self) -> tuple[int, ...]:
        return (1,) if self.kind == "batch" else (3,)

    def forward(self, X: np.ndarray, training: bool = True, momentum: float = 0.1) -> np.ndarray:
        """Logits (M, B, 10) of X (M, B, 64) or (B, 64); in training BN updates its running statistics."""
        a = np.broadcast_to(X, (len(self.weights[0]), *X.shape[-2:]))
        self.saved = []
        for layer, weights in enumerate(self.weights):
            z, x_hat, inverse = a @ weights.swapaxes(1, 2), None, None
            if layer == self.last:
                self.saved.append((a, None, None, None))
                return z + self.shifts[layer]
            if self.kind == "batch" and not training:
                z = self.gains[layer] * (z - self.means[layer]) / np.sqrt(self.variances[layer] + EPS)
            elif self.kind:
                if self.kind == "batch":
                    self._track(layer, z, momentum)
                x_hat, inverse = standardize(self._grouped(z), self._axes)
                x_hat = x_hat.reshape(z.shape)
                z = self.gains[layer] * x_hat
            z = z + self.shifts[layer]
            self.saved.append((a, z, x_hat, inverse))
            a = np.maximum(z, 0)
        raise AssertionError("the last layer returns")

    def _track(self, layer: int, z: np.ndarray, momentum: float) -> None:
        unbiased = z.var(axis=1, ddof=1, keepdims=True)
        self.means[layer] += momentum * (z.mean(axis=1, keepdims=True) - self.means[layer])
        self.variances[layer] += momentum * (unbiased - self.variances[layer])

    def backward(self, bar: np.ndarray) -> list[np.ndarray]:
        """Gradients in the order of `parameters`, given the adjoint of the logits (M, B, 10)."""
        weights, shifts, gains = [], [], []
        for layer in reversed(range(self.last + 1)):
            a, z, x_hat, inverse = self.saved[layer]
            if layer < self.last:
                bar = bar * (z > 0)
            shifts.insert(0, bar.sum(axis=1, keepdims=True))
            if x_hat is not None:
                gains.insert(0, (bar * x_hat).sum(axis=1, keepdims=True))
                bar_hat, x_hat = self._grouped(self.gains[layer] * bar), self._grouped(x_hat)
                bar = standardize_backward(bar_hat, x_hat, inverse, self._axes).reshape(bar.shape)
            weights.insert(0, bar.swapaxes(1, 2) @ a)
            if layer:
                bar = bar @ self.weights[layer]
        return weights + shifts + gains

    def step(self, gradients: list[np.ndarray], rate) -> None:
        """Gradient descent in place; `rate` is a number or (M, 1, 1)."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter -= rate * gradient


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean loss of every network (M,) and its gradient in the logits (M, B, 10)."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    loss = -(log_p * labels).sum(axis=(-2, -1)) / labels.shape[-2]
    return loss, (np.exp(log_p) - labels) / labels.shape[-2]


def one_hot(labels: np.ndarray) -> np.ndarray:
    return np.eye(CLASSES)[labels]


def train(networks: Networks, rate, batch: int, epochs: int) -> None:
    """Plain SGD over the 1200 training digits; all networks see the same batches. Incomplete batches are dropped."""
    data, rng = digits(), np.random.default_rng(0)
    labels = one_hot(data.y_train)
    for _ in range(epochs):
        order = rng.permutation(len(labels))
        for start in range(0, len(order) - batch + 1, batch):
            chosen = order[start : start + batch]
            _, bar = cross_entropy(networks.forward(data.X_train[chosen]), labels[chosen])
            networks.step(networks.backward(bar), rate)


def accuracies(networks: Networks) -> np.ndarray:
    """Share of the 597 test digits every network gets right; logits that are not numbers count as wrong."""
    data = digits()
    logits = networks.forward(data.X_test, training=False)
    right = (logits.argmax(axis=-1) == data.y_test) & np.isfinite(logits).all(axis=-1)
    return right.mean(axis=-1)


# --- Learning rates ------------------------------------------------------------------------------------------------

RATES = 10.0 ** np.arange(-3, 1.25, 0.5)
SEEDS, DEPTH, HIDDEN, BATCH, EPOCHS = 5, 4, 64, 32, 6
SIZES = [PIXELS, *[HIDDEN] * DEPTH, CLASSES]
RECIPES = {
    "default": ("без нормализации, nn.Linear", None, init.linear_default, "bad", "--"),
    "he": ("без нормализации, He", None, init.he_normal, "bad", "-"),
    "bn-default": ("BN, nn.Linear", "batch", init.linear_default, "good", "--"),
    "bn-he": ("BN, He", "batch", init.he_normal, "good", "-"),
}


@cache
@threadpool_limits.wrap(limits=1)
def sweep(name: str) -> np.ndarray:
    """Test accuracy after six epochs of SGD, (learning rates, seeds)."""
    _, kind, initialize, _, _ = RECIPES[name]
    seeds = [seed for _ in RATES for seed in range(SEEDS)]
    networks = Networks(SIZES, kind, initialize, seeds)
    with np.errstate(all="ignore"):  # diverging runs overflow
        train(networks, np.repeat(RATES, SEEDS)[:, None, None], BATCH, EPOCHS)
        return accuracies(networks).reshape(len(RATES), SEEDS)


@figure
def learning_rates(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.3))
    for name, (label, _, _, colour, line) in RECIPES.items():
        result, hue = sweep(name), getattr(theme, colour)
        panel.fill_between(RATES, result.min(axis=1), result.max(axis=1), color=hue, alpha=0.15, linewidth=0)
        panel.plot(RATES, np.median(result, axis=1), color=hue, linestyle=line, marker="o", markersize=4, label=label)
    panel.set_xscale("log")
    panel.set_xticks([1e-3, 1e-2, 1e-1, 1, 10])
    panel.xaxis.set_major_formatter(ticks())
    panel.xaxis.minorticks_off()
    panel.yaxis.set_major_formatter(ticks())
    panel.set(xlabel=r"скорость обучения $\eta$", ylabel="доля верных ответов", ylim=(0, 1.02))
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2, handlelength=3)
    return drawing


# --- The landscape along the gradient ------------------------------------------------------------------------------

TARGET, PROBE_RATE, PROBE_BATCH, PROBES = 0.3, 0.1, 64, 5
STEPS = np.concatenate([[0.0], np.geomspace(0.01, 1.0, 13)])
KINDS = {None: ("без нормализации", "bad"), "batch": ("BN", "good")}


def _whole_gradient(network: Networks) -> tuple[float, list[np.ndarray]]:
    data = digits()
    loss, bar = cross_entropy(network.forward(data.X_train, momentum=0.0), one_hot(data.y_train))
    return float(loss[0]), network.backward(bar)


def _flat(gradients: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([gradient.ravel() for gradient in gradients])


def _trained_to(kind: str | None, seed: int) -> Networks:
    """Train by SGD until the loss over the whole training set is below TARGET."""
    data, network = digits(), Networks(SIZES, kind, init.he_normal, [seed])
    labels, rng = one_hot(data.y_train), np.random.default_rng(seed)
    while cross_entropy(network.forward(data.X_train, momentum=0.0), labels)[0][0] >= TARGET:
        chosen = rng.integers(0, len(labels), PROBE_BATCH)
        _, bar = cross_entropy(network.forward(data.X_train[chosen]), labels[chosen])
        network.step(network.backward(bar), PROBE_RATE)
    return network


@cache
@threadpool_limits.wrap(limits=1)
def probe(kind: str | None) -> dict[str, np.ndarray]:
    """Along the gradient g of the whole training set: `losses` and `cosines` of the gradients at w - t g and at w,
    (seeds, steps), and the `norms` of g, (seeds,)."""
    losses, cosines, norms = [], [], []
    for seed in range(PROBES):
        network = _trained_to(kind, seed)
        _, gradients = _whole_gradient(network)
        start = _flat(gradients)
        norms.append(np.linalg.norm(start))
        row = []
        for step in STEPS:
            moved = deepcopy(network)
            moved.step(gradients, step)
            loss, there = _whole_gradient(moved)
            there = _flat(there)
            row.append((loss, there @ start / (np.linalg.norm(there) * norms[-1])))
        losses.append([loss for loss, _ in row])
        cosines.append([cosine for _, cosine in row])
    return {"losses": np.array(losses), "cosines": np.array(cosines), "norms": np.array(norms)}


def cosine_at_distance(kind: str | None, distance: float) -> float:
    """Median cosine where the step has the given length t |g| instead of a given t."""
    run = probe(kind)
    return float(
        np.median(
            [
                np.interp(distance / norm, STEPS, cosines)
                for norm, cosines in zip(run["norms"], run["cosines"], strict=True)
            ]
        )
    )


@figure
def landscape(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 5.8), sharex=True)
    for kind, (label, colour) in KINDS.items():
        hue = getattr(theme, colour)
        for panel, name in ((top, "losses"), (bottom, "cosines")):
            values = probe(kind)[name][:, 1:]
            panel.fill_between(STEPS[1:], values.min(axis=0), values.max(axis=0), color=hue, alpha=0.18, linewidth=0)
            panel.plot(STEPS[1:], np.median(values, axis=0), color=hue, label=label)
    top.set(xscale="log", yscale="log", ylabel="потери в $w-tg$", xlim=(0.01, 1), ylim=(0.1, 10))
    top.set_yticks([0.1, 0.3, 1, 3, 10])
    bottom.set(ylabel="косинус градиентов", xlabel="шаг $t$ против градиента $g$", ylim=(-1.05, 1.05))
    bottom.axhline(0, color=theme.muted, linewidth=0.8)
    bottom.set_xticks([0.01, 0.03, 0.1, 0.3, 1])
    for axis in (top.yaxis, bottom.xaxis, bottom.yaxis):
        axis.set_major_formatter(ticks())
        axis.minorticks_off()
    top.xaxis.minorticks_off()
    top.legend(loc="upper left")
    return drawing


# --- Equilibrium of the norm ---------------------------------------------------------------------------------------

DECAY, RATE, UPDATES, NOISE = 0.01, 0.1, 6000, 0.2
SCALES = (0.3, 1.0, 3.0)
TAIL = 2000  # the equilibrium is measured over the last updates


@cache
@threadpool_limits.wrap(limits=1)
def equilibrium() -> dict[str, np.ndarray]:
    """Norms of the first layer's weights (updates, 6): three starting scales with weight decay, then without;
    `invariant` is |w| |g| at every step, `angles` the angle of every step's turn, both (updates, 6)."""
    data = digits(label_noise=NOISE)
    labels, rng = one_hot(data.y_train), np.random.default_rng(0)
    decays = np.repeat([DECAY, 0.0], len(SCALES))
    networks = Networks([PIXELS, HIDDEN, CLASSES], "batch", init.he_normal, [0] * len(decays))
    networks.weights[0] *= np.tile(SCALES, 2)[:, None, None]
    norms, invariant, angles = [], [], []
    for _ in range(UPDATES):
        chosen = rng.integers(0, len(labels), BATCH)
        _, bar = cross_entropy(networks.forward(data.X_train[chosen]), labels[chosen])
        gradients = networks.backward(bar)
        before = networks.weights[0].copy()
        norm, length = (np.sqrt((array**2).sum(axis=(1, 2))) for array in (before, gradients[0]))
        networks.weights[0] *= 1 - RATE * decays[:, None, None]
        networks.step(gradients, RATE)
        after = networks.weights[0]
        cosine = (before * after).sum(axis=(1, 2)) / (norm * np.sqrt((after**2).sum(axis=(1, 2))))
        norms.append(norm)
        invariant.append(norm * length)
        angles.append(np.arccos(np.minimum(cosine, 1.0)))
    return {"norms": np.array(norms), "invariant": np.array(invariant), "angles": np.array(angles)}


@cache
def predicted_norms() -> np.ndarray:
    """(eta E|g~|² / (2 lambda))^(1/4) for the three runs with decay, with the mean measured over the tail."""
    mean_square = (equilibrium()["invariant"][-TAIL:, : len(SCALES)] ** 2).mean(axis=0)
    return (RATE * mean_square / (2 * DECAY)) ** 0.25


@figure
def weight_decay(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 6.0), sharex=True)
    run, window = equilibrium(), 100
    times = np.arange(UPDATES)
    middles = times.reshape(-1, window).mean(axis=1)
    for index in range(2 * len(SCALES)):
        decayed = index < len(SCALES)
        style = {
            "color": theme.good if decayed else theme.bad,
            "linestyle": "-" if decayed else "--",
            "linewidth": 1.6,
            "label": (f"$\\lambda={number(DECAY)}$" if decayed else r"$\lambda=0$").replace(",", "{,}")
            if index % len(SCALES) == 0
            else None,
        }
        top.plot(times[::20], run["norms"][::20, index], **style)
        angles = np.sqrt((run["angles"][:, index].reshape(-1, window) ** 2).mean(axis=1))
        bottom.plot(middles, angles, **style)
    top.axhline(predicted_norms().mean(), color=theme.ink, linewidth=1.2, linestyle=(0, (1, 2)), label="предсказание")
    bottom.axhline(np.sqrt(2 * RATE * DECAY), color=theme.ink, linewidth=1.2, linestyle=(0, (1, 2)))
    top.set(yscale="log", ylabel=r"норма весов $\Vert w\Vert$", xlim=(0, UPDATES), ylim=(2.8, 45))
    top.set_yticks([3, 5, 10, 20, 40])
    bottom.set(yscale="log", ylabel="поворот за шаг, рад", xlabel="шаг SGD", ylim=(8e-4, 0.3))
    bottom.set_yticks([0.001, 0.01, 0.1])
    for panel in (top, bottom):
        panel.yaxis.set_major_formatter(ticks())
        panel.yaxis.minorticks_off()
    top.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=3)
    return drawing


# --- Conditioning --------------------------------------------------------------------------------------------------


@cache
def condition_numbers() -> dict[str, float]:
    """Condition number of X^T X / N of digits, over the 51 pixels that vary: raw, centred, standardised."""
    X = digits().X_train
    X = X[:, X.std(axis=0) > 0.05]
    centred = X - X.mean(axis=0)
    variants = {"raw": X, "centred": centred, "standardized": centred / X.std(axis=0)}
    return {name: float(np.linalg.cond(data.T @ data / len(data))) for name, data in variants.items()}
