"""Decoding of autoregressive models: greedy, beam search with length normalisation, and sampling.

A model is a function `next_log_probs(prefix) -> (|V|,)`: the logarithms of the probabilities of the next token after a
tuple of tokens. A finished sequence ends with the token `end`; sequences here do not hold a start token.

Sources: Sutskever et al., 2014 (arXiv 1409.3215, section 3.2: beam search); Wu et al., 2016 (1609.08144: the
length penalty of GNMT, here in its plain form |y|^α); Fan et al., 2018 (1805.04833: top-k); Holtzman et al., 2020
(1904.09751: nucleus).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Model = Callable[[tuple[int, ...]], np.ndarray]


@dataclass(frozen=True)
class Hypothesis:
    """A sequence (with `end`, if it came to one) and the sum of the log-probabilities of its tokens."""

    tokens: tuple[int, ...]
    log_prob: float

    def score(self, alpha: float) -> float:
        """log p / |y|^α; 0 leaves the log-probability, 1 makes it the mean per token."""
        return self.log_prob / max(len(self.tokens), 1) ** alpha


def greedy(next_log_probs: Model, end: int, longest: int) -> Hypothesis:
    """The most probable token at each step, at most `longest` of them; of equal ones the smallest."""
    tokens, total = (), 0.0
    while len(tokens) < longest and tokens[-1:] != (end,):
        log_probs = next_log_probs(tokens)
        best = int(np.argmax(log_probs))
        tokens, total = (*tokens, best), total + float(log_probs[best])
    return Hypothesis(tokens, total)


# --8<-- [start:beam]
def beam_search(next_log_probs, end, longest, beam, alpha=0.0):
    """Finished hypotheses, best first; the unfinished if there are none."""
    if beam < 1:
        raise ValueError(f"the beam must hold a hypothesis, not {beam}")
    alive, finished = [Hypothesis((), 0.0)], []
    for _ in range(longest):
        candidates = [
            Hypothesis((*h.tokens, token), h.log_prob + float(log_p))
            for h in alive
            for token, log_p in enumerate(next_log_probs(h.tokens))
            if log_p > -np.inf
        ]
        candidates.sort(key=lambda h: h.log_prob, reverse=True)
        best = candidates[:beam]
        finished += [h for h in best if h.tokens[-1] == end]
        alive = [h for h in best if h.tokens[-1] != end]
        if not alive or len(finished) >= beam:
            break
    found = finished or alive
    return sorted(found, key=lambda h: h.score(alpha), reverse=True)


# --8<-- [end:beam]


# --8<-- [start:sampling]
def temperature(logits, tau):
    """softmax(z / τ): τ → 0 is greedy, τ = 1 the model, τ → ∞ uniform."""
    if not tau > 0:
        raise ValueError(f"the temperature must be positive: {tau}")
    scaled = (logits - np.max(logits)) / tau
    return np.exp(scaled) / np.exp(scaled).sum()


def top_k(probs, k):
    """The k most probable tokens, renormalised."""
    kept = np.argsort(-probs, kind="stable")[:k]
    return _only(probs, kept)


def nucleus(probs, mass):
    """The smallest set of most probable tokens that holds `mass`."""
    order = np.argsort(-probs, kind="stable")
    before = np.cumsum(probs[order]) - probs[order]
    return _only(probs, order[before < mass])


# --8<-- [end:sampling]


def _only(probs: np.ndarray, kept: np.ndarray) -> np.ndarray:
    if not len(kept):
        raise ValueError("no token is kept")
    result = np.zeros_like(probs)
    result[kept] = probs[kept]
    return result / result.sum()


def sample(
    next_log_probs: Model,
    end: int,
    longest: int,
    rng: np.random.Generator,
    reshape: Callable[[np.ndarray], np.ndarray] = lambda probs: probs,
) -> Hypothesis:
    """One draw, token by token; `reshape` maps the (|V|,) probabilities to those drawn from, e.g. by `top_k`.

    `log_prob` is that of the model, not of the reshaped distribution.
    """
    tokens, total = (), 0.0
    while len(tokens) < longest and tokens[-1:] != (end,):
        log_probs = next_log_probs(tokens)
        token = int(rng.choice(len(log_probs), p=reshape(np.exp(log_probs))))
        tokens, total = (*tokens, token), total + float(log_probs[token])
    return Hypothesis(tokens, total)
