from functools import cache

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint_sequential

from scripts.dl import checkpointing
from scripts.dl.checkpointing import (
    Chain,
    backward_by_halving,
    backward_from_the_input,
    backward_in_segments,
    decreasing_bounds,
    equal_bounds,
    longest_chain,
    tanh_chain,
)

DEPTH = 16
SCHEDULES = {
    "everything": lambda chain: backward_in_segments(chain, [0, DEPTH]),
    "equal segments": lambda chain: backward_in_segments(chain, equal_bounds(DEPTH, 4)),
    "uneven segments": lambda chain: backward_in_segments(chain, [0, 1, 9, 10, 16]),
    "decreasing segments": lambda chain: backward_in_segments(chain, decreasing_bounds(DEPTH, 7)),
    "segments of one layer": lambda chain: backward_in_segments(chain, list(range(DEPTH + 1))),
    "halving": backward_by_halving,
    "input only": backward_from_the_input,
}


def run(schedule, depth=DEPTH):
    rng = np.random.default_rng(0)
    layers, x = tanh_chain(depth, 5, rng), rng.normal(size=5)
    chain = Chain(layers, x, lambda a: 2.0 * a)  # of the loss sum(a^2)
    schedule(chain)
    return chain


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_every_schedule_gives_the_gradient_of_pytorch(name):
    chain = run(SCHEDULES[name])
    a = x = torch.tensor(chain.x, requires_grad=True)
    rng = np.random.default_rng(0)
    for _ in range(DEPTH):
        a = torch.tanh(torch.tensor(rng.normal(0.0, 5**-0.5, (5, 5))) @ a)
    (a**2).sum().backward()
    np.testing.assert_allclose(chain.bar, x.grad.numpy(), rtol=1e-12)
    assert list(chain.alive) == [0]
    assert chain.next_backward == 0


@pytest.mark.parametrize("segments", [1, 2, 4, 8, 16])
def test_equal_segments_store_k_plus_l_over_k_and_recompute_all_but_the_last(segments):
    chain = run(lambda chain: backward_in_segments(chain, equal_bounds(DEPTH, segments)))
    assert chain.peak == segments + DEPTH // segments
    assert chain.forward_steps == DEPTH + DEPTH - DEPTH // segments


@pytest.mark.parametrize("power", [0, 1, 3, 5])
def test_halving_takes_half_l_log_l_plus_l_forward_steps(power):
    depth = 2**power
    chain = run(backward_by_halving, depth)
    assert chain.forward_steps == depth * power // 2 + depth
    assert chain.peak == power + 2


def test_halving_also_works_when_the_length_is_no_power_of_two():
    assert run(backward_by_halving, 11).next_backward == 0


def test_keeping_the_input_alone():
    chain = run(backward_from_the_input)
    assert chain.forward_steps == DEPTH * (DEPTH + 1) // 2
    assert chain.peak == 3


@pytest.mark.parametrize("memory", [2, 3, 7, 12])
def test_decreasing_segments_fill_the_memory(memory):
    depth = memory * (memory - 1) // 2
    chain = run(lambda chain: backward_in_segments(chain, decreasing_bounds(depth, memory)), depth)
    assert chain.peak == memory
    assert chain.forward_steps < 2 * depth or depth == 1
    with pytest.raises(ValueError, match="cannot cover"):
        decreasing_bounds(depth + 1, memory)


def test_longest_chain_by_search():
    """The split at m: its left part is advanced over once more, its right part has one state less."""

    @cache
    def reversible(length: int, states: int, repeats: int) -> bool:
        if length == 1:
            return states >= 1
        if states < 1 or repeats < 1:
            return False
        if states == 1:  # every layer again from the only state
            return length - 1 <= repeats
        return any(
            reversible(m, states, repeats - 1) and reversible(length - m, states - 1, repeats) for m in range(1, length)
        )

    for states in range(1, 5):
        for repeats in range(1, 5):
            longest = max(length for length in range(1, 80) if reversible(length, states, repeats))
            assert longest == longest_chain(states, repeats)


def test_pytorch_recomputes_every_segment_but_the_last():
    calls = []

    class Counted(torch.nn.Module):
        def forward(self, x):
            calls.append(1)
            return torch.tanh(x)

    x = torch.ones(3, requires_grad=True)
    y = checkpoint_sequential([Counted() for _ in range(64)], 8, x, use_reentrant=False)
    assert len(calls) == 64
    y.sum().backward()
    assert len(calls) == 120


def test_what_was_dropped_cannot_be_used_and_layers_go_backwards_in_order():
    chain = run(lambda chain: None)
    chain.forward(1)
    chain.forward(2, drop_input=True)
    with pytest.raises(KeyError):
        chain.forward(2)
    with pytest.raises(ValueError, match="expected 16"):
        chain.backward(2)


def test_bounds_have_to_divide():
    with pytest.raises(ValueError, match="equal segments"):
        checkpointing.equal_bounds(10, 3)
