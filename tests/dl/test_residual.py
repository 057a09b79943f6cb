"""Residual blocks against autograd, and the split of the gradient against the sum over all paths."""

import itertools
import math

import numpy as np
import pytest
import torch

from scripts.dl import residual


def blocks(count, rng, d=5, d_mid=7):
    return [
        residual.PreActivationBlock(rng.standard_normal((d_mid, d)), rng.standard_normal((d, d_mid)))
        for _ in range(count)
    ]


def test_block_against_autograd():
    rng = np.random.default_rng(0)
    (block,) = blocks(1, rng)
    x, bar = rng.standard_normal((4, 5)), rng.standard_normal((4, 5))
    leaves = [torch.tensor(v, requires_grad=True) for v in (x, block.W1, block.W2)]
    expected = leaves[0] + torch.relu(torch.relu(leaves[0]) @ leaves[1].T) @ leaves[2].T
    expected.backward(torch.tensor(bar))
    np.testing.assert_allclose(block.forward(x), expected.detach().numpy(), atol=1e-12)
    for ours, theirs in zip(block.backward(bar), leaves, strict=True):
        np.testing.assert_allclose(ours, theirs.grad.numpy(), atol=1e-12)


def test_branch_must_return_to_its_width():
    with pytest.raises(ValueError, match="must end where it began"):
        residual.PreActivationBlock(np.ones((7, 5)), np.ones((4, 7)))


def test_path_gradients_against_all_paths():
    rng = np.random.default_rng(1)
    n, d = 5, 4
    jacobians = [0.7 * rng.standard_normal((d, d)) for _ in range(n)]
    top = rng.standard_normal(d)
    parts = residual.path_gradients([lambda v, J=J: J.T @ v for J in jacobians], top)
    expected = np.zeros((n + 1, d))
    for chosen in itertools.product([False, True], repeat=n):
        v = top
        for J, taken in zip(reversed(jacobians), chosen, strict=True):
            v = J.T @ v if taken else v
        expected[sum(chosen)] += v
    np.testing.assert_allclose(parts, expected, atol=1e-12)
    whole = top
    for J in reversed(jacobians):
        whole = (np.eye(d) + J).T @ whole
    np.testing.assert_allclose(parts.sum(axis=0), whole, atol=1e-12)


def test_path_gradients_of_real_blocks_add_up_to_the_gradient():
    rng = np.random.default_rng(2)
    chain = blocks(6, rng)
    x = rng.standard_normal((3, 5))
    for block in chain:
        x = block.forward(x)
    top = rng.standard_normal((3, 5))
    parts = residual.path_gradients([block.branch_backward for block in chain], top)
    bar = top
    for block in reversed(chain):
        bar, _, _ = block.backward(bar)
    np.testing.assert_allclose(parts.sum(axis=0), bar, rtol=1e-10)
    np.testing.assert_array_equal(parts[0], top)  # the path along the shortcuts alone


def test_typical_path_length_is_the_mean_of_the_binomial_weights():
    n, q = 12, 0.3
    weights = np.array([math.comb(n, k) * q**k for k in range(n + 1)])
    mean = weights @ np.arange(n + 1) / weights.sum()
    assert residual.typical_path_length(q, n) == pytest.approx(mean)


def test_second_moments():
    np.testing.assert_allclose(residual.second_moments([1, 1, 1]), [1, 2, 4, 8])


def test_counts_of_weights():
    assert residual.basic_branch_weights(256) == 1_179_648
    assert residual.bottleneck_branch_weights(256, 64) == 69_632
    layers = [(256, 64, 1), (64, 64, 3), (64, 256, 1)]
    branch = [torch.nn.Conv2d(c_in, c_out, k, bias=False) for c_in, c_out, k in layers]
    assert sum(layer.weight.numel() for layer in branch) == residual.bottleneck_branch_weights(256, 64)
