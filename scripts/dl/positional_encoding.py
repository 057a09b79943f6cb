"""How a transformer learns where its tokens stand: absolute, relative and rotary positions.

Rows are positions, as in `attention.py`: X is (…, T, d), scores are (…, T_q, T_k). Positions are numbers, counted from
zero; they may be fractional. The offset of a key j from a query i is j - i, negative for the past.

Sources: sinusoids: Vaswani et al. 2017 (arXiv 1706.03762), section 3.5. Vectors of offsets: Shaw et al. 2018
(1803.02155), eqs. 3, 4. Buckets of T5: Raffel et al. 2019 (1910.10683), section 2.1. ALiBi: Press et al. 2021
(2108.12409), section 3. RoPE: Su et al. 2021 (2104.09864), eqs. 14–16. Longer contexts: Chen et al. 2023 (2306.15595),
eq. 4; Peng et al. 2023 (2309.00071), section 3.
"""

import numpy as np

from scripts.dl.losses import softmax

BASE = 10_000.0


def frequencies(d: int, base: float = BASE) -> np.ndarray:
    """(d / 2,) radians per position, base^(-2i/d): from 1 down to almost 1 / base.

    Raises ValueError for an odd d.
    """
    if d % 2:
        raise ValueError(f"waves come in pairs, width {d} is odd")
    return base ** (-np.arange(0, d, 2) / d)


# --- Absolute: a vector added to the embedding ---------------------------------------------------------------------


# --8<-- [start:sinusoidal]
def sinusoidal(positions, d, base=10_000.0):
    """(T, d): columns 2i, 2i + 1 are sin and cos of p base^(-2i/d)."""
    angles = np.asarray(positions)[:, None] * frequencies(d, base)
    waves = np.stack([np.sin(angles), np.cos(angles)], axis=-1)
    return waves.reshape(len(angles), d)


# --8<-- [end:sinusoidal]


