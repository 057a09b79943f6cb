"""Residual blocks and what their shortcuts do to gradients.

A block computes x_{l+1} = x_l + F_l(x_l) on batches x of shape (B, d), objects in rows. The branch here is the full
pre-activation of He et al., 2016 (arXiv:1603.05027, fig. 1b) without normalisation: F(x) = W2 relu(W1 relu(x)), with
W1 of shape (d_mid, d) and W2 of shape (d, d_mid).
"""

from collections.abc import Callable, Sequence

import numpy as np

VectorJacobian = Callable[[np.ndarray], np.ndarray]


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0.0)


class PreActivationBlock:
    """y = x + W2 relu(W1 relu(x)); raises ValueError when the branch does not return to the width of x."""

    def __init__(self, W1: np.ndarray, W2: np.ndarray):
        if W1.shape != W2.shape[::-1]:
            raise ValueError(f"the branch must end where it began: {W1.shape} then {W2.shape}")
        self.W1, self.W2 = W1, W2

    # --8<-- [start:block]
    def forward(self, x):
        """x + F(x), both (B, d)."""
        self.x = x
        self.z = relu(x) @ self.W1.T  # (B, d_mid)
        return x + relu(self.z) @ self.W2.T

    def branch_backward(self, bar_y):
        """The adjoint of x through the branch alone, J^T bar_y."""
        bar_z = (bar_y @ self.W2) * (self.z > 0)
        return (bar_z @ self.W1) * (self.x > 0)

    def backward(self, bar_y):
        """Adjoints of x, W1, W2: the shortcut adds bar_y as it is."""
        bar_z = (bar_y @ self.W2) * (self.z > 0)
        bar_W1 = bar_z.T @ relu(self.x)
        bar_W2 = bar_y.T @ relu(self.z)
        return bar_y + self.branch_backward(bar_y), bar_W1, bar_W2

    # --8<-- [end:block]


# --8<-- [start:paths]
def path_gradients(branch_vjps, bar_top):
    """Gradient at the input, split by the number of branches passed.

    `branch_vjps[l]` maps v to J_l^T v. Entry k of the result sums over
    all paths through exactly k branches; the sum of all entries is
    (I + J_0)^T … (I + J_{n-1})^T bar_top.
    """
    parts = [bar_top]  # after no block: one path, no branch
    nothing = np.zeros_like(bar_top)
    for vjp in reversed(branch_vjps):
        around = [*parts, nothing]
        through = [nothing, *(vjp(part) for part in parts)]
        parts = [a + t for a, t in zip(around, through, strict=True)]
    return np.array(parts)  # (n + 1, *bar_top.shape)


# --8<-- [end:paths]


def typical_path_length(ratio: float, blocks: int) -> float:
    """Mean number of branches in a path when each branch passed multiplies the gradient by `ratio`.

    The weight of length k is C(n, k) ratio^k, a binomial distribution with success probability ratio / (1 + ratio).
    """
    return blocks * ratio / (1.0 + ratio)


def second_moments(gains: Sequence[float]) -> np.ndarray:
    """Second moment of the trunk after 0, 1, …, n blocks, relative to the start, when branch l adds, uncorrelated,
    `gains[l]` times the moment of its own input."""
    return np.concatenate([[1.0], np.cumprod(1.0 + np.asarray(gains, dtype=float))])


def convolution_weights(c_in: int, c_out: int, kernel: int) -> int:
    return c_in * c_out * kernel**2


def basic_branch_weights(channels: int) -> int:
    """Two 3×3 convolutions: He et al., 2015 (arXiv:1512.03385), fig. 5 left."""
    return 2 * convolution_weights(channels, channels, 3)


def bottleneck_branch_weights(channels: int, narrow: int) -> int:
    """1×1 down to `narrow` channels, 3×3, 1×1 back up: the same paper, fig. 5 right."""
    return (
        convolution_weights(channels, narrow, 1)
        + convolution_weights(narrow, narrow, 3)
        + convolution_weights(narrow, channels, 1)
    )
