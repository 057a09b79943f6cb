"""Every number and every claim of tm-02 that can be computed is computed here."""

import math

import numpy as np
import pytest
import torch

from scripts.dl import clipping, initialization
from scripts.dl.activations import SIGMOID, TANH
from scripts.figures import tm_02

CROSSED = tm_02.DEPTH - 1  # matrices between a^30 and a^1
QUADRATURE = np.polynomial.hermite_e.hermegauss(201)


def ratio(name):
    """Median over the seeds of the norm of the gradient in A^1 relative to that in A^30."""
    return float(np.median(tm_02.relative_norms(name)[:, 0]))


def to_digits(value, digits=2):
    """The number as the page prints it."""
    return float(f"{value:.{digits - 1}e}")


def gaussian_mean(f):
    """The mean of f(x) over x from N(0, 1), by quadrature."""
    nodes, weights = QUADRATURE
    return float(weights @ f(nodes) / weights.sum())


def cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


# The product of Jacobians


def test_gradient_is_the_transposed_product_of_jacobians_and_obeys_its_bound():
    rng = np.random.default_rng(0)
    widths = [5, 7, 4, 6]
    weights = [initialization.he_normal(o, i, rng) for i, o in zip(widths[:-1], widths[1:], strict=True)]
    a = torch.tensor(rng.standard_normal(widths[0]), requires_grad=True)
    z, activation = [], a
    for W in weights:
        z.append(torch.tensor(W) @ activation)
        activation = torch.tanh(z[-1])
    top = rng.standard_normal(widths[-1])
    (activation @ torch.tensor(top)).backward()

    slopes = [TANH.derivative(v.detach().numpy()) for v in z]
    product, bound = np.eye(widths[0]), np.linalg.norm(top)
    for W, slope in zip(weights, slopes, strict=True):
        product = np.diag(slope) @ W @ product
        bound *= np.linalg.norm(W, 2) * np.abs(slope).max()
    np.testing.assert_allclose(product.T @ top, a.grad.numpy(), rtol=0, atol=1e-14)
    assert np.linalg.norm(a.grad.numpy()) <= bound


def test_largest_slopes():
    z = np.linspace(-40, 40, 80_001)
    assert SIGMOID.derivative(z).max() == 0.25
    assert TANH.derivative(z).max() == 1.0
    assert SIGMOID.derivative(z)[0] < 1e-15
    assert to_digits(4**10, 1) == 1e6


def test_powers_named_in_the_text():
    assert round(0.9**30, 2) == 0.04
    assert round(1.1**30) == 17


def test_gaussian_matrix_has_norm_two_but_keeps_the_mean_square():
    W = initialization.xavier_normal(256, 256, np.random.default_rng(0))
    singular = np.linalg.svd(W, compute_uv=False)
    assert singular[0] == pytest.approx(2.0, abs=0.06)
    assert np.mean(singular**2) == pytest.approx(1.0, abs=0.01)


# Variance


