"""Gradient play in the two smallest games that show why training a GAN circles.

The bilinear game min over x, max over y of x y has one equilibrium, (0, 0). In the Dirac-GAN (Mescheder et al., 2018,
arXiv 1801.04406, section 2) the data is the point 0, the generator the point theta, the discriminator the logit psi x:
V = log sigma(0) + log sigma(-theta psi), whose field near the equilibrium is that of the bilinear game over two.
A field maps a point (2,) to the direction in which each player wants to move: down for the first, up for the second.
"""

from collections.abc import Callable

import numpy as np

Field = Callable[[np.ndarray], np.ndarray]


def bilinear_field(point: np.ndarray) -> np.ndarray:
    """(-dV/dx, dV/dy) of V = x y."""
    x, y = point
    return np.array([-y, x])


def dirac_field(point: np.ndarray, gamma: float = 0.0) -> np.ndarray:
    """The same of the Dirac-GAN at (theta, psi), with the penalty R1 of weight gamma: -gamma/2 psi^2 for D.

    The gradient of the logit psi x in x is psi, also at the data point.
    """
    theta, psi = point
    pull = 1 / (1 + np.exp(-theta * psi))  # sigma(theta psi)
    return np.array([psi * pull, -theta * pull - gamma * psi])


# --8<-- [start:steps]
def simultaneous(field, point, eta):
    return point + eta * field(point)


def alternating(field, point, eta):
    """The second player answers the first one's new move."""
    first = point + eta * field(point) * [1, 0]
    return first + eta * field(first) * [0, 1]


def extragradient(field, point, eta):
    """Look ahead, then step from here by the gradient from there."""
    ahead = point + eta * field(point)
    return point + eta * field(ahead)
    # --8<-- [end:steps]


def play(step: Callable[[Field, np.ndarray, float], np.ndarray], field: Field, start, eta: float, steps: int):
    """All points of the play, (steps + 1, 2)."""
    points = [np.asarray(start, dtype=float)]
    for _ in range(steps):
        points.append(step(field, points[-1], eta))
    return np.array(points)
