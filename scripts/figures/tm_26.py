"""Figures of tm-26: time against length, masks, spectra of attention, recall from a fixed state."""

from functools import cache

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits

from scripts.dl import linear_attention as la
from scripts.dl import sparse_attention as sparse
from scripts.dl.attention import attention
from scripts.experiments.attention_times import times as measured_times
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot
from scripts.figures.tm_16 import induction_maps

# --- Time ----------------------------------------------------------------------------------------------------------


@figure
def times(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.0))
    found = measured_times()
    lines = (
        ("full", "полное, с матрицей $T\\times T$", "bad", "-", "o"),
        ("tiles", "полное, плитками (точно)", "backward", "--", "s"),
        ("window", "окно 64 в обе стороны", "forward", "-.", "^"),
        ("linear", "линейное, elu + 1", "good", "-", "v"),
    )
    for name, label, colour, line, marker in lines:
        panel.plot(found["lengths"], 1000 * found[name], color=getattr(theme, colour), linestyle=line, marker=marker,
                   markersize=5, label=label)  # fmt: skip
    panel.set(xscale="log", yscale="log", xlabel="длина $T$", ylabel="время головы, мс")
    panel.set_xticks(found["lengths"], found["lengths"])
    panel.set_yticks([0.1, 1, 10, 100, 1000])
    panel.set_ylim(0.06, 1500)
    panel.yaxis.set_major_formatter(ticks())
    panel.minorticks_off()
    panel.legend(loc="upper left")
    return drawing


# --- Masks ---------------------------------------------------------------------------------------------------------

SIZE, RADIUS, STRIDE, GLOBAL, RANDOM = 64, 3, 8, 2, 3


@cache
def masks() -> dict[str, np.ndarray]:
    """Six patterns over SIZE tokens."""
    return {
        "полное": np.ones((SIZE, SIZE), dtype=bool),
        "окно": sparse.window_mask(SIZE, RADIUS),
        "окно + глобальные": sparse.global_mask(SIZE, RADIUS, GLOBAL),
        "BigBird": sparse.bigbird_mask(SIZE, RADIUS, GLOBAL, RANDOM, np.random.default_rng(0)),
        "причинная с шагом": sparse.strided_mask(SIZE, STRIDE),
        "блоки": sparse.block_mask(SIZE, STRIDE),
    }


def layers_to_connect(mask: np.ndarray, limit: int = 40) -> int | None:
    """How many layers it takes until every query has heard of every key (of its past, if the mask is causal)."""
    causal = not np.triu(mask, 1).any()
    wanted = np.tri(len(mask), dtype=bool) if causal else np.ones_like(mask)
    return next((layers for layers in range(1, limit + 1) if sparse.reach(mask, layers)[wanted].all()), None)


@figure
def patterns(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(3, 2, figsize=(WIDTH, 7.6))
    colours = ListedColormap([theme.surface, theme.forward])
    for panel, (name, mask) in zip(panels.flat, masks().items(), strict=True):
        panel.imshow(mask, cmap=colours, vmin=0, vmax=1, interpolation="nearest")
        panel.set_title(f"{name}: {number(round(100 * sparse.density(mask), 1))} %")
        panel.set_xticks([])
        panel.set_yticks([])
        panel.grid(visible=False)
    for panel in panels[-1]:
        panel.set_xlabel("ключ")
    for panel in panels[:, 0]:
        panel.set_ylabel("запрос")
    return drawing


# --- Spectra -------------------------------------------------------------------------------------------------------

UNTRAINED = (32, 64)  # length (that of the induction model) and width of a head


@cache
def spectra() -> dict[str, np.ndarray]:
    """Singular values, the largest divided out, of four matrices of weights over 32 tokens."""
    T, d_k = UNTRAINED
    rng = np.random.default_rng(0)
    Q, K = rng.standard_normal((2, T, d_k))
    _, random = attention(Q, K, K)
    features = la.weights(*rng.standard_normal((2, T, 8)))
    previous, after = induction_maps()
    found = {"random": random, "linear": features, "previous": previous, "induction": after}
    singular = {name: np.linalg.svd(A, compute_uv=False) for name, A in found.items()}
    return {name: s / s[0] for name, s in singular.items()}


@figure
def spectrum(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.9))
    lines = (
        ("previous", "обученная: предыдущий токен", "bad", "-", "o"),
        ("induction", "обученная: что было дальше", "backward", "--", "s"),
        ("random", "случайные $q,k$, softmax", "forward", "-.", "^"),
        ("linear", "случайные $q,k$, elu + 1, $r=8$", "good", "-", "v"),
    )
    for name, label, colour, line, marker in lines:
        values = spectra()[name]
        visible = values > 1e-6
        panel.plot(np.arange(1, len(values) + 1)[visible], values[visible], color=getattr(theme, colour),
                   linestyle=line, marker=marker, markersize=4, label=label)  # fmt: skip
    panel.set(yscale="log", xlabel="номер сингулярного числа", ylabel="$s_i/s_1$", ylim=(1e-4, 1.6))
    panel.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncol=2, columnspacing=1.0)
    return drawing


