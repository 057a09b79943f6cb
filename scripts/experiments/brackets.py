"""A tiny LSTM learns to say whether all brackets read so far are closed; what its cells do meanwhile.

Only yes or no is taught, never the depth. PyTorch, float32: a network is trained. Its gates are read out afterwards
with the cell of `scripts/dl/recurrent.py`.
"""

import numpy as np
import torch
from torch import nn

from scripts.dl.recurrent import LSTM
from scripts.experiments.recorded import Result, recorded

OPEN, CLOSE, OTHER = range(3)
HIDDEN, LENGTH, DEEPEST = 4, 40, 8
STEPS, BATCH, RATE, CLIP, TESTED, SEED = 600, 64, 0.02, 1.0, 500, 1
SHOWN = "((x)(()))x()((((x))x))(())"
NESTS = np.array([1, 2, 4, 8, 12, 16, 24, 32, 48])


def draw(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Symbols and depths after them, both (LENGTH, count): a walk between 0 and DEEPEST that often stands still."""
    symbols, depths = np.empty((LENGTH, count), dtype=int), np.empty((LENGTH, count), dtype=int)
    depth = np.zeros(count, dtype=int)
    for t in range(LENGTH):
        drawn = rng.choice(3, size=count, p=(0.3, 0.3, 0.4))
        drawn = np.where((drawn == CLOSE) & (depth == 0), OPEN, drawn)
        drawn = np.where((drawn == OPEN) & (depth == DEEPEST), CLOSE, drawn)
        depth = depth + (drawn == OPEN) - (drawn == CLOSE)
        symbols[t], depths[t] = drawn, depth
    return symbols, depths


def encode(text: str) -> np.ndarray:
    """Symbols (T, 1) of a string of brackets and x."""
    return np.array([["()x".index(letter)] for letter in text])


def train(steps: int, seed: int) -> tuple[LSTM, np.ndarray, float]:
    """The cell, the weights of the answer (HIDDEN,) and its bias."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network, head = nn.LSTM(3, HIDDEN), nn.Linear(HIDDEN, 1)
    parameters = [*network.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, RATE)
    for _ in range(steps):
        symbols, depths = draw(BATCH, rng)
        outputs, _ = network(torch.eye(3)[torch.tensor(symbols)])
        closed = torch.tensor(depths == 0).float()
        loss = nn.functional.binary_cross_entropy_with_logits(head(outputs)[..., 0], closed)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
    weights = [w.detach().numpy() for w in network.parameters()]
    return LSTM.from_torch(weights), head.weight.detach().numpy()[0].astype(float), head.bias.item()


def watch(cell: LSTM, symbols: np.ndarray) -> dict[str, np.ndarray]:
    """h, c, i, f, g, o at each step, each (T, B, HIDDEN), of symbols (T, B)."""
    state, seen = cell.initial(symbols.shape[1]), []
    for x in np.eye(3)[symbols]:
        gates = cell.gate_values(x, state)
        state, _ = cell.step(x, state)
        seen.append({"h": state[0], "c": state[1], **gates})
    return {name: np.stack([step[name] for step in seen]) for name in seen[0]}


@recorded
def counter() -> Result:
    """The trained network: its `accuracy` on new walks, `correlation` of each cell with the depth (HIDDEN,), the
    traces of the most correlated `unit` on `SHOWN` (`c`, `i`, `f`, `g`, `o`, `answer`, each (T,)), and for nests of
    n brackets, `((…))`, the share of the steps answered rightly (`nests`)."""
    torch.set_num_threads(1)
    cell, weights, bias = train(STEPS, SEED)
    symbols, depths = draw(TESTED, np.random.default_rng(100))
    seen = watch(cell, symbols)
    right = (seen["h"] @ weights + bias > 0) == (depths == 0)
    flat = seen["c"].reshape(-1, HIDDEN)
    correlation = np.array([np.corrcoef(column, depths.ravel())[0, 1] for column in flat.T])
    unit = int(np.argmax(correlation))
    shown = watch(cell, encode(SHOWN))
    nests = []
    for n in NESTS:
        answer = watch(cell, encode("(" * n + ")" * n))["h"][:, 0] @ weights + bias > 0
        nests.append(np.mean(answer == (np.arange(1, 2 * n + 1) == 2 * n)))
    traces = {name: shown[name][:, 0, unit].astype(np.float32) for name in "cifgo"}
    answer = (shown["h"][:, 0] @ weights + bias).astype(np.float32)
    return {
        "accuracy": right.mean(), "closed": np.mean(depths == 0), "correlation": correlation, "unit": unit,
        "answer": answer, "nests": np.array(nests), **traces,
    }  # fmt: skip
