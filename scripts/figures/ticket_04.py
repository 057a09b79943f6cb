"""Figures of ticket-04: what optimisers do on quadratics, on noise and on small real networks."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, NullLocator
from threadpoolctl import threadpool_limits

from scripts.dl import initialization as init
from scripts.dl import schedules
from scripts.dl.activations import RELU, TANH
from scripts.dl.losses import softmax_cross_entropy
from scripts.dl.mlp import MLP
from scripts.dl.optimizers import SGD, Adam, AdamW, Optimizer, RMSProp
from scripts.figures import figure
from scripts.figures.digits import CLASSES, digits
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

Make = Callable[[list[np.ndarray]], Optimizer]


def formula_number(value: float) -> str:
    """A number for a label between dollars: there a bare comma would get a space after it."""
    return number(value).replace(",", "{,}")


# Quadratics: one mode at a time

H_MIN, H_MAX = 1.0, 100.0
KAPPA = H_MAX / H_MIN
ROOT = KAPPA**0.5


@dataclass(frozen=True)
class Linear:
    """A method on a quadratic: its step, its momentum, and whether the momentum looks ahead."""

    eta: float
    mu: float = 0.0
    nesterov: bool = False


METHODS = {
    "gd-safe": Linear(1 / H_MAX),
    "gd-best": Linear(2 / (H_MAX + H_MIN)),
    "heavy-ball": Linear(4 / (H_MAX**0.5 + H_MIN**0.5) ** 2, ((ROOT - 1) / (ROOT + 1)) ** 2),
    "nesterov": Linear(1 / H_MAX, (ROOT - 1) / (ROOT + 1), nesterov=True),
}


def mode_radius(method: Linear, h: float) -> float:
    """By how much one step of `method` shrinks, in the long run, the error along an eigenvector of curvature `h`: the
    largest modulus of the roots of z² - (trace) z + (product)."""
    pull = 1 - method.eta * h
    if method.nesterov:
        trace, product = pull * (1 + method.mu), pull * method.mu
    else:
        trace, product = pull + method.mu, method.mu
    return float(np.abs(np.roots([1.0, -trace, product])).max())


@cache
def radii(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Curvatures from h_min to h_max and the contraction of each under the method."""
    curvatures = np.geomspace(H_MIN, H_MAX, 400)
    return curvatures, np.array([mode_radius(METHODS[name], h) for h in curvatures])


@figure
def modes(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.0))
    labels = {
        "gd-safe": (r"спуск, $\eta=1/h_{\max}$", "forward", "--"),
        "gd-best": ("спуск, лучший шаг", "forward", "-"),
        "nesterov": ("Нестеров", "accent", "-"),
        "heavy-ball": ("тяжёлый шарик", "good", "-"),
    }
    for name, (label, colour, line) in labels.items():
        panel.semilogx(*radii(name), color=getattr(theme, colour), linestyle=line, label=label)
    panel.axhline(1, color=theme.bad, linewidth=1, linestyle=":")
    panel.set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_ylim(0, 1.04)
    panel.yaxis.set_major_formatter(ticks())
    panel.set_xlabel("кривизна направления $h$")
    panel.set_ylabel("множитель ошибки за шаг")
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
    return drawing


# Trajectories in the plane

ANGLE = np.deg2rad(30)
ROTATION = np.array([[np.cos(ANGLE), -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]])
HESSIAN = ROTATION @ np.diag([H_MIN, H_MAX]) @ ROTATION.T
VALLEY_START = ROTATION @ np.array([10.0, 1.0])


def valley(w: np.ndarray) -> float:
    """The quadratic ½ wᵀHw with kappa = 100 and axes turned by 30°."""
    return float(0.5 * w @ HESSIAN @ w)


def valley_gradient(w: np.ndarray) -> np.ndarray:
    return HESSIAN @ w


def follow(
    make: Make, gradient: Callable[[np.ndarray], np.ndarray], start: np.ndarray, steps: int
) -> tuple[np.ndarray, Optimizer]:
    """All points of a descent, (steps + 1, 2), and the optimiser that made it."""
    w = start.copy()
    optimizer = make([w])
    points = [w.copy()]
    for _ in range(steps):
        optimizer.step([gradient(w)])
        points.append(w.copy())
    return np.array(points), optimizer


