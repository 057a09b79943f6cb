"""GloVe and skip-gram with negative sampling learn from one matrix of counts, and the truth behind it is known.

The corpus is generated: a segment of 25 words draws one of 6 topics, its words are then independent draws of p(word |
topic), a Zipf law times a random affinity. So the PMI of an infinite corpus is known (`true_pmi`), even for pairs that
never met in the finite one.

`learned(model, segments)`, model "glove" or "sgns", trains vectors of width `D` on `counts(segments)` and returns W,
W_tilde (n, d) and, for GloVe, b, b_tilde (n,). Recorded for 3000 and 12000 segments. Counts are not kept: drawing them
again takes a moment. NumPy: the two objectives have gradients of one line.
"""

from functools import cache

import numpy as np
from threadpoolctl import threadpool_limits

from scripts.dl import glove
from scripts.dl import skip_gram as sg
from scripts.dl.optimizers import AdaGrad
from scripts.experiments.recorded import Result, recorded

WORDS, TOPICS, SEGMENTS, LENGTH, WINDOW = 300, 6, 3000, 25, 5
SPREAD = 1.5  # standard deviation of the logarithm of a word's affinity to a topic
D, NEGATIVES, STEPS, RATE = 10, 5, 400, 0.3


@cache
def word_probabilities() -> np.ndarray:
    """p(word | topic), (WORDS, TOPICS); word 0 is among the frequent ones."""
    affinity = np.random.default_rng(0).normal(0, SPREAD, (WORDS, TOPICS))
    p = np.exp(affinity) / (np.arange(WORDS) + 2.7)[:, None]
    return p / p.sum(axis=0)


def true_pmi() -> np.ndarray:
    """log p(i, j) / (p(i) p(j)) for two words of one segment, (WORDS, WORDS)."""
    p = word_probabilities()
    return sg.pmi(p @ p.T / TOPICS)


@cache
def tokens(segments: int = SEGMENTS) -> np.ndarray:
    """The corpus, with a gap as wide as the window, tokens WORDS, after every segment."""
    rng, levels = np.random.default_rng(1), word_probabilities().cumsum(axis=0)
    rows = np.full((segments, LENGTH + WINDOW), WORDS)
    for row, topic in zip(rows, rng.integers(TOPICS, size=segments), strict=True):
        drawn = np.searchsorted(levels[:, topic], rng.random(LENGTH))
        row[:LENGTH] = np.minimum(drawn, WORDS - 1)
    return rows.ravel()


@cache
def counts(segments: int = SEGMENTS) -> np.ndarray:
    """Co-occurrences (WORDS, WORDS) in the corpus, weighted by 1/distance, not across segments."""
    return glove.cooccurrences(tokens(segments), WORDS + 1, WINDOW)[:-1, :-1]


def fit_sgns(X: np.ndarray, d: int, steps: int, rng: np.random.Generator) -> Result:
    """As `glove.fit`, with the other loss, noise by the words' counts (no power 3/4), and no biases."""
    p = {name: value for name, value in glove.initial(len(X), d, rng).items() if name.startswith("W")}
    optimizer = AdaGrad(p.values(), RATE)
    for _ in range(steps):
        _, G = sg.sgns_objective(p["W"] @ p["W_tilde"].T, X, NEGATIVES)
        optimizer.step([G @ p["W_tilde"], G.T @ p["W"]])
    return p


@threadpool_limits.wrap(limits=1)
def train(model: str, X: np.ndarray, steps: int) -> Result:
    rng = np.random.default_rng(2)
    return fit_sgns(X, D, steps, rng) if model == "sgns" else glove.fit(X, D, steps, rng, RATE)[0]


@recorded
def learned(model: str, segments: int) -> Result:
    """See the top of the module."""
    return {name: value.astype(np.float32) for name, value in train(model, counts(segments), STEPS).items()}


# --- What the vectors say ------------------------------------------------------------------------------------------


@cache
def estimated_pmi(model: str, segments: int = SEGMENTS) -> np.ndarray:
    """PMI as the learned scores put it, (n, n): of SGNS plus log k, of GloVe without the marginals."""
    p = learned(model, segments)
    if model == "sgns":
        return p["W"] @ p["W_tilde"].T + np.log(NEGATIVES)
    X = counts(segments)
    return glove.scores(p) - np.log(X.sum(axis=1))[:, None] - np.log(X.sum(axis=0)) + np.log(X.sum())
