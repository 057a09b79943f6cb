"""Figures of tm-28: how far a message gets, depth, over-smoothing, 1-WL, homophily, leaking links."""

from functools import cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from scripts.dl import graphs
from scripts.experiments import graph_links, graph_sbm
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot


def draw_edges(panel: Axes, places: np.ndarray, A: np.ndarray, colour: str, width: float = 1.0) -> None:
    pairs = np.argwhere(np.triu(A))
    panel.add_collection(LineCollection(places[pairs], colors=colour, linewidths=width, zorder=1))


def bare(panel: Axes) -> None:
    panel.set_xticks([])
    panel.set_yticks([])
    panel.grid(visible=False)
    for spine in panel.spines.values():
        spine.set_visible(False)


# --- How far a message gets ----------------------------------------------------------------------------------------

HAND_EDGES = ((0, 1), (0, 2), (1, 2), (2, 3), (3, 4), (4, 5), (4, 6))
HAND_PLACES = np.array([[0, 1], [0, -1], [1.1, 0], [2.4, 0], [3.7, 0], [4.8, 1], [4.8, -1]])
HAND_STEPS = (0, 1, 2, 3)


@cache
def hand_states() -> np.ndarray:
    """(steps, 7): S^k x of a graph of seven vertices where x marks vertex 0 (named 1 on the page)."""
    S = graphs.normalized(graphs.adjacency(7, HAND_EDGES))
    x = np.eye(7)[0]
    return np.stack([graphs.propagate(S, x, steps) for steps in HAND_STEPS])


@figure
def messages(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(4, 1, figsize=(WIDTH, 6.8))
    A = graphs.adjacency(7, HAND_EDGES)
    shades = LinearSegmentedColormap.from_list("heard", [theme.surface, theme.forward])
    for panel, steps, state in zip(panels, HAND_STEPS, hand_states(), strict=True):
        draw_edges(panel, HAND_PLACES, A, theme.muted)
        panel.scatter(*HAND_PLACES.T, s=330, c=state, cmap=shades, vmin=0, vmax=0.6, edgecolors=theme.muted, zorder=2)
        for v, ((x, y), value) in enumerate(zip(HAND_PLACES, state, strict=True)):
            if value > 0.4:
                panel.text(x, y, str(v + 1), ha="center", va="center", color=theme.background, zorder=3)
            else:
                panel.text(x, y, str(v + 1), ha="center", va="center", zorder=3)
            if value > 0:
                panel.text(x + 0.24, y, number(value, 2), va="center", color=theme.ink, zorder=3,
                           bbox={"facecolor": theme.background, "edgecolor": "none", "pad": 1})  # fmt: skip
        panel.set_title("вход" if steps == 0 else f"$k={steps}$", loc="left")
        panel.set(xlim=(-0.4, 5.6), ylim=(-1.6, 1.6))
        bare(panel)
    return drawing


# --- Depth ---------------------------------------------------------------------------------------------------------

SHOWN_TITLES = (("mlp", "MLP, 2 слоя"), ("two", "GCN, 2 слоя"), ("eight", "GCN, 8 слоёв"))
CLASS_COLOURS, CLASS_MARKS = ("forward", "backward", "good"), ("o", "s", "^")


@figure
def depth(theme: Theme) -> Figure:
    found, data = graph_sbm.by_depth(), graph_sbm.sample(0)
    drawing = pyplot.figure(figsize=(WIDTH, 5.9))
    grid = drawing.add_gridspec(2, 3, height_ratios=(1.0, 1.75))
    for column, (name, title) in enumerate(SHOWN_TITLES):
        panel = drawing.add_subplot(grid[0, column])
        for label, (colour, mark) in enumerate(zip(CLASS_COLOURS, CLASS_MARKS, strict=True)):
            points = found[f"shown_{name}"][data.labels == label]
            panel.scatter(*points.T, s=7, color=getattr(theme, colour), marker=mark, linewidths=0)
        panel.set_title(title)
        panel.set_xticks([])
        panel.set_yticks([])
        panel.grid(visible=False)
    panel = drawing.add_subplot(grid[1, :])
    lines = (("mlp", "MLP", "muted", ":", "D"), ("gcn", "GCN", "bad", "-", "o"),
             ("residual", "GCN с остаточными связями", "good", "--", "s"))  # fmt: skip
    for kind, label, colour, line, mark in lines:
        panel.plot(graph_sbm.DEPTHS, found[f"{kind}_test"].mean(axis=1), color=getattr(theme, colour), linestyle=line,
                   marker=mark, markersize=5, label=label)  # fmt: skip
    panel.plot(graph_sbm.DEPTHS, found["gcn_train"].mean(axis=1), color=theme.accent, linestyle="-.", marker="v",
               markersize=5, label="GCN, на обучающих метках")  # fmt: skip
    panel.axhline(1 / 3, color=theme.muted, linewidth=0.8)
    panel.set(xlabel="число слоёв", ylabel="точность", ylim=(0.25, 1.05), xscale="log")
    panel.set_xticks(graph_sbm.DEPTHS, graph_sbm.DEPTHS)
    panel.minorticks_off()
    panel.yaxis.set_major_formatter(ticks(1))
    panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncol=2, columnspacing=1.2)
    return drawing


