"""The masked language model of BERT: which tokens are to be guessed, what the network sees there, and the loss.

Tokens are numbers, (…, T); `chosen` is Boolean of that shape. Special tokens ([CLS], [SEP], [PAD]) are never chosen.

Sources: Devlin et al. 2018 (arXiv 1810.04805), section 3.1 and appendix A.1; whole words: the authors' repository, note
of 31 May 2019; spans: Joshi et al. 2019 (1907.10529), section 3.1.
"""

import numpy as np

# --- Choosing ------------------------------------------------------------------------------------------------------


# --8<-- [start:choose]
def choose(tokens, special, rng, rate=0.15):
    """Every ordinary token is chosen with probability `rate`."""
    return (rng.random(tokens.shape) < rate) & ~np.isin(tokens, special)


def corrupt(tokens, chosen, mask, ordinary, rng, kinds=(0.8, 0.1, 0.1)):
    """The input: of the chosen, shares `kinds` become `mask`, become a
    random one of `ordinary`, stay as they are."""
    to_mask, to_random, _ = kinds
    fate = rng.random(tokens.shape)
    masked = chosen & (fate < to_mask)
    swapped = chosen & (to_mask <= fate) & (fate < to_mask + to_random)
    random = rng.choice(ordinary, tokens.shape)
    return np.where(masked, mask, np.where(swapped, random, tokens))


# --8<-- [end:choose]


def choose_words(starts: np.ndarray, rng: np.random.Generator, rate: float = 0.15) -> np.ndarray:
    """Whole words: `starts` (T,) is True where a token begins a word; the pieces of a word are chosen together.

    Raises ValueError when the first token begins no word.
    """
    if not starts[0]:
        raise ValueError("the first token must begin a word")
    word = np.cumsum(starts) - 1
    return (rng.random(word[-1] + 1) < rate)[word]


def choose_spans(T: int, rng: np.random.Generator, rate: float = 0.15, p: float = 0.2, longest: int = 10) -> np.ndarray:
    """Runs of geometric length (stop with probability p, at most `longest`) until `rate` of T tokens are chosen."""
    lengths = np.arange(1, longest + 1)
    law = p * (1 - p) ** (lengths - 1)
    chosen, budget = np.zeros(T, dtype=bool), round(rate * T)
    while chosen.sum() < budget:
        length = min(rng.choice(lengths, p=law / law.sum()), budget - chosen.sum())
        start = rng.integers(T - length + 1)
        chosen[start : start + length] = True
    return chosen


# --- Loss ----------------------------------------------------------------------------------------------------------


# --8<-- [start:loss]
def masked_lm_loss(logits, tokens, chosen):
    """Mean -log p of the original tokens over the chosen places, and its
    gradient in the logits (…, T, |V|): zero wherever nothing is asked."""
    z = logits - logits.max(axis=-1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    asked = chosen[..., None] / chosen.sum()
    right = np.eye(logits.shape[-1])[tokens]
    return -(asked * right * log_p).sum(), asked * (np.exp(log_p) - right)


# --8<-- [end:loss]


# --- Parameters ----------------------------------------------------------------------------------------------------


def head_parameters(d: int = 768, vocabulary: int = 30522) -> dict[str, int]:
    """The heads of pre-training, which come on top of `scripts.dl.transformer.bert_parameters`.

    MLM: a dense layer with GELU, LayerNorm, then the table of embeddings with a bias of its own; NSP: two logits.
    """
    return {"mlm": d * d + d + 2 * d + vocabulary, "nsp": 2 * d + 2}
