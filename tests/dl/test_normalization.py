"""Normalisation layers against PyTorch: outputs, gradients, buffers."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from scripts.dl import normalization as norm

SHAPES = [(8, 6), (4, 6, 5), (3, 6, 4, 5)]


def draw(shape, seed=0):
    rng = np.random.default_rng(seed)
    x = 1.5 + 3.0 * rng.standard_normal(shape)
    gamma, beta = rng.standard_normal(6), rng.standard_normal(6)
    return x, gamma, beta, rng.standard_normal(shape)


def leaf(array):
    return torch.tensor(array, requires_grad=True)


def close(ours, theirs, tolerance=1e-12):
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else theirs
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def compare(forward, backward, reference, x, gamma, beta, bar):
    """Our forward and backward pass against autograd through `reference(x, gamma, beta)`."""
    y, saved = forward(x, gamma, beta)
    leaves = [leaf(array) for array in (x, gamma, beta)]
    expected = reference(*leaves)
    expected.backward(torch.tensor(bar))
    close(y, expected)
    for ours, theirs in zip(backward(bar, saved), leaves, strict=True):
        assert ours.shape == tuple(theirs.shape)
        close(ours, theirs.grad)


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm(shape):
    compare(
        norm.batch_norm,
        norm.batch_norm_backward,
        lambda x, gamma, beta: F.batch_norm(x, None, None, gamma, beta, training=True),
        *draw(shape),
    )


@pytest.mark.parametrize("shape", SHAPES[1:])
def test_instance_norm(shape):
    compare(
        norm.instance_norm,
        norm.instance_norm_backward,
        lambda x, gamma, beta: F.instance_norm(x, weight=gamma, bias=beta),
        *draw(shape),
    )


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
@pytest.mark.parametrize("shape", SHAPES[1:])
def test_group_norm(shape, groups):
    compare(
        lambda x, gamma, beta: norm.group_norm(x, groups, gamma, beta),
        norm.group_norm_backward,
        lambda x, gamma, beta: F.group_norm(x, groups, gamma, beta),
        *draw(shape),
    )


@pytest.mark.parametrize(("shape", "normalized"), [((7, 6), (6,)), ((2, 5, 6), (6,)), ((3, 2, 4, 5), (2, 4, 5))])
def test_layer_norm(shape, normalized):
    rng = np.random.default_rng(0)
    x, bar = 2.0 + rng.standard_normal(shape), rng.standard_normal(shape)
    gamma, beta = rng.standard_normal(normalized), rng.standard_normal(normalized)
    compare(
        norm.layer_norm,
        norm.layer_norm_backward,
        lambda x, gamma, beta: F.layer_norm(x, normalized, gamma, beta),
        x, gamma, beta, bar,
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(7, 6), (2, 5, 6)])
def test_rms_norm(shape):
    x, gamma, _, bar = draw(shape)
    y, saved = norm.rms_norm(x, gamma)
    leaves = [leaf(x), leaf(gamma)]
    expected = F.rms_norm(leaves[0], (6,), leaves[1], eps=1e-5)
    expected.backward(torch.tensor(bar))
    close(y, expected)
    for ours, theirs in zip(norm.rms_norm_backward(bar, saved), leaves, strict=True):
        close(ours, theirs.grad)


def test_weight_norm():
    rng = np.random.default_rng(0)
    layer = nn.Linear(5, 4, bias=False).double()
    W_bar = rng.standard_normal((4, 5))
    nn.utils.parametrizations.weight_norm(layer, dim=0)
    g, V = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
    with torch.no_grad():
        g.mul_(torch.tensor(rng.uniform(0.5, 2.0, (4, 1))))
    close(norm.weight_norm(V.detach().numpy(), g.detach().numpy()[:, 0]), layer.weight)
    layer.weight.backward(torch.tensor(W_bar))
    V_bar, g_bar = norm.weight_norm_backward(W_bar, V.detach().numpy(), g.detach().numpy()[:, 0])
    close(V_bar, V.grad)
    close(g_bar, g.grad[:, 0])


def test_dynamic_tanh():
    x, gamma, beta, bar = draw((2, 5, 6))
    leaves = [leaf(x), leaf(np.array(0.5)), leaf(gamma), leaf(beta)]
    expected = leaves[2] * torch.tanh(leaves[1] * leaves[0]) + leaves[3]
    expected.backward(torch.tensor(bar))
    close(norm.dynamic_tanh(x, 0.5, gamma, beta), expected)
    for ours, theirs in zip(norm.dynamic_tanh_backward(bar, x, 0.5, gamma), leaves, strict=True):
        close(ours, theirs.grad)


def test_running_statistics_are_those_of_torch():
    layer, ours = nn.BatchNorm2d(6).double(), norm.RunningStatistics(6)
    for seed in range(5):
        x = draw((3, 6, 4, 5), seed)[0]
        layer(torch.tensor(x))
        ours.update(x)
    close(ours.mean, layer.running_mean)
    close(ours.variance, layer.running_var)


@pytest.mark.parametrize("shape", SHAPES)
def test_inference_by_fixed_statistics(shape):
    x, gamma, beta, _ = draw(shape)
    rng = np.random.default_rng(1)
    mean, variance = rng.standard_normal(6), rng.uniform(0.5, 2.0, 6)
    expected = F.batch_norm(*map(torch.tensor, (x, mean, variance, gamma, beta)), training=False)
    close(norm.batch_norm_inference(x, gamma, beta, mean, variance), expected)


def test_folding_into_a_convolution_and_a_dense_layer():
    rng = np.random.default_rng(0)
    _, gamma, beta, _ = draw((1, 6))
    mean, variance, b = rng.standard_normal(6), rng.uniform(0.5, 2.0, 6), rng.standard_normal(6)
    statistics = (gamma, beta, mean, variance)

    W, x = rng.standard_normal((6, 3, 3, 3)), rng.standard_normal((2, 3, 7, 8))
    z = F.conv2d(*map(torch.tensor, (x, W, b)), padding=1).numpy()
    folded = norm.fold(W, b, *statistics)
    close(F.conv2d(*map(torch.tensor, (x, *folded)), padding=1), norm.batch_norm_inference(z, *statistics))

    W, x = rng.standard_normal((6, 4)), rng.standard_normal((5, 4))
    folded, bias = norm.fold(W, b, *statistics)
    close(x @ folded.T + bias, norm.batch_norm_inference(x @ W.T + b, *statistics))


def test_renormalisation_lies_between_training_and_inference():
    x, gamma, beta, _ = draw((3, 6, 4, 5))
    rng = np.random.default_rng(1)
    mean, variance = rng.standard_normal(6), rng.uniform(0.5, 2.0, 6)
    training, _ = norm.batch_norm(x, gamma, beta)
    close(norm.batch_renorm(x, gamma, beta, mean, variance, r_max=1.0, d_max=0.0), training)
    free = norm.batch_renorm(x, gamma, beta, mean, variance, r_max=np.inf, d_max=np.inf)
    close(free, norm.batch_norm_inference(x, gamma, beta, mean, variance))
    clipped = norm.batch_renorm(x, gamma, beta, mean, variance, r_max=1.5, d_max=0.5)
    assert np.abs(clipped - training).max() > 0.1
    assert np.abs(clipped - free).max() > 0.1


def test_weight_standardization_leaves_zero_mean_and_unit_variance():
    W = norm.weight_standardize(3.0 + np.random.default_rng(0).standard_normal((4, 3, 5, 5)))
    close(W.mean(axis=(1, 2, 3)), np.zeros(4))
    np.testing.assert_allclose(W.std(axis=(1, 2, 3)), 1.0, atol=1e-5)


def test_bad_shapes_are_refused():
    x, gamma, beta, _ = draw((3, 6, 4, 5))
    with pytest.raises(ValueError, match="more than one value"):
        norm.batch_norm(x[:1, :, 0, 0], gamma, beta)
    with pytest.raises(ValueError, match="6 channels"):
        norm.batch_norm(x, gamma[:5], beta)
    with pytest.raises(ValueError, match="groups"):
        norm.group_norm(x, 4, gamma, beta)
    with pytest.raises(ValueError, match="gamma"):
        norm.layer_norm(x, gamma, beta)
