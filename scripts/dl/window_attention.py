"""Attention inside windows of a feature map, plain and shifted, and what it costs.

A map is (B, h, w, C). Windows are squares of M×M positions that do not overlap; every second layer shifts the grid of
windows by M/2 so that neighbours across a border meet. The shift is cyclic, and a mask keeps apart what only the
rolling has brought together.

Source: Liu et al. 2021 (Swin, arXiv 2103.14030), section 3.2, equations 1 and 2.
"""

from collections.abc import Callable

import numpy as np

Attend = Callable[[np.ndarray, np.ndarray | None], np.ndarray]


def partition(X: np.ndarray, M: int) -> np.ndarray:
    """(B, h, w, C) -> (B, windows, M², C), row by row; ValueError if h or w is not whole windows."""
    B, h, w, C = X.shape
    if h % M or w % M:
        raise ValueError(f"a map of {h}×{w} is not whole windows of {M}")
    cut = X.reshape(B, h // M, M, w // M, M, C)
    return cut.transpose(0, 1, 3, 2, 4, 5).reshape(B, -1, M * M, C)


def merge(windows: np.ndarray, h: int, w: int) -> np.ndarray:
    """The inverse of `partition`."""
    B, _, positions, C = windows.shape
    M = round(positions**0.5)
    cut = windows.reshape(B, h // M, w // M, M, M, C)
    return cut.transpose(0, 1, 3, 2, 4, 5).reshape(B, h, w, C)


def regions(size: int, M: int, shift: int) -> np.ndarray:
    """(size,): the number of the window along one axis when the grid is shifted, for positions in their own places."""
    return (np.arange(size) + M - shift) // M if shift else np.arange(size) // M


def shift_mask(h: int, w: int, M: int, shift: int) -> np.ndarray:
    """(windows, M², M²), True where two positions of a rolled window were neighbours before the rolling."""
    names = regions(h, M, shift)[:, None] * (w + 1) + regions(w, M, shift)
    rolled = np.roll(names, (-shift, -shift), (0, 1))
    cut = partition(rolled[None, :, :, None], M)[0, :, :, 0]
    return cut[:, :, None] == cut[:, None, :]


# --8<-- [start:windows]
def window_attention(X, attend, M, shift=0):
    """X (B, h, w, C); attend(tokens (n, M², C), mask) -> same shape."""
    B, h, w, C = X.shape
    rolled = np.roll(X, (-shift, -shift), (1, 2))
    windows = partition(rolled, M)
    mask = None
    if shift:
        mask = np.tile(shift_mask(h, w, M, shift), (B, 1, 1))
    out = attend(windows.reshape(-1, M * M, C), mask)
    out = merge(out.reshape(windows.shape), h, w)
    return np.roll(out, (shift, shift), (1, 2))


# --8<-- [end:windows]


def global_multiply_adds(h: int, w: int, C: int) -> int:
    """Equation 1: projections and attention of all positions with all."""
    return 4 * h * w * C**2 + 2 * (h * w) ** 2 * C


def window_multiply_adds(h: int, w: int, C: int, M: int) -> int:
    """Equation 2: the same with windows of M×M."""
    return 4 * h * w * C**2 + 2 * M**2 * h * w * C
