"""Attention of a recurrent encoder–decoder: additive, dot and general scores, the context vector, and its gradients.

Shapes: encoder states H (…, T, n), decoder states S (…, U, m), scores E and weights alpha (…, U, T), contexts C
(…, U, n). In training all decoder states may be scored at once; in Bahdanau's order, where s_u needs c_u, call with
U = 1 at every step. Matrices act on columns, e_uj = s_uᵀ W h_j, so rows are multiplied by their transposes.

Sources: Bahdanau et al., 2014 (arXiv 1409.0473), section A.1.2 (additive) and eq. 5–6 (weights and context); Luong
et al., 2015 (arXiv 1508.04025), eq. 8 (dot, general).
"""

import numpy as np

from scripts.dl.losses import softmax


# --8<-- [start:scores]
def additive_scores(S, H, W_s, W_h, v):
    """e_uj = vᵀ tanh(W_s s_u + W_h h_j); W_s (d_a, m), W_h (d_a, n), v (d_a,)."""
    queries = (S @ W_s.T)[..., :, None, :]  # (…, U, 1, d_a)
    keys = (H @ W_h.T)[..., None, :, :]  # (…, 1, T, d_a), once for all u
    return np.tanh(queries + keys) @ v


def general_scores(S, H, W):
    """e_uj = s_uᵀ W h_j; W (m, n)."""
    return S @ W @ H.swapaxes(-1, -2)


def dot_scores(S, H):
    """e_uj = s_uᵀ h_j: widths must be equal, m = n."""
    return S @ H.swapaxes(-1, -2)


# --8<-- [end:scores]


# --8<-- [start:attend]
def attend(E, H, mask=None):
    """Contexts (…, U, n) and weights (…, U, T) of scores E."""
    if mask is not None:  # True where the source has a token
        _check_mask(mask)
        E = np.where(mask, E, -np.inf)
    alpha = softmax(E)
    return alpha @ H, alpha


def attend_backward(C_bar, alpha, H):
    """Adjoints of the scores E and, past the scores, of H."""
    alpha_bar = C_bar @ H.swapaxes(-1, -2)
    mean = (alpha * alpha_bar).sum(axis=-1, keepdims=True)  # c_uᵀ c_bar_u
    return alpha * (alpha_bar - mean), alpha.swapaxes(-1, -2) @ C_bar


# --8<-- [end:attend]


def additive_backward(
    E_bar: np.ndarray, S: np.ndarray, H: np.ndarray, W_s: np.ndarray, W_h: np.ndarray, v: np.ndarray
) -> dict[str, np.ndarray]:
    """Adjoints of S, H, W_s, W_h and v, by these names, given that of the scores."""
    tanh = np.tanh((S @ W_s.T)[..., :, None, :] + (H @ W_h.T)[..., None, :, :])  # (…, U, T, d_a)
    delta = E_bar[..., None] * v * (1 - tanh**2)
    queries, keys = delta.sum(axis=-2), delta.sum(axis=-3)  # one query serves all j, one key all u
    return {
        "S": queries @ W_s,
        "H": keys @ W_h,
        "W_s": _rows(queries).T @ _rows(S),
        "W_h": _rows(keys).T @ _rows(H),
        "v": E_bar.ravel() @ _rows(tanh),
    }


def _rows(X: np.ndarray) -> np.ndarray:
    """All vectors of the last axis as the rows of a matrix."""
    return X.reshape(-1, X.shape[-1])


def _check_mask(mask: np.ndarray) -> None:
    if np.asarray(mask).dtype != bool:
        raise TypeError(f"a mask is Boolean, True where the source has a token; got {np.asarray(mask).dtype}")
    if not np.any(mask, axis=-1).all():
        raise ValueError("a source without tokens: its softmax would be 0/0")
