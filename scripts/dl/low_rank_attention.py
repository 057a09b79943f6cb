"""Attention through k summaries instead of T keys: Linformer, Nyström, latents.

Rows are positions: Q, K are (T, d_k), V is (T, d_v). Linformer: Wang et al. 2020 (arXiv 2006.04768, eq. 7).
Nyströmformer: Xiong et al. 2021 (arXiv 2102.03902, eqs. 6–14), there with an iterative pseudo-inverse. Latents:
Perceiver, Jaegle et al. 2021 (arXiv 2103.03206).
"""

import numpy as np

from scripts.dl.attention import attention


# --8<-- [start:linformer]
def linformer(Q, K, V, E, F):
    """softmax(Q (EK)ᵀ/√d_k) FV with E, F (k, T): T × k weights."""
    return attention(Q, E @ K, F @ V)[0]


# --8<-- [end:linformer]


def nystrom_attention(Q: np.ndarray, K: np.ndarray, V: np.ndarray, landmarks: int) -> np.ndarray:
    """softmax(QK̃ᵀ) softmax(Q̃K̃ᵀ)⁺ softmax(Q̃Kᵀ) V, where the landmarks Q̃, K̃ are means of consecutive tokens.

    Raises ValueError unless `landmarks` divides T.
    """
    if len(Q) % landmarks:
        raise ValueError(f"{landmarks} landmarks do not divide length {len(Q)}")
    Q_mean, K_mean = (X.reshape(landmarks, -1, X.shape[1]).mean(axis=1) for X in (Q, K))
    middle = attention(Q_mean, K_mean, np.eye(landmarks))[0]
    last = attention(Q_mean, K, V)[0]
    return attention(Q, K_mean, np.linalg.pinv(middle) @ last)[0]


def latent_attention(latents: np.ndarray, K: np.ndarray, V: np.ndarray) -> np.ndarray:
    """Perceiver's reading: m learned queries (m, d_k) look at T keys, O(Tm); (m, d_v)."""
    return attention(latents, K, V)[0]


def best_rank_error(A: np.ndarray, rank: int) -> float:
    """Relative Frobenius error of the best approximation of this rank (Eckart–Young): √(Σ_{i>r} s_i² / Σ s_i²)."""
    s = np.linalg.svd(A, compute_uv=False)
    return float(np.sqrt(np.sum(s[rank:] ** 2) / np.sum(s**2)))


def rank_for(A: np.ndarray, error: float) -> int:
    """The least rank whose best approximation has at most this relative error."""
    s2 = np.linalg.svd(A, compute_uv=False) ** 2
    tail = np.sqrt(np.append(s2[::-1].cumsum()[::-1], 0.0) / s2.sum())
    return int(np.flatnonzero(tail <= error)[0])
