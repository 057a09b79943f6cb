"""Contrastive losses against PyTorch's automatic differentiation, bounds against known mutual information."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import contrastive as ct


def pair(B=7, d=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((B, d)), rng.standard_normal((B, d))


def leaves(*arrays):
    return [torch.tensor(a, requires_grad=True) for a in arrays]


def test_normalize_backward():
    X, U_bar = pair()
    (x,) = leaves(X)
    F.normalize(x, dim=1).backward(torch.tensor(U_bar))
    np.testing.assert_allclose(ct.normalize_backward(U_bar, X), x.grad, atol=1e-12)
    np.testing.assert_allclose(np.sum(ct.normalize_backward(U_bar, X) * X, axis=1), 0, atol=1e-12)


def test_clip_loss_is_two_cross_entropies():
    U, V = (ct.normalize(X) for X in pair())
    u, v, t = leaves(U, V, np.float64(2.3))
    logits, right = t.exp() * u @ v.T, torch.arange(7)
    loss = (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2
    loss.backward()
    found = ct.clip_loss(U, V, 2.3)
    assert found[0] == pytest.approx(loss.item())
    for adjoint, leaf in zip(found[1:], (u, v, t), strict=True):
        np.testing.assert_allclose(adjoint, leaf.grad, atol=1e-12)


def test_siglip_loss():
    U, V = (ct.normalize(X) for X in pair())
    u, v, t, b = leaves(U, V, np.log(10.0), np.float64(-10.0))
    z = 2 * torch.eye(7, dtype=torch.float64) - 1
    loss = -F.logsigmoid(z * (t.exp() * u @ v.T + b)).sum() / 7
    loss.backward()
    found = ct.siglip_loss(U, V, np.log(10.0), -10.0)
    assert found[0] == pytest.approx(loss.item())
    for adjoint, leaf in zip(found[1:], (u, v, t, b), strict=True):
        np.testing.assert_allclose(adjoint, leaf.grad, atol=1e-12)


def test_zero_shot_is_a_linear_classifier_on_unit_rows():
    rng = np.random.default_rng(0)
    W = ct.class_weights(ct.normalize(rng.standard_normal((3, 4, 6))))
    np.testing.assert_allclose(np.linalg.norm(W, axis=1), 1)
    probabilities = ct.zero_shot(W, W, np.log(100.0))
    np.testing.assert_array_equal(probabilities.argmax(axis=1), np.arange(3))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_info_nce_is_the_cross_entropy_of_the_rows():
    scores = np.random.default_rng(0).standard_normal((3, 6, 6)) * 4
    expected = F.cross_entropy(torch.tensor(scores).reshape(18, 6), torch.arange(6).repeat(3))
    assert ct.info_nce(scores) == pytest.approx(expected.item())
    assert ct.information_bound(np.zeros((6, 6))) == pytest.approx(0)


def test_gaussian_log_ratio_is_that_of_scipy():
    from scipy.stats import multivariate_normal, norm

    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((2, 4, 1))
    ratio = ct.gaussian_log_ratio(X, Y, 0.9)
    joint = multivariate_normal(cov=[[1, 0.9], [0.9, 1]])
    for i in range(4):
        for j in range(4):
            expected = joint.logpdf([X[i, 0], Y[j, 0]]) - norm.logpdf(X[i, 0]) - norm.logpdf(Y[j, 0])
            assert ratio[i, j] == pytest.approx(expected)
    assert ct.gaussian_log_ratio(np.ones((5, 4, 3)), np.ones((5, 4, 3)), 0.5).shape == (5, 4, 4)


def test_gaussian_information_is_the_mean_log_ratio():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200_000, 1, 2))
    Y = 0.9 * X + np.sqrt(1 - 0.81) * rng.standard_normal(X.shape)
    assert ct.gaussian_log_ratio(X, Y, 0.9).mean() == pytest.approx(ct.gaussian_information(0.9, 2), abs=0.01)


def test_duplicate_floor():
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 12, (4000, 48))
    same = (kinds[:, :, None] == kinds[:, None]).sum(axis=2)
    assert ct.duplicate_floor(48, 12) == pytest.approx(np.log(same).mean(), abs=0.01)
    assert ct.duplicate_floor(5, 1) == pytest.approx(np.log(5))
    assert ct.duplicate_floor(1, 12) == 0
