"""Figures of tm-15: what two gates and one state can and cannot do next to three gates and two states."""

from functools import cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from scripts.experiments import counting as runs
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.schemes import arrow, box
from scripts.figures.style import CYCLE, WIDTH, Theme, pyplot

COLOURS = {"LSTM": "forward", "GRU": "backward", "RNN": "muted"}


@cache
def limit(kind: str, seed: int) -> int:
    """The largest n up to which every a^n b^n is answered rightly."""
    right = runs.counting(kind, seed)["right"]
    return len(right) if right.all() else int(np.argmin(right))


@cache
def limits(kind: str) -> tuple[int, ...]:
    return tuple(limit(kind, seed) for seed in range(runs.SEEDS))


def shown_seed(kind: str) -> int:
    """The network that counts furthest of its kind."""
    return int(np.argmax(limits(kind)))


# --- The cell ------------------------------------------------------------------------------------------------------


def _operation(panel: Axes, x: float, y: float, sign: str, theme: Theme) -> None:
    panel.add_patch(Circle((x, y), 0.14, facecolor=theme.background, edgecolor=theme.ink, linewidth=1.0, zorder=3))
    panel.text(x, y, sign, ha="center", va="center", color=theme.ink, fontsize=12, zorder=4)


@figure
def cell(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.5))
    panel.set(xlim=(0, 5.6), ylim=(0, 3.5), aspect="equal")
    panel.axis("off")
    top, middle, boxes, bottom = 2.95, 2.15, 1.3, 0.6
    z, r, n = 1.45, 2.75, 4.15
    line = {"color": theme.muted, "linewidth": 1.1, "zorder": 1}
    arrow(panel, (0.1, top), (5.5, top), theme.good, width=3.0)
    panel.plot([0.5, 0.5], [top, bottom], **line)
    panel.plot([0.5, n], [bottom, bottom], **line)
    panel.plot([0.8, 0.8], [0.3, bottom], **line)
    for x, text, colour in ((z, r"$\sigma$", theme.forward), (r, r"$\sigma$", theme.forward),
                            (n, r"$\tanh$", theme.accent)):  # fmt: skip
        arrow(panel, (x, bottom), (x, boxes - 0.19), theme.muted)
        box(panel, (x, boxes), (0.64, 0.38), theme, edge=colour, text=text)
    arrow(panel, (z, boxes + 0.19), (z, top - 0.14), theme.muted)
    arrow(panel, (z, middle), (n - 0.14, middle), theme.muted)
    arrow(panel, (r + 0.32, boxes), (n - 0.32, boxes), theme.backward)
    arrow(panel, (n, boxes + 0.19), (n, middle - 0.14), theme.muted)
    arrow(panel, (n, middle + 0.14), (n, top - 0.14), theme.muted)
    _operation(panel, z, top, r"$\odot$", theme)
    _operation(panel, n, middle, r"$\odot$", theme)
    _operation(panel, n, top, "+", theme)
    for x, y, text in (
        (0.3, top + 0.25, "$h_{t-1}$"), (5.3, top + 0.25, "$h_t$"), (0.8, 0.14, "$x_t$"), (z + 0.2, 1.75, "$z_t$"),
        ((z + n) / 2, middle + 0.17, "$1-z_t$"), ((r + n) / 2, boxes + 0.17, "$r_t$"), (n + 0.22, 1.75, "$n_t$"),
    ):  # fmt: skip
        panel.text(x, y, text, ha="center", va="center", color=theme.ink, fontsize=11)
    panel.text((z + n) / 2, top + 0.25, r"прямой путь: $\times z_t$, затем +", ha="center", va="center",
               color=theme.good)  # fmt: skip
    return drawing


# --- Counting ------------------------------------------------------------------------------------------------------


