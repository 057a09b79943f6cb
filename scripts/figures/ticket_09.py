"""Figures of ticket-09: what each part of a transformer is for, and what the two masks learn from the same text."""

from functools import cache

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from scripts.dl import transformer as tr
from scripts.dl.attention import attention, causal_mask, padding_mask, prefix_mask
from scripts.dl.losses import softmax
from scripts.experiments import induction, norm_placement, templates
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

SMALL = 8.5

# --- The same sentence, two masks ----------------------------------------------------------------------------------

SHOWN = {"noun": ("король", "королева"), "adjective": ("счастлив", "весел", "счастлива", "весела", "спокойна")}


def probability(kind: str, gap: str, word: str) -> float:
    """Probability of `word` in the gap (noun or adjective) of the example; `kind` is causal or bidirectional."""
    return float(templates.gap(kind)[gap][templates.INDEX[word]])


@figure
def gap(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 4.6), height_ratios=(2, 5))
    titles = ("правит [?] потому что счастлива", "правит королева потому что [?]")
    colours = {"causal": theme.backward, "bidirectional": theme.forward}
    labels = {"causal": "видит только левое (GPT)", "bidirectional": "видит обе стороны (BERT)"}
    for panel, title, (name, words) in zip(panels, titles, SHOWN.items(), strict=True):
        places = np.arange(len(words))
        for shift, (kind, colour) in zip((-0.2, 0.2), colours.items(), strict=True):
            values = [probability(kind, name, word) for word in words]
            panel.barh(places + shift, values, height=0.38, color=colour, label=labels[kind])
            for place, value in zip(places, values, strict=True):
                panel.annotate(number(value, 2), (value + 0.01, place + shift), va="center", fontsize=SMALL)
        panel.set(title=title, xlim=(0, 1.12))
        panel.set_yticks(places, words)
        panel.invert_yaxis()
        panel.grid(axis="y", visible=False)
        panel.xaxis.set_major_formatter(ticks())
    panels[1].legend(loc="lower right")
    panels[1].set_xlabel("вероятность слова на месте пропуска")
    return drawing


# --- Masks ---------------------------------------------------------------------------------------------------------

LENGTH, REAL, PREFIX, QUERIES = 7, 5, 3, 4


