"""Dice and Lovász losses against autograd, masks and brute force."""

from itertools import product

import numpy as np
import pytest
import torch

from scripts.dl.segmentation_losses import lovasz, lovasz_gradient, soft_dice
from scripts.dl.segmentation_metrics import mask_iou


def test_dice_against_autograd():
    rng = np.random.default_rng(0)
    p, g = rng.random(30), (rng.random(30) < 0.3).astype(float)
    tensor = torch.tensor(p, requires_grad=True)
    expected = 1 - (2 * (tensor * torch.tensor(g)).sum() + 1) / (tensor.sum() + g.sum() + 1)
    expected.backward()
    loss, slope = soft_dice(p, g)
    assert loss == pytest.approx(expected.item())
    np.testing.assert_allclose(slope, tensor.grad.numpy())


def test_dice_of_masks_is_one_minus_dice():
    rng = np.random.default_rng(1)
    p, g = (rng.random((2, 50)) < 0.4).astype(float)
    overlap = mask_iou(p[None] > 0, g[None] > 0)
    assert soft_dice(p, g, epsilon=0.0)[0] == pytest.approx(1 - 2 * overlap / (1 + overlap))
    assert soft_dice(np.zeros(4), np.zeros(4))[0] == 0


def test_lovasz_at_all_masks_is_one_minus_iou():
    for bits in product((0.0, 1.0), repeat=10):
        p, g = np.array(bits[:5]), np.array(bits[5:])
        if g.any():
            assert lovasz(p, g) == pytest.approx(1 - mask_iou(p[None] > 0, g[None] > 0))


def test_lovasz_is_convex_along_segments_and_its_weights_sum_to_one():
    rng = np.random.default_rng(0)
    for _ in range(50):
        p, q = rng.random((2, 8))
        g = (rng.random(8) < 0.5).astype(float)
        g[0] = 1.0
        assert lovasz((p + q) / 2, g) <= (lovasz(p, g) + lovasz(q, g)) / 2 + 1e-12
        assert lovasz_gradient(g).sum() == pytest.approx(1.0)
