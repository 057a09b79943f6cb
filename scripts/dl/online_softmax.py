"""Exact attention by tiles: softmax in one pass over the keys, and its backward pass without a stored T × T matrix.

Online softmax: Milakov, Gimelshein 2018 (arXiv 1805.02867, algorithm 3). Attention by tiles: FlashAttention, Dao et al.
2022 (arXiv 2205.14135, algorithms 1 and 4); the order of loops, queries outside, is that of FlashAttention-2 (arXiv
2307.08691, algorithm 1). Rows are positions: Q is (T_q, d_k), K (T_k, d_k), V (T_k, d_v). Scores are QKᵀ / √d_k.
"""

import numpy as np


# --8<-- [start:merge]
def merge(left, right):
    """Join (m, l, o) of two sets of keys: m the largest score, l the sum
    of e^{s - m}, o the sum of e^{s - m} v. The answer is o / l."""
    m_left, l_left, o_left = left
    m_right, l_right, o_right = right
    m = np.maximum(m_left, m_right)
    a, b = np.exp(m_left - m), np.exp(m_right - m)  # both at most 1
    o = a[:, None] * o_left + b[:, None] * o_right
    return m, a * l_left + b * l_right, o


# --8<-- [end:merge]


# --8<-- [start:flash]
def flash_attention(Q, K, V, block_q, block_k, causal=False):
    """softmax(QKᵀ/√d_k) V and log Σe^s of every row (T_q,), by tiles."""
    T, Y, L = len(Q), np.empty((len(Q), V.shape[1])), np.empty(len(Q))
    for i in range(0, T, block_q):
        rows = np.arange(i, min(i + block_q, T))
        total = None  # (m, l, o) over the keys seen so far
        for j in range(0, len(K), block_k):
            keys = np.arange(j, min(j + block_k, len(K)))
            if causal and keys[0] > rows[-1]:
                break  # the tile lies wholly in the future
            S = scores(Q, K, rows, keys, causal)
            m = S.max(axis=1)
            # a row may see nothing of a causal tile: its m is -inf
            P = np.exp(S - np.where(np.isinf(m), 0, m)[:, None])
            tile = m, P.sum(axis=1), P @ V[keys]
            total = tile if total is None else merge(total, tile)
        m, weight, o = total
        Y[rows], L[rows] = o / weight[:, None], m + np.log(weight)
    return Y, L


# --8<-- [end:flash]


def scores(Q: np.ndarray, K: np.ndarray, rows: np.ndarray, keys: np.ndarray, causal: bool) -> np.ndarray:
    """One tile of QKᵀ / √d_k, (rows, keys); -inf where a key lies in the future of a query."""
    S = Q[rows] @ K[keys].T / np.sqrt(Q.shape[1])
    return np.where(keys <= rows[:, None], S, -np.inf) if causal else S


# --8<-- [start:backward]
def flash_backward(Y_bar, Q, K, V, Y, L, block_q, block_k, causal=False):
    """Adjoints of Q, K, V: every tile of A is computed again from L."""
    Q_bar, K_bar, V_bar = (np.zeros_like(X) for X in (Q, K, V))
    D = np.sum(Y_bar * Y, axis=1)  # = Σ_j A_ij Ā_ij, without A
    for i in range(0, len(Q), block_q):
        rows = np.arange(i, min(i + block_q, len(Q)))
        for j in range(0, len(K), block_k):
            keys = np.arange(j, min(j + block_k, len(K)))
            S = scores(Q, K, rows, keys, causal)
            A = np.exp(S - L[rows][:, None])
            A_bar = Y_bar[rows] @ V[keys].T
            S_bar = A * (A_bar - D[rows][:, None]) / np.sqrt(Q.shape[1])
            V_bar[keys] += A.T @ Y_bar[rows]
            Q_bar[rows] += S_bar @ K[keys]
            K_bar[keys] += S_bar.T @ Q[rows]
    return Q_bar, K_bar, V_bar


# --8<-- [end:backward]


def standard_traffic(T: int, d: int) -> int:
    """Numbers read from and written to slow memory by three separate kernels of one head, forward.

    Scores read Q, K and write S; softmax reads S and writes A; the product reads A, V and writes Y.
    """
    return 4 * T * d + 4 * T**2


def flash_traffic(T: int, d: int, block_q: int) -> int:
    """The same for tiles, queries outside: Q is read and Y written once, K and V once for every block of queries."""
    return 2 * T * d + -(-T // block_q) * 2 * T * d


def block_size(fast_memory: int, d: int) -> int:
    """Rows of a tile so that four tiles of width d (of Q, K, V, Y) fill a fast memory of so many numbers."""
    return fast_memory // (4 * d)
