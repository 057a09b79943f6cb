"""Every number and every claim of tm-03 that can be computed is computed here."""

import math
import warnings
from functools import cache

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import dropout as d
from scripts.dl import initialization
from scripts.dl.losses import softmax
from scripts.figures import tm_03
from scripts.figures.digits import digits


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# What dropout is


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_moments_of_the_next_layer(p, rng):
    """Means as without masks, variances p/(1-p) Σ W² a², covariances p/(1-p) Σ W_k W_l a², over all masks exactly."""
    a, W = rng.standard_normal(6), rng.standard_normal((3, 6))
    masks, weights = d.all_masks(6, p)
    z = (masks * a) @ W.T
    mean = weights @ z
    covariance = (z - mean).T @ ((z - mean) * weights[:, None])
    np.testing.assert_allclose(mean, W @ a, atol=1e-12)
    np.testing.assert_allclose(covariance, p / (1 - p) * (W * a**2) @ W.T, atol=1e-12)


def test_noise_is_as_large_as_the_signal_at_one_half():
    assert 0.5 / (1 - 0.5) == 1.0


def test_original_dropout_is_the_inverted_one_with_other_weights(rng):
    p, a, W = 0.3, rng.standard_normal(5), rng.standard_normal((2, 5))
    kept = (rng.random(5) >= p).astype(float)
    np.testing.assert_allclose(W @ (kept * a), ((1 - p) * W) @ (kept * a / (1 - p)))  # training
    np.testing.assert_allclose(W @ ((1 - p) * a), ((1 - p) * W) @ a)  # application


def test_without_softmax_one_pass_is_the_arithmetic_mean(rng):
    a, W, b = rng.standard_normal(6), rng.standard_normal((3, 6)), rng.standard_normal(3)
    masks, weights = d.all_masks(6, 0.5)
    np.testing.assert_allclose(weights @ ((masks * a) @ W.T + b), W @ a + b, atol=1e-12)


def test_a_dropped_unit_gets_no_gradient_in_or_out():
    torch.manual_seed(0)
    first, second = torch.nn.Linear(4, 6), torch.nn.Linear(6, 3)
    out = F.dropout(torch.tanh(first(torch.randn(1, 4))), 0.5)
    second(out).square().sum().backward()
    dropped = (out == 0)[0]
    assert 0 < dropped.sum() < 6
    assert torch.all(second.weight.grad[:, dropped] == 0)
    assert torch.all(first.weight.grad[dropped] == 0)
    assert torch.all(second.weight.grad[:, ~dropped] != 0)


def test_optimizers_move_weights_without_a_gradient():
    w = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.AdamW([w], lr=0.1, weight_decay=0.0)
    for gradient in (1.0, 0.0):
        before = w.item()
        w.grad = torch.full((1,), gradient)
        optimizer.step()
        assert w.item() < before


def test_dropout_minimises_the_expected_loss_and_not_that_of_the_whole_network(rng):
    """Mean gradient over all masks is the gradient of the mean loss; the gradient without masks is another."""
    x, w, y, p = rng.standard_normal(5), rng.standard_normal(5), 0.7, 0.5
    masks, weights = d.all_masks(5, p)
    residual = (masks * x) @ w - y
    mean_gradient = weights @ (2 * residual[:, None] * masks * x)
    expected_loss_gradient = 2 * (x @ w - y) * x + 2 * p / (1 - p) * w * x**2
    np.testing.assert_allclose(mean_gradient, expected_loss_gradient, atol=1e-12)
    assert np.linalg.norm(mean_gradient - 2 * (x @ w - y) * x) > 0.1


# How it changes training


def mean_over_seeds(name, p):
    return float(getattr(tm_03.noisy(p), name)[-1].mean())


def test_from_overfitting_to_underfitting():
    accuracy = [mean_over_seeds("test_accuracy", p) for p in tm_03.PROBABILITIES]
    for p, claimed in ((0.0, 0.780), (0.5, 0.843), (0.8, 0.895), (0.95, 0.290)):
        assert accuracy[tm_03.PROBABILITIES.index(p)] == pytest.approx(claimed, abs=0.015 if p < 0.9 else 0.08)
    assert tm_03.PROBABILITIES[int(np.argmax(accuracy))] == 0.8
    train = [mean_over_seeds("train_loss", p) for p in tm_03.PROBABILITIES]
    assert np.all(np.diff(train) > 0)
    assert (train[0], train[-1]) == pytest.approx((0.02, 2.2), rel=0.25)
    test = [mean_over_seeds("test_loss", p) for p in tm_03.PROBABILITIES]
    assert 0 < np.argmin(test) < len(test) - 1
    at = tm_03.PROBABILITIES.index(0.8)
    assert (test[at], train[at]) == pytest.approx((0.51, 0.63), abs=0.04)
    memorised = [mean_over_seeds("memorised", p) for p in tm_03.PROBABILITIES]
    assert memorised[0] == 1.0
    assert memorised[tm_03.PROBABILITIES.index(0.8)] == pytest.approx(0.15, abs=0.05)


