"""Pooling against PyTorch."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import pooling

WINDOWS = [(2, None, 0), (3, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 1)]


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((2, 3, 9, 8)) - 1


@pytest.mark.parametrize(("kernel", "stride", "padding"), WINDOWS)
def test_maximum_forward_and_backward(x, kernel, stride, padding):
    tensor = torch.tensor(x, requires_grad=True)
    expected = F.max_pool2d(tensor, kernel, stride, padding)
    y, winners = pooling.max_pool2d(x, kernel, stride, padding)
    np.testing.assert_allclose(y, expected.detach())
    bar_y = np.random.default_rng(1).standard_normal(y.shape)
    expected.backward(torch.tensor(bar_y))
    bar_x = pooling.max_pool2d_backward(bar_y, winners, x.shape[2:], kernel, stride, padding)
    np.testing.assert_allclose(bar_x, tensor.grad, atol=1e-12)


@pytest.mark.parametrize(("kernel", "stride", "padding"), WINDOWS)
def test_mean_forward_and_backward(x, kernel, stride, padding):
    tensor = torch.tensor(x, requires_grad=True)
    expected = F.avg_pool2d(tensor, kernel, stride, padding)
    y = pooling.avg_pool2d(x, kernel, stride, padding)
    np.testing.assert_allclose(y, expected.detach(), atol=1e-12)
    bar_y = np.random.default_rng(1).standard_normal(y.shape)
    expected.backward(torch.tensor(bar_y))
    bar_x = pooling.avg_pool2d_backward(bar_y, x.shape[2:], kernel, stride, padding)
    np.testing.assert_allclose(bar_x, tensor.grad, atol=1e-12)


def test_equal_numbers_send_the_gradient_to_the_first():
    y, winners = pooling.max_pool2d(np.zeros((1, 1, 2, 2)), 2)
    bar_x = pooling.max_pool2d_backward(np.ones_like(y), winners, (2, 2), 2)
    np.testing.assert_array_equal(bar_x[0, 0], [[1, 0], [0, 0]])


def test_too_much_padding_is_refused(x):
    with pytest.raises(ValueError, match="empty"):
        pooling.max_pool2d(x, 2, 2, 2)


def test_global_mean(x):
    np.testing.assert_allclose(pooling.global_average_pool(x), F.adaptive_avg_pool2d(torch.tensor(x), 1)[..., 0, 0])


def test_blurred_maximum_by_hand():
    x = np.random.default_rng(0).standard_normal((1, 2, 6, 6))
    dense = F.max_pool2d(F.pad(torch.tensor(x), (0, 1, 0, 1), mode="circular"), 2, 1)
    kernel = torch.tensor(pooling.BLUR).expand(2, 1, 3, 3)
    expected = F.conv2d(F.pad(dense, (1, 1, 1, 1), mode="circular"), kernel, stride=2, groups=2)
    np.testing.assert_allclose(pooling.max_blur_pool2d(x, 2, "wrap"), expected, atol=1e-12)
    assert pooling.BLUR.sum() == 1