# --- Over-smoothing ------------------------------------------------------------------------------------------------

LONGEST, RESTART = 16, 0.1


@cache
def cosines() -> dict[str, np.ndarray]:
    """Mean cosine of rows after 0 to LONGEST steps on the first graph of the experiment on depth.

    plain: D̃^(-1/2) S^k X. inside, outside: its pairs of one class and of two. restart: the input is added each step.
    """
    data = graph_sbm.sample(0)
    S = graphs.normalized(data.A)
    root = np.sqrt(data.A.sum(axis=1) + 1)[:, None]
    same = data.labels[:, None] == data.labels
    off = ~np.eye(len(same), dtype=bool)
    found: dict[str, list[float]] = {"plain": [], "inside": [], "outside": [], "restart": []}
    for steps in range(LONGEST + 1):
        H = graphs.propagate(S, data.X, steps) / root
        unit = H / np.linalg.norm(H, axis=1, keepdims=True)
        cosine = unit @ unit.T
        found["plain"].append(graphs.mean_cosine(H))
        found["inside"].append(cosine[same & off].mean())
        found["outside"].append(cosine[~same].mean())
        found["restart"].append(graphs.mean_cosine(graphs.propagate(S, data.X, steps, RESTART) / root))
    return {name: np.array(values) for name, values in found.items()}


@figure
def smoothing(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.9))
    steps = np.arange(LONGEST + 1)
    lines = (("inside", "пары одного класса", "good", "--", "^"), ("plain", "все пары", "forward", "-", "o"),
             ("outside", "пары разных классов", "bad", "-.", "v"),
             ("restart", "все пары, с возвратом ко входу", "accent", ":", "s"))  # fmt: skip
    for name, label, colour, line, mark in lines:
        panel.plot(steps, cosines()[name], color=getattr(theme, colour), linestyle=line, marker=mark, markersize=4,
                   label=label)  # fmt: skip
    panel.set(xlabel="шагов $k$", ylabel="средний косинус строк", ylim=(-0.12, 1.05))
    panel.yaxis.set_major_formatter(ticks(1))
    panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncol=2, columnspacing=1.2)
    return drawing


# --- Colours -------------------------------------------------------------------------------------------------------


def circle(n: int, middle: float = 0.0, turn: float = 0.0) -> np.ndarray:
    angles = 2 * np.pi * np.arange(n) / n + np.pi / 2 + turn
    return np.stack([middle + np.cos(angles), np.sin(angles)], axis=1)


def told_apart_pair() -> tuple[np.ndarray, np.ndarray]:
    """Two trees with equal degrees: a path of five vertices with a leaf at its second, or at its third."""
    chain = [(v, v + 1) for v in range(4)]
    return graphs.adjacency(6, [*chain, (1, 5)]), graphs.adjacency(6, [*chain, (2, 5)])


@cache
def colourings() -> dict[str, list[np.ndarray]]:
    """Rounds of 1-WL, equal names in both graphs of a pair: `cycles` C6 and 2 C3, `trees`."""
    pairs = {
        "cycles": (graphs.cycle(6), graphs.disjoint_union(graphs.cycle(3), graphs.cycle(3))),
        "trees": told_apart_pair(),
    }
    return {
        name: graphs.colour_refinement(graphs.disjoint_union(*pair), np.zeros(12, dtype=int))
        for name, pair in pairs.items()
    }


