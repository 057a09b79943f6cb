"""Every number and every claim of tm-23 that can be computed is computed here."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import nn

from scripts.dl import gan, wasserstein
from scripts.experiments import wgan
from scripts.figures import tm_23
from tests.content.page import assert_said, printed

PAGE = printed("theory-minimum/23-wgan-gp.md")


# What JSD does not see


@pytest.mark.parametrize("shift", [0.1, 0.7, 5.0])
def test_parallel_segments(shift):
    """JSD is log 2 at any distance, the value of the game zero, and W_1 the distance."""
    n = 20
    heights = (np.arange(n) + 0.5) / n
    real, fake = np.stack([0 * heights, heights], axis=1), np.stack([0 * heights + shift, heights], axis=1)
    p, q = np.repeat([1 / n, 0.0], n), np.repeat([0.0, 1 / n], n)  # on the union of both supports
    assert gan.jensen_shannon(p, q) == pytest.approx(math.log(2))
    D = gan.optimal_discriminator(p, q)
    assert gan.value(D, p, q) == pytest.approx(0)
    distance, plan, _ = wasserstein.optimal_transport(wasserstein.distances(real, fake), p[:n], q[n:])
    assert distance == pytest.approx(shift)
    np.testing.assert_allclose(plan, np.eye(n) / n, atol=1e-9)


def test_figure_signal():
    curves = tm_23.separation()
    np.testing.assert_allclose(curves["distance"], tm_23.SHIFTS, atol=1e-9)
    assert np.all(np.diff(curves["jsd"]) > 0)
    assert curves["jsd"][-1] == pytest.approx(math.log(2), abs=0.005)
    assert_said(PAGE, curves["saturating"][-1], digits=3)
    assert round(curves["non-saturating"][-1]) == 12 == wgan.SHIFT / wgan.STD**2
    found, x = tm_23.line(), wgan.LINE
    between = (x > 0) & (x < wgan.SHIFT)
    np.testing.assert_allclose(np.diff(found["potential"]) / np.diff(x), -1, atol=1e-6)
    slope = np.polyfit(x[between], found["critic"][between], 1)[0]
    assert_said(PAGE, slope, digits=2)
    assert slope == pytest.approx(-(1 + wgan.SHIFT / 20), abs=0.02)


def test_gradients_of_the_discriminator_by_definition():
    """`separation` uses that the logit of D* is linear; here by differences."""
    shift, x = 2.0, tm_23.GRID
    real, fake = tm_23._cells(0.0), tm_23._cells(shift)
    D = gan.optimal_discriminator(real, fake)
    inside = (fake > 1e-12) & (D < 1 - 1e-12)
    for name, values in (("saturating", np.log1p(-D[inside])), ("non-saturating", -np.log(D[inside]))):
        slopes = np.abs(np.gradient(values, x[inside]))
        expected = tm_23.separation()[name][np.abs(tm_23.SHIFTS - shift).argmin()]
        assert np.sum(fake[inside] * slopes) == pytest.approx(expected, rel=1e-3)


def test_distance_of_two_generators_is_below_the_plan_of_the_common_noise():
    rng = np.random.default_rng(0)
    z, data = rng.normal(size=200), rng.normal(2, 1, size=200)
    one, other = 1.5 * z + 0.3, 0.7 * z - 1.0
    distances = [wasserstein.wasserstein_line(data, sample) for sample in (one, other)]
    assert abs(distances[0] - distances[1]) <= wasserstein.wasserstein_line(one, other) + 1e-12
    assert wasserstein.wasserstein_line(one, other) <= np.abs(one - other).mean() + 1e-12


def test_line_formula_is_the_potential_and_scipy():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=40), rng.exponential(size=30)
    grid, f = wasserstein.potential_line(x, y)
    dual = np.interp(x, grid, f).mean() - np.interp(y, grid, f).mean()
    assert dual == pytest.approx(wasserstein_distance(x, y))
    assert wasserstein.wasserstein_line(x, y) == pytest.approx(wasserstein_distance(x, y))


def test_gradient_of_the_distance_freezes_the_critic():
    """d W_1 / d theta = -E f*'(G(z)) dG/dtheta, for G(z) = theta z."""
    rng = np.random.default_rng(2)
    data, z, theta, h = rng.normal(0, 3, size=60), rng.normal(size=60), 1.3, 1e-6
    grid, f = wasserstein.potential_line(data, theta * z)
    slopes = [
        (np.interp(v + 1e-7, grid, f) - np.interp(v - 1e-7, grid, f)) / 2e-7 for v in theta * z
    ]  # kinks lie at the points: the mean of both sides
    numeric = (
        wasserstein.wasserstein_line(data, (theta + h) * z) - wasserstein.wasserstein_line(data, (theta - h) * z)
    ) / (2 * h)
    assert -np.mean(slopes * z) == pytest.approx(numeric, abs=0.03)


