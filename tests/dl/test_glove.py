"""GloVe against counting by hand, PyTorch's gradients, and its own promises."""

import numpy as np
import pytest
import torch

from scripts.dl import glove


def counts(n=6, seed=0, zeros=True):
    rng = np.random.default_rng(seed)
    X = rng.exponential(20, (n, n))
    X = X + X.T
    if zeros:
        X[X < 15] = 0
    return X


def parameters(n=6, d=3, seed=1):
    rng = np.random.default_rng(seed)
    shapes = {"W": (n, d), "W_tilde": (n, d), "b": (n,), "b_tilde": (n,)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def test_counts_by_definition():
    tokens, window = np.array([0, 1, 2, 1, 0, 0, 3]), 3
    X = np.zeros((4, 4))
    for i, centre in enumerate(tokens):
        for j, context in enumerate(tokens):
            if i != j and abs(i - j) <= window:
                X[centre, context] += 1 / abs(i - j)
    np.testing.assert_allclose(glove.cooccurrences(tokens, 4, window), X)
    np.testing.assert_allclose(glove.cooccurrences(tokens, 4, 100), glove.cooccurrences(tokens, 4, 6))


def test_weight():
    np.testing.assert_allclose(glove.weight([0, 1, 10, 100, 5000]), [0, 100**-0.75, 0.1**0.75, 1, 1])


def test_gradients_are_those_of_pytorch():
    X, p = counts(), parameters()
    leaves = {name: torch.tensor(value, requires_grad=True) for name, value in p.items()}
    score = leaves["W"] @ leaves["W_tilde"].T + leaves["b"][:, None] + leaves["b_tilde"]
    x = torch.tensor(X)
    seen = x > 0
    expected = ((x[seen] / 100).clamp(max=1) ** 0.75 * (score[seen] - x[seen].log()) ** 2).sum()
    expected.backward()
    loss, gradients = glove.loss_and_gradients(p, X)
    assert loss == pytest.approx(expected.item())
    for name, leaf in leaves.items():
        np.testing.assert_allclose(gradients[name], leaf.grad, atol=1e-12)


def test_unseen_cells_do_not_matter():
    X, p = counts(), parameters()
    assert (X == 0).any()
    _, gradients = glove.loss_and_gradients(p, X)
    alone = np.zeros_like(X)
    alone[np.unravel_index(X.argmax(), X.shape)] = X.max()
    i, j = np.unravel_index(X.argmax(), X.shape)
    _, single = glove.loss_and_gradients(p, alone)
    assert np.count_nonzero(np.abs(single["W"]).sum(axis=1)) == 1
    assert np.abs(single["W"][i]).max() > 0
    assert np.count_nonzero(single["b_tilde"]) == 1
    assert np.isfinite(gradients["W"]).all()


def test_training_lowers_the_loss_and_ends_at_the_weighted_optimum_for_full_rank():
    X = counts(zeros=False)
    p, losses = glove.fit(X, 6, 4000, np.random.default_rng(0), lr=0.3)
    assert losses[-1] < 1e-8 * losses[0]
    np.testing.assert_allclose(glove.scores(p), np.log(X), atol=1e-3)
    assert glove.word_vectors(p).shape == (6, 6)


def test_bad_counts_are_refused():
    for X in (np.ones((2, 3)), np.array([[1.0, -1.0], [0.0, 1.0]])):
        with pytest.raises(ValueError, match="counts"):
            glove.fit(X, 2, 1, np.random.default_rng(0))
