"""Focal loss against autograd and against cross-entropy."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl.focal_loss import focal_loss, prior_bias
from scripts.dl.losses import sigmoid_binary_cross_entropy


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return 3 * rng.standard_normal(40), rng.integers(0, 2, 40).astype(float)


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (0.5, 0.75), (5.0, 0.5)])
def test_loss_and_gradient_against_autograd(data, gamma, alpha):
    logits, targets = data
    z, y = torch.tensor(logits, requires_grad=True), torch.tensor(targets)
    p = torch.sigmoid(z)
    right = torch.where(y == 1, p, 1 - p)
    expected = -torch.where(y == 1, alpha, 1 - alpha) * (1 - right) ** gamma * torch.log(right)
    expected.sum().backward()
    loss, slope = focal_loss(logits, targets, gamma, alpha)
    np.testing.assert_allclose(loss, expected.detach().numpy(), rtol=1e-9)
    np.testing.assert_allclose(slope, z.grad.numpy(), rtol=1e-8, atol=1e-14)


def test_gamma_zero_is_half_the_cross_entropy(data):
    logits, targets = data
    loss, slope = focal_loss(logits, targets, gamma=0.0, alpha=0.5)
    mean, gradient = sigmoid_binary_cross_entropy(logits[:, None], targets[:, None])
    assert loss.sum() == pytest.approx(
        0.5 * F.binary_cross_entropy_with_logits(torch.tensor(logits), torch.tensor(targets), reduction="sum").item()
    )
    np.testing.assert_allclose(slope / slope[0], gradient.ravel() / gradient.ravel()[0])


def test_large_logits_do_not_overflow():
    loss, slope = focal_loss(np.array([800.0, -800.0]), np.array([1.0, 1.0]))
    np.testing.assert_allclose(loss, [0, 0.25 * 800])
    np.testing.assert_allclose(slope, [0, -0.25])


def test_prior_bias():
    assert prior_bias(0.01) == pytest.approx(-4.595, abs=1e-3)
    assert 1 / (1 + np.exp(-prior_bias(0.2))) == pytest.approx(0.2)