RACERS = ("gd", "heavy-ball", "rmsprop", "adam")
RACER_LABELS = {"gd": "спуск", "heavy-ball": "тяжёлый шарик", "rmsprop": "RMSProp", "adam": "Adam"}
RACER_COLOURS = {"gd": "forward", "heavy-ball": "good", "rmsprop": "accent", "adam": "backward"}
VALLEY_RACERS: dict[str, Make] = {
    "gd": lambda p: SGD(p, METHODS["gd-best"].eta),
    "heavy-ball": lambda p: SGD(p, METHODS["heavy-ball"].eta, momentum=METHODS["heavy-ball"].mu),
    "rmsprop": lambda p: RMSProp(p, 0.1, alpha=0.9),
    "adam": lambda p: Adam(p, 0.3),
}


@cache
def valley_path(name: str) -> np.ndarray:
    return follow(VALLEY_RACERS[name], valley_gradient, VALLEY_START, 400)[0]


PAIRS = (("gd", "heavy-ball"), ("rmsprop", "adam"))
SHOWN = 80  # points of each path that are drawn


def _level_lines(
    plane: Axes, theme: Theme, f: Callable[[np.ndarray], float], xs: np.ndarray, ys: np.ndarray, levels: np.ndarray
) -> None:
    heights = np.array([[f(np.array([x, y])) for x in xs] for y in ys])
    plane.contour(xs, ys, heights, levels=levels, colors=theme.grid, linewidths=1.0)
    plane.set_ylabel("$w_2$")
    plane.grid(False)


def _plot_path(plane: Axes, theme: Theme, racer: str, points: np.ndarray) -> None:
    colour, label = getattr(theme, RACER_COLOURS[racer]), RACER_LABELS[racer]
    marker = "o" if len(points) <= SHOWN + 1 else ""  # on a long path the points merge and only weigh
    plane.plot(*points.T, color=colour, linewidth=1.2, marker=marker, markersize=2, label=label)


def _mark_ends(plane: Axes, theme: Theme, start: np.ndarray, minimum: np.ndarray) -> None:
    plane.plot(*start, "o", color=theme.ink, markersize=6)
    plane.plot(*minimum, "*", color=theme.ink, markersize=10)
    plane.legend(loc="lower center", bbox_to_anchor=(0.5, 0.99), ncol=2)


