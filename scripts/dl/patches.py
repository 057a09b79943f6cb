"""From a picture to tokens: patches, their linear embedding, learned positions, and what a ViT costs.

A picture is (B, C, H, W), its patches (B, N, P²C) with N = (H/P)(W/P), row by row from the upper left corner; inside a
patch the order is channel, row, column, as in the weight of a convolution.

Sources: Dosovitskiy et al. 2020 (arXiv 2010.11929), equation 1 and table 1, the resolution change in section 3.2;
sizes and totals are those of torchvision's `vit_b_16` and its kin. Bicubic weights: Keys 1981 with a = -0.75, as in
`torch.nn.functional.interpolate`.
"""

from dataclasses import dataclass

import numpy as np


# --8<-- [start:patchify]
def patchify(x, patch):
    """(B, C, H, W) -> (B, N, P²C): N squares of P×P, row by row."""
    B, C, H, W = x.shape
    if H % patch or W % patch:
        raise ValueError(f"{H}×{W} is not whole patches of {patch}")
    rows, columns = H // patch, W // patch
    cut = x.reshape(B, C, rows, patch, columns, patch)
    return cut.transpose(0, 2, 4, 1, 3, 5).reshape(B, rows * columns, -1)


def vit_input(x, patch, E, cls, positions):
    """z_0 = [cls; x_p E] + E_pos, (B, 1+N, d): E (P²C, d), cls (d,)."""
    tokens = patchify(x, patch) @ E
    first = np.broadcast_to(cls, (len(x), 1, len(cls)))
    return np.concatenate([first, tokens], axis=1) + positions


# --8<-- [end:patchify]


def unpatchify(patches: np.ndarray, grid: tuple[int, int], channels: int) -> np.ndarray:
    """(B, N, P²C) -> (B, C, H, W), the inverse of `patchify`; `grid` is (H/P, W/P).

    Raises ValueError if N is not that of the grid or the width not P²C of a whole P.
    """
    B, N, width = patches.shape
    patch = round((width / channels) ** 0.5)
    if grid[0] * grid[1] != N or patch * patch * channels != width:
        raise ValueError(f"{N} patches of {width} numbers are not {grid[0]}×{grid[1]} of {channels} channels")
    cut = patches.reshape(B, *grid, channels, patch, patch)
    return cut.transpose(0, 3, 1, 4, 2, 5).reshape(B, channels, grid[0] * patch, grid[1] * patch)


def as_kernels(E: np.ndarray, patch: int) -> np.ndarray:
    """The embedding (P²C, d) as kernels (d, C, P, P) of a convolution with kernel and stride P."""
    return np.ascontiguousarray(E.T).reshape(E.shape[1], -1, patch, patch)


# --- Positions -------------------------------------------------------------------------------------------------------

KEYS = -0.75  # the free parameter of the cubic kernel


def bicubic_matrix(old: int, new: int) -> np.ndarray:
    """(new, old): weights by which `new` points read `old` ones; every row sums to one.

    Pixel centres are aligned at halves (`align_corners=False`), neighbours beyond the edge are the edge itself.
    """
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    left = np.floor(centres).astype(int)
    weights = np.zeros((new, old))
    for shift in (-1, 0, 1, 2):
        column = np.clip(left + shift, 0, old - 1)
        np.add.at(weights, (np.arange(new), column), _cubic(np.abs(centres - left - shift)))
    return weights


def _cubic(t: np.ndarray) -> np.ndarray:
    near = (KEYS + 2) * t**3 - (KEYS + 3) * t**2 + 1
    far = KEYS * (t**3 - 5 * t**2 + 8 * t - 4)
    return np.where(t <= 1, near, far)


# --8<-- [start:positions]
def interpolate_positions(positions, old, new):
    """E_pos (1 + h·w, d) of a grid `old` = (h, w) read on the grid `new`.

    The row of [CLS] has no place in the picture and stays as it is.
    """
    d = positions.shape[1]
    grid = positions[1:].reshape(*old, d)
    rows, columns = (bicubic_matrix(a, b) for a, b in zip(old, new, strict=True))
    grid = np.einsum("ih,jw,hwd->ijd", rows, columns, grid)
    return np.concatenate([positions[:1], grid.reshape(-1, d)])


# --8<-- [end:positions]


# --- Cost ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ViTSize:
    """Shape of a plain ViT; the width of its feed-forward network is 4 d."""

    d: int
    layers: int
    heads: int
    patch: int


SIZES = {
    "B/32": ViTSize(768, 12, 12, 32),
    "B/16": ViTSize(768, 12, 12, 16),
    "L/16": ViTSize(1024, 24, 16, 16),
    "L/14": ViTSize(1024, 24, 16, 14),
    "H/14": ViTSize(1280, 32, 16, 14),
}


def token_count(side: int, patch: int) -> int:
    """Patches of a square picture (without [CLS]); ValueError if they are not whole."""
    if side % patch:
        raise ValueError(f"{side} is not whole patches of {patch}")
    return (side // patch) ** 2


def vit_parameters(size: ViTSize, side: int = 224, classes: int = 1000, channels: int = 3) -> dict[str, int]:
    """Parameters by part; `classes` = 0 leaves the head out."""
    d = size.d
    attention, ffn, norms = 4 * d * d + 4 * d, 8 * d * d + 5 * d, 4 * d
    return {
        "patch embedding": (size.patch**2 * channels + 1) * d,
        "class token": d,
        "positions": (token_count(side, size.patch) + 1) * d,
        "blocks": size.layers * (attention + ffn + norms),
        "last norm": 2 * d,
        "head": (d + 1) * classes,
    }


def vit_multiply_adds(size: ViTSize, side: int = 224, classes: int = 1000, channels: int = 3) -> dict[str, int]:
    """Multiply-adds (half of FLOPs) of one picture by part; softmax, norms and activations are left out.

    "linear" are the four projections of attention and the feed-forward network (12 T d² a layer), "attention" the
    two products with the T×T matrix (2 T² d a layer), T = N + 1.
    """
    N, d = token_count(side, size.patch), size.d
    T = N + 1
    return {
        "patch embedding": N * size.patch**2 * channels * d,
        "linear": size.layers * 12 * T * d * d,
        "attention": size.layers * 2 * T * T * d,
        "head": d * classes,
    }
