"""Normalisation layers, forward and backward by hand: batch, layer, group, instance, RMS and weight normalisation.

A batch is an array `(B, C, …)`: objects, channels (features), then any number of spatial axes. Batch, instance, group
and layer normalisation are one and the same operation, `standardize`, over different axes, so they share one forward
and one backward pass; after it comes y = gamma * x_hat + beta. Every `…_backward` takes the adjoint of the output and
what its forward pass saved, and returns the adjoints of the forward pass's arguments.

Sources: Ioffe & Szegedy 2015 (arXiv 1502.03167), Ba, Kiros & Hinton 2016 (1607.06450), Ulyanov, Vedaldi & Lempitsky
2016 (1607.08022), Wu & He 2018 (1803.08494), Zhang & Sennrich 2019 (1910.07467), Salimans & Kingma 2016 (1602.07868),
Ioffe 2017 (1702.03275), Qiao et al. 2019 (1903.10520), Zhu et al. 2025 (2503.10622).
"""

from dataclasses import dataclass, field

import numpy as np

EPS = 1e-5  # as in PyTorch


# --8<-- [start:standardize]
def standardize(x, axes, eps=1e-5):
    """Zero mean and unit variance over `axes`; also returns 1 / s."""
    mean = x.mean(axis=axes, keepdims=True)
    variance = x.var(axis=axes, keepdims=True)  # biased: divides by m
    inverse = 1.0 / np.sqrt(variance + eps)
    return (x - mean) * inverse, inverse


def standardize_backward(bar, x_hat, inverse, axes):
    """Adjoint of x, given the adjoint `bar` of x_hat."""
    shift = bar.mean(axis=axes, keepdims=True)
    scale = (bar * x_hat).mean(axis=axes, keepdims=True)
    return inverse * (bar - shift - x_hat * scale)


# --8<-- [end:standardize]


@dataclass(frozen=True)
class Saved:
    """What the backward pass needs: normalised input, 1 / s, the gain as it was broadcast, and the axes."""

    x_hat: np.ndarray
    inverse: np.ndarray
    gain: np.ndarray
    axes: tuple[int, ...]


