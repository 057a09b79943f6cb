"""Figures of tm-27: similarities before and after training, temperatures, two clouds of vectors, the bound."""

from functools import cache

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from scripts.dl import contrastive as ct
from scripts.experiments import tiny_clip as tc
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

# --- Similarities ----------------------------------------------------------------------------------------------------

SIGNS = ("●", "■", "▲", "✚")  # circle, square, triangle, cross


@figure
def matrices(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(1, 2, figsize=(WIDTH, 3.7), sharey=True)
    found = tc.similarity()
    for panel, name, title in zip(panels, ("before", "after"), ("до обучения", "после 600 шагов"), strict=True):
        picture = panel.imshow(found[name], cmap=theme.diverging, vmin=-1, vmax=1, interpolation="nearest")
        panel.set_title(title)
        for c in tc.UNSEEN:
            panel.add_patch(Rectangle((c - 0.5, c - 0.5), 1, 1, fill=False, edgecolor=theme.accent, linewidth=2))
        for edge in (3.5, 7.5, 11.5):
            panel.axhline(edge, color=theme.background, linewidth=1)
            panel.axvline(edge, color=theme.background, linewidth=1)
        panel.set_xticks(range(16), SIGNS * 4, fontsize=8.5)
        panel.set_yticks(range(16), SIGNS * 4, fontsize=8.5)
        panel.tick_params(length=0)
        panel.grid(visible=False)
        for i, colour in enumerate(("красн.", "зелён.", "син.", "жёлт.")):
            panel.text(4 * i + 1.5, 18.0, colour, ha="center", va="center", fontsize=8.5)
        panel.set_xlabel("подпись", labelpad=19)
    panels[0].set_ylabel("картинка (порядок тот же)")
    bar = drawing.colorbar(picture, ax=panels, orientation="horizontal", fraction=0.05, pad=0.02, aspect=40)
    bar.set_label("средний косинус")
    bar.ax.xaxis.set_major_formatter(ticks())
    bar.outline.set_visible(False)
    return drawing


# --- Temperatures ----------------------------------------------------------------------------------------------------

TEMPERATURES = ("0.01", "learned", "1")
NAMES = {"0.01": "$\\tau=0{,}01$", "learned": "$\\tau$ обучается", "1": "$\\tau=1$"}


@cache
def floor() -> float:
    """Least loss of the toy: 48 pairs of 12 kinds."""
    return ct.duplicate_floor(tc.BATCH, len(tc.SEEN))


def result(name: str) -> dict[str, np.ndarray]:
    """The record of the run with this temperature, seed 0."""
    return tc.tiny_clip() if name == "learned" else tc.tiny_clip(name)


@figure
def temperatures(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 5.6), height_ratios=(3, 2))
    looks = {"0.01": ("bad", "--"), "learned": ("good", "-"), "1": ("forward", "-.")}
    window = 10
    for name in TEMPERATURES:
        loss = result(name)["loss"].reshape(-1, window).mean(axis=1)
        colour, line = looks[name]
        top.plot(window * (np.arange(len(loss)) + 0.5), loss, color=getattr(theme, colour), linestyle=line,
                 label=NAMES[name])  # fmt: skip
    for height, label, below in ((np.log(tc.BATCH), "$\\log 48$", 4), (floor(), "предел из-за дубликатов", -13)):
        top.axhline(height, color=theme.muted, linewidth=1, linestyle=":")
        top.annotate(label, (610, height), xytext=(0, below), textcoords="offset points", color=theme.muted, ha="right")
    top.set(xlabel="шаг", ylabel="потери", ylim=(0.9, 5.2))
    top.yaxis.set_major_formatter(ticks())
    top.legend(loc="upper right", ncol=3, columnspacing=1.0)
    kinds = (("right", "своя подпись", "good"), ("best_wrong", "лучшая чужая", "accent"), ("wrong", "чужие", "bad"))
    for i, (kind, label, colour) in enumerate(kinds):
        values = [result(name)[kind].item() for name in TEMPERATURES]
        bars = bottom.bar(np.arange(3) + 0.27 * (i - 1), values, 0.25, color=getattr(theme, colour), label=label)
        for bar, value in zip(bars, values, strict=True):
            place = bar.get_x() + bar.get_width() / 2, max(value, 0)
            bottom.annotate(number(round(value, 2) + 0.0, 2), place, xytext=(0, 2), textcoords="offset points",
                            ha="center", fontsize=8.5)  # fmt: skip
    bottom.axhline(0, color=theme.muted, linewidth=0.8)
    bottom.set(ylabel="средний косинус", ylim=(-0.15, 1.2))
    bottom.set_xticks(range(3), [NAMES[name] for name in TEMPERATURES])
    bottom.yaxis.set_major_formatter(ticks())
    bottom.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncol=3, columnspacing=1.0)
    return drawing


