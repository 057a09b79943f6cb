"""Features against their kernels, brute force and Monte Carlo."""

import numpy as np
import pytest
import torch

from scripts.dl import fourier_features as ff


def test_octaves_one_by_one():
    x = np.random.default_rng(0).uniform(-1, 1, (4, 3))
    code = ff.octaves(x, 5)
    assert code.shape == (4, 30)
    expected = [wave(2.0**k * np.pi * x) for k in range(5) for wave in (np.sin, np.cos)]
    assert np.allclose(code, np.concatenate(expected, axis=1), atol=1e-13)
    assert np.array_equal(ff.octaves(x, 5, keep_input=True), np.concatenate([x, code], axis=1))
    assert ff.octaves(x, 10, keep_input=True).shape[1] == 63
    assert ff.octaves(x, 4, keep_input=True).shape[1] == 27


@pytest.mark.parametrize("count", [1, 4, 10])
def test_octave_kernel_is_the_scalar_product(count):
    x, y = np.random.default_rng(0).uniform(-1, 1, (2, 6, 1))
    product = np.sum(ff.octaves(x, count) * ff.octaves(y, count), axis=1)
    assert np.allclose(product, count * ff.octave_kernel((x - y)[:, 0], count), atol=1e-11)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_random_kernel_is_the_expected_scalar_product(scale):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-0.3, 0.3, (2, 5, 2))
    B = ff.gaussian_frequencies(100_000, 2, scale, rng)
    product = np.sum(ff.random_features(x, B) * ff.random_features(y, B), axis=1) / len(B)
    assert product == pytest.approx(ff.random_kernel(np.linalg.norm(x - y, axis=1), scale), abs=0.015)
    with pytest.raises(ValueError, match="negative"):
        ff.gaussian_frequencies(1, 1, -1.0, rng)


def test_integrated_octaves_are_the_mean_over_the_gaussian():
    rng = np.random.default_rng(0)
    mean, variance = np.array([0.3, -0.2]), np.array([0.01, 0.04])
    draws = mean + np.sqrt(variance) * rng.standard_normal((200_000, 2))
    assert ff.integrated_octaves(mean, variance, 4) == pytest.approx(ff.octaves(draws, 4).mean(axis=0), abs=0.01)
    assert np.allclose(ff.integrated_octaves(mean, 0 * variance, 4), ff.octaves(mean, 4))


@pytest.mark.parametrize("hidden_layers", [1, 2])
def test_ntk_is_the_limit_of_wide_networks(hidden_layers):
    angle, width = 0.7, 512
    points = torch.tensor([[1.0, 0.0], [np.cos(angle), np.sin(angle)]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)

    def gradient(x, first, *others):
        x = first @ x
        for W in others:
            x = (2 / len(x)) ** 0.5 * W @ torch.relu(x)
        return torch.autograd.grad(x.sum(), (first, *others))

    def found():
        shapes = [(width, 2), *[(width, width)] * (hidden_layers - 1), (1, width)]
        weights = [torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes]
        pairs = zip(*(gradient(x, *weights) for x in points), strict=True)
        return sum(float((a * b).sum()) for a, b in pairs)

    mean = np.mean([found() for _ in range(16)])
    assert mean == pytest.approx(float(ff.ntk(np.cos(angle), hidden_layers)), rel=0.06)
    assert float(ff.ntk(1.0, hidden_layers)) == pytest.approx(hidden_layers + 1)


def test_siren_keeps_the_spread_of_its_activations():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (500, 2))
    x = np.sin(30 * x @ ff.siren_uniform(256, 2, rng, first=True).T)
    for _ in range(4):
        before = 30 * x @ ff.siren_uniform(256, 256, rng).T
        assert before.std() == pytest.approx(1, abs=0.12)
        x = np.sin(before)
        assert x.std() == pytest.approx(np.sqrt((1 - np.exp(-2)) / 2), abs=0.05)
