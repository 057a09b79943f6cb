"""Random initial weights of a linear layer, by recipe.

Every recipe is a function `(fan_out, fan_in, rng) -> W` with `W` of shape `(fan_out, fan_in)`, so that a layer computes
`z = W a + b` as `torch.nn.Linear` does. `normal` and `constant` take a parameter first and return such a function.
"""

from collections.abc import Callable

import numpy as np

Initializer = Callable[[int, int, np.random.Generator], np.ndarray]


def normal(std: float) -> Initializer:
    """Recipe with entries from N(0, std²), blind to the size of the layer; raises ValueError for a negative `std`."""
    if std < 0:
        raise ValueError(f"a standard deviation cannot be negative: {std}")
    return lambda fan_out, fan_in, rng: std * rng.standard_normal((fan_out, fan_in))


def constant(value: float) -> Initializer:
    """Recipe with every entry equal to `value`: the one that never breaks the symmetry between units."""
    return lambda fan_out, fan_in, rng: np.full((fan_out, fan_in), float(value))


# --8<-- [start:recipes]
def xavier_normal(fan_out, fan_in, rng):
    """N(0, 2 / (fan_in + fan_out)): Glorot and Bengio, 2010, eq. 12."""
    std = np.sqrt(2.0 / (fan_in + fan_out))
    return std * rng.standard_normal((fan_out, fan_in))


def he_normal(fan_out, fan_in, rng):
    """N(0, 2 / fan_in): He et al., 2015, eq. 10."""
    std = np.sqrt(2.0 / fan_in)
    return std * rng.standard_normal((fan_out, fan_in))


def orthogonal(fan_out, fan_in, rng):
    """Orthonormal rows or columns, whichever are fewer: Saxe, 2013."""
    short, long = sorted((fan_out, fan_in))
    q, r = np.linalg.qr(rng.standard_normal((long, short)))
    q *= np.sign(np.diag(r))  # or q would not be uniform
    return q if fan_out >= fan_in else q.T


# --8<-- [end:recipes]


def xavier_uniform(fan_out: int, fan_in: int, rng: np.random.Generator) -> np.ndarray:
    """Uniform on ±sqrt(6 / (fan_in + fan_out)), the variance of `xavier_normal`: Glorot and Bengio, 2010, eq. 16."""
    bound = np.sqrt(6.0 / (fan_in + fan_out))
    return rng.uniform(-bound, bound, (fan_out, fan_in))


def linear_default(fan_out: int, fan_in: int, rng: np.random.Generator) -> np.ndarray:
    """Uniform on ±1 / sqrt(fan_in), as `torch.nn.Linear` begins: variance 1 / (3 fan_in), a third of Xavier's."""
    bound = 1.0 / np.sqrt(fan_in)
    return rng.uniform(-bound, bound, (fan_out, fan_in))