def _affine(x_hat: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """gamma * x_hat + beta with gamma, beta (C,) along axis 1; also gamma shaped to broadcast."""
    channels = x_hat.shape[1]
    if np.shape(gamma) != (channels,) or np.shape(beta) != (channels,):
        raise ValueError(f"{channels} channels, but gamma of shape {np.shape(gamma)}, beta of {np.shape(beta)}")
    shape = (1, channels) + (1,) * (x_hat.ndim - 2)
    gain = np.reshape(gamma, shape)
    return gain * x_hat + np.reshape(beta, shape), gain


def _affine_backward(bar: np.ndarray, x_hat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    others = tuple(axis for axis in range(bar.ndim) if axis != 1)
    return (bar * x_hat).sum(axis=others), bar.sum(axis=others)


def _channelwise(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, axes: tuple[int, ...], eps: float):
    x_hat, inverse = standardize(x, axes, eps)
    y, gain = _affine(x_hat, gamma, beta)
    return y, Saved(x_hat, inverse, gain, axes)


def _channelwise_backward(bar: np.ndarray, saved: Saved):
    x_bar = standardize_backward(saved.gain * bar, saved.x_hat, saved.inverse, saved.axes)
    return x_bar, *_affine_backward(bar, saved.x_hat)


# --- Batch normalisation -------------------------------------------------------------------------------------------


def batch_axes(x: np.ndarray) -> tuple[int, ...]:
    """All axes but that of the channels: a channel's statistics come from m = B · H · W numbers."""
    return (0, *range(2, x.ndim))


def batch_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float = EPS):
    """Batch normalisation of `x` (B, C, …) in training; gamma, beta (C,). Returns y and what the backward pass needs.

    Raises ValueError when a channel has a single number: its variance is zero and the output would always be beta.
    """
    axes = batch_axes(x)
    if x.size == x.shape[1]:
        raise ValueError(f"batch normalisation needs more than one value per channel, got shape {x.shape}")
    return _channelwise(x, gamma, beta, axes, eps)


# --8<-- [start:batch-norm-backward]
def batch_norm_backward(bar, saved):
    """Adjoints of x (B, C, …), gamma (C,) and beta (C,)."""
    m = bar.size // bar.shape[1]  # numbers per channel
    total = {"axis": saved.axes, "keepdims": True}
    beta_bar = bar.sum(**total)
    gamma_bar = (bar * saved.x_hat).sum(**total)
    centred = m * bar - beta_bar - saved.x_hat * gamma_bar
    x_bar = saved.gain * saved.inverse / m * centred
    return x_bar, gamma_bar.ravel(), beta_bar.ravel()


# --8<-- [end:batch-norm-backward]


@dataclass
class RunningStatistics:
    """Buffers of `torch.nn.BatchNorm`: exponential averages of the batch mean and of the *unbiased* batch variance."""

    channels: int
    momentum: float = 0.1
    mean: np.ndarray = field(init=False)
    variance: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.mean, self.variance = np.zeros(self.channels), np.ones(self.channels)

    # --8<-- [start:running]
    def update(self, x):
        """r <- (1 - momentum) r + momentum * statistic of the batch."""
        axes = (0, *range(2, x.ndim))
        mean, variance = x.mean(axis=axes), x.var(axis=axes, ddof=1)
        self.mean += self.momentum * (mean - self.mean)
        self.variance += self.momentum * (variance - self.variance)

    # --8<-- [end:running]


def batch_norm_inference(x, gamma, beta, mean, variance, eps: float = EPS) -> np.ndarray:
    """Batch normalisation of `x` (B, C, …) by fixed statistics (C,): an affine map, each object by itself."""
    scale = gamma / np.sqrt(variance + eps)
    y, _ = _affine(x, scale, beta - scale * mean)
    return y


# --8<-- [start:fold]
def fold(W, b, gamma, beta, mean, variance, eps=1e-5):
    """Weights and bias of the one layer that does both.

    W is (C, d_in) of a dense layer or (C, C_in, k, k) of a convolution;
    b, gamma, beta and the running mean and variance are (C,).
    """
    scale = gamma / np.sqrt(variance + eps)
    folded = W * scale.reshape(-1, *[1] * (W.ndim - 1))
    return folded, (b - mean) * scale + beta


# --8<-- [end:fold]


def batch_renorm(x, gamma, beta, mean, variance, r_max: float, d_max: float, eps: float = EPS) -> np.ndarray:
    """Batch renormalisation (Ioffe 2017, algorithm 1), forward pass in training; `mean`, `variance` are running, (C,).

    x_hat * r + d with r = s_B / s clipped to [1 / r_max, r_max], d = (mu_B - mu) / s clipped to [-d_max, d_max]. Both
    are constants for the backward pass. Unclipped, this is exactly `batch_norm_inference`; with r_max = 1 and
    d_max = 0 it is `batch_norm`.
    """
    axes = batch_axes(x)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    spread = np.sqrt(variance + eps).reshape(shape)
    x_hat, inverse = standardize(x, axes, eps)
    r = np.clip(1.0 / (inverse * spread), 1.0 / r_max, r_max)
    d = np.clip((x.mean(axis=axes, keepdims=True) - np.reshape(mean, shape)) / spread, -d_max, d_max)
    y, _ = _affine(x_hat * r + d, gamma, beta)
    return y


# --- Normalisation inside one object -------------------------------------------------------------------------------


def instance_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float = EPS):
    """Statistics of one channel of one object, over its positions; x (B, C, …), gamma, beta (C,)."""
    return _channelwise(x, gamma, beta, tuple(range(2, x.ndim)), eps)


def instance_norm_backward(bar: np.ndarray, saved: Saved):
    """Adjoints of x, gamma and beta."""
    return _channelwise_backward(bar, saved)


# --8<-- [start:group]
def split_groups(x, groups):
    """(B, C, …) as (B, G, C/G, …)."""
    if x.shape[1] % groups:
        raise ValueError(f"{x.shape[1]} channels, {groups} groups")
    return x.reshape(len(x), groups, -1, *x.shape[2:])


def group_standardize(x, groups, eps=1e-5):
    """Over the channels of a group and all positions, per object."""
    grouped = split_groups(x, groups)
    axes = tuple(range(2, grouped.ndim))
    x_hat, inverse = standardize(grouped, axes, eps)
    return x_hat.reshape(x.shape), inverse


# --8<-- [end:group]


def group_norm(x: np.ndarray, groups: int, gamma: np.ndarray, beta: np.ndarray, eps: float = EPS):
    """Group normalisation of `x` (B, C, …); gamma, beta (C,). Raises ValueError unless `groups` divides C."""
    x_hat, inverse = group_standardize(x, groups, eps)
    y, gain = _affine(x_hat, gamma, beta)
    return y, Saved(x_hat, inverse, gain, tuple(range(2, x.ndim + 1)))


