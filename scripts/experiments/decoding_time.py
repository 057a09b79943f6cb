"""How long one more token takes at a growing position, with a KV cache and without: measured once, on one thread.

PyTorch, float32: the point is the time of a real library. Processor time, which another process does not lengthen.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from scripts.experiments.recorded import Result, recorded

POSITIONS = (1, 32, 64, 96, 128, 192, 256, 320, 384, 448, 512)
REPEATS = 15


class Block:
    """One pre-norm block with random weights: causal attention and an FFN of width 4d."""

    def __init__(self, d: int, heads: int):
        self.d, self.heads = d, heads
        self.weights = {
            name: torch.randn(shape) / shape[1] ** 0.5
            for name, shape in (("QKV", (3 * d, d)), ("O", (d, d)), ("1", (4 * d, d)), ("2", (d, 4 * d)))
        }

    def forward(self, X: Tensor, past: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """(T, d) of all tokens; with `past`, keys and values (h, t - 1, d_k), of the one token X (1, d)."""
        X = X + self._attend(F.layer_norm(X, (self.d,)), past) @ self.weights["O"].T
        return X + F.relu(F.layer_norm(X, (self.d,)) @ self.weights["1"].T) @ self.weights["2"].T

    def _attend(self, X: Tensor, past: tuple[Tensor, Tensor] | None) -> Tensor:
        projected = (X @ self.weights["QKV"].T).view(len(X), 3, self.heads, -1)
        Q, K, V = projected.permute(1, 2, 0, 3)
        if past is not None:
            K, V = (torch.cat([old, new], dim=1) for old, new in zip(past, (K, V), strict=True))
        Y = F.scaled_dot_product_attention(Q, K, V, is_causal=past is None)
        return Y.transpose(0, 1).flatten(1)


def _milliseconds(call: Callable[[], Tensor]) -> float:
    call()
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return 1000 * float(np.median(seconds))


def measure(d: int, heads: int, positions: tuple[int, ...] = POSITIONS) -> Result:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    block, found = Block(d, heads), {"cached": [], "recomputed": []}
    with torch.no_grad():
        for t in positions:
            X = torch.randn(t, d)
            past = tuple(torch.randn(2, heads, t - 1, d // heads))
            found["cached"].append(_milliseconds(lambda X=X, past=past: block.forward(X[-1:], past)))
            found["recomputed"].append(_milliseconds(lambda X=X: block.forward(X)))
    return {"positions": np.array(positions)} | {name: np.array(times) for name, times in found.items()}


@recorded
def milliseconds(d: int, heads: int) -> Result:
    """`cached` and `recomputed`, milliseconds of one block for the token at each of `positions`."""
    return measure(d, heads)
