"""Figures of tm-05: learners that fit the same data and disagree elsewhere, and what a right and a wrong bias cost."""

from collections.abc import Callable
from functools import cache
from itertools import combinations, product

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from torch import nn
from torch.nn import functional as F

from scripts.figures import figure
from scripts.figures.digits import CLASSES, digits
from scripts.figures.numbers import ticks
from scripts.figures.style import WIDTH, Theme, pyplot

SIDE, DIGIT, PLACES = 16, 8, 9  # canvas, digit, possible offsets along one axis
BATCH = 100


# One data set, several learners

POINTS = np.array([0.3, 1.1, 1.9, 2.8, 3.9, 5.0, 6.1, 7.0])
LINE = np.linspace(-3.0, 11.0, 701)


def observed() -> np.ndarray:
    """Eight noiseless values of a sine: any learner may be right about what lies between and beyond them."""
    return np.sin(POINTS)


def _kernel_fit(kernel: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """The interpolant of least norm in the space of `kernel`, a function of the difference of two points."""
    gram = kernel(POINTS[:, None] - POINTS[None, :])
    return kernel(x[:, None] - POINTS[None, :]) @ np.linalg.solve(gram, observed())


@cache
def _relu_network() -> nn.Module:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(1, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)).double()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3, fused=True)
    x, y = torch.tensor(POINTS[:, None] - 4), torch.tensor(observed()[:, None])
    for step in range(2000):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / 2000)
        loss = F.mse_loss(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def nearest(x: np.ndarray) -> np.ndarray:
    return observed()[np.abs(x[:, None] - POINTS[None, :]).argmin(1)]


def polynomial(x: np.ndarray) -> np.ndarray:
    """The polynomial of degree seven through all eight points."""
    return np.polynomial.Polynomial.fit(POINTS, observed(), len(POINTS) - 1)(x)


def gaussian(x: np.ndarray) -> np.ndarray:
    return _kernel_fit(lambda d: np.exp(-(d**2) / 2), x)


def periodic(x: np.ndarray) -> np.ndarray:
    """Interpolation with the kernel exp(-2 sin²(d/2)): it takes for granted that the answer repeats every 2π."""
    return _kernel_fit(lambda d: np.exp(-2 * np.sin(d / 2) ** 2), x)


def relu_network(x: np.ndarray) -> np.ndarray:
    return _relu_network()(torch.tensor(x[:, None] - 4)).detach().numpy()[:, 0]


LEARNERS = {
    "ближайший сосед": (nearest, "accent"),
    "полином степени 7": (polynomial, "bad"),
    "гауссово ядро": (gaussian, "forward"),
    "сеть ReLU": (relu_network, "extra"),
    "периодическое ядро": (periodic, "good"),
}


@figure
def hypotheses(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.2))
    for label, (learner, colour) in LEARNERS.items():
        panel.plot(LINE, learner(LINE), color=getattr(theme, colour), linewidth=1.6, label=label)
    panel.plot(POINTS, observed(), "o", color=theme.ink, markersize=6, markeredgecolor=theme.background, zorder=5)
    panel.axvspan(LINE[0], POINTS[0], color=theme.muted, alpha=0.12, linewidth=0)
    panel.axvspan(POINTS[-1], LINE[-1], color=theme.muted, alpha=0.12, linewidth=0)
    panel.set(xlim=(LINE[0], LINE[-1]), ylim=(-2.6, 2.6), xlabel="$x$", ylabel="ответ")
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=3, columnspacing=1.2, handlelength=1.5)
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(ticks(0))
    return drawing


# No free lunch


def _threshold_functions() -> set[tuple[int, ...]]:
    """Labels of the cube's 8 vertices given by sign(w·x + b): all linearly separable Boolean functions of three."""
    weights = range(-3, 4)
    vertices = list(product((0, 1), repeat=3))
    return {
        tuple(int(w0 * a + w1 * b + w2 * c + bias > 0) for a, b, c in vertices)
        for w0, w1, w2 in product(weights, repeat=3)
        for bias in np.arange(-6.5, 7.0)
    }


