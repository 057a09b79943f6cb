"""Gradient clipping: by the global norm, by value, and adaptively by unit.

Gradients are lists of arrays, one a parameter tensor, of any shapes. Nothing is changed in place.
"""

from collections.abc import Sequence

import numpy as np

Arrays = Sequence[np.ndarray]


# --8<-- [start:norm]
def global_norm(grads):
    """Euclidean norm of all gradients laid out as one long vector."""
    return float(np.sqrt(sum(np.sum(np.square(g)) for g in grads)))


def clip_by_global_norm(grads, c):
    """Scale all of `grads` by min(1, c / norm); return them and the norm.

    The norm returned is the one before clipping: that is what to log.
    """
    if not c > 0:
        raise ValueError(f"the threshold must be positive: {c}")
    norm = global_norm(grads)
    if not np.isfinite(norm):
        raise FloatingPointError("a non-finite gradient: skip the step")
    scale = min(1.0, c / norm) if norm else 1.0
    return [scale * g for g in grads], norm


# --8<-- [end:norm]


def clip_by_value(grads: Arrays, c: float) -> list[np.ndarray]:
    """Cut every component to [-c, c]; unlike scaling, this turns the gradient. Raises ValueError unless c > 0."""
    if not c > 0:
        raise ValueError(f"the threshold must be positive: {c}")
    return [np.clip(g, -c, c) for g in grads]


def adaptive_clip(grads: Arrays, weights: Arrays, c: float, eps: float = 1e-3) -> list[np.ndarray]:
    """Adaptive gradient clipping of Brock et al., 2021 (arXiv 2102.06171, eq. 3).

    A unit is a row of a weight matrix `(d_out, d_in)`, a filter of a kernel `(C_out, C_in, k, k)`, or a whole vector.
    The gradient of a unit is scaled down where its norm exceeds `c * max(norm of the unit's weights, eps)`; `eps` lets
    units that are still zero move. Raises ValueError unless c > 0, and when a gradient and its weights differ in shape.
    """
    if not c > 0:
        raise ValueError(f"the threshold must be positive: {c}")
    return [_clip_units(g, w, c, eps) for g, w in zip(grads, weights, strict=True)]


def _clip_units(grad: np.ndarray, weight: np.ndarray, c: float, eps: float) -> np.ndarray:
    if grad.shape != weight.shape:
        raise ValueError(f"a gradient of shape {grad.shape} for weights of shape {weight.shape}")
    allowed = c * np.maximum(_unit_norms(weight), eps)
    norms = _unit_norms(grad)
    return grad * np.minimum(1.0, allowed / np.maximum(norms, np.finfo(float).tiny))


def _unit_norms(array: np.ndarray) -> np.ndarray:
    axes = tuple(range(1, array.ndim)) if array.ndim > 1 else None
    return np.sqrt(np.sum(np.square(array), axis=axes, keepdims=True))
