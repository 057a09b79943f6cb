"""Volume rendering against autograd, brute force and the integral it stands for."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from scripts.dl import volume_rendering as vr


def ray(shape=(3,), bins=7, channels=2, seed=0):
    rng = np.random.default_rng(seed)
    density, widths = rng.exponential(2, (*shape, bins)), rng.uniform(0.05, 0.5, (*shape, bins))
    return density, widths, rng.random((*shape, bins, channels)), rng.random((*shape, channels))


def test_render_is_front_to_back_compositing():
    density, widths, colours, background = ray()
    for d, w, c, b, pixel in zip(density, widths, colours, background, vr.render(*ray()), strict=True):
        expected, light = np.zeros(2), 1.0
        for s, delta, colour in zip(d, w, c, strict=True):
            alpha = 1 - np.exp(-s * delta)
            expected += light * alpha * colour
            light *= 1 - alpha
        assert pixel == pytest.approx(expected + light * b, abs=1e-14)


def test_weights_and_the_background_share_the_light():
    density, widths, *_ = ray((4, 5))
    left = vr.transmittance(density, widths)[..., -1]
    assert np.allclose(vr.weights(density, widths).sum(axis=-1), 1 - left, atol=1e-14)
    assert np.allclose(left, np.exp(-np.sum(density * widths, axis=-1)), atol=1e-14)


def test_density_gradient_is_that_of_autograd():
    density, widths, colours, background = ray()
    s = torch.tensor(density, requires_grad=True)
    optical = s * torch.tensor(widths)
    left = torch.exp(-torch.cumsum(optical, -1))
    before = torch.cat([torch.ones_like(left[:, :1]), left[:, :-1]], -1)
    pixel = ((before * (1 - torch.exp(-optical)))[..., None] * torch.tensor(colours)).sum(-2)
    pixel = pixel + left[:, -1:] * torch.tensor(background)
    ours = vr.density_gradient(density, widths, colours, background)
    for channel in range(2):
        (grad,) = torch.autograd.grad(pixel[:, channel].sum(), s, retain_graph=True)
        assert np.allclose(ours[..., channel], grad.numpy(), atol=1e-13)


def test_splitting_a_constant_bin_changes_nothing():
    density, widths, colours, background = ray(())
    halves = np.repeat(density, 2), np.repeat(widths / 2, 2), np.repeat(colours, 2, axis=0)
    assert np.allclose(vr.render(*halves, background), vr.render(density, widths, colours, background), atol=1e-14)


def test_render_converges_to_the_integral():
    def density(t):
        return 3 * np.exp(-((t - 1) ** 2) / 0.1)

    def colour(t):
        return np.cos(t) ** 2

    def seen(t):
        return np.exp(-quad(density, 0, t)[0])

    exact = quad(lambda t: seen(t) * density(t) * colour(t), 0, 2)[0] + 0.3 * seen(2)
    errors = []
    for bins in (32, 64, 128):
        t = vr.stratified(0, 2, bins, 1)[0]
        errors.append(vr.render(density(t), np.full(bins, 2 / bins), colour(t)[:, None], np.array([0.3]))[0] - exact)
    assert abs(errors[2]) < 5e-5
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)  # second order: middles of bins
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.1)


def test_depth_is_normalised_by_the_light_that_was_stopped():
    w, t = np.array([[0.2, 0.2], [0.0, 0.0]]), np.array([[1.0, 3.0], [1.0, 3.0]])
    assert vr.expected_depth(w, t, normalise=False) == pytest.approx([0.8, 0])
    depth = vr.expected_depth(w, t)
    assert depth[0] == pytest.approx(2)
    assert np.isnan(depth[1])


def test_stratified_draws_one_position_in_each_bin():
    t = vr.stratified(1.0, 3.0, 8, 500, np.random.default_rng(0))
    edges = np.linspace(1, 3, 9)
    assert np.all((t >= edges[:-1]) & (t <= edges[1:]))
    assert np.allclose(t.mean(axis=0), (edges[:-1] + edges[1:]) / 2, atol=0.02)
    assert np.array_equal(vr.stratified(0.0, 1.0, 2, 1), [[0.25, 0.75]])


def test_inverse_cdf_gives_the_histogram_back():
    rng = np.random.default_rng(0)
    edges, w = np.sort(rng.random((2, 6)), axis=1), rng.random((2, 5))
    draws = vr.inverse_cdf(edges, w, rng.random((2, 40_000)))
    for row in range(2):
        counts, _ = np.histogram(draws[row], edges[row])
        assert counts / 40_000 == pytest.approx(w[row] / w[row].sum(), abs=0.01)


def test_inverse_cdf_by_hand_and_at_the_ends():
    edges, w = np.array([0.0, 1, 2, 4]), np.array([1.0, 0, 3])
    assert vr.inverse_cdf(edges, w, np.array([0, 0.125, 0.25, 0.625, 1])) == pytest.approx([0, 0.5, 2, 3, 4])
    with pytest.raises(ValueError, match="without weight"):
        vr.inverse_cdf(edges, 0 * w, np.array([0.5]))


def test_refine_puts_most_positions_where_the_weight_is():
    edges = np.tile(np.linspace(0, 1, 11), (3, 1))
    w = np.full((3, 10), 0.01)
    w[:, 4] = 0.91
    t = vr.refine(edges, w, 100, np.random.default_rng(0))
    assert np.all(np.diff(t, axis=-1) >= 0)
    assert np.mean((t > 0.4) & (t < 0.5)) == pytest.approx(0.91, abs=0.011)


def test_spacings():
    assert np.array_equal(vr.spacings(np.array([1.0, 1.5, 3]), 1e10), [0.5, 1.5, 1e10])
    with pytest.raises(ValueError, match="must not decrease"):
        vr.spacings(np.array([1.0, 0.5]), 1.0)
