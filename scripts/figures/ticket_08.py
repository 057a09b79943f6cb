"""Figures of ticket-08: gradients through time, what gates remember, and beam search."""

from functools import cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.ticker import LogLocator

from scripts.dl.decoding import Hypothesis, beam_search, greedy
from scripts.dl.initialization import orthogonal
from scripts.dl.recurrent import RNN, bptt, unroll
from scripts.experiments import brackets as bracket_runs
from scripts.experiments import copy_task as copy_runs
from scripts.experiments import gradient_lag as lag_runs
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.schemes import arrow, box
from scripts.figures.style import WIDTH, Theme, pyplot

SMALL = 9.0


def _canvas(height: float) -> tuple[Figure, Axes]:
    """A figure without axes whose coordinates are inches."""
    drawing = pyplot.figure(figsize=(WIDTH, height), layout="none")
    axes = drawing.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, height))
    axes.axis("off")
    return drawing, axes


def _write(axes: Axes, x: float, y: float, text: str, colour: str, size: float = SMALL, **options) -> None:
    axes.text(x, y, text, color=colour, fontsize=size, zorder=4, **{"ha": "center", "va": "center"} | options)


# Backpropagation through time by hand: one unit, three steps

HAND_INPUTS, HAND_W, HAND_U, HAND_TARGET = (1.0, 0.0, 0.0), 1.0, 0.8, 1.0


@cache
def hand_example() -> dict[str, np.ndarray]:
    """h_t, δ_t (adjoints of the pre-activations) and the gradients of w, u for ½(h_3 - 1)²; arrays of three steps."""
    cell = RNN(W_x=np.array([[HAND_W]]), W_h=np.array([[HAND_U]]), b=np.zeros(1))
    X = np.array(HAND_INPUTS).reshape(3, 1, 1)
    H, _, saved = unroll(cell, X)
    H_bar = np.zeros_like(H)
    H_bar[-1] = H[-1] - HAND_TARGET
    X_bar, _, grads = bptt(cell, saved, H_bar)
    delta = X_bar[:, 0, 0] / HAND_W
    previous = np.concatenate(([0.0], H[:-1, 0, 0]))
    return {
        "h": H[:, 0, 0], "delta": delta, "slope": 1 - H[:, 0, 0] ** 2, "terms": delta * previous,
        "w": grads["W_x"][0, 0], "u": grads["W_h"][0, 0],
    }  # fmt: skip


@figure
def unrolled(theme: Theme) -> Figure:
    drawing, axes = _canvas(3.35)
    hand = hand_example()
    places, level, size = (0.85, 2.35, 3.85), 1.75, (0.98, 0.78)
    for t, x in enumerate(places):
        box(axes, (x, level), size, theme)
        _write(axes, x, level + 0.22, f"$h_{t + 1}$", theme.ink, size=11)
        _write(axes, x, level - 0.02, number(hand["h"][t], 3), theme.forward)
        _write(axes, x, level - 0.24, number(hand["delta"][t], 3), theme.backward)
        box(axes, (x, 0.62), (0.98, 0.34), theme, fill=theme.background)
        _write(axes, x, 0.62, rf"$x_{t + 1}=$ {number(HAND_INPUTS[t])}", theme.ink, size=10)
        arrow(axes, (x, 0.79), (x, level - 0.39), theme.muted)
        _write(axes, x + 0.12, 1.07, "$w$", theme.muted, size=11, ha="left")
        _write(axes, x, 2.98, number(hand["terms"][t], 3) if t else "0", theme.backward)
        arrow(axes, (x, level + 0.39), (x, 2.84), theme.backward, width=0.8)
    for x in places[:2]:
        arrow(axes, (x + 0.49, level + 0.1), (x + 1.01, level + 0.1), theme.forward, width=1.4)
        arrow(axes, (x + 1.01, level - 0.16), (x + 0.49, level - 0.16), theme.backward, width=1.4)
        _write(axes, x + 0.75, level + 0.25, "$u$", theme.muted, size=11)
    box(axes, (5.12, level), (0.8, 0.78), theme)
    _write(axes, 5.12, level + 0.2, r"$\mathcal{L}$", theme.ink)
    loss = 0.5 * (hand["h"][-1] - HAND_TARGET) ** 2
    _write(axes, 5.12, level - 0.12, number(loss, 3), theme.forward)
    arrow(axes, (4.34, level + 0.1), (4.72, level + 0.1), theme.forward, width=1.4)
    arrow(axes, (4.72, level - 0.16), (4.34, level - 0.16), theme.backward, width=1.4)
    _write(axes, 4.5, 2.98, rf"$\Sigma\ =\ \bar u\ =$ {number(hand['u'], 3)}", theme.backward, ha="left")
    _write(axes, 0.36, 3.24, r"вклад шага $\delta_t h_{t-1}$:", theme.muted, ha="left")
    _write(axes, 0.36, 0.2, r"синее: $h_t$", theme.forward, ha="left")
    _write(axes, 1.75, 0.2, r"оранжевое: $\delta_t=\partial\mathcal{L}/\partial a_t$", theme.backward, ha="left")
    return drawing