def group_norm_backward(bar: np.ndarray, saved: Saved):
    """Adjoints of x, gamma and beta."""
    groups = saved.inverse.shape[1]
    bar_hat, x_hat = split_groups(saved.gain * bar, groups), split_groups(saved.x_hat, groups)
    x_bar = standardize_backward(bar_hat, x_hat, saved.inverse, saved.axes).reshape(bar.shape)
    return x_bar, *_affine_backward(bar, saved.x_hat)


def layer_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float = EPS):
    """Layer normalisation over the last axes, those of `gamma` and `beta`, as `torch.nn.LayerNorm`.

    A transformer's x is (B, T, d) and gamma (d,): every token has its own mean and variance. For a CNN in the manner
    of Ba et al., x is (B, C, H, W) and gamma (C, H, W).
    """
    if np.shape(gamma) != np.shape(beta) or x.shape[x.ndim - np.ndim(gamma) :] != np.shape(gamma):
        raise ValueError(f"x of shape {x.shape}, but gamma of {np.shape(gamma)} and beta of {np.shape(beta)}")
    axes = tuple(range(x.ndim - np.ndim(gamma), x.ndim))
    x_hat, inverse = standardize(x, axes, eps)
    return gamma * x_hat + beta, Saved(x_hat, inverse, gamma, axes)


def layer_norm_backward(bar, saved):
    """Adjoints of x, gamma and beta: gamma stands inside the projector."""
    u = saved.gain * bar  # the adjoint of x_hat
    x_bar = standardize_backward(u, saved.x_hat, saved.inverse, saved.axes)
    others = tuple(range(bar.ndim - saved.gain.ndim))
    return x_bar, (bar * saved.x_hat).sum(others), bar.sum(others)


# --8<-- [start:rms]
def rms_norm(x, gamma, eps=1e-5):
    """y = gamma * x / rms(x) over the last axis; x (…, d), gamma (d,)."""
    inverse = 1.0 / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + eps)
    x_hat = x * inverse
    return gamma * x_hat, (x_hat, inverse, gamma)


def rms_norm_backward(bar, saved):
    """Adjoints of x and gamma."""
    x_hat, inverse, gamma = saved
    u = gamma * bar  # the adjoint of x_hat
    along = np.mean(u * x_hat, axis=-1, keepdims=True)
    gamma_bar = (bar * x_hat).reshape(-1, x_hat.shape[-1]).sum(axis=0)
    return inverse * (u - x_hat * along), gamma_bar


# --8<-- [end:rms]


# --- Without statistics of activations -----------------------------------------------------------------------------


def weight_norm(V, g):
    """W with rows g_i v_i / |v_i|; V is (d_out, d_in), g is (d_out,)."""
    norm = np.linalg.norm(V, axis=1, keepdims=True)
    return g[:, None] * V / norm


def weight_norm_backward(W_bar, V, g):
    """Adjoints of V and g, given that of W."""
    norm = np.linalg.norm(V, axis=1, keepdims=True)
    direction = V / norm
    g_bar = (W_bar * direction).sum(axis=1, keepdims=True)
    V_bar = g[:, None] / norm * (W_bar - g_bar * direction)
    return V_bar, g_bar[:, 0]


def weight_standardize(W: np.ndarray, eps: float = EPS) -> np.ndarray:
    """Weight standardisation: every unit's weights (a row, a filter) to zero mean and unit variance."""
    W_hat, _ = standardize(W, tuple(range(1, W.ndim)), eps)
    return W_hat


def dynamic_tanh(x: np.ndarray, alpha: float, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """DyT: gamma * tanh(alpha x) + beta with a scalar alpha; x (…, d), gamma, beta (d,)."""
    return gamma * np.tanh(alpha * x) + beta


def dynamic_tanh_backward(bar: np.ndarray, x: np.ndarray, alpha: float, gamma: np.ndarray):
    """Adjoints of x, alpha, gamma and beta."""
    t = np.tanh(alpha * x)
    inner = gamma * bar * (1.0 - t**2)  # the adjoint of alpha x
    rows = (-1, x.shape[-1])
    return alpha * inner, float((inner * x).sum()), (bar * t).reshape(rows).sum(axis=0), bar.reshape(rows).sum(axis=0)
