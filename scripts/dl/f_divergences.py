"""f-divergences and their variational form, the objective of f-GAN (Nowozin et al., 2016, arXiv 1606.00709).

D_f(p || q) = E_q f(p / q) for a convex f with f(1) = 0; by Fenchel's inequality f(u) >= u t - f*(t) it is at least
E_p T - E_q f*(T) for any function T (eq. 4 of the paper), with equality at T = f'(p / q). Below p is the data and q the
model. `gan` is shifted: f(1) = -log 4, so that the bound is the value of the game itself. `non_saturating` is the
divergence whose gradient the non-saturating generator follows beside an optimal discriminator (Shannon et al., 2020,
arXiv 2010.08029): 2 KL((p + q) / 2 || p).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class FDivergence:
    """f, its derivative and its convex conjugate f*(t) = sup_u (u t - f(u)), all elementwise; u > 0."""

    f: Function
    derivative: Function
    conjugate: Function


def _non_saturating_conjugate(t: np.ndarray) -> np.ndarray:
    """No closed form: the supremum is at the root of f'(u) = t, found by bisection in log u."""
    f = DIVERGENCES["non-saturating"]
    low, high = np.full(np.shape(t), -60.0), np.full(np.shape(t), 60.0)
    for _ in range(80):
        middle = (low + high) / 2
        above = f.derivative(np.exp(middle)) > t
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    u = np.exp((low + high) / 2)
    return u * t - f.f(u)


DIVERGENCES = {
    "kl": FDivergence(lambda u: u * np.log(u), lambda u: 1 + np.log(u), lambda t: np.exp(t - 1)),
    "reverse-kl": FDivergence(lambda u: -np.log(u), lambda u: -1 / u, lambda t: -1 - np.log(-t)),
    "pearson": FDivergence(lambda u: (u - 1) ** 2, lambda u: 2 * (u - 1), lambda t: t**2 / 4 + t),
    "gan": FDivergence(
        lambda u: u * np.log(u) - (u + 1) * np.log(u + 1),
        lambda u: np.log(u / (u + 1)),
        lambda t: -np.log(1 - np.exp(t)),
    ),
    "non-saturating": FDivergence(
        lambda u: (1 + u) * np.log((1 + u) / (2 * u)),
        lambda u: np.log((1 + u) / (2 * u)) - 1 / u,
        _non_saturating_conjugate,
    ),
    "total-variation": FDivergence(
        lambda u: np.abs(u - 1) / 2, lambda u: np.sign(u - 1) / 2, lambda t: np.where(np.abs(t) <= 0.5, t, np.inf)
    ),
}


def divergence(name: str, p: np.ndarray, q: np.ndarray) -> float:
    """D_f(p || q) of two discrete distributions of the same shape, both positive everywhere."""
    return float(np.sum(q * DIVERGENCES[name].f(p / q)))


def bound(name: str, T: np.ndarray, p: np.ndarray, q: np.ndarray) -> float:
    """E_p T - E_q f*(T): a lower bound of the divergence, exact for T = f'(p / q)."""
    return float(np.sum(p * T) - np.sum(q * DIVERGENCES[name].conjugate(T)))
