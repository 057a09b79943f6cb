"""Dropout and what is computed with it: shared masks, thinned networks, the uncertainty of several random passes.

`p` is always the probability to *drop* (Srivastava et al., 2014, write p for the probability to keep). Masks hold the
factors themselves, 0 or 1/(1 - p), so the backward pass needs nothing else. Only training passes are here: at test time
inverted dropout is the identity.
"""

from itertools import product

import numpy as np

from scripts.dl.activations import Activation
from scripts.dl.mlp import MLP, Gradients, Initializer


# --8<-- [start:dropout]
def dropout(a, p, rng, shared=()):
    """Inverted dropout: the output and the mask it was made with.

    Along the axes in `shared` one draw serves all positions.
    """
    if not 0.0 <= p < 1.0:
        raise ValueError(f"p must be in [0, 1), got {p}")
    shape = [1 if axis in shared else size for axis, size in enumerate(a.shape)]
    mask = (rng.random(shape) >= p) / (1.0 - p)  # 0 or 1/(1 - p)
    return a * mask, mask


def dropout_backward(bar, mask):
    """Adjoint of the input: the same mask, not a new one."""
    return bar * mask


# --8<-- [end:dropout]


def gaussian_dropout(a: np.ndarray, p: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Multiply by N(1, p/(1-p)), the noise of the same mean and variance (Srivastava et al., 2014, section 10).

    Returns the output and the factors, both of the shape of `a`. Raises ValueError unless 0 <= p < 1.
    """
    if not 0.0 <= p < 1.0:
        raise ValueError(f"p must be in [0, 1), got {p}")
    factors = 1.0 + (p / (1.0 - p)) ** 0.5 * rng.standard_normal(a.shape)
    return a * factors, factors


class DropoutMLP(MLP):
    """A multilayer perceptron with inverted dropout after every hidden activation.

    While `training` is true each forward pass draws new masks from `noise` and keeps them in `masks`, one a hidden
    layer, each of the shape of its activation, for the backward pass. Set it to False before answering.
    """

    def __init__(
        self,
        sizes: list[int],
        activation: Activation,
        initialize: Initializer,
        rng: np.random.Generator,
        p: float,
        noise: np.random.Generator,
    ):
        super().__init__(sizes, activation, initialize, rng)
        self.p, self.noise, self.training = p, noise, True
        self.masks: list[np.ndarray] = []

    # --8<-- [start:network]
    def forward(self, X):
        """Logits (B, d_L) of the rows of X (B, d_0)."""
        self.inputs, self.preactivations, self.masks = [], [], []
        A, last = X, len(self.weights) - 1
        for layer, W in enumerate(self.weights):
            Z = A @ W.T + self.biases[layer]
            self.inputs.append(A)
            self.preactivations.append(Z)
            if layer == last:
                return Z
            p = self.p if self.training else 0.0  # eval: identity
            A, mask = dropout(self.activation.f(Z), p, self.noise)
            self.masks.append(mask)

    # --8<-- [end:network]

    def backward(self, grad_logits: np.ndarray) -> Gradients:
        """Gradients of all parameters under the masks of the last forward pass."""
        if not self.inputs:
            raise RuntimeError("call forward before backward")
        grads = Gradients([], [], [])
        delta = grad_logits
        for layer in reversed(range(len(self.weights))):
            grads.weights.insert(0, delta.T @ self.inputs[layer])  # the input is already thinned
            grads.biases.insert(0, delta.sum(axis=0))
            grads.deltas.insert(0, delta)
            if layer > 0:
                A_bar = dropout_backward(delta @ self.weights[layer], self.masks[layer - 1])
                delta = A_bar * self.activation.derivative(self.preactivations[layer - 1])
        return grads


def all_masks(n: int, p: float) -> tuple[np.ndarray, np.ndarray]:
    """Every mask of n units, (2^n, n) of 0 and 1/(1-p), and the probability of each, (2^n,)."""
    if not 0.0 <= p < 1.0:
        raise ValueError(f"p must be in [0, 1), got {p}")
    kept = np.array(list(product((0.0, 1.0), repeat=n)))
    survivors = kept.sum(axis=1)
    return kept / (1.0 - p), (1.0 - p) ** survivors * p ** (n - survivors)


def geometric_mean(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted geometric mean of M distributions (M, …, K), normalised again to sum to one: (…, K).

    `weights` (M,) are the probabilities of the members. All entries of `probabilities` must be positive.
    """
    log_mean = np.tensordot(weights, np.log(probabilities), axes=1)
    raised = np.exp(log_mean - log_mean.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Entropy in nats along the last axis; 0 log 0 counts as 0."""
    return -np.sum(probabilities * np.log(np.where(probabilities > 0, probabilities, 1.0)), axis=-1)


# --8<-- [start:uncertainty]
def uncertainty(probabilities):
    """Split the uncertainty of S random passes, (S, B, K).

    Returns, each (B,): the entropy of the mean answer, the mean entropy
    of an answer (noise in the data), and their difference, the mutual
    information (disagreement of the subnetworks).
    """
    total = entropy(probabilities.mean(axis=0))
    data = entropy(probabilities).mean(axis=0)
    return total, data, total - data


# --8<-- [end:uncertainty]