# The theorem of the unit norm


def test_optimal_critic_climbs_with_slope_one_along_the_plan():
    """Between coupled points McShane's extension of the optimal potential has the gradient v."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(6, 2)), rng.normal(2, 1, size=(6, 2))
    mass = np.full(6, 1 / 6)
    _, plan, potential = wasserstein.optimal_transport(wasserstein.distances(x, y), mass, mass)
    points = np.concatenate([x, y])

    def f(u):
        return np.max(potential - np.linalg.norm(points - u, axis=1))

    for i, j in zip(*np.nonzero(plan > 1e-9), strict=True):
        v = (x[i] - y[j]) / np.linalg.norm(x[i] - y[j])
        for t in (0.25, 0.5, 0.75):
            u = y[j] + t * (x[i] - y[j])
            gradient = [(f(u + e) - f(u - e)) / 2e-5 for e in 1e-5 * np.eye(2)]
            np.testing.assert_allclose(gradient, v, atol=1e-3)


# Clipping


def test_clipped_networks_obey_the_product_bound():
    torch.manual_seed(0)
    critic = wgan.network(2, 64, 64, 1).double()
    wasserstein.clip_weights(critic, 0.05)
    bound = spectral = 1.0
    for layer in critic:
        if isinstance(layer, nn.Linear):
            spectral *= torch.linalg.matrix_norm(layer.weight, 2).item()
            bound *= 0.05 * math.sqrt(layer.weight.numel())
    x, y = torch.randn(500, 2).double(), torch.randn(500, 2).double()
    rises = ((critic(x) - critic(y)).abs()[:, 0] / (x - y).norm(dim=1)).max().item()
    assert rises <= spectral <= bound


def test_random_signs_multiply_the_gradient():
    d, c = 64, 0.01
    assert_said(PAGE, c * math.sqrt(d / 2), digits=3)
    assert_said(PAGE, 0.1 * d / 2, digits=1)
    assert math.log10((c * math.sqrt(d / 2)) ** 11) == pytest.approx(-14, abs=0.5)
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(400):
        W = c * rng.choice([-1, 1], (d, d))
        alive = rng.random(d) < 0.5
        ratios.append(np.linalg.norm(W.T @ (alive * rng.normal(size=d))) / math.sqrt(d))
    assert np.mean(ratios) == pytest.approx(c * math.sqrt(d / 2), rel=0.05)


def test_figure_depth():
    factors = []
    for threshold in tm_23.THRESHOLDS:
        norms = tm_23.depth_norms(threshold)
        factors.append((norms[0] / norms[-1]) ** (1 / (len(norms) - 1)))
    assert_said(PAGE, *factors[:2], digits=2)
    assert_said(PAGE, factors[2], digits=3)
    assert_said(PAGE, factors[3], digits=2)
    assert tm_23.depth_norms(0.1)[0] == pytest.approx(1e4, rel=0.1)
    assert tm_23.depth_norms(0.01)[0] == pytest.approx(1e-16, rel=0.6)


# Gradient penalty


def test_slope_of_the_linear_critic():
    s = np.linspace(-2, 2, 400_001)
    two_sided, one_sided = tm_23.penalised(s, False), tm_23.penalised(s, True)
    best = 1 + wgan.GAP / (2 * wgan.WEIGHT)
    assert s[two_sided.argmin()] == pytest.approx(best, abs=1e-4)
    assert s[one_sided.argmin()] == pytest.approx(best, abs=1e-4)
    assert_said(PAGE, best, best * wgan.GAP, digits=1)
    minima = s[1:-1][(two_sided[1:-1] < two_sided[:-2]) & (two_sided[1:-1] < two_sided[2:])]
    np.testing.assert_allclose(minima, [-(1 - wgan.GAP / (2 * wgan.WEIGHT)), best], atol=1e-4)
    assert np.sum((one_sided[1:-1] < one_sided[:-2]) & (one_sided[1:-1] < one_sided[2:])) == 1


def test_figure_soft():
    two_sided, one_sided = tm_23.slopes(False), tm_23.slopes(True)
    right, wrong = np.abs(two_sided - 1.2) < 0.01, np.abs(two_sided + 0.8) < 0.01
    assert (right.sum(), wrong.sum(), len(two_sided)) == (4, 7, 12)
    assert_said(PAGE, two_sided[~right & ~wrong].item(), digits=2)
    np.testing.assert_allclose(one_sided, 1.2, atol=0.005)
    profile = wgan.slopes(0, 1, tm_23.SLOPE_STEPS)["profiles"][~right & ~wrong][0]
    assert profile.max() > 1.1
    assert profile.min() < -0.7
    plane = tm_23.slopes(False, 2)
    assert np.sum(np.abs(plane - 1.2) < 0.01) == 11
    assert plane.min() == 0
    assert np.all(wgan.slopes(0, 2, tm_23.SLOPE_STEPS)["profiles"][plane.argmin()] == 0)  # all units are off


def test_the_penalised_slope_is_found_by_training():
    torch.manual_seed(0)
    critic = nn.Linear(1, 1)
    ends = torch.full((8, 1), wgan.GAP), torch.zeros(8, 1)
    with torch.no_grad():
        critic.weight.fill_(0.3)
    wgan.fit(critic, lambda: ends, 150, weight=wgan.WEIGHT, lr=0.05)
    assert critic.weight.item() == pytest.approx(1.2, abs=0.01)


def test_wrong_sign_is_a_saddle_in_the_plane():
    weight, w = 10.0, np.array([4.0, 0.0])

    def loss(s):
        return -s @ w + weight * (np.linalg.norm(s) - 1) ** 2

    s = np.array([-0.8, 0.0])
    for e in 1e-6 * np.eye(2):
        assert loss(s + e) - loss(s - e) == pytest.approx(0, abs=1e-9)
    assert loss(1.01 * s) > loss(s)
    assert loss(0.99 * s) > loss(s)
    turned = 0.8 * np.array([-math.cos(0.1), math.sin(0.1)])
    assert loss(turned) < loss(s)


def test_figure_critics():
    said = {"one-sided-10": 2, "two-sided-1": 2, "two-sided-10": 2, "clip": 3}
    for kind, digits in said.items():
        assert_said(PAGE, float(tm_23.plane(kind)["gap"]), digits=digits)
    distances = [float(tm_23.plane(kind)["distance"]) for kind in said]
    assert distances == pytest.approx([0.36] * 4, abs=0.01)
    assert f"${100 * float(tm_23.plane('clip')['extreme']):.0f}\\,\\%$" in PAGE
    strict = tm_23.plane("two-sided-10")["norms"]
    assert np.mean(np.abs(strict - 1) < 0.1) > 0.85
    clipped = tm_23.plane("clip")["norms"]
    assert 6 < np.percentile(clipped, 95) / np.percentile(clipped, 5) < 12


@pytest.mark.parametrize(("kind", "tops"), [("clip", 1), ("two-sided-10", 1), ("two-sided-1", 9), ("one-sided-10", 9)])
def test_how_many_modes_a_critic_has_found(kind, tops):
    """A mode is found when the critic has a maximum within 0.3 of it."""
    values = tm_23.plane(kind)["values"].astype(float)
    inner = values[1:-1, 1:-1]
    around = [values[1 + a : 60 + a, 1 + b : 60 + b] for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]
    rows, columns = np.nonzero(np.all([inner > other for other in around], axis=0))
    peaks = np.stack([wgan.VIEW[columns + 1], wgan.VIEW[rows + 1]], axis=1)
    centres = np.array([(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)], float)
    assert np.sum(wasserstein.distances(centres, peaks).min(axis=1) < 0.3) == tops


def test_images_are_far_apart():
    assert round(0.5 * math.sqrt(3 * 32 * 32)) == 28
    assert_said(PAGE, 1 + 28 / (2 * wgan.WEIGHT), digits=1)


def test_batch_norm_before_the_last_layer_blinds_the_penalty():
    torch.manual_seed(0)
    real, fake = torch.randn(16, 2).double(), torch.randn(16, 2).double() + 1
    for scale in (0.1, 1.0, 30.0):
        critic = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Linear(8, 1)).double()
        with torch.no_grad():
            critic[3].weight *= scale
        assert wasserstein.gradient_penalty(critic, real, fake).item() == pytest.approx(10, abs=1e-6)
    critic[2] = nn.LayerNorm(8).double()
    assert abs(wasserstein.gradient_penalty(critic, real, fake).item() - 10) > 1


def test_sum_over_the_batch_gives_the_gradient_of_each_object():
    torch.manual_seed(0)
    critic, x = wgan.network(3, 8, 1), torch.randn(5, 3)
    whole = wgan.input_gradients(critic, x)
    for i in range(5):
        np.testing.assert_allclose(whole[i : i + 1], wgan.input_gradients(critic, x[i : i + 1]), atol=1e-6)


def test_penalty_does_not_teach_the_shifts_of_relu():
    torch.manual_seed(0)
    critic = wgan.network(2, 8, 8, 1)
    wasserstein.gradient_penalty(critic, torch.randn(6, 2), torch.randn(6, 2)).backward()
    for layer in critic:
        if isinstance(layer, nn.Linear):
            assert layer.weight.grad.abs().max() > 0
            assert layer.bias.grad is None or layer.bias.grad.abs().max() == 0


def test_double_backward_is_a_product_with_a_fixed_vector():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1)).double()
    x = torch.randn(1, 2).double().requires_grad_(True)
    (g,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    W = critic[0].weight
    (whole,) = torch.autograd.grad((g.norm() - 1) ** 2, W, retain_graph=True)
    u = (g / g.norm()).detach()
    (product,) = torch.autograd.grad((u * g).sum(), W)
    torch.testing.assert_close(whole, 2 * (g.norm() - 1).detach() * product)


def test_root_of_squares_at_zero_is_nan_and_norm_is_not():
    for norm, finite in ((lambda v: v.square().sum().sqrt(), False), (lambda v: v.norm(), True)):
        v = torch.zeros(3, requires_grad=True)
        ((norm(v) - 1) ** 2).backward()
        assert bool(torch.isfinite(v.grad).all()) is finite


def test_empirical_distance_is_biased_upwards():
    rng = np.random.default_rng(0)
    draws = [wasserstein.wasserstein_line(rng.normal(size=20), rng.normal(size=20) + 0.1) for _ in range(300)]
    assert np.mean(draws) > 0.2 > 0.1


# Two-sided or one-sided


def test_what_stops_the_two_sided_critic_is_training():
    """From the one-sided critic it keeps its estimate, and its loss is lower than from fresh weights."""
    cold, warm = tm_23.starts()["cold"], tm_23.starts()["warm"]
    assert len(cold) == 4
    assert_said(PAGE, cold[:, 0].min(), cold[:, 0].max(), cold[:, 1].min(), cold[:, 1].max(), digits=2)
    assert_said(PAGE, warm[:, 0].mean(), warm[:, 1].mean(), digits=2)
    assert warm[:, 1].max() < cold[:, 1].min()
    assert np.ptp(warm, axis=0).max() < 0.02


def test_data_at_two_points_and_the_model_at_one():
    data, moved = np.array([0.0, 1.0]), np.linspace(0.05, 0.95, 7)
    assert wasserstein.wasserstein_line(data, np.array([2.0])) == 1.5
    _, plan, f = wasserstein.optimal_transport(wasserstein.distances(data[:, None], np.array([[2.0]])), np.full(2, 0.5),
                                               np.ones(1))  # fmt: skip
    np.testing.assert_allclose(plan[:, 0], 0.5)
    np.testing.assert_allclose(f - f[0], [0, -1, -2])
    assert wasserstein.wasserstein_line(data, np.array([1.7])) == pytest.approx(1.2)
    for theta in moved:
        assert wasserstein.wasserstein_line(data, np.array([theta])) == pytest.approx(0.5)


# One point


def test_only_the_zero_centred_penalty_settles_at_the_point():
    """Data at 0, model at theta, f(x) = psi x: alternating steps from (1, 0)."""
    for pull, converges in (
        (lambda psi: 0.0, False),
        (lambda psi: 0.2 * (abs(psi) - 1) * np.sign(psi), False),
        (lambda psi: psi, True),
    ):
        theta, psi = 1.0, 0.0
        for _ in range(600):
            psi += 0.05 * (-theta - pull(psi))
            theta += 0.05 * psi
        assert (math.hypot(theta, psi) < 1e-5) is converges
        assert converges or math.hypot(theta, psi) > 0.9
    for gamma in (0.1, 1.0, 3.0):
        roots = np.linalg.eigvals(np.array([[0, 1], [-1, -gamma]], complex))
        expected = (-gamma + np.array([1, -1]) * np.sqrt(complex(gamma**2 - 4))) / 2
        np.testing.assert_allclose(np.poly(expected).real, np.poly(roots).real, atol=1e-12)
        assert roots.real.max() < 0