# Products of Jacobians: linear and tanh networks with the same matrices

UNITS, LAG, WARM_UP, INPUTS = 64, 100, 50, 8
TANH_GAINS, LINEAR_GAINS = (0.9, 1.1, 1.5, 3.0), (0.9, 1.0, 1.1)


@cache
def jacobian_norms(gain: float, strength: float = 1.0) -> np.ndarray:
    """Spectral norms of ∂h_{s+k}/∂h_s, k = 1 … 100, in a tanh network whose W_hh is `gain` times orthogonal; inputs
    are Gaussian, their share of a pre-activation has standard deviation `strength`."""
    rng = np.random.default_rng(0)
    W = gain * orthogonal(UNITS, UNITS, rng)
    W_x = strength * rng.standard_normal((UNITS, INPUTS)) / INPUTS**0.5
    h, jacobian, norms = np.zeros(UNITS), np.eye(UNITS), []
    for t in range(WARM_UP + LAG):
        h = np.tanh(W @ h + W_x @ rng.standard_normal(INPUTS))
        if t >= WARM_UP:
            jacobian = (1 - h**2)[:, None] * (W @ jacobian)
            norms.append(np.linalg.norm(jacobian, 2))
    return np.array(norms)


@figure
def jacobians(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.3))
    lags = np.arange(1, LAG + 1)
    colours = {0.9: theme.forward, 1.0: theme.muted, 1.1: theme.good, 1.5: theme.accent, 3.0: theme.bad}
    for gain in LINEAR_GAINS:
        label = f"линейная, {number(gain, 1)}"
        panel.semilogy(lags, gain**lags, color=colours[gain], linestyle=(0, (4, 2)), linewidth=1.4, label=label)
    for gain in TANH_GAINS:
        panel.semilogy(lags, jacobian_norms(gain), color=colours[gain], label=f"tanh, {number(gain, 1)}")
    panel.yaxis.set_major_locator(LogLocator(numticks=9))
    panel.yaxis.minorticks_off()
    panel.set_xlim(1, LAG)
    panel.set_xlabel("шагов между состояниями, $t-s$")
    panel.set_ylabel(r"$\Vert\partial h_t/\partial h_s\Vert_2$")
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=3)
    return drawing


# The LSTM cell


