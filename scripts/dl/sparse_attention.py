"""Attention over a part of the pairs: masks, their density and reach, and a window computed in O(T w).

A mask (T, T) is True where query i (row) looks at key j (column), as in `scripts/dl/attention.py`. Windows and global
tokens: Longformer (arXiv 2004.05150). Strided: Sparse Transformer (arXiv 1904.10509, section 4.3). Window + random +
global: BigBird (arXiv 2007.14062, section 2). Hashing: Reformer (arXiv 2001.04451, section 2), after Andoni et al.
"""

import numpy as np

from scripts.dl.attention import attention


# --8<-- [start:masks]
def window_mask(T, radius, causal=False):
    """|i - j| ≤ radius; causal: the token itself and `radius` before it."""
    gap = np.arange(T)[:, None] - np.arange(T)
    return (np.abs(gap) <= radius) & ((gap >= 0) | (not causal))


def strided_mask(T, stride):
    """Sparse Transformer: the last `stride` tokens, and from all the past
    those at a distance that `stride` divides. Causal."""
    gap = np.arange(T)[:, None] - np.arange(T)
    return (gap >= 0) & ((gap < stride) | (gap % stride == 0))


def bigbird_mask(T, radius, global_tokens, random_keys, rng):
    """Window, the first tokens see and are seen by all, random keys."""
    mask = window_mask(T, radius)
    mask[:global_tokens] = mask[:, :global_tokens] = True
    for i in range(global_tokens, T):
        left = np.flatnonzero(~mask[i])
        mask[i, rng.choice(left, random_keys, replace=False)] = True
    return mask


# --8<-- [end:masks]


def fixed_mask(T: int, stride: int) -> np.ndarray:
    """Sparse Transformer's fixed pattern, one summary per block: own block up to oneself, and the last token of each
    earlier block."""
    i, j = np.arange(T)[:, None], np.arange(T)
    return (j <= i) & ((i // stride == j // stride) | (j % stride == stride - 1))


def global_mask(T: int, radius: int, global_tokens: int) -> np.ndarray:
    """Longformer: a window, and the first tokens see all and are seen by all."""
    mask = window_mask(T, radius)
    mask[:global_tokens] = mask[:, :global_tokens] = True
    return mask


def block_mask(T: int, block: int) -> np.ndarray:
    """Blocks of `block` tokens that do not see each other, as Swin's windows (there in two dimensions)."""
    number = np.arange(T) // block
    return number[:, None] == number


def density(mask: np.ndarray) -> float:
    """Share of the pairs that are looked at."""
    return float(np.mean(mask))


def window_pairs(T: int, radius: int) -> int:
    """Pairs of a two-sided window: T (2r + 1) less the two corners."""
    return T * (2 * radius + 1) - radius * (radius + 1)


def reach(mask: np.ndarray, layers: int) -> np.ndarray:
    """(T, T), True where information gets from key j to query i in so many layers (the residual keeps i itself)."""
    step = mask | np.eye(len(mask), dtype=bool)
    seen = np.eye(len(mask), dtype=bool)
    for _ in range(layers):
        seen = (step.astype(float) @ seen) > 0
    return seen


# --8<-- [start:window]
def window_attention(Q, K, V, radius):
    """Window attention without T × T: blocks of `radius` queries look at
    three blocks of keys each. Raises ValueError unless radius divides T."""
    T, d = Q.shape
    if T % radius:
        raise ValueError(f"blocks of {radius} do not divide length {T}")
    around = ((radius, radius), (0, 0))
    i = np.arange(T).reshape(-1, radius)  # numbers of queries by blocks
    j = i[:, :1] + np.arange(-radius, 2 * radius)  # keys of each block
    K3, V3 = (np.pad(X, around)[j + radius] for X in (K, V))
    gap = i[:, :, None] - j[:, None, :]
    mask = (np.abs(gap) <= radius) & ((j >= 0) & (j < T))[:, None, :]
    Y, _ = attention(Q.reshape(-1, radius, d), K3, V3, mask)
    return Y.reshape(T, -1)


# --8<-- [end:window]


def hash_buckets(X: np.ndarray, R: np.ndarray) -> np.ndarray:
    """Angular hash (T,) of the rows: number of the largest of [xR, -xR], R (d, b/2) for b buckets."""
    turned = X @ R
    return np.argmax(np.concatenate([turned, -turned], axis=-1), axis=-1)


def hash_mask(X: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """Pairs that share a bucket in at least one of the rounds; `rotations` is (rounds, d, b/2). Queries are keys."""
    same = [buckets[:, None] == buckets for buckets in (hash_buckets(X, R) for R in rotations)]
    return np.any(same, axis=0)