@figure
def trajectories(theme: Theme) -> Figure:
    """Paths over the level lines of the valley, two methods a panel, and its values below."""
    drawing, (*planes, values) = pyplot.subplots(3, 1, figsize=(WIDTH, 8.6), height_ratios=(1.3, 1.3, 1))
    xs, ys = np.linspace(-3.0, 10.6, 90), np.linspace(-1.6, 7.6, 90)
    for plane, pair in zip(planes, PAIRS, strict=True):
        _level_lines(plane, theme, valley, xs, ys, np.geomspace(0.5, 2000, 10))
        for name in pair:
            points = valley_path(name)
            _plot_path(plane, theme, name, points[: SHOWN + 1])
            losses = np.array([valley(w) for w in points])
            values.semilogy(np.maximum(losses, 1e-16), color=getattr(theme, RACER_COLOURS[name]), linewidth=1.4)
        _mark_ends(plane, theme, VALLEY_START, np.zeros(2))
        for axis in (plane.xaxis, plane.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    planes[1].set_xlabel("$w_1$")
    values.set_xlabel("шаг")
    values.set_ylabel(r"$f-f^*$")
    values.yaxis.set_minor_locator(NullLocator())
    values.set_ylim(1e-12, 1e3)
    values.set_xlim(0, 400)
    return drawing


# A curved valley: Rosenbrock's function

BANANA_START, BANANA_MINIMUM = np.array([-1.2, 1.0]), np.ones(2)
BANANA_RACERS: dict[str, Make] = {
    "gd": lambda p: SGD(p, 0.002),
    "heavy-ball": lambda p: SGD(p, 0.002, momentum=0.9),
    "rmsprop": lambda p: RMSProp(p, 0.003, alpha=0.9),
    "adam": lambda p: Adam(p, 0.1),
}
BANANA_STEPS, BANANA_SHOWN, BANANA_VALUES = 8000, 600, 2500


def banana(w: np.ndarray) -> float:
    """Rosenbrock's function (1 - w₁)² + 100 (w₂ - w₁²)²: a valley along a parabola, kappa = 2508 at its minimum."""
    return float((1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2)


def banana_gradient(w: np.ndarray) -> np.ndarray:
    across = w[1] - w[0] ** 2
    return np.array([-2 * (1 - w[0]) - 400 * w[0] * across, 200 * across])


@cache
def banana_path(name: str) -> np.ndarray:
    return follow(BANANA_RACERS[name], banana_gradient, BANANA_START, BANANA_STEPS)[0]


@figure
def rosenbrock(theme: Theme) -> Figure:
    """The first steps of four methods along the curved valley, and the values over all steps."""
    drawing, (plane, values) = pyplot.subplots(2, 1, figsize=(WIDTH, 6.4), height_ratios=(1.3, 1))
    xs, ys = np.linspace(-1.6, 1.5, 120), np.linspace(-0.6, 2.0, 120)
    _level_lines(plane, theme, banana, xs, ys, np.geomspace(0.3, 1000, 9))
    for name in RACERS:
        points = banana_path(name)
        _plot_path(plane, theme, name, points[: BANANA_SHOWN + 1])
        plane.plot(*points[BANANA_SHOWN], "s", color=getattr(theme, RACER_COLOURS[name]), markersize=6, zorder=3)
        losses = np.maximum([banana(w) for w in points[: BANANA_VALUES + 1]], 1e-16)
        values.loglog(np.arange(1, len(losses) + 1), losses, color=getattr(theme, RACER_COLOURS[name]), linewidth=1.4)
    _mark_ends(plane, theme, BANANA_START, BANANA_MINIMUM)
    for axis in (plane.xaxis, plane.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=6))
        axis.set_major_formatter(ticks())
    plane.set_xlabel("$w_1$")
    values.set_xlabel("шаг")
    values.set_ylabel(r"$f-f^*$")
    values.yaxis.set_minor_locator(NullLocator())
    values.set_ylim(1e-10, 1e2)
    return drawing


# Sensitivity to the learning rate

BATCH, EPOCHS, SENSITIVITY_SEEDS = 64, 6, 3
RATES = tuple(float(rate) for rate in np.geomspace(1e-4, 10, 11))
WIDTHS = (64, 64, 64, 64, 64, CLASSES)
INITIALIZERS = {"default": init.linear_default, "he": init.he_normal}
TRAINERS: dict[str, Callable[[float], Make]] = {
    "sgd": lambda rate: lambda p: SGD(p, rate),
    "momentum": lambda rate: lambda p: SGD(p, rate, momentum=0.9),
    "adam": lambda rate: lambda p: Adam(p, rate),
}


@cache
def _training_set(count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    split = digits(count)
    return split.X_train, np.eye(CLASSES)[split.y_train]


def _loss_and_gradients(net: MLP, X: np.ndarray, Y: np.ndarray) -> tuple[float, list[np.ndarray]]:
    loss, grad_logits = softmax_cross_entropy(net.forward(X), Y)
    gradients = net.backward(grad_logits)
    return loss, [*gradients.weights, *gradients.biases]


@cache
def training_curve(trainer: str, initializer: str, rate: float, seed: int, epochs: int = EPOCHS) -> np.ndarray:
    """Loss on all training digits before training and after each epoch; infinite after an overflow."""
    X, Y = _training_set()
    rng = np.random.default_rng(seed)
    net = MLP(WIDTHS, RELU, INITIALIZERS[initializer], rng)
    optimizer = TRAINERS[trainer](rate)([*net.weights, *net.biases])
    curve = [softmax_cross_entropy(net.forward(X), Y)[0]]
    with np.errstate(all="ignore"):
        for _ in range(epochs):
            order = rng.permutation(len(X))
            for start in range(0, len(X) - BATCH + 1, BATCH):
                chosen = order[start : start + BATCH]
                optimizer.step(_loss_and_gradients(net, X[chosen], Y[chosen])[1])
            loss = softmax_cross_entropy(net.forward(X), Y)[0]
            curve.append(loss if np.isfinite(loss) else np.inf)
    return np.array(curve)


@cache
def final_losses(trainer: str, initializer: str) -> np.ndarray:
    """Median over the seeds of the loss after the last epoch, one for each of RATES."""
    seeds = range(SENSITIVITY_SEEDS)
    with threadpool_limits(1):
        finals = [[training_curve(trainer, initializer, rate, seed)[-1] for seed in seeds] for rate in RATES]
    return np.median(finals, axis=1)


@figure
def learning_rates(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 6.2), sharex=True)
    labels = {
        "sgd": ("SGD", "forward", "o"),
        "momentum": ("SGD с импульсом 0,9", "good", "s"),
        "adam": ("Adam", "backward", "^"),
    }
    titles = {"default": "инициализация nn.Linear", "he": "инициализация He"}
    for panel, (initializer, title) in zip(panels, titles.items(), strict=True):
        for trainer, (label, colour, marker) in labels.items():
            losses = np.minimum(final_losses(trainer, initializer), 2.9)
            panel.semilogx(
                RATES, losses, color=getattr(theme, colour), marker=marker, markersize=4, label=label, clip_on=False
            )
        panel.axhline(np.log(CLASSES), color=theme.muted, linewidth=1, linestyle=":")
        panel.set_ylim(0, 2.9)
        panel.set_title(title)
        panel.set_ylabel("потери после 6 эпох")
        panel.yaxis.set_major_formatter(ticks())
        panel.xaxis.set_minor_locator(NullLocator())
    panels[0].text(RATES[0], np.log(CLASSES) + 0.09, "равномерный ответ, ln 10", color=theme.muted, fontsize=9)
    panels[1].set_xlabel(r"скорость обучения $\eta$")
    panels[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.1), ncol=3)
    return drawing