# --- Clouds ----------------------------------------------------------------------------------------------------------


@figure
def clouds(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(1, 2, figsize=(WIDTH, 3.5))
    found = tc.clouds()
    colours = (theme.bad, theme.good, theme.forward, theme.accent)
    for panel, name, title in zip(panels, ("before", "after"), ("до обучения", "после"), strict=True):
        for kinds, side, marker, size in (
            ("kinds", "pictures", "o", 9),
            ("caption_kinds", "captions", "*", 75),
        ):
            colour = [colours[c // 4] for c in found[kinds]]
            edge = theme.ink if side == "captions" else "none"
            x, y = found[f"{side}_{name}"].T
            panel.scatter(x, y, s=size, c=colour, marker=marker, edgecolors=edge, linewidths=0.7,
                          label={"pictures": "картинка", "captions": "подпись"}[side])  # fmt: skip
        share = round(100 * found[f"share_{name}"].item())
        panel.set_title(f"{title}, {share} % разброса", fontsize=9.5)
        panel.set_aspect("equal", adjustable="datalim")
        panel.xaxis.set_major_formatter(ticks())
        panel.yaxis.set_major_formatter(ticks())
    panels[1].tick_params(labelleft=True)
    legend = panels[0].legend(loc="lower left", bbox_to_anchor=(0, 1.1), ncol=2)
    for handle in legend.legend_handles:
        handle.set_facecolor(theme.muted)
    return drawing


# --- The bound -------------------------------------------------------------------------------------------------------

RHO, DIMENSIONS = 0.9, (1, 4, 10)
SIZES = 2 ** np.arange(1, 11)
SCORES = 2**21  # computed for every batch size


@cache
def bounds() -> np.ndarray:
    """log B - L of the best critic, (len(DIMENSIONS), len(SIZES)).

    The mean score of a right pair is known to be I; what the sample has more than that is taken off the estimate.
    """
    found = np.zeros((len(DIMENSIONS), len(SIZES)))
    for row, dimension in enumerate(DIMENSIONS):
        for column, size in enumerate(SIZES):
            rng = np.random.default_rng([dimension, int(size)])
            X = rng.standard_normal((min(SCORES // int(size) ** 2, 2**13), size, dimension))
            Y = RHO * X + np.sqrt(1 - RHO**2) * rng.standard_normal(X.shape)
            scores = ct.gaussian_log_ratio(X, Y, RHO)
            luck = np.diagonal(scores, axis1=1, axis2=2).mean() - ct.gaussian_information(RHO, dimension)
            found[row, column] = ct.information_bound(scores) - luck
    return found


@figure
def bound(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.0))
    panel.plot(SIZES, np.log(SIZES), color=theme.muted, linestyle=":", label="$\\log B$")
    styles = (("good", "-", "o"), ("forward", "--", "s"), ("backward", "-.", "^"))
    for dimension, values, (colour, line, marker) in zip(DIMENSIONS, bounds(), styles, strict=True):
        panel.plot(SIZES, values, color=getattr(theme, colour), linestyle=line, marker=marker, markersize=5,
                   label=f"размерность {dimension}")  # fmt: skip
        truth = ct.gaussian_information(RHO, dimension)
        panel.axhline(truth, color=getattr(theme, colour), linewidth=0.9)
        panel.annotate(f"$I={number(truth, 2).replace(',', '{,}')}$", (SIZES[-1], truth), xytext=(0, 3),
                       textcoords="offset points", color=getattr(theme, colour), ha="right")  # fmt: skip
    panel.set(xscale="log", xlabel="батч $B$", ylabel="$\\log B-\\mathcal{L}$, нат", ylim=(0, 9.3))
    panel.set_xticks(SIZES, SIZES)
    panel.minorticks_off()
    panel.yaxis.set_major_formatter(ticks())
    panel.legend(loc="upper left", bbox_to_anchor=(0.0, 0.88))
    return drawing
