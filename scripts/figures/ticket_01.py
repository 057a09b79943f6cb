"""Figures of the ticket on backpropagation, and the experiments behind their numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import MultipleLocator
from sklearn.datasets import load_digits

from scripts.dl.activations import TANH
from scripts.dl.autograd import Tensor
from scripts.dl.initialization import constant, xavier_normal
from scripts.dl.losses import sigmoid_binary_cross_entropy, softmax, softmax_cross_entropy
from scripts.dl.mlp import MLP, Gradients
from scripts.figures import figure
from scripts.figures.gradient_times import RECORDED
from scripts.figures.numbers import number, ticks
from scripts.figures.schemes import arrow
from scripts.figures.style import WIDTH, Theme

SMALL = 8.5

# --- The network of the hand example -------------------------------------------------------------------------------

HAND_X = np.array([[1.0, 2.0]])
HAND_Y = np.array([[0.0]])
HAND_WEIGHTS = (np.array([[0.5, -0.1], [-0.4, 0.3]]), np.array([[0.8, -0.6]]))
HAND_BIASES = (np.array([0.2, -0.5]), np.array([0.1]))


def hand_network() -> MLP:
    """The 2-2-1 network: tanh inside, one logit, sigmoid and binary cross-entropy on top."""
    network = MLP((2, 2, 1), TANH, constant(0.0), np.random.default_rng(0))
    network.weights = [W.copy() for W in HAND_WEIGHTS]
    network.biases = [b.copy() for b in HAND_BIASES]
    return network


def hand_pass(network: MLP) -> tuple[float, Gradients]:
    loss, grad_logits = sigmoid_binary_cross_entropy(network.forward(HAND_X), HAND_Y)
    return loss, network.backward(grad_logits)


@cache
def hand_nodes() -> dict[str, Tensor]:
    """The same network as a graph of scalars, after the backward pass; names as in the figure."""
    (W1, W2), (b1, b2) = HAND_WEIGHTS, HAND_BIASES
    node = {"x1": Tensor(HAND_X[0, 0]), "x2": Tensor(HAND_X[0, 1]), "c": Tensor(b2[0])}
    for i in (1, 2):
        for j in (1, 2):
            node[f"w{i}{j}"] = Tensor(W1[i - 1, j - 1])
            node[f"w{i}{j}x{j}"] = node[f"w{i}{j}"] * node[f"x{j}"]
        node[f"b{i}"] = Tensor(b1[i - 1])
        node[f"z{i}"] = node[f"w{i}1x1"] + node[f"w{i}2x2"] + node[f"b{i}"]
        node[f"a{i}"] = node[f"z{i}"].tanh()
        node[f"v{i}"] = Tensor(W2[0, i - 1])
        node[f"v{i}a{i}"] = node[f"v{i}"] * node[f"a{i}"]
    node["z"] = node["v1a1"] + node["v2a2"] + node["c"]
    node["p"] = node["z"].sigmoid()
    node["loss"] = -(1.0 - node["p"]).log()  # binary cross-entropy for y = 0
    node["loss"].backward()
    return node


def contribution(operand: str, consumer: str) -> float:
    """What `consumer` sends back to `operand` along their edge."""
    node = hand_nodes()
    return sum(float(vjp(node[consumer].grad)) for parent, vjp in node[consumer].parents if parent is node[operand])


# Places are in inches from the lower left corner.
HAND_SIZE = (WIDTH, 7.3)
BOX = (0.62, 0.54)
COLUMNS = (1.03, 2.41, 3.79, 5.17)
LABELS = {
    "x1": "x_1", "x2": "x_2", "z1": "z^1_1", "z2": "z^1_2", "a1": "a^1_1", "a2": "a^1_2", "z": "z^2_1", "p": "p",
    "loss": r"\ell", "b1": "b^1_1", "b2": "b^1_2", "c": "b^2_1", "v1": "W^2_{11}", "v2": "W^2_{12}",
    "w11": "W^1_{11}", "w12": "W^1_{12}", "w21": "W^1_{21}", "w22": "W^1_{22}",
    "w11x1": "W^1_{11}x_1", "w12x2": "W^1_{12}x_2", "w21x1": "W^1_{21}x_1", "w22x2": "W^1_{22}x_2",
    "v1a1": "W^2_{11}a^1_1", "v2a2": "W^2_{12}a^1_2",
}  # fmt: skip
ROWS = {
    "input": 6.95, "product": 5.8, "sum": 4.95, "tanh": 4.02, "product2": 3.17, "sum2": 2.3, "p": 1.37, "loss": 0.42,
}  # fmt: skip
LEAF_SHIFT = -0.69
MIDDLE = (COLUMNS[0] + COLUMNS[3]) / 2


def _hand_places() -> dict[str, tuple[float, float]]:
    place = {"x1": (sum(COLUMNS[:2]) / 2, ROWS["input"]), "x2": (sum(COLUMNS[2:]) / 2, ROWS["input"])}
    for column, name in zip(COLUMNS, ("w11x1", "w12x2", "w21x1", "w22x2"), strict=True):
        place[name] = (column, ROWS["product"])
        place[name[:3]] = (column + LEAF_SHIFT, ROWS["product"])
    for i, centre in ((1, sum(COLUMNS[:2]) / 2), (2, sum(COLUMNS[2:]) / 2)):
        place[f"z{i}"] = (centre, ROWS["sum"])
        place[f"b{i}"] = (centre + 1.2 * LEAF_SHIFT, ROWS["sum"])
        place[f"a{i}"] = (centre, ROWS["tanh"])
        place[f"v{i}a{i}"] = (centre, ROWS["product2"])
        place[f"v{i}"] = (centre + 1.2 * LEAF_SHIFT, ROWS["product2"])
    place |= {"z": (MIDDLE, ROWS["sum2"]), "p": (MIDDLE, ROWS["p"]), "loss": (MIDDLE, ROWS["loss"])}
    place["c"] = (MIDDLE + 1.2 * LEAF_SHIFT, ROWS["sum2"])
    return place


@figure
def hand_graph(theme: Theme) -> Figure:
    canvas = plt.figure(figsize=HAND_SIZE, layout="none")
    axes = canvas.add_axes((0, 0, 1, 1), xlim=(0, HAND_SIZE[0]), ylim=(0, HAND_SIZE[1]))
    axes.axis("off")
    place, node = _hand_places(), hand_nodes()

    for name, (x, y) in place.items():
        is_leaf = not node[name].parents
        axes.add_patch(
            FancyBboxPatch(
                (x - BOX[0] / 2, y - BOX[1] / 2), *BOX, boxstyle="round,pad=0,rounding_size=0.06", linewidth=0.8,
                facecolor=theme.background if is_leaf else theme.surface, edgecolor=theme.muted, zorder=2,
            )
        )  # fmt: skip
        style = {"ha": "center", "va": "center", "fontsize": SMALL, "zorder": 3}
        axes.text(x, y + 0.175, f"${LABELS[name]}$", color=theme.ink, **style)
        axes.text(x, y + 0.01, number(node[name].data, 3), color=theme.forward, **style)
        axes.text(x, y - 0.15, number(node[name].grad, 3), color=theme.backward, **style)

    for consumer in place:
        for operand in place:
            if _feeds(operand, consumer):
                _arrow(axes, place[operand], place[consumer], theme, double=operand in ("x1", "x2"))
    for operand, consumer, at in (
        ("x1", "w11x1", 0.52), ("x1", "w21x1", 0.36), ("x2", "w12x2", 0.36), ("x2", "w22x2", 0.52),
    ):  # fmt: skip
        (x0, y0), (x1, y1) = place[operand], place[consumer]
        text = ("+" if contribution(operand, consumer) > 0 else "") + number(contribution(operand, consumer), 3)
        axes.text(
            x0 + at * (x1 - x0), y0 + at * (y1 - y0), text, color=theme.backward, fontsize=SMALL + 0.5, zorder=4,
            ha="center", va="center", bbox={"facecolor": theme.background, "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
    p = float(node["p"].data)
    for upper, text in (
        ("z1", rf"$\times\,\varphi'(z)=${number(1 - float(node['a1'].data) ** 2, 3)}"),
        ("z2", rf"$\times\,\varphi'(z)=${number(1 - float(node['a2'].data) ** 2, 3)}"),
        ("z", rf"$\times\,p\,(1-p)=${number(p * (1 - p), 3)}"),
        ("p", rf"$\times\,1/(1-p)=${number(1 / (1 - p), 3)}"),
    ):
        axes.text(place[upper][0] + 0.1, place[upper][1] - 0.46, text, color=theme.muted, fontsize=SMALL, va="center")
    for y, text, color in (
        (0.64, "значение (вперёд ↓)", theme.forward),
        (0.42, "сопряжённая (назад ↑)", theme.backward),
        (0.20, "локальная производная", theme.muted),
    ):
        axes.text(3.85, y, text, color=color, fontsize=SMALL + 0.5, va="center")
    return canvas


def _feeds(operand: str, consumer: str) -> bool:
    """Whether the figure has this edge; a sum of three is one node there and two in the graph."""
    sums = {"z1": ("w11x1", "w12x2", "b1"), "z2": ("w21x1", "w22x2", "b2"), "z": ("v1a1", "v2a2", "c")}
    if consumer in sums:
        return operand in sums[consumer]
    if consumer == "loss":
        return operand == "p"
    node = hand_nodes()
    return any(parent is node[operand] for parent, _ in node[consumer].parents)


def _arrow(axes: Axes, start, end, theme: Theme, double: bool) -> None:
    beside = start[1] == end[1]
    half = (BOX[0] / 2, 0) if beside else (0, -BOX[1] / 2)
    arrow(
        axes, (start[0] + half[0], start[1] + half[1]), (end[0] - half[0], end[1] - half[1]),
        theme.ink if double else theme.muted, width=1.3 if double else 0.9,
    )  # fmt: skip


# --- Digits ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Digits:
    """8 × 8 digits as rows of 64 numbers in [0, 1], labels and their one-hot rows, shuffled once and split."""

    X: np.ndarray
    labels: np.ndarray
    Y: np.ndarray


@cache
def digits() -> tuple[Digits, Digits]:
    """1437 objects to train on, 360 to test on."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    X, labels = data.data[order] / 16.0, data.target[order]
    Y = np.eye(10)[labels]
    return Digits(X[:1437], labels[:1437], Y[:1437]), Digits(X[1437:], labels[1437:], Y[1437:])


