"""A multilayer perceptron with backpropagation written out by hand, on batches.

Layer l computes Z^l = A^{l-1} W^l^T + 1 b^l^T and A^l = phi(Z^l); the last layer is linear and returns logits. The
backward pass is the four equations of backpropagation (Rumelhart, Hinton & Williams 1986; Nielsen, "Neural Networks
and Deep Learning", ch. 2, BP1-BP4) in matrix form. Python lists count layers from zero: `weights[0]` is W^1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from scripts.dl.activations import Activation
from scripts.dl.initialization import Initializer


@dataclass
class Gradients:
    """Gradients of one backward pass: `weights[l]` and `biases[l]` have the shapes of the parameters, `deltas[l]` that
    of the pre-activations Z of the same layer, (B, d_l)."""

    weights: list[np.ndarray]
    biases: list[np.ndarray]
    deltas: list[np.ndarray]


class MLP:
    """Dense layers of widths `sizes` = (d_0, d_1, …, d_L) with `activation` between them.

    `initialize(fan_out, fan_in, rng)` returns a weight matrix (d_l, d_{l-1}); biases start at zero. After `forward`,
    `inputs[l]` is the input of a layer (B, d_{l-1}) and `preactivations[l]` its Z (B, d_l).
    """

    def __init__(self, sizes: Sequence[int], activation: Activation, initialize: Initializer, rng: np.random.Generator):
        if len(sizes) < 2:
            raise ValueError(f"a network needs at least an input and an output width, got {list(sizes)}")
        self.activation = activation
        self.weights = [initialize(d_out, d_in, rng) for d_in, d_out in pairwise(sizes)]
        self.biases = [np.zeros(d_out) for d_out in sizes[1:]]
        self.inputs: list[np.ndarray] = []
        self.preactivations: list[np.ndarray] = []

    # --8<-- [start:forward]
    def forward(self, X):
        """Logits (B, d_L) of the objects in the rows of X (B, d_0)."""
        self.inputs, self.preactivations = [], []
        A, last = X, len(self.weights) - 1
        for layer, W in enumerate(self.weights):
            Z = A @ W.T + self.biases[layer]  # (B, d_l)
            self.inputs.append(A)  # for the gradient of W
            self.preactivations.append(Z)  # for phi'(Z)
            A = Z if layer == last else self.activation.f(Z)
        return A

    # --8<-- [end:forward]

    # --8<-- [start:backward]
    def backward(self, grad_logits):
        """Gradients of all parameters, given that of the logits."""
        if not self.inputs:
            raise RuntimeError("call forward before backward")
        grads = Gradients([], [], [])
        delta = grad_logits  # (B, d_L)
        for layer in reversed(range(len(self.weights))):
            grads.weights.insert(0, delta.T @ self.inputs[layer])
            grads.biases.insert(0, delta.sum(axis=0))
            grads.deltas.insert(0, delta)
            if layer > 0:  # nobody needs dL/dX
                A_bar = delta @ self.weights[layer]
                Z = self.preactivations[layer - 1]
                delta = A_bar * self.activation.derivative(Z)
        return grads

    # --8<-- [end:backward]