CURVES = {0.003: ("forward", "мал"), 0.05: ("good", "хорош"), 0.6: ("accent", "велик"), 1.5: ("bad", "слишком велик")}
CURVE_EPOCHS = 20


@figure
def loss_curves(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.7))
    for rate, (colour, label) in CURVES.items():
        with threadpool_limits(1):
            curve = np.minimum(training_curve("sgd", "he", rate, 0, CURVE_EPOCHS), 1e3)
        panel.semilogy(curve, color=getattr(theme, colour), label=rf"$\eta={formula_number(rate)}$, {label}")
    panel.axhline(np.log(CLASSES), color=theme.muted, linewidth=1, linestyle=":")
    panel.set_xlabel("эпоха")
    panel.set_ylabel("потери")
    panel.set_xlim(0, CURVE_EPOCHS)
    panel.set_xticks(range(0, CURVE_EPOCHS + 1, 5))
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
    return drawing


# Noise floor

CHAINS, NOISE_STEPS = 2000, 200
NOISE_RATES = {"large": 0.4, "small": 0.1}


@cache
def noise_run(name: str) -> np.ndarray:
    """Mean of w² over the chains after each step of SGD on ½w² with noise of unit variance, from w = 3.

    `decayed` keeps the large rate for 50 steps and then lets it fall as 1/t.
    """
    rng = np.random.default_rng(0)
    w = np.full(CHAINS, 3.0)
    optimizer = SGD([w], 0.0)
    schedule = schedules.constant(NOISE_RATES[name]) if name in NOISE_RATES else decayed_rate
    squares = [9.0]
    for t in range(NOISE_STEPS):
        optimizer.lr = schedule(t)
        optimizer.step([w + rng.standard_normal(CHAINS)])
        squares.append(float(np.mean(w**2)))
    return np.array(squares)


