"""Figures of tm-02: how gradients vanish and explode in real networks, and what initialisation and clipping do."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from sklearn.datasets import load_digits

from scripts.dl import clipping
from scripts.dl import initialization as init
from scripts.dl.activations import RELU, SIGMOID, TANH, Activation, sigmoid
from scripts.dl.losses import softmax_cross_entropy
from scripts.dl.mlp import MLP
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

DEPTH, HIDDEN, SEEDS, BATCH = 30, 256, 10, 64


@dataclass(frozen=True)
class Network:
    """A recipe of a 30×256 network; `gain` is the predicted factor of the gradient's norm per layer, where known."""

    label: str
    activation: Activation
    initialize: Callable[[int, int, np.random.Generator], np.ndarray]
    gain: float | None
    colour: str


def _scaled(initialize: init.Initializer, factor: float) -> init.Initializer:
    return lambda fan_out, fan_in, rng: factor * initialize(fan_out, fan_in, rng)


NETWORKS = {
    "tanh-tiny": Network(r"tanh, $\mathcal{N}(0,\ 0{,}01^2)$", TANH, init.normal(0.01), 0.01 * HIDDEN**0.5, "bad"),
    "tanh-default": Network("tanh, nn.Linear", TANH, init.linear_default, 3**-0.5, "extra"),
    "tanh-xavier": Network("tanh, Xavier", TANH, init.xavier_normal, None, "good"),
    "tanh-large": Network(r"tanh, $\mathcal{N}(0,\ 4/d)$", TANH, init.normal(2 / HIDDEN**0.5), None, "backward"),
    "relu-default": Network("ReLU, nn.Linear", RELU, init.linear_default, 6**-0.5, "forward"),
    "relu-xavier": Network("ReLU, Xavier", RELU, init.xavier_normal, 2**-0.5, "extra"),
    "relu-he": Network("ReLU, He", RELU, init.he_normal, 1.0, "good"),
    "relu-large": Network("ReLU, He × 2", RELU, _scaled(init.he_normal, 2.0), 2.0, "backward"),
    "sigmoid-xavier": Network("сигмоида, Xavier", SIGMOID, init.xavier_normal, None, "bad"),
}