@pytest.mark.parametrize(("slope", "half"), [(0.0, 0.5), (0.1, 0.505), (1.0, 1.0)])
def test_second_moment_behind_leaky_relu(slope, half):
    """Of the activation and of the derivative alike: (1 + slope²) / 2."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal(1_000_000)
    assert np.mean(np.where(z > 0, z, slope * z) ** 2) == pytest.approx(half, abs=0.005)
    assert np.mean(np.where(z > 0, 1.0, slope) ** 2) == pytest.approx(half, abs=0.005)


def test_forward_variance_needs_no_independence_of_activations():
    """Fully correlated inputs: the second moment of z is still d Var W E[a²]."""
    rng = np.random.default_rng(0)
    a = np.full(50, 3.0)
    z = np.array([initialization.normal(0.2)(1, 50, rng) @ a for _ in range(20_000)])
    assert z.var() == pytest.approx(50 * 0.04 * 9.0, rel=0.03)


def test_moments_named_with_the_uniform_recipes():
    bound = math.sqrt(6 / (30 + 50))
    assert bound**2 / 3 == pytest.approx(2 / (30 + 50))
    rng = np.random.default_rng(0)
    assert initialization.linear_default(400, 300, rng).var() == pytest.approx(1 / (3 * 300), rel=0.02)


def test_he_leaves_only_the_outer_widths_backwards():
    widths = [64, 200, 90, 333, 10]
    factors = [0.5 * d_out * 2 / d_in for d_in, d_out in zip(widths[:-1], widths[1:], strict=True)]
    assert math.prod(factors) == pytest.approx(widths[-1] / widths[0])


def test_xavier_is_the_harmonic_mean_of_the_two_wanted_variances():
    d_in, d_out = 30, 50
    assert 2 / (d_in + d_out) == pytest.approx(2 / (1 / (1 / d_in) + 1 / (1 / d_out)))


@pytest.mark.parametrize(
    ("name", "gain", "predicted", "measured"),
    [
        ("tanh-tiny", 0.16, 8.3e-24, 8.6e-24),
        ("tanh-default", 3**-0.5, 1.2e-7, 1.1e-7),
        ("relu-default", 6**-0.5, 5.2e-12, 5.3e-12),
        ("relu-xavier", 2**-0.5, 4.3e-5, 3.9e-5),
        ("relu-large", 2.0, 5.4e8, 5.5e8),
    ],
)
def test_table_of_gains(name, gain, predicted, measured):
    assert tm_02.NETWORKS[name].gain == pytest.approx(gain)
    assert to_digits(gain**CROSSED) == predicted
    assert to_digits(ratio(name)) == measured
    assert (measured / predicted) ** (1 / CROSSED) == pytest.approx(1, abs=0.005)


def test_he_keeps_the_gradient_on_average_and_how_far_seeds_scatter():
    ratios = tm_02.relative_norms("relu-he")[:, 0]
    assert np.median(ratios) == pytest.approx(0.995, abs=0.0005)
    assert np.median(ratios) ** (1 / CROSSED) == pytest.approx(1.0, abs=0.005)
    assert (ratios.min(), ratios.max()) == pytest.approx((0.61, 1.55), abs=0.005)
    assert round(tm_02.DEPTH / tm_02.HIDDEN, 2) == 0.12
    assert round(1000 / tm_02.HIDDEN) == 4


def test_networks_without_a_one_line_gain():
    assert to_digits(ratio("sigmoid-xavier")) == 6.5e-19
    assert ratio("sigmoid-xavier") < 0.25**CROSSED
    assert to_digits(0.25**CROSSED) == 3.5e-18
    assert to_digits(ratio("tanh-xavier"), 3) == 0.285
    assert round(1 / ratio("tanh-xavier"), 1) == 3.5
    assert round(ratio("tanh-large")) == 97
    assert round(ratio("tanh-large") ** (1 / CROSSED), 2) == 1.17


def test_gain_of_large_tanh_weights_is_that_of_mean_field_theory():
    variance = 1.0
    for _ in range(500):
        variance = 4 * gaussian_mean(lambda x, q=variance: np.tanh(math.sqrt(q) * x) ** 2)
    gain = 4 * gaussian_mean(lambda x: (1 - np.tanh(math.sqrt(variance) * x) ** 2) ** 2)
    assert math.sqrt(gain) == pytest.approx(ratio("tanh-large") ** (1 / CROSSED), abs=0.01)


def test_power_law_of_tanh_with_xavier():
    for small in (1e-3, 1e-2):
        spread = gaussian_mean(lambda x, v=small: np.tanh(math.sqrt(v) * x) ** 2)
        slope = gaussian_mean(lambda x, v=small: (1 - np.tanh(math.sqrt(v) * x) ** 2) ** 2)
        assert spread == pytest.approx(small - 2 * small**2, abs=10 * small**3)
        assert slope == pytest.approx(1 - 2 * small, abs=10 * small**2)
    variance = 0.4  # 64 inputs of mean square 1, Xavier: 64 · 2 / (64 + 256)
    for _ in range(10_000):
        variance = gaussian_mean(lambda x, v=variance: np.tanh(math.sqrt(v) * x) ** 2)
    assert variance == pytest.approx(1 / (2 * 10_000), rel=0.01)
    assert round(1 / math.sqrt(tm_02.DEPTH), 2) == 0.18


def test_spectra_of_the_figure():
    he, tanh = tm_02.jacobian_spectrum("relu-he"), tm_02.jacobian_spectrum("tanh-orthogonal")
    assert math.sqrt(np.mean(he**2)) == pytest.approx(0.97, abs=0.005)
    assert np.sum(he[:10] ** 2) / np.sum(he**2) == pytest.approx(0.96, abs=0.005)
    assert len(he) == 256
    assert np.sum(he < 1e-12) == 147
    assert (tanh.min(), tanh.max()) == pytest.approx((0.02, 0.52), abs=0.005)
    # What the alternative text says of the other lines.
    assert np.sum(tm_02.jacobian_spectrum("tanh-xavier") > 1e-12) == pytest.approx(210, abs=5)
    for name in ("relu-he", "relu-orthogonal"):
        assert np.sum(tm_02.jacobian_spectrum(name) > 1e-12) == pytest.approx(110, abs=6)


# Recurrent networks


def test_powers_of_the_shear():
    W = tm_02.shear()
    for n in (1, 5, 20):
        power = np.array([[0.9**n, 5 * n * 0.9 ** (n - 1)], [0, 0.9**n]])
        np.testing.assert_allclose(np.linalg.matrix_power(W, n), power, rtol=1e-12)
    norms = tm_02.power_norms("shear")
    assert np.abs(np.linalg.eigvals(W)) == pytest.approx([0.9, 0.9])
    assert norms.argmax() == 9
    assert round(norms.max(), 1) == 19.4
    assert np.flatnonzero(norms[1:] < 1)[0] + 1 == 55


def test_powers_of_the_other_matrices():
    for name, factor in (("grows", 1.05), ("keeps", 1.0), ("decays", 0.95)):
        np.testing.assert_allclose(tm_02.power_norms(name), factor ** np.arange(tm_02.STEPS + 1), rtol=1e-9)
    gaussian = tm_02.recurrent_matrices()["gaussian"]
    norms = tm_02.power_norms("gaussian")
    assert tm_02.spectral_radius(gaussian) == pytest.approx(0.95)
    assert (round(norms[1], 2), round(norms.max(), 2)) == (1.79, 2.37)
    assert norms[-1] < 1
    for matrix in tm_02.recurrent_matrices().values():
        assert tm_02.spectral_radius(matrix) <= np.linalg.norm(matrix, 2) + 1e-9


def test_roots_of_power_norms_tend_to_the_spectral_radius():
    W = tm_02.shear()
    roots = [np.linalg.norm(np.linalg.matrix_power(W, n), 2) ** (1 / n) for n in (10, 100, 1000)]
    assert roots[0] > roots[1] > roots[2] > 0.9
    assert roots[2] == pytest.approx(0.9, abs=0.01)


# Clipping


def test_cliff_gradient_is_right():
    w, b, h = *tm_02.START, 1e-6
    numeric = [
        (tm_02.cliff_loss(w + h, b) - tm_02.cliff_loss(w - h, b)) / (2 * h),
        (tm_02.cliff_loss(w, b + h) - tm_02.cliff_loss(w, b - h)) / (2 * h),
    ]
    assert tm_02.cliff_gradient(w, b) == pytest.approx(numeric, rel=1e-6)


def test_both_descents_go_together_until_the_cliff():
    free, clipped = tm_02.descent(None), tm_02.descent(tm_02.THRESHOLD)
    np.testing.assert_array_equal(free["points"][:17], clipped["points"][:17])
    assert free["norms"].argmax() + 1 == 17
    assert round(free["norms"].max()) == 92
    assert free["norms"][0] < 0.1  # a thousand times smaller at the start
    assert round(free["norms"].max() / tm_02.THRESHOLD) == 184  # «почти в 200 раз»


def test_unclipped_descent_is_thrown_onto_a_plateau():
    free = tm_02.descent(None)
    steps = np.linalg.norm(np.diff(free["points"], axis=0), axis=1)
    assert round(steps[16], 1) == 18.4
    assert np.max(np.abs(free["losses"][17:] - 0.09)) < 1e-6
    assert np.all(free["norms"][17:] < 1e-12)


def test_clipped_descent_survives():
    clipped = tm_02.descent(tm_02.THRESHOLD)
    steps = np.linalg.norm(np.diff(clipped["points"], axis=0), axis=1)
    assert steps.max() == pytest.approx(tm_02.RATE * tm_02.THRESHOLD)
    assert np.sum(clipped["losses"][17:100] > 0.1) > 5  # it hops over the cliff for long
    assert np.mean(clipped["losses"][100:] < 0.01) == pytest.approx(0.97, abs=0.02)


def test_clipping_by_norm_and_by_value_of_the_example():
    g = np.array([0.3, 4.0])
    assert g @ g == pytest.approx(16.09)
    (by_norm,), norm = clipping.clip_by_global_norm([g], 1.0)
    assert round(norm, 2) == 4.01
    assert np.round(by_norm, 3).tolist() == [0.075, 0.997]
    assert np.linalg.norm(by_norm) == pytest.approx(1.0)
    assert cosine(by_norm, g) == pytest.approx(1.0)
    (by_value,) = clipping.clip_by_value([g], 1.0)
    assert by_value.tolist() == [0.3, 1.0]
    assert round(cosine(by_value, g), 3) == 0.977
    assert round(math.degrees(math.acos(cosine(by_value, g))), 1) == 12.4


def test_value_clipping_of_everything_leaves_the_signs():
    g = np.random.default_rng(0).standard_normal(20)
    (clipped,) = clipping.clip_by_value([g], 1e-6)
    np.testing.assert_allclose(clipped / 1e-6, np.sign(g))


def test_clipping_each_tensor_alone_turns_the_gradient():
    g = [np.array([3.0]), np.array([0.4])]
    alone = np.concatenate([clipping.clip_by_global_norm([tensor], 1.0)[0][0] for tensor in g])
    assert cosine(alone, np.concatenate(g)) < 0.99


def test_bias_of_clipping_can_turn_the_step():
    values, probabilities = np.array([10.0, -0.5]), np.array([0.1, 0.9])
    assert probabilities @ values == pytest.approx(0.55)
    assert probabilities @ clipping.clip_by_value([values], 1.0)[0] == pytest.approx(-0.35)


def test_clipping_before_unscaling_is_stricter_by_the_scale():
    scale, g = 2.0**16, np.array([0.3, 0.4])
    (clipped,), _ = clipping.clip_by_global_norm([scale * g], 1.0)
    assert np.linalg.norm(clipped / scale) == pytest.approx(1 / scale)


def test_sum_of_clipped_is_not_the_clipped_sum():
    first, second = np.array([3.0, 0.0]), np.array([0.0, 0.5])
    (whole,), _ = clipping.clip_by_global_norm([first + second], 1.0)
    parts = sum(clipping.clip_by_global_norm([g], 1.0)[0][0] for g in (first, second))
    assert cosine(whole, parts) < 0.99


def test_torch_clipping_turns_infinity_into_nan_and_can_refuse():
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([float("inf"), 1.0])
    with pytest.raises(RuntimeError, match="non-finite"):
        torch.nn.utils.clip_grad_norm_([parameter], 1.0, error_if_nonfinite=True)
    torch.nn.utils.clip_grad_norm_([parameter], 1.0)
    assert torch.isnan(parameter.grad[0])


def test_adam_does_not_notice_a_constant_factor():
    trajectories = []
    for factor in (1.0, 100.0):
        x = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
        adam = torch.optim.Adam([x], lr=0.1)
        for _ in range(20):
            x.grad = factor * 2 * x.detach()
            adam.step()
        trajectories.append(x.detach().numpy().copy())
    np.testing.assert_allclose(*trajectories, rtol=1e-6)


def test_adam_barely_moves_below_its_epsilon():
    x = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    adam = torch.optim.Adam([x], lr=1.0)
    x.grad = torch.full_like(x, 1e-24)
    adam.step()
    assert abs(x.item()) < 1e-15


# Theory


def test_fourth_power_is_16_1_smooth():
    x = np.linspace(-10, 10, 200_001)
    excess = 12 * x**2 - 4 * np.abs(x) ** 3
    assert excess.max() == pytest.approx(16.0)
    assert abs(x[excess.argmax()]) == pytest.approx(2.0)


def test_clipped_descent_on_the_fourth_power():
    def step(x, c=math.inf):
        g = 4 * x**3
        return x - g * min(1.0, c / abs(g)) / 16

    assert [step(3.0, 16), step(2.0, 16), step(1.0, 16)] == [2.0, 1.0, 0.75]
    assert step(3.0) == -3.75
    assert abs(step(step(3.0))) > 9


@pytest.mark.parametrize("norm", [1e-3, 0.5, 16.0, 400.0])
def test_clipping_is_the_best_step_up_to_a_factor_of_two(norm):
    L0, L1 = 16.0, 1.0
    best, clipped = 1 / (L0 + L1 * norm), min(1.0, (L0 / L1) / norm) / L0
    assert clipped == pytest.approx(min(1 / L0, 1 / (L1 * norm)))
    assert 0.5 * clipped <= best <= clipped
    assert best * norm <= 1 / L1


# Symptoms and follow-ups


def test_sigmoid_freezes_its_first_layers():
    ratios = tm_02.backward_pass("sigmoid-xavier", 0)["ratios"]
    assert to_digits(ratios[29], 1) == 0.03
    assert to_digits(ratios[1], 1) == 8e-20


def test_weight_gradients_of_tiny_tanh_weights_are_level_across_layers():
    ratios = tm_02.backward_pass("tanh-tiny", 0)["ratios"][1:30]
    assert to_digits(np.median(ratios), 1) == 1e-24
    assert ratios.max() / ratios.min() < 1.3


def test_batch_normalization_explodes_without_shortcuts():
    assert round(math.sqrt(math.pi / (math.pi - 1)), 3) == 1.211
    assert round(tm_02.batchnorm_gain(), 3) == 1.212
    relu = gaussian_mean(lambda x: np.maximum(x, 0) ** 2), 1 / math.sqrt(2 * math.pi)
    assert relu[0] == pytest.approx(0.5, abs=0.001)
    assert 0.5 / (relu[0] - relu[1] ** 2) == pytest.approx(math.pi / (math.pi - 1), rel=0.005)


def test_smallest_half_precision_number():
    assert float(np.finfo(np.float16).smallest_subnormal) == pytest.approx(6e-8, rel=0.01)


# What the follow-ups claim


def gain_per_layer(activation, initialize, seeds=3):
    """r, the mean factor of the norm a layer, of the network of the figure with another recipe."""
    network = tm_02.Network("", activation, initialize, None, "")
    adjoints = [tm_02.measured(network, seed)["adjoints"] for seed in range(seeds)]
    return float(np.median([a[0] / a[-1] for a in adjoints])) ** (1 / CROSSED)


def times_xavier(factor):
    return lambda fan_out, fan_in, rng: factor * initialization.xavier_normal(fan_out, fan_in, rng)


def test_four_times_xavier_is_not_enough_for_the_sigmoid():
    assert gain_per_layer(SIGMOID, times_xavier(4)) == pytest.approx(0.63, abs=0.015)


def test_saturated_random_tanh_explodes():
    assert gain_per_layer(TANH, times_xavier(10)) == pytest.approx(2.35, abs=0.06)


def test_small_inputs_restore_the_isometry_of_tanh():
    values = tm_02.jacobian_spectrum("tanh-orthogonal", 0.1)
    assert (to_digits(values.min()), to_digits(values.max())) == (0.84, 0.97)


def test_underflow_of_float16():
    assert np.float16(2.0**-24) > 0 and np.float16(3.1e-8) == np.float16(6e-8)
    assert np.float16(2.9e-8) == 0
    assert np.finfo(np.float16).tiny == pytest.approx(6e-5, rel=0.02)


def test_xavier_with_alternating_widths_loses_the_second_moment():
    variance = 2 / (128 + 512)
    assert (128 * variance, 512 * variance) == (pytest.approx(0.4), pytest.approx(1.6))
    loss = (0.4 * 1.6) ** 15
    assert loss == pytest.approx(1e-3, rel=0.3)


def test_log_norm_of_a_relu_network_drifts_down():
    depth, width, inputs = 100, 32, 300
    rng = np.random.default_rng(0)
    logs = []
    for _ in range(inputs):
        a = rng.standard_normal(width)
        start = np.linalg.norm(a)
        for _ in range(depth):
            a = np.maximum(initialization.he_normal(width, width, rng) @ a, 0)
        logs.append(np.log(np.linalg.norm(a) / start))
    assert np.mean(logs) == pytest.approx(-1.25 * depth / width, abs=0.5)
    assert np.var(logs) == pytest.approx(1.25 * depth / width, rel=0.3)


def test_a_spike_stays_in_the_second_moment_of_adam():
    m, v, steps = 0.0, 0.0, []
    for step in range(1, 4002):
        g = 1000.0 if step == 3001 else 1.0
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        steps.append((m / (1 - 0.9**step)) / np.sqrt(v / (1 - 0.999**step)))
    assert max(steps) == pytest.approx(3, abs=0.25)
    assert steps[-1] == pytest.approx(1 / 20, rel=0.1)


def test_initial_variance_of_linear_is_a_sixth_of_he():
    torch.manual_seed(0)
    weights = torch.nn.Linear(512, 2000).weight
    assert weights.var().item() * 512 == pytest.approx(1 / 3, rel=0.01)


def test_clipping_by_value_hides_an_overflow():
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([torch.inf, torch.nan])
    torch.nn.utils.clip_grad_value_([parameter], 1.0)
    assert parameter.grad[0] == 1.0 and parameter.grad[1].isnan()
    parameter.grad = torch.tensor([torch.inf, 1.0])
    with pytest.raises(RuntimeError):
        torch.nn.utils.clip_grad_norm_([parameter], 1.0, error_if_nonfinite=True)
    torch.nn.utils.clip_grad_norm_([parameter], 1.0)
    assert parameter.grad.isnan().any()


def test_layer_norm_does_not_explode():
    torch.manual_seed(0)
    d, depth = 256, 30
    A = torch.randn(256, d, dtype=torch.float64, requires_grad=True)
    hidden, first = A, None
    for layer in range(depth):
        W = torch.randn(d, d, dtype=torch.float64) * (2 / d) ** 0.5
        hidden = torch.relu(torch.nn.functional.layer_norm(hidden @ W.T, (d,)))
        if layer == 0:
            first = hidden
            first.retain_grad()
    hidden.retain_grad()
    hidden.backward(torch.randn_like(hidden))
    assert (first.grad.norm() / hidden.grad.norm()).item() ** (1 / (depth - 1)) == pytest.approx(1, abs=0.03)