@figure
def counting(theme: Theme) -> Figure:
    drawing, (memory_cell, state, reached) = pyplot.subplots(3, 1, figsize=(WIDTH, 7.4), height_ratios=(1.25, 1.25, 1))
    letters = np.arange(1, 2 * runs.SHOWN + 1)
    for panel, kind, label in ((memory_cell, "LSTM", "ячейка $c_t$ LSTM"), (state, "GRU", "состояние $h_t$ GRU")):
        for values, colour in zip(runs.counting(kind, shown_seed(kind))["states"].T, CYCLE, strict=False):
            panel.plot(letters, values, color=getattr(theme, colour), linewidth=1.5)
        panel.axvline(runs.SHOWN + 0.5, color=theme.muted, linewidth=1.0, linestyle="--")
        panel.set(ylabel=label, xlim=(0, 2 * runs.SHOWN + 1))
        panel.yaxis.set_major_formatter(ticks())
    memory_cell.set_title(f"$a^{{{runs.SHOWN}}}b^{{{runs.SHOWN}}}$: слева от пунктира буквы a, справа b")
    state.set_ylim(-1.05, 1.05)
    state.set_xlabel("номер буквы")
    for row, kind in enumerate(runs.KINDS):
        for n in set(limits(kind)):
            same = limits(kind).count(n)
            heights = row + 0.14 * (np.arange(same) - (same - 1) / 2)
            reached.scatter([n] * same, heights, s=34, color=getattr(theme, COLOURS[kind]), zorder=3)
    reached.axvspan(0, runs.TRAINED, color=theme.grid, alpha=0.45, linewidth=0, zorder=0)
    reached.set_yticks(range(len(runs.KINDS)), runs.KINDS)
    reached.set(xlim=(0, 55), ylim=(2.5, -0.5), xlabel="до какого $n$ все ответы верны")
    reached.grid(axis="y", visible=False)
    return drawing


# --- Gates ---------------------------------------------------------------------------------------------------------


@cache
def gate_means(kind: str) -> dict[str, np.ndarray]:
    """Mean shares kept and written, (units of all seeds, 2), while letters a and while letters b are read."""
    found = {"a": [], "b": []}
    for seed in range(runs.SEEDS):
        result = runs.counting(kind, seed)
        for letter, phase in (("a", slice(0, runs.SHOWN)), ("b", slice(runs.SHOWN, None))):
            pair = result["keep"][phase].mean(axis=0), result["write"][phase].mean(axis=0)
            found[letter].append(np.stack(pair, axis=1))
    return {letter: np.concatenate(pairs) for letter, pairs in found.items()}


@figure
def gates(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 5.2))
    panel.plot([0, 1], [1, 0], color=theme.backward, linewidth=1.2, linestyle="--", zorder=1)
    for kind in ("LSTM", "GRU"):
        for letter, marker in (("a", "o"), ("b", "s")):
            keep, write = gate_means(kind)[letter].T
            panel.scatter(keep, write, s=36, marker=marker, facecolors=getattr(theme, COLOURS[kind]), alpha=0.75,
                          linewidths=0, label=f"{kind}, буквы {letter}", zorder=3)  # fmt: skip
    for x, y, text, horizontal, vertical in (
        (0.03, 0.03, "стереть", "left", "bottom"), (0.97, -0.05, "хранить", "right", "top"),
        (0.0, 1.05, "заменить", "left", "bottom"), (1.0, 1.05, "копить", "right", "bottom"),
    ):  # fmt: skip
        panel.text(x, y, text, ha=horizontal, va=vertical, color=theme.muted)
    panel.text(0.33, 0.55, "GRU: только\nэта прямая", color=theme.backward, ha="right", va="top")
    panel.set(xlim=(-0.06, 1.08), ylim=(-0.14, 1.16), xlabel="доля старого: $f$ или $z$",
              ylabel="доля нового: $i$ или $1-z$")  # fmt: skip
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_ticks([0, 0.25, 0.5, 0.75, 1])
        axis.set_major_formatter(ticks())
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
    return drawing


# --- Memory --------------------------------------------------------------------------------------------------------

KEPT = {0.5: "bad", 0.9: "accent", 0.99: "good"}


def kept(share: float, steps: np.ndarray) -> np.ndarray:
    """What is left of a memory after `steps` steps that each keep `share` of it."""
    return share**steps


def gru_counter(z: float, steps: np.ndarray) -> np.ndarray:
    """State of a GRU unit that starts at 0 and is pulled to n = 1 at every step."""
    return 1 - z**steps


@figure
def memory(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 5.6), sharex=True)
    steps = np.arange(101)
    for share, colour in KEPT.items():
        top.plot(steps, kept(share, steps), color=getattr(theme, colour), label=number(share))
        bottom.plot(steps, gru_counter(share, steps), color=getattr(theme, colour))
    bottom.plot(steps, steps / 100, color=theme.forward, linestyle="--", label="LSTM, $f=i=1$, делено на 100")
    top.set(yscale="log", ylim=(1e-6, 1.6), ylabel="осталось от памяти")
    top.set_yticks([1e-6, 1e-4, 1e-2, 1])
    top.legend(title="$f$ или $z$", loc="lower left", bbox_to_anchor=(0.42, 0.02))
    bottom.set(xlabel="шагов", ylabel="счётчик", ylim=(-0.03, 1.05))
    bottom.yaxis.set_major_formatter(ticks())
    bottom.legend(loc="lower right")
    return drawing
