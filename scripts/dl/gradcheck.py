"""Finite differences, and the relative error that compares them with backpropagation.

Steps follow from the balance of truncation and rounding (Press et al., Numerical Recipes, section 5.7): the central
difference has error O(h^2) + O(eps/h), least at h ~ eps^(1/3) = 6e-6 in float64, the forward one O(h) + O(eps/h), least
at h ~ eps^(1/2) = 1.5e-8.
"""

from collections.abc import Callable

import numpy as np


# --8<-- [start:numerical-gradient]
def numerical_gradient(f, theta, h=6e-6):
    """Central differences of a scalar f at theta, shape of theta."""
    theta = np.array(theta, dtype=float)  # a copy to perturb
    gradient = np.zeros_like(theta)
    for i in np.ndindex(theta.shape):
        kept = theta[i]
        theta[i] = kept + h
        f_plus = f(theta)
        theta[i] = kept - h
        f_minus = f(theta)
        theta[i] = kept
        gradient[i] = (f_plus - f_minus) / (2 * h)
    return gradient


# --8<-- [end:numerical-gradient]


def forward_difference(f: Callable[[np.ndarray], float], theta: np.ndarray, h: float = 1.5e-8) -> np.ndarray:
    """(f(theta + h e_i) - f(theta)) / h for every coordinate: |theta| + 1 evaluations, error O(h)."""
    theta = np.array(theta, dtype=float)
    gradient = np.zeros_like(theta)
    base = f(theta)
    for i in np.ndindex(theta.shape):
        kept = theta[i]
        theta[i] = kept + h
        gradient[i] = (f(theta) - base) / h
        theta[i] = kept
    return gradient


def relative_error(g: np.ndarray, g_hat: np.ndarray) -> float:
    """||g - g_hat|| / (||g|| + ||g_hat||), between 0 and 1; 0 when both gradients are exactly zero."""
    scale = np.linalg.norm(g) + np.linalg.norm(g_hat)
    return float(np.linalg.norm(np.asarray(g) - g_hat) / scale) if scale else 0.0
