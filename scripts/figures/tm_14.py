"""Figures of tm-14: what attention adds to a recurrent encoder–decoder, measured on strings turned back to front."""

from functools import cache

import numpy as np
from matplotlib.figure import Figure

from scripts.dl import attention_scores as att
from scripts.experiments import reversal as runs
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.schemes import arrow, box
from scripts.figures.style import WIDTH, Theme, pyplot

ALPHABET = "абвгдежзиклм"  # the letters of the experiment, for the eye
NETWORKS = {  # name -> score, width
    "none": ("none", runs.WIDTH),
    "wide": ("none", 2 * runs.WIDTH),
    "additive": ("additive", runs.WIDTH),
    "general": ("general", runs.WIDTH),
}
CROSSED = {  # the scores with each other's time of reading
    "additive after": ("additive", "after"),
    "general before": ("general", "before"),
}
LOOKS = {  # name -> label, colour, line, marker
    "none": ("без внимания, $H=64$", "bad", "-", "o"),
    "wide": ("без внимания, $H=128$", "accent", "--", "s"),
    "additive": ("additive, Bahdanau", "forward", "-", "^"),
    "general": ("general, Luong", "good", "-", "D"),
}


def run(name: str, seed: int) -> runs.Result:
    if name in CROSSED:
        return runs.reversal(*CROSSED[name], runs.WIDTH, seed)
    score, width = NETWORKS[name]
    return runs.reversal(score, runs.KINDS[score], width, seed)


@cache
def measured(name: str, quantity: str) -> np.ndarray:
    """`quantity` of all seeds, (SEEDS, …)."""
    return np.array([run(name, seed)[quantity] for seed in range(runs.SEEDS)])


def mean_at(name: str, quantity: str, length: int) -> float:
    """Mean over the seeds at one length of the strings."""
    return float(measured(name, quantity)[:, runs.LENGTHS.index(length)].mean())


# --- Length --------------------------------------------------------------------------------------------------------


@figure
def lengths(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 5.8), sharex=True)
    for panel, quantity, label in zip(
        panels, ("greedy", "exact"), ("доля верных букв", "доля верных строк"), strict=True
    ):
        panel.axvspan(*runs.TRAINED, color=theme.grid, alpha=0.45, linewidth=0, zorder=0)
        for name, (text, colour, line, marker) in LOOKS.items():
            found, hue = measured(name, quantity), getattr(theme, colour)
            panel.fill_between(runs.LENGTHS, found.min(axis=0), found.max(axis=0), color=hue, alpha=0.2, linewidth=0)
            panel.plot(runs.LENGTHS, found.mean(axis=0), color=hue, linestyle=line, marker=marker, markersize=4,
                       label=text)  # fmt: skip
        panel.set(ylabel=label, ylim=(-0.03, 1.04))
        panel.yaxis.set_major_formatter(ticks())
    panels[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
    panels[1].set(xlabel="длина строки")
    panels[1].set_xticks([4, 8, 12, 16, 20, 24])
    return drawing


# --- Alignment -----------------------------------------------------------------------------------------------------


def spelt(numbers: np.ndarray) -> list[str]:
    """Letters of a string, the end mark as a point."""
    return [(ALPHABET + "·")[index] for index in numbers]


@cache
def on_diagonals(name: str) -> np.ndarray:
    """Mean weights of the position that is due and of its right neighbour, (SEEDS, 2), at length SHOWN.

    The first step, which has no right neighbour, is left out.
    """
    found = []
    for alpha in measured(name, "alpha_mean"):
        flipped = alpha[:, ::-1]
        found.append([np.diag(flipped)[1:].mean(), np.diag(flipped, -1).mean()])
    return np.array(found)


MAPS = (  # row by row: when the query is made, and with which score
    ("general before", "general, запрос $s_{u-1}$"),
    ("additive", "additive, запрос $s_{u-1}$"),
    ("general", "general, запрос $s_u$"),
    ("additive after", "additive, запрос $s_u$"),
)


@figure
def alignment(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 2, figsize=(WIDTH, 6.6))
    places = np.arange(runs.SHOWN)
    for panel, (name, title) in zip(panels.flat, MAPS, strict=True):
        result = run(name, 0)
        image = panel.imshow(result["alpha"], cmap=theme.sequential, vmin=0, vmax=1)
        for colour, width in (
            (theme.surface, 3.0),
            (theme.backward, 1.4),
        ):  # a rim for bright cells
            panel.scatter(places[::-1], places, s=16, facecolors="none", edgecolors=colour, linewidths=width)
        panel.set_xticks(places, spelt(result["strings"][0]))
        panel.set_yticks(places, spelt(result["strings"][1]))
        panel.set_title(title)
        panel.tick_params(length=0)
        panel.grid(visible=False)
    for panel in panels[:, 0]:
        panel.set_ylabel("выданная буква, шаг $u$")
    for panel in panels[1]:
        panel.set_xlabel("источник, позиция $j$")
    drawing.colorbar(image, ax=panels, location="bottom", label=r"вес $\alpha_{uj}$", ticks=[0, 0.5, 1], format=ticks(),
                     shrink=0.5, aspect=30)  # fmt: skip
    return drawing


# --- Reach ---------------------------------------------------------------------------------------------------------


@figure
def reach(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.6))
    lags = np.arange(runs.REACH)[::-1]
    for name in ("none", "additive", "general"):
        label, colour, line, _ = LOOKS[name]
        found, hue = measured(name, "reach"), getattr(theme, colour)
        panel.fill_between(lags, found.min(axis=0), found.max(axis=0), color=hue, alpha=0.2, linewidth=0)
        panel.plot(lags, np.exp(np.log(found).mean(axis=0)), color=hue, linestyle=line, label=label.split(",")[0])
    panel.set(yscale="log", xlabel="сколько шагов от слова до конца источника", ylabel="норма градиента по слову")
    panel.set_yticks([1e-8, 1e-6, 1e-4, 1e-2])
    panel.legend(loc="lower left")
    return drawing