def decayed_rate(t: int) -> float:
    """0.4 for 50 steps, then 1 / (t - 47.5), which starts from the same 0.4."""
    return NOISE_RATES["large"] if t < 50 else 1 / (t - 47.5)


def noise_floor_of(eta: float, mu: float = 0.0, h: float = 1.0, variance: float = 1.0) -> float:
    """Stationary variance of w on ½hw² under heavy ball with step `eta`; mu = 0 is plain SGD."""
    return eta * variance * (1 + mu) / (h * (1 - mu) * (2 * (1 + mu) - eta * h))


@figure
def noise_floor(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.8))
    labels = {
        "large": (r"$\eta=0{,}4$", "backward"),
        "small": (r"$\eta=0{,}1$", "forward"),
        "decayed": (r"$\eta=0{,}4$, затем $\propto1/t$", "good"),
    }
    for name, (label, colour) in labels.items():
        panel.semilogy(noise_run(name), color=getattr(theme, colour), label=label)
    for rate in NOISE_RATES.values():
        panel.axhline(noise_floor_of(rate), color=theme.ink, linewidth=1, linestyle=(0, (1, 3)))
    panel.plot([], [], color=theme.ink, linewidth=1, linestyle=(0, (1, 3)), label=r"$\eta\sigma^2/(h(2-\eta h))$")
    panel.set_xlim(0, NOISE_STEPS)
    panel.set_ylim(3e-3, 12)
    panel.set_xlabel("шаг")
    panel.set_ylabel("средний квадрат ошибки $w^2$")
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
    return drawing


# Adam: the first steps and decay

STEP_COUNT, COORDINATES = 3000, 5000


@cache
def step_sizes(gradient: str, correct: bool) -> np.ndarray:
    """Root mean square of Adam's steps in units of eta, for a `constant` gradient or for pure `noise`."""
    rng = np.random.default_rng(0)
    count = 1 if gradient == "constant" else COORDINATES
    w = np.zeros(count)
    adam = Adam([w], lr=1.0, correct=correct)
    sizes = []
    for _ in range(STEP_COUNT):
        before = w.copy()
        adam.step([np.ones(count) if gradient == "constant" else rng.standard_normal(count)])
        sizes.append(float(np.sqrt(np.mean((w - before) ** 2))))
    return np.array(sizes)


@figure
def adam_steps(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.0))
    steps = np.arange(1, STEP_COUNT + 1)
    series = (
        ("constant", True, "good", "-", "постоянный градиент"),
        ("constant", False, "bad", "-", "постоянный, без поправки"),
        ("noise", True, "good", "--", "чистый шум"),
        ("noise", False, "bad", "--", "шум, без поправки"),
    )
    for gradient, correct, colour, line, label in series:
        panel.loglog(steps, step_sizes(gradient, correct), color=getattr(theme, colour), linestyle=line, label=label)
    panel.set_xlim(1, STEP_COUNT)
    panel.set_ylim(0.15, 9)
    panel.yaxis.set_major_locator(FixedLocator([0.2, 0.5, 1, 2, 5]))
    panel.yaxis.set_major_formatter(ticks())
    panel.yaxis.set_minor_formatter(NullFormatter())
    panel.set_xlabel("номер шага $t$")
    panel.set_ylabel(r"длина шага в единицах $\eta$")
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
    return drawing


DECAY_STEPS, DECAY_RATE, DECAY_STRENGTH, DECAY_WEIGHTS = 3000, 1e-3, 0.1, 200
NOISE_SCALES = (0.1, 1.0, 10.0)


@cache
def decayed_weights(decoupled: bool, scale: float) -> np.ndarray:
    """Mean of 200 weights, started at 1 and fed gradients that are noise of the given scale, before each step and
    after the last."""
    rng = np.random.default_rng(0)
    w = np.ones(DECAY_WEIGHTS)
    optimizer = (AdamW if decoupled else Adam)([w], lr=DECAY_RATE, weight_decay=DECAY_STRENGTH)
    means = [1.0]
    for _ in range(DECAY_STEPS):
        optimizer.step([scale * rng.standard_normal(DECAY_WEIGHTS)])
        means.append(float(w.mean()))
    return np.array(means)


