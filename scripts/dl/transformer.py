"""The transformer block and a small language model, forward pass; what they cost in parameters and operations.

Rows are positions, (B, T, d). One class is the block of all three families: the encoder's (no mask but padding), the
decoder-only model's (causal mask) and the decoder's (causal mask and cross-attention to `memory`).

Sources: Vaswani et al. 2017 (arXiv 1706.03762), section 3; Pre-LN: Xiong et al. 2020 (2002.04745), table 1; sizes of
BERT: Devlin et al. 2018 (1810.04805), of GPT-2: Radford et al. 2019, of GPT-3: Brown et al. 2020 (2005.14165).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scripts.dl.attention import MultiHeadAttention, causal_mask
from scripts.dl.normalization import layer_norm

# --- Block ---------------------------------------------------------------------------------------------------------


class Block:
    """Self-attention, cross-attention if `cross`, and a position-wise feed-forward network (FFN) with ReLU.

    `ffn` holds W_1 (d, d_ff), b_1, W_2 (d_ff, d), b_2, used from the right; `norms` gain and shift (d,) of the
    LayerNorm of each sublayer. `d_ff` is 4d unless told.
    """

    def __init__(
        self,
        d: int,
        heads: int,
        rng: np.random.Generator,
        d_ff: int | None = None,
        *,
        pre_ln: bool = True,
        cross: bool = False,
    ):
        d_ff = d_ff or 4 * d
        self.pre_ln = pre_ln
        self.attention = MultiHeadAttention(d, heads, rng)
        self.cross = MultiHeadAttention(d, heads, rng) if cross else None
        self.ffn = {
            "W_1": rng.normal(0, d**-0.5, (d, d_ff)),
            "b_1": np.zeros(d_ff),
            "W_2": rng.normal(0, d_ff**-0.5, (d_ff, d)),
            "b_2": np.zeros(d),
        }
        self.norms = {name: (np.ones(d), np.zeros(d)) for name in ("self", "cross", "ffn") if cross or name != "cross"}

    # --8<-- [start:block]
    def forward(self, X, mask=None, memory=None, memory_mask=None):
        """(B, T, d); `memory` (B, T_k, d) is the encoder's output."""
        look = self.attention.forward
        X = self._add("self", X, lambda Z: look(Z, mask=mask))
        if self.cross is not None:
            read = self.cross.forward  # queries from here, K and V from memory
            X = self._add("cross", X, lambda Z: read(Z, memory, memory_mask))
        return self._add("ffn", X, self._feed_forward)

    def _add(self, name, X, sublayer):
        """Residual connection around a sublayer, LayerNorm in its place."""
        if self.pre_ln:
            return X + sublayer(self._norm(name, X))
        return self._norm(name, X + sublayer(X))

    def _feed_forward(self, X):
        p = self.ffn  # the same at every position
        return np.maximum(X @ p["W_1"] + p["b_1"], 0) @ p["W_2"] + p["b_2"]

    # --8<-- [end:block]

    def _norm(self, name: str, X: np.ndarray) -> np.ndarray:
        return layer_norm(X, *self.norms[name])[0]


class LanguageModel:
    """Decoder-only model in the manner of GPT-2: learned positions, Pre-LN, a final LayerNorm, tied embeddings.

    `embeddings` is (|V|, d), `positions` (T_max, d). `mask_of(T)` gives the mask of self-attention: `causal_mask` for
    a GPT; `None` in its place makes every position see all, as in BERT.
    """

    def __init__(
        self,
        vocabulary: int,
        d: int,
        heads: int,
        layers: int,
        longest: int,
        rng: np.random.Generator,
        mask_of: Callable[[int], np.ndarray] | None = causal_mask,
    ):
        self.embeddings = rng.normal(0, 0.02, (vocabulary, d))
        self.positions = rng.normal(0, 0.02, (longest, d))
        self.blocks = [Block(d, heads, rng) for _ in range(layers)]
        self.final_norm = np.ones(d), np.zeros(d)
        self.mask_of = mask_of

    # --8<-- [start:model]
    def forward(self, tokens):
        """Logits (B, T, |V|) for token numbers (B, T)."""
        T = tokens.shape[1]
        mask = self.mask_of(T) if self.mask_of else None
        X = self.embeddings[tokens] + self.positions[:T]
        for block in self.blocks:
            X = block.forward(X, mask)
        X, _ = layer_norm(X, *self.final_norm)
        return X @ self.embeddings.T

    # --8<-- [end:model]


def next_token_loss(logits: np.ndarray, tokens: np.ndarray) -> float:
    """Mean of -log p(x_{t+1} | x_1 … x_t) over t = 1 … T - 1; logits (B, T, |V|), tokens (B, T)."""
    z, target = logits[:, :-1], tokens[:, 1:]
    z = z - z.max(axis=-1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return float(-np.take_along_axis(log_p, target[..., None], axis=-1).mean())


# --- Parameters ----------------------------------------------------------------------------------------------------


# --8<-- [start:parameters]
def block_parameters(d, d_ff=None, cross=False):
    """Weights and biases of one block, by sublayer."""
    d_ff = d_ff or 4 * d
    attention = 4 * (d * d + d)  # W_Q, W_K, W_V, W_O
    return {
        "attention": attention * (2 if cross else 1),
        "ffn": 2 * d * d_ff + d_ff + d,
        "norms": 2 * d * (3 if cross else 2),
    }


def bert_parameters(d=768, layers=12, vocabulary=30522, longest=512):
    """BERT without the head of the masked language model."""
    block = block_parameters(d)
    parts = {name: layers * count for name, count in block.items()}
    parts["embeddings"] = (vocabulary + longest + 2) * d  # 2 segments
    parts["norms"] += 2 * d  # after the embeddings
    parts["pooler"] = d * d + d  # the layer over [CLS]
    return parts


# --8<-- [end:parameters]


def gpt2_parameters(d: int = 768, layers: int = 12, vocabulary: int = 50257, longest: int = 1024) -> dict[str, int]:
    """GPT-2, by part; the output layer is the transposed table of embeddings and adds nothing."""
    parts = {name: layers * count for name, count in block_parameters(d).items()}
    parts["embeddings"] = (vocabulary + longest) * d
    parts["norms"] += 2 * d  # the final one
    return parts


def encoder_decoder_parameters(d: int, layers: int, vocabulary: int, d_ff: int | None = None) -> dict[str, int]:
    """The first transformer: `layers` blocks on either side, sinusoidal positions, one table for all embeddings."""
    sides = [block_parameters(d, d_ff), block_parameters(d, d_ff, cross=True)]
    parts = {name: layers * sum(side[name] for side in sides) for name in sides[0]}
    return parts | {"embeddings": vocabulary * d}


# --- Operations ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Flops:
    """Operations of one block on a sequence, forward, multiply-adds as 2; softmax, norms and biases left out."""

    projections: float  # Q, K, V, O: 8 T d^2
    scores: float  # Q K^T and A V: 4 T^2 d
    ffn: float  # 4 T d d_ff

    @property
    def total(self) -> float:
        return self.projections + self.scores + self.ffn

    @property
    def share_of_scores(self) -> float:
        return self.scores / self.total


def block_flops(T: int, d: int, d_ff: int | None = None) -> Flops:
    """24 T d^2 + 4 T^2 d when d_ff = 4d; a full (not causal) score matrix is computed."""
    return Flops(projections=8 * T * d * d, scores=4 * T * T * d, ffn=4 * T * d * (d_ff or 4 * d))