def shift_matrix(offset: float, d: int, base: float = BASE) -> np.ndarray:
    """M (d, d) with PE(p + offset) = M PE(p) for every p: rotations by ω_i offset in the plane of each pair."""
    M = np.zeros((d, d))
    for i, angle in enumerate(offset * frequencies(d, base)):
        cos, sin = np.cos(angle), np.sin(angle)
        M[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = [[cos, sin], [-sin, cos]]
    return M


def sinusoidal_kernel(offset: np.ndarray, d: int, base: float = BASE) -> np.ndarray:
    """PE(p)ᵀ PE(p + offset), the same for all p: the sum of cos(ω_i offset), d/2 at zero."""
    return np.cos(np.asarray(offset)[..., None] * frequencies(d, base)).sum(axis=-1)


# --- Relative: a vector or a number for each offset ----------------------------------------------------------------


def offsets(T_q: int, T_k: int | None = None) -> np.ndarray:
    """(T_q, T_k) of j - i. The last query is at the last key, so a query with a cached past has its own row."""
    T_k = T_q if T_k is None else T_k
    return np.arange(T_k) - np.arange(T_k - T_q, T_k)[:, None]


# --8<-- [start:shaw]
def shaw_attention(Q, K, V, key_table, value_table, mask):
    """Vectors of offsets in keys and values; tables (2c + 1, d)."""
    clip = len(key_table) // 2
    index = np.clip(offsets(len(Q)), -clip, clip) + clip  # (T, T)
    scores = Q @ K.T + np.einsum("id,ijd->ij", Q, key_table[index])
    scores = np.where(mask, scores / np.sqrt(Q.shape[1]), -np.inf)
    A = softmax(scores)
    return A @ V + np.einsum("ij,ijd->id", A, value_table[index])


# --8<-- [end:shaw]


# --8<-- [start:t5]
def t5_bucket(offset, buckets=32, longest=128, causal=False):
    """Number of the bucket whose learned bias an offset j - i gets."""
    offset = np.asarray(offset)
    if causal:
        start, distance = 0, np.maximum(-offset, 0)
    else:  # half of the buckets for the future
        buckets //= 2
        start, distance = np.where(offset > 0, buckets, 0), np.abs(offset)
    exact = buckets // 2  # one bucket a distance below this
    far = np.log(np.maximum(distance, exact) / exact)
    far = exact + far / np.log(longest / exact) * (buckets - exact)
    far = np.minimum(far.astype(int), buckets - 1)
    return start + np.where(distance < exact, distance, far)


# --8<-- [end:t5]


# --8<-- [start:alibi]
def alibi_slopes(heads):
    """(h,): 2^(-8/h), 2^(-16/h), …, 2^-8; h a power of two."""
    return 2.0 ** (-8 * np.arange(1, heads + 1) / heads)


def alibi_bias(T, heads):
    """(h, T, T), added to the scores: -m (i - j) for j <= i."""
    distance = np.maximum(-offsets(T), 0)
    return -alibi_slopes(heads)[:, None, None] * distance


# --8<-- [end:alibi]


# --- Rotary: queries and keys turned by their own position ---------------------------------------------------------


# --8<-- [start:rope]
def rotate(X, positions, omega=None):
    """Turn the pair (2i, 2i + 1) of row p of X by p omega_i; (…, T, d)."""
    omega = frequencies(X.shape[-1]) if omega is None else omega
    angles = np.asarray(positions)[:, None] * omega  # (T, d / 2)
    cos, sin = np.cos(angles), np.sin(angles)
    a, b = X[..., 0::2], X[..., 1::2]
    turned = np.stack([a * cos - b * sin, a * sin + b * cos], axis=-1)
    return turned.reshape(X.shape)


# --8<-- [end:rope]


def rotate_halves(X: np.ndarray, positions: np.ndarray, omega: np.ndarray | None = None) -> np.ndarray:
    """The same with pairs (i, i + d/2): the columns of `rotate` in another order, `half_order`."""
    omega = frequencies(X.shape[-1]) if omega is None else omega
    angles = np.asarray(positions)[:, None] * omega
    cos, sin = np.cos(angles), np.sin(angles)
    a, b = np.split(X, 2, axis=-1)
    return np.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


def half_order(d: int) -> np.ndarray:
    """Order of columns with rotate(X)[:, half_order] = rotate_halves(X[:, half_order])."""
    return np.concatenate([np.arange(0, d, 2), np.arange(1, d, 2)])


def rotate_axial(X: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """RoPE of a plane: the first half of the columns of X (T, d) turns with the row, the second with the column.

    Raises ValueError unless 4 divides d.
    """
    if X.shape[-1] % 4:
        raise ValueError(f"each axis needs whole pairs, width {X.shape[-1]} is not a multiple of 4")
    first, second = np.split(X, 2, axis=-1)
    return np.concatenate([rotate(first, rows), rotate(second, columns)], axis=-1)


# --- Rotary beyond the training length -----------------------------------------------------------------------------


# --8<-- [start:stretch]
def interpolated(d, stretch, base=10_000.0):
    """Position interpolation: p / s instead of p, every wave s times longer."""
    return frequencies(d, base) / stretch


def ntk_aware(d, stretch, base=10_000.0):
    """A larger base: the fastest wave stays, the slowest is s times longer."""
    return frequencies(d, base * stretch ** (d / (d - 2)))


def yarn(d, stretch, trained, base=10_000.0, slow=1.0, fast=32.0):
    """Waves that turn often in training stay, unfinished ones stretch."""
    omega = frequencies(d, base)
    turns = trained * omega / (2 * np.pi)  # within the training length
    keep = np.clip((turns - slow) / (fast - slow), 0, 1)
    return keep * omega + (1 - keep) * omega / stretch


# --8<-- [end:stretch]


def yarn_temperature(stretch: float) -> float:
    """Factor of queries and of keys, 0.1 log s + 1: the scores grow by its square."""
    return 0.1 * np.log(stretch) + 1 if stretch > 1 else 1.0
