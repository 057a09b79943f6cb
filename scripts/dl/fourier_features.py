"""Features of a coordinate that let a network learn fast change, and the kernels that explain why.

Octaves: NeRF (arXiv 2003.08934, eq. 4). Random Fourier features and the kernel of a wide network over them: Tancik et
al., 2020 (arXiv 2006.10739, eqs. 5, 7). Octaves of a Gaussian: mip-NeRF (arXiv 2103.13415, eqs. 11–14). Initial weights
of sine networks: SIREN (arXiv 2006.09661, section 3.2). Points are `(…, d)`.
"""

import numpy as np


# --8<-- [start:features]
def octaves(x, count, keep_input=False):
    """NeRF's γ: sin and cos of 2^k π x, k < count; (…, 2 count d).

    With `keep_input` the coordinates go first, as in NeRF's code
    (whose waves are sin 2^k x, without π).
    """
    angles = np.pi * 2.0 ** np.arange(count)[:, None] * x[..., None, :]
    waves = np.stack([np.sin(angles), np.cos(angles)], axis=-2)
    flat = waves.reshape(*x.shape[:-1], -1)
    return np.concatenate([x, flat], axis=-1) if keep_input else flat


def random_features(x, frequencies):
    """[cos 2πBx, sin 2πBx] for B `(m, d)`; (…, 2m)."""
    angles = 2 * np.pi * x @ frequencies.T
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=-1)


# --8<-- [end:features]


def gaussian_frequencies(count: int, dimension: int, scale: float, rng: np.random.Generator) -> np.ndarray:
    """B of `random_features`, `(count, dimension)` from N(0, scale²): cycles per unit of length.

    Raises ValueError for a negative scale.
    """
    if scale < 0:
        raise ValueError(f"a standard deviation cannot be negative: {scale}")
    return scale * rng.standard_normal((count, dimension))


def octave_kernel(difference: np.ndarray, count: int) -> np.ndarray:
    """γ(x)ᵀγ(y) of octaves in one dimension, divided by its value at zero: the mean of cos(2^k π difference)."""
    return np.mean(np.cos(np.pi * 2.0 ** np.arange(count) * np.asarray(difference)[..., None]), axis=-1)


def random_kernel(distance: np.ndarray, scale: float) -> np.ndarray:
    """Expected γ(x)ᵀγ(y) / m of random Fourier features: exp(-2 π² scale² distance²)."""
    return np.exp(-2 * np.pi**2 * scale**2 * np.square(distance))


def integrated_octaves(mean: np.ndarray, variance: np.ndarray, count: int) -> np.ndarray:
    """E γ(x) for independent x_j ~ N(mean_j, variance_j), both `(…, d)`; `(…, 2 count d)` in the order of `octaves`.

    A wave that is shorter than the blur fades by exp(-(2^k π)² variance / 2).
    """
    rates = np.pi * 2.0 ** np.arange(count)[:, None]
    fading = np.exp(-0.5 * rates**2 * variance[..., None, :])
    waves = octaves(mean, count).reshape(*mean.shape[:-1], count, 2, mean.shape[-1])
    return (waves * fading[..., None, :]).reshape(*mean.shape[:-1], -1)


def ntk(cosine: np.ndarray, hidden_layers: int) -> np.ndarray:
    """Neural tangent kernel of an infinitely wide ReLU network without biases, between unit inputs, by their cosine.

    Weights are N(0, 1); from the second layer on the factor sqrt(2 / fan_in) stands in front of them (Jacot et al.,
    2018, arXiv 1806.07572, theorem 1, with the arc-cosine kernels of Cho and Saul, 2009).
    """
    cosine = np.clip(cosine, -1, 1)
    kernel = cosine
    for _ in range(hidden_layers):
        angle = np.arccos(cosine)
        slopes = (np.pi - angle) / np.pi  # 2 E φ'(u) φ'(v)
        cosine = (np.sin(angle) + (np.pi - angle) * cosine) / np.pi  # 2 E φ(u) φ(v)
        kernel = cosine + kernel * slopes
    return kernel


def siren_uniform(fan_out: int, fan_in: int, rng: np.random.Generator, omega: float = 30.0, first: bool = False):
    """Weights of a layer sin(omega W x), `(fan_out, fan_in)`: uniform on ±sqrt(6 / fan_in) / omega.

    The first layer, whose inputs are coordinates from [-1, 1], is uniform on ±1 / fan_in.
    """
    bound = 1.0 / fan_in if first else np.sqrt(6.0 / fan_in) / omega
    return rng.uniform(-bound, bound, (fan_out, fan_in))
