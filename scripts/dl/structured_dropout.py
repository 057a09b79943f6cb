"""Dropout for feature maps: whole channels, blocks, whole residual branches; and what survivors tell about the dropped.

Arrays are `(B, C, H, W)`; `p` is always the share to *drop*. Functions are training passes: at test time each is the
identity.
"""

import numpy as np

from scripts.dl.dropout import dropout


def spatial_dropout(a: np.ndarray, p: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Whole channels with probability p (Tompson et al., 2015, arXiv 1411.4280; `nn.Dropout2d`). Output and mask."""
    return dropout(a, p, rng, shared=(2, 3))


def seed_rate(p: float, block: int, height: int, width: int) -> float:
    """Probability gamma that a place becomes the centre of a dropped block (Ghiasi et al., 2018, equation 1)."""
    room = (height - block + 1) * (width - block + 1)
    return p / block**2 * height * width / room


# --8<-- [start:dropblock]
def drop_block(a, p, block, rng):
    """Zero squares of side block; the output and the factors, (B, C, H, W).

    About the share p falls out; the rest is scaled by its actual share.
    """
    *rows, height, width = a.shape
    gamma = seed_rate(p, block, height, width)
    room = (*rows, height - block + 1, width - block + 1)
    seeds = rng.random(room) < gamma  # upper left corners of whole blocks
    kept = np.ones(a.shape, dtype=bool)
    for i in range(block):
        for j in range(block):
            kept[..., i : i + room[-2], j : j + room[-1]] &= ~seeds
    mask = kept * (kept.size / max(kept.sum(), 1))
    return a * mask, mask


# --8<-- [end:dropblock]


def realised_share(p: float, block: int, height: int, width: int) -> float:
    """Expected share that `drop_block` drops: overlaps make it less than p.

    A place survives if none of the blocks that cover it is there; at the edges fewer blocks do.
    """
    gamma = seed_rate(p, block, height, width)
    covers = np.outer(_covering(height, block), _covering(width, block))
    return float(np.mean(1 - (1 - gamma) ** covers))


def _covering(length: int, block: int) -> np.ndarray:
    places = np.arange(length)
    return np.minimum(places, length - block) - np.maximum(places - block + 1, 0) + 1


# --8<-- [start:stochastic-depth]
def stochastic_depth(x, branch, p, rng):
    """x + branch(x), where an object loses its branch with probability p.

    Survivors are divided by 1 - p, so nothing changes at test time.
    """
    kept = rng.random((len(x), *[1] * (x.ndim - 1))) >= p
    return x + branch(x) * kept / (1 - p)


# --8<-- [end:stochastic-depth]


def linear_schedule(blocks: int, last: float) -> np.ndarray:
    """Drop probabilities p_l = l/L * last of residual blocks 1…L (Huang et al., 2016, arXiv 1603.09382), (L,)."""
    return np.arange(1, blocks + 1) / blocks * last


def soft_orthogonality(w: np.ndarray, weight: float) -> tuple[float, np.ndarray]:
    """weight * ||W^T W - I||_F^2 and its gradient, for a kernel (C_out, C_in, k, k).

    W is the kernel reshaped to (C_in k k, C_out), a filter in a column (Bansal et al., 2018, arXiv 1810.09102, eq. 1).
    """
    W = w.reshape(len(w), -1).T
    gap = W.T @ W - np.eye(len(w))
    return weight * float(np.sum(gap**2)), (4 * weight * W @ gap).T.reshape(w.shape)