# --- One step ------------------------------------------------------------------------------------------------------

TOKENS = ("мама", "мыла", "раму")


@cache
def one_step() -> np.ndarray:
    """Weights (3,) of additive attention with random weights: a step of the scheme, not a trained network."""
    rng = np.random.default_rng(93)
    H, S = rng.standard_normal((3, 4)), rng.standard_normal((1, 4))
    W_s, W_h, v = rng.standard_normal((4, 4)), rng.standard_normal((4, 4)), rng.standard_normal(4)
    return att.attend(att.additive_scores(S, H, W_s, W_h, v), H)[1][0]


@figure
def step(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.6))
    panel.set(xlim=(0, 5.6), ylim=(0, 4.6))
    panel.axis("off")
    columns, alpha = (1.95, 3.1, 4.25), one_step()
    for j, (x, word) in enumerate(zip(columns, TOKENS, strict=True), start=1):
        panel.text(x, 0.2, word, ha="center", va="center", color=theme.ink)
        arrow(panel, (x, 0.4), (x, 0.74), theme.muted)
        box(panel, (x, 0.93), (0.86, 0.38), theme, edge=theme.forward, text=f"$h_{j}$")
        if j < len(columns):
            arrow(panel, (x + 0.43, 0.93), (columns[j] - 0.43, 0.93), theme.forward)
    centre = columns[1]
    box(panel, (centre, 2.5), (1.94, 0.38), theme, edge=theme.good, text=r"$c_u=\sum_j\alpha_{uj}h_j$")
    for x, weight in zip(columns, alpha, strict=True):
        start, end = np.array([x, 1.12]), np.array([centre + 0.45 * (x - centre), 2.31])
        arrow(panel, tuple(start), tuple(end), theme.good, width=0.8 + 6 * weight)
        label = start + 0.4 * (end - start)
        panel.text(label[0] + 0.17, label[1], number(weight, 2), color=theme.good, va="center", fontsize=9.5, zorder=5)
    box(panel, (0.75, 3.55), (0.86, 0.38), theme, edge=theme.backward, text="$s_{u-1}$")
    box(panel, (4.1, 3.55), (0.86, 0.38), theme, edge=theme.backward, text="$s_u$")
    arrow(panel, (1.18, 3.55), (3.67, 3.55), theme.backward)
    arrow(panel, (3.45, 2.69), (3.85, 3.35), theme.good, width=2.0)
    arrow(panel, (0.75, 3.36), (0.75, 2.3), theme.backward)
    panel.text(0.75, 2.1, "запрос", color=theme.backward, va="center", ha="center")
    panel.text(0.75, 1.8, "$e_{uj}=a(s_{u-1},h_j)$", color=theme.backward, va="center", ha="center")
    panel.text(0.75, 1.5, r"$\alpha_u=\mathrm{softmax}(e_u)$", color=theme.good, va="center", ha="center")
    arrow(panel, (4.1, 3.74), (4.1, 4.15), theme.muted)
    panel.text(4.1, 4.34, "$p(y_u)$", ha="center", va="center", color=theme.ink, fontsize=11)
    panel.text(5.3, 3.55, "$y_{u-1}$", ha="center", va="center", color=theme.ink, fontsize=11)
    arrow(panel, (5.02, 3.55), (4.53, 3.55), theme.muted)
    arrow(panel, (4.68, 0.93), (5.15, 0.93), theme.muted)
    panel.text(5.2, 0.93, "$s_0$", va="center", color=theme.muted, fontsize=11)
    return drawing
