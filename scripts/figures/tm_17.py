"""Figures of tm-17: what may be kept, what a token costs with and without a KV cache, and how much memory it takes."""

from functools import cache

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from scripts.dl import kv_cache as kv
from scripts.dl.attention import MultiHeadAttention, causal_mask
from scripts.experiments import decoding_time
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

# --- Which keys change when a token is appended ----------------------------------------------------------------------

TOKENS, LAYERS, D, HEADS = 8, 4, 32, 4


def layer_keys(X: np.ndarray, causal: bool) -> np.ndarray:
    """Keys of every layer, (LAYERS, T, D), of a stack of random attention layers with residual connections."""
    rng, keys = np.random.default_rng(1), []
    mask = causal_mask(len(X)) if causal else None
    for _ in range(LAYERS):
        layer = MultiHeadAttention(D, HEADS, rng)
        keys.append(X @ layer.parameters["W_K"])
        X = X + layer.forward(X[None], mask=mask)[0]
    return np.array(keys)


@cache
def changes(causal: bool) -> np.ndarray:
    """Relative change of the keys of the old tokens, (LAYERS, TOKENS), when one more token is appended."""
    X = np.random.default_rng(0).standard_normal((TOKENS + 1, D))
    before, after = layer_keys(X[:-1], causal), layer_keys(X, causal)[:, :-1]
    return np.linalg.norm(after - before, axis=-1) / np.linalg.norm(before, axis=-1)


@figure
def changed_keys(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 4.4))
    colours = LinearSegmentedColormap.from_list("change", [theme.surface, theme.bad])
    titles = ("Причинная маска: всё остаётся", "Без маски, как в BERT: меняется")
    for panel, causal, title in zip(panels, (True, False), titles, strict=True):
        share = 100 * changes(causal)
        panel.pcolormesh(share, cmap=colours, vmin=0, vmax=110, edgecolors=theme.background, linewidth=1)
        for (layer, token), value in np.ndenumerate(share):
            text = f"{number(value, 0)} %" if value else "0"
            panel.annotate(text, (token + 0.5, layer + 0.5), ha="center", va="center", fontsize=9, color=theme.ink)
        panel.set_title(title)
        panel.set_yticks(np.arange(LAYERS) + 0.5, np.arange(1, LAYERS + 1))
        panel.set_xticks(np.arange(TOKENS) + 0.5, np.arange(1, TOKENS + 1))
        panel.set_ylabel("слой")
        panel.tick_params(length=0)
        panel.grid(visible=False)
        for spine in panel.spines.values():
            spine.set_visible(False)
    panels[1].set_xlabel("старый токен")
    return drawing


# --- Time and operations of the next token -------------------------------------------------------------------------

TIMED_D, TIMED_HEADS = 256, 4


def times() -> dict[str, np.ndarray]:
    return decoding_time.milliseconds(TIMED_D, TIMED_HEADS)


@figure
def per_token(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 4.8), sharex=True)
    found, t = times(), np.arange(1, 513)
    lines = (
        ("recomputed", kv.step_without_cache, theme.bad, "o", "всё заново"),
        ("cached", kv.step_with_cache, theme.good, "s", "с кэшем"),
    )
    for name, count, colour, marker, label in lines:
        top.plot(found["positions"], found[name], color=colour, marker=marker, markersize=4, label=label)
        bottom.plot(t, count(t, TIMED_D) / 1e6, color=colour, label=label)
    top.set_ylabel("мс, измерено")
    bottom.set(ylabel="млн операций,\nпо формуле", xlabel="какой по счёту токен", xlim=(0, 520))
    top.legend(loc="upper left")
    for panel in (top, bottom):
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter(ticks())
        panel.minorticks_off()
    return drawing


# --- Memory --------------------------------------------------------------------------------------------------------

