"""The RNN transducer: the lattice of frames and labels, the loss, its gradient, greedy decoding.

`log_p` is (T, U + 1, K): log-probabilities of the K symbols after t + 1 frames have been heard and u labels written;
symbol 0 is the blank («next frame»), labels are 1 … K - 1. A path goes from (0, 0) to (T - 1, U) and leaves by a
blank. Rows here count from 0, in the formulas of the page from 1.

Source: Graves, 2012 (arXiv 1211.3711), eqs. 16–20.
"""

from collections.abc import Sequence
from math import comb

import numpy as np
from scipy.special import logsumexp

BLANK = 0
NEVER = -np.inf


# --8<-- [start:forward]
def forward(log_p, labels):
    """log α (T, U+1): ways to have heard t frames, written u labels."""
    T, U = len(log_p), len(labels)
    alpha = np.full((T, U + 1), NEVER)
    alpha[0, 0] = 0.0
    for t in range(T):
        for u in range(U + 1):
            if t > 0:  # a blank: the next frame
                heard = alpha[t - 1, u] + log_p[t - 1, u, BLANK]
                alpha[t, u] = np.logaddexp(alpha[t, u], heard)
            if u > 0:  # a label: the same frame
                wrote = alpha[t, u - 1] + log_p[t, u - 1, labels[u - 1]]
                alpha[t, u] = np.logaddexp(alpha[t, u], wrote)
    return alpha


def log_likelihood(log_p, labels):
    """log p(y | x); the last blank leaves the lattice."""
    return float(forward(log_p, labels)[-1, -1] + log_p[-1, -1, BLANK])


# --8<-- [end:forward]


def backward(log_p: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    """log β (T, U+1): all ways to finish from (t, u), the symbol emitted there included."""
    T, U = len(log_p), len(labels)
    beta = np.full((T, U + 1), NEVER)
    for t in reversed(range(T)):
        for u in reversed(range(U + 1)):
            after = beta[t + 1, u] if t < T - 1 else (0.0 if u == U else NEVER)
            beta[t, u] = after + log_p[t, u, BLANK]
            if u < U:
                beta[t, u] = np.logaddexp(beta[t, u], beta[t, u + 1] + log_p[t, u, labels[u]])
    return beta


def posterior(log_p: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    """(T, U+1): the share of p(y | x) that goes through the node; anti-diagonals add up to 1."""
    return np.exp(forward(log_p, labels) + backward(log_p, labels) - log_likelihood(log_p, labels))


def loss_and_gradient(logits: np.ndarray, labels: Sequence[int]) -> tuple[float, np.ndarray]:
    """-log p(y | x) and its gradient (T, U+1, K) by the logits: (share of the node) p(k) - (share of the arc k)."""
    log_p = logits - logsumexp(logits, axis=-1, keepdims=True)
    alpha, beta, total = forward(log_p, labels), backward(log_p, labels), log_likelihood(log_p, labels)
    gradient = np.exp(alpha + beta - total)[..., None] * np.exp(log_p)
    after = np.full_like(beta, NEVER)
    after[:-1], after[-1, -1] = beta[1:], 0.0
    gradient[..., BLANK] -= np.exp(alpha + log_p[..., BLANK] + after - total)
    for u, k in enumerate(labels):
        gradient[:, u, k] -= np.exp(alpha[:, u] + log_p[:, u, k] + beta[:, u + 1] - total)
    return -total, gradient


def best_alignment(log_p: np.ndarray, labels: Sequence[int]) -> list[tuple[int, int]]:
    """Nodes (t, u) of the most probable path, T + U of them, from (0, 0) to (T - 1, U)."""
    T, U = len(log_p), len(labels)
    score, came = np.full((T, U + 1), NEVER), {}
    score[0, 0] = 0.0
    for t in range(T):
        for u in range(U + 1):
            if t > 0:
                score[t, u], came[t, u] = score[t - 1, u] + log_p[t - 1, u, BLANK], (t - 1, u)
            if u > 0 and (wrote := score[t, u - 1] + log_p[t, u - 1, labels[u - 1]]) > score[t, u]:
                score[t, u], came[t, u] = wrote, (t, u - 1)
    nodes = [(T - 1, U)]
    while nodes[-1] != (0, 0):
        nodes.append(came[nodes[-1]])
    return nodes[::-1]


def path_count(T: int, U: int) -> int:
    """Paths of T frames and U labels: C(T + U - 1, U), for the last symbol is always the blank."""
    return comb(T + U - 1, U)


# --8<-- [start:greedy]
def greedy(joint, T, most=10):
    """joint(t, y) -> (K,) log-probabilities; `most` labels a frame."""
    y = []
    for t in range(T):
        for _ in range(most):
            k = int(np.argmax(joint(t, tuple(y))))
            if k == BLANK:
                break
            y.append(k)
    return tuple(y)


# --8<-- [end:greedy]


def logit_bytes(batch: int, T: int, U: int, K: int, width: int = 4) -> int:
    """Memory of the output of the joint network: batch · T · (U + 1) · K numbers of `width` bytes."""
    return batch * T * (U + 1) * K * width
