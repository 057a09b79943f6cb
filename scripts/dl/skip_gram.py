"""Word2Vec: losses of skip-gram and CBOW with their gradients, and the counts behind them.

Mikolov et al., 2013 (arXiv 1301.3781 and 1310.4546); Levy and Goldberg, NIPS 2014. A word has two vectors: a row of
`V` (|V|, d) when it is the centre of the window, a row of `U` (|V|, d) when it stands in the context. Words are numbers
0 … |V| - 1. Losses are sums over what is passed, not means.
"""

import heapq
from dataclasses import dataclass

import numpy as np

from scripts.dl.activations import sigmoid
from scripts.dl.losses import softmax

# --- One centre, one context word ------------------------------------------------------------------------------------


# --8<-- [start:softmax]
def softmax_loss(v, U, o):
    """-log p(o | c) for the centre's vector v (d,), U (|V|, d).

    Returns (loss, v_bar, U_bar): every row of U gets a gradient.
    """
    p = softmax(U @ v)
    error = p.copy()
    error[o] -= 1.0  # expected minus observed
    return -np.log(p[o]), U.T @ error, np.outer(error, v)


# --8<-- [end:softmax]


# --8<-- [start:negative-sampling]
def negative_sampling_loss(v, u, negatives):
    """Loss of one pair: v, u (d,), negatives (k, d) rows of U.

    Returns (loss, v_bar, u_bar, negatives_bar), the adjoints of
    the three arguments: only k + 2 vectors get a gradient.
    """
    scores, noise = u @ v, negatives @ v  # a number, (k,)
    loss = np.logaddexp(0, -scores) + np.logaddexp(0, noise).sum()
    pull = sigmoid(scores) - 1.0  # ≤ 0: the step moves u towards v
    push = sigmoid(noise)  # ≥ 0: the step moves negatives away
    v_bar = pull * u + negatives.T @ push
    return loss, v_bar, pull * v, np.outer(push, v)


# --8<-- [end:negative-sampling]


def cbow_loss(context: np.ndarray, U: np.ndarray, c: int) -> tuple[float, np.ndarray, np.ndarray]:
    """-log p(c | mean of the context) for the 2m context vectors `context` (2m, d) and output vectors `U` (|V|, d).

    Returns (loss, context_bar (2m, d), U_bar): every context word gets the same gradient, a 2m-th of the mean's.
    """
    loss, mean_bar, U_bar = softmax_loss(context.mean(axis=0), U, c)
    return loss, np.tile(mean_bar / len(context), (len(context), 1)), U_bar


# --- Hierarchical softmax --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Path:
    """The way from the root to a word: inner nodes (rows of the node table), and at each the sign of the turn."""

    nodes: np.ndarray  # (L,), int
    signs: np.ndarray  # (L,), +1 to the first child, -1 to the second


def huffman_paths(counts: np.ndarray) -> list[Path]:
    """Paths of a Huffman tree over words with these counts; |V| - 1 inner nodes, the root is the last of them.

    Two rarest nodes are joined first; of equally rare ones the one that appeared earlier. Raises ValueError for fewer
    than two words.
    """
    if len(counts) < 2:
        raise ValueError("a tree needs at least two words")
    heap = [(float(count), word, word) for word, count in enumerate(counts)]
    heapq.heapify(heap)
    parent: dict[int, tuple[int, int]] = {}  # node → (inner node above, sign)
    size = len(counts)
    for inner in range(size - 1):
        (first_count, _, first), (second_count, _, second) = heapq.heappop(heap), heapq.heappop(heap)
        parent[first], parent[second] = (inner, 1), (inner, -1)
        heapq.heappush(heap, (first_count + second_count, size + inner, size + inner))
    return [_climb(word, parent, size) for word in range(size)]


def _climb(word: int, parent: dict[int, tuple[int, int]], size: int) -> Path:
    nodes, signs, node = [], [], word
    while node in parent:
        inner, sign = parent[node]
        nodes.append(inner)
        signs.append(sign)
        node = size + inner
    return Path(np.array(nodes[::-1]), np.array(signs[::-1]))


def hierarchical_probability(v: np.ndarray, nodes: np.ndarray, path: Path) -> float:
    """p(word | c), the product of sigma(± u_n·v) along the path; `v` (d,), `nodes` (|V| - 1, d)."""
    return float(np.prod(sigmoid(path.signs * (nodes[path.nodes] @ v))))


def hierarchical_loss(v: np.ndarray, nodes: np.ndarray, path: Path) -> tuple[float, np.ndarray, np.ndarray]:
    """-log p(word | c); returns (loss, v_bar (d,), adjoint (L, d) of the path's rows of `nodes`)."""
    rows = nodes[path.nodes]
    scores = path.signs * (rows @ v)
    error = path.signs * (sigmoid(scores) - 1.0)
    return float(np.logaddexp(0, -scores).sum()), rows.T @ error, np.outer(error, v)


# --- Frequencies -----------------------------------------------------------------------------------------------------