@cache
def masked_weights() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For every kind of mask, the weights of random queries and keys of width 8 under it, and the mask itself."""
    rng = np.random.default_rng(0)
    masks = {
        "encoder": np.broadcast_to(padding_mask([REAL], LENGTH)[0], (LENGTH, LENGTH)),
        "causal": causal_mask(LENGTH),
        "prefix": prefix_mask(LENGTH, PREFIX),
        "cross": np.broadcast_to(padding_mask([REAL], LENGTH)[0], (QUERIES, LENGTH)),
    }
    found = {}
    for name, mask in masks.items():
        Q, K = rng.standard_normal((len(mask), 8)), rng.standard_normal((LENGTH, 8))
        found[name] = attention(Q, K, K, mask)[1], mask
    return found


@figure
def masks(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 2, figsize=(WIDTH, 5.0))
    titles = {
        "encoder": "кодировщик\nи два дополнения",
        "causal": "причинная\n(GPT, декодер)",
        "prefix": f"префиксная\n(префикс {PREFIX})",
        "cross": "перекрёстное внимание\nи два дополнения",
    }
    for panel, (name, (weights, mask)) in zip(panels.flat, masked_weights().items(), strict=True):
        panel.imshow(np.where(mask, weights, np.nan), cmap=theme.sequential, vmin=0, vmax=0.8, aspect="equal")
        for i, j in np.argwhere(~mask):
            panel.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=theme.surface, edgecolor=theme.grid, lw=0.6))
            panel.annotate("×", (j, i), ha="center", va="center", color=theme.muted, fontsize=SMALL)
        panel.set_title(titles[name])
        panel.set_xticks(range(LENGTH), range(1, LENGTH + 1))
        panel.set_yticks(range(len(mask)), range(1, len(mask) + 1))
        panel.set(xlabel="ключ", ylabel="запрос")
        panel.grid(visible=False)
        panel.tick_params(length=0)
    return drawing


# --- Scaling -------------------------------------------------------------------------------------------------------

WIDTHS, KEYS, SAMPLES = (1, 4, 16, 64, 256), 32, 2000
DIVISORS = {"none": lambda d_k: 1.0, "root": np.sqrt, "width": float}


@cache
def saturation() -> dict[str, dict[str, np.ndarray]]:
    """For every divisor of the scores, over WIDTHS: mean `largest` weight of 32 and median `jacobian`, the Frobenius
    norm of diag(a) - a aᵀ, of SAMPLES rows; `variance` of the raw scores stands beside."""
    rng, found = np.random.default_rng(0), {name: {"largest": [], "jacobian": []} for name in DIVISORS}
    variance = []
    for d_k in WIDTHS:
        q, K = rng.standard_normal((SAMPLES, 1, d_k)), rng.standard_normal((SAMPLES, KEYS, d_k))
        scores = (q @ K.swapaxes(1, 2))[:, 0]
        variance.append(scores.var())
        for name, divisor in DIVISORS.items():
            a = softmax(scores / divisor(d_k))
            found[name]["largest"].append(a.max(axis=1).mean())
            found[name]["jacobian"].append(np.median(_jacobian_norm(a)))
    result = {name: {key: np.array(values) for key, values in of.items()} for name, of in found.items()}
    return result | {"raw": {"variance": np.array(variance)}}


def _jacobian_norm(a: np.ndarray) -> np.ndarray:
    """Frobenius norm of diag(a) - a aᵀ for every row: its square is Σ a² - 2 Σ a³ + (Σ a²)²."""
    square, cube = (a**2).sum(axis=1), (a**3).sum(axis=1)
    return np.sqrt(np.maximum(square - 2 * cube + square**2, 0))  # rounding may leave -1e-16


@figure
def scaling(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 5.0), sharex=True)
    looks = {
        "none": (theme.bad, "o", "-", "без деления"),
        "root": (theme.good, "^", "-", "деление на $\\sqrt{d_k}$"),
        "width": (theme.extra, "s", "--", "деление на $d_k$"),
    }
    for name, (colour, marker, line, label) in looks.items():
        for panel, key in ((top, "largest"), (bottom, "jacobian")):
            panel.plot(WIDTHS, saturation()[name][key], color=colour, marker=marker, linestyle=line, label=label)
    top.axhline(1 / KEYS, color=theme.muted, linewidth=1, linestyle=":")
    top.annotate("точками – поровну, 1/32", (22, 0.075), fontsize=SMALL)
    top.set(ylabel="наибольший вес", ylim=(0, 1))
    bottom.set(ylabel="норма якобиана softmax\n(медиана)", xlabel="ширина головы", xscale="log", ylim=(0, None))
    bottom.set_xticks(WIDTHS)
    bottom.xaxis.minorticks_off()
    for axis in (top.yaxis, bottom.yaxis, bottom.xaxis):
        axis.set_major_formatter(ticks())
    top.legend(loc="upper left", bbox_to_anchor=(0, 1.02))
    return drawing


# --- Induction heads -----------------------------------------------------------------------------------------------

LETTERS = "абвгдежзиклмнопрстуфхцчш"  # one for each symbol
CROP = 16  # tokens shown of the maps
HEADS = ((0, 1), (1, 1))  # layer and head of the two maps


@figure
def induction_heads(theme: Theme) -> Figure:
    drawing = pyplot.figure(figsize=(WIDTH, 5.9))
    top, bottom = drawing.subfigures(2, 1, height_ratios=(5, 6))
    panel = top.subplots()
    distance = np.arange(-induction.LONGEST, induction.LONGEST)
    for layers, colour, label in ((1, theme.bad, "один слой"), (2, theme.good, "два слоя")):
        panel.plot(distance, induction.heads(layers)["by_round"], color=colour, marker="o", markersize=3, label=label)
    panel.axvline(0, color=theme.muted, linewidth=1, linestyle=":")
    panel.set(xlabel="место символа от начала второго круга", ylabel="потери", ylim=(0, 4.4))
    panel.legend(loc="upper right")
    found = induction.heads(2)
    letters = [LETTERS[token] for token in found["tokens"][:CROP]]
    titles = ("слой 1: предыдущий символ", "слой 2: что было дальше")
    for axes, (layer, head), title in zip(bottom.subplots(1, 2), HEADS, titles, strict=True):
        axes.imshow(found["maps"][layer, head, :CROP, :CROP], cmap=theme.sequential, vmin=0, vmax=1)
        axes.set_title(title, fontsize=9)
        axes.set_xticks(range(CROP), letters, fontsize=SMALL)
        axes.set_yticks(range(CROP), letters, fontsize=SMALL)
        axes.set(xlabel="ключ", ylabel="запрос")
        axes.grid(visible=False)
        axes.tick_params(length=0)
    return drawing


# --- What breaks ---------------------------------------------------------------------------------------------------


@figure
def ablation(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.1))
    looks = {
        "nothing": (theme.good, "-", "всё на месте"),
        "positions": (theme.accent, "--", "без позиций"),
        "residual": (theme.extra, "-.", "без остаточных связей"),
        "mask": (theme.bad, "-", "без причинной маски"),
    }
    for name, (colour, line, label) in looks.items():
        found = induction.ablation(name)
        smooth = np.convolve(found["history"], np.full(20, 1 / 20), mode="valid")
        panel.plot(np.arange(len(smooth)) + 20, smooth, color=colour, linestyle=line, label=label)
        panel.plot(induction.STEPS + 25, found["loss"], marker="D", markersize=6, color=colour, clip_on=False)
    panel.set(xlabel="шаг обучения", ylabel="потери на предсказуемой части", yscale="log", ylim=(2e-5, 30))
    panel.set(xlim=(0, induction.STEPS + 50))
    panel.yaxis.set_major_formatter(ticks())
    panel.set_yticks([0.0001, 0.001, 0.01, 0.1, 1, 10])
    panel.yaxis.minorticks_off()
    panel.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncol=2)
    return drawing


# --- LayerNorm before or after -------------------------------------------------------------------------------------

DEPTHS, DEPTH = (3, 6, 12, 24, 48), 24


@figure
def norm_place(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 5.2))
    looks = {"post": (theme.bad, "o", "Post-LN"), "pre": (theme.good, "^", "Pre-LN")}
    for kind, (colour, marker, label) in looks.items():
        by_block = norm_placement.gradients(kind, DEPTH)["gradient"]
        top.plot(np.arange(1, DEPTH + 1), by_block, color=colour, marker=marker, markersize=4, label=label)
        last = last_gradients(kind)
        bottom.plot(DEPTHS, last, color=colour, marker=marker, label=label)
    reference = last_gradients("pre")[0] * np.sqrt(DEPTHS[0] / np.array(DEPTHS))
    bottom.plot(DEPTHS, reference, color=theme.muted, linestyle=":", label="наклон $1/\\sqrt{n}$")
    top.set(xlabel=f"номер блока из {DEPTH}", ylabel="норма градиента", ylim=(0, 1))
    bottom.set(xlabel="число блоков", ylabel="то же, последний блок", xscale="log", yscale="log", ylim=(0.08, 1.4))
    bottom.set_xticks(DEPTHS)
    bottom.set_yticks([0.1, 0.2, 0.5, 1])
    for axis in (top.yaxis, bottom.xaxis, bottom.yaxis):
        axis.set_major_formatter(ticks())
        axis.minorticks_off()
    top.legend(loc="lower left", ncol=2)
    bottom.legend(loc="lower left")
    return drawing


@cache
def last_gradients(kind: str) -> np.ndarray:
    """Norm of the gradient of the last block's W_2, for every depth."""
    return np.array([norm_placement.gradients(kind, depth)["gradient"][-1] for depth in DEPTHS])


