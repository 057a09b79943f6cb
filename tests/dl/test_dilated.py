"""Dilated convolution against PyTorch and SciPy, supports of stacks against brute force."""

from itertools import combinations_with_replacement, product
from math import gcd

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from torch.nn import functional as F

from scripts.dl import dilated


@pytest.mark.parametrize(("k", "d"), [(2, 1), (2, 5), (3, 1), (3, 2), (3, 7), (5, 3)])
def test_one_dimension_is_torch(k, d):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(40), rng.standard_normal(k)
    expected = F.conv1d(torch.tensor(x)[None, None], torch.tensor(w)[None, None], dilation=d)[0, 0]
    np.testing.assert_allclose(dilated.dilated_conv1d(x, w, d), expected.numpy(), atol=1e-12)


@pytest.mark.parametrize(("shape", "d"), [((3, 3), 1), ((3, 3), 2), ((3, 3), 5), ((2, 3), 3), ((1, 1), 4)])
def test_the_plane_is_torch_a_zero_stuffed_kernel_and_d_squared_phases(shape, d):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((17, 20)), rng.standard_normal(shape)
    y = dilated.dilated_conv2d(x, w, d)
    expected = F.conv2d(torch.tensor(x)[None, None], torch.tensor(w)[None, None], dilation=d)[0, 0]
    np.testing.assert_allclose(y, expected.numpy(), atol=1e-12)
    np.testing.assert_allclose(y, correlate2d(x, dilated.zero_stuffed(w, d), "valid"), atol=1e-12)
    np.testing.assert_allclose(y, dilated.by_phases(x, w, d), atol=1e-12)


def test_dilation_two_is_a_zero_stuffed_five_by_five_kernel():
    w = np.arange(1.0, 10.0).reshape(3, 3)
    stuffed = dilated.zero_stuffed(w, 2)
    assert stuffed.shape == (5, 5)
    np.testing.assert_array_equal(stuffed[::2, ::2], w)
    assert np.count_nonzero(stuffed) == 9


def test_phases_when_the_output_is_smaller_than_the_dilation():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((13, 14)), rng.standard_normal((3, 3))
    np.testing.assert_allclose(dilated.by_phases(x, w, 5), dilated.dilated_conv2d(x, w, 5), atol=1e-12)


def test_a_kernel_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="longer than the signal"):
        dilated.dilated_conv1d(np.ones(6), np.ones(3), 3)
    with pytest.raises(ValueError, match="larger than the picture"):
        dilated.dilated_conv2d(np.ones((6, 9)), np.ones((3, 3)), 3)


@pytest.mark.parametrize(
    ("kernel", "rates"), [(3, (1, 1, 1)), (3, (2, 2, 2)), (3, (1, 2, 5)), (2, (1, 2, 4)), (5, (3, 1))]
)
def test_paths_are_all_sums_of_offsets(kernel, rates):
    counts = dilated.path_counts(kernel, rates)
    expected = np.zeros(dilated.receptive_field(kernel, rates), dtype=int)
    for steps in product(range(kernel), repeat=len(rates)):
        expected[np.dot(steps, rates)] += 1
    np.testing.assert_array_equal(counts, expected)
    assert counts.sum() == kernel ** len(rates)
    np.testing.assert_array_equal(counts, dilated.path_counts(kernel, rates[::-1]))


def test_paths_are_the_gradient_of_a_network_of_ones():
    rates = (1, 2, 5)
    x = torch.zeros(1, 1, 17, 17, dtype=torch.float64, requires_grad=True)
    y = x
    for rate in rates:
        y = F.conv2d(y, torch.ones(1, 1, 3, 3, dtype=torch.float64), dilation=rate)
    y.sum().backward()
    line = dilated.path_counts(3, rates)
    np.testing.assert_array_equal(x.grad[0, 0].numpy(), np.outer(line, line))


def stacks(kernel, largest=8, depth=4):
    for length in range(1, depth + 1):
        for rates in combinations_with_replacement(range(1, largest + 1), length):
            yield rates, bool((dilated.path_counts(kernel, rates) > 0).all())


@pytest.mark.parametrize("kernel", [2, 3, 5])
def test_the_criterion_of_coverage_is_exact(kernel):
    for rates, full in stacks(kernel):
        assert dilated.covers_everything(kernel, rates) is full
        assert dilated.covers_everything(kernel, rates[::-1]) is full


def test_distances_of_the_paper():
    assert dilated.hdc_distances((1, 2, 5))[1:] == [2, 5]
    assert dilated.hdc_distances((1, 2, 9))[1:] == [5, 9]
    assert dilated.hdc_distances((2, 2, 2)) == [2, 2, 2]


def test_a_common_factor_leaves_a_lattice():
    for rates in ((2, 2, 2), (2, 4, 8), (3, 6)):
        factor = gcd(*rates)
        reached = np.flatnonzero(dilated.path_counts(3, rates))
        assert (reached % factor == 0).all()