def test_dropout_slows_training_down_and_ends_lower():
    plain, masked = tm_03.trained_network(0.0), tm_03.trained_network(0.5)
    assert abs(np.flatnonzero(plain.test < 0.15)[0] + 1 - 9) <= 1
    assert abs(np.flatnonzero(masked.test < 0.15)[0] + 1 - 19) <= 2
    assert (plain.test[-1], masked.test[-1]) == pytest.approx((0.109, 0.080), abs=0.006)
    assert (plain.accuracy[-1], masked.accuracy[-1]) == pytest.approx((0.973, 0.978), abs=0.006)
    assert round((0.978 - 0.973) * 597) == 3
    assert plain.train[-1] < 0.0015
    assert masked.train[-1] > 2 * plain.train[-1]
    assert abs(np.flatnonzero(masked.masked < masked.test)[0] - 32) <= 3  # epochs in which the log lies higher
    assert np.all(masked.masked > masked.train)


def test_masks_make_the_gradient_noisier():
    (plain, signal), (masked, masked_signal) = tm_03.gradient_noise(False), tm_03.gradient_noise(True)
    assert masked / plain == pytest.approx(6.6, abs=0.7)
    assert (masked / masked_signal) / (plain / signal) == pytest.approx(12.4, abs=1.2)


def test_removing_half_of_the_units():
    half = list(tm_03.SHARES).index(0.5)
    trained_with, trained_without = (tm_03.accuracy_without_units(p).mean(1) for p in (0.5, 0.0))
    assert trained_with[half] == pytest.approx(0.945, abs=0.012)
    assert trained_without[half] == pytest.approx(0.783, abs=0.03)
    assert np.all(trained_with[1:] > trained_without[1:])


def test_removal_leaves_the_network_as_it_was():
    network = tm_03.trained_network(0.5).network
    tm_03.accuracy_without_units(0.5)
    assert (network.p, network.training) == (0.5, False)


def test_adaptive_l2_by_enumeration(rng):
    p, X, y, w = 0.3, rng.standard_normal((4, 6)), rng.standard_normal(4), rng.standard_normal(6)
    masks, weights = d.all_masks(6, p)
    expected = sum(weights @ ((masks * row) @ w - target) ** 2 for row, target in zip(X, y, strict=True))
    penalty = p / (1 - p) * np.sum(w**2 * np.sum(X**2, axis=0))
    assert expected == pytest.approx(np.sum((y - X @ w) ** 2) + penalty)


def test_loss_with_masks_bounds_the_loss_without(rng):
    masks, weights = d.all_masks(6, 0.5)
    for _ in range(20):
        a, W, b = 3 * rng.standard_normal(6), rng.standard_normal((4, 6)), rng.standard_normal(4)
        label = rng.integers(4)
        with_masks = -weights @ np.log(softmax((masks * a) @ W.T + b)[:, label])
        assert with_masks > -np.log(softmax(W @ a + b)[label])


# The ensemble


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_weight_scaling_is_the_geometric_mean_over_all_masks(p, rng):
    a, W, b = rng.standard_normal(6), rng.standard_normal((4, 6)), rng.standard_normal(4)
    masks, weights = d.all_masks(6, p)
    members = softmax((masks * a) @ W.T + b)
    whole = softmax(W @ a + b)
    assert np.abs(d.geometric_mean(members, weights) - whole).max() < 1e-14
    assert np.abs(weights @ members - whole).max() > 1e-3  # the arithmetic mean is another


def test_any_noise_of_mean_one_will_do(rng):
    """A noise of three values, none of them 0."""
    a, W, values, chances = rng.standard_normal(2), rng.standard_normal((3, 2)), [0.5, 1.0, 3.0], [0.6, 0.25, 0.15]
    assert np.dot(values, chances) == pytest.approx(1.0)
    factors = np.array([[u, v] for u in values for v in values])
    weights = np.array([u * v for u in chances for v in chances])
    members = softmax((factors * a) @ W.T)
    np.testing.assert_allclose(d.geometric_mean(members, weights), softmax(W @ a), atol=1e-14)


