"""Every number and every claim of tm-04 that can be computed is computed here."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import normalization as norm
from scripts.dl.gradcheck import numerical_gradient, relative_error
from scripts.figures import tm_04


def cosine(a, b):
    return float(np.sum(a * b) / (np.linalg.norm(a) * np.linalg.norm(b)))


def feature(m=9, eps=0.0, seed=0, gamma=1.7):
    """One feature over a batch of m: x, the adjoint of y, the adjoint of x, x_hat and s, all of BN's own code."""
    rng = np.random.default_rng(seed)
    x, bar = 2.0 + 3.0 * rng.standard_normal((m, 1)), rng.standard_normal((m, 1))
    _, saved = norm.batch_norm(x, np.array([gamma]), np.array([0.3]), eps)
    x_bar, _, _ = norm.batch_norm_backward(bar, saved)
    return x[:, 0], bar[:, 0], x_bar[:, 0], saved.x_hat[:, 0], float(1 / saved.inverse.item())


# The formulas


def test_training_output_has_the_promised_moments():
    x = np.random.default_rng(0).exponential(size=(200, 3, 4, 4)) + 5
    y, _ = norm.batch_norm(x, np.ones(3), np.zeros(3))
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=(0, 2, 3)), 1, atol=1e-4)
    assert np.mean(y**3) > 1.5  # but it is no Gaussian: the exponential's skewness stays


def test_gain_and_shift_can_undo_the_normalisation():
    x = np.random.default_rng(0).standard_normal((8, 3)) * 4 + 1
    s = np.sqrt(x.var(axis=0) + norm.EPS)
    y, _ = norm.batch_norm(x, s, x.mean(axis=0))
    np.testing.assert_allclose(y, x, atol=1e-12)


def test_defaults_and_sizes_of_torch():
    layer = torch.nn.BatchNorm2d(7)
    assert (layer.eps, layer.momentum) == (1e-5, 0.1)
    assert sum(p.numel() for p in layer.parameters()) == 2 * 7
    assert layer.running_mean.numel() + layer.running_var.numel() == 2 * 7
    assert layer.running_mean.eq(0).all()
    assert layer.running_var.eq(1).all()
    assert layer.weight.eq(1).all()
    assert layer.bias.eq(0).all()
    assert list(layer.state_dict()) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    with pytest.raises(ValueError, match="more than 1 value"):
        layer(torch.ones(1, 7, 1, 1))


def test_eval_does_not_freeze_gain_and_shift():
    layer = torch.nn.BatchNorm1d(3).eval()
    before = layer.running_mean.clone()
    layer(torch.randn(5, 3)).sum().backward()
    assert layer.bias.grad.abs().sum() > 0
    assert torch.equal(layer.running_mean, before)


def test_hand_example_of_the_card():
    x, layer = torch.tensor([[1.0], [3.0], [5.0]]), torch.nn.BatchNorm1d(1, eps=1e-12)
    with torch.no_grad():
        layer.weight.fill_(2)
        layer.bias.fill_(1)
        y = layer(x)[:, 0].numpy()
    np.testing.assert_allclose(y, [-1.45, 1, 3.45], atol=0.005)
    np.testing.assert_allclose((y - 1) / 2, [-1.22, 0, 1.22], atol=0.005)
    assert x.var(correction=0).item() == pytest.approx(8 / 3)
    assert layer.running_mean.item() == pytest.approx(0.3)
    assert layer.running_var.item() == pytest.approx(1.3)


# Running statistics


def test_buffers_of_torch_without_momentum_and_without_tracking():
    batches = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0)) + 2
    average = torch.nn.BatchNorm1d(3, momentum=None)
    for batch in batches:
        average(batch)
    torch.testing.assert_close(average.running_mean, batches.mean(dim=(0, 1)))
    untracked = torch.nn.BatchNorm1d(3, track_running_stats=False).eval()
    assert untracked.running_mean is None
    assert untracked(batches[0]).mean(dim=0).abs().max() < 1e-5


def test_forgotten_eval_spoils_the_buffers():
    layer = torch.nn.BatchNorm1d(3)
    before = layer.running_mean.clone()
    with torch.no_grad():
        layer(torch.randn(8, 3) + 5)
    assert (layer.running_mean - before).abs().min() > 0.1


