"""How long one head of attention takes as the sequence grows: full, by tiles, in a window, linear.

`times()` returns, for K = 6 lengths from 256 to 8192:

    lengths   (K,)  tokens
    full, tiles, window, linear   (K,)   seconds of processor time, the least of several runs

One head of width 64, one thread, float32, forward pass without a mask. Full attention writes into two T × T matrices
set aside beforehand: those above 32 MiB would otherwise be asked of the system anew at every call, and the handing over
of fresh pages would take as long as attention itself. PyTorch, because its products and its kernel of attention by
tiles are what one would use; the window and linear attention are those of `scripts/dl`, written in it. Processor time
of a busy machine: the slopes mean something, single values up to some tens of per cent.
"""

import math
import time
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from scripts.experiments.recorded import Result, recorded

WIDTH, RADIUS = 64, 64
LENGTHS = (256, 512, 1024, 2048, 4096, 8192)
SECONDS, RUNS = 0.5, 25  # a length is measured for so long or so often, but at least three times

Attention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def full(Q: torch.Tensor, K: torch.Tensor, V: torch.Tensor) -> torch.Tensor:
    """softmax(QKᵀ/√d) V with the whole T × T matrices of scores and of weights."""
    S, A = _matrices(len(Q))
    torch.mm(Q, K.T, out=S)
    torch.softmax(S.div_(math.sqrt(Q.shape[1])), dim=1, out=A)
    return A @ V


@lru_cache(maxsize=1)
def _matrices(T: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.empty(T, T), torch.empty(T, T)


def tiles(Q: torch.Tensor, K: torch.Tensor, V: torch.Tensor) -> torch.Tensor:
    """The same by tiles, PyTorch's kernel."""
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return F.scaled_dot_product_attention(*(X[None, None] for X in (Q, K, V)))[0, 0]


def window(Q: torch.Tensor, K: torch.Tensor, V: torch.Tensor) -> torch.Tensor:
    """`RADIUS` neighbours on both sides, three blocks of keys for a block of queries; `RADIUS` divides T."""
    T = len(Q)
    i = torch.arange(T).reshape(-1, RADIUS)
    j = i[:, :1] + torch.arange(-RADIUS, 2 * RADIUS)
    K3, V3 = (F.pad(X, (0, 0, RADIUS, RADIUS)).unfold(0, 3 * RADIUS, RADIUS) for X in (K, V))  # (blocks, d, 3r)
    seen = ((i[:, :, None] - j[:, None, :]).abs() <= RADIUS) & ((j >= 0) & (j < T))[:, None, :]
    S = (Q.reshape(-1, RADIUS, Q.shape[1]) @ K3 / math.sqrt(Q.shape[1])).masked_fill(~seen, -math.inf)
    return (torch.softmax(S, dim=2) @ V3.transpose(1, 2)).reshape(T, -1)


def linear(Q: torch.Tensor, K: torch.Tensor, V: torch.Tensor) -> torch.Tensor:
    """φ(Q) (φ(K)ᵀV) with φ = elu + 1, rows divided by their sums of weights."""
    phi_Q, phi_K = F.elu(Q) + 1, F.elu(K) + 1
    return phi_Q @ (phi_K.T @ V) / (phi_Q @ phi_K.sum(dim=0))[:, None]


METHODS: dict[str, Attention] = {"full": full, "tiles": tiles, "window": window, "linear": linear}


def inputs(T: int) -> list[torch.Tensor]:
    """Random Q, K, V, (T, WIDTH) each, float32."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(T, WIDTH, generator=generator) for _ in range(3)]


def _least_time(attend: Attention, arrays: list[torch.Tensor]) -> float:
    attend(*arrays)  # the first call allocates, and `full` keeps what it got
    found: list[float] = []
    while len(found) < 3 or (len(found) < RUNS and sum(found) < SECONDS):
        start = time.process_time()
        attend(*arrays)
        found.append(time.process_time() - start)
    return min(found)


@recorded
def times() -> Result:
    torch.set_num_threads(1)
    with torch.no_grad():
        measured = {
            name: np.array([_least_time(attend, inputs(T)) for T in LENGTHS], dtype=np.float32)
            for name, attend in METHODS.items()
        }
    return {"lengths": np.array(LENGTHS), **measured}