@figure
def lstm_cell(theme: Theme) -> Figure:
    drawing, axes = _canvas(3.5)
    top, middle, gates_level = 2.95, 2.1, 1.35
    bottom = 0.62
    line = {"color": theme.muted, "linewidth": 1.1, "zorder": 1, "solid_capstyle": "round"}
    arrow(axes, (0.15, top), (5.45, top), theme.good, width=3.0)
    columns = {"f": 1.15, "i": 2.0, "g": 2.85, "o": 3.7}
    names = {"f": r"$\sigma$", "i": r"$\sigma$", "g": r"$\tanh$", "o": r"$\sigma$"}
    axes.plot([0.15, columns["o"]], [bottom, bottom], **line)
    axes.plot([0.6, 0.6], [0.25, bottom], **line)
    for gate, x in columns.items():
        arrow(axes, (x, bottom), (x, gates_level - 0.17), theme.muted)
        box(axes, (x, gates_level), (0.56, 0.34), theme, edge=theme.forward if gate != "g" else theme.accent)
        _write(axes, x, gates_level, names[gate], theme.ink, size=11)
        _write(axes, x + 0.09, gates_level + 0.3, f"${gate}_t$", theme.ink, size=11, ha="left")
    centre = (columns["i"] + columns["g"]) / 2

    def operation(x: float, y: float, sign: str) -> None:
        axes.add_patch(Circle((x, y), 0.14, facecolor=theme.background, edgecolor=theme.ink, linewidth=1.0, zorder=3))
        _write(axes, x, y, sign, theme.ink, size=12)

    arrow(axes, (columns["f"], gates_level + 0.17), (columns["f"], top - 0.14), theme.muted)
    operation(columns["f"], top, r"$\odot$")
    for gate in "ig":
        x = columns[gate]
        axes.plot([x, x], [gates_level + 0.17, middle], **line)
        arrow(axes, (x, middle), (centre + (-0.14 if gate == "i" else 0.14), middle), theme.muted)
    operation(centre, middle, r"$\odot$")
    arrow(axes, (centre, middle + 0.14), (centre, top - 0.14), theme.muted)
    operation(centre, top, "+")
    out = 4.6
    axes.plot([columns["o"], columns["o"]], [gates_level + 0.17, middle - 0.2], **line)
    arrow(axes, (columns["o"], middle - 0.2), (out - 0.14, middle - 0.2), theme.muted)
    arrow(axes, (out, top), (out, middle + 0.51), theme.muted)
    box(axes, (out, middle + 0.36), (0.56, 0.3), theme, edge=theme.accent)
    _write(axes, out, middle + 0.36, r"$\tanh$", theme.ink, size=11)
    arrow(axes, (out, middle + 0.21), (out, middle - 0.06), theme.muted)
    operation(out, middle - 0.2, r"$\odot$")
    axes.plot([out, out], [middle - 0.34, bottom], **line)
    arrow(axes, (out, bottom), (5.45, bottom), theme.muted, width=1.1)
    for x, y, text in (
        (0.32, top + 0.22, "$c_{t-1}$"), (5.2, top + 0.22, "$c_t$"), (0.35, bottom + 0.2, "$h_{t-1}$"),
        (5.2, bottom + 0.2, "$h_t$"), (0.8, 0.22, "$x_t$"),
    ):  # fmt: skip
        _write(axes, x, y, text, theme.ink, size=11)
    _write(axes, 3.5, top + 0.22, r"прямой путь: $\times f_t$, затем +", theme.good)
    return drawing


# Gradients at the start of training, by lag

LAG_SERIES = (
    ("rnn", "tanh-RNN", "muted"),
    ("lstm", "LSTM, как в PyTorch", "bad"),
    ("lstm-1", "LSTM, сдвиг f = 1", "accent"),
    ("lstm-3", "LSTM, сдвиг f = 3", "good"),
    ("lstm-chrono", "LSTM, chrono", "forward"),
    ("gru-3", "GRU, сдвиг z = 3", "backward"),
)


