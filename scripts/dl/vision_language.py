"""How a picture reaches a language model: a prefix of visual tokens, a resampler, gated cross-attention; what it costs.

Rows are positions: words (T, d), visual tokens (N, d), without a batch axis.

Sources: LLaVA: Liu et al. 2023 (arXiv 2304.08485), section 4; Flamingo: Alayrac et al. 2022 (arXiv 2204.14198), section
3.1; Q-Former: Li et al. 2023 (arXiv 2301.12597), section 3.1; tiles: LLaVA-NeXT, as in `LlavaNextConfig` without the
cropping of padding. The sizes of Vicuna-7B are those of LLaMA-7B (Touvron et al. 2023, arXiv 2302.13971, table 2).
"""

from dataclasses import dataclass

import numpy as np

from scripts.dl.attention import attention
from scripts.dl.kv_cache import cache_bytes
from scripts.dl.patches import token_count

IGNORE = -100  # label that `torch.nn.functional.cross_entropy` leaves out


# --8<-- [start:llava]
def llava_input(words, Z, W, b, place):
    """Visual tokens Z W + b put before word number `place`.

    words (T, d), Z (N, d_v), W (d_v, d) -> (N + T, d).
    """
    H_v = Z @ W + b
    return np.concatenate([words[:place], H_v, words[place:]])


def llava_labels(tokens, is_answer, visual, place):
    """What each position must predict, (N + T,): the next token.

    Only words of answers are targets; pictures and questions are not.
    """
    wanted = np.where(is_answer, tokens, IGNORE)
    nothing = np.full(visual, IGNORE)
    wanted = np.concatenate([wanted[:place], nothing, wanted[place:]])
    return np.append(wanted[1:], IGNORE)


# --8<-- [end:llava]


# --8<-- [start:flamingo]
def resample(latents, Z):
    """(m, d) from any number of visual vectors Z (N, d): one layer.

    Keys and values are both Z and the latents, as in Flamingo.
    """
    context = np.concatenate([Z, latents])
    return latents + attention(latents, context, context)[0]


def gated_cross_attention(X, H_v, gate, mask=None):
    """X + tanh(gate) Xattn(X, H_v); gate = 0 leaves X (T, d) alone."""
    return X + np.tanh(gate) * attention(X, H_v, H_v, mask)[0]


def last_picture_mask(pictures_before, each):
    """(T, pictures·each): a word sees the last picture before it.

    `pictures_before` (T,) counts pictures to the left, at least one.
    """
    picture = np.repeat(np.arange(max(pictures_before)), each)
    return np.asarray(pictures_before)[:, None] - 1 == picture


# --8<-- [end:flamingo]


# --- Cost ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DecoderSize:
    """A decoder with full multi-head attention and a gated feed-forward network of three matrices d×d_ff."""

    d: int
    layers: int
    heads: int
    d_ff: int

    @property
    def matrices(self) -> int:
        """Weights of the blocks that every token passes."""
        return self.layers * (4 * self.d**2 + 3 * self.d * self.d_ff)


VICUNA_7B = DecoderSize(4096, 32, 32, 11_008)


def tiled_tokens(rows: int, columns: int, side: int = 336, patch: int = 14) -> int:
    """Visual tokens of rows×columns tiles and a thumbnail of the whole picture, all of `side` pixels."""
    return (rows * columns + 1) * token_count(side, patch)


def prefill_flops(tokens: int, size: DecoderSize = VICUNA_7B) -> dict[str, int]:
    """FLOPs (a multiply-add is two) of reading `tokens` at once; "attention" is the full square, as it is computed."""
    return {"linear": 2 * size.matrices * tokens, "attention": size.layers * 4 * tokens**2 * size.d}


def cache_of(tokens: int, size: DecoderSize = VICUNA_7B) -> int:
    """Bytes of the KV cache in fp16."""
    return cache_bytes(size.layers, size.heads, size.d // size.heads, tokens)