# LLaMA-3-8B (Grattafiori et al. 2024, table 3): layers, heads, heads of keys, their width.
MODEL_LAYERS, MODEL_HEADS, MODEL_KV, MODEL_DK = 32, 32, 8, 128
MODEL_WEIGHTS = 8.03e9
MODEL_READ = MODEL_WEIGHTS - 128_256 * 4096  # a step looks one row of the table of embeddings up
CARD_BYTES, BANDWIDTH, SPEED = 80e9, 2.039e12, 312e12  # A100 80 GB, NVIDIA's data sheet, bf16
GIB, MIB, KIB = 2**30, 2**20, 2**10
KINDS = (("MHA, 32 пары", MODEL_HEADS, "bad"), ("GQA, 8 пар", MODEL_KV, "forward"), ("MQA, 1 пара", 1, "good"))


def per_token_bytes(kv_heads: int) -> int:
    return kv.cache_bytes(MODEL_LAYERS, kv_heads, MODEL_DK)


def room() -> float:
    """Bytes that the weights leave on the card."""
    return CARD_BYTES - 2 * MODEL_WEIGHTS


@figure
def memory(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.8))
    tokens = np.geomspace(1024, 2**20, 50)
    for label, heads, colour in KINDS:
        hue, most = getattr(theme, colour), room() / per_token_bytes(heads)
        panel.plot(tokens, per_token_bytes(heads) * tokens / GIB, color=hue, label=label)
        if most < tokens[-1]:
            panel.plot([most], [room() / GIB], color=hue, marker="o", markersize=6)
            place, side = (
                ((most, room() / GIB / 2.4), "left") if heads < MODEL_HEADS else ((most, room() / GIB * 1.3), "right")
            )
            panel.annotate(f"{number(most / 1000, 0)} тыс.", place, color=hue, ha=side)
    panel.axhline(room() / GIB, color=theme.ink, linewidth=1.2, linestyle="--")
    panel.annotate("осталось на карте 80 ГБ", (1150, room() / GIB * 1.25), color=theme.ink)
    panel.legend(loc="lower right")
    panel.set(xscale="log", yscale="log", xlabel="токенов в контексте", ylabel="ГиБ на одну последовательность")
    panel.set_xlim(1024, 2**20)
    panel.set_xticks([2**10, 2**12, 2**14, 2**16, 2**18, 2**20], ["1 К", "4 К", "16 К", "64 К", "256 К", "1 М"])
    panel.set_yticks([0.01, 0.1, 1, 10, 100])
    panel.yaxis.set_major_formatter(ticks())
    panel.minorticks_off()
    return drawing


# --- A decoding step bounded by memory -----------------------------------------------------------------------------

CONTEXT = 8192


def fitting_batch(kv_heads: int) -> int:
    """How many sequences of CONTEXT tokens fit beside the weights."""
    return int(room() // (per_token_bytes(kv_heads) * CONTEXT))


def step(kv_heads: int, batch: float) -> tuple[float, float]:
    """Seconds for the weights and for the cache."""
    cached = per_token_bytes(kv_heads) * CONTEXT
    return kv.step_seconds(MODEL_READ, cached, MODEL_HEADS // kv_heads, batch, BANDWIDTH, SPEED)


@figure
def batch(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 5.2), sharex=True)
    for label, heads, colour in KINDS:
        most = fitting_batch(heads)
        sizes = np.unique(np.geomspace(1, most, 60).astype(int))
        seconds = np.array([sum(step(heads, int(size))) for size in sizes])
        for panel, values in ((top, 1000 * seconds), (bottom, sizes / seconds)):
            panel.plot(sizes, values, color=getattr(theme, colour), label=label)
            panel.plot(sizes[-1:], values[-1:], color=getattr(theme, colour), marker="o", markersize=6)
    sizes = np.geomspace(1, fitting_batch(1), 100)
    alone = [1000 * step(1, size)[0] for size in sizes]
    top.plot(sizes, alone, color=theme.muted, linestyle=":", label="одни веса")
    top.set(xscale="log", ylabel="мс на шаг, не меньше", ylim=(0, 60))
    bottom.set(yscale="log", ylabel="токенов в секунду,\nне больше", xlabel="последовательностей в батче")
    bottom.set_xticks([1, 4, 16, 64, 256], ["1", "4", "16", "64", "256"])
    bottom.set_yticks([100, 300, 1000, 3000, 10000], ["100", "300", "1000", "3000", "10 000"])
    bottom.minorticks_off()
    top.legend(loc="upper left", ncol=2)
    return drawing
