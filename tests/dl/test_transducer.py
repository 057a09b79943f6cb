"""The transducer against enumeration of all paths and finite differences."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from scipy.special import log_softmax

from scripts.dl import transducer
from scripts.dl.gradcheck import numerical_gradient

CASES = [(4, (1, 2, 1)), (2, (1, 1, 2)), (3, ()), (1, (2,)), (3, (1, 1))]


def random_logits(T, U, K=3, seed=0):
    return np.random.default_rng(seed).standard_normal((T, U + 1, K)) * 2


def paths(T, U):
    """All paths as lists of nodes; a path is the choice of the U moves that are labels among T + U - 1."""
    for labels in combinations(range(T + U - 1), U):
        t = u = 0
        nodes = [(0, 0)]
        for move in range(T + U - 1):
            t, u = (t, u + 1) if move in labels else (t + 1, u)
            nodes.append((t, u))
        yield nodes


def path_log_prob(log_p, labels, nodes):
    total = log_p[-1, -1, transducer.BLANK]
    for (t, u), (_, after) in pairwise(nodes):
        total += log_p[t, u, labels[u] if after > u else transducer.BLANK]
    return total


@pytest.mark.parametrize(("T", "labels"), CASES)
def test_likelihood_is_the_sum_over_all_paths(T, labels):
    log_p = log_softmax(random_logits(T, len(labels)), axis=-1)
    everything = [path_log_prob(log_p, labels, nodes) for nodes in paths(T, len(labels))]
    assert len(everything) == transducer.path_count(T, len(labels))
    assert transducer.log_likelihood(log_p, labels) == pytest.approx(np.logaddexp.reduce(everything), abs=1e-12)
    best = path_log_prob(log_p, labels, transducer.best_alignment(log_p, labels))
    assert best == pytest.approx(max(everything))


def test_twenty_paths():
    assert transducer.path_count(4, 3) == 20


@pytest.mark.parametrize(("T", "labels"), CASES)
def test_forward_and_backward_agree(T, labels):
    log_p = log_softmax(random_logits(T, len(labels)), axis=-1)
    total = transducer.log_likelihood(log_p, labels)
    assert transducer.backward(log_p, labels)[0, 0] == pytest.approx(total)
    share = transducer.posterior(log_p, labels)
    for n in range(T + len(labels)):
        on_diagonal = [share[t, n - t] for t in range(T) if 0 <= n - t <= len(labels)]
        assert sum(on_diagonal) == pytest.approx(1)


@pytest.mark.parametrize(("T", "labels"), CASES)
def test_gradient_against_finite_differences(T, labels):
    logits = random_logits(T, len(labels))
    loss, gradient = transducer.loss_and_gradient(logits, labels)
    assert loss == pytest.approx(-transducer.log_likelihood(log_softmax(logits, axis=-1), labels))
    expected = numerical_gradient(lambda z: transducer.loss_and_gradient(z, labels)[0], logits)
    np.testing.assert_allclose(gradient, expected, atol=1e-7)


def test_probabilities_of_all_sequences_add_up_to_one():
    """Not for a finite number of lengths: with p(∅) = 1 - q at every node the rest is q of some more labels."""
    q, T = 0.3, 3
    log_p = np.log(np.broadcast_to([1 - q, q], (T, 60, 2)))
    total = sum(np.exp(transducer.log_likelihood(log_p[:, : U + 1], (1,) * U)) for U in range(50))
    assert total == pytest.approx(1, abs=1e-9)


def test_greedy_writes_several_labels_in_a_frame():
    plan = {0: (1, 2), 1: (), 2: (1,)}

    def joint(t, y):
        due = sum(len(plan[i]) for i in range(t + 1))
        everything = [k for i in range(t + 1) for k in plan[i]]
        return np.log(np.eye(3)[everything[len(y)] if len(y) < due else 0] + 1e-9)

    assert transducer.greedy(joint, T=3) == (1, 2, 1)
    assert len(transducer.greedy(lambda t, y: np.array([0.0, 1.0]), T=2, most=4)) == 8


def test_memory_of_the_joint_network():
    assert transducer.logit_bytes(8, 500, 99, 1024) / 2**30 == pytest.approx(1.53, abs=0.01)