@figure
def weight_decay(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.9))
    panel.plot(decayed_weights(True, 1.0), color=theme.good, linewidth=5, alpha=0.5, label="AdamW, любой шум")
    for scale, colour in zip(NOISE_SCALES, ("accent", "backward", "bad"), strict=True):
        label = f"Adam + L2, шум {number(scale)}"
        panel.plot(decayed_weights(False, scale), color=getattr(theme, colour), label=label)
    panel.set_xlim(0, DECAY_STEPS)
    panel.set_ylim(0, 1.05)
    panel.yaxis.set_major_formatter(ticks())
    panel.set_xlabel("шаг")
    panel.set_ylabel("средний вес")
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
    return drawing


# Schedules

SCHEDULE_STEPS = 1000


@cache
def schedule_curves() -> dict[str, np.ndarray]:
    """Rates of the usual schedules over 1000 steps, in units of the largest rate."""
    total = SCHEDULE_STEPS
    rates = {
        "step": schedules.step_decay(1.0, 300),
        "cosine": schedules.with_warmup(schedules.cosine(1.0, total - 50), 50),
        "one-cycle": schedules.one_cycle(1.0, total),
        "wsd": schedules.wsd(1.0, total, 50, 200),
        "noam": schedules.noam(1, 50, factor=50**0.5),
        "restarts": schedules.cosine_restarts(1.0, 143, 2),
    }
    return {name: np.array([eta(t) for t in range(total)]) for name, eta in rates.items()}


@figure
def learning_rate_schedules(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 5.4), sharex=True)
    groups = (
        (
            ("cosine", "прогрев и косинус", "good", "-"),
            ("wsd", "WSD", "backward", "-"),
            ("noam", r"прогрев и $1/\sqrt{t}$", "forward", "--"),
        ),
        (
            ("step", "ступени", "accent", "-"),
            ("one-cycle", "one-cycle", "extra", "-"),
            ("restarts", "косинус с перезапусками", "bad", "--"),
        ),
    )
    for panel, group in zip(panels, groups, strict=True):
        for name, label, colour, line in group:
            panel.plot(schedule_curves()[name], color=getattr(theme, colour), linestyle=line, label=label)
        panel.set_ylim(0, 1.05)
        panel.set_xlim(0, SCHEDULE_STEPS)
        panel.set_ylabel(r"$\eta_t/\eta_{\max}$")
        panel.yaxis.set_major_formatter(ticks())
        panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=3, columnspacing=1.0, handlelength=1.6)
    panels[1].set_xlabel("шаг $t$")
    return drawing


# Batch size

TARGET, BATCH_SEEDS = 0.2, 3
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def _small_net(rng: np.random.Generator) -> MLP:
    return MLP((64, 32, CLASSES), RELU, init.he_normal, rng)