def loss_and_accuracy(network: MLP) -> tuple[float, float]:
    """Loss on the training objects, accuracy on the test ones."""
    train, test = digits()
    loss, _ = softmax_cross_entropy(network.forward(train.X), train.Y)
    return float(loss), float((network.forward(test.X).argmax(axis=1) == test.labels).mean())


def train_on_digits(
    network: MLP,
    epochs: int,
    rate: float,
    after_epoch: Callable[[int, MLP], None],
    backward: Callable[[MLP, np.ndarray], Gradients] = MLP.backward,
    batch: int = 32,
) -> None:
    """Plain SGD. `after_epoch` is also called before the first epoch, as epoch 0."""
    train, _ = digits()
    rng = np.random.default_rng(1)
    after_epoch(0, network)
    for epoch in range(1, epochs + 1):
        order = rng.permutation(len(train.X))
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            _, grad_logits = softmax_cross_entropy(network.forward(train.X[rows]), train.Y[rows])
            grads = backward(network, grad_logits)
            for parameter, gradient in zip(network.weights + network.biases, grads.weights + grads.biases, strict=True):
                parameter -= rate * gradient
        after_epoch(epoch, network)


# --- Cost of one gradient --------------------------------------------------------------------------------------------


def slope(x: np.ndarray, y: np.ndarray) -> float:
    """Of the straight line through the points in logarithmic axes."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


@figure
def gradient_cost(theme: Theme) -> Figure:
    times = {name: np.array(values) for name, values in RECORDED.items()}
    canvas, axes = plt.subplots(figsize=(WIDTH, 3.7))
    sizes = times["sizes"]
    for name, color, label, marker in (
        ("differences", theme.bad, "конечные разности", "s"),
        ("backprop", theme.backward, "прямой и обратный проход", "o"),
    ):
        axes.loglog(sizes, times[name], marker=marker, markersize=5, color=color)
        text = f"{label}\nнаклон {number(slope(sizes, times[name]), 2)}"
        axes.text(sizes[2], times[name][2] * 3.2, text, color=color, ha="right", va="bottom", fontsize=9)
    ratio = times["differences"][-1] / times["backprop"][-1]
    axes.annotate(
        "", (sizes[-1], times["backprop"][-1] * 1.5), (sizes[-1], times["differences"][-1] / 1.5),
        arrowprops={"arrowstyle": "<->", "color": theme.muted, "linewidth": 0.9},
    )  # fmt: skip
    middle = np.sqrt(times["differences"][-1] * times["backprop"][-1])
    axes.text(sizes[-1] / 1.12, middle, f"в {ratio / 1000:.0f} тыс. раз", color=theme.muted, ha="right", fontsize=9)
    axes.set(xlabel="число параметров", ylabel="время одного градиента, с", xlim=(700, 150_000), ylim=(2e-5, 5e3))
    return canvas


# --- Step of the finite difference -----------------------------------------------------------------------------------

STEPS = np.logspace(-15, 0, 91)


@cache
def step_errors() -> dict[tuple[str, str], np.ndarray]:
    """Median relative error of the derivative of exp(x) sin(x) over 401 points of [0.5, 1.5], for every step h."""
    errors = {}
    for dtype in (np.float64, np.float32):
        x = np.linspace(0.5, 1.5, 401).astype(dtype)
        exact = np.exp(x.astype(np.float64)) * (np.sin(x.astype(np.float64)) + np.cos(x.astype(np.float64)))
        for scheme in ("forward", "central"):
            curve = []
            for h in STEPS.astype(dtype):
                below = x if scheme == "forward" else x - h
                width = h if scheme == "forward" else 2 * h
                estimate = (_wave(x + h) - _wave(below)) / width
                curve.append(np.median(np.abs(estimate.astype(np.float64) - exact) / np.abs(exact)))
            errors[np.dtype(dtype).name, scheme] = np.array(curve)
    return errors


def _wave(x: np.ndarray) -> np.ndarray:
    return np.exp(x) * np.sin(x)


@figure
def step_size(theme: Theme) -> Figure:
    canvas, panels = plt.subplots(2, 1, figsize=(WIDTH, 5.2), sharex=True)
    for axes, dtype, lowest in zip(panels, (np.float64, np.float32), (-13, -7), strict=True):
        epsilon = np.finfo(dtype).eps
        for scheme, power, color, label in (
            ("forward", 1 / 2, theme.accent, "односторонняя"),
            ("central", 1 / 3, theme.good, "центральная"),
        ):
            errors = step_errors()[np.dtype(dtype).name, scheme]
            axes.loglog(STEPS, errors, color=color, label=label)
            axes.axvline(epsilon**power, ymax=0.45, color=color, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.set(ylabel="относительная ошибка", title=np.dtype(dtype).name, ylim=(10.0**lowest, 30))
        axes.set_yticks(10.0 ** np.arange(lowest + 1, 1, 3))
    panels[0].legend(loc="upper center", title="разность", title_fontsize=9)
    panels[1].set_xlabel("шаг $h$")
    panels[1].set_xlim(1e-15, 1)
    return canvas


# --- The adjoint of the logits ---------------------------------------------------------------------------------------

ADJOINT_EPOCHS = (0, 1, 10)


@cache
def output_adjoints() -> dict[int, np.ndarray]:
    """P − Y of all test digits after each of `ADJOINT_EPOCHS` (a 64-32-10 tanh network, SGD with rate 0.1)."""
    _, test = digits()
    found = {}

    def keep(epoch: int, network: MLP) -> None:
        if epoch in ADJOINT_EPOCHS:
            found[epoch] = softmax(network.forward(test.X)) - test.Y

    network = MLP((64, 32, 10), TANH, xavier_normal, np.random.default_rng(0))
    train_on_digits(network, ADJOINT_EPOCHS[-1], 0.1, keep)
    return found


@cache
def shown_objects() -> np.ndarray:
    """Rows of the first two test digits of each class, in the order of classes."""
    _, test = digits()
    return np.concatenate([np.flatnonzero(test.labels == label)[:2] for label in range(10)])


@figure
def output_adjoint(theme: Theme) -> Figure:
    canvas, panels = plt.subplots(3, 1, figsize=(WIDTH, 7.0), sharex=True)
    _, test = digits()
    for axes, (epoch, adjoint) in zip(panels, output_adjoints().items(), strict=True):
        image = axes.imshow(
            adjoint[shown_objects()].T, cmap=theme.diverging, norm=Normalize(-1, 1), aspect="auto",
            interpolation="nearest",
        )  # fmt: skip
        mean = np.abs(adjoint).sum(axis=1).mean() / 2
        axes.set_title(f"Эпоха {epoch}: не тем классам отдано в среднем {number(mean, 2)}")
        axes.set_ylabel("класс")
        axes.set_yticks(range(0, 10, 3))
        axes.set_xticks(range(20), test.labels[shown_objects()])
        axes.grid(False)
        axes.tick_params(length=0)
    panels[-1].set_xlabel("20 контрольных объектов, подписаны верным классом")
    bar = canvas.colorbar(image, ax=list(panels), location="bottom", shrink=0.7, aspect=40, ticks=[-1, -0.5, 0, 0.5, 1])
    bar.set_label("$p-y$")
    bar.ax.xaxis.set_major_formatter(ticks(1))
    bar.outline.set_visible(False)
    return canvas


# --- Symmetry --------------------------------------------------------------------------------------------------------

SYMMETRY_EPOCHS = 40


@dataclass(frozen=True)
class Run:
    losses: np.ndarray
    accuracy: float
    network: MLP


@cache
def symmetry_runs() -> dict[str, Run]:
    """64-h-10 tanh networks that differ in their start only; `single` has one hidden unit instead of 32."""
    starts = {
        "zero": (32, constant(0.0)),
        "single": (1, xavier_normal),
        "constant": (32, constant(0.01)),
        "random": (32, xavier_normal),
    }
    runs = {}
    for name, (width, start) in starts.items():
        network = MLP((64, width, 10), TANH, start, np.random.default_rng(0))
        losses: list[float] = []

        def keep(_: int, network: MLP, losses: list[float] = losses) -> None:
            losses.append(loss_and_accuracy(network)[0])

        train_on_digits(network, SYMMETRY_EPOCHS, 0.1, keep)
        runs[name] = Run(np.array(losses), loss_and_accuracy(network)[1], network)
    return runs


@figure
def symmetry(theme: Theme) -> Figure:
    canvas, axes = plt.subplots(figsize=(WIDTH, 3.7))
    labels = {
        "zero": (theme.bad, "нули", "-"),
        "single": (theme.muted, "один скрытый нейрон", (0, (4, 2))),
        "constant": (theme.accent, "константа 0,01", "-"),
        "random": (theme.good, "случайные веса", "-"),
    }
    for name, run in symmetry_runs().items():
        color, label, line = labels[name]
        axes.plot(run.losses, color=color, linestyle=line)
        axes.text(
            SYMMETRY_EPOCHS, run.losses[-1] + 0.06, f"{label}: точность {number(100 * run.accuracy, 0)} %",
            color=color if name != "single" else theme.ink, ha="right", va="bottom", fontsize=9,
        )  # fmt: skip
    axes.set(xlabel="эпоха", ylabel="потери на обучении", xlim=(0, SYMMETRY_EPOCHS), ylim=(0, 2.6))
    axes.yaxis.set_major_formatter(ticks(1))
    return canvas


# --- Feedback alignment ----------------------------------------------------------------------------------------------

ALIGNMENT_EPOCHS = 20


@cache
def alignment() -> dict[str, np.ndarray]:
    """Backpropagation and feedback alignment on a 64-64-64-10 tanh network from one start, SGD with rate 0.1.

    `accuracy_…` on the test digits and `angles` (epochs, 2) in degrees between the two directions for W^1 and W^2 on
    the training set, along the path of feedback alignment. (Lillicrap et al. 2014, arXiv 1411.0247.)
    """
    train, _ = digits()
    sizes = (64, 64, 64, 10)
    rng = np.random.default_rng(3)
    start = MLP(sizes, TANH, xavier_normal, rng).weights
    feedback = [xavier_normal(*W.shape, rng) for W in start]

    def aligned_backward(network: MLP, grad_logits: np.ndarray) -> Gradients:
        forward_weights, network.weights = network.weights, feedback
        grads = network.backward(grad_logits)
        network.weights = forward_weights
        return grads

    accuracies: dict[str, list[float]] = {"backprop": [], "feedback": []}
    angles = []

    def watch(network: MLP) -> None:
        _, grad_logits = softmax_cross_entropy(network.forward(train.X), train.Y)
        true, random = network.backward(grad_logits), aligned_backward(network, grad_logits)
        angles.append([angle(true.weights[layer], random.weights[layer]) for layer in (0, 1)])

    for name, backward in (("backprop", MLP.backward), ("feedback", aligned_backward)):
        network = MLP(sizes, TANH, constant(0.0), rng)
        network.weights = [W.copy() for W in start]

        def keep(_: int, network: MLP, name: str = name) -> None:
            accuracies[name].append(loss_and_accuracy(network)[1])
            if name == "feedback":
                watch(network)

        train_on_digits(network, ALIGNMENT_EPOCHS, 0.1, keep, backward)
    return {f"accuracy_{name}": np.array(values) for name, values in accuracies.items()} | {"angles": np.array(angles)}


def angle(one: np.ndarray, other: np.ndarray) -> float:
    """In degrees, between two arrays as vectors."""
    cosine = np.sum(one * other) / (np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


@figure
def feedback_alignment(theme: Theme) -> Figure:
    found = alignment()
    canvas, (upper, lower) = plt.subplots(2, 1, figsize=(WIDTH, 4.8), sharex=True)
    upper.plot(100 * found["accuracy_backprop"], color=theme.backward, label=r"обратный проход через $W^{\top}$")
    upper.plot(
        100 * found["accuracy_feedback"], color=theme.extra, label="через случайную матрицу", linestyle=(0, (4, 2))
    )
    upper.set(ylabel="точность, %", ylim=(0, 102))
    upper.legend(loc="lower right")
    for layer, (color, label) in enumerate(((theme.accent, "$W^1$"), (theme.forward, "$W^2$"))):
        lower.plot(found["angles"][:, layer], color=color, label=f"для {label}")
    lower.axhline(90, color=theme.muted, linewidth=0.9, linestyle=(0, (1, 2)))
    lower.set(xlabel="эпоха", ylabel="угол с градиентом, °", ylim=(0, 110), xlim=(0, ALIGNMENT_EPOCHS))
    lower.yaxis.set_major_locator(MultipleLocator(30))
    lower.xaxis.set_major_locator(MultipleLocator(5))
    lower.legend(loc="lower left", ncols=2)
    return canvas
