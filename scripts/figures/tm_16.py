"""Figures of tm-16: what attention averages, how far gradients go, what must be kept while generating."""

from functools import cache

import numpy as np
from matplotlib.figure import Figure

from scripts.dl.attention import attention
from scripts.experiments.induction import heads
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

# --- Kernel smoothing ----------------------------------------------------------------------------------------------

POINTS, NOISE = 40, 0.25
BANDWIDTHS = (0.03, 0.15, 0.8)
QUERY = 1.0


@cache
def observations() -> tuple[np.ndarray, np.ndarray]:
    """Places and noisy values of a curve, (POINTS,) each."""
    rng = np.random.default_rng(3)
    x = np.sort(rng.uniform(0, 3, POINTS))
    return x, curve(x) + NOISE * rng.standard_normal(POINTS)


def curve(x: np.ndarray) -> np.ndarray:
    """The curve without noise."""
    return np.sin(2 * x) + 0.3 * x


def smooth(places: np.ndarray, bandwidth: float) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian smoothing of width ρ as attention: q = √2 (x, 1), k = (x_i, -x_i²/2) / ρ²; answers and weights.

    qᵀk / √d_k differs from -(x - x_i)² / 2ρ² by a number that is the same for the whole row: softmax drops it.
    """
    x, y = observations()
    Q = np.stack([places, np.ones_like(places)], axis=1)
    K = np.stack([x, -(x**2) / 2], axis=1) / bandwidth**2
    Y, A = attention(np.sqrt(2) * Q, K, y[:, None])  # √2 undoes the division by √d_k
    return Y[:, 0], A


@figure
def smoothing(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 5.2), sharex=True, height_ratios=(3, 2))
    x, y = observations()
    grid = np.linspace(0, 3, 400)
    top.scatter(x, y, s=18, color=theme.muted, label="пары «ключ, значение»", zorder=3)
    top.plot(grid, curve(grid), color=theme.muted, linestyle=":", linewidth=1.4, label="кривая без шума")
    styles = ((theme.bad, "-"), (theme.good, "-"), (theme.accent, "--"))
    for bandwidth, (colour, line) in zip(BANDWIDTHS, styles, strict=True):
        top.plot(grid, smooth(grid, bandwidth)[0], color=colour, linestyle=line, label=f"$\\rho$ = {number(bandwidth)}")
        weights = smooth(np.array([QUERY]), bandwidth)[1][0]
        bottom.plot(x, weights, color=colour, linestyle=line, marker="o", markersize=3.5)
    for panel in (top, bottom):
        panel.axvline(QUERY, color=theme.ink, linewidth=0.8, linestyle="--")
        panel.yaxis.set_major_formatter(ticks())
        panel.xaxis.set_major_formatter(ticks())
    top.set(ylabel="значение, ответ", ylim=(-1.1, 2.1))
    top.legend(loc="lower center", ncol=3, bbox_to_anchor=(0.5, 1.0), columnspacing=1.0)
    bottom.set(ylabel="вес ключа", xlabel="ключ, запрос")
    bottom.annotate("запрос", (QUERY, 0.93), xytext=(5, 0), textcoords="offset points", color=theme.ink)
    bottom.set_ylim(-0.03, 1.03)
    return drawing


# --- Gradients through time ----------------------------------------------------------------------------------------

LENGTH, DIMENSION, TRIALS = 100, 64, 5


def rnn_jacobian_norms(W: np.ndarray, W_x: np.ndarray, X: np.ndarray) -> np.ndarray:
    """|∂h_T / ∂x_s| (spectral norm) of h_t = tanh(W_x x_t + W h_{t-1}), for all s; (T,)."""
    states = [np.zeros(len(W))]
    for x in X:
        states.append(np.tanh(W_x @ x + W @ states[-1]))
    through, norms = np.eye(len(W)), []
    for h in reversed(states[1:]):
        through = through * (1 - h**2)  # ∂h_T / ∂(pre-activation of this step)
        norms.append(np.linalg.norm(through @ W_x, 2))
        through = through @ W
    return np.array(norms[::-1])


def attention_jacobian_norms(W_Q: np.ndarray, W_K: np.ndarray, W_V: np.ndarray, X: np.ndarray) -> np.ndarray:
    """|∂y_T / ∂x_s| (spectral norm) of one causal head without W_O and residual, for all s; (T,).

    With a = row T of A, ∂y_T = Σ_s a_s [∂v_s + (v_s - y_T) ∂(q_Tᵀk_s) / √d_k]; the last token moves its query too.
    """
    Q, K, V = X @ W_Q, X @ W_K, X @ W_V
    scale = np.sqrt(K.shape[1])
    Y, A = attention(Q[-1:], K, V)
    a, centred = A[0], V - Y
    jacobians = a[:, None, None] * (W_V.T + centred[:, :, None] * (W_K @ Q[-1] / scale))
    jacobians[-1] += (a[:, None] * centred).T @ K @ W_Q.T / scale
    return np.linalg.norm(jacobians, 2, axis=(1, 2))


@cache
def jacobian_norms() -> dict[str, np.ndarray]:
    """Means over networks that differ by their weights, (LENGTH,): a tanh-RNN with PyTorch's initial weights, with an
    orthogonal W, and a head of attention. Input N(0, I)."""
    found: dict[str, list[np.ndarray]] = {"rnn": [], "orthogonal": [], "attention": []}
    for trial in range(TRIALS):
        rng = np.random.default_rng(trial)
        X = rng.standard_normal((LENGTH, DIMENSION))
        bound = DIMENSION**-0.5
        W, W_x, W_Q, W_K, W_V = rng.uniform(-bound, bound, (5, DIMENSION, DIMENSION))
        rotation, _ = np.linalg.qr(rng.standard_normal((DIMENSION, DIMENSION)))
        found["rnn"].append(rnn_jacobian_norms(W, W_x, X))
        found["orthogonal"].append(rnn_jacobian_norms(rotation, W_x, X))
        found["attention"].append(attention_jacobian_norms(W_Q, W_K, W_V, X))
    return {name: np.exp(np.log(norms).mean(axis=0)) for name, norms in found.items()}


@figure
def jacobian(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.7))
    lag = np.arange(LENGTH)[::-1]
    lines = (
        ("attention", "голова внимания", "good", "-"),
        ("orthogonal", "RNN, ортогональная $W$", "forward", "--"),
        ("rnn", "RNN, веса PyTorch", "bad", "-"),
    )
    for name, label, colour, line in lines:
        panel.plot(lag, jacobian_norms()[name], color=getattr(theme, colour), linestyle=line, label=label)
    panel.axhline(1 / LENGTH, color=theme.muted, linewidth=1, linestyle=":")
    panel.annotate("$1/T$", (97, 1 / LENGTH), xytext=(0, -12), textcoords="offset points", color=theme.muted,
                   ha="right")  # fmt: skip
    panel.set(yscale="log", xlabel="расстояние $T-s$ до последнего токена", ylabel=r"$\|\partial y_T/\partial x_s\|$")
    panel.set_ylim(1e-24, 30)
    panel.set_yticks([1, 1e-4, 1e-8, 1e-12, 1e-16, 1e-20, 1e-24])
    panel.minorticks_off()
    panel.legend(loc="lower left")
    return drawing


# --- Induction heads -----------------------------------------------------------------------------------------------


@cache
def induction_maps() -> tuple[np.ndarray, np.ndarray]:
    """Weights of the layer-1 head that looks most at the previous token and of the layer-2 head that looks most at the
    place after the previous occurrence, on one sequence; (T, T) each."""
    found = heads(2)
    first, second = int(found["previous"][0].argmax()), int(found["induction"][1].argmax())
    return found["maps"][0, first], found["maps"][1, second]


@figure
def induction(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(1, 2, figsize=(WIDTH, 3.3), sharey=True)
    tokens = heads(2)["tokens"]
    letters = [chr(ord("А") + code) for code in np.unique(tokens, return_inverse=True)[1]]
    titles = ("слой 1: предыдущий", "слой 2: что было дальше")
    for panel, weights, title in zip(panels, induction_maps(), titles, strict=True):
        picture = panel.imshow(weights, cmap=theme.sequential, vmin=0, vmax=1, interpolation="nearest")
        panel.set_title(title)
        places = np.arange(0, len(letters), 3)
        panel.set_xticks(places, [letters[i] for i in places], fontsize=8.5)
        panel.set_yticks(places, [letters[i] for i in places], fontsize=8.5)
        panel.tick_params(length=0)
        panel.set_xlabel("ключ")
        panel.grid(visible=False)
    panels[0].set_ylabel("запрос")
    bar = drawing.colorbar(picture, ax=panels, orientation="horizontal", fraction=0.05, pad=0.02, aspect=40)
    bar.set_label("вес")
    bar.ax.xaxis.set_major_formatter(ticks())
    bar.outline.set_visible(False)
    return drawing


# --- State while generating ----------------------------------------------------------------------------------------

MODEL_WIDTH, HEADS = 512, 8
CONTEXTS = np.unique(np.round(2 ** np.linspace(0, 14, 57)).astype(int))


def state_sizes(T: np.ndarray | int, d: int = MODEL_WIDTH, h: int = HEADS) -> dict[str, np.ndarray]:
    """Numbers that one layer keeps after T tokens: keys and values; S and z of linear attention with φ of width d_k;
    the hidden state of an RNN."""
    T, d_k = np.asarray(T), d // h
    return {"cache": 2 * T * d, "linear": h * (d_k * d_k + d_k) + 0 * T, "rnn": d + 0 * T}


def token_flops(T: np.ndarray | int, d: int = MODEL_WIDTH, h: int = HEADS) -> dict[str, np.ndarray]:
    """FLOPs of the mixing of one layer for token number T, projections of the input apart (they do not depend on T):
    scores and weighted sum; writing and reading of S; W h of an RNN. Softmax, φ and normalisers are left out."""
    T, d_k = np.asarray(T), d // h
    return {"cache": 4 * T * d, "linear": 4 * h * d_k * d_k + 0 * T, "rnn": 2 * d * d + 0 * T}


@figure
def state(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 5.0), sharex=True)
    lines = (
        ("cache", "внимание с KV-кэшем", "backward", "-"),
        ("linear", "линейное внимание", "good", "--"),
        ("rnn", "RNN", "forward", "-."),
    )
    for panel, values in zip(panels, (state_sizes(CONTEXTS), token_flops(CONTEXTS)), strict=True):
        for name, label, colour, line in lines:
            panel.plot(CONTEXTS, values[name], color=getattr(theme, colour), linestyle=line, label=label)
        panel.set(xscale="log", yscale="log")
    panels[0].set_ylabel("чисел в состоянии")
    panels[1].set(ylabel="FLOPs на токен", xlabel="номер токена $T$")
    panels[0].legend(loc="upper left")
    panels[1].set_xticks([1, 10, 100, 1000, 10000], ["1", "10", "100", "1000", "10 000"])
    return drawing
