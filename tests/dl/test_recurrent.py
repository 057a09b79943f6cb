"""Recurrent cells against PyTorch: outputs, all gradients, bidirectional reading."""

import numpy as np
import pytest
import torch
from torch import nn

from scripts.dl import recurrent
from scripts.dl.recurrent import GRU, LSTM, RNN, bidirectional, bptt, forget_bias_chrono, unroll

STEPS, BATCH, INPUTS, HIDDEN = 7, 3, 4, 5
PAIRS = [(RNN, nn.RNN), (LSTM, nn.LSTM), (GRU, nn.GRU)]


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-11, atol=1e-12)


def reference(kind, seed=0, **options):
    torch.manual_seed(seed)
    return kind(INPUTS, HIDDEN, **options).double()


def weights(module, suffix=""):
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    return [getattr(module, name + suffix).detach().numpy() for name in names]


@pytest.fixture
def X():
    return np.random.default_rng(0).standard_normal((STEPS, BATCH, INPUTS))


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_outputs_and_all_gradients(ours, theirs, X):
    module = reference(theirs)
    cell = ours.from_torch(weights(module))
    rng = np.random.default_rng(1)
    start = tuple(rng.standard_normal((BATCH, HIDDEN)) for _ in range(cell.states))
    bar, last_bar = rng.standard_normal((STEPS, BATCH, HIDDEN)), rng.standard_normal((BATCH, HIDDEN))

    x = torch.tensor(X, requires_grad=True)
    leaves = [torch.tensor(s, requires_grad=True) for s in start]
    packed = tuple(leaf[None] for leaf in leaves)
    expected, last = module(x, packed if len(packed) > 1 else packed[0])
    last = last if isinstance(last, tuple) else (last,)
    ((expected * torch.tensor(bar)).sum() + (last[-1][0] * torch.tensor(last_bar)).sum()).backward()

    outputs, state, saved = unroll(cell, X, start)
    close(outputs, expected)
    for mine, other in zip(state, last, strict=True):
        close(mine, other[0])
    state_bar = (*(np.zeros((BATCH, HIDDEN)) for _ in state[:-1]), last_bar)
    X_bar, first_bar, grads = bptt(cell, saved, bar, state_bar)
    close(X_bar, x.grad)
    for mine, leaf in zip(first_bar, leaves, strict=True):
        close(mine, leaf.grad)
    close(grads["W_x"], module.weight_ih_l0.grad)
    close(grads["W_h"], module.weight_hh_l0.grad)
    close(grads["b"], module.bias_ih_l0.grad)
    if ours is GRU:
        close(grads["b_hn"], module.bias_hh_l0.grad[2 * HIDDEN :])


@pytest.mark.parametrize(("ours", "theirs"), [(RNN, nn.RNN), (LSTM, nn.LSTM), (GRU, nn.GRU)])
def test_bidirectional_with_padding(ours, theirs, X):
    module = reference(theirs, bidirectional=True)
    lengths = [7, 4, 2]
    packed = nn.utils.rnn.pack_padded_sequence(torch.tensor(X), lengths)
    expected, _ = nn.utils.rnn.pad_packed_sequence(module(packed)[0])
    cells = [ours.from_torch(weights(module, suffix)) for suffix in ("", "_reverse")]
    outputs = bidirectional(*cells, X, lengths)
    for b, length in enumerate(lengths):
        close(outputs[:length, b], expected[:length, b])


def test_random_weights_have_the_bounds_of_pytorch():
    cell = LSTM.random(8, 16, np.random.default_rng(0), forget_bias=3.0)
    assert np.abs(cell.params["W_h"]).max() <= 0.25
    assert np.all(cell.params["b"][16:32] == 3.0)
    assert np.all(np.abs(cell.params["b"][:16]) <= 0.25)
    assert np.all(GRU.random(8, 16, np.random.default_rng(0), keep_bias=2.0).params["b"][16:32] == 2.0)


def test_counts():
    rng = np.random.default_rng(0)
    d, H = 6, 9
    assert RNN.random(d, H, rng).count() == H * (d + H + 1)
    assert LSTM.random(d, H, rng).count() == 4 * H * (d + H + 1)
    assert GRU.random(d, H, rng).count() == 3 * H * (d + H + 1) + H


def test_gate_values_are_those_of_the_step(X):
    cell = LSTM.random(INPUTS, HIDDEN, np.random.default_rng(0))
    state = cell.initial(BATCH)
    gates = cell.gate_values(X[0], state)
    (h, c), _ = cell.step(X[0], state)
    np.testing.assert_allclose(c, gates["i"] * gates["g"])
    np.testing.assert_allclose(h, gates["o"] * np.tanh(c))


def test_chrono_biases():
    biases = forget_bias_chrono(100, 1000, np.random.default_rng(0))
    assert biases.min() >= 0
    assert biases.max() <= np.log(99)
    with pytest.raises(ValueError, match="must exceed 2"):
        forget_bias_chrono(2, 4, np.random.default_rng(0))


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="weights for"):
        RNN(W_x=np.zeros((3, 2)), W_h=np.zeros((4, 4)), b=np.zeros(4))


def test_reversal_keeps_padding():
    X = np.arange(4.0).reshape(4, 1, 1)
    assert recurrent.reversed_within(X, [3]).ravel().tolist() == [2, 1, 0, 3]
