"""Convolution against PyTorch, against its own definition and against its matrix."""

from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl.convolution import (
    col2im,
    conv2d,
    conv2d_backward,
    im2col,
    output_size,
    same_padding,
    toeplitz,
)

CASES = [
    {},
    {"padding": 1},
    {"stride": 2, "padding": 1},
    {"stride": 3, "padding": 2, "dilation": 2},
    {"padding": 2, "dilation": 2, "groups": 2},
    {"stride": 2, "padding": 1, "groups": 4},
]


def layer(kernel=(3, 3), groups=1, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, 4, 11, 9))
    return x, rng.standard_normal((8, 4 // groups, *kernel)), rng.standard_normal(8)


def test_output_size_on_a_grid():
    for n, k, s, p, d in product((5, 7, 8, 16), (1, 2, 3, 5), (1, 2, 3, 4), (0, 1, 2), (1, 2, 3)):
        x, w = torch.zeros(1, 1, n, n), torch.zeros(1, 1, k, k)
        if d * (k - 1) + 1 > n + 2 * p:
            with pytest.raises(ValueError, match="does not fit"):
                output_size(n, k, s, p, d)
        else:
            assert output_size(n, k, s, p, d) == F.conv2d(x, w, stride=s, padding=p, dilation=d).shape[-1]


@pytest.mark.parametrize(("kernel", "dilation"), list(product((1, 3, 5, 7), (1, 2, 3))) + [(2, 2), (4, 2)])
def test_same_padding_keeps_the_size(kernel, dilation):
    assert output_size(20, kernel, 1, same_padding(kernel, dilation), dilation) == 20


def test_no_symmetric_padding_for_an_even_reach():
    with pytest.raises(ValueError, match="symmetric"):
        same_padding(2)


@pytest.mark.parametrize("options", CASES)
@pytest.mark.parametrize("kernel", [(3, 3), (1, 1), (2, 3)])
def test_forward_and_backward_as_in_torch(options, kernel):
    x, w, b = layer(kernel, options.get("groups", 1))
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
    expected = F.conv2d(*tensors, **options)
    np.testing.assert_allclose(conv2d(x, w, b, **options), expected.detach(), atol=1e-12)
    bar_y = np.random.default_rng(1).standard_normal(expected.shape)
    expected.backward(torch.tensor(bar_y))
    for found, tensor in zip(conv2d_backward(x, w, bar_y, **options), tensors, strict=True):
        np.testing.assert_allclose(found, tensor.grad, atol=1e-11)


def test_definition_and_no_flip():
    """The formula of the docstring, sum by sum, for one case that has everything."""
    x, w, b = layer()
    s, P, d = 2, 1, 2
    y = conv2d(x, w, b, s, P, d)
    for o, i, j in ((0, 0, 0), (3, 1, 2), (7, y.shape[2] - 1, y.shape[3] - 1)):
        total = b[o]
        for c, u, v in np.ndindex(w.shape[1:]):
            p, q = s * i + d * u - P, s * j + d * v - P
            if 0 <= p < x.shape[2] and 0 <= q < x.shape[3]:
                total += w[o, c, u, v] * x[1, c, p, q]
        assert y[1, o, i, j] == pytest.approx(total)


@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (1, 1, 1), (2, 1, 1), (2, 2, 2), (3, 0, 1)])
def test_toeplitz_product_is_the_convolution(stride, padding, dilation):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 2, 7, 6)), rng.standard_normal((3, 2, 3, 3))
    matrix = toeplitz(w, (7, 6), stride, padding, dilation)
    y = conv2d(x, w, None, stride, padding, dilation)
    np.testing.assert_allclose(matrix @ x.ravel(), y.ravel(), atol=1e-12)
    bar_y = rng.standard_normal(y.shape)
    bar_x = conv2d_backward(x, w, bar_y, stride, padding, dilation)[0]
    np.testing.assert_allclose(matrix.T @ bar_y.ravel(), bar_x.ravel(), atol=1e-12)


def test_the_matrix_is_toeplitz():
    """One channel, stride 1, no padding: equal blocks along block diagonals, equal numbers along theirs."""
    matrix = toeplitz(np.random.default_rng(0).standard_normal((1, 1, 3, 3)), (6, 5)).reshape(4, 3, 6, 5)
    np.testing.assert_array_equal(matrix[1:, :, 1:], matrix[:-1, :, :-1])
    np.testing.assert_array_equal(matrix[:, 1:, :, 1:], matrix[:, :-1, :, :-1])
    assert np.count_nonzero(matrix[2, 1]) == 9


def test_col2im_is_the_adjoint_of_im2col():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 8, 7))
    patches = im2col(x, (3, 2), 2, 1, 2)
    other = rng.standard_normal(patches.shape)
    assert np.sum(patches * other) == pytest.approx(np.sum(x * col2im(other, (8, 7), (3, 2), 2, 1, 2)))


def test_wrong_shapes_are_refused():
    x, w, _ = layer()
    with pytest.raises(ValueError, match="4 channels"):
        conv2d(x, w[:, :3])
    with pytest.raises(ValueError, match="groups"):
        conv2d(x, w[:7, :2], groups=2)
    with pytest.raises(ValueError, match="must be"):
        conv2d(x[0], w)
