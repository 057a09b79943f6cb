"""Signed distance functions: exact ones, their combinations, and how a ray finds the surface with them.

A function `f` takes points `(…, d)` and returns `(…)`: the distance to the surface, negative inside. Sphere tracing:
Hart, 1996.
"""

from collections.abc import Callable

import numpy as np

SignedDistance = Callable[[np.ndarray], np.ndarray]


def ball(x: np.ndarray, radius: float) -> np.ndarray:
    """A circle or a sphere around the origin."""
    return np.linalg.norm(x, axis=-1) - radius


def box(x: np.ndarray, half_sizes: np.ndarray) -> np.ndarray:
    """A rectangle or a box around the origin with the given half sizes `(d,)`."""
    beyond = np.abs(x) - half_sizes
    outside = np.linalg.norm(np.maximum(beyond, 0), axis=-1)
    return outside + np.minimum(beyond.max(axis=-1), 0)


def polygon(x: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """A simple polygon with `vertices` `(n, 2)` in order: nearest edge, and the sign by counting crossings."""
    starts, ends = vertices, np.roll(vertices, -1, axis=0)
    edges, offsets = ends - starts, x[..., None, :] - starts
    along = np.clip(np.sum(offsets * edges, axis=-1) / np.sum(edges**2, axis=-1), 0, 1)
    distance = np.linalg.norm(offsets - along[..., None] * edges, axis=-1).min(axis=-1)
    y = x[..., None, 1]
    straddles = (starts[:, 1] > y) != (ends[:, 1] > y)
    rise = np.where(edges[:, 1] == 0, 1.0, edges[:, 1])  # horizontal edges straddle nothing
    crossing = starts[:, 0] + (y - starts[:, 1]) / rise * edges[:, 0]
    inside = np.sum(straddles & (x[..., None, 0] < crossing), axis=-1) % 2 == 1
    return np.where(inside, -distance, distance)


def gradient(f: SignedDistance, x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """∇f by central differences, `(…, d)`: on the surface this is the outward normal."""
    shifts = step * np.eye(x.shape[-1])
    return np.stack([(f(x + shift) - f(x - shift)) / (2 * step) for shift in shifts], axis=-1)


# --8<-- [start:sphere-tracing]
def sphere_trace(f, origin, direction, far, tolerance=1e-4, steps=100):
    """Distances t_0 = 0, t_1, … along a unit ray up to the surface.

    |f| says how far one can go without meeting the surface.
    Returns (all t, whether the last one lies on the surface).
    """
    t = [0.0]
    for _ in range(steps):
        free = f(origin + t[-1] * direction)
        if free < tolerance:
            return np.array(t), True
        t.append(t[-1] + free)
        if t[-1] > far:
            break
    return np.array(t), False


# --8<-- [end:sphere-tracing]