def test_relu_of_a_mean_is_at_most_the_mean_of_relu(rng):
    masks, weights = d.all_masks(6, 0.5)
    a, W = rng.standard_normal(6), rng.standard_normal((50, 6))
    z = (masks * a) @ W.T
    gap = weights @ np.maximum(z, 0) - np.maximum(W @ a, 0)
    assert gap.min() > -1e-12
    changes_sign = (z.min(axis=0) < 0) & (z.max(axis=0) > 0)
    assert np.all(gap[changes_sign] > 1e-9)
    np.testing.assert_allclose(gap[~changes_sign], 0, atol=1e-12)


def test_figure_of_subnetworks():
    last, below = tm_03.ensemble(2), tm_03.ensemble(1)
    assert np.abs(last.geometric - last.scaled).max() < 1e-13
    assert np.abs(below.geometric - below.scaled).max() == pytest.approx(0.095, abs=0.03)
    assert np.abs(below.geometric - below.scaled).mean() == pytest.approx(0.008, abs=0.002)
    assert np.abs(last.arithmetic - last.scaled).max() == pytest.approx(0.22, abs=0.04)
    assert np.abs(below.arithmetic - below.scaled).max() == pytest.approx(0.39, abs=0.07)
    # «осторожнее»: the largest probability is smaller in the arithmetic mean
    assert np.mean(last.arithmetic.max(1) < last.scaled.max(1)) > 0.95
    assert len(d.all_masks(tm_03.UNITS, 0.5)[0]) == 4096


# Batch normalization


@pytest.mark.parametrize(("p", "predicted", "simulated"), [(0.1, 0.86, 0.86), (0.5, 0.41, 0.40)])
def test_variance_shift(p, predicted, simulated):
    measured, formula = tm_03.variance_shift(p)
    assert round(formula, 2) == predicted
    assert round(measured, 2) == pytest.approx(simulated, abs=0.011)
    assert measured == pytest.approx(formula, rel=0.02)


def test_moments_of_relu_of_a_normal(rng):
    a = np.maximum(rng.standard_normal(2_000_000), 0)
    assert np.mean(a**2) == pytest.approx(0.5, abs=0.003)
    assert a.var() == pytest.approx(0.5 * (1 - 1 / math.pi), abs=0.003)


def test_total_variance_with_masks(rng):
    p = 0.4
    a = rng.standard_normal((400_000, 5)) @ rng.standard_normal((5, 5)) + 1.0
    w = rng.standard_normal(5)
    masked, _ = d.dropout(a, p, rng)
    assert (masked @ w).var() == pytest.approx((a @ w).var() + p / (1 - p) * np.sum(w**2 * np.mean(a**2, 0)), rel=0.02)


def test_batch_norm_after_dropout_shrinks_its_output_at_test_time():
    torch.manual_seed(0)
    layers = torch.nn.Sequential(
        torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(256, 256), torch.nn.BatchNorm1d(256, momentum=None)
    )
    with torch.no_grad():
        for _ in range(30):
            layers(torch.randn(512, 256))
        layers.eval()
        assert layers(torch.randn(4096, 256)).var(0).mean().item() == pytest.approx(0.41, abs=0.03)


# Recurrent networks


def test_memory_under_a_new_mask_at_every_step(rng):
    p, steps = 0.5, 10
    assert (1 - p) ** steps == pytest.approx(0.001, rel=0.03)
    assert (1 - p) ** -steps - 1 == 1023
    p, steps = 0.2, 5
    products = np.prod((rng.random((400_000, steps)) >= p) / (1 - p), axis=1)
    assert products.mean() == pytest.approx(1, abs=0.01)
    assert np.mean(products**2) == pytest.approx((1 - p) ** -steps, rel=0.02)
    assert np.mean(products > 0) == pytest.approx((1 - p) ** steps, rel=0.01)


# MC dropout


def test_rotated_digit():
    result = tm_03.rotation()
    thirty, ninety = list(tm_03.ANGLES).index(30), list(tm_03.ANGLES).index(90)
    assert result.total[thirty] == pytest.approx(1.40, abs=0.1)
    assert round(math.log(10), 2) == 2.30
    assert result.answer[ninety] == 4
    assert result.probability[ninety] == pytest.approx(0.98, abs=0.015)
    assert result.total[ninety] == pytest.approx(0.10, abs=0.05)
    assert (result.answer[0], result.answer[-1]) == (1, 1)
    assert np.all(result.mutual >= 0)
    assert np.all(result.mutual <= result.total)


@cache
def passes():
    return tm_03.random_passes(digits(tm_03.TRAIN).X_test, 100)


