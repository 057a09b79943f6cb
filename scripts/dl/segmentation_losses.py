"""Losses of dense prediction that look at a whole mask rather than at a pixel.

Dice: Milletari et al., 2016 (arXiv 1606.04797), in the form with plain sums. Lovász: Berman et al., 2018 (arXiv
1705.08790), algorithm 1 and equation 9. Masks are flattened: `(n,)` pixels of one class.
"""

import numpy as np


# --8<-- [start:dice]
def soft_dice(p, g, epsilon=1.0):
    """1 - (2 sum pg + eps) / (sum p + sum g + eps), and d/dp, (n,).

    p are probabilities of the pixels, g the mask of 0 and 1.
    """
    top = 2 * np.sum(p * g) + epsilon
    bottom = np.sum(p) + np.sum(g) + epsilon
    return 1 - top / bottom, (top - 2 * g * bottom) / bottom**2


# --8<-- [end:dice]


def lovasz_gradient(sorted_targets: np.ndarray) -> np.ndarray:
    """Weights (n,) of the errors in falling order: steps of the Jaccard loss as mistakes are added one by one."""
    total = sorted_targets.sum()
    intersection = total - np.cumsum(sorted_targets)
    union = total + np.cumsum(1 - sorted_targets)
    return np.diff(1 - intersection / union, prepend=0.0)


def lovasz(p: np.ndarray, g: np.ndarray) -> float:
    """Lovász extension of 1 - IoU at the errors |g - p|; equals 1 - IoU when p is 0 or 1. The mask is not empty."""
    errors = np.abs(g - p)
    order = np.argsort(-errors, kind="stable")
    return float(errors[order] @ lovasz_gradient(g[order]))
