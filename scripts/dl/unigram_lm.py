"""Unigram language model over pieces of words: Kudo, 2018 (arXiv 1804.10959).

A segmentation x = (x_1 … x_M) has probability prod p(x_i); a word's probability is the sum over its segmentations. `p`
is {piece: probability}; every letter must be among the pieces, or the word cannot be written.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

Pieces = Mapping[str, float]


# --8<-- [start:viterbi]
def viterbi(word, p):
    """The most probable segmentation and its log-probability."""
    best = [0.0] + [-math.inf] * len(word)  # best[j]: of word[:j]
    start = [0] * (len(word) + 1)  # where its last piece begins
    for j in range(1, len(word) + 1):
        for i in range(j):
            piece = word[i:j]
            if piece in p and best[i] + math.log(p[piece]) > best[j]:
                best[j] = best[i] + math.log(p[piece])
                start[j] = i
    pieces, j = [], len(word)
    while j > 0:
        pieces.append(word[start[j] : j])
        j = start[j]
    return pieces[::-1], best[-1]


# --8<-- [end:viterbi]


def segmentations(word: str, p: Pieces) -> Iterator[list[str]]:
    """All segmentations into known pieces: up to 2^(n-1)."""
    if not word:
        yield []
    for end in range(1, len(word) + 1):
        if word[:end] in p:
            for rest in segmentations(word[end:], p):
                yield [word[:end], *rest]


def forward(word: str, p: Pieces) -> np.ndarray:
    """alpha (n + 1,): alpha[j] is the sum of the probabilities of all segmentations of word[:j]."""
    alpha = np.zeros(len(word) + 1)
    alpha[0] = 1.0
    for j in range(1, len(word) + 1):
        alpha[j] = sum(alpha[i] * p.get(word[i:j], 0.0) for i in range(j))
    return alpha


def backward(word: str, p: Pieces) -> np.ndarray:
    """beta (n + 1,): beta[i] is the same for word[i:]."""
    beta = np.zeros(len(word) + 1)
    beta[-1] = 1.0
    for i in range(len(word) - 1, -1, -1):
        beta[i] = sum(p.get(word[i:j], 0.0) * beta[j] for j in range(i + 1, len(word) + 1))
    return beta


def expected_counts(word_counts: Mapping[str, int], p: Pieces) -> tuple[Counter, float]:
    """E-step: expected number of uses of each piece, alpha_i p beta_j / P(word), and the log-likelihood."""
    expected: Counter = Counter()
    log_likelihood = 0.0
    longest = max(map(len, p))
    for word, count in word_counts.items():
        alpha, beta = forward(word, p), backward(word, p)
        log_likelihood += count * math.log(alpha[-1])
        for i in range(len(word)):
            for j in range(i + 1, min(len(word), i + longest) + 1):
                piece = word[i:j]
                if piece in p:
                    expected[piece] += count * alpha[i] * p[piece] * beta[j] / alpha[-1]
    return expected, log_likelihood


def em_step(word_counts: Mapping[str, int], p: Pieces) -> tuple[dict[str, float], float]:
    """M-step: the expected counts, normalised. Returns the new probabilities and the log-likelihood of the old ones."""
    expected, log_likelihood = expected_counts(word_counts, p)
    total = sum(expected.values())
    return {piece: count / total for piece, count in expected.items() if count > 0}, log_likelihood


def seed(word_counts: Mapping[str, int], longest: int = 8, at_least: int = 2) -> dict[str, float]:
    """All letters, and all substrings of 2 … `longest` letters that occur `at_least` times; p ∝ count."""
    counts: Counter = Counter()
    for word, count in word_counts.items():
        for i in range(len(word)):
            for j in range(i + 1, min(len(word), i + longest) + 1):
                counts[word[i:j]] += count
    kept = {piece: count for piece, count in counts.items() if len(piece) == 1 or count >= at_least}
    total = sum(kept.values())
    return {piece: count / total for piece, count in kept.items()}


def losses(word_counts: Mapping[str, int], p: Pieces) -> dict[str, float]:
    """How much log-likelihood goes, about, when a piece goes: its uses have to be written with the other pieces.

    count × (log p(piece) - log p of its best segmentation without it), as SentencePiece estimates it; letters: inf.
    """
    expected, _ = expected_counts(word_counts, p)
    found = dict.fromkeys(p, math.inf)
    for piece in p:
        if len(piece) > 1:
            others = {other: value for other, value in _inside(piece, p).items() if other != piece}
            found[piece] = expected[piece] * (math.log(p[piece]) - viterbi(piece, others)[1])
    return found


def _inside(piece: str, p: Pieces) -> dict[str, float]:
    parts = {piece[i:j] for i in range(len(piece)) for j in range(i + 1, len(piece) + 1)}
    return {part: p[part] for part in sorted(parts) if part in p}


def train(word_counts: Mapping[str, int], size: int, keep: float = 0.8, sweeps: int = 2) -> dict[str, float]:
    """Start from `seed`; `sweeps` steps of EM, then drop the least useful pieces, down to `size` pieces.

    A round keeps the share `keep` of the pieces, letters always. Raises ValueError if the letters alone exceed `size`.
    """
    p = seed(word_counts)
    letters = {letter for word in word_counts for letter in word}
    if len(letters) > size:
        raise ValueError(f"{len(letters)} letters do not fit into {size} pieces")
    while True:
        for _ in range(sweeps):
            p = em_step(word_counts, p)[0]
            p |= {letter: 1e-12 for letter in sorted(letters) if letter not in p}  # a letter must stay writable
        if len(p) <= size:
            return p
        worth = losses(word_counts, p)
        target = max(size, int(keep * len(p)))
        kept = sorted(p, key=lambda piece: (-worth[piece], piece))[:target]
        total = sum(p[piece] for piece in kept)
        p = {piece: p[piece] / total for piece in kept}


def sample(word: str, p: Pieces, rng: np.random.Generator, sharpness: float = 1.0) -> list[str]:
    """Subword regularisation: a segmentation drawn with probability ∝ P(x)^sharpness, backwards along `forward`."""
    sharp = {piece: p[piece] ** sharpness for piece in _inside(word, p)}
    alpha = forward(word, sharp)
    pieces, j = [], len(word)
    while j > 0:
        weights = np.array([alpha[i] * sharp.get(word[i:j], 0.0) for i in range(j)])
        i = int(rng.choice(j, p=weights / weights.sum()))
        pieces.append(word[i:j])
        j = i
    return pieces[::-1]


def perplexity(log_probability: float, tokens: int) -> float:
    """exp of the mean negative log-probability of a token."""
    return math.exp(-log_probability / tokens)


def bits_per_byte(log_probability: float, text: str) -> float:
    """-log2 P(text) divided by the number of its UTF-8 bytes: it does not depend on how the text was cut."""
    return -log_probability / math.log(2) / len(text.encode("utf-8"))


def total_log_probability(pieces: Sequence[str], p: Pieces) -> float:
    return sum(math.log(p[piece]) for piece in pieces)
