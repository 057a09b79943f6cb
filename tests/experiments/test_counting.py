"""The strings, the gates, and a few steps of training."""

import numpy as np
import pytest
import torch

from scripts.dl.recurrent import GRU, LSTM
from scripts.experiments import counting


def test_strings_and_answers():
    letters, answers, asked = counting.strings(range(1, 4))
    assert letters.shape == (3, 6, 2)
    assert letters[1].tolist() == [[1, 0], [1, 0], [0, 1], [0, 1], [0, 0], [0, 0]]
    assert answers.nonzero().tolist() == [[0, 1], [1, 3], [2, 5]]
    assert asked.sum(dim=1).tolist() == [1, 2, 3]


@pytest.mark.parametrize(("kind", "cell"), [("LSTM", LSTM), ("GRU", GRU)])
def test_recorded_states_and_gates_are_those_of_the_formulas(kind, cell):
    torch.manual_seed(0)
    network = counting.Counter(kind)
    ours = cell.from_torch([w.detach().numpy() for w in network.recurrent.parameters()])
    found = counting.trajectory(network, 3)
    letters = counting.strings(range(3, 4))[0][0].double().numpy()
    state = ours.initial(1)
    for t, x in enumerate(letters):
        if kind == "LSTM":
            gates = ours.gate_values(x[None], state)
            np.testing.assert_allclose(found["keep"][t], gates["f"][0], atol=1e-6)
            np.testing.assert_allclose(found["write"][t], gates["i"][0], atol=1e-6)
        state, _ = ours.step(x[None], state)
        np.testing.assert_allclose(found["states"][t], state[-1][0], atol=1e-6)
    if kind == "GRU":
        np.testing.assert_allclose(found["keep"] + found["write"], 1, atol=1e-6)


def test_a_few_steps_already_help():
    losses = counting.train("LSTM", 0, steps=60)["losses"]
    assert losses[-10:].mean() < 0.9 * losses[:10].mean()