@figure
def gradient_lag(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.6))
    for name, label, colour in LAG_SERIES:
        norms = lag_runs.lags(name)["norms"]
        hue, lags = getattr(theme, colour), np.arange(norms.shape[1])
        panel.semilogy(lags, np.median(norms, axis=0), color=hue, label=label)
        panel.fill_between(lags, norms.min(axis=0), norms.max(axis=0), color=hue, alpha=0.2, linewidth=0)
    panel.set_ylim(1e-20, 1e2)
    panel.yaxis.set_major_locator(LogLocator(numticks=8))
    panel.yaxis.minorticks_off()
    panel.set_xlim(0, 99)
    panel.set_xlabel("сколько шагов назад, $k$")
    panel.set_ylabel(r"$\Vert\partial(\mathbf{1}^\top h_{100})/\partial x_{100-k}\Vert$")
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
    return drawing


# Remembering the first symbol

COPY_ROWS = (
    ("rnn", "tanh-RNN"),
    ("rnn-orthogonal", "RNN, ортогональная"),
    ("gru", "GRU, как в PyTorch"),
    ("gru-3", "GRU, сдвиг z = 3"),
    ("lstm", "LSTM, как в PyTorch"),
    ("lstm-3", "LSTM, сдвиг f = 3"),
    ("lstm-3-closed", "LSTM, f = 3, i = −3"),
    ("lstm-5", "LSTM, сдвиг f = 5"),
    ("lstm-5-closed", "LSTM, f = 5, i = −3"),
    ("lstm-chrono", "LSTM, chrono"),
)


@cache
def copy_accuracy() -> np.ndarray:
    """Mean accuracy over the seeds: rows as `COPY_ROWS`, columns by delay."""
    rows = [[copy_runs.accuracy(name, delay)["accuracy"].mean() for delay in copy_runs.DELAYS] for name, _ in COPY_ROWS]
    return np.array(rows)


@figure
def copy_task(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.7))
    values = copy_accuracy()
    panel.imshow(values, cmap=theme.sequential, vmin=0, vmax=1, aspect="auto")
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            colour = theme.background if value > 0.6 else theme.ink
            panel.text(column, row, number(value, 2), color=colour, ha="center", va="center")
    panel.grid(False)
    panel.tick_params(length=0)
    panel.set_xticks(range(len(copy_runs.DELAYS)), [str(delay) for delay in copy_runs.DELAYS])
    panel.set_yticks(range(len(COPY_ROWS)), [label for _, label in COPY_ROWS])
    panel.set_xlabel("задержка, шагов")
    panel.spines[:].set_visible(False)
    return drawing


# A counter inside an LSTM


def shown_depths() -> np.ndarray:
    """The true depth after each symbol of the shown string."""
    return np.cumsum([{"(": 1, ")": -1, "x": 0}[letter] for letter in bracket_runs.SHOWN])


@figure
def brackets(theme: Theme) -> Figure:
    drawing, (state, gates) = pyplot.subplots(2, 1, figsize=(WIDTH, 5.6), height_ratios=(1, 1))
    run, depths = bracket_runs.counter(), shown_depths()
    steps = np.arange(len(depths))
    state.bar(steps, depths, width=0.9, color=theme.grid, label="глубина вложенности")
    state.plot(steps, run["c"], color=theme.forward, marker="o", markersize=4, label="ячейка $c_t$")
    state.set_ylabel("значение")
    gates.plot(steps, run["f"], color=theme.good, marker="o", markersize=4, label="забывающий затвор $f_t$")
    written = run["i"] * run["g"]
    gates.bar(steps, written, width=0.6, color=theme.backward, alpha=0.8, label=r"запись $i_t g_t$")
    gates.axhline(0, color=theme.muted, linewidth=0.8)
    for panel in (state, gates):
        panel.set_xticks(steps, list(bracket_runs.SHOWN))
        panel.set_xlim(-0.7, len(steps) - 0.3)
        panel.grid(axis="x", visible=False)
        panel.yaxis.set_major_formatter(ticks())
        panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
    gates.set_xlabel("прочитанный символ")
    return drawing


# Beam search on a table of conditionals