def area_under_roc(wrong, score):
    return np.mean(score[wrong][:, None] > score[~wrong][None]) + np.mean(score[wrong][:, None] == score[~wrong]) / 2


def test_random_passes_are_no_better_than_one_on_clean_data():
    data, network = digits(tm_03.TRAIN), tm_03.trained_network(0.5).network
    mean, whole = passes().mean(axis=0), softmax(network.forward(data.X_test))
    assert np.mean(mean.argmax(1) == data.y_test) == pytest.approx(0.970, abs=0.007)
    assert np.mean(whole.argmax(1) == data.y_test) == pytest.approx(0.978, abs=0.006)
    errors = np.sum(mean.argmax(1) != data.y_test), np.sum(whole.argmax(1) != data.y_test)
    assert errors == pytest.approx((18, 13), abs=3)
    total, _, _ = d.uncertainty(passes())
    by_entropy = area_under_roc(mean.argmax(1) != data.y_test, total)
    by_confidence = area_under_roc(whole.argmax(1) != data.y_test, 1 - whole.max(1))
    assert (by_entropy, by_confidence) == pytest.approx((0.95, 0.95), abs=0.02)


def test_spread_of_a_linear_prediction_does_not_fade_with_data(rng):
    w, x, p = rng.standard_normal(6), rng.standard_normal(6), 0.3
    masks, weights = d.all_masks(6, p)
    answers = (masks * x) @ w
    spread = weights @ (answers - weights @ answers) ** 2
    assert spread == pytest.approx(p / (1 - p) * np.sum(w**2 * x**2))


# PyTorch


def test_evaluation_is_the_identity_and_training_is_not():
    layer, x = torch.nn.Dropout(0.5), torch.ones(1000)
    with torch.no_grad():  # does not switch dropout off
        assert not torch.equal(layer(x), x)
        layer.eval()
        assert torch.equal(layer(x), x)
    leaf = torch.ones(3, requires_grad=True)
    layer(leaf).sum().backward()  # evaluation mode does not switch gradients off
    assert torch.equal(leaf.grad, torch.ones(3))


def test_p_is_the_probability_to_drop():
    torch.manual_seed(0)
    assert (torch.nn.Dropout(0.1)(torch.ones(100_000)) == 0).double().mean().item() == pytest.approx(0.1, abs=0.005)


def test_p_of_one_gives_zeros_and_no_gradient():
    leaf = torch.ones(5, requires_grad=True)
    out = torch.nn.Dropout(1.0)(leaf)
    out.sum().backward()
    assert torch.equal(out, torch.zeros(5))
    assert torch.equal(leaf.grad, torch.zeros(5))


def test_dropout2d_drops_whole_channels():
    torch.manual_seed(0)
    dropped = torch.nn.Dropout2d(0.5)(torch.ones(8, 16, 4, 4)) == 0
    assert torch.equal(dropped.all(dim=(2, 3)), dropped.any(dim=(2, 3)))
    assert 0 < dropped.double().mean() < 1


def test_functional_dropout_is_on_by_default():
    torch.manual_seed(0)
    assert not torch.equal(F.dropout(torch.ones(1000), 0.5), torch.ones(1000))
    assert torch.equal(F.dropout(torch.ones(1000), 0.5, training=False), torch.ones(1000))


def test_attention_function_drops_whatever_the_mode():
    torch.manual_seed(0)
    q = torch.randn(1, 1, 8, 4)
    first, second = (F.scaled_dot_product_attention(q, q, q, dropout_p=0.5) for _ in range(2))
    assert not torch.equal(first, second)


def test_lstm_dropout_is_between_layers_only():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        single = torch.nn.LSTM(3, 4, num_layers=1, dropout=0.5)
    assert any("non-zero dropout" in str(w.message) or "dropout option" in str(w.message) for w in caught)
    x = torch.randn(6, 2, 3)
    assert torch.equal(single(x)[0], single(x)[0])
    double = torch.nn.LSTM(3, 4, num_layers=2, dropout=0.5)
    assert not torch.equal(double(x)[0], double(x)[0])


def test_monte_carlo_mode_leaves_batch_norm_alone():
    network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5)).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.train()
    before = network[1].running_mean.clone()
    x = torch.randn(16, 4)
    assert not torch.equal(network(x), network(x))
    assert torch.equal(network[1].running_mean, before)


def test_checkpoint_repeats_the_mask():
    from torch.utils.checkpoint import checkpoint

    x = torch.ones(1000, requires_grad=True)
    out = checkpoint(torch.nn.Dropout(0.5), x, use_reentrant=False)
    out.sum().backward()
    assert torch.equal(out.detach(), x.grad)