def test_share_of_the_initial_value_falls_below_a_percent_after_44_batches():
    assert 0.9**43 > 0.01 > 0.9**44


def test_expected_batch_variance():
    m, spread = 4, 9.0
    x = math.sqrt(spread) * np.random.default_rng(0).standard_normal((400_000, m))
    assert x.mean(axis=1).var() == pytest.approx(spread / m, rel=0.01)
    assert x.var(axis=1).mean() == pytest.approx((m - 1) / m * spread, rel=0.01)
    assert x.var(axis=1, ddof=1).mean() == pytest.approx(spread, rel=0.01)


def test_correction_is_too_small_for_dependent_positions():
    """Positions of one object share a part: the unbiased formula still underestimates the variance."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20_000, 4, 1)) + rng.standard_normal((20_000, 4, 25))  # four objects of 25 positions
    flat = x.reshape(20_000, -1)
    assert flat.mean(axis=1).var() > 5 * 2.0 / 100
    assert flat.var(axis=1, ddof=1).mean() < 0.95 * 2.0


# The backward pass


def test_backward_formula_of_one_feature_by_finite_differences():
    x, bar, x_bar, _, _ = feature(eps=0.5)

    def loss(values):
        y, _ = norm.batch_norm(values[:, None], np.array([1.7]), np.array([0.3]), 0.5)
        return float(bar @ y[:, 0])

    assert relative_error(x_bar, numerical_gradient(loss, x)) < 1e-8


@pytest.mark.parametrize("eps", [0.0, 1e-5, 0.5])
def test_steps_of_the_derivation(eps):
    x, bar, x_bar, x_hat, s = feature(eps=eps)
    m, bar_hat = len(x), 1.7 * bar
    variance_bar = -np.sum(bar_hat * x_hat) / (2 * s**2)
    mean_bar = -np.sum(bar_hat) / s
    np.testing.assert_allclose(bar_hat / s + variance_bar * 2 * s / m * x_hat + mean_bar / m, x_bar, atol=1e-14)
    assert np.sum(-2 / m * (x - x.mean())) == pytest.approx(0, abs=1e-14)


def test_jacobian_is_a_projector_of_rank_m_minus_two():
    x, bar, x_bar, x_hat, s = feature()
    m = len(x)
    P = np.eye(m) - np.ones((m, m)) / m - np.outer(x_hat, x_hat) / m
    np.testing.assert_allclose(1.7 / s * P @ bar, x_bar, atol=1e-14)
    np.testing.assert_allclose(P @ P, P, atol=1e-14)
    assert np.linalg.matrix_rank(P, tol=1e-10) == m - 2
    assert x_bar.sum() == pytest.approx(0, abs=1e-13)
    assert x_bar @ x_hat == pytest.approx(0, abs=1e-13)
    squares = bar @ bar - bar.sum() ** 2 / m - (x_hat @ bar) ** 2 / m
    assert x_bar @ x_bar == pytest.approx(1.7**2 / s**2 * squares)


def test_epsilon_leaves_an_eigenvalue_along_the_feature():
    x, _, _, x_hat, s = feature(eps=0.5)
    m = len(x)
    P = np.eye(m) - np.ones((m, m)) / m - np.outer(x_hat, x_hat) / m
    np.testing.assert_allclose(P @ x_hat, 0.5 / s**2 * x_hat, atol=1e-14)
    assert s**2 == pytest.approx(x.var() + 0.5)


def test_bias_before_bn_has_no_gradient_and_inference_needs_only_the_gain():
    rng = np.random.default_rng(0)
    z = torch.tensor(rng.standard_normal((6, 3)))
    b = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    (F.batch_norm(z + b, None, None, training=True) * torch.tensor(rng.standard_normal((6, 3)))).sum().backward()
    np.testing.assert_allclose(b.grad.numpy(), 0, atol=1e-12)
    # What is lost when the two sums are forgotten.
    _, bar, x_bar, _, s = feature()
    assert relative_error(1.7 / s * bar, x_bar) > 0.1


# Scale invariance


class Neuron:
    """Loss of a batch as a function of the weights of one neuron before BN."""

    def __init__(self, eps=0.0):
        rng = np.random.default_rng(0)
        self.eps, self.A = eps, torch.tensor(rng.standard_normal((12, 5)))
        self.target = torch.tensor(rng.standard_normal(12))
        self.w = rng.standard_normal(5)

    def gradient(self, w, statistics=None):
        w = torch.tensor(w, requires_grad=True)
        x = self.A @ w
        mean, variance = statistics or (x.mean(), x.var(correction=0))
        y = 1.3 * (x - mean) / torch.sqrt(variance + self.eps) + 0.2
        loss = ((torch.tanh(y) - self.target) ** 2).mean()
        loss.backward()
        return loss.item(), w.grad.numpy()


@pytest.mark.parametrize("a", [0.1, 3.0])
def test_scale_invariance_and_its_consequences(a):
    neuron = Neuron()
    loss, gradient = neuron.gradient(neuron.w)
    scaled_loss, scaled_gradient = neuron.gradient(a * neuron.w)
    assert scaled_loss == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(scaled_gradient, gradient / a, atol=1e-13)
    assert neuron.w @ gradient == pytest.approx(0, abs=1e-13)


def test_gradient_into_the_layer_does_not_depend_on_the_scale():
    neuron = Neuron()
    adjoints = []
    for a in (1.0, 4.0):
        A = neuron.A.clone().requires_grad_()
        x = A @ torch.tensor(a * neuron.w)
        y = (x - x.mean()) / torch.sqrt(x.var(correction=0))
        (torch.tanh(y) * neuron.target).sum().backward()
        adjoints.append(A.grad.numpy())
    np.testing.assert_allclose(*adjoints, atol=1e-13)


def test_effective_learning_rate_of_the_direction():
    neuron, eta = Neuron(), 1e-4
    _, g = neuron.gradient(neuron.w)
    length = np.linalg.norm(neuron.w)
    after = neuron.w - eta * g
    moved = after / np.linalg.norm(after) - neuron.w / length
    _, on_the_sphere = neuron.gradient(neuron.w / length)
    np.testing.assert_allclose(on_the_sphere, length * g, atol=1e-12)
    np.testing.assert_allclose(moved, -eta / length**2 * on_the_sphere, atol=1e-8)


def test_radial_component_with_epsilon():
    """<w, g> = gamma eps / (sigma² + eps) times x_hat · y_bar."""
    neuron = Neuron(eps=0.7)
    _, gradient = neuron.gradient(neuron.w)
    x = neuron.A.numpy() @ neuron.w
    s2 = x.var() + 0.7
    x_hat = (x - x.mean()) / math.sqrt(s2)
    y = torch.tensor(1.3 * x_hat + 0.2, requires_grad=True)
    ((torch.tanh(y) - neuron.target) ** 2).mean().backward()
    assert neuron.w @ gradient == pytest.approx(1.3 * 0.7 / s2 * (x_hat @ y.grad.numpy()))


def test_no_invariance_in_evaluation_mode():
    neuron = Neuron()
    x = neuron.A @ torch.tensor(neuron.w)
    statistics = (x.mean(), x.var(correction=0))
    assert neuron.gradient(neuron.w, statistics)[0] != pytest.approx(neuron.gradient(2 * neuron.w, statistics)[0])


def test_equilibrium_of_a_scale_invariant_weight():
    """SGD with noise on the sphere: the norm within 5 % of the formula, from both sides."""
    rng, eta, decay, d = np.random.default_rng(0), 0.1, 0.05, 20
    for start in (0.3, 3.0):
        w = start * np.eye(d)[0]
        norms = []
        for step in range(4000):
            noise = rng.standard_normal(d)
            noise -= (noise @ w) / (w @ w) * w  # a gradient is orthogonal to the weights
            w = (1 - eta * decay) * w - eta * noise / np.linalg.norm(w)
            if step >= 1500:
                norms.append(w @ w)
        assert np.mean(np.square(norms)) == pytest.approx(eta * (d - 1) / (2 * decay), rel=0.05)


def test_common_factor_of_gains_and_shifts_is_undone_by_the_next_layer():
    rng = np.random.default_rng(0)
    x_hat, W = rng.standard_normal((8, 5)), rng.standard_normal((4, 5))
    gamma, beta = rng.standard_normal(5), rng.standard_normal(5)

    def after(a):
        return norm.standardize(np.maximum(a * (gamma * x_hat + beta), 0) @ W.T, (0,), 0.0)[0]

    np.testing.assert_allclose(after(3.0), after(1.0), atol=1e-12)


# The figure of the equilibrium


def test_figure_weight_decay_meets_the_prediction():
    run, runs = tm_04.equilibrium(), len(tm_04.SCALES)
    measured = run["norms"][-tm_04.TAIL :, :runs].mean(axis=0)
    np.testing.assert_allclose(measured, tm_04.predicted_norms(), rtol=0.05)
    angles = np.sqrt((run["angles"][-tm_04.TAIL :, :runs] ** 2).mean(axis=0))
    np.testing.assert_allclose(angles, math.sqrt(2 * tm_04.RATE * tm_04.DECAY), rtol=0.05)
    np.testing.assert_allclose(angles, 0.045, atol=0.0015)
    assert round(math.sqrt(2 * tm_04.RATE * tm_04.DECAY), 4) == 0.0447


def test_figure_without_decay_the_norm_only_grows_and_the_rotation_dies():
    run, runs = tm_04.equilibrium(), len(tm_04.SCALES)
    norms, invariant = run["norms"][:, runs:], run["invariant"][:, runs:]
    assert np.all(np.diff(norms, axis=0) >= -1e-12)
    fourth = norms[0] ** 4 + 2 * tm_04.RATE**2 * (invariant[:-1] ** 2).sum(axis=0)
    np.testing.assert_allclose(norms[-1] ** 4, fourth, rtol=0.01)
    angles = np.sqrt((run["angles"][-tm_04.TAIL :] ** 2).mean(axis=0))
    ratios = angles[:runs] / angles[runs:]
    assert (ratios.min(), ratios.max()) == pytest.approx((3.5, 20), rel=0.1)


# Inference


def test_bn_after_relu_cannot_be_folded_into_the_next_padded_convolution():
    rng = np.random.default_rng(0)
    x, W = torch.tensor(rng.standard_normal((1, 2, 6, 6))), torch.tensor(rng.standard_normal((1, 2, 3, 3)))
    numbers = ([1.5, 0.7], [0.4, -0.3], [0.2, 0.1], [2.0, 0.5])
    gamma, beta, mean, variance = (torch.tensor(v, dtype=torch.float64) for v in numbers)
    scale = gamma / torch.sqrt(variance + 1e-5)
    honest = F.conv2d(F.batch_norm(x, mean, variance, gamma, beta), W, padding=1)
    shift = ((beta - scale * mean)[None, :, None, None] * W).sum(dim=(1, 2, 3))
    folded = F.conv2d(x, W * scale[None, :, None, None], shift, padding=1)
    difference = (honest - folded).abs()[0, 0]
    assert difference[1:-1, 1:-1].max() < 1e-12
    assert difference[0].min() > 1e-3


def test_dropout_before_bn_inflates_the_stored_second_moment():
    a, p = np.random.default_rng(0).exponential(size=1_000_000), 0.5
    dropped = a * (np.random.default_rng(1).random(a.shape) >= p) / (1 - p)
    assert dropped.mean() == pytest.approx(a.mean(), rel=0.01)
    assert np.mean(dropped**2) == pytest.approx(np.mean(a**2) / (1 - p), rel=0.01)


def test_ignoring_the_gradient_through_the_mean_moves_the_bias_for_nothing():
    u, target = np.array([1.0, 2.0, 6.0]), np.array([0.0, 0.0, 2.0])
    losses, b = [], 0.0
    for _ in range(50):
        x_hat = u + b - np.mean(u + b)
        losses.append(np.mean((x_hat - target) ** 2))
        b -= 0.1 * np.mean(2 * (x_hat - target))  # the mean taken for a constant
    assert losses[0] == pytest.approx(losses[-1])
    assert abs(b) > 5


# Convergence


def test_speedups_of_the_original_paper():
    assert math.floor(31.0 / 2.1) == 14
    assert round(31.0 / 13.3, 1) == 2.3


@cache
def median_accuracy(name):
    return dict(zip(np.round(tm_04.RATES, 4), np.median(tm_04.sweep(name), axis=1), strict=True))


def test_figure_learning_rates():
    default, he, bn_default, bn_he = (median_accuracy(name) for name in tm_04.RECIPES)
    assert bn_he[1.0] == pytest.approx(0.97, abs=0.015)
    assert bn_default[1.0] == pytest.approx(0.97, abs=0.015)
    assert max(default[1.0], he[1.0]) < 0.15
    assert he[0.1] == pytest.approx(0.94, abs=0.015)
    assert min(he[rate] for rate in (0.0316, 0.1, 0.3162)) > 0.8
    assert np.ptp(tm_04.sweep("he")[list(he).index(0.3162)]) > 0.4
    assert max(default.values()) == default[0.3162] == pytest.approx(0.7, abs=0.1)
    for recipe in (bn_default, bn_he):
        assert min(recipe[rate] for rate in (0.0316, 0.1, 0.3162, 1.0)) > 0.93
    leads = [bn_he[rate] - he[rate] for rate in (0.001, 0.0032, 0.01, 0.0316, 0.1)]
    assert min(leads) > 0.02
    assert max(leads) < 0.11
    assert all(bn_default[rate] > bn_he[rate] for rate in (0.001, 0.0032, 0.01))  # shorter weights turn faster


def test_figure_landscape():
    plain, bn = tm_04.probe(None), tm_04.probe("batch")
    at = int(np.argmin(np.abs(tm_04.STEPS - 0.3)))
    for run, start, near, far in ((plain, 0.81, -0.86, 4.3), (bn, 0.30, 0.98, 0.23)):
        assert np.median(run["norms"]) == pytest.approx(start, rel=0.1)
        assert np.median(run["cosines"][:, at]) == pytest.approx(near, abs=0.05)
        assert np.median(run["losses"][:, -1]) == pytest.approx(far, rel=0.15)
        assert run["losses"][:, 0].max() < tm_04.TARGET
    assert bn["cosines"].min() > 0.75
    assert tm_04.cosine_at_distance(None, 0.1) == pytest.approx(-0.33, abs=0.15)
    assert tm_04.cosine_at_distance("batch", 0.1) == pytest.approx(0.98, abs=0.01)


def test_conditioning_of_digits():
    numbers = tm_04.condition_numbers()
    assert [round(numbers[name]) for name in ("raw", "centred", "standardized")] == [31_071, 2088, 138]


def test_mean_adds_one_large_eigenvalue():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((5000, 6)) + 3.0
    values = np.linalg.eigvalsh(X.T @ X / len(X))
    assert values[-1] == pytest.approx(1 + 6 * 9, rel=0.05)
    assert values[-2] < 1.3


def test_share_of_a_normalised_branch_falls_as_one_over_depth():
    rng, h = np.random.default_rng(0), np.random.default_rng(1).standard_normal((512, 128))
    h, _ = norm.standardize(h, (0,))
    plain, shares = h.copy(), []
    for _ in range(20):
        weights = rng.standard_normal((128, 128)) * math.sqrt(2 / 128)
        branch, _ = norm.standardize(np.maximum(h, 0) @ weights.T, (0,))
        h = h + branch
        shares.append(branch.var() / h.var())
        plain = plain + np.maximum(plain, 0) @ weights.T
    np.testing.assert_allclose(shares, 1 / (np.arange(1, 21) + 1), rtol=0.3)
    assert np.mean(plain**2) > 2**18


def test_zero_gain_makes_the_original_block_an_identity():
    x = torch.relu(torch.randn(4, 3))
    branch = F.batch_norm(torch.randn(4, 3), None, None, torch.zeros(3), torch.zeros(3), training=True)
    assert torch.equal(torch.relu(x + branch), x)


def test_networks_of_the_figures_have_right_gradients():
    for kind, groups in ((None, 1), ("batch", 1), ("group", 2)):
        rng = np.random.default_rng(0)
        networks = tm_04.Networks([5, 6, 6, 3], kind, lambda o, i, g: g.standard_normal((o, i)), [0, 1], groups)
        X, labels = rng.standard_normal((6, 5)), np.eye(3)[rng.integers(0, 3, 6)]
        _, bar = tm_04.cross_entropy(networks.forward(X, momentum=0.0), labels)
        gradients = networks.backward(bar)
        for parameter, gradient in zip(networks.parameters, gradients, strict=True):

            def loss(values, parameter=parameter, networks=networks, X=X, labels=labels):
                kept = parameter.copy()
                parameter[...] = values
                total = tm_04.cross_entropy(networks.forward(X, momentum=0.0), labels)[0].sum()
                parameter[...] = kept
                return float(total)

            assert relative_error(gradient, numerical_gradient(loss, parameter)) < 1e-5
