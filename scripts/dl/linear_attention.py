"""Attention whose weights are scalar products of features, φ(q)ᵀφ(k): by associativity, as a recurrence, in chunks.

Rows are positions: Q, K are (T, d_k), V is (T, d_v). A feature map takes (T, d_k) to (T, r). Linear attention and its
recurrence: Katharopoulos et al. 2020 (arXiv 2006.16236, eqs. 4–6, 9, 16–20). Positive and trigonometric random features
of exp(qᵀk): Performer, Choromanski et al. 2020 (arXiv 2009.14794, lemma 1 and eq. 5); the variances are its lemma 2.
Delta rule: Schlag et al. 2021 (arXiv 2102.11174, section 4.2).
"""

from collections.abc import Callable

import numpy as np

Features = Callable[[np.ndarray], np.ndarray]


# --8<-- [start:features]
def elu_plus_one(X):
    """φ of Katharopoulos et al.: x + 1 for x > 0, else e^x; positive."""
    return np.where(X > 0, X + 1, np.exp(np.minimum(X, 0)))


def positive_features(X, W):
    """exp(Wx - |x|²/2) / √m for W (m, d): E φ(q)ᵀφ(k) = exp(qᵀk)."""
    norm = np.sum(X**2, axis=-1, keepdims=True) / 2
    return np.exp(X @ W.T - norm) / np.sqrt(len(W))


# --8<-- [end:features]


def trigonometric_features(X: np.ndarray, W: np.ndarray) -> np.ndarray:
    """exp(|x|²/2) [cos Wx, sin Wx] / √m, (…, 2m): also unbiased for exp(qᵀk), but a product may be negative."""
    scale = np.exp(np.sum(X**2, axis=-1, keepdims=True) / 2) / np.sqrt(len(W))
    return scale * np.concatenate([np.cos(X @ W.T), np.sin(X @ W.T)], axis=-1)


def orthogonal_gaussian(count: int, dimension: int, rng: np.random.Generator) -> np.ndarray:
    """(count, dimension): rows N(0, I) each, but orthogonal within every block of `dimension` rows."""
    blocks = []
    for start in range(0, count, dimension):
        directions, R = np.linalg.qr(rng.standard_normal((dimension, dimension)))
        directions = directions * np.sign(np.diag(R))  # LAPACK chooses the signs; without this they are not uniform
        lengths = np.linalg.norm(rng.standard_normal((dimension, dimension)), axis=1)
        blocks.append((lengths[:, None] * directions)[: count - start])
    return np.concatenate(blocks)


def positive_variance(q: np.ndarray, k: np.ndarray) -> float:
    """Variance, over one ω, of exp(ωᵀq - |q|²/2) exp(ωᵀk - |k|²/2): exp(2qᵀk) (exp(|q + k|²) - 1)."""
    return float(np.exp(2 * q @ k) * np.expm1(np.sum((q + k) ** 2)))


def trigonometric_variance(q: np.ndarray, k: np.ndarray) -> float:
    """Variance, over one ω, of exp((|q|² + |k|²)/2) cos ωᵀ(q - k)."""
    return float(np.exp(q @ q + k @ k) * np.expm1(-np.sum((q - k) ** 2)) ** 2 / 2)


# --8<-- [start:bidirectional]
def linear_attention(Q, K, V, features=elu_plus_one):
    """φ(Q) (φ(K)ᵀV), rows divided by φ(Q) (φ(K)ᵀ1): O(T r d_v)."""
    phi_Q, phi_K = features(Q), features(K)
    numerator = phi_Q @ (phi_K.T @ V)  # no T × T matrix anywhere
    return numerator / (phi_Q @ phi_K.sum(axis=0))[:, None]


# --8<-- [end:bidirectional]


def weights(Q: np.ndarray, K: np.ndarray, mask: np.ndarray | None = None, features: Features = elu_plus_one):
    """The T × T matrix that linear attention never builds: φ(Q)φ(K)ᵀ where `mask` is true, rows divided by sums."""
    A = features(Q) @ features(K).T
    A = A if mask is None else A * mask
    return A / A.sum(axis=1, keepdims=True)


# --8<-- [start:recurrent]
def recurrent_attention(Q, K, V, features=elu_plus_one):
    """Causal linear attention, one token at a time: an RNN with a
    matrix state S (r, d_v) and its normaliser z (r,)."""
    phi_Q, phi_K = features(Q), features(K)
    S, z, Y = np.zeros((phi_K.shape[1], V.shape[1])), 0.0, []
    for q, k, v in zip(phi_Q, phi_K, V, strict=True):
        S = S + np.outer(k, v)
        z = z + k
        Y.append(S.T @ q / (z @ q))
    return np.array(Y)


# --8<-- [end:recurrent]


# --8<-- [start:chunked]
def chunked_attention(Q, K, V, chunk, features=elu_plus_one):
    """The same by chunks of C tokens: inside a chunk a C × C matrix, the
    past through the state. O(T C r + T r d_v), T/C sequential steps."""
    phi_Q, phi_K = features(Q), features(K)
    ones = np.ones((len(V), 1))
    V1 = np.concatenate([V, ones], axis=1)  # the last column gives z
    S, Y = np.zeros((phi_K.shape[1], V1.shape[1])), []
    for start in range(0, len(V), chunk):
        q, k, v = (X[start : start + chunk] for X in (phi_Q, phi_K, V1))
        Y.append(q @ S + np.tril(q @ k.T) @ v)
        S = S + k.T @ v
    Y = np.concatenate(Y)
    return Y[:, :-1] / Y[:, -1:]


# --8<-- [end:chunked]


def delta_memory(K: np.ndarray, V: np.ndarray, rate: float = 1.0) -> np.ndarray:
    """State (d_k, d_v) after the writes S ← S + rate k (v - Sᵀk)ᵀ, one pass; a query reads Sᵀq, without normaliser.

    Keys should have length 1: then with rate 1 the last key reads exactly its value.
    """
    S = np.zeros((K.shape[1], V.shape[1]))
    for k, v in zip(K, V, strict=True):
        S = S + rate * np.outer(k, v - S.T @ k)
    return S
