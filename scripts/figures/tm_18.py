"""Figures of tm-18: waves, rotations and biases of positions, and how far beyond the training length they reach."""

from functools import cache

import numpy as np
from matplotlib.figure import Figure

from scripts.dl import positional_encoding as pe
from scripts.experiments import positions
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

# --- Accuracy beyond the training length ---------------------------------------------------------------------------

BLOCK = 4  # positions averaged in a line
RELATIVE = (
    ("shaw", "Шоу", "good", "-"),
    ("rope", "RoPE", "forward", "-"),
    ("t5", "T5", "accent", "-"),
    ("alibi", "ALiBi", "extra", "-"),
)
ABSOLUTE = (
    ("sinusoidal", "синусоиды", "forward", "-"),
    ("learned", "обучаемая таблица", "backward", "--"),
    ("none", "без позиций", "muted", "-"),
)


@cache
def accuracy(kind: str) -> np.ndarray:
    """Share of right answers at each position from BACK on, (LONG - BACK,), the mean of the seeds."""
    return positions.three_back(kind)["accuracy"].mean(axis=0)


def places() -> np.ndarray:
    """Positions of `accuracy`, counted from 1 as lengths are."""
    return np.arange(positions.BACK, positions.LONG) + 1


def _blocks(values: np.ndarray) -> np.ndarray:
    """Means of BLOCK neighbours; the first ones, less than BLOCK, are left out."""
    return values[len(values) % BLOCK :].reshape(-1, BLOCK).mean(axis=1)


def _beyond(theme: Theme, panel) -> None:
    panel.axvspan(positions.SHORT + 0.5, positions.LONG, color=theme.surface, linewidth=0, zorder=0)
    panel.axhline(1 / positions.VOCABULARY, color=theme.muted, linewidth=1, linestyle=":")
    panel.set(xlim=(3, positions.LONG), ylim=(0, 1.04), ylabel="доля верных")
    panel.set_xticks([4, 32, 64, 96, 128])
    panel.yaxis.set_major_formatter(ticks())


@figure
def three_back(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 5.6), sharex=True)
    titles = ("Относительные", "Абсолютные и без позиций")
    for panel, kinds, title in zip(panels, (RELATIVE, ABSOLUTE), titles, strict=True):
        _beyond(theme, panel)
        for kind, label, colour, line in kinds:
            panel.plot(_blocks(places()), _blocks(accuracy(kind)), color=getattr(theme, colour), linestyle=line,
                       label=label)  # fmt: skip
        panel.set_title(title)
        panel.legend(loc="center left" if kinds is RELATIVE else "upper right", ncol=2 if kinds is RELATIVE else 1)
    panels[0].get_legend().set_loc((0.02, 0.36))
    panels[1].annotate("длиннее обучения", (36, 0.5), color=theme.muted)
    panels[0].annotate("угадывание", (100, 0.085), color=theme.muted, fontsize=9)
    panels[1].set_xlabel("позиция")
    return drawing


# --- Waves ---------------------------------------------------------------------------------------------------------

TABLE_T, TABLE_D, KERNEL_D = 64, 64, 128


OFFSETS = np.arange(-100, 101)


@cache
def rotary_scores() -> np.ndarray:
    """qᵀ R_Δ k / d for Δ of OFFSETS: a random query and another random key, both of unit variance."""
    q, k = np.random.default_rng(4).standard_normal((2, KERNEL_D))
    return pe.rotate(np.tile(k, (len(OFFSETS), 1)), OFFSETS) @ q / KERNEL_D