WORDS = ("конец", "я", "мы", "иду", "еду", "сплю", "дома", "домой", "спим")
END = 0
TABLE = {
    (): {"я": 0.5, "мы": 0.4, "конец": 0.1},
    ("я",): {"иду": 0.4, "еду": 0.35, "сплю": 0.25},
    ("мы",): {"дома": 0.9, "конец": 0.1},
    ("я", "иду"): {"домой": 0.55, "конец": 0.45},
    ("я", "еду"): {"домой": 0.6, "конец": 0.4},
    ("я", "сплю"): {"конец": 1.0},
    ("мы", "дома"): {"конец": 0.8, "спим": 0.2},
}
LONGEST, BEAM = 4, 2


def next_log_probs(prefix: tuple[int, ...]) -> np.ndarray:
    """The table as a model for `scripts.dl.decoding`; after three words comes the end."""
    row = TABLE.get(tuple(WORDS[token] for token in prefix), {"конец": 1.0})
    probs = np.array([row.get(word, 0.0) for word in WORDS])
    with np.errstate(divide="ignore"):
        return np.log(probs)


@cache
def searched(beam: int) -> tuple[Hypothesis, frozenset[tuple[int, ...]]]:
    """The best hypothesis of a beam, and all prefixes that it kept alive or finished."""
    kept = set()

    def watched(prefix: tuple[int, ...]) -> np.ndarray:
        kept.add(prefix)
        return next_log_probs(prefix)

    found = beam_search(watched, END, LONGEST, beam)
    return found[0], frozenset(kept | {h.tokens for h in found})


@figure
def beam(theme: Theme) -> Figure:
    drawing, axes = _canvas(4.1)
    leaves = [
        ("я", "иду", "домой"), ("я", "иду", "конец"), ("я", "еду", "домой"), ("я", "еду", "конец"),
        ("я", "сплю", "конец"), ("мы", "дома", "конец"), ("мы", "дома", "спим"), ("мы", "конец"), ("конец",),
    ]  # fmt: skip
    _, kept = searched(BEAM)
    greedy_words = [WORDS[token] for token in greedy(next_log_probs, END, LONGEST).tokens]
    columns, top, gap = (0.45, 1.6, 2.9, 4.2), 3.55, 0.42
    height = {path: top - row * gap for row, path in enumerate(leaves)}
    for depth in (2, 1, 0):
        for path in sorted({leaf[:depth] for leaf in leaves if len(leaf) > depth}):
            children = [y for child, y in height.items() if len(child) == depth + 1 and child[:depth] == path]
            height[path] = float(np.mean(children))
    for path, y in height.items():
        x = columns[len(path)]
        if path:
            tokens = tuple(WORDS.index(word) for word in path)
            is_kept, is_greedy = tokens in kept, list(path) == greedy_words[: len(path)]
            colour = theme.good if is_kept else theme.grid
            parent = path[:-1]
            start = (columns[len(parent)] + 0.3, height[parent])
            arrow(axes, start, (x - 0.34, y), colour, width=2.0 if is_kept else 1.0)
            if is_greedy:
                arrow(axes, (start[0], start[1] + 0.07), (x - 0.34, y + 0.07), theme.backward, width=1.4)
            box(axes, (x, y), (0.66, 0.29), theme, edge=colour if is_kept else theme.muted)
            p = TABLE[parent][path[-1]]
            _write(axes, (start[0] + x - 0.34) / 2, (start[1] + y) / 2 + 0.02, number(p, 2), theme.ink, size=8.5,
                   bbox={"facecolor": theme.background, "edgecolor": "none", "pad": 0.8})  # fmt: skip
            if path in leaves:
                total = np.exp(sum(next_log_probs(tokens[:t])[token] for t, token in enumerate(tokens)))
                _write(axes, x + 0.42, y, number(total, 3), theme.ink if is_kept else theme.muted, ha="left")
        else:
            box(axes, (x, y), (0.6, 0.29), theme)
        _write(axes, x, y, path[-1] if path else "начало", theme.ink)
    _write(axes, columns[3] + 0.42, top + 0.35, "вероятность", theme.muted, ha="center", size=8.5)
    return drawing