@cache
def _digits(batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Centred digits (batch, 64) of mean square 1, and their one-hot labels (batch, 10)."""
    X, labels = load_digits(return_X_y=True)
    X = X - X.mean(axis=0)
    X = X / np.sqrt(np.mean(X**2))
    return X[:batch], np.eye(10)[labels[:batch]]


@cache
def backward_pass(name: str, seed: int) -> dict[str, np.ndarray]:
    return measured(NETWORKS[name], seed)


def measured(network: Network, seed: int) -> dict[str, np.ndarray]:
    """One forward and backward pass at the start of training.

    `adjoints[l - 1]` is the norm of the gradient in A^l, l = 1 … 30; `activations[l - 1]` the root mean square of A^l;
    `ratios[l - 1]` the norm of the gradient in W^l over the norm of W^l, l = 1 … 31 (the last is the linear head).
    """
    X, labels = _digits(BATCH)
    sizes = [X.shape[1], *[HIDDEN] * DEPTH, labels.shape[1]]
    mlp = MLP(sizes, network.activation, network.initialize, np.random.default_rng(seed))
    _, grad_logits = softmax_cross_entropy(mlp.forward(X), labels)
    grads = mlp.backward(grad_logits)
    adjoints = [np.linalg.norm(grads.deltas[layer] @ mlp.weights[layer]) for layer in range(1, DEPTH + 1)]
    activations = [np.sqrt(np.mean(a**2)) for a in mlp.inputs[1:]]
    ratios = [np.linalg.norm(g) / np.linalg.norm(w) for g, w in zip(grads.weights, mlp.weights, strict=True)]
    return {"adjoints": np.array(adjoints), "activations": np.array(activations), "ratios": np.array(ratios)}


@cache
def relative_norms(name: str) -> np.ndarray:
    """Norm of the gradient in A^l relative to that in A^30, (seeds, 30)."""
    adjoints = np.array([backward_pass(name, seed)["adjoints"] for seed in range(SEEDS)])
    return adjoints / adjoints[:, -1:]


@figure
def gradient_norms(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 7.2), sharex=True)
    layers = np.arange(1, DEPTH + 1)
    dots = {"color": theme.ink, "linewidth": 1.2, "linestyle": (0, (1, 3))}
    for panel, prefixes in zip(panels, (("tanh",), ("relu", "sigmoid")), strict=True):
        for name, network in NETWORKS.items():
            if not name.startswith(prefixes):
                continue
            colour, norms = getattr(theme, network.colour), relative_norms(name)
            panel.semilogy(layers, np.median(norms, axis=0), color=colour, label=network.label)
            panel.fill_between(layers, norms.min(axis=0), norms.max(axis=0), color=colour, alpha=0.25, linewidth=0)
            if network.gain is not None:
                panel.semilogy(layers, network.gain ** (DEPTH - layers.astype(float)), **dots)
        panel.plot([], [], label="предсказание", **dots)
        panel.set_ylabel(r"$\Vert\bar a^{\,l}\Vert\ /\ \Vert\bar a^{\,30}\Vert$")
        panel.yaxis.set_major_locator(LogLocator(numticks=8))
        panel.yaxis.minorticks_off()
        panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
    panels[-1].set_xlabel("слой $l$ (градиент идёт справа налево)")
    panels[-1].set_xticks([1, 5, 10, 15, 20, 25, 30])
    return drawing


SPECTRA = {
    "tanh-orthogonal": ("tanh, ортогональная", TANH, init.orthogonal, "good"),
    "tanh-xavier": ("tanh, Xavier", TANH, init.xavier_normal, "extra"),
    "relu-he": ("ReLU, He", RELU, init.he_normal, "bad"),
    "relu-orthogonal": ("ReLU, ортогональная × √2", RELU, _scaled(init.orthogonal, 2**0.5), "accent"),
}


@cache
def jacobian_spectrum(name: str, scale: float = 1.0) -> np.ndarray:
    """Singular values, largest first, of the Jacobian of a^30 in a^1 at one digit times `scale`."""
    _, activation, initialize, _ = SPECTRA[name]
    X, _ = _digits(BATCH)
    mlp = MLP([X.shape[1], *[HIDDEN] * DEPTH], activation, initialize, np.random.default_rng(0))
    mlp.forward(scale * X[:1])
    jacobian = np.eye(HIDDEN)
    for weights, z in zip(mlp.weights[1:], mlp.preactivations[1:], strict=True):
        jacobian = (activation.derivative(z[0])[:, None] * weights) @ jacobian
    return np.linalg.svd(jacobian, compute_uv=False)


@figure
def isometry(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.9))
    for name, (label, _, _, colour) in SPECTRA.items():
        panel.semilogy(np.arange(1, HIDDEN + 1), jacobian_spectrum(name), color=getattr(theme, colour), label=label)
    panel.set_ylim(1e-12, 1e2)
    panel.set_xlim(1, HIDDEN)
    panel.set_xticks([1, 64, 128, 192, 256])
    panel.yaxis.set_major_locator(LogLocator(numticks=8))
    panel.yaxis.minorticks_off()
    panel.set_xlabel("номер сингулярного числа, по убыванию")
    panel.set_ylabel("сингулярное число")
    panel.legend(loc="center right", bbox_to_anchor=(1.0, 0.6))
    return drawing


RECURRENT, STEPS = 128, 100


def shear() -> np.ndarray:
    """The 2×2 matrix of the text: both eigenvalues 0.9, spectral norm above 5."""
    return np.array([[0.9, 5.0], [0.0, 0.9]])


@cache
def recurrent_matrices() -> dict[str, np.ndarray]:
    """Three multiples of one orthogonal matrix, and two non-normal ones with spectral radius below 1."""
    rng = np.random.default_rng(0)
    orthogonal = init.orthogonal(RECURRENT, RECURRENT, rng)
    gaussian = rng.standard_normal((RECURRENT, RECURRENT))
    gaussian *= 0.95 / spectral_radius(gaussian)
    return {
        "grows": 1.05 * orthogonal,
        "keeps": orthogonal,
        "decays": 0.95 * orthogonal,
        "gaussian": gaussian,
        "shear": shear(),
    }


def spectral_radius(matrix: np.ndarray) -> float:
    return float(np.abs(np.linalg.eigvals(matrix)).max())


@cache
def power_norms(name: str) -> np.ndarray:
    """Spectral norms of W^t for t = 0 … 100."""
    matrix = recurrent_matrices()[name]
    power, norms = np.eye(len(matrix)), []
    for _ in range(STEPS + 1):
        norms.append(np.linalg.norm(power, 2))
        power = power @ matrix
    return np.array(norms)


@figure
def rnn_powers(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.1))
    labels = {
        "grows": ("1,05 · ортогональная", "backward", "-"),
        "keeps": ("ортогональная", "good", "-"),
        "decays": ("0,95 · ортогональная", "forward", "-"),
        "gaussian": ("гауссова, ρ = 0,95", "forward", "--"),
        "shear": ("матрица 2×2 из текста, ρ = 0,9", "bad", "--"),
    }
    for name, (label, colour, line) in labels.items():
        panel.semilogy(power_norms(name), color=getattr(theme, colour), linestyle=line, label=label)
    panel.set_ylim(5e-3, 1e4)
    panel.set_xlim(0, STEPS)
    panel.yaxis.minorticks_off()
    panel.set_xlabel("число шагов времени $t$")
    panel.set_ylabel(r"$\Vert W^t\Vert_2$")
    panel.legend(loc="upper left")
    return drawing


# The recurrence of Pascanu et al., 2013, figure 6: one unit, 50 steps, no input.
UNROLLED, START_STATE, TARGET = 50, 0.5, 0.7
START, RATE, THRESHOLD, UPDATES = (4.9, -2.25), 0.2, 0.5, 200


def cliff_loss(w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(σ(x_50) - 0.7)² of x_{t+1} = w σ(x_t) + b from x_0 = 0.5, on arrays of any one shape."""
    state = np.full(np.shape(w), START_STATE)
    for _ in range(UNROLLED):
        state = w * sigmoid(state) + b
    return (sigmoid(state) - TARGET) ** 2


def cliff_gradient(w: float, b: float) -> np.ndarray:
    """Gradient of `cliff_loss` in (w, b) by backpropagation through the 50 steps, (2,)."""
    states = [START_STATE]
    for _ in range(UNROLLED):
        states.append(w * float(sigmoid(states[-1])) + b)
    output = float(sigmoid(states[-1]))
    adjoint = 2 * (output - TARGET) * output * (1 - output)
    grad = np.zeros(2)
    for state in reversed(states[:-1]):
        s = float(sigmoid(state))
        grad += adjoint * np.array([s, 1.0])
        adjoint *= w * s * (1 - s)
    return grad


@cache
def descent(threshold: float | None) -> dict[str, np.ndarray]:
    """Gradient descent on the cliff: `points` (201, 2), `losses` (201,), `norms` of the raw gradients (200,)."""
    points, norms = [np.array(START)], []
    for _ in range(UPDATES):
        grad = cliff_gradient(*points[-1])
        norms.append(np.linalg.norm(grad))
        if threshold is not None:
            (grad,), _ = clipping.clip_by_global_norm([grad], threshold)
        points.append(points[-1] - RATE * grad)
    trajectory = np.array(points)
    return {"points": trajectory, "losses": cliff_loss(*trajectory.T), "norms": np.array(norms)}


@figure
def cliff(theme: Theme) -> Figure:
    drawing, (surface, curve) = pyplot.subplots(2, 1, figsize=(WIDTH, 6.8), height_ratios=(3, 2))
    w, b = np.meshgrid(np.linspace(4.2, 5.05, 181), np.linspace(-2.6, -2.05, 181))
    levels = surface.contourf(w, b, cliff_loss(w, b), levels=np.linspace(0, 0.4, 9), cmap=theme.sequential, alpha=0.75)
    drawing.colorbar(levels, ax=surface, label="потери", ticks=[0, 0.1, 0.2, 0.3, 0.4], format=ticks(1))
    for threshold, colour, label in ((None, "bad", "без клиппинга"), (THRESHOLD, "good", "клиппинг, c = 0,5")):
        run, hue = descent(threshold), getattr(theme, colour)
        surface.plot(*run["points"].T, color=hue, linewidth=1.2, marker="o", markersize=3.5,
                     markeredgecolor=theme.background, markeredgewidth=0.4)  # fmt: skip
        curve.plot(run["losses"], color=hue, label=label)
    surface.plot(*START, marker="*", markersize=13, color=theme.ink, markeredgecolor=theme.background)
    thrown = descent(None)["points"][-1]
    surface.annotate(
        f"в точку ({number(thrown[0], 1)}; {number(thrown[1], 1)})", (4.865, -2.085), ha="right", color=theme.ink
    )
    surface.annotate("старт", (4.925, -2.265), color=theme.ink)
    surface.set(xlim=(4.2, 5.05), ylim=(-2.6, -2.05), xlabel="вес $w$", ylabel="сдвиг $b$")
    surface.grid(visible=False)
    for axis in (surface.xaxis, surface.yaxis, curve.yaxis):
        axis.set_major_formatter(ticks(1))
    curve.set(xlabel="шаг градиентного спуска", ylabel="потери", xlim=(0, UPDATES), ylim=(0, 0.42))
    curve.legend(loc="upper right")
    return drawing


@cache
def batchnorm_gain() -> float:
    """Factor per layer of the gradient's norm in a plain 30×256 network Linear–BatchNorm–ReLU without shortcuts."""
    rng, batch = np.random.default_rng(0), 256
    a = _digits(batch)[0]
    saved = []
    for layer in range(DEPTH):
        weights = init.he_normal(HIDDEN, a.shape[1] if layer == 0 else HIDDEN, rng)
        z = a @ weights.T
        spread = z.std(axis=0)
        normalized = (z - z.mean(axis=0)) / spread
        saved.append((weights, spread, normalized))
        a = np.maximum(normalized, 0)
    grad = rng.standard_normal(a.shape)
    norms = [np.linalg.norm(grad)]
    for weights, spread, normalized in reversed(saved[1:]):
        grad = grad * (normalized > 0)
        grad = (grad - grad.mean(axis=0) - normalized * (grad * normalized).mean(axis=0)) / spread
        grad = grad @ weights
        norms.append(np.linalg.norm(grad))
    return float((norms[-1] / norms[0]) ** (1 / (DEPTH - 1)))
