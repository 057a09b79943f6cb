"""Checkpointing of a chain: the backward pass with fewer stored activations and more forward steps.

A chain has layers 1..L, a^l = forward_l(a^{l-1}); the VJP of layer l needs its input a^{l-1} and its output a^l. The
schedules below really run the layers on a `Chain`, which keeps what is alive, counts forward steps and refuses to
use what has been dropped (Chen et al. 2016, arXiv 1604.06174; Griewank 1992).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import comb

import numpy as np


@dataclass(frozen=True)
class Layer:
    """`forward(a)` gives the output; `vjp(a, output, bar)` carries the adjoint of the output to the input."""

    forward: Callable[[np.ndarray], np.ndarray]
    vjp: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass
class Chain:
    """A run: what is alive, and its history."""

    layers: Sequence[Layer]
    x: np.ndarray
    loss_adjoint: Callable[[np.ndarray], np.ndarray]
    alive: dict[int, np.ndarray] = field(init=False)
    bar: np.ndarray | None = None
    next_backward: int = field(init=False)
    live: list[int] = field(default_factory=list)  # activations kept after each step (not the one being replaced)
    costs: list[int] = field(default_factory=list)  # forward steps cost 1, backward ones 2

    def __post_init__(self) -> None:
        self.alive = {0: self.x}
        self.next_backward = len(self.layers)

    def forward(self, i: int, drop_input: bool = False) -> None:
        """Compute a^i; with `drop_input`, in the place of its input."""
        self.alive[i] = self.layers[i - 1].forward(self.alive[i - 1])
        if drop_input:
            del self.alive[i - 1]
        self._log(1)

    def backward(self, i: int) -> None:
        """Carry the adjoint through layer i, then drop its output. Layers go from L to 1."""
        if i != self.next_backward:
            raise ValueError(f"backward of layer {i}, expected {self.next_backward}")
        if self.bar is None:
            self.bar = self.loss_adjoint(self.alive[i])
        self.bar = self.layers[i - 1].vjp(self.alive[i - 1], self.alive[i], self.bar)
        self.next_backward -= 1
        self._log(2)
        del self.alive[i]

    def _log(self, cost: int) -> None:
        self.live.append(len(self.alive))
        self.costs.append(cost)

    @property
    def peak(self) -> int:
        return max(self.live)

    @property
    def forward_steps(self) -> int:
        return self.costs.count(1)


# --8<-- [start:segments]
def backward_in_segments(chain, bounds):
    """Keep a^i for i in bounds = [0, ..., L]; recompute the rest."""
    *inner, last = list(pairwise(bounds))
    for start, stop in inner:  # forward: only starts of segments stay
        for i in range(start + 1, stop + 1):
            chain.forward(i, drop_input=i - 1 > start)
    for i in range(last[0] + 1, last[1] + 1):
        chain.forward(i)  # the last segment is needed at once
    for i in reversed(range(last[0] + 1, last[1] + 1)):
        chain.backward(i)
    for start, stop in reversed(inner):
        del chain.alive[stop]  # was the input of the segment above
        for i in range(start + 1, stop + 1):
            chain.forward(i)  # recomputed from a^start
        for i in reversed(range(start + 1, stop + 1)):
            chain.backward(i)


# --8<-- [end:segments]


def equal_bounds(layers: int, segments: int) -> list[int]:
    """Bounds of `segments` equal segments; `segments` divides `layers`."""
    if layers % segments:
        raise ValueError(f"{layers} layers do not split into {segments} equal segments")
    return list(range(0, layers + 1, layers // segments))


def decreasing_bounds(layers: int, memory: int) -> list[int]:
    """Bounds for `memory` activations: segment j = 1, 2, … meets j starts, so it may hold memory - j outputs.

    Covers memory (memory - 1) / 2 layers: about sqrt(2 L) activations instead of 2 sqrt(L).
    """
    if memory * (memory - 1) // 2 < layers:
        raise ValueError(f"{memory} activations cannot cover {layers} layers with one recomputation")
    bounds = [0]
    while bounds[-1] < layers:
        bounds.append(min(layers, bounds[-1] + memory - len(bounds)))
    return bounds


def backward_by_halving(chain: Chain, start: int = 0, stop: int | None = None) -> None:
    """Keep the middle, reverse the right half, then the left one: about log2 L activations.

    L/2 log2 L + L forward steps in all for L a power of two.
    """
    stop = len(chain.layers) if stop is None else stop
    if stop == start + 1:
        chain.forward(stop)
        chain.backward(stop)
        return
    middle = (start + stop) // 2
    for i in range(start + 1, middle + 1):
        chain.forward(i, drop_input=i - 1 > start)
    backward_by_halving(chain, middle, stop)
    del chain.alive[middle]
    backward_by_halving(chain, start, middle)


def backward_from_the_input(chain: Chain) -> None:
    """Keep the input alone and recompute everything for each layer."""
    for last in reversed(range(1, len(chain.layers) + 1)):
        for i in range(1, last + 1):
            chain.forward(i, drop_input=1 < i < last)
        chain.backward(last)
        if last > 1:
            del chain.alive[last - 1]


def longest_chain(checkpoints: int, repeats: int) -> int:
    """Layers that can be reversed with so many stored states (the input is one of them), none advanced over more than
    `repeats` times: the binomial coefficient of Griewank (1992) and `revolve` (Griewank and Walther 2000).

    A layer at the moment of its backward step is not counted: its VJP starts from the stored input.
    """
    return comb(checkpoints + repeats, checkpoints)


def tanh_chain(layers: int, width: int, rng: np.random.Generator) -> list[Layer]:
    """Dense tanh layers, to try the schedules on."""

    def layer(W: np.ndarray) -> Layer:
        return Layer(lambda a: np.tanh(W @ a), lambda a, out, bar: W.T @ (bar * (1.0 - out**2)))

    return [layer(rng.normal(0.0, width**-0.5, (width, width))) for _ in range(layers)]
