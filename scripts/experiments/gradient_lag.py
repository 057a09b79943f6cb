"""How much of the gradient of the last state reaches an input `lag` steps earlier, at the start of training.

Nothing is trained: one pass forward over noise and one back, with the cells of `scripts/dl/recurrent.py`.
"""

import numpy as np

from scripts.dl.initialization import orthogonal
from scripts.dl.recurrent import GRU, LSTM, RNN, Cell, bptt, forget_bias_chrono, unroll
from scripts.experiments.recorded import Result, recorded

STEPS, INPUTS, HIDDEN, BATCH, SEEDS = 100, 8, 64, 8, 9


def make(name: str, rng: np.random.Generator) -> Cell:
    """A cell by its name: `lstm-3` is an LSTM with the bias 3 at the forget gate, `gru-3` a GRU with 3 at z."""
    kind, _, option = name.partition("-")
    if kind == "rnn":
        cell = RNN.random(INPUTS, HIDDEN, rng)
        if option == "orthogonal":
            cell.params["W_h"] = orthogonal(HIDDEN, HIDDEN, rng)
        return cell
    if kind == "gru":
        return GRU.random(INPUTS, HIDDEN, rng, keep_bias=float(option) if option else None)
    if option == "chrono":
        cell = LSTM.random(INPUTS, HIDDEN, rng)
        biases = forget_bias_chrono(STEPS, HIDDEN, rng)
        cell.params["b"][:HIDDEN], cell.params["b"][HIDDEN : 2 * HIDDEN] = -biases, biases
        return cell
    return LSTM.random(INPUTS, HIDDEN, rng, forget_bias=float(option) if option else None)


def input_gradients(cell: Cell, X: np.ndarray) -> np.ndarray:
    """Norms of the gradient of 1ᵀh_T in each x_t, averaged over the batch, by lag T - t: (T,)."""
    _, _, saved = unroll(cell, X)
    bar = np.zeros((len(X), X.shape[1], cell.hidden))
    bar[-1] = 1.0
    X_bar, _, _ = bptt(cell, saved, bar)
    return np.linalg.norm(X_bar, axis=2).mean(axis=1)[::-1]


@recorded
def lags(name: str) -> Result:
    """`norms` (SEEDS, STEPS): row by seed, column by lag 0 … 99."""
    rows = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        cell = make(name, rng)
        rows.append(input_gradients(cell, rng.standard_normal((STEPS, BATCH, INPUTS))))
    return {"norms": np.array(rows, dtype=np.float32)}
