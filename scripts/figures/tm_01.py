"""Figures of tm-01, the idea and the formulas of backpropagation.

Everything drawn is computed by `scripts.dl`; the tests of the page call the cached functions of this module.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from scripts.dl import initialization
from scripts.dl.activations import TANH, Activation
from scripts.dl.gradcheck import numerical_gradient, relative_error
from scripts.dl.losses import softmax, softmax_cross_entropy
from scripts.dl.mlp import MLP, Gradients
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.schemes import arrow
from scripts.figures.style import FONT_SIZE, WIDTH, Theme

SMALL = FONT_SIZE - 1

# 1. The chain: activations above, sensitivities below, gradients of the weights between them.


@dataclass(frozen=True)
class Chain:
    """One object through a 2-3-3-2 tanh network and back: `activations` are x, a^1, a^2 and the softmax p."""

    activations: list[np.ndarray]
    target: np.ndarray
    gradients: Gradients
    loss: float


@cache
def chain() -> Chain:
    model = MLP((2, 3, 3, 2), TANH, initialization.xavier_normal, np.random.default_rng(4))
    target = np.array([[0.0, 1.0]])
    logits = model.forward(np.array([[1.0, -0.5]]))
    loss, grad_logits = softmax_cross_entropy(logits, target)
    activations = [rows[0] for rows in (*model.inputs, softmax(logits))]
    return Chain(activations, target[0], model.backward(grad_logits), loss)


# Everything is placed in units of a cell's width.
CELL_HEIGHT = 0.78
COLUMNS = (0.5, 4.2, 7.9, 11.6)
FORWARD_Y, GRADIENT_Y, BACKWARD_Y = 8.6, 4.3, 0.0


@figure
def chain_both_passes(theme: Theme) -> Figure:
    drawing, axes = pyplot.subplots(figsize=(WIDTH, 5.5))
    axes.set(xlim=(-0.3, 12.4), ylim=(-2.5, 10.95))
    axes.axis("off")
    data = chain()
    for x, name, values in zip(COLUMNS, ("$x$", "$a^1$", "$a^2$", "$p$"), data.activations, strict=True):
        _cells(axes, values[:, None], (x, FORWARD_Y), theme.forward)
        axes.text(x, FORWARD_Y + 1.45, name, ha="center", va="bottom", color=theme.forward, fontsize=FONT_SIZE + 2)
    for x, layer, values in zip(COLUMNS[1:], (1, 2, 3), data.gradients.deltas, strict=True):
        _cells(axes, values.T, (x, BACKWARD_Y), theme.backward)
        name = rf"$\delta^{layer}$"
        axes.text(x, BACKWARD_Y - 1.4, name, ha="center", va="top", color=theme.backward, fontsize=FONT_SIZE + 2)
    for layer, gradient in enumerate(data.gradients.weights, start=1):
        _weight_gradient(axes, layer, gradient, theme)
    _arrows_between_layers(axes, theme)
    _loss_arrow(axes, theme)
    axes.text(-0.25, -0.35, "обратный\nпроход:\nсправа\nналево", va="center", color=theme.backward, fontsize=SMALL)
    return drawing


def _cells(axes: Axes, values: np.ndarray, centre: tuple[float, float], colour: str) -> None:
    rows, columns = values.shape
    left, top = centre[0] - columns / 2, centre[1] + rows * CELL_HEIGHT / 2
    for (i, j), value in np.ndenumerate(values):
        corner = left + j, top - (i + 1) * CELL_HEIGHT
        axes.add_patch(Rectangle(corner, 1.0, CELL_HEIGHT, facecolor=colour, alpha=0.5 * abs(value), linewidth=0))
        axes.add_patch(Rectangle(corner, 1.0, CELL_HEIGHT, facecolor="none", edgecolor=colour, linewidth=0.8))
        middle = corner[0] + 0.5, corner[1] + CELL_HEIGHT / 2
        axes.text(*middle, number(value, 2), ha="center", va="center", fontsize=SMALL)


def _weight_gradient(axes: Axes, layer: int, gradient: np.ndarray, theme: Theme) -> None:
    """The outer product of the delta below its right end and the input above its left end."""
    x = (COLUMNS[layer - 1] + COLUMNS[layer]) / 2
    _cells(axes, gradient, (x, GRADIENT_Y), theme.extra)
    outputs, inputs = gradient.shape
    half_height = outputs * CELL_HEIGHT / 2
    start = COLUMNS[layer - 1] + 0.2, FORWARD_Y - inputs * CELL_HEIGHT / 2 - 0.1
    arrow(axes, start, (x - 0.5, GRADIENT_Y + half_height + 0.1), theme.forward)
    start = COLUMNS[layer] - 0.2, BACKWARD_Y + outputs * CELL_HEIGHT / 2 + 0.1
    arrow(axes, start, (x + 0.5, GRADIENT_Y - half_height - 0.1), theme.backward)
    label = rf"$\bar{{W}}^{layer}$: {outputs}×{inputs}"
    axes.text(x + 0.25, GRADIENT_Y + half_height + 0.2, label, color=theme.extra, fontsize=SMALL, va="bottom")


def _arrows_between_layers(axes: Axes, theme: Theme) -> None:
    shapes = [gradient.shape for gradient in chain().gradients.weights]
    for layer, (rows, columns) in enumerate(shapes, start=1):
        left, right = COLUMNS[layer - 1] + 0.6, COLUMNS[layer] - 0.6
        middle = (left + right) / 2
        arrow(axes, (left, FORWARD_Y), (right, FORWARD_Y), theme.forward)
        label = f"$W^{layer}$: {rows}×{columns}"
        axes.text(middle, FORWARD_Y + 0.15, label, ha="center", va="bottom", color=theme.forward, fontsize=SMALL)
        function = "softmax" if layer == len(shapes) else "tanh"
        axes.text(middle, FORWARD_Y - 0.15, function, ha="center", va="top", color=theme.forward, fontsize=SMALL)
        if layer > 1:
            arrow(axes, (right, BACKWARD_Y), (left, BACKWARD_Y), theme.backward)
            label = rf"$(W^{layer})^\top$: {columns}×{rows}"
            axes.text(middle, BACKWARD_Y + 0.15, label, ha="center", va="bottom", color=theme.backward, fontsize=SMALL)
            label = rf"$\odot\;\varphi'(z^{layer - 1})$"
            axes.text(middle, BACKWARD_Y - 0.15, label, ha="center", va="top", color=theme.backward, fontsize=SMALL)


def _loss_arrow(axes: Axes, theme: Theme) -> None:
    x = COLUMNS[-1] + 0.2
    arrow(axes, (x, FORWARD_Y - 1.0), (x, BACKWARD_Y + 1.0), theme.backward)
    loss = f"{chain().loss:.2f}".replace(".", "{,}")
    axes.text(x - 0.2, 6.6, rf"$\ell={loss}$", ha="right", va="center", color=theme.forward, fontsize=SMALL)
    axes.text(x + 0.15, 5.9, "$p-y$", va="center", color=theme.backward, fontsize=SMALL)


# 2. What reuse buys: the same recursion with and without memory, in multiplications.

NETWORK_WIDTH = 4
DEPTHS = tuple(range(1, 9))


@dataclass(frozen=True)
class Counts:
    """Multiplications for the gradient in all weights, the forward passes included."""

    paths: int
    finite_differences: int
    backprop: int
    forward: int


@cache
def counts(depth: int) -> Counts:
    """Count by running, on one object, a tanh network of `depth` layers of `NETWORK_WIDTH` units."""
    model, delta = _square_network(depth)
    forward = sum(W.size for W in model.weights)
    parameters = forward + sum(b.size for b in model.biases)
    by_paths, paths = chain_rule_gradients(model, delta, remember=False)
    by_layers, layers = chain_rule_gradients(model, delta, remember=True)
    expected = model.backward(delta[None, :]).weights
    for gradients in (by_paths, by_layers):
        if not all(np.allclose(g, e, rtol=1e-12, atol=1e-15) for g, e in zip(gradients, expected, strict=True)):
            raise AssertionError("the two ways of applying the chain rule disagree with backpropagation")
    return Counts(forward + paths, (parameters + 1) * forward, forward + layers, forward)


def _square_network(depth: int) -> tuple[MLP, np.ndarray]:
    rng = np.random.default_rng(0)
    model = MLP((NETWORK_WIDTH,) * (depth + 1), TANH, initialization.xavier_normal, rng)
    logits = model.forward(rng.standard_normal((1, NETWORK_WIDTH)))
    _, grad_logits = softmax_cross_entropy(logits, np.eye(NETWORK_WIDTH)[:1])
    return model, grad_logits[0]


def chain_rule_gradients(model: MLP, delta: np.ndarray, remember: bool) -> tuple[list[np.ndarray], int]:
    """Every dL/dW^l_ij as delta^l_i a^{l-1}_j, one by one, and the number of multiplications this took.

    `delta` (d_L) is the gradient in the logits after `model.forward` of one object. The sensitivity delta^l_i is a sum
    over the units above, recursively: with `remember` each is computed once, without it anew for every weight, and so
    once for every path to the loss.
    """
    multiplications = 0
    slopes = [model.activation.derivative(z[0]) for z in model.preactivations]

    def sensitivity(layer: int, unit: int) -> float:
        nonlocal multiplications
        if layer == len(model.weights) - 1:
            return delta[unit]
        weights = model.weights[layer + 1][:, unit]
        multiplications += len(weights) + 1
        return slopes[layer][unit] * sum(w * recall(layer + 1, k) for k, w in enumerate(weights))

    recall = cache(sensitivity) if remember else sensitivity
    gradients = [np.empty_like(W) for W in model.weights]
    for layer, gradient in enumerate(gradients):
        for i, j in np.ndindex(gradient.shape):
            gradient[i, j] = recall(layer, i) * model.inputs[layer][0, j]
            multiplications += 1
    return gradients, multiplications


@figure
def reuse(theme: Theme) -> Figure:
    drawing, axes = pyplot.subplots(figsize=(WIDTH, 3.7))
    series = (
        ("paths", "цепное правило по путям,\nничего не запоминая", theme.bad, "s", (0.27, 0.83)),
        ("finite_differences", "конечные разности", theme.muted, "^", (0.05, 0.57)),
        ("backprop", "backpropagation", theme.good, "o", (0.62, 0.36)),
        ("forward", "один прямой проход", theme.forward, "", (0.55, 0.11)),
    )
    for name, label, colour, marker, place in series:
        values = [getattr(counts(depth), name) for depth in DEPTHS]
        axes.plot(DEPTHS, values, color=colour, marker=marker, markersize=5)
        axes.text(*place, label, transform=axes.transAxes, color=colour, fontsize=SMALL)
        last = f"{values[-1]:,}".replace(",", "\N{NO-BREAK SPACE}")
        axes.annotate(last, (DEPTHS[-1], values[-1]), xytext=(7, 0), textcoords="offset points", va="center",
                      color=colour, fontsize=SMALL)  # fmt: skip
    axes.set(yscale="log", xlabel="число слоёв $L$ (в каждом 4 нейрона)", ylabel="умножений на один градиент")
    axes.set(xlim=(0.7, 9.3), xticks=DEPTHS)
    return drawing


# 3. Finite differences against backpropagation, right and with three classical mistakes.


@dataclass(frozen=True)
class Check:
    """All derivatives in the weights: `numerical` and `analytical` hold one array a layer."""

    numerical: list[np.ndarray]
    analytical: list[np.ndarray]

    @property
    def error(self) -> float:
        return relative_error(_flat(self.analytical), _flat(self.numerical))


def _flat(gradients: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([gradient.ravel() for gradient in gradients])


CHECKED_SIZES = (5, 5, 5, 5)
CORRECT, SLOPE_AT_A, NO_SLOPE, NO_TRANSPOSE = "correct", "slope-at-a", "no-slope", "no-transpose"


@cache
def mistakes() -> dict[str, Check]:
    """The gradient of a 5-5-5-5 tanh network on eight objects, done right and wrong in three ways."""
    numerical = _numerical_gradients()
    return {
        CORRECT: Check(numerical, _backward(TANH.derivative)),
        SLOPE_AT_A: Check(numerical, _backward(lambda z: TANH.derivative(TANH.f(z)))),
        NO_SLOPE: Check(numerical, _backward(np.ones_like)),
        NO_TRANSPOSE: Check(numerical, _backward(TANH.derivative, transposed=True)),
    }


def _task() -> tuple[MLP, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    model = MLP(CHECKED_SIZES, TANH, initialization.xavier_normal, rng)
    return model, rng.standard_normal((8, CHECKED_SIZES[0])), np.eye(CHECKED_SIZES[-1])[rng.integers(0, 5, 8)]


def _numerical_gradients() -> list[np.ndarray]:
    model, X, Y = _task()

    def loss_with(layer: int, W: np.ndarray) -> float:
        kept, model.weights[layer] = model.weights[layer], W
        loss, _ = softmax_cross_entropy(model.forward(X), Y)
        model.weights[layer] = kept
        return loss

    return [numerical_gradient(lambda W, at=layer: loss_with(at, W), W) for layer, W in enumerate(model.weights)]


def _backward(derivative: Callable[[np.ndarray], np.ndarray], transposed: bool = False) -> list[np.ndarray]:
    """Weight gradients by the library's backward pass, with `derivative` for phi' and, if asked, W^l transposed."""
    model, X, Y = _task()
    _, grad_logits = softmax_cross_entropy(model.forward(X), Y)
    model.activation = Activation("tanh on the way back", TANH.f, derivative)
    if transposed:
        model.weights = [W.T for W in model.weights]
    return model.backward(grad_logits).weights


@figure
def gradient_check(theme: Theme) -> Figure:
    drawing, grid = pyplot.subplots(2, 2, figsize=(WIDTH, 5.2), sharex=True, sharey=True)
    titles = {
        CORRECT: "Всё верно",
        SLOPE_AT_A: r"$\varphi'$ взята в $a$, а не в $z$",
        NO_SLOPE: r"Множитель $\varphi'$ забыт",
        NO_TRANSPOSE: r"$W$ вместо $W^\top$",
    }
    for axes, (name, title) in zip(grid.flat, titles.items(), strict=True):
        check = mistakes()[name]
        lower = _flat(check.numerical[:-1]), _flat(check.analytical[:-1])
        colour = theme.good if name == CORRECT else theme.bad
        axes.axline((0, 0), slope=1, color=theme.muted, linewidth=0.8)
        axes.plot(*lower, "o", markersize=4, color=colour, alpha=0.8, markeredgewidth=0)
        last = check.numerical[-1].ravel(), check.analytical[-1].ravel()
        axes.plot(*last, "D", markersize=4, color=theme.forward, alpha=0.8, markeredgewidth=0)
        axes.set_title(title, weight="normal")
        axes.xaxis.set_major_formatter(ticks(2))
        axes.yaxis.set_major_formatter(ticks(2))
        axes.text(0.04, 0.95, f"ошибка {_error(check.error)}", transform=axes.transAxes, va="top", fontsize=SMALL)
    grid[0, 0].plot([], [], "D", markersize=4, color=theme.forward, label="последний слой")
    grid[0, 0].plot([], [], "o", markersize=4, color=theme.good, label="слои ниже")
    grid[0, 0].legend(loc="lower right", handletextpad=0.1, borderaxespad=0)
    drawing.supxlabel("производная по конечным разностям", fontsize=FONT_SIZE)
    drawing.supylabel("производная по формулам", fontsize=FONT_SIZE)
    return drawing


def _error(value: float) -> str:
    if value > 1e-3:
        return f"{value:.2f}".replace(".", ",")
    mantissa, exponent = f"{value:.0e}".split("e")
    return rf"${mantissa}\cdot10^{{{int(exponent)}}}$"
