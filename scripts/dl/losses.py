"""Loss heads: each returns the loss and its gradient in the head's input.

All losses are summed over the outputs of one object and averaged over the batch, so the factor 1/B is already inside
the returned gradient and must not be applied again further down. Rows are objects.
"""

import numpy as np

from scripts.dl.activations import sigmoid


def softmax(logits: np.ndarray) -> np.ndarray:
    """Row-wise softmax of `logits` (…, K); shifted by the row maximum, which changes nothing but the overflow."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    exponents = np.exp(shifted)
    return exponents / exponents.sum(axis=-1, keepdims=True)


# --8<-- [start:softmax-cross-entropy]
def softmax_cross_entropy(logits, labels_onehot):
    """Loss and its gradient in the logits, both averaged over B rows."""
    _same_shape(logits, labels_onehot)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    log_p = shifted - log_sum  # (B, K), log-softmax
    loss = -(labels_onehot * log_p).sum() / len(logits)
    grad_logits = (np.exp(log_p) - labels_onehot) / len(logits)
    return loss, grad_logits


# --8<-- [end:softmax-cross-entropy]


def sigmoid_binary_cross_entropy(logits: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
    """Sigmoid and binary cross-entropy in one step, on `logits` (B,) or (B, K) and targets in [0, 1] of that shape.

    Per output max(z, 0) - z y + log(1 + exp(-|z|)), which never overflows; the gradient is (sigmoid(z) - y) / B.
    """
    _same_shape(logits, targets)
    per_output = np.maximum(logits, 0.0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))
    return per_output.sum() / len(logits), (sigmoid(logits) - targets) / len(logits)


def mean_squared_error(pred: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    """Squared distance ||pred - target||^2 averaged over the batch, on (B,) or (B, K); gradient 2 (pred - target) / B.

    For K outputs this is K times `torch.nn.MSELoss()`, which averages over the outputs as well.
    """
    _same_shape(pred, target)
    difference = pred - target
    return (difference**2).sum() / len(pred), 2.0 * difference / len(pred)


def _same_shape(prediction: np.ndarray, target: np.ndarray) -> None:
    # (B,) against (B, 1) would silently broadcast to (B, B).
    if np.shape(prediction) != np.shape(target):
        raise ValueError(f"prediction has shape {np.shape(prediction)}, target {np.shape(target)}")