def noise_distribution(counts: np.ndarray, power: float = 0.75) -> np.ndarray:
    """P_n ∝ count^power, shape of `counts`."""
    weights = np.asarray(counts, dtype=float) ** power
    return weights / weights.sum()


def keep_probability(frequency: np.ndarray, threshold: float = 1e-5) -> np.ndarray:
    """Chance min(1, sqrt(t / f)) that an occurrence of a word with relative frequency f stays (1310.4546, eq. 5)."""
    return np.minimum(1.0, np.sqrt(threshold / np.asarray(frequency)))


def keep_probability_in_code(frequency: np.ndarray, threshold: float = 1e-3) -> np.ndarray:
    """What word2vec.c computes instead: min(1, sqrt(t / f) + t / f), with its default threshold."""
    ratio = threshold / np.asarray(frequency)
    return np.minimum(1.0, np.sqrt(ratio) + ratio)


# --- Counts ----------------------------------------------------------------------------------------------------------


def pairs(words: np.ndarray, window: int) -> np.ndarray:
    """All (centre, context) pairs of one text, (n, 2), at distances 1 … `window` on both sides; `words` (T,)."""
    words = np.asarray(words)
    found = [
        np.stack(ends, axis=1)
        for j in range(1, min(window, len(words) - 1) + 1)
        for ends in ((words[:-j], words[j:]), (words[j:], words[:-j]))
    ]
    return np.concatenate(found) if found else np.empty((0, 2), dtype=int)


def count_matrix(pairs: np.ndarray, size: int) -> np.ndarray:
    """#(c, o) for all pairs (n, 2), (size, size)."""
    counts = np.zeros((size, size))
    np.add.at(counts, (pairs[:, 0], pairs[:, 1]), 1.0)
    return counts


# --8<-- [start:pmi]
def pmi(counts):
    """log #(c,o) |D| / (#(c) #(o)) of a matrix of pair counts."""
    by_centre = counts.sum(axis=1, keepdims=True)  # #(c), (|V|, 1)
    by_context = counts.sum(axis=0, keepdims=True)  # #(o), (1, |V|)
    with np.errstate(divide="ignore"):  # log 0 = -inf is meant
        return np.log(counts * counts.sum() / (by_centre * by_context))


# --8<-- [end:pmi]


def ppmi(counts: np.ndarray) -> np.ndarray:
    """max(0, PMI): pairs that were never seen get 0 instead of -inf."""
    return np.maximum(pmi(counts), 0.0)


def low_rank(matrix: np.ndarray, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Truncated SVD split evenly: row vectors (n, d) and column vectors (m, d) whose products approximate `matrix`."""
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    root = np.sqrt(values[:d])
    return left[:, :d] * root, right[:d].T * root


def sgns_objective(
    scores: np.ndarray, counts: np.ndarray, k: float, noise: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """Negative sampling over the whole corpus, in expectation over the noise (Levy and Goldberg, eq. 4 and 7).

    -sum #(c,o) log sigma(x_co) + k #(c) P_n(o) log sigma(-x_co) and its gradient, both shapes (|V|, |V|) of `scores`,
    x_co = v_c·u_o. `noise` (|V|,) defaults to the share of each word among the contexts.
    """
    expected = k * _negatives(counts, noise)
    loss = (counts * np.logaddexp(0, -scores) + expected * np.logaddexp(0, scores)).sum()
    return float(loss), expected * sigmoid(scores) - counts * sigmoid(-scores)


def sgns_optimum(counts: np.ndarray, k: float, noise: np.ndarray | None = None) -> np.ndarray:
    """The scores at which that gradient is zero: log #(c,o) / (k #(c) P_n(o)); with unigram noise, PMI - log k."""
    with np.errstate(divide="ignore"):
        return np.log(counts / (k * _negatives(counts, noise)))


def _negatives(counts: np.ndarray, noise: np.ndarray | None) -> np.ndarray:
    """How often each pair is drawn as a negative when k = 1."""
    share = counts.sum(axis=0) / counts.sum() if noise is None else noise
    return counts.sum(axis=1, keepdims=True) * share


# --- Using the vectors -----------------------------------------------------------------------------------------------


def cosines(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Cosine of `query` (d,) with each row of `vectors` (n, d)."""
    return vectors @ query / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(query))


def analogy(vectors: np.ndarray, a: int, b: int, c: int, exclude: bool = True) -> int:
    """a is to b as c is to the answer: 3CosAdd, the word nearest to b - a + c, the three given words left out.

    `exclude=False` shows what that rule hides: the answer is then often c or b itself.
    """
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = cosines(unit, unit[b] - unit[a] + unit[c])
    if exclude:
        scores[[a, b, c]] = -np.inf
    return int(scores.argmax())


# --8<-- [start:ngrams]
def character_ngrams(word, low=3, high=6):
    """fastText's parts of a word: n-grams of <word> and <word> itself."""
    marked = f"<{word}>"
    ngrams = [marked]
    for n in range(low, high + 1):
        ngrams += [marked[i : i + n] for i in range(len(marked) - n + 1)]
    return list(dict.fromkeys(ngrams))  # each once


# --8<-- [end:ngrams]
