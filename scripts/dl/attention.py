"""Scaled dot-product attention, its masks and its gradients; multi-head self- and cross-attention.

Rows are positions. Leading axes (batch, heads) are broadcast: Q is (…, T_q, d_k), K (…, T_k, d_k), V (…, T_k, d_v). A
mask is Boolean, True where a query may look (as in `torch.nn.functional.scaled_dot_product_attention`; the masks of
`torch.nn.MultiheadAttention` mean the opposite), and is broadcast to (…, T_q, T_k).

Source: Vaswani et al. 2017 (arXiv 1706.03762), section 3.2, eq. 1.
"""

import numpy as np

from scripts.dl.losses import softmax

# --- One head ------------------------------------------------------------------------------------------------------


# --8<-- [start:attention]
def attention(Q, K, V, mask=None):
    """Output (…, T_q, d_v) and weights (…, T_q, T_k), rows sum to 1."""
    S = Q @ K.swapaxes(-1, -2) / np.sqrt(Q.shape[-1])
    if mask is not None:
        _check_mask(mask)
        S = np.where(mask, S, -np.inf)  # exp(-inf) = 0
    A = softmax(S)
    return A @ V, A


def attention_backward(Y_bar, Q, K, V, A):
    """Adjoints of Q, K, V; the mask is already in A: A = 0 gives S_bar = 0."""
    V_bar = A.swapaxes(-1, -2) @ Y_bar
    A_bar = Y_bar @ V.swapaxes(-1, -2)
    S_bar = A * (A_bar - (A * A_bar).sum(axis=-1, keepdims=True))
    S_bar = S_bar / np.sqrt(Q.shape[-1])
    return S_bar @ K, S_bar.swapaxes(-1, -2) @ Q, V_bar


# --8<-- [end:attention]


def _check_mask(mask: np.ndarray) -> None:
    if np.asarray(mask).dtype != bool:
        raise TypeError(f"a mask is Boolean, True where one may look; got {np.asarray(mask).dtype}")
    if not np.any(mask, axis=-1).all():
        raise ValueError("a query may look nowhere: its softmax would be 0/0")


# --- Masks ---------------------------------------------------------------------------------------------------------


# --8<-- [start:masks]
def causal_mask(T, past=0):
    """(T, past + T): query i, the token past + i, sees tokens up to itself."""
    return np.tri(T, past + T, past, dtype=bool)


def padding_mask(lengths, T):
    """(B, 1, T) keys that are real tokens; the same for all queries."""
    return np.arange(T) < np.asarray(lengths)[:, None, None]


def prefix_mask(T, prefix):
    """(T, T): the first `prefix` tokens see each other, the rest is causal."""
    return causal_mask(T) | (np.arange(T) < prefix)


# --8<-- [end:masks]


# --- Heads ---------------------------------------------------------------------------------------------------------


def split_heads(X: np.ndarray, heads: int) -> np.ndarray:
    """(…, T, h d_k) as (…, h, T, d_k): head j takes columns j d_k … (j + 1) d_k - 1."""
    *leading, T, d = X.shape
    if d % heads:
        raise ValueError(f"{heads} heads do not divide width {d}")
    return X.reshape(*leading, T, heads, d // heads).swapaxes(-2, -3)


def merge_heads(X: np.ndarray) -> np.ndarray:
    """(…, h, T, d_k) as (…, T, h d_k): the concatenation of the heads."""
    *leading, h, T, d_k = X.shape
    return X.swapaxes(-2, -3).reshape(*leading, T, h * d_k)


class MultiHeadAttention:
    """h heads of width d_k = d / h over inputs (B, T, d); self-attention, or cross-attention when given a context.

    `parameters` holds W_Q, W_K, W_V, W_O, each (d, d) and used from the right, Q = X W_Q + b_Q, and b_Q, b_K, b_V,
    b_O, each (d,). The context is (B, T_k, d): queries come from X, keys and values from the context. After `forward`,
    `weights` is (B, h, T_q, T_k); after `backward`, `gradients` has the keys and shapes of `parameters`.

    Raises ValueError when `heads` does not divide d.
    """

    PROJECTIONS = ("Q", "K", "V", "O")

    def __init__(self, d: int, heads: int, rng: np.random.Generator):
        if d % heads:
            raise ValueError(f"{heads} heads do not divide width {d}")
        self.heads = heads
        self.parameters = {f"W_{name}": rng.normal(0, d**-0.5, (d, d)) for name in self.PROJECTIONS}
        self.parameters |= {f"b_{name}": np.zeros(d) for name in self.PROJECTIONS}
        self.gradients: dict[str, np.ndarray] = {}
        self.weights: np.ndarray | None = None

    # --8<-- [start:multi-head]
    def forward(self, X, context=None, mask=None):
        """(B, T_q, d); a mask is (T_q, T_k) or (B, 1 or T_q, T_k)."""
        source = X if context is None else context  # of keys and values
        Q, K, V = (
            split_heads(self._project(name, rows), self.heads)
            for name, rows in (("Q", X), ("K", source), ("V", source))
        )  # (B, h, T, d_k) each
        if mask is not None and np.ndim(mask) == 3:
            mask = mask[:, None]  # the same for all heads
        H, self.weights = attention(Q, K, V, mask)
        self._saved = X, context, Q, K, V, merge_heads(H)
        return self._project("O", merge_heads(H))

    def _project(self, name, rows):
        return rows @ self.parameters[f"W_{name}"] + self.parameters[f"b_{name}"]

    # --8<-- [end:multi-head]

    def backward(self, Y_bar: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Adjoints of X and of the context (None for self-attention), given that of the output, (B, T_q, d)."""
        if self.weights is None:
            raise RuntimeError("call forward before backward")
        X, context, Q, K, V, H = self._saved
        H_bar = self._project_backward("O", H, Y_bar)
        heads = attention_backward(split_heads(H_bar, self.heads), Q, K, V, self.weights)
        Q_bar, K_bar, V_bar = (merge_heads(bar) for bar in heads)
        source = X if context is None else context
        X_bar = self._project_backward("Q", X, Q_bar)
        source_bar = self._project_backward("K", source, K_bar) + self._project_backward("V", source, V_bar)
        return (X_bar + source_bar, None) if context is None else (X_bar, source_bar)

    def _project_backward(self, name: str, rows: np.ndarray, bar: np.ndarray) -> np.ndarray:
        d = bar.shape[-1]
        self.gradients[f"W_{name}"] = rows.reshape(-1, d).T @ bar.reshape(-1, d)
        self.gradients[f"b_{name}"] = bar.reshape(-1, d).sum(axis=0)
        return bar @ self.parameters[f"W_{name}"].T
