"""Elementwise activations with their derivatives.

The derivative is always taken at the pre-activation `z`, as in the backward recursion
delta^l = (W^{l+1}^T delta^{l+1}) * phi'(z^l) (Rumelhart, Hinton & Williams 1986, eqs. 4-6).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Elementwise = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Activation:
    """`f` and `derivative` map an array of pre-activations to an array of the same shape."""

    name: str
    f: Elementwise
    derivative: Elementwise

    def __call__(self, z: np.ndarray) -> np.ndarray:
        return self.f(z)


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)) without overflow for large |z|."""
    z = np.asarray(z)
    decay = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, decay) / (1.0 + decay)


def _sigmoid_derivative(z: np.ndarray) -> np.ndarray:
    # sigmoid(z) * sigmoid(-z) rather than s * (1 - s): 1 - s cancels to zero for large z.
    return sigmoid(z) * sigmoid(-np.asarray(z))


def _tanh_derivative(z: np.ndarray) -> np.ndarray:
    return 1.0 - np.tanh(z) ** 2


def _relu(z: np.ndarray) -> np.ndarray:
    return np.maximum(z, 0.0)


def _relu_derivative(z: np.ndarray) -> np.ndarray:
    # At the kink z = 0 any subgradient in [0, 1] will do; like PyTorch, take 0.
    z = np.asarray(z)
    return (z > 0).astype(z.dtype)


TANH = Activation("tanh", np.tanh, _tanh_derivative)
SIGMOID = Activation("sigmoid", sigmoid, _sigmoid_derivative)
RELU = Activation("relu", _relu, _relu_derivative)
IDENTITY = Activation("identity", np.asarray, np.ones_like)

ACTIVATIONS = {activation.name: activation for activation in (TANH, SIGMOID, RELU, IDENTITY)}
