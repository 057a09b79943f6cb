"""Figures of tm-19: what BERT's input looks like, what a gap is filled from, and what fine-tuning needs."""

from functools import cache

import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from scripts.dl import masked_lm as mlm
from scripts.experiments import templates as t
from scripts.experiments import tiny_bert as tb
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

# --- Masking -------------------------------------------------------------------------------------------------------

# The pieces are cut by hand; ## continues a word.
PIECES = ("[CLS]", "каждая", "не", "##счаст", "##ливая", "семья", "не", "##счаст", "##лива", "по", "##-своему", "[SEP]")
PASSES = 26
UNTOUCHED, MASKED, SWAPPED, KEPT = range(4)
_OTHER = 2  # stands for any random token: only the kind of the change is drawn


@cache
def kinds(whole_words: bool) -> np.ndarray:
    """What happens to each piece in each pass, (pieces, PASSES), one of UNTOUCHED, MASKED, SWAPPED, KEPT."""
    ordinary = np.array([piece not in ("[CLS]", "[SEP]") for piece in PIECES])
    starts = np.array([not piece.startswith("##") for piece in PIECES])
    rng, found = np.random.default_rng(27), []
    tokens = ordinary.astype(int)  # 0: special, 1: ordinary; the mask is -1
    for _ in range(PASSES):
        chosen = mlm.choose_words(starts, rng) & ordinary if whole_words else mlm.choose(tokens, (0,), rng)
        noisy = mlm.corrupt(tokens, chosen, -1, [_OTHER], rng)
        kept = np.where(chosen, KEPT, UNTOUCHED)
        found.append(np.where(noisy == -1, MASKED, np.where(noisy == _OTHER, SWAPPED, kept)))
    return np.array(found).T


@figure
def masking(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 6.6), sharex=True)
    colours = (theme.surface, theme.forward, theme.backward, theme.good)
    picture = {
        "cmap": ListedColormap(colours),
        "norm": BoundaryNorm(np.arange(5) - 0.5, 4),
        "edgecolors": theme.background,
    }
    titles = {False: "токены порознь", True: "целыми словами"}
    for panel, (whole_words, title) in zip(panels, titles.items(), strict=True):
        panel.pcolormesh(kinds(whole_words), linewidth=1.5, **picture)
        panel.invert_yaxis()
        panel.set_yticks(np.arange(len(PIECES)) + 0.5, PIECES)
        panel.set_title(title, fontweight="normal")
        panel.grid(visible=False)
        panel.tick_params(length=0)
        for spine in panel.spines.values():
            spine.set_visible(False)
    panels[1].set_xticks(np.array([1, 5, 10, 15, 20, 25]) - 0.5, [1, 5, 10, 15, 20, 25])
    panels[1].set_xlabel("который раз модель видит предложение")
    names = ("[MASK]", "случайный токен", "оставлен, но спрошен")
    handles = [Patch(color=colour, label=name) for colour, name in zip(colours[1:], names, strict=True)]
    drawing.legend(handles=handles, loc="outside upper center", ncol=3)
    return drawing


# --- Contexts ------------------------------------------------------------------------------------------------------

GROUPS = ("королева", "король", "другие женские", "другие мужские", "не существительное")


@cache
def mass() -> dict[str, np.ndarray]:
    """Probability of each of GROUPS at the gap, (5,), by context."""
    nouns = np.array([[t.INDEX[noun] for noun in pair[:2]] for pair in t.PAIRS])  # (pairs, 2): he, she
    found = {}
    for name, p in tb.contexts().items():
        he, she = p[nouns[:, 0]], p[nouns[:, 1]]
        found[name] = np.array([she[0], he[0], she[1:].sum(), he[1:].sum(), 1 - he.sum() - she.sum()])
    return found


@figure
def contexts(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.0))
    colours = (theme.good, theme.bad, theme.forward, theme.backward, theme.muted)
    rows = {
        "none": "ничего:\n? ? ? ? ?",
        "left": "слева:\nправит ? ? ? ?",
        "right": "справа:\n? ? потому что счастлива",
        "both": "всё:\nправит ? потому что счастлива",
    }
    left = np.zeros(len(rows))
    shares = np.array([mass()[name] for name in rows])
    for group, label, colour in zip(shares.T, GROUPS, colours, strict=True):
        panel.barh(np.arange(len(rows)), group, left=left, height=0.55, color=colour, label=label)
        for row, (start, share) in enumerate(zip(left, group, strict=True)):
            if share > 0.07:
                panel.text(start + share / 2, row, number(share, 2), ha="center", va="center", color=theme.background)
        left = left + group
    panel.invert_yaxis()
    panel.set_yticks(np.arange(len(rows)), rows.values())
    panel.set(xlim=(0, 1), xlabel="вероятность на месте подлежащего")
    panel.xaxis.set_major_formatter(ticks())
    panel.grid(axis="y", visible=False)
    drawing.legend(loc="outside upper center", ncol=3)
    return drawing


# --- Fine-tuning ---------------------------------------------------------------------------------------------------


@cache
def accuracies(line: str) -> np.ndarray:
    """(labels, seeds), for one of STARTS or one of READS."""
    experiment = tb.accuracy if line in tb.STARTS else tb.probe
    return np.array([experiment(line, labels)["accuracy"] for labels in tb.LABELS])


@figure
def fine_tuning(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.2))
    lines = {
        "fine-tuned": ("дообучение всей сети", theme.good, "o", "-"),
        "scratch": ("с нуля, шагов втрое больше", theme.bad, "s", "-"),
        "words": ("сеть заморожена, голова по всем словам", theme.forward, "^", "--"),
        "cls": ("сеть заморожена, голова по [CLS]", theme.accent, "v", "--"),
    }
    for name, (label, colour, marker, line) in lines.items():
        found = accuracies(name)
        panel.plot(
            tb.LABELS, found.mean(axis=1), color=colour, marker=marker, linestyle=line, markersize=6, label=label
        )
        panel.plot(tb.LABELS, found, color=colour, marker=".", linestyle="none", markersize=5, alpha=0.6)
    panel.axhline(0.5, color=theme.muted, linewidth=1, linestyle=":")
    panel.set(xscale="log", ylim=(0.42, 1.03), xlabel="размеченных предложений", ylabel="доля верных ответов")
    panel.set_xticks(tb.LABELS, tb.LABELS)
    panel.minorticks_off()
    panel.yaxis.set_major_formatter(ticks())
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=1)
    return drawing