def _steps_to_target(batch: int, rate: float, seed: int, limit: int) -> int:
    """Steps of SGD until the loss on all training digits is below TARGET; `limit` + 1 if that takes longer."""
    X, Y = _training_set()
    rng = np.random.default_rng(seed)
    net = _small_net(rng)
    optimizer = SGD([*net.weights, *net.biases], rate)
    every = max(1, 16 // batch)
    for t in range(1, limit + 1):
        chosen = rng.integers(0, len(X), batch)
        optimizer.step(_loss_and_gradients(net, X[chosen], Y[chosen])[1])
        if t % every == 0 and softmax_cross_entropy(net.forward(X), Y)[0] < TARGET:
            return t
    return limit + 1


@cache
def batch_scaling() -> dict[int, dict[float, float]]:
    """For each batch size the steps to the target (median of the seeds) of every rate that needs at most 1.2 times the
    fewest. Rates are powers of two times 0.05, from a half to four times the best rate of the batch before."""
    found: dict[int, dict[float, float]] = {}
    limit, centre = 2000, 0.05
    with np.errstate(all="ignore"), threadpool_limits(1):
        for batch in BATCHES:
            steps: dict[float, float] = {}
            for rate in (4 * centre, 2 * centre, centre, centre / 2):
                cap = int(1.2 * min(steps.values(), default=limit))
                needed = float(np.median([_steps_to_target(batch, rate, s, cap) for s in range(BATCH_SEEDS)]))
                if needed <= cap:
                    steps[rate] = needed
            limit = int(min(steps.values()))
            centre = min(steps, key=lambda rate: (steps[rate], rate))
            found[batch] = {rate: needed for rate, needed in steps.items() if needed <= 1.2 * limit}
    return found


def fewest_steps() -> np.ndarray:
    """Steps to the target with the best rate, for each of BATCHES."""
    return np.array([min(batch_scaling()[batch].values()) for batch in BATCHES])


def best_rates() -> np.ndarray:
    """The rate that needs the fewest steps, for each of BATCHES; the smallest of equals."""
    return np.array([min(batch_scaling()[batch].items(), key=lambda pair: pair[::-1])[0] for batch in BATCHES])


@cache
def noise_scales() -> tuple[float, float]:
    """tr Σ / |g|² of the same network before training and, under full-batch descent, once the target is reached."""
    X, Y = _training_set()
    net = _small_net(np.random.default_rng(0))
    optimizer = SGD([*net.weights, *net.biases], 0.4)
    first = gradient_noise_scale(net, X, Y)
    with threadpool_limits(1):
        loss, gradients = _loss_and_gradients(net, X, Y)
        while loss >= TARGET:
            optimizer.step(gradients)
            loss, gradients = _loss_and_gradients(net, X, Y)
    return first, gradient_noise_scale(net, X, Y)


def gradient_noise_scale(net: MLP, X: np.ndarray, Y: np.ndarray) -> float:
    """Trace of the covariance of one object's gradient over the squared norm of the mean gradient."""
    _, grad_logits = softmax_cross_entropy(net.forward(X), Y)
    gradients = net.backward(grad_logits)
    mean_square = sum(float(np.sum(g**2)) for g in (*gradients.weights, *gradients.biases))
    squares = np.zeros(len(X))
    for delta, inputs in zip(gradients.deltas, net.inputs, strict=True):
        # The gradient of one object is N delta_i (a_i, 1): the mean over the objects sits in the deltas.
        squares += np.sum((len(X) * delta) ** 2, axis=1) * (1 + np.sum(inputs**2, axis=1))
    return (float(squares.mean()) - mean_square) / mean_square


@figure
def batch_size(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 5.6), sharex=True)
    sizes = np.array(BATCHES, dtype=float)
    steps, rates = fewest_steps(), best_rates()
    panels[0].loglog(sizes, steps, "o-", color=theme.forward, label="измерено")
    panels[0].loglog(sizes[:6], steps[0] / sizes[:6], color=theme.muted, linestyle=":", label=r"$\propto1/B$")
    for batch, near in batch_scaling().items():
        panels[1].plot([batch, batch], [min(near), max(near)], color=theme.backward, linewidth=5, alpha=0.35)
    panels[1].loglog(sizes, rates, "o-", color=theme.backward, label="лучший шаг")
    panels[1].loglog(sizes[:6], rates[0] * sizes[:6], color=theme.muted, linestyle=":", label=r"$\propto B$")
    panels[0].set_ylabel("шагов до цели")
    panels[1].set_ylabel(r"лучший шаг $\eta$")
    panels[1].set_xlabel("батч $B$")
    panels[1].set_xticks(BATCHES, [str(batch) for batch in BATCHES])
    panels[0].set_yticks([50, 100, 200, 500, 1000], ["50", "100", "200", "500", "1000"])
    panels[1].set_yticks([0.05, 0.1, 0.2, 0.4, 0.8], ["0,05", "0,1", "0,2", "0,4", "0,8"])
    for panel in panels:
        panel.xaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_minor_locator(NullLocator())
    panels[0].legend(loc="upper right")
    panels[1].legend(loc="lower right")
    return drawing