TREE_PLACES = tuple(np.array([*[(1.0 * v, 0.0) for v in range(5)], (branch, 1.0)]) for branch in (1.0, 2.0))
PAIR_PLACES = {
    "cycles": (circle(6) * 1.1 + [2.0, 0], np.concatenate([circle(3, 0.8), circle(3, 3.2)])),
    "trees": TREE_PLACES,
}
PALETTE, MARKS = ("forward", "backward", "good", "extra", "accent", "bad", "muted", "ink"), "os^Dv*Ph"


@figure
def colours(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(3, 2, figsize=(WIDTH, 5.6), height_ratios=(1.35, 1, 1))
    pairs = {
        "cycles": (graphs.cycle(6), graphs.disjoint_union(graphs.cycle(3), graphs.cycle(3))),
        "trees": told_apart_pair(),
    }
    rows = (("cycles", -1), ("trees", 1), ("trees", 2))
    for row, (name, step) in zip(panels, rows, strict=True):
        both = colourings()[name][step]
        for side, panel in enumerate(row):
            places, chosen = PAIR_PLACES[name][side], both[6 * side : 6 * side + 6]
            draw_edges(panel, places, pairs[name][side], theme.muted, 1.4)
            for colour in np.unique(chosen):
                mine = places[chosen == colour]
                panel.scatter(*mine.T, s=150, color=getattr(theme, PALETTE[colour]), marker=MARKS[colour], zorder=2)
            if name == "cycles":
                panel.set_title(("кольцо: один цвет", "треугольники: тот же")[side])
            else:
                panel.set_title(f"раунд {step}: цветов {len(np.unique(chosen))}")
            panel.set(xlim=(-0.6, 4.6), ylim=(-0.6, 1.6) if name == "trees" else (-1.5, 1.5))
            bare(panel)
    return drawing


# --- Homophily -----------------------------------------------------------------------------------------------------


@figure
def homophily(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.9))
    found = graph_sbm.by_homophily()
    lines = (("mlp", "MLP, без графа", "muted", ":", "D"), ("gcn", "GCN", "bad", "-", "o"),
             ("sage", "GraphSAGE: свои веса для себя", "good", "--", "s"))  # fmt: skip
    for kind, label, colour, line, mark in lines:
        runs = found[kind]
        panel.plot(graph_sbm.HOMOPHILIES, runs.mean(axis=1), color=getattr(theme, colour), linestyle=line, marker=mark,
                   markersize=5, label=label)  # fmt: skip
        if kind != "mlp":
            panel.fill_between(graph_sbm.HOMOPHILIES, runs.min(axis=1), runs.max(axis=1), color=getattr(theme, colour),
                               alpha=0.15, linewidth=0)  # fmt: skip
    panel.axvline(1 / 3, color=theme.muted, linewidth=0.8)
    panel.set(xlabel="доля рёбер внутри класса", ylabel="точность", ylim=(0.45, 1.02))
    panel.xaxis.set_major_formatter(ticks(1))
    panel.yaxis.set_major_formatter(ticks(1))
    panel.legend(loc="lower right")
    return drawing


# --- Leaking links -------------------------------------------------------------------------------------------------


@figure
def leak(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.0))
    found = graph_links.leakage()
    rows = (("blocks_seen", "классы: честно", "good"), ("blocks_all", "классы: с утечкой", "bad"),
            ("random_seen", "случайный: честно", "good"), ("random_all", "случайный: с утечкой", "bad"))  # fmt: skip
    for height, (name, _, colour) in enumerate(rows):
        runs = found[name]
        panel.barh(-height, runs.mean(), height=0.62, color=getattr(theme, colour), alpha=0.35, zorder=2)
        panel.scatter(runs, np.full(len(runs), -height), s=14, color=getattr(theme, colour), zorder=3)
        panel.text(0.87, -height, number(runs.mean(), 2), va="center")
    panel.axvline(0.5, color=theme.muted, linewidth=1.0, zorder=4)
    panel.set_yticks(-np.arange(len(rows)), [label for _, label, _ in rows])
    panel.set(xlim=(0.4, 0.93), xlabel="AUC на спрятанных рёбрах")
    panel.xaxis.set_major_formatter(ticks(1))
    panel.grid(axis="y", visible=False)
    return drawing
