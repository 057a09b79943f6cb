"""Contrastive losses over a batch of pairs, as in CLIP, and what they bound.

Rows i of U and V, both (B, d), are the two sides of pair i, unit vectors; S = U Vᵀ (B, B) are their cosines and t is
the logarithm of the inverse temperature 1/τ. CLIP: Radford et al. 2021 (arXiv 2103.00020, figure 3 and section 2.5).
SigLIP: Zhai et al. 2023 (arXiv 2303.15343, algorithm 1). InfoNCE and its bound: van den Oord et al. 2018 (arXiv
1807.03748, section 2.3 and appendix A.1); Poole et al. 2019 (arXiv 1905.06922, section 2.3).
"""

import numpy as np
from scipy.stats import binom

from scripts.dl.activations import sigmoid
from scripts.dl.losses import softmax


# --8<-- [start:normalize]
def normalize(X):
    """Rows of X (B, d) divided by their lengths."""
    return X / np.linalg.norm(X, axis=-1, keepdims=True)


def normalize_backward(U_bar, X):
    """Adjoint of X: what moves a row along itself is projected away."""
    length = np.linalg.norm(X, axis=-1, keepdims=True)
    U = X / length
    along = np.sum(U_bar * U, axis=-1, keepdims=True)
    return (U_bar - along * U) / length


# --8<-- [end:normalize]


# --8<-- [start:clip]
def clip_loss(U, V, t):
    """Loss of B pairs and the adjoints of U, V (B, d) and t."""
    scale = np.exp(t)  # 1/τ
    S = U @ V.T  # (B, B), cosines; right pairs on the diagonal
    rows, columns = softmax(scale * S), softmax(scale * S.T).T
    loss = -np.mean(np.log(np.diag(rows)) + np.log(np.diag(columns))) / 2
    S_bar = scale * (rows + columns - 2 * np.eye(len(S))) / (2 * len(S))
    return loss, S_bar @ V, S_bar.T @ U, np.sum(S_bar * S)


# --8<-- [end:clip]


# --8<-- [start:siglip]
def siglip_loss(U, V, t, b):
    """Every cell of the matrix is a question of its own: is it a pair?

    Returns the loss and the adjoints of U, V (B, d), t and b.
    """
    scale = np.exp(t)
    S = U @ V.T
    z = 2 * np.eye(len(S)) - 1  # +1 on the diagonal, -1 elsewhere
    logits = z * (scale * S + b)
    loss = np.logaddexp(0, -logits).sum() / len(S)
    G = -z * sigmoid(-logits) / len(S)  # adjoint of scale * S + b
    return loss, scale * G @ V, scale * G.T @ U, scale * np.sum(G * S), G.sum()


# --8<-- [end:siglip]


# --8<-- [start:zero-shot]
def class_weights(prompts):
    """(K, d) unit rows from prompts (K, m, d), m unit vectors a class."""
    return normalize(prompts.mean(axis=1))


def zero_shot(U, W, t):
    """Probabilities (B, K) of K classes for the pictures U (B, d)."""
    return softmax(np.exp(t) * U @ W.T)


# --8<-- [end:zero-shot]


def info_nce(scores: np.ndarray) -> float:
    """Mean cross-entropy of the rows of `scores` (…, B, B) with the diagonal as the right answer."""
    top = scores.max(axis=-1)
    log_sum = top + np.log(np.exp(scores - top[..., None]).sum(axis=-1))
    return float(np.mean(log_sum - np.diagonal(scores, axis1=-2, axis2=-1)))


def information_bound(scores: np.ndarray) -> float:
    """log B - L ≤ I(X; Y) in nats, in the mean over independent batches of B pairs; never more than log B."""
    return float(np.log(scores.shape[-1]) - info_nce(scores))


def gaussian_information(rho: float, dimension: int = 1) -> float:
    """I(X; Y) of `dimension` independent pairs of Gaussians with correlation rho, in nats."""
    return -0.5 * dimension * float(np.log1p(-(rho**2)))


def gaussian_log_ratio(X: np.ndarray, Y: np.ndarray, rho: float) -> np.ndarray:
    """log p(y_j | x_i) / p(y_j), (…, B, B), for X, Y (…, B, d) with correlation rho: the best critic there is."""
    squares = np.sum(X**2, axis=-1)[..., :, None] + np.sum(Y**2, axis=-1)[..., None, :]
    product = X @ np.swapaxes(Y, -1, -2)
    spread = 1 - rho**2
    return (2 * rho * product - rho**2 * squares) / (2 * spread) - X.shape[-1] / 2 * np.log(spread)


def duplicate_floor(batch: int, classes: int) -> float:
    """Least mean loss when each of `batch` pairs is drawn from `classes` equally likely kinds, alike within a kind.

    A pair with n - 1 duplicates cannot have more than 1/n of the softmax: E log n, n - 1 ~ Binomial(B - 1, 1/K).
    """
    others = np.arange(batch)
    return float(binom.pmf(others, batch - 1, 1 / classes) @ np.log1p(others))
