"""Low-rank adaptation of a frozen linear layer or convolution: Hu et al., 2021 (arXiv:2106.09685), eq. 3.

The weight is W = W0 + (alpha / r) B A with W0 of shape (d_out, d_in) frozen, A (r, d_in) random and B (d_out, r) zero.
Rows of a batch are objects; `rows` below is their number, because B is taken.
"""

import math

import numpy as np


class LoRALinear:
    """y = x W^T + b; raises ValueError when the rank is not between 1 and the smaller side of W0."""

    def __init__(self, W0: np.ndarray, b: np.ndarray, rank: int, alpha: float, rng: np.random.Generator):
        d_out, d_in = W0.shape
        if not 1 <= rank <= min(d_out, d_in):
            raise ValueError(f"rank {rank} does not fit a weight of shape {W0.shape}")
        self.W0, self.b, self.scale = W0, b, alpha / rank
        self.A = rng.standard_normal((rank, d_in)) / math.sqrt(d_in)
        self.B = np.zeros((d_out, rank))

    # --8<-- [start:layer]
    def forward(self, x):
        """x (rows, d_in) -> y (rows, d_out), W is never formed."""
        self.x, self.low = x, x @ self.A.T  # kept: x and (rows, r)
        update = self.scale * self.low @ self.B.T
        return x @ self.W0.T + self.b + update

    def backward(self, bar_y):
        """Adjoints of x, A, B; nothing of the size of W0 appears."""
        bar_low = self.scale * bar_y @ self.B  # (rows, r)
        bar_B = self.scale * bar_y.T @ self.low
        bar_A = bar_low.T @ self.x
        bar_x = bar_y @ self.W0 + bar_low @ self.A
        return bar_x, bar_A, bar_B

    def merged(self):
        """One matrix for inference: as fast as before."""
        return self.W0 + self.scale * self.B @ self.A

    # --8<-- [end:layer]


def lora_parameters(d_out: int, d_in: int, rank: int) -> int:
    return rank * (d_in + d_out)


def convolution_update(A: np.ndarray, B: np.ndarray, scale: float, kernel: int) -> np.ndarray:
    """The update (C_out, C_in, k, k) of a kernel flattened to (C_out, C_in k²), for A (r, C_in k²) and B (C_out, r).

    The same as a k×k convolution to r channels with the filters A, followed by a 1×1 convolution with B.
    """
    return (scale * B @ A).reshape(len(B), -1, kernel, kernel)


def truncated(matrix: np.ndarray, rank: int) -> np.ndarray:
    """The nearest matrix of that rank in the Frobenius norm (Eckart and Young, 1936)."""
    U, singular, Vt = np.linalg.svd(matrix, full_matrices=False)
    return (U[:, :rank] * singular[:rank]) @ Vt[:rank]
