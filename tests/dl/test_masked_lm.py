"""The masked language model: shares, the loss against PyTorch, and what the loss does not see."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import masked_lm as mlm

CLS, SEP, MASK, SIZE = 0, 1, 2, 1000
ORDINARY = np.arange(3, SIZE)


def text(rows=400, T=500, seed=0):
    tokens = np.random.default_rng(seed).choice(ORDINARY, (rows, T))
    tokens[:, 0], tokens[:, -1] = CLS, SEP
    return tokens


def test_twelve_and_twice_one_and_a_half_per_cent():
    tokens, rng = text(), np.random.default_rng(1)
    chosen = mlm.choose(tokens, (CLS, SEP), rng)
    noisy = mlm.corrupt(tokens, chosen, MASK, ORDINARY, rng)
    ordinary = tokens > MASK
    assert not chosen[~ordinary].any()
    np.testing.assert_array_equal(noisy[~chosen], tokens[~chosen])
    n = ordinary.sum()
    assert chosen.sum() / n == pytest.approx(0.15, abs=0.005)
    assert (noisy == MASK).sum() / n == pytest.approx(0.12, abs=0.005)
    kept = (chosen & (noisy == tokens)).sum() / n
    swapped = (chosen & (noisy != MASK) & (noisy != tokens)).sum() / n
    assert kept == pytest.approx(0.015, abs=0.002)
    assert swapped == pytest.approx(0.015, abs=0.002)


def test_kinds_may_be_others():
    tokens, rng = text(40), np.random.default_rng(1)
    chosen = mlm.choose(tokens, (CLS, SEP), rng)
    assert (mlm.corrupt(tokens, chosen, MASK, ORDINARY, rng, (1, 0, 0))[chosen] == MASK).all()
    np.testing.assert_array_equal(mlm.corrupt(tokens, chosen, MASK, ORDINARY, rng, (0, 0, 1)), tokens)


def test_loss_is_that_of_pytorch_and_blind_to_the_rest():
    rng = np.random.default_rng(0)
    logits, tokens = rng.standard_normal((2, 5, 7)), rng.integers(7, size=(2, 5))
    chosen = np.array([[0, 1, 0, 0, 1], [0, 0, 0, 1, 0]], dtype=bool)
    loss, gradient = mlm.masked_lm_loss(logits, tokens, chosen)
    leaf = torch.tensor(logits, requires_grad=True)
    labels = torch.tensor(np.where(chosen, tokens, -100))  # what PyTorch leaves out by default
    expected = F.cross_entropy(leaf.flatten(0, 1), labels.flatten())
    expected.backward()
    assert loss == pytest.approx(expected.item())
    np.testing.assert_allclose(gradient, leaf.grad, atol=1e-12)
    assert (gradient[~chosen] == 0).all()
    other = np.where(chosen, tokens, (tokens + 1) % 7)
    assert mlm.masked_lm_loss(logits, other, chosen)[0] == loss


def test_whole_words_stay_together():
    starts = np.array([1, 0, 0, 1, 1, 0], dtype=bool)
    rng, seen = np.random.default_rng(0), []
    for _ in range(2000):
        chosen = mlm.choose_words(starts, rng)
        assert chosen[0] == chosen[1] == chosen[2]
        assert chosen[4] == chosen[5]
        seen.append(chosen)
    assert np.mean(seen) == pytest.approx(0.15, abs=0.02)
    with pytest.raises(ValueError, match="first"):
        mlm.choose_words(starts[1:], rng)


def test_spans_fill_the_budget_with_runs():
    rng = np.random.default_rng(0)
    chosen = [mlm.choose_spans(200, rng) for _ in range(200)]
    assert {row.sum() for row in chosen} == {30}
    runs = [np.diff(np.flatnonzero(np.diff(np.r_[0, row, 0])))[::2] for row in chosen]
    assert 3 < np.concatenate(runs).mean() < 4.5


def test_mean_length_of_a_span():
    lengths = np.arange(1, 11)
    law = 0.2 * 0.8 ** (lengths - 1)
    assert (lengths * law).sum() / law.sum() == pytest.approx(3.8, abs=0.01)


def test_heads():
    assert mlm.head_parameters() == {"mlm": 622_650, "nsp": 1_538}