@cache
def free_lunch(separable: bool) -> dict[str, float]:
    """Mean accuracy on the three unseen vertices of the cube {0,1}³, over training sets of five and target functions.

    Targets are all 256 Boolean functions, or only the linearly separable ones. Learners: the label of the nearest seen
    vertices by vote (ties go to 1), the commoner label, the rarer label, and the constant 1.
    """
    vertices = np.array(list(product((0, 1), repeat=3)))
    distance = np.abs(vertices[:, None] - vertices[None]).sum(-1)
    targets = _threshold_functions() if separable else set(product((0, 1), repeat=8))
    hits, tests = dict.fromkeys(("nearest", "common", "rare", "one"), 0), 0
    for target in np.array(sorted(targets)):
        for seen in combinations(range(8), 5):
            unseen = [i for i in range(8) if i not in seen]
            labels = target[list(seen)]
            common = int(2 * labels.sum() > len(labels))
            for i in unseen:
                to_seen = distance[i, list(seen)]
                vote = labels[to_seen == to_seen.min()].mean()
                hits["nearest"] += int(vote >= 0.5) == target[i]
                hits["common"] += common == target[i]
                hits["rare"] += 1 - common == target[i]
                hits["one"] += target[i] == 1
                tests += 1
    return {name: count / tests for name, count in hits.items()} | {"targets": len(targets)}


# Digits somewhere on a canvas


