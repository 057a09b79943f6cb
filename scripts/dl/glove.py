"""GloVe: word vectors from co-occurrence counts by weighted least squares on their logarithms.

X (n, n) holds weighted counts of word j near word i. Parameters are a dict: W, W_tilde (n, d) vectors of words as
centres and as contexts, b, b_tilde (n,) their biases.

Source: Pennington, Socher, Manning 2014 (https://aclanthology.org/D14-1162), section 3, eq. 8 and 9; training as in
section 4.2, but on all nonzero cells at once instead of one drawn at random.
"""

import numpy as np

from scripts.dl.optimizers import AdaGrad

Parameters = dict[str, np.ndarray]


# --8<-- [start:counts]
def cooccurrences(tokens, size, window):
    """X (size, size): a neighbour at a distance r <= window adds 1/r."""
    X = np.zeros((size, size))
    for r in range(1, min(window, len(tokens) - 1) + 1):
        np.add.at(X, (tokens[:-r], tokens[r:]), 1 / r)
    return X + X.T  # neighbours on the left count as those on the right


# --8<-- [end:counts]


# --8<-- [start:objective]
def weight(x, x_max=100.0, alpha=0.75):
    """f(x): rises as a power, is 1 from x_max on, 0 at 0."""
    return np.minimum(np.asarray(x) / x_max, 1.0) ** alpha


def loss_and_gradients(p, X, x_max=100.0):
    """J and its gradients; a cell with X = 0 has no weight."""
    seen = X > 0
    error = scores(p) - np.log(np.where(seen, X, 1.0))  # (n, n)
    pull = weight(X, x_max) * error
    G = 2 * pull  # dJ / d score
    return (pull * error).sum(), {
        "W": G @ p["W_tilde"],
        "W_tilde": G.T @ p["W"],
        "b": G.sum(axis=1),
        "b_tilde": G.sum(axis=0),
    }


def scores(p):
    """w_i . w~_j + b_i + b~_j, the model of log X, (n, n)."""
    return p["W"] @ p["W_tilde"].T + p["b"][:, None] + p["b_tilde"]


# --8<-- [end:objective]


def initial(n: int, d: int, rng: np.random.Generator) -> Parameters:
    """Uniform in ±1/(2d), vectors and biases alike, as in the authors' program."""
    shapes = {"W": (n, d), "W_tilde": (n, d), "b": (n,), "b_tilde": (n,)}
    return {name: rng.uniform(-0.5, 0.5, shape) / d for name, shape in shapes.items()}


def fit(
    X: np.ndarray, d: int, steps: int, rng: np.random.Generator, lr: float = 0.1, x_max: float = 100.0
) -> tuple[Parameters, np.ndarray]:
    """Parameters after `steps` of full-batch AdaGrad, and J before each step, (steps,).

    Raises:
        ValueError: X is not square, or holds a negative count.
    """
    if X.ndim != 2 or X.shape[0] != X.shape[1] or X.min() < 0:
        raise ValueError("X must be a square matrix of counts, none negative")
    p = initial(len(X), d, rng)
    optimizer, losses = AdaGrad(p.values(), lr), []
    for _ in range(steps):
        loss, gradients = loss_and_gradients(p, X, x_max)
        optimizer.step([gradients[name] for name in p])
        losses.append(loss)
    return p, np.array(losses)


def word_vectors(p: Parameters) -> np.ndarray:
    """What the authors publish as the vectors of words: w + w~, (n, d)."""
    return p["W"] + p["W_tilde"]
