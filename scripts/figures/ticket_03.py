"""Figures of the ticket on automatic differentiation, and the experiments behind their numbers."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.ticker import MultipleLocator

from scripts.dl import checkpointing
from scripts.dl.checkpointing import Chain
from scripts.dl.forward_mode import cos, derivative, exp, log, sin, tanh
from scripts.dl.wengert import (
    Operations,
    adjoints,
    derivative_program,
    expression_sizes,
    gradient_program,
    operations,
    record,
    tangents,
)
from scripts.figures import figure
from scripts.figures.numbers import number
from scripts.figures.style import WIDTH, Theme

SMALL = 8.5

# --- The worked example ----------------------------------------------------------------------------------------------

EXAMPLE_POINT = (2.0, 5.0)
# Lines of the tape in the order of the page; places are in inches from the lower left corner.
EXAMPLE = {
    "x1": (r"x_1", 0, (1.75, 4.55)), "x2": (r"x_2", 1, (3.85, 4.55)),
    "v1": (r"v_1=\ln x_1", 2, (1.05, 3.1)), "v2": (r"v_2=x_1x_2", 3, (2.8, 3.1)),
    "v3": (r"v_3=\sin x_2", 4, (4.55, 3.1)),
    "v4": (r"v_4=v_1+v_2", 5, (1.93, 1.75)), "v5": (r"v_5=v_4-v_3", 6, (2.8, 0.5)),
}  # fmt: skip
EXAMPLE_SIZE = (WIDTH, 5.15)
EXAMPLE_BOX = (1.42, 0.84)


def short(value: float) -> str:
    """At most three digits after the comma."""
    return number(round(value, 3))


def example(x: Sequence) -> object:
    """f(x1, x2) = ln x1 + x1 x2 - sin x2."""
    v1 = log(x[0])
    v2 = x[0] * x[1]
    v3 = sin(x[1])
    v4 = v1 + v2
    return v4 - v3


@cache
def example_traces() -> dict[str, list[float]]:
    """Values, both tangent traces and the adjoint trace of the example, a number a line of its tape."""
    tape, (output,) = record(example, EXAMPLE_POINT)
    traces = {
        "value": [line.value for line in tape],
        "along x1": tangents(tape, {0: 1.0}),
        "along x2": tangents(tape, {1: 1.0}),
        "adjoint": adjoints(tape, {output.index: 1.0}),
    }
    return {name: [float(entry) for entry in trace] for name, trace in traces.items()}


@figure
def traced_graph(theme: Theme) -> Figure:
    canvas = plt.figure(figsize=EXAMPLE_SIZE, layout="none")
    axes = canvas.add_axes((0, 0, 1, 1), xlim=(0, EXAMPLE_SIZE[0]), ylim=(0, EXAMPLE_SIZE[1]))
    axes.axis("off")
    tape, _ = record(example, EXAMPLE_POINT)
    traces = example_traces()
    place = {index: at for _, index, at in EXAMPLE.values()}
    for label, index, (x, y) in EXAMPLE.values():
        axes.add_patch(
            FancyBboxPatch(
                (x - EXAMPLE_BOX[0] / 2, y - EXAMPLE_BOX[1] / 2), *EXAMPLE_BOX,
                boxstyle="round,pad=0,rounding_size=0.06", linewidth=0.8, edgecolor=theme.muted, zorder=2,
                facecolor=theme.surface if tape[index].operands else theme.background,
            )
        )  # fmt: skip
        both = f"{short(traces['along x1'][index])};  {short(traces['along x2'][index])}"
        for shift, text, color in (
            (0.275, f"${label}$", theme.ink),
            (0.09, short(traces["value"][index]), theme.forward),
            (-0.095, both, theme.extra),
            (-0.28, short(traces["adjoint"][index]), theme.backward),
        ):
            axes.text(x, y + shift, text, color=color, fontsize=SMALL + 0.3, ha="center", va="center", zorder=3)
        for j, partial in zip(tape[index].operands, tape[index].partials, strict=True):
            (x0, y0), (x1, y1) = place[j], (x, y)
            start, end = (x0 + 0.16 * np.sign(x1 - x0), y0 - EXAMPLE_BOX[1] / 2), (x1, y1 + EXAMPLE_BOX[1] / 2)
            end = (end[0] + 0.16 * np.sign(x0 - x1), end[1])
            axes.add_patch(
                FancyArrowPatch(
                    start, end, arrowstyle="-|>", mutation_scale=8, linewidth=1.0, color=theme.muted, shrinkA=0,
                    shrinkB=0, zorder=1,
                )
            )  # fmt: skip
            axes.text(
                (start[0] + end[0]) / 2, (start[1] + end[1]) / 2, short(partial), color=theme.ink, fontsize=SMALL,
                ha="center", va="center", zorder=4, bbox={"facecolor": theme.background, "edgecolor": "none", "pad": 1},
            )  # fmt: skip
    for y, text, color in (
        (0.88, "значение (вперёд)", theme.forward),
        (0.66, r"касательные по $x_1$; по $x_2$", theme.extra),
        (0.44, "сопряжённая (назад)", theme.backward),
        (0.22, "на рёбрах – $\\partial v_i/\\partial v_j$", theme.ink),
    ):
        axes.text(3.62, y, text, color=color, fontsize=SMALL + 0.5, va="center")
    return canvas


# --- Expression swell ------------------------------------------------------------------------------------------------

SWELL_STEPS = tuple(range(1, 16))


def logistic(steps: int) -> Callable:
    """x -> 4 x (1 - x), iterated."""

    def f(x: Sequence) -> object:
        value = x[0]
        for _ in range(steps):
            value = 4.0 * value * (1.0 - value)
        return value

    return f


@cache
def swell() -> dict[str, np.ndarray]:
    """Size of the iterated logistic map and of its derivative by the product rule, as a graph and as a formula."""
    found: dict[str, list[int]] = {name: [] for name in ("graph", "formula", "graph'", "formula'")}
    for steps in SWELL_STEPS:
        tape, (output,) = record(logistic(steps), [0.3])
        program, slope = derivative_program(logistic(steps), 0.3)
        for mark, sizes in (("", expression_sizes(tape, output.index)), ("'", expression_sizes(program, slope.index))):
            found["graph" + mark].append(sizes[0])
            found["formula" + mark].append(sizes[1])
    return {name: np.array(sizes) for name, sizes in found.items()}


@figure
def expression_swell(theme: Theme) -> Figure:
    found = swell()
    canvas, axes = plt.subplots(figsize=(WIDTH, 3.5))
    axes.semilogy(SWELL_STEPS, found["formula'"], color=theme.bad, label="производная формулой")
    axes.semilogy(SWELL_STEPS, found["formula"], color=theme.bad, linestyle=(0, (4, 2)), label="функция формулой")
    axes.semilogy(SWELL_STEPS, found["graph'"], color=theme.good, label="производная графом")
    axes.semilogy(SWELL_STEPS, found["graph"], color=theme.good, linestyle=(0, (4, 2)), label="функция графом")
    axes.set(xlabel="итераций отображения $4x(1-x)$", ylabel="узлов", xlim=(1, SWELL_STEPS[-1]), ylim=(2, 1e8))
    axes.set_yticks(10.0 ** np.arange(1, 8))
    axes.legend(loc="upper left")
    return canvas


# --- Cost of a Jacobian ----------------------------------------------------------------------------------------------

HIDDEN = 16
POWERS = range(9)


def dot(row: Sequence, values: Sequence) -> object:
    total = row[0] * values[0]
    for w, value in zip(row[1:], values[1:], strict=True):
        total = total + w * value
    return total


def two_layers(n: int, m: int) -> Callable:
    """W2 tanh(W1 x): n inputs, 16 hidden units, m outputs; the weights are constants."""
    rng = np.random.default_rng(0)
    W1, W2 = rng.normal(size=(HIDDEN, n)).tolist(), rng.normal(size=(m, HIDDEN)).tolist()

    def f(x: Sequence) -> list:
        hidden = [tanh(dot(row, x)) for row in W1]
        return [dot(row, hidden) for row in W2]

    return f


@cache
def jacobian_counts() -> dict[tuple[int, int], Operations]:
    """Operations of one pass for each pair (n, m) of powers of two up to 256."""
    sizes = [2**power for power in POWERS]
    return {(n, m): operations(record(two_layers(n, m), [0.1] * n)[0]) for n in sizes for m in sizes}


def jacobian_ratio(n: int, m: int) -> float:
    """Operations of the Jacobian by m adjoint sweeps over those by n tangent sweeps."""
    counts = jacobian_counts()[n, m]
    common = counts.value + counts.slopes
    return (common + m * counts.adjoint) / (common + n * counts.tangent)


@figure
def jacobian_cost(theme: Theme) -> Figure:
    ratios = np.array([[np.log2(jacobian_ratio(2**column, 2**row)) for column in POWERS] for row in POWERS])
    canvas, axes = plt.subplots(figsize=(WIDTH, 4.9))
    image = axes.imshow(ratios, origin="lower", cmap=theme.diverging, vmin=-8, vmax=8, interpolation="nearest")
    axes.plot([-0.5, 8.5], [-0.5, 8.5], color="#22201c", linewidth=1.2, linestyle=(0, (4, 3)))
    axes.text(2.0, 6.3, "дешевле\nпрямой режим", ha="center", va="center", color="#22201c")
    axes.text(6.0, 1.7, "дешевле\nобратный режим", ha="center", va="center", color="#22201c")
    ticks = list(POWERS)
    axes.set_xticks(ticks, [str(2**power) for power in ticks])
    axes.set_yticks(ticks, [str(2**power) for power in ticks])
    axes.set(xlabel="входов $n$", ylabel="выходов $m$", xlim=(-0.5, 8.5), ylim=(-0.5, 8.5))
    axes.grid(False)
    bar = canvas.colorbar(image, ax=axes, shrink=0.85, ticks=[-8, -4, 0, 4, 8])
    bar.ax.set_yticklabels(["1/256", "1/16", "1", "16", "256"])
    bar.set_label("операций: обратный режим / прямой")
    bar.outline.set_visible(False)
    return canvas


def bracket_costs(sizes: Sequence[int]) -> dict[str, int]:
    """Multiplications in J_L ... J_1 with J_l of shape sizes[l] x sizes[l-1]: forward, reverse and the best bracketing.

    The best one is the dynamic programme of the matrix chain, O(L^3).
    """
    length = len(sizes) - 1
    best = [[0] * (length + 1) for _ in range(length + 1)]
    for width in range(2, length + 1):
        for low in range(length - width + 1):
            high = low + width
            best[low][high] = min(
                best[low][cut] + best[cut][high] + sizes[high] * sizes[cut] * sizes[low] for cut in range(low + 1, high)
            )
    return {
        "forward": sum(sizes[i + 1] * sizes[i] * sizes[0] for i in range(1, length)),
        "reverse": sum(sizes[-1] * sizes[i] * sizes[i - 1] for i in range(1, length)),
        "best": best[0][length],
    }


# --- Cheap gradient --------------------------------------------------------------------------------------------------


def product(x: Sequence) -> object:
    """x1 x2 ... xn (Speelpenning's example)."""
    value = x[0]
    for factor in x[1:]:
        value = value * factor
    return value


def rosenbrock(x: Sequence) -> object:
    total = 0.0
    for here, following in zip(x, x[1:], strict=False):
        gap, shift = following - here * here, 1.0 - here
        total = total + (100.0 * gap * gap + shift * shift)
    return total


def network_loss(width: int, batch: int = 8) -> tuple[Callable, int]:
    """Squared error of a width-width-width-1 tanh network as a function of its weights, and their number."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(batch, width)).tolist(), rng.normal(size=batch).tolist()

    def f(theta: Sequence) -> object:
        rows = [theta[i : i + width] for i in range(0, len(theta), width)]
        total = 0.0
        for x, target in zip(X, y, strict=True):
            hidden = [tanh(dot(row, x)) for row in rows[:width]]
            hidden = [tanh(dot(row, hidden)) for row in rows[width:-1]]
            error = dot(rows[-1], hidden) - target
            total = total + error * error
        return total

    return f, 2 * width * width + width


CHEAP_SIZES = (4, 10, 30, 100, 300, 1000)
CHEAP_WIDTHS = (2, 4, 8, 16, 22)


@cache
def cheap_gradient_counts() -> dict[str, list[tuple[int, Operations]]]:
    """Pairs (n, operations) of three functions of a growing number of variables."""
    found: dict[str, list[tuple[int, Operations]]] = {"product": [], "rosenbrock": [], "network": []}
    for n in CHEAP_SIZES:
        for name, f in (("product", product), ("rosenbrock", rosenbrock)):
            found[name].append((n, operations(record(f, [0.9] * n)[0])))
    for width in CHEAP_WIDTHS:
        f, n = network_loss(width)
        found["network"].append((n, operations(record(f, [0.1] * n)[0])))
    return found


def gradient_ratios(name: str) -> dict[str, np.ndarray]:
    """ops(f and its gradient) / ops(f) by one adjoint sweep, by n tangent sweeps and by n + 1 evaluations."""
    counts = cheap_gradient_counts()[name]
    return {
        "n": np.array([n for n, _ in counts]),
        "reverse": np.array([each.gradient / each.value for _, each in counts]),
        "forward": np.array([(each.value + each.slopes + n * each.tangent) / each.value for n, each in counts]),
        "differences": np.array([n + 1.0 for n, _ in counts]),
    }


@cache
def second_order_ratio(n: int = 30) -> dict[str, float]:
    """ops(gradient and Hv) / ops(f and gradient) by a tangent sweep over the gradient program."""
    ratios = {}
    for name, f in (("product", product), ("rosenbrock", rosenbrock)):
        program, _ = gradient_program(f, [0.9] * n)
        ratios[name] = operations(program).jvp / operations(program).value
    f, n = network_loss(4)
    program, _ = gradient_program(f, [0.1] * n)
    return ratios | {"network": operations(program).jvp / operations(program).value}


@figure
def cheap_gradient(theme: Theme) -> Figure:
    canvas, axes = plt.subplots(figsize=(WIDTH, 4.2))
    lines = {"product": "-", "rosenbrock": (0, (4, 2)), "network": (0, (1, 1.3))}
    labels = {"product": "произведение $x_1\\cdots x_n$", "rosenbrock": "функция Розенброка", "network": "сеть, батч 8"}
    for name, line in lines.items():
        ratios = gradient_ratios(name)
        axes.loglog(ratios["n"], ratios["forward"], color=theme.forward, linestyle=line)
        axes.loglog(ratios["n"], ratios["reverse"], color=theme.backward, linestyle=line, label=labels[name])
    ratios = gradient_ratios("product")
    axes.loglog(ratios["n"], ratios["differences"], color=theme.muted, linewidth=1.0)
    axes.axhline(5, color=theme.muted, linewidth=0.9, linestyle=(0, (1, 2)))
    axes.text(1050, 5.5, "граница 5", ha="right", va="bottom", color=theme.muted, fontsize=9)
    axes.text(4.6, 125, "прямой режим, $n$ проходов", color=theme.forward, fontsize=9)
    axes.text(1050, 150, "конечные разности", color=theme.muted, ha="right", va="top", fontsize=9)
    axes.text(1050, 1.75, "обратный режим, один проход", color=theme.backward, ha="right", va="top", fontsize=9)
    axes.set(xlabel="переменных $n$", ylabel="операций: градиент / функция", xlim=(4, 1100), ylim=(1, 3000))
    axes.legend(loc="upper left", handlelength=2.6)
    return canvas


# --- Error against the step ------------------------------------------------------------------------------------------

STEP_POINTS = np.linspace(1.0, 1.5, 101)
STEPS = np.logspace(-20, -1, 96)


def squire_trapp(x: object) -> object:
    """exp(x) / (sin^3 x + cos^3 x): the usual example for the complex step."""
    s, c = sin(x), cos(x)
    return exp(x) / (s * s * s + c * c * c)


@cache
def step_errors() -> dict[str, np.ndarray]:
    """Median relative error of the derivative over 101 points of [1, 1.5], by method, for each of `STEPS`."""
    x = STEP_POINTS.astype(np.longdouble)
    s, c = np.sin(x), np.cos(x)
    cubes = s**3 + c**3
    exact = np.exp(x) / cubes * (1 - 3 * s * c * (s - c) / cubes)

    def error(slope: np.ndarray) -> float:
        return float(np.median(np.abs((slope - exact) / exact)))

    f, x = squire_trapp, STEP_POINTS
    curves: dict[str, list[float]] = {"forward": [], "central": [], "complex": [], "dual": []}
    dual = error(derivative(f, x))
    for h in STEPS:
        curves["forward"].append(error((f(x + h) - f(x)) / h))
        curves["central"].append(error((f(x + h) - f(x - h)) / (2 * h)))
        curves["complex"].append(error(f(x + 1j * h).imag / h))
        curves["dual"].append(dual)
    return {name: np.array(curve) for name, curve in curves.items()}


@figure
def step_error(theme: Theme) -> Figure:
    canvas, axes = plt.subplots(figsize=(WIDTH, 3.9))
    for name, color, label, line in (
        ("forward", theme.accent, "односторонняя разность", "-"),
        ("central", theme.forward, "центральная разность", "-"),
        ("complex", theme.extra, "комплексный шаг", "-"),
        ("dual", theme.good, "дуальные числа: шага нет", (0, (4, 2))),
    ):
        axes.loglog(STEPS, step_errors()[name], color=color, label=label, linestyle=line)
    axes.set(xlabel="шаг $h$", ylabel="относительная ошибка", xlim=(1e-20, 0.1), ylim=(1e-17, 1e4))
    axes.set_yticks(10.0 ** np.arange(-16, 1, 4))
    axes.legend(loc="upper center", ncols=2, columnspacing=1.2, handlelength=1.8)
    return canvas


# --- Checkpointing ---------------------------------------------------------------------------------------------------

DEPTH = 64
SHOWN_STEPS = 400
SCHEDULES = {
    "none": lambda chain: checkpointing.backward_in_segments(chain, [0, DEPTH]),
    "segments": lambda chain: checkpointing.backward_in_segments(chain, checkpointing.equal_bounds(DEPTH, 8)),
    "decreasing": lambda chain: checkpointing.backward_in_segments(chain, checkpointing.decreasing_bounds(DEPTH, 12)),
    "halving": checkpointing.backward_by_halving,
    "input": checkpointing.backward_from_the_input,
}


@cache
def checkpoint_runs() -> dict[str, Chain]:
    """One backward pass of a 64-layer tanh chain under each schedule."""
    rng = np.random.default_rng(0)
    layers, x = checkpointing.tanh_chain(DEPTH, 8, rng), rng.normal(size=8)
    runs = {}
    for name, schedule in SCHEDULES.items():
        runs[name] = Chain(layers, x, lambda a: np.ones_like(a))
        schedule(runs[name])
    return runs


@figure
def checkpoint_memory(theme: Theme) -> Figure:
    canvas, panels = plt.subplots(4, 1, figsize=(WIDTH, 6.4), sharex=True)
    titles = {
        "none": "хранить всё",
        "segments": "8 отрезков по 8 слоёв",
        "halving": "деление пополам",
        "input": "хранить только вход",
    }
    colors = {"none": theme.bad, "segments": theme.good, "halving": theme.forward, "input": theme.extra}
    for axes, (name, title) in zip(panels, titles.items(), strict=True):
        run = checkpoint_runs()[name]
        moments = np.concatenate([[0], np.cumsum(run.costs)])
        shown = moments <= SHOWN_STEPS + 2
        moments, live = moments[shown], np.array([1, *run.live])[shown]
        axes.fill_between(moments, live, step="pre", color=colors[name], alpha=0.25, linewidth=0)
        axes.step(moments, live, where="pre", color=colors[name], linewidth=1.3)
        axes.set_title(f"{title}: пик {run.peak}, всего шагов {sum(run.costs)}")
        axes.set(ylim=(0, run.peak * 1.12), ylabel="хранится", xlim=(0, SHOWN_STEPS))
    panels[-1].text(392, 0.5, "продолжение до 2208 →", ha="right", va="bottom", fontsize=9)
    for axes, step in zip(panels, (20, 5, 2, 1), strict=True):
        axes.yaxis.set_major_locator(MultipleLocator(step))
    panels[-1].set_xlabel("шаги: слой вперёд – 1, слой назад – 2")
    return canvas


# --- Estimators of the gradient of an expectation --------------------------------------------------------------------

ESTIMATOR_SIZES = (1, 3, 10, 30, 100, 300)
ESTIMATOR_SAMPLES = 20_000


@cache
def estimator_deviations() -> dict[str, np.ndarray]:
    """Standard deviation of one-sample estimates of d/dmu_1 of E |x|^2, x ~ N(mu, I), mu = (1, ..., 1)."""
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {"score": [], "baseline": [], "reparameterised": []}
    for size in ESTIMATOR_SIZES:
        x = 1.0 + rng.normal(size=(ESTIMATOR_SAMPLES, size))
        values, score = (x**2).sum(axis=1), x[:, 0] - 1.0
        found["score"].append((values * score).std())
        found["baseline"].append(((values - 2.0 * size) * score).std())
        found["reparameterised"].append((2.0 * x[:, 0]).std())
    return {name: np.array(deviations) for name, deviations in found.items()}


@figure
def estimators(theme: Theme) -> Figure:
    canvas, axes = plt.subplots(figsize=(WIDTH, 3.4))
    for name, color, label in (
        ("score", theme.bad, "через логарифм плотности"),
        ("baseline", theme.accent, "то же, с вычтенным средним"),
        ("reparameterised", theme.good, "репараметризация"),
    ):
        axes.loglog(ESTIMATOR_SIZES, estimator_deviations()[name], color=color, label=label, marker="o", markersize=4)
    axes.axhline(2, color=theme.muted, linewidth=0.9, linestyle=(0, (1, 2)))
    axes.set(xlabel="размерность $d$", ylabel="разброс одной оценки", xlim=(0.9, 340), ylim=(1, 1000))
    axes.legend(loc="upper left")
    return canvas