def placed(digit: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Put each of the digits (n, 64) on an empty canvas at (row, column): (n, 16, 16) float32."""
    canvas = np.zeros((len(digit), SIDE, SIDE), dtype=np.float32)
    for image, pixels, row, column in zip(canvas, digit, rows, columns, strict=True):
        image[row : row + DIGIT, column : column + DIGIT] = pixels.reshape(DIGIT, DIGIT)
    return canvas


@cache
def train_pictures(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` in a random order of all 97 200 pictures: 1200 digits, each at all 81 places."""
    data = digits()
    chosen = np.random.default_rng(1).permutation(len(data.X_train) * PLACES**2)[:count]
    which, place = np.divmod(chosen, PLACES**2)
    return placed(data.X_train[which], *np.divmod(place, PLACES)), data.y_train[which]


@cache
def test_pictures() -> tuple[np.ndarray, np.ndarray]:
    data, rng = digits(), np.random.default_rng(9)
    return placed(data.X_test, *rng.integers(0, PLACES, (2, len(data.X_test)))), data.y_test


@cache
def pixel_order() -> np.ndarray:
    """One fixed permutation of the 256 pixels."""
    return np.random.default_rng(3).permutation(SIDE**2)


def permuted(pictures: np.ndarray) -> np.ndarray:
    return pictures.reshape(len(pictures), -1)[:, pixel_order()].reshape(pictures.shape)


class Convolutional(nn.Module):
    """Convolution 3×3 to 16 channels, ReLU, max-pool 2×2, convolution 3×3 to 64, ReLU, global maximum or flat head.

    `stride` is that of the pooling; a flat head needs the default.
    """

    def __init__(self, flat: bool = False, stride: int = 2):
        super().__init__()
        self.flat, self.stride = flat, stride
        self.first, self.second = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 64, 3, padding=1)
        self.head = nn.Linear(64 * (SIDE // 2) ** 2 if flat else 64, CLASSES)
        self.to(memory_format=torch.channels_last)  # faster on one core, the same numbers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(torch.relu(self.first(x[:, None])), 2, self.stride)
        x = torch.relu(self.second(x))
        return self.head(x.flatten(1) if self.flat else x.amax((2, 3)))


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(),
                         nn.Linear(256, CLASSES))  # fmt: skip


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def fitted(build: Callable[[], nn.Module], pictures: np.ndarray, labels: np.ndarray, steps: int, rate: float):
    """Train with Adam, its rate falling linearly to zero, on batches of 50 (of 100 for more than 1000 pictures)."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network, size = build(), 50 if len(pictures) <= 1000 else BATCH
    optimizer = torch.optim.Adam(network.parameters(), rate, fused=True)
    X, y, generator = torch.tensor(pictures), torch.tensor(labels), torch.Generator().manual_seed(0)
    order = torch.empty(0, dtype=torch.long)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * (1 - step / steps)
        if len(order) < size:
            order = torch.randperm(len(X), generator=generator)
        chosen, order = order[:size], order[size:]
        loss = F.cross_entropy(network(X[chosen]), y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def accuracy(network: nn.Module, pictures: np.ndarray, labels: np.ndarray) -> float:
    with torch.no_grad():
        return float(np.mean(network(torch.tensor(pictures)).argmax(1).numpy() == labels))


COUNTS = {"mlp": (100, 300, 1000, 3000, 10_000, 97_200), "cnn": (100, 300, 1000)}
PERMUTED_COUNTS = (100, 300, 1000)


@cache
def trained(kind: str, count: int, shuffled: bool) -> nn.Module:
    """`mlp` or `cnn` on `count` pictures, with the pixels permuted or not."""
    pictures, labels = train_pictures(count)
    if shuffled:
        pictures = permuted(pictures)
    if kind == "cnn":
        return fitted(Convolutional, pictures, labels, steps=500 if count >= 1000 else 250, rate=5e-3)
    return fitted(
        perceptron, pictures, labels, steps={100: 400, 300: 400, 10_000: 1000, 97_200: 3000}.get(count, 800), rate=2e-3
    )


@cache
def test_accuracy(kind: str, count: int, shuffled: bool) -> float:
    pictures, labels = test_pictures()
    return accuracy(trained(kind, count, shuffled), permuted(pictures) if shuffled else pictures, labels)


@figure
def data_and_bias(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.3))
    for kind, shuffled, colour, marker, label in (
        ("cnn", False, "good", "o-", "CNN"),
        ("mlp", False, "forward", "o-", "MLP"),
        ("mlp", True, "forward", "x:", "MLP, пиксели переставлены"),
        ("cnn", True, "bad", "x:", "CNN, пиксели переставлены"),
    ):
        counts = PERMUTED_COUNTS if shuffled else COUNTS[kind]
        values = [test_accuracy(kind, count, shuffled) for count in counts]
        panel.semilogx(counts, values, marker, markersize=6, color=getattr(theme, colour), label=label)
    panel.axhline(test_accuracy("cnn", 1000, False), color=theme.good, linewidth=0.9, linestyle=(0, (1, 3)))
    panel.set(ylim=(0, 1.03), xlabel="число обучающих картинок", ylabel="точность на контроле")
    panel.set_xticks([100, 300, 1000, 3000, 10_000, 97_200])
    panel.xaxis.set_major_formatter(lambda v, _: f"{v:,.0f}".replace(",", " " if v >= 10_000 else ""))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(ticks(1))
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
    return drawing


# Shifts

SHIFTS = np.arange(-4, 5)


@cache
def centred(kind: str) -> nn.Module:
    """`mlp`, `flat` (CNN with a flat head) or `cnn` (global maximum), trained on 1000 digits in the very centre."""
    data, middle = digits(1000), np.full(1000, PLACES // 2)
    pictures = placed(data.X_train, middle, middle)
    if kind == "mlp":
        return fitted(perceptron, pictures, data.y_train, steps=800, rate=1e-3)
    flat = kind == "flat"
    return fitted(lambda: Convolutional(flat), pictures, data.y_train, steps=500, rate=3e-3 if flat else 5e-3)


@cache
def shifted_accuracy(kind: str) -> np.ndarray:
    """Test accuracy with all digits shifted down by SHIFTS: (9,). `everywhere` is the MLP that saw all places."""
    network = trained("mlp", 97_200, False) if kind == "everywhere" else centred(kind)
    data, middle = digits(), np.full(len(digits().X_test), PLACES // 2)
    return np.array([accuracy(network, placed(data.X_test, middle + s, middle), data.y_test) for s in SHIFTS])


@figure
def shifts(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.3))
    for kind, colour, marker, label in (
        ("cnn", "good", "o-", "CNN, глобальный максимум"),
        ("everywhere", "forward", "o--", "MLP, видел все места"),
        ("flat", "extra", "s-", "CNN, полносвязная голова"),
        ("mlp", "bad", "o-", "MLP"),
    ):
        panel.plot(SHIFTS, shifted_accuracy(kind), marker, markersize=5, color=getattr(theme, colour), label=label)
    panel.axhline(1 / CLASSES, color=theme.muted, linewidth=1, linestyle=(0, (1, 3)))
    panel.set(ylim=(0, 1.03), xlabel="сдвиг цифры на контроле, пиксели", ylabel="точность на контроле", xticks=SHIFTS)
    panel.xaxis.set_major_formatter(ticks(0))
    panel.yaxis.set_major_formatter(ticks(1))
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
    return drawing


# Equivariance of layers


@cache
def shift_errors() -> dict[str, float]:
    """‖f(Tx) - T'f(x)‖ / ‖f(x)‖ for a circular shift T by one pixel to the right of one random 16×16 picture.

    T' is the same shift of the output. With stride 2 the output would have to move by half a pixel, so the better of 0
    and 1 is taken; for `global` and `linear` T' is the identity. Kernels are random, 8 channels of 3×3, in float64.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 1, SIDE, SIDE, dtype=torch.float64, generator=generator)
    kernel = torch.randn(8, 1, 3, 3, dtype=torch.float64, generator=generator)
    weights = torch.randn(10, SIDE**2, dtype=torch.float64, generator=generator)

    def circular(v: torch.Tensor, stride: int = 1) -> torch.Tensor:
        return F.conv2d(F.pad(v, (1, 1, 1, 1), mode="circular"), kernel, stride=stride)

    layers: dict[str, tuple[Callable, tuple[int, ...]]] = {
        "circular": (circular, (1,)),
        "zero": (lambda v: F.conv2d(v, kernel, padding=1), (1,)),
        "stride": (lambda v: circular(v, 2), (0, 1)),
        "pool": (lambda v: F.max_pool2d(circular(v), 2), (0, 1)),
        "global": (lambda v: circular(v).amax((2, 3)), ()),
        "linear": (lambda v: v.flatten(1) @ weights.T, ()),
    }
    errors = {}
    for name, (layer, moves) in layers.items():
        plain, moved = layer(x), layer(x.roll(1, dims=3))
        targets = [plain.roll(by, dims=3) for by in moves] or [plain]
        errors[name] = min(float((moved - target).norm() / plain.norm()) for target in targets)
    return errors


# What is learnt first

FREQUENCIES, PHASES, STEPS = (1, 2, 4, 8, 16), (0.3, 1.1, 2.0, 0.7, 1.6), 2000


@cache
def residual_amplitudes() -> np.ndarray:
    """Share of each of five equal sines still missing from a ReLU network 1-128-128-128-1, by step: (2000, 5)."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = torch.linspace(0, 1, 129)[:-1, None]
    target = sum(torch.sin(2 * torch.pi * k * x + phase) for k, phase in zip(FREQUENCIES, PHASES, strict=True))
    waves = torch.exp(-2j * torch.pi * x * torch.tensor(FREQUENCIES)) * 2 / len(x)
    width = 128
    network = nn.Sequential(nn.Linear(1, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
                            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    rows = []
    for _ in range(STEPS):
        missing = target - network(2 * x - 1)
        rows.append((missing.detach().to(waves.dtype).T @ waves).abs()[0].numpy())
        loss = (missing**2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return np.array(rows)


@figure
def frequencies(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.9))
    colours = (theme.forward, theme.good, theme.accent, theme.backward, theme.bad)
    shown = np.unique(np.geomspace(10, STEPS, 160).round().astype(int))
    for k, values, colour in zip(FREQUENCIES, residual_amplitudes()[shown - 1].T, colours, strict=True):
        panel.semilogx(shown, values, color=colour, linewidth=1.6, label=f"{k}")
    panel.set(xlim=(10, STEPS), ylim=(0, 1.15), xlabel="шаг Adam", ylabel="осталось от амплитуды")
    panel.xaxis.set_major_locator(LogLocator())
    panel.xaxis.set_major_formatter(ticks())
    panel.yaxis.set_major_formatter(ticks(1))
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=5, title="периодов на отрезке", columnspacing=1.4)
    return drawing