@figure
def waves(theme: Theme) -> Figure:
    drawing, (top, middle) = pyplot.subplots(2, 1, figsize=(WIDTH, 5.6), height_ratios=(1, 1))
    table = pe.sinusoidal(np.arange(TABLE_T), TABLE_D)
    mesh = top.pcolormesh(table.T, cmap=theme.diverging, vmin=-1, vmax=1, rasterized=True)
    top.set(xlabel="позиция $p$", ylabel="координата")
    top.set_title("Вектор позиции")
    top.invert_yaxis()
    top.grid(visible=False)
    bar = drawing.colorbar(mesh, ax=top, ticks=[-1, 0, 1])
    bar.ax.yaxis.set_major_formatter(ticks())
    bar.outline.set_visible(False)
    kernel = pe.sinusoidal_kernel(OFFSETS, KERNEL_D) / (KERNEL_D / 2)
    middle.plot(OFFSETS, kernel, color=theme.forward, label="синусоиды")
    middle.plot(OFFSETS, rotary_scores(), color=theme.backward, linewidth=1.3, label="RoPE, случайные $q$, $k$")
    middle.set(xlabel="сдвиг", ylabel="скалярное\nпроизведение", ylim=(-0.35, 1.05))
    middle.set_title("Сходство двух позиций")
    middle.yaxis.set_major_formatter(ticks())
    middle.legend(loc="upper right")
    return drawing


# --- Rotation of one pair ------------------------------------------------------------------------------------------

PAIR_OMEGA = 0.3
PAIR_PLACES = ((2, 5), (8, 11))  # of the key and of the query


@cache
def turned_pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    """The key and the query of one pair of coordinates, turned to each of PAIR_PLACES."""
    k, q, omega = np.array([[1.0, 0.15]]), np.array([[0.75, 0.55]]), np.array([PAIR_OMEGA])
    return [(pe.rotate(k, [n], omega)[0], pe.rotate(q, [m], omega)[0]) for n, m in PAIR_PLACES]


@figure
def rotation(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(1, 2, figsize=(WIDTH, 3.0))
    for panel, (n, m), (k, q) in zip(panels, PAIR_PLACES, turned_pairs(), strict=True):
        circle = np.linspace(0, 2 * np.pi, 100)
        panel.plot(np.cos(circle), np.sin(circle), color=theme.grid, linewidth=1)
        for vector, name, colour in ((k, f"$k$, позиция {n}", "backward"), (q, f"$q$, позиция {m}", "forward")):
            hue = getattr(theme, colour)
            panel.annotate("", vector, (0, 0), arrowprops={"arrowstyle": "-|>", "color": hue, "linewidth": 1.8})
            panel.annotate(name, vector * 1.25, ha="center", va="center", color=hue)
        panel.set_title(f"произведение {number(q @ k, 2)}", loc="center")
        panel.set(xlim=(-1.6, 1.6), ylim=(-1.35, 1.45), aspect="equal")
        panel.axis("off")
    return drawing


# --- Biases against the distance -----------------------------------------------------------------------------------


@figure
def biases(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 5.2))
    distance, fine = np.arange(129), np.geomspace(1, 128, 200)
    colours = pyplot.get_cmap(theme.sequential)(np.linspace(0.4, 0.95, 8))
    for slope, colour in zip(pe.alibi_slopes(8), colours, strict=True):
        top.plot(fine, np.exp(-slope * fine), color=colour, linewidth=1.5)
        x = min(np.log(2) / slope, 105)
        top.annotate(f"1/{1 / slope:.0f}", (x, np.exp(-slope * x)), (3, 3), textcoords="offset points", fontsize=9)
    top.set(ylim=(0, 1.05), ylabel="множитель $e^{-m(u-v)}$")
    top.set_title("ALiBi: восемь голов и их $m$")
    top.yaxis.set_major_formatter(ticks())
    causal, both = (pe.t5_bucket(-distance, causal=kind) for kind in (True, False))
    bottom.step(distance, causal, where="post", color=theme.forward, label="декодер: 32 на прошлое")
    bottom.step(distance, both, where="post", color=theme.backward, label="кодировщик: 16 на сторону")
    bottom.set(ylim=(0, 33), xlabel="расстояние $u-v$", ylabel="номер корзины")
    bottom.set_title("Корзины T5")
    bottom.legend(loc="upper left")
    for panel in (top, bottom):
        panel.set(xscale="log", xlim=(1, 128))
        panel.set_xticks([1, 2, 4, 8, 16, 32, 64, 128], ["1", "2", "4", "8", "16", "32", "64", "128"])
        panel.minorticks_off()
    return drawing
