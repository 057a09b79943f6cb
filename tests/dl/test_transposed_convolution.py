"""Upsampling against PyTorch, and transposed convolution as the transpose of a matrix."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import transposed_convolution as t


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(("k", "stride", "padding"), [(3, 1, 0), (3, 2, 1), (4, 2, 1), (2, 2, 0), (5, 3, 2)])
def test_stamping_is_that_of_pytorch(rng, k, stride, padding):
    x, w = rng.standard_normal((2, 3, 5, 4)), rng.standard_normal((3, 6, k, k))
    y = t.conv_transpose2d(x, w, stride, padding)
    expected = F.conv_transpose2d(torch.tensor(x), torch.tensor(w), stride=stride, padding=padding)
    np.testing.assert_allclose(y, expected.numpy(), atol=1e-12)
    assert y.shape[2] == t.output_size(5, k, stride, padding)


@pytest.mark.parametrize("arguments", [(7, 3, 2, 1, 1, 1), (7, 3, 2, 1, 0, 2), (5, 4, 3, 2, 2, 1)])
def test_size_is_that_of_pytorch(arguments):
    n, k, stride, padding, output_padding, dilation = arguments
    layer = torch.nn.ConvTranspose1d(1, 1, k, stride, padding, output_padding, dilation=dilation)
    assert layer(torch.zeros(1, 1, n)).shape[2] == t.output_size(*arguments)


@pytest.mark.parametrize(("n", "k", "stride", "padding"), [(7, 3, 2, 1), (8, 4, 2, 1), (6, 3, 1, 0)])
def test_matrix_and_its_transpose(rng, n, k, stride, padding):
    w = rng.standard_normal(k)
    matrix = t.convolution_matrix(w, n, stride, padding)
    x = rng.standard_normal(n)
    kernel = torch.tensor(w)[None, None]
    convolved = F.conv1d(torch.tensor(x)[None, None], kernel, stride=stride, padding=padding)
    np.testing.assert_allclose(matrix @ x, convolved.numpy().ravel())
    z = rng.standard_normal(len(matrix))
    left = n - t.output_size(len(matrix), k, stride, padding)
    enlarged = F.conv_transpose1d(
        torch.tensor(z)[None, None], kernel, stride=stride, padding=padding, output_padding=left
    )
    np.testing.assert_allclose(matrix.T @ z, enlarged.numpy().ravel())


def test_transposed_convolution_is_the_gradient_of_convolution(rng):
    x = torch.tensor(rng.standard_normal((1, 3, 7, 7)), requires_grad=True)
    w = rng.standard_normal((4, 3, 3, 3))
    y = F.conv2d(x, torch.tensor(w), stride=2, padding=1)
    adjoint = rng.standard_normal(y.shape)
    y.backward(torch.tensor(adjoint))
    np.testing.assert_allclose(t.conv_transpose2d(adjoint, w, 2, 1), x.grad.numpy(), atol=1e-12)


def test_pixel_shuffle_and_nearest(rng):
    x = rng.standard_normal((2, 12, 3, 4))
    np.testing.assert_array_equal(t.pixel_shuffle(x, 2), F.pixel_shuffle(torch.tensor(x), 2).numpy())
    np.testing.assert_array_equal(t.nearest(x, 2), F.interpolate(torch.tensor(x), scale_factor=2.0).numpy())


def test_unpooling_is_that_of_pytorch(rng):
    x = torch.tensor(rng.standard_normal((2, 3, 6, 8)))
    pooled, indices = F.max_pool2d(x, 2, return_indices=True)
    mine = t.max_unpool(pooled.numpy(), indices.numpy(), 6, 8)
    np.testing.assert_array_equal(mine, F.max_unpool2d(pooled, indices, 2).numpy())
