"""Figures of tm-12: which inputs a stack of dilated layers reaches, and what two trained tasks show of it."""

from functools import cache

import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap, to_rgb
from matplotlib.figure import Figure

from scripts.dl.dilated import path_counts, receptive_field
from scripts.experiments import dilated as experiment
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

# --- Support of a stack --------------------------------------------------------------------------------------------

STACKS = ((1, 1, 1), (2, 2, 2), (1, 2, 5), (1, 3, 9))
REACH = 13  # of the widest of them, to each side


@cache
def support(dilations: tuple[int, ...]) -> np.ndarray:
    """Paths from every input of the plane to one output through layers of 3×3, on the grid (27, 27)."""
    line = path_counts(3, dilations)
    margin = REACH - len(line) // 2
    return np.pad(np.outer(line, line), margin)


def covered(dilations: tuple[int, ...]) -> tuple[int, int]:
    """How many inputs of the receptive field are reached, and how many there are."""
    return int(np.count_nonzero(support(dilations))), receptive_field(3, dilations) ** 2


@figure
def supports(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 2, figsize=(WIDTH, 6.2))
    steps = (0, 1, 2, 5, 10, 50)  # classes of path counts
    paper, blue = np.array(to_rgb(theme.surface)), np.array(to_rgb(theme.forward))
    shades = [tuple(paper + (blue - paper) * share) for share in (0, 0.35, 0.55, 0.75, 1.0)]
    colours, norm = ListedColormap(shades), BoundaryNorm(steps, len(shades))
    for panel, dilations in zip(panels.flat, STACKS, strict=True):
        grid = support(dilations)
        panel.imshow(grid, cmap=colours, norm=norm, interpolation="nearest", extent=(0, len(grid), 0, len(grid)))
        panel.hlines(range(len(grid) + 1), 0, len(grid), color=theme.background, linewidth=0.4)
        panel.vlines(range(len(grid) + 1), 0, len(grid), color=theme.background, linewidth=0.4)
        size = receptive_field(3, dilations)
        corner = REACH - size // 2
        panel.add_patch(
            pyplot.Rectangle((corner, corner), size, size, fill=False, edgecolor=theme.backward, linewidth=1.6)
        )
        panel.plot(REACH + 0.5, REACH + 0.5, "o", color=theme.backward, markersize=4)
        found, total = covered(dilations)
        panel.set_title(f"$d = {', '.join(map(str, dilations))}$\n{found} из {total}", fontweight="normal")
        panel.set(xticks=[], yticks=[], aspect="equal")
        panel.grid(visible=False)
        for spine in panel.spines.values():
            spine.set_visible(False)
    labels = ("нет пути", "1", "2–4", "5–9", "10 и больше")
    handles = [
        pyplot.Rectangle((0, 0), 1, 1, facecolor=shade, edgecolor=theme.muted, linewidth=0.5) for shade in shades
    ]
    drawing.legend(
        handles, labels, loc="outside lower center", ncol=5, title="путей от входа к выходу", handlelength=1.0,
        columnspacing=1.2,
    )  # fmt: skip
    return drawing


# --- A causal network ----------------------------------------------------------------------------------------------

LAG = experiment.LAG


@cache
def edges(dilations: tuple[int, ...], lag: int | None = None) -> list[list[tuple[int, int]]]:
    """Connections used by the output at time 0, layer by layer from the input: (time below, time above).

    With `lag` only those on a path from the input at -lag.
    """
    needed, layers = {0}, []
    for d in reversed(dilations):
        layers.insert(0, sorted((above - d * tap, above) for above in needed for tap in range(3)))
        needed = {below for below, _ in layers[0]}
    if lag is None:
        return layers
    reached, kept = {-lag}, []
    for layer in layers:
        kept.append([edge for edge in layer if edge[0] in reached])
        reached = {above for _, above in kept[-1]}
    return kept


@figure
def causal(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(3, 1, figsize=(WIDTH, 6.8), height_ratios=(2, 2, 3))
    for panel, kind in zip(panels, ("plain", "dilated"), strict=False):
        dilations = experiment.MEMORY_DILATIONS[kind]
        for height, layer in enumerate(edges(dilations)):
            for below, above in layer:
                panel.plot([below, above], [height, height + 1], color=theme.muted, linewidth=0.5, zorder=1)
        for height, layer in enumerate(edges(dilations, LAG)):
            for below, above in layer:
                panel.plot([below, above], [height, height + 1], color=theme.backward, linewidth=1.5, zorder=2)
        for height in range(5):
            panel.plot(range(-31, 1), [height] * 32, ".", color=theme.muted, markersize=3, zorder=1)
        panel.plot([-LAG], [0], "o", color=theme.backward, markersize=6, zorder=3)
        panel.plot([0], [4], "o", color=theme.good, markersize=6, zorder=3)
        field = receptive_field(3, dilations)
        name = {"plain": "обычная", "dilated": "dilation 1, 2, 4, 8"}[kind]
        panel.set_title(f"{name}: поле {field}", fontweight="normal")
        panel.set(xlim=(-32, 1), ylim=(-0.5, 4.5), yticks=[0, 4], yticklabels=["вход", "выход"])
        panel.set_xticks([-30, -24, -18, -LAG, -6, 0])
        panel.xaxis.set_major_formatter(ticks(0))
        panel.grid(visible=False)
    panels[1].set_xlabel("время относительно выхода")
    bottom = panels[2]
    for kind, label, colour in (("plain", "обычная", "bad"), ("dilated", "dilation 1, 2, 4, 8", "good")):
        losses = experiment.memory(kind)["losses"]
        bottom.plot(20 * np.arange(1, len(losses) + 1), losses, color=getattr(theme, colour), label=label)
    bottom.axhline(np.log(2), color=theme.muted, linestyle=":", linewidth=1.2)
    bottom.annotate(r"угадывание: $\log 2$", (800, np.log(2) - 0.02), ha="right", va="top", color=theme.muted)
    bottom.set(xlabel="шаг обучения", ylabel="кросс-энтропия", ylim=(0, 0.75))
    bottom.yaxis.set_major_formatter(ticks())
    bottom.legend(loc="center right", bbox_to_anchor=(1.0, 0.55))
    return drawing


# --- Labels of pixels ----------------------------------------------------------------------------------------------

NAMES = {
    "plain": "обычная",
    "strided": "шаг 2 дважды",
    "lattice": "$d = 4, 4, 4, 4, 4$",
    "dilated": "$d = 1, 2, 4, 8, 1$",
}
SHOWN = 1


def mean_iou(kind: str) -> float:
    return float(experiment.dense(kind)["iou"].mean())


@figure
def dense(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 3, figsize=(WIDTH, 4.5))
    pictures, labels = experiment.test_pictures()
    colours = ListedColormap([theme.surface, theme.forward, theme.accent])
    shown = [("вход", None), ("правильный ответ", labels[SHOWN])]
    shown += [
        (f"{name}\nmIoU {number(mean_iou(kind), 2)}", experiment.dense(kind)["found"][SHOWN])
        for kind, name in NAMES.items()
    ]
    for panel, (title, answer) in zip(panels.flat, shown, strict=True):
        if answer is None:
            panel.imshow(pictures[SHOWN], cmap="gray", vmin=-0.2, vmax=1.2, interpolation="nearest")
        else:
            panel.imshow(answer, cmap=colours, vmin=0, vmax=2, interpolation="nearest")
        panel.set_title(title, fontweight="normal", fontsize=9)
        panel.set(xticks=[], yticks=[])
        panel.grid(visible=False)
        for spine in panel.spines.values():
            spine.set_visible(False)
    return drawing
