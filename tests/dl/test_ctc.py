"""CTC against enumeration of all paths, finite differences, and PyTorch."""

from collections import defaultdict
from itertools import product

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch.nn import functional as F

from scripts.dl import ctc
from scripts.dl.gradcheck import numerical_gradient

CASES = [(6, (1, 2)), (6, (1, 1)), (6, (1, 2, 1)), (5, (2,)), (4, ()), (3, (1, 1)), (1, (2,))]


def random_logits(T, K=3, seed=0):
    return np.random.default_rng(seed).standard_normal((T, K)) * 2


def labelling_probabilities(log_p):
    """All labellings with their probabilities, by enumeration of K^T paths."""
    found = defaultdict(float)
    for path in product(range(log_p.shape[1]), repeat=len(log_p)):
        found[ctc.collapse(path)] += np.exp(sum(log_p[t, k] for t, k in enumerate(path)))
    return found


def test_collapse_merges_before_it_drops_blanks():
    assert ctc.collapse([1, 1, 0, 1, 2, 2, 0]) == (1, 1, 2)
    assert ctc.collapse([0, 0]) == ()
    assert ctc.collapse([]) == ()


def test_extended_labels_and_skips():
    assert ctc.extended((1, 1, 2)).tolist() == [0, 1, 0, 1, 0, 2, 0]
    assert ctc.may_skip(ctc.extended((1, 1, 2))).tolist() == [False] * 5 + [True, False]


@pytest.mark.parametrize(("T", "labels"), CASES)
def test_likelihood_is_the_sum_over_all_paths(T, labels):
    log_p = log_softmax(random_logits(T), axis=1)
    assert np.exp(ctc.log_likelihood(log_p, labels)) == pytest.approx(labelling_probabilities(log_p)[labels], abs=1e-15)


def test_all_labellings_add_up_to_one():
    log_p = log_softmax(random_logits(5), axis=1)
    total = sum(np.exp(ctc.log_likelihood(log_p, y)) for n in range(6) for y in product((1, 2), repeat=n))
    assert total == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("T", "labels"), CASES)
def test_forward_times_backward_is_constant(T, labels):
    log_p = log_softmax(random_logits(T), axis=1)
    np.testing.assert_allclose(ctc.posterior(log_p, labels).sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize(("T", "labels"), CASES)
def test_gradient_against_finite_differences(T, labels):
    logits = random_logits(T)
    loss, gradient = ctc.loss_and_gradient(logits, labels)
    assert loss == pytest.approx(-ctc.log_likelihood(log_softmax(logits, axis=1), labels))
    np.testing.assert_allclose(
        gradient, numerical_gradient(lambda z: ctc.loss_and_gradient(z, labels)[0], logits), atol=1e-7
    )
    np.testing.assert_allclose(gradient.sum(axis=1), 0, atol=1e-12)


@pytest.mark.parametrize(("T", "labels"), [case for case in CASES if case[1]])
def test_pytorch_agrees(T, labels):
    logits = torch.tensor(random_logits(T), requires_grad=True)
    loss = F.ctc_loss(
        logits.log_softmax(-1)[:, None], torch.tensor([labels]), torch.tensor([T]), torch.tensor([len(labels)]),
        reduction="sum",
    )  # fmt: skip
    loss.backward()
    ours, gradient = ctc.loss_and_gradient(logits.detach().numpy(), labels)
    assert ours == pytest.approx(loss.item())
    np.testing.assert_allclose(gradient, logits.grad.numpy(), atol=1e-10)


def test_long_input_does_not_underflow():
    log_p = log_softmax(random_logits(2000, K=30), axis=1)
    assert -1e5 < ctc.log_likelihood(log_p, [1 + i % 29 for i in range(300)]) < -1000


@pytest.mark.parametrize(
    ("T", "labels", "count"), [(6, (1, 2), 70), (6, (1, 1), 35), (6, (1, 2, 1), 84), (2, (1, 1), 0)]
)
def test_count_of_alignments(T, labels, count):
    assert ctc.alignment_count(T, labels) == count
    assert sum(ctc.collapse(path) == labels for path in product(range(3), repeat=T)) == count


@pytest.mark.parametrize(("T", "labels"), [(3, (1, 1)), (2, (1, 1)), (2, (1, 2)), (1, (1, 2)), (4, (1, 1, 1))])
def test_feasible_from_the_length_with_repeats(T, labels):
    feasible = len(labels) + ctc.repeats(labels) <= T
    log_p = log_softmax(random_logits(T), axis=1)
    assert np.isfinite(ctc.log_likelihood(log_p, labels)) is np.bool_(feasible)
    if not feasible:
        with pytest.raises(ValueError, match="cannot hold"):
            ctc.posterior(log_p, labels)


@pytest.mark.parametrize(("T", "labels"), CASES)
def test_best_alignment(T, labels):
    log_p = log_softmax(random_logits(T), axis=1)
    path = ctc.extended(labels)[ctc.best_alignment(log_p, labels)]
    assert ctc.collapse(path) == labels
    best = max(
        sum(log_p[t, k] for t, k in enumerate(p)) for p in product(range(3), repeat=T) if ctc.collapse(p) == labels
    )
    assert sum(log_p[t, k] for t, k in enumerate(path)) == pytest.approx(best)


@pytest.mark.parametrize("seed", range(5))
def test_a_wide_beam_is_exact(seed):
    log_p = log_softmax(random_logits(5, seed=seed), axis=1)
    exact = labelling_probabilities(log_p)
    found = dict(ctc.prefix_beam_search(log_p, beam=10_000))
    assert found.keys() >= {y for y, p in exact.items() if p > 0}
    for y, p in exact.items():
        assert np.exp(found[y]) == pytest.approx(p, abs=1e-12)


def test_language_model_and_bonus_are_added():
    log_p = log_softmax(random_logits(4), axis=1)
    plain = dict(ctc.prefix_beam_search(log_p, beam=1000))
    lm = {1: np.log(0.9), 2: np.log(0.1)}
    fused = dict(ctc.prefix_beam_search(log_p, 1000, lambda prefix, k: lm[k], weight=0.5, bonus=0.3))
    for y, score in fused.items():
        assert score == pytest.approx(plain[y] + 0.5 * sum(lm[k] for k in y) + 0.3 * len(y))


def test_greedy_is_not_the_best_labelling():
    log_p = np.log([[0.6, 0.4], [0.6, 0.4]])
    assert ctc.greedy(log_p) == ()
    found = {y: np.exp(score) for y, score in ctc.prefix_beam_search(log_p, beam=10)}
    assert found[()] == pytest.approx(0.36)
    assert found[1,] == pytest.approx(0.64)
    assert ctc.prefix_beam_search(log_p, beam=2)[0][0] == (1,)