# --- Cost ----------------------------------------------------------------------------------------------------------

PARTS = {
    "ffn": "FFN, 12 блоков",
    "attention": "внимание, 12 блоков",
    "embeddings": "таблицы эмбеддингов",
    "pooler": "pooler",
    "norms": "LayerNorm",
}
MODEL_WIDTHS = (768, 4096, 12288)


@figure
def cost(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 5.4), height_ratios=(4, 5))
    parameters = tr.bert_parameters()
    millions = [parameters[name] / 1e6 for name in PARTS]
    places = np.arange(len(PARTS))
    top.barh(places, millions, height=0.6, color=theme.forward)
    for place, value in zip(places, millions, strict=True):
        share = 1e8 * value / sum(parameters.values())
        label = f"{number(value, 2)} ({number(share, 2)} %)"
        top.annotate(label, (value + 0.8, place), va="center", fontsize=SMALL)
    top.set(xlabel="параметры BERT-base, млн", xlim=(0, 80))
    top.set_yticks(places, PARTS.values())
    top.invert_yaxis()
    top.grid(axis="y", visible=False)
    lengths = np.geomspace(64, 1e6, 200)
    for d, colour in zip(MODEL_WIDTHS, (theme.forward, theme.backward, theme.extra), strict=True):
        share = [tr.block_flops(T, d).share_of_scores for T in lengths]
        bottom.plot(lengths, share, color=colour, label=f"$d$ = {d}")
        bottom.plot(6 * d, 0.5, marker="o", color=colour)
    bottom.set(xscale="log", xlabel="длина последовательности", ylabel="доля квадратичной части", ylim=(0, 1))
    bottom.set_xticks([100, 1000, 10_000, 100_000, 1_000_000], ["100", "1000", "10 тыс.", "100 тыс.", "1 млн"])
    bottom.yaxis.set_major_formatter(ticks())
    bottom.legend(loc="upper left")
    return drawing
