"""Keys and values kept while text is generated: exactness, grouped heads, memory and operations.

Rows are positions; heads stand before them, as in `attention.py`: K is (…, n_kv, T, d_k). A multiply-add counts as 2
operations; norms, softmax, biases and the layer of logits are left out. Memory is in bytes.

Sources: one key and value head for all queries: Shazeer 2019 (arXiv 1911.02150), section 3; groups of heads: Ainslie et
al. 2023 (2305.13245), section 2.2.
"""

import numpy as np

from scripts.dl.attention import attention, causal_mask, merge_heads, split_heads
from scripts.dl.positional_encoding import rotate

# --- Cache ---------------------------------------------------------------------------------------------------------


# --8<-- [start:cache]
class KVCache:
    """Keys and values of one layer, (…, n_kv, length, d_k) each."""

    def __init__(self):
        self.length = 0

    def extend(self, K, V):
        """Put those of new tokens behind; return all."""
        if self.length:
            K = np.concatenate([self.K, K], axis=-2)
            V = np.concatenate([self.V, V], axis=-2)
        self.K, self.V, self.length = K, V, K.shape[-2]
        return K, V


# --8<-- [end:cache]


# --- Attention -----------------------------------------------------------------------------------------------------


# --8<-- [start:grouped]
def grouped_attention(Q, K, V, mask=None):
    """h query heads over n_kv heads of keys; output (…, h, T_q, d_k).

    Query heads g i … g (i + 1) - 1 read the i-th pair, g = h / n_kv.
    """
    *leading, h, T_q, d_k = Q.shape
    n_kv = K.shape[-3]
    groups = Q.reshape(*leading, n_kv, h // n_kv, T_q, d_k)
    Y, _ = attention(groups, K[..., None, :, :], V[..., None, :, :], mask)
    return Y.reshape(Q.shape)


# --8<-- [end:grouped]


class GroupedQueryAttention:
    """Causal self-attention with RoPE: n_kv = h is multi-head, n_kv = 1 multi-query attention.

    `parameters` holds W_Q (d, d), W_K and W_V (d, n_kv d_k), W_O (d, d), used from the right; d_k = d / h.

    Raises ValueError unless h divides d and n_kv divides h.
    """

    def __init__(self, d: int, heads: int, kv_heads: int, rng: np.random.Generator):
        if d % heads or heads % kv_heads:
            raise ValueError(f"{kv_heads} must divide {heads}, and {heads} must divide {d}")
        self.heads, self.kv_heads = heads, kv_heads
        narrow = d // heads * kv_heads
        widths = {"W_Q": d, "W_K": narrow, "W_V": narrow, "W_O": d}
        self.parameters = {name: rng.normal(0, d**-0.5, (d, width)) for name, width in widths.items()}

    # --8<-- [start:step]
    def forward(self, X, cache=None):
        """(B, T, d) for new tokens; with a cache they see its past too."""
        p, T = self.parameters, X.shape[-2]
        past = cache.length if cache else 0
        places = np.arange(past, past + T)
        Q = rotate(split_heads(X @ p["W_Q"], self.heads), places)
        K = rotate(split_heads(X @ p["W_K"], self.kv_heads), places)
        V = split_heads(X @ p["W_V"], self.kv_heads)
        if cache is not None:
            K, V = cache.extend(K, V)  # keys are kept already rotated
        Y = grouped_attention(Q, K, V, causal_mask(T, past))
        return merge_heads(Y) @ p["W_O"]

    # --8<-- [end:step]


# --- Memory --------------------------------------------------------------------------------------------------------


# --8<-- [start:memory]
def cache_bytes(layers, kv_heads, d_k, tokens=1, batch=1, each=2):
    """Two tables, K and V, in every layer; `each` bytes a number."""
    return 2 * layers * kv_heads * d_k * tokens * batch * each


# --8<-- [end:memory]


# --- Operations of one block of width d, d_ff = 4d, multi-head -----------------------------------------------------


# --8<-- [start:operations]
def step_with_cache(t, d):
    """Token t alone: projections and FFN, then one row of t scores."""
    return 24 * d**2 + 4 * t * d


def step_without_cache(t, d):
    """All t tokens again, a full square of scores."""
    return 24 * t * d**2 + 4 * t**2 * d


# --8<-- [end:operations]


def generation(step, T: int, d: int) -> int:
    """Operations of `step` over tokens 1 … T."""
    return sum(step(t, d) for t in range(1, T + 1))


# --- Time of a step from what it reads and computes ----------------------------------------------------------------


def step_seconds(
    weights: float, cache: float, group: int, batch: int, bandwidth: float, speed: float
) -> tuple[float, float]:
    """Least seconds a decoding step spends on the weights and on the cache of the batch.

    `weights` numbers of 2 bytes are read once for all and cost 2 operations a sequence each; `cache` bytes (2 a
    number) belong to one sequence, and each number costs 2 operations for every query head of its `group`. Each part
    takes as long as the slower of memory (`bandwidth` bytes/s) and arithmetic (`speed` operations/s).
    """
    of_weights = max(2 * weights / bandwidth, 2 * weights * batch / speed)
    of_cache = batch * max(cache / bandwidth, group * cache / speed)
    return of_weights, of_cache