# --- Recall --------------------------------------------------------------------------------------------------------

PAIRS, KEY_WIDTH, VALUE_WIDTH, SHARPNESS, REPEATS = (4, 8, 16, 32, 64, 128, 256, 512), 64, 64, 10.0, 4


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean(np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)))


@threadpool_limits.wrap(limits=1)
def recall(pairs: int, rng: np.random.Generator) -> dict[str, float]:
    """Mean cosine between what is read by a stored key and its value, when keys are random unit vectors.

    Softmax over SHARPNESS · cos; the best matrix S in the sense of least squares; the sum Σ k vᵀ; linear
    attention with elu + 1 of √d_k k; the state of the delta rule.
    """
    K = rng.standard_normal((pairs, KEY_WIDTH))
    K /= np.linalg.norm(K, axis=1, keepdims=True)
    V = rng.standard_normal((pairs, VALUE_WIDTH))
    scaled = np.sqrt(KEY_WIDTH) * K
    return {
        "softmax": _cosine(attention(SHARPNESS * np.sqrt(KEY_WIDTH) * K, K, V)[0], V),
        "best": _cosine(K @ np.linalg.lstsq(K, V)[0], V),
        "sum": _cosine(K @ (K.T @ V), V),
        "elu": _cosine(la.linear_attention(scaled, scaled, V), V),
        "delta": _cosine(K @ la.delta_memory(K, V), V),
    }


@cache
def recalls() -> dict[str, np.ndarray]:
    """`recall` for every number of pairs, means over REPEATS draws, (len(PAIRS),)."""
    found = [[recall(pairs, np.random.default_rng([pairs, i])) for i in range(REPEATS)] for pairs in PAIRS]
    return {name: np.array([np.mean([one[name] for one in row]) for row in found]) for name in found[0][0]}


@figure
def capacity(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.0))
    lines = (
        ("softmax", "softmax, все пары в кэше", "backward", "-", "o"),
        ("best", "лучшая матрица $S$", "good", "-.", "s"),
        ("sum", "сумма $kv^\\top$", "forward", "--", "^"),
        ("elu", "линейное, elu + 1", "bad", "-", "v"),
    )
    for name, label, colour, line, marker in lines:
        panel.plot(PAIRS, recalls()[name], color=getattr(theme, colour), linestyle=line, marker=marker, markersize=5,
                   label=label)  # fmt: skip
    panel.axvline(KEY_WIDTH, color=theme.muted, linewidth=1, linestyle=":")
    panel.annotate("$N=d_k$", (KEY_WIDTH, 0.02), xytext=(4, 0), textcoords="offset points", color=theme.muted)
    panel.set(xscale="log", xlabel="сколько пар записано, $N$", ylabel="косинус ответа и значения", ylim=(0, 1.05))
    panel.set_xticks(PAIRS, PAIRS)
    panel.minorticks_off()
    panel.yaxis.set_major_formatter(ticks())
    panel.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncol=2)
    return drawing