# Traps and follow-ups


def test_number_of_survivors(rng):
    assert math.sqrt(256 * 0.5 * 0.5) == 8.0
    kept = (rng.random((20_000, 256)) >= 0.5).sum(axis=1)
    assert (kept.mean(), kept.std()) == pytest.approx((128, 8), abs=0.2)


def test_one_half_makes_all_masks_equally_likely():
    for p in (0.3, 0.5, 0.8):
        _, weights = d.all_masks(6, p)
        assert d.entropy(weights) <= 6 * math.log(2) + 1e-12
        assert (weights.std() < 1e-15) == (p == 0.5)
    assert d.entropy(d.all_masks(6, 0.5)[1]) == pytest.approx(6 * math.log(2))


def test_strength_without_the_division_is_the_same_family(rng):
    """p(1-p) w² becomes p/(1-p) w² once w is replaced by w/(1-p), and the fit becomes that of inverted dropout."""
    p, x, w = 0.3, rng.standard_normal(6), rng.standard_normal(6)
    masks, weights = d.all_masks(6, p)
    answers = ((masks > 0) * x) @ w  # not divided
    assert weights @ answers == pytest.approx((1 - p) * (w @ x))
    spread = weights @ (answers - weights @ answers) ** 2
    assert spread == pytest.approx(p * (1 - p) * np.sum(w**2 * x**2))
    rescaled = (masks > 0) * x @ (w / (1 - p))
    assert weights @ (rescaled - w @ x) ** 2 == pytest.approx(p / (1 - p) * np.sum(w**2 * x**2))


def test_relu_commutes_with_the_mask_and_the_sigmoid_does_not(rng):
    z = rng.standard_normal(200)
    masked, mask = d.dropout(z, 0.5, rng)
    np.testing.assert_allclose(np.maximum(masked, 0), mask * np.maximum(z, 0))
    assert 1 / (1 + np.exp(-masked[mask == 0][0])) == 0.5


def test_second_moment_grows_layer_by_layer(rng):
    assert 2**10 == 1024
    assert math.sqrt(1024) == 32
    p, width, a = 0.5, 512, np.abs(rng.standard_normal((64, 512)))
    for factor in (1.0, 1 - p):  # He, and He for training with dropout
        x, start = a, np.mean(a**2)
        for _ in range(4):
            x, _ = d.dropout(x, p, rng)
            x = np.maximum(x @ (factor**0.5 * initialization.he_normal(width, width, rng)).T, 0)
        assert np.mean(x**2) / start == pytest.approx((factor / (1 - p)) ** 4, rel=0.25)


def test_dropconnect_has_the_same_variances_and_no_covariances(rng):
    p, a, W = 0.3, rng.standard_normal(3), rng.standard_normal((2, 3))
    masks, weights = d.all_masks(6, p)
    z = (masks.reshape(-1, 2, 3) * W) @ a
    mean = weights @ z
    covariance = (z - mean).T @ ((z - mean) * weights[:, None])
    np.testing.assert_allclose(np.diag(covariance), p / (1 - p) * (W**2 @ a**2))
    assert covariance[0, 1] == pytest.approx(0, abs=1e-12)


def test_dividing_by_the_share_of_survivors():
    p, n = 0.4, 6
    masks, weights = d.all_masks(n, p)
    kept = masks > 0
    share = kept.mean(axis=1, keepdims=True)
    scaled = np.divide(kept, share, out=np.zeros(kept.shape), where=share > 0)
    np.testing.assert_allclose(weights @ scaled, np.full(n, 1 - p**n))


def test_dropped_attention_rows_no_longer_sum_to_one(rng):
    rows = softmax(rng.standard_normal((20_000, 5)))
    dropped, _ = d.dropout(rows, 0.1, rng)
    sums = dropped.sum(axis=1)
    assert sums.mean() == pytest.approx(1, abs=0.005)
    assert sums.max() > 1.1
    assert sums.min() < 0.9


def test_alpha_dropout_keeps_both_moments_and_ordinary_does_not():
    torch.manual_seed(0)
    a, p = torch.randn(400_000, dtype=torch.float64), 0.2
    assert F.dropout(a, p).var().item() == pytest.approx(1 / (1 - p), rel=0.02)
    kept = F.alpha_dropout(a, p, training=True)
    assert (kept.mean().item(), kept.var().item()) == pytest.approx((0, 1), abs=0.01)
    assert round(F.selu(torch.tensor(-50.0)).item(), 3) == -1.758