# Edge of stability

EDGE_OBJECTS, EDGE_STEPS, EDGE_EVERY = 200, 3000, 10
EDGE_RATES = (0.05, 0.15, 0.25)


class FullBatch:
    """A 64-32-32-10 tanh network on 200 digits with the loss ½ |output - one-hot|², averaged over the objects."""

    def __init__(self) -> None:
        self.X, self.Y = _training_set(EDGE_OBJECTS)
        self.net = MLP((64, 32, 32, CLASSES), TANH, init.linear_default, np.random.default_rng(0))
        self.parameters = [*self.net.weights, *self.net.biases]

    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        residual = self.net.forward(self.X) - self.Y
        gradients = self.net.backward(residual / len(self.X))
        return 0.5 * float(np.mean(np.sum(residual**2, axis=1))), [*gradients.weights, *gradients.biases]

    def hessian_product(self, v: list[np.ndarray], h: float = 1e-4) -> list[np.ndarray]:
        """H v as a central difference of gradients along v (of unit norm): the matrix itself is never built."""
        ends = []
        for shift in (h, -h):
            for w, direction in zip(self.parameters, v, strict=True):
                w += shift * direction
            ends.append(self.loss_and_gradients()[1])
            for w, direction in zip(self.parameters, v, strict=True):
                w -= shift * direction
        return [(plus - minus) / (2 * h) for plus, minus in zip(*ends, strict=True)]

    def sharpness(self, v: list[np.ndarray], iterations: int) -> tuple[float, list[np.ndarray]]:
        """Largest eigenvalue of the Hessian by power iteration from v, and the vector to start the next one from."""
        value = 0.0
        for _ in range(iterations):
            norm = np.sqrt(sum(float(np.sum(part**2)) for part in v))
            v = [part / norm for part in v]
            product = self.hessian_product(v)
            value = sum(float(np.sum(a * b)) for a, b in zip(v, product, strict=True))
            v = product
        return value, v


@cache
def edge_run(eta: float, steps: int = EDGE_STEPS) -> tuple[np.ndarray, np.ndarray]:
    """Losses of full-batch descent before every step, and sharpness before every tenth. Stops once the loss is above
    1000: the descent has diverged."""
    task = FullBatch()
    rng = np.random.default_rng(1)
    v = [rng.standard_normal(w.shape) for w in task.parameters]
    optimizer = SGD(task.parameters, eta)
    losses, sharpness = [], []
    with threadpool_limits(1):
        for t in range(steps + 1):
            if t % EDGE_EVERY == 0:
                value, v = task.sharpness(v, 5 if t else 60)
                sharpness.append(value)
            loss, gradients = task.loss_and_gradients()
            losses.append(loss)
            if not loss < 1e3:
                break
            optimizer.step(gradients)
    return np.array(losses), np.array(sharpness)


@figure
def edge_of_stability(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 6.4), sharex=True)
    for eta, colour in zip(EDGE_RATES, ("muted", "forward", "backward"), strict=True):
        losses, sharpness = edge_run(eta)
        label, shade = rf"$\eta={formula_number(eta)}$", getattr(theme, colour)
        panels[0].plot(np.arange(len(sharpness)) * EDGE_EVERY, sharpness, color=shade, linewidth=1.2, label=label)
        panels[1].semilogy(losses, color=shade, linewidth=1.0)
        if 2 / eta < 30:
            panels[0].axhline(2 / eta, color=shade, linewidth=1, linestyle=":")
            panels[0].text(
                EDGE_STEPS,
                2 / eta - 0.25,
                rf"$2/\eta={formula_number(round(2 / eta, 1))}$",
                ha="right",
                va="top",
                color=shade,
            )
    panels[0].set_ylim(0, 30)
    panels[0].set_yticks([0, 10, 20, 30])
    panels[0].set_xlim(0, EDGE_STEPS)
    panels[0].set_ylabel("наибольшая кривизна")
    panels[1].set_ylabel("потери")
    panels[1].set_xlabel("шаг полного градиента")
    panels[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=3)
    return drawing
