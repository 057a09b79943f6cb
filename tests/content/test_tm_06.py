"""Every number and every claim of tm-06 that can be computed is computed here."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import normalization as norm
from scripts.dl.initialization import he_normal
from scripts.figures import tm_06


def projector(*directions):
    """The projector orthogonal to the given orthogonal directions."""
    n = len(directions[0])
    return np.eye(n) - sum(np.outer(v, v) / (v @ v) for v in directions)


# Drawbacks


@pytest.mark.parametrize(("m", "printed"), [(2, 1.41), (128, 0.13)])
def test_relative_deviation_of_the_variance(m, printed):
    assert round(math.sqrt(2 / (m - 1)), 2) == printed
    x = np.random.default_rng(0).standard_normal((100_000, m))
    estimates = x.var(axis=1, ddof=1)
    assert estimates.std() / estimates.mean() == pytest.approx(math.sqrt(2 / (m - 1)), rel=0.03)


def test_two_objects_leave_only_a_comparison():
    x = np.random.default_rng(0).standard_normal((2, 50))
    y, _ = norm.batch_norm(x, np.ones(50), np.zeros(50))
    delta = (x[0] - x[1]) / 2
    np.testing.assert_allclose(y[0], delta / np.sqrt(delta**2 + norm.EPS), atol=1e-12)
    np.testing.assert_allclose(y[0], -y[1], atol=1e-12)
    assert np.median(np.abs(np.abs(y) - 1)) < 1e-4


def test_gradient_of_two_objects_is_zero_but_for_rare_spikes():
    assert round(1 / math.sqrt(norm.EPS)) == 316
    for gap in (0.0, 0.001, 1.0):
        _, saved = norm.batch_norm(np.array([[gap], [-gap]]), np.ones(1), np.zeros(1))
        x_bar, _, _ = norm.batch_norm_backward(np.array([[1.0], [0.0]]), saved)
        # x_1 moves the half-difference by a half
        assert 2 * x_bar[0, 0] == pytest.approx(norm.EPS / (gap**2 + norm.EPS) ** 1.5)
    gains = tm_06.two_object_gains()
    assert np.median(gains) == pytest.approx(0.0016, abs=0.0001)
    assert gains.mean() == pytest.approx(3.0, abs=0.05)
    np.testing.assert_array_equal(
        tm_06.Networks(tm_06.SIZES, "batch", he_normal, [0]).weights[0][0],
        he_normal(64, tm_06.PIXELS, np.random.default_rng(0)),
    )  # the first layer of the figure's network


def test_figure_batch_size():
    bn, gn = tm_06.errors("batch"), tm_06.errors("group")
    of = dict(zip(tm_06.BATCHES, range(len(tm_06.BATCHES)), strict=True))
    median = {name: np.median(run, axis=1) for name, run in (("bn", bn["running"]), ("exact", bn["exact"]))}
    median["gn"] = np.median(gn["running"], axis=1)
    assert median["bn"][of[2]] == pytest.approx(0.34, abs=0.06)
    assert median["exact"][of[2]] == pytest.approx(0.28, abs=0.06)
    assert median["gn"][of[2]] == pytest.approx(0.04, abs=0.01)
    assert median["bn"][of[4]] > median["gn"][of[4]]
    for batch in (8, 16, 32, 64, 128):
        assert median["bn"][of[batch]] <= median["gn"][of[batch]] + 0.005
        assert median["bn"][of[batch]] == pytest.approx(0.03, abs=0.012)
    assert all(median["gn"][of[batch]] == pytest.approx(0.04, abs=0.012) for batch in (2, 4, 8, 16, 32, 64))
    assert median["gn"][of[128]] > 0.06
    assert 1200 // 128 * tm_06.EPOCHS == 54
    longer = tm_06.accuracies(tm_06.trained("group", 128, epochs=12))
    assert 1 - np.median(longer) == pytest.approx(0.04, abs=0.012)


def test_figure_neighbours():
    shares = dict(zip(tm_06.COMPANIES, tm_06.changed_answers(), strict=True))
    for size, printed in ((2, 0.50), (4, 0.24), (8, 0.11), (16, 0.05), (32, 0.03), (64, 0.02)):
        assert shares[size] == pytest.approx(printed, abs=0.03)
    own = tm_06.alone()[tm_06.hero(), tm_06.digits().y_test[tm_06.hero()]]
    assert own == pytest.approx(0.9, abs=0.005)
    assert np.ptp(tm_06.meetings(2)) > 0.6
    assert np.ptp(tm_06.meetings(64)) < 0.5


def test_losses_of_other_objects_reach_an_input_only_through_bn():
    rng = np.random.default_rng(0)
    for normalize, expected in (
        (lambda x: F.batch_norm(x, None, None, training=True), True),
        (lambda x: F.layer_norm(x, (5,)), False),
    ):
        x = torch.tensor(rng.standard_normal((4, 5)), requires_grad=True)
        (normalize(x)[0] ** 3).sum().backward()
        assert bool(x.grad[1:].abs().max() > 1e-6) is expected


def test_statistics_over_time_show_the_future():
    x = np.random.default_rng(0).standard_normal((2, 6, 4))  # B, T, d
    changed = x.copy()
    changed[:, -1] += 1.0
    by_feature = [norm.standardize(v, (0, 1))[0] for v in (x, changed)]
    by_token = [norm.standardize(v, (2,))[0] for v in (x, changed)]
    assert np.abs(by_feature[0][:, 0] - by_feature[1][:, 0]).max() > 0.01
    np.testing.assert_array_equal(by_token[0][:, 0], by_token[1][:, 0])


def test_groups_and_instances_of_a_sequence_show_the_future_too():
    x = np.random.default_rng(0).standard_normal((2, 6, 8))  # B, C, T
    changed = x.copy()
    changed[:, :, -1] += 1.0
    for normalize in (
        lambda v: norm.group_norm(v, 2, np.ones(6), np.zeros(6))[0],
        lambda v: norm.instance_norm(v, np.ones(6), np.zeros(6))[0],
    ):
        assert np.abs(normalize(x)[:, :, 0] - normalize(changed)[:, :, 0]).max() > 0.01


def test_accumulating_gradients_does_not_enlarge_the_batch_of_bn():
    rng = np.random.default_rng(0)
    X, target = torch.tensor(rng.standard_normal((8, 5))), torch.tensor(rng.standard_normal((8, 3)))
    initial = rng.standard_normal((3, 5))

    def gradient(parts, normalize):
        W = torch.tensor(initial, requires_grad=True)
        for rows, goal in zip(X.chunk(parts), target.chunk(parts), strict=True):
            (((normalize(rows @ W.T)) - goal) ** 2).mean().div(parts).backward()
        return W.grad.numpy()

    def batch(z):
        return F.batch_norm(z, None, None, training=True)

    def layer(z):
        return F.layer_norm(z, (3,))

    np.testing.assert_allclose(gradient(4, layer), gradient(1, layer), atol=1e-13)
    assert np.abs(gradient(4, batch) - gradient(1, batch)).max() > 0.01


def test_checkpointing_updates_running_statistics_twice():
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    layer = torch.nn.BatchNorm1d(3)
    torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False).sum().backward()
    assert layer.num_batches_tracked.item() == 2


# Alternatives


def test_figure_axes_and_the_sizes_of_the_statistics():
    supports = tm_06.supports()
    B, C, H, W = tm_06.SHAPE
    sizes = {"BN": B * H * W, "LN": C * H * W, "IN": H * W, "GN": C * H * W // 2, "LN, токены": 5, "BN, токены": 24}
    assert {name: int(mask.sum()) for name, mask in supports.items()} == sizes
    chosen = tm_06.CHOSEN
    assert supports["BN"][:, chosen[1]].all()
    assert supports["LN"][chosen[0]].all()
    assert supports["IN"][chosen[0], chosen[1]].all()
    assert supports["GN"][chosen[0], :3].all()


def test_sizes_of_the_table():
    B, C, H, W, G, T, d = 32, 256, 14, 14, 32, 512, 768
    assert (B * H * W, C) == (6272, 256)
    assert (C * H * W, B) == (50_176, 32)
    assert (H * W, B * C) == (196, 8192)
    assert (C * H * W // G, B * G) == (1568, 1024)
    assert (d, B * T) == (768, 16_384)


def test_group_norm_reaches_from_layer_to_instance_norm():
    rng = np.random.default_rng(0)
    x, gamma, beta = rng.standard_normal((3, 6, 4, 5)), rng.standard_normal(6), rng.standard_normal(6)
    one, _ = norm.group_norm(x, 1, gamma, beta)
    whole = (np.broadcast_to(v[:, None, None], (6, 4, 5)) for v in (gamma, beta))
    np.testing.assert_allclose(one, norm.layer_norm(x, *whole)[0], atol=1e-12)
    each, _ = norm.group_norm(x, 6, gamma, beta)
    np.testing.assert_allclose(each, norm.instance_norm(x, gamma, beta)[0], atol=1e-12)


def test_layer_norm_gradient_has_the_gain_under_the_projector():
    rng = np.random.default_rng(0)
    x, gamma, bar = rng.standard_normal((1, 7)), rng.standard_normal(7), rng.standard_normal((1, 7))
    _, saved = norm.layer_norm(x, gamma, np.zeros(7), eps=0.0)
    x_bar = norm.layer_norm_backward(bar, saved)[0][0]
    P = projector(np.ones(7), saved.x_hat[0])
    np.testing.assert_allclose(x_bar, saved.inverse.item() * P @ (gamma * bar[0]), atol=1e-13)
    late = saved.inverse.item() * gamma * (P @ bar[0])
    assert np.abs(late - x_bar).max() > 0.1


def test_rms_norm_gradient_projects_one_direction_away():
    rng = np.random.default_rng(0)
    x, gamma, bar = rng.standard_normal((1, 7)), rng.standard_normal(7), rng.standard_normal((1, 7))
    _, saved = norm.rms_norm(x, gamma, eps=0.0)
    x_bar, _ = norm.rms_norm_backward(bar, saved)
    rho = math.sqrt(np.mean(x**2))
    np.testing.assert_allclose(x_bar[0], projector(x[0]) @ (gamma * bar[0]) / rho, atol=1e-13)
    assert x_bar[0] @ x[0] == pytest.approx(0, abs=1e-13)
    assert abs(x_bar.sum()) > 0.01


def test_layer_norm_is_rms_norm_of_the_centred_token():
    x, gamma = np.random.default_rng(0).standard_normal((4, 7)) + 2, np.ones(7)
    centred = x - x.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(norm.layer_norm(x, gamma, np.zeros(7))[0], norm.rms_norm(centred, gamma)[0], atol=1e-12)
    shifted = norm.rms_norm(x + 1.0, gamma)[0]
    assert np.abs(shifted - norm.rms_norm(x, gamma)[0]).max() > 0.01


def test_weight_norm_gradient():
    rng = np.random.default_rng(0)
    V, g, bar = rng.standard_normal((3, 5)), rng.uniform(0.5, 2, 3), rng.standard_normal((3, 5))
    V_bar, g_bar = norm.weight_norm_backward(bar, V, g)
    for v, scale, row, v_bar, one in zip(V, g, bar, V_bar, g_bar, strict=True):
        length = np.linalg.norm(v)
        np.testing.assert_allclose(v_bar, scale / length * projector(v) @ row, atol=1e-13)
        assert one == pytest.approx(v @ row / length)
        assert v @ v_bar == pytest.approx(0, abs=1e-13)
    stepped = V - 0.1 * V_bar
    assert np.all(np.linalg.norm(stepped, axis=1) > np.linalg.norm(V, axis=1))


def test_what_batch_and_layer_norm_are_invariant_to():
    rng = np.random.default_rng(0)
    X, W = rng.standard_normal((6, 5)), rng.standard_normal((4, 5))
    rows, objects = np.array([1.0, 2.0, 5.0, 0.3]), np.array([1.0, 3.0, 0.2, 7.0, 1.0, 2.0])

    def batch(X, W):
        return norm.standardize(X @ W.T, (0,), 0.0)[0]

    def layer(X, W):
        return norm.standardize(X @ W.T, (1,), 0.0)[0]

    np.testing.assert_allclose(batch(X, rows[:, None] * W), batch(X, W), atol=1e-12)
    np.testing.assert_allclose(layer(objects[:, None] * X, 4 * W), layer(X, W), atol=1e-12)
    assert np.abs(layer(X, rows[:, None] * W) - layer(X, W)).max() > 0.1
    assert np.abs(batch(objects[:, None] * X, W) - batch(X, W)).max() > 0.1


def test_single_number_normalisations_erase_everything():
    x = np.random.default_rng(0).standard_normal((4, 6, 1, 1))
    beta = np.arange(6.0)
    for y in (norm.instance_norm(x, np.ones(6), beta)[0], norm.group_norm(x, 6, np.ones(6), beta)[0]):
        np.testing.assert_allclose(y[:, :, 0, 0], np.tile(beta, (4, 1)), atol=1e-12)
    assert np.abs(norm.group_norm(x, 2, np.ones(6), beta)[0][:, :, 0, 0] - beta).max() > 0.1


def test_torch_refuses_single_numbers_but_not_in_layer_norm():
    for refused in (
        lambda: F.instance_norm(torch.ones(2, 3, 1, 1)),
        lambda: F.batch_norm(torch.ones(1, 3, 1, 1), None, None, training=True),
    ):
        with pytest.raises(ValueError, match="more than 1"):
            refused()
    bias = torch.tensor([0.7])
    assert F.layer_norm(torch.randn(4, 1), (1,), torch.ones(1), bias).eq(bias).all()


def test_defaults_of_torch():
    assert torch.nn.InstanceNorm2d(6).weight is None
    assert torch.nn.LayerNorm([6, 2, 2]).weight.shape == (6, 2, 2)
    assert torch.nn.GroupNorm(2, 6).weight.shape == (6,)
    layer = torch.nn.RMSNorm(6)
    assert layer.eps is None
    assert not hasattr(layer, "bias")
    assert torch.nn.LayerNorm(6).eps == 1e-5
    x = torch.full((1, 6), 1e-4)
    expected = x / torch.sqrt((x**2).mean() + torch.finfo(x.dtype).eps)
    torch.testing.assert_close(layer(x), expected)
    for kind in (torch.nn.LayerNorm(6), torch.nn.GroupNorm(2, 6), layer):
        assert not list(kind.buffers())


def test_selu_keeps_the_standard_normal():
    """The fixed point: mean 0 and variance 1 with weights of variance 1 / d."""
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.standard_normal((500, 400)))
    for _ in range(20):
        x = torch.selu(x @ torch.tensor(rng.standard_normal((400, 400)) / 20).T)
    assert x.mean().item() == pytest.approx(0, abs=0.05)
    assert x.var().item() == pytest.approx(1, abs=0.1)


# Repairs


def test_square_of_the_mean_eats_the_digits_of_the_variance():
    x = (1000 + np.random.default_rng(0).standard_normal(1024)).astype(np.float32)
    careless = np.mean(x**2, dtype=np.float32) - np.mean(x, dtype=np.float32) ** 2
    assert abs(x.var() / x.astype(float).var() - 1) < 1e-3
    assert abs(careless / x.astype(float).var() - 1) > 1e-2


def test_sums_are_enough_to_synchronise():
    x = np.random.default_rng(0).standard_normal((12, 3)) + 2
    parts = np.split(x, 3)
    n = sum(len(part) for part in parts)
    first, second = sum(part.sum(axis=0) for part in parts), sum((part**2).sum(axis=0) for part in parts)
    np.testing.assert_allclose(first / n, x.mean(axis=0))
    np.testing.assert_allclose(second / n - (first / n) ** 2, x.var(axis=0))
    separate = np.concatenate([norm.standardize(part, (0,))[0] for part in parts])
    assert np.abs(separate - norm.standardize(x, (0,))[0]).max() > 0.1


def test_batch_renorm_is_inference_unless_clipped():
    rng = np.random.default_rng(0)
    x, mean, variance = rng.standard_normal((5, 3)), rng.standard_normal(3), rng.uniform(0.5, 2, 3)
    free = norm.batch_renorm(x, np.ones(3), np.zeros(3), mean, variance, np.inf, np.inf)
    np.testing.assert_allclose(free, (x - mean) / np.sqrt(variance + norm.EPS), atol=1e-12)
    plain = norm.batch_renorm(x, np.ones(3), np.zeros(3), mean, variance, 1.0, 0.0)
    np.testing.assert_allclose(plain, norm.batch_norm(x, np.ones(3), np.zeros(3))[0], atol=1e-12)


def test_difference_of_the_paper_of_group_norm():
    assert round(34.7 - 24.1, 1) == 10.6


def test_dyt_is_not_invariant_to_scale():
    x, gamma = np.random.default_rng(0).standard_normal((3, 6)), np.ones(6)
    assert (
        np.abs(norm.dynamic_tanh(5 * x, 0.5, gamma, 0 * gamma) - norm.dynamic_tanh(x, 0.5, gamma, 0 * gamma)).max()
        > 0.3
    )
    np.testing.assert_allclose(norm.rms_norm(5 * x, gamma, eps=0.0)[0], norm.rms_norm(x, gamma, eps=0.0)[0], atol=1e-12)
    small = norm.dynamic_tanh(1e-3 * x, 0.5, gamma, 0 * gamma)
    np.testing.assert_allclose(small, 0.5e-3 * x, rtol=1e-4)
