"""Every number and every claim of ticket-02 that can be computed is computed here."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import regularization as reg
from scripts.dl.losses import softmax, softmax_cross_entropy
from scripts.figures import ticket_02 as page


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def last(values):
    """Mean over the seeds after the last epoch."""
    return float(values[-1].mean())


def best(values):
    """Best mean over the seeds, and its row."""
    means = values.mean(axis=1)
    return float(means.max()), int(means.argmax())


# Wrong labels


def test_network_and_its_task_are_as_described():
    sizes = [64, 256, 256, 10]
    parameters = sum(o * i + o for i, o in zip(sizes[:-1], sizes[1:], strict=True))
    assert parameters == 85_002
    data = page.digits(200, 0.2, 0)
    assert np.sum(data.y_train != data.y_train_clean) == 40


@pytest.mark.parametrize(
    ("name", "accuracy", "memorised"),
    [
        ("none", 0.780, 1.0),
        ("dropout", 0.843, 0.75),
        ("decay", 0.800, 0.89),
        ("smoothing", 0.786, 1.0),
        ("both", 0.857, 0.41),
    ],
)
def test_finals_of_the_first_figure(name, accuracy, memorised):
    run = page.noisy(name)
    assert last(run.test_accuracy) == pytest.approx(accuracy, abs=0.012)
    assert last(run.memorised) == pytest.approx(memorised, abs=0.06)


def test_unregularised_network_first_learns_then_memorises():
    run = page.noisy("none")
    top, row = best(run.test_accuracy)
    assert top == pytest.approx(0.892, abs=0.01)
    assert 6 <= run.epochs[row] <= 20
    assert run.memorised.mean(1)[row] < 0.1
    assert top - last(run.test_accuracy) == pytest.approx(0.11, abs=0.02)
    both = page.noisy("both")
    assert best(both.test_accuracy)[0] - last(both.test_accuracy) == pytest.approx(0.04, abs=0.02)
    finals = {name: last(page.noisy(name).test_accuracy) for name in page.VARIANTS}
    assert sorted(finals, key=finals.get) == ["none", "smoothing", "decay", "dropout", "both"]


def test_clean_labels_leave_little_to_gain():
    runs = [page.trained(page.Recipe(epochs=60, **options)).test_accuracy for _, _, options in page.VARIANTS.values()]
    finals = [last(run) for run in runs]
    assert (min(finals), max(finals)) == pytest.approx((0.924, 0.938), abs=0.012)
    assert max(finals) - min(finals) < 0.025
    assert max(np.ptp(run[-1]) for run in runs) == pytest.approx(0.035, abs=0.012)


# Double descent


def test_double_descent_and_what_l2_does_to_it():
    table, widths = page.random_features(), np.array(page.FEATURES)
    error = dict(zip(page.FEATURES, table["minimum_norm"], strict=True))
    assert (error[70], error[200], error[2000]) == pytest.approx((0.24, 0.88, 0.23), abs=0.02)
    assert widths[table["minimum_norm"].argmax()] == 200
    norm = dict(zip(page.FEATURES, table["norm"], strict=True))
    assert norm[200] == pytest.approx(2166, rel=0.1)
    assert norm[2000] == pytest.approx(50, abs=2)
    assert np.all(table["train"][widths >= 200] == 0)
    assert np.max(np.diff(table["ridge"])) < 0.005  # no peak
    assert table["ridge"][-1] == pytest.approx(0.095, abs=0.005)


# L2


def test_l2_factors_and_formula(rng):
    assert [round(h / (h + 1), 2) for h in (10, 1, 0.1)] == [0.91, 0.5, 0.09]
    A = rng.standard_normal((6, 4))
    H, w_star = A.T @ A, rng.standard_normal(4)
    h, Q = np.linalg.eigh(H)
    w = np.linalg.solve(H + 0.7 * np.eye(4), H @ w_star)
    np.testing.assert_allclose(Q.T @ w, h / (h + 0.7) * (Q.T @ w_star))
    assert np.trace(np.linalg.solve(H + 0.7 * np.eye(4), H)) == pytest.approx(np.sum(h / (h + 0.7)))


def test_map_with_a_gaussian_prior_is_l2_with_lambda_over_n(rng):
    X, y, w = rng.standard_normal((12, 3)), rng.integers(0, 2, 12), rng.standard_normal(3)
    width, h = 0.6, 1e-6

    def log_posterior(v):
        z = X @ v
        return np.sum(y * z - np.log1p(np.exp(z))) - v @ v / (2 * width**2)

    numeric = [(log_posterior(w + h * e) - log_posterior(w - h * e)) / (2 * h) for e in np.eye(3)]
    mean_gradient = X.T @ (1 / (1 + np.exp(-X @ w)) - y) / 12 + w / (12 * width**2)
    np.testing.assert_allclose(-np.array(numeric) / 12, mean_gradient, atol=1e-7)


def test_a_little_shrinkage_always_helps_and_the_best_is_map():
    truth, noise, samples, h = 0.8, 1.3, 50, 0.2
    decay = noise**2 / (samples * truth**2)

    def risk(c):
        return (1 - c) ** 2 * truth**2 + c**2 * noise**2 / (samples * h)

    assert (risk(1 + 1e-6) - risk(1 - 1e-6)) / 2e-6 == pytest.approx(2 * noise**2 / (samples * h), rel=1e-6)
    grid = np.linspace(0, 1, 100_001)
    assert grid[np.argmin(risk(grid))] == pytest.approx(h / (h + decay), abs=1e-4)


def test_constraint_and_penalty_share_their_solution(rng):
    H, w_star = np.diag([3.0, 0.5]), np.array([1.0, 2.0])
    w = np.linalg.solve(H + 0.4 * np.eye(2), H @ w_star)
    angle = np.linspace(0, 2 * np.pi, 200_001)
    circle = np.linalg.norm(w) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    losses = np.einsum("ni,ij,nj->n", circle - w_star, H, circle - w_star)
    np.testing.assert_allclose(circle[losses.argmin()], w, atol=1e-4)


def test_product_of_norms_bounds_the_change_of_the_answer(rng):
    W1, W2 = rng.standard_normal((7, 5)), rng.standard_normal((3, 7))
    bound = np.linalg.norm(W1, 2) * np.linalg.norm(W2, 2)
    for f in (np.tanh, lambda z: np.maximum(z, 0)):
        a, b = rng.standard_normal(5), rng.standard_normal(5)
        assert np.linalg.norm(W2 @ f(W1 @ a) - W2 @ f(W1 @ b)) <= bound * np.linalg.norm(a - b)


def test_l2_improves_conditioning_and_makes_the_minimum_unique(rng):
    X = rng.standard_normal((3, 5))
    h = np.linalg.eigvalsh(X.T @ X)
    shifted = X.T @ X + 0.4 * np.eye(5)
    np.testing.assert_allclose(np.linalg.eigvalsh(shifted), h + 0.4)
    assert np.linalg.cond(shifted) == pytest.approx((h[-1] + 0.4) / (h[0] + 0.4))
    assert (np.linalg.matrix_rank(X.T @ X), np.linalg.matrix_rank(shifted)) == (3, 5)
    radii = [np.linalg.norm(np.linalg.solve(X.T @ X + d * np.eye(5), X.T @ np.ones(3))) for d in (0.1, 1, 10)]
    assert np.all(np.diff(radii) < 0)


# Weight decay


def torch_run(optimizer, steps, decoupled=0.0):
    """Minimise (w - 1)² / 2 from 0; `decoupled` is the factor of weights per step, η λ."""
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    opt = optimizer([w])
    trajectory = []
    for _ in range(steps):
        opt.zero_grad()
        (0.5 * (w - 1) ** 2).sum().backward()
        with torch.no_grad():
            w *= 1 - decoupled
        opt.step()
        trajectory.append(w.item())
    return np.array(trajectory)


def test_plain_sgd_does_not_tell_l2_from_weight_decay():
    coupled = torch_run(lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.1), 50)
    decoupled = torch_run(lambda p: torch.optim.SGD(p, lr=0.1), 50, decoupled=0.01)
    np.testing.assert_allclose(coupled, decoupled, rtol=1e-13)


def test_momentum_tells_them_apart_and_where_they_end():
    coupled = torch_run(lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, weight_decay=0.1), 3000)[-1]
    decoupled = torch_run(lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9), 3000, decoupled=0.002)[-1]
    assert (round(coupled, 3), round(decoupled, 3)) == (0.909, 0.990)
    assert coupled == pytest.approx(1 / (1 + 0.1))
    assert decoupled == pytest.approx(1 / (1 + 0.1 * (1 - 0.9)))


def test_adam_tells_them_apart():
    l2 = torch_run(lambda p: torch.optim.Adam(p, lr=0.001, betas=(0.9, 0.99), weight_decay=0.1), 4000)[-1]
    adamw = torch_run(lambda p: torch.optim.AdamW(p, lr=0.001, betas=(0.9, 0.99), weight_decay=0.1), 4000)[-1]
    assert l2 == pytest.approx(1 / 1.1, abs=1e-3)
    assert adamw == pytest.approx(1.0, abs=2e-3)  # |w*| < 1/λ: the constraint does not bind


def test_adamw_holds_weights_in_the_box_of_side_one_over_lambda():
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    opt = torch.optim.AdamW([w], lr=0.01, betas=(0.9, 0.99), weight_decay=0.5)
    for _ in range(3000):
        opt.zero_grad()
        (0.5 * (w - 5) ** 2).sum().backward()
        opt.step()
    assert w.item() == pytest.approx(2.0, abs=1e-3)


def test_torch_decays_every_parameter_unless_told_otherwise():
    def after_a_step(**group):
        bias = torch.ones(1, requires_grad=True)
        bias.grad = torch.zeros(1)
        torch.optim.AdamW([{"params": [bias], **group}], lr=0.1).step()
        return bias.item()

    assert after_a_step() == pytest.approx(1 - 0.1 * 0.01)  # the default decay, times the learning rate
    assert after_a_step(weight_decay=0.0) == 1


def test_number_of_axes_separates_matrices_from_shifts_and_scales():
    layers = (torch.nn.Linear(3, 2), torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.LayerNorm(2))
    kept = [p.ndim >= 2 for layer in layers for p in layer.parameters()]
    assert kept == [True, False, True, False, False, False, False, False]


def test_decoupled_decay_with_frozen_scales_is_a_weighted_l2():
    h, w_star, scales = np.array([1.0, 1.0]), np.array([1.0, 1.0]), np.array([0.1, 10.0])
    w = np.zeros(2)
    for _ in range(20_000):
        w = (1 - 0.01 * 0.1) * w - 0.01 / scales * h * (w - w_star)
    np.testing.assert_allclose(w, h / (h + 0.1 * scales) * w_star, rtol=1e-9)


# L1


def test_l1_solution_satisfies_the_general_condition():
    w = np.array(page.plane_solution("L1", page.TOUCHING))
    g = page.plane_gradient(w)
    assert w == pytest.approx([0.7625, 0.0], abs=1e-9)
    assert w[1] == 0
    assert g[0] == pytest.approx(-page.TOUCHING)
    assert abs(g[1]) < page.TOUCHING
    assert page.plane_solution("L2", page.TOUCHING) == pytest.approx((0.777, 0.116), abs=0.001)


def test_all_weights_are_zero_from_the_largest_gradient_on():
    X, y = page.diabetes()
    largest = np.abs(X.T @ y / len(y)).max()
    assert page.DECAYS[0] > largest
    assert np.all(page.coefficient_paths("L1")[largest < page.DECAYS] == 0)
    assert np.count_nonzero(page.coefficient_paths("L1")[largest > page.DECAYS][0]) >= 1


def test_paths_on_the_diabetes_data():
    row = np.argmin(np.abs(page.DECAYS - 0.34))
    lasso, ridge = page.coefficient_paths("L1"), page.coefficient_paths("L2")
    assert list(np.flatnonzero(lasso[row])) == [2, 8]
    assert np.count_nonzero(ridge[row]) == 10
    assert page.diabetes()[0].shape == (442, 10)
    assert ridge[-1][4] < -0.3
    assert ridge[-1][5] > 0.2


def test_proximal_path_agrees_with_an_independent_lasso():
    from sklearn.linear_model import Lasso

    X, y = page.diabetes()
    for row in (20, 45):
        fit = Lasso(alpha=page.DECAYS[row], fit_intercept=False, tol=1e-10, max_iter=100_000).fit(X, y)
        np.testing.assert_allclose(page.coefficient_paths("L1")[row], fit.coef_, atol=2e-4)


def test_only_the_proximal_step_reaches_zero():
    def gradient(w):
        return w - 0.05

    assert reg.proximal_gradient(gradient, np.array([1.0]), 0.1, 0.1, 1000)[0] == 0
    tail = [abs(reg.subgradient_descent(gradient, np.array([1.0]), 0.1, 0.1, n)[0]) for n in range(1000, 1020)]
    assert min(tail) > 0
    assert max(tail) < 0.02
    assert max(tail) > 0.005


def test_map_with_a_laplace_prior_is_l1_with_lambda_over_n():
    samples, width, w, h = 12, 0.6, 0.7, 1e-6

    def minus_log_prior(v):
        return -np.log(np.exp(-abs(v) / width) / (2 * width))

    slope = (minus_log_prior(w + h) - minus_log_prior(w - h)) / (2 * h)
    assert slope / samples == pytest.approx(1 / (samples * width))


def test_laplace_posterior_has_a_zero_mode_and_a_nonzero_mean():
    v = np.linspace(-10, 10, 200_001)
    log_density = -((v - 0.3) ** 2) / 2 - np.abs(v)
    density = np.exp(log_density)
    assert v[log_density.argmax()] == pytest.approx(0, abs=1e-9)
    assert np.sum(v * density) / np.sum(density) > 0.05


def test_twin_features_share_their_weight_anyhow_under_l1_and_equally_under_l2():
    def loss(w, l1, l2):
        return 0.5 * (w[0] + w[1] - 2) ** 2 + l1 * np.abs(w).sum() + l2 / 2 * np.sum(w**2)

    splits = [np.array([share, 1 - share]) * 1.6 for share in (0.0, 0.3, 0.5, 1.0)]
    assert np.ptp([loss(w, 0.4, 0.0) for w in splits]) < 1e-12
    assert np.argmin([loss(w, 0.4, 0.1) for w in splits]) == 2


def test_proximal_descent_needs_a_small_step():
    def end(eta):
        return reg.proximal_gradient(lambda w: 2.0 * (w - 1), np.array([0.3]), eta, 0.1, 200)[0]

    assert end(0.5) == pytest.approx(0.95)
    assert abs(end(1.1)) > 1e6


def test_l2_on_two_factors_is_l1_on_their_product():
    u = np.logspace(-3, 3, 200_001)
    for w in (0.3, 2.0):
        assert np.min((u**2 + (w / u) ** 2) / 2) == pytest.approx(w, rel=1e-6)


# Early stopping


def test_early_stopping_closed_form_is_iterated_descent():
    curvatures = tuple(np.logspace(-2, 1.5, 12))
    closed = reg.early_stopping_solution(np.array(curvatures), np.ones(12), page.RATE, page.STEPS)
    np.testing.assert_allclose(page.descended(curvatures), closed, rtol=1e-10)


def test_early_stopping_and_l2_differ_by_a_fifth_at_most():
    x = np.linspace(0, 40, 400_001)
    gap = (1 - np.exp(-x)) - x / (1 + x)
    assert np.all(gap >= 0)
    assert (x[gap.argmax()], gap.max()) == pytest.approx((2.51, 0.204), abs=0.005)
    assert gap[10] < 1e-6
    assert gap[-1] < 0.025


def test_exact_matching_penalty_falls_with_curvature():
    h = np.array([1e-6, 0.5, 2.0, 5.0])
    decay = reg.matching_decay(h, 0.05, 30)
    assert np.all(np.diff(decay) < 0)
    assert decay[0] == pytest.approx(1 / (0.05 * 30), rel=1e-3)


def test_stopping_pulls_to_the_start_not_to_zero():
    start, w_star, h = 3.0, 1.0, 0.01
    w = start
    for _ in range(10):
        w -= 0.1 * h * (w - w_star)
    assert abs(w - start) < 0.05


# Dropout and noise


def test_dropout_is_ridge_by_monte_carlo(rng):
    X, y, w, p = rng.standard_normal((20, 5)), rng.standard_normal(20), rng.standard_normal(5), 0.4
    masks = rng.random((10_000, 20, 5)) > p
    losses = np.sum((y - (masks * X / (1 - p)) @ w) ** 2, axis=1)
    predicted = np.sum((y - X @ w) ** 2) + reg.dropout_penalty(X, w, p)
    assert losses.mean() == pytest.approx(predicted, abs=4 * losses.std() / 100)


def test_dropout_on_orthogonal_columns_keeps_the_share_one_minus_p(rng):
    X = np.linalg.qr(rng.standard_normal((30, 4)))[0] * [1.0, 5.0, 0.2, 9.0]
    y = rng.standard_normal(30)
    np.testing.assert_allclose(reg.dropout_ridge(X, y, 0.3), 0.7 * reg.dropout_ridge(X, y, 0.0))


def test_dropout_penalty_does_not_notice_units(rng):
    X, y = rng.standard_normal((30, 3)), rng.standard_normal(30)
    scaled = X * [1.0, 100.0, 0.01]
    np.testing.assert_allclose(scaled @ reg.dropout_ridge(scaled, y, 0.3), X @ reg.dropout_ridge(X, y, 0.3))


def test_dropout_in_logistic_regression_to_second_order(rng):
    x, w, p = rng.standard_normal(40) * 0.2, rng.standard_normal(40) * 0.5, 0.1
    masks = rng.random((200_000, 40)) > p
    added = np.mean(np.log1p(np.exp((masks * x / (1 - p)) @ w))) - np.log1p(np.exp(x @ w))
    share = 1 / (1 + np.exp(-x @ w))
    assert added == pytest.approx(0.5 * p / (1 - p) * np.sum(w**2 * x**2) * share * (1 - share), rel=0.15)


def test_input_noise_is_ridge(rng):
    x, w, y, sigma = rng.standard_normal(5), rng.standard_normal(5), 0.7, 0.3
    noise = sigma * rng.standard_normal((400_000, 5))
    assert np.mean((y - (x + noise) @ w) ** 2) == pytest.approx((y - x @ w) ** 2 + sigma**2 * w @ w, rel=0.01)


def test_weight_noise_of_a_linear_model_does_not_depend_on_its_weights(rng):
    x, noise = rng.standard_normal(5), 0.3 * rng.standard_normal((400_000, 5))
    for w in (np.zeros(5), rng.standard_normal(5)):
        added = np.mean((0.7 - (w + noise) @ x) ** 2) - (0.7 - w @ x) ** 2
        assert added == pytest.approx(0.09 * x @ x, rel=0.05)


def test_input_noise_of_a_smooth_function_to_second_order():
    def f(x):
        return np.sin(x[..., 0]) * np.exp(0.3 * x[..., 1])

    x, y, sigma = np.array([0.4, -0.2]), 1.5, 0.05
    nodes, weights = np.polynomial.hermite_e.hermegauss(21)
    weights = weights / weights.sum()
    points = x + sigma * np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1)
    mean = np.einsum("i,j,ij->", weights, weights, (f(points) - y) ** 2)
    e = np.exp(0.3 * x[1])
    slope = np.array([np.cos(x[0]) * e, 0.3 * np.sin(x[0]) * e])
    trace = (-1 + 0.09) * np.sin(x[0]) * e
    predicted = (f(x) - y) ** 2 + sigma**2 * slope @ slope + sigma**2 * (f(x) - y) * trace
    assert mean == pytest.approx(predicted, abs=20 * sigma**4)
    assert abs(mean - (f(x) - y) ** 2) > 100 * abs(mean - predicted)


def test_stochastic_depth_keeps_three_quarters_of_the_blocks():
    for depth in (54, 200):
        dropped = 0.5 * np.arange(1, depth + 1) / depth
        assert np.mean(1 - dropped) == pytest.approx(0.75, abs=0.006)


# Labels


def test_gap_and_floor_of_label_smoothing():
    assert reg.smoothing_gap(0.1, 10) == pytest.approx(math.log(91))
    assert round(reg.smoothing_gap(0.1, 10), 2) == 4.51
    assert round(reg.smoothing_floor(0.1, 10), 3) == 0.500
    q = reg.smooth_labels(np.eye(10)[[3]], 0.1)
    assert (q[0, 3], q[0, 0]) == pytest.approx((0.91, 0.01))
    loss, gradient = softmax_cross_entropy(np.log(q) + 7.0, q)
    assert loss == pytest.approx(reg.smoothing_floor(0.1, 10))
    np.testing.assert_allclose(gradient, 0, atol=1e-15)


def test_smoothing_is_the_one_of_torch_and_a_penalty_on_confidence(rng):
    logits, y = rng.standard_normal((6, 5)), rng.integers(0, 5, 6)
    smoothed, _ = softmax_cross_entropy(logits, reg.smooth_labels(np.eye(5)[y], 0.1))
    theirs = torch.nn.CrossEntropyLoss(label_smoothing=0.1)(torch.tensor(logits), torch.tensor(y))
    assert smoothed == pytest.approx(theirs.item(), rel=1e-13)
    plain, _ = softmax_cross_entropy(logits, np.eye(5)[y])
    uniform_kl = np.mean(np.sum(0.2 * np.log(0.2 / softmax(logits)), axis=1))
    assert smoothed == pytest.approx(0.9 * plain + 0.1 * (math.log(5) + uniform_kl))


def test_confidence_penalty_is_bounded_and_smoothing_is_not():
    sure = np.array([1 - 3e-12, 1e-12, 1e-12, 1e-12])
    assert np.sum(0.25 * np.log(0.25 / sure)) > 10
    reverse = np.sum(sure * np.log(sure / 0.25))
    assert reverse == pytest.approx(math.log(4) - -np.sum(sure * np.log(sure)))
    assert reverse <= math.log(4)


def test_smoothing_is_the_mean_over_uniformly_replaced_labels(rng):
    logits = rng.standard_normal((1, 4))
    losses = [softmax_cross_entropy(logits, np.eye(4)[[k]])[0] for k in range(4)]
    expected = 0.8 * losses[2] + 0.2 * np.mean(losses)
    assert softmax_cross_entropy(logits, reg.smooth_labels(np.eye(4)[[2]], 0.2))[0] == pytest.approx(expected)


def test_loss_rises_while_accuracy_stands():
    run = page.blurred(0.0)
    loss, accuracy = run.test_loss.mean(1), run.test_accuracy.mean(1)
    low = loss.argmin()
    assert run.epochs[low] in (4, 6, 8, 10)
    assert (loss[low], loss[-1]) == pytest.approx((0.59, 1.11), abs=0.05)
    assert (accuracy[low], accuracy[-1]) == pytest.approx((0.804, 0.786), abs=0.012)


def test_confidence_with_and_without_smoothing():
    plain, smoothed = page.blurred(0.0), page.blurred(0.1)
    assert plain.confidence.mean() == pytest.approx(0.935, abs=0.01)
    assert plain.correct.mean() == pytest.approx(0.786, abs=0.012)
    assert smoothed.confidence.mean() == pytest.approx(0.687, abs=0.015)
    assert smoothed.correct.mean() == pytest.approx(0.80, abs=0.012)
    assert page.calibration_error(plain) == pytest.approx(0.149, abs=0.015)
    assert page.calibration_error(smoothed) == pytest.approx(0.114, abs=0.015)


# Mixed examples


def test_mixup_loss_is_linear_in_labels_but_not_in_inputs(rng):
    logits, first, second = rng.standard_normal((4, 3)), np.eye(3)[[0, 1, 2, 0]], np.eye(3)[[1, 1, 0, 2]]
    mixed, _ = softmax_cross_entropy(logits, 0.3 * first + 0.7 * second)
    apart = 0.3 * softmax_cross_entropy(logits, first)[0] + 0.7 * softmax_cross_entropy(logits, second)[0]
    assert mixed == pytest.approx(apart, rel=1e-14)
    W, a, b = rng.standard_normal((3, 2)), rng.standard_normal((1, 2)), rng.standard_normal((1, 2))
    y = np.eye(3)[[0]]
    whole, _ = softmax_cross_entropy((0.3 * a + 0.7 * b) @ W.T, y)
    parts = 0.3 * softmax_cross_entropy(a @ W.T, y)[0] + 0.7 * softmax_cross_entropy(b @ W.T, y)[0]
    assert abs(whole - parts) > 0.01


def test_shares_at_both_ends_of_alpha(rng):
    assert np.mean(np.minimum(*(lambda m: (m, 1 - m))(rng.beta(0.01, 0.01, 20_000))) < 0.01) > 0.9
    assert rng.beta(1.0, 1.0, 100_000).var() == pytest.approx(1 / 12, rel=0.02)
    assert rng.beta(1e4, 1e4, 1000).std() < 0.01


def test_two_moons():
    plain = [page.moons_network(0.0, seed) for seed in range(3)]
    mixed = [page.moons_network(page.ALPHA, seed) for seed in range(3)]

    def mean(runs, name):
        return np.mean([getattr(run, name) for run in runs])

    assert (mean(plain, "test_accuracy"), mean(mixed, "test_accuracy")) == pytest.approx((0.904, 0.923), abs=0.012)
    assert mean(plain, "test_loss") == pytest.approx(1.86, abs=0.5)
    assert mean(mixed, "test_loss") == pytest.approx(0.21, abs=0.03)
    assert (mean(plain, "train_accuracy"), mean(mixed, "train_accuracy")) == pytest.approx((1.0, 0.98), abs=0.015)


def test_pictures_of_mixing_carry_the_labels_they_show():
    shown = {caption: (image, label) for caption, image, label in page.mixed_pair()}
    three, seven = shown["тройка"], shown["семёрка"]
    assert (three[1].argmax(), seven[1].argmax()) == (3, 7)
    share = shown["mixup"][1][3]
    np.testing.assert_allclose(shown["mixup"][0], share * three[0] + (1 - share) * seven[0])
    assert 0.3 < share < 0.7
    own = shown["CutMix"][1][3]
    assert np.sum(shown["CutMix"][0] == three[0]) >= own * 64 - 1e-9
    np.testing.assert_array_equal(shown["Cutout"][1], three[1])


# Implicit bias


def sgd(X, y, start, optimizer, steps):
    w = torch.tensor(start, requires_grad=True)
    opt = optimizer([w])
    rows = torch.tensor(X)
    targets = torch.tensor(y)
    for t in range(steps):
        opt.zero_grad()
        n = t % len(y)
        ((rows[n] @ w - targets[n]) ** 2).backward()
        opt.step()
    return w.detach().numpy()


def test_sgd_finds_the_interpolation_nearest_to_its_start(rng):
    X, y = rng.standard_normal((3, 6)), rng.standard_normal(3)
    for start in (np.zeros(6), rng.standard_normal(6)):
        nearest = start + reg.minimum_norm(X, y - X @ start)
        for momentum in (0.0, 0.5):
            found = sgd(X, y, start, lambda p, m=momentum: torch.optim.SGD(p, lr=0.05, momentum=m), 2500)
            np.testing.assert_allclose(found, nearest, atol=1e-8)
    np.testing.assert_allclose(reg.minimum_norm(X, y), X.T @ np.linalg.solve(X @ X.T, y))
    ridge = np.linalg.solve(X.T @ X + 1e-7 * np.eye(6), X.T @ y)
    np.testing.assert_allclose(ridge, reg.minimum_norm(X, y), atol=1e-5)


def test_figure_of_the_two_destinations():
    zero = page.STARTS[0]
    assert page.interpolations("gd", zero)[-1] == pytest.approx([0.8, 0.4], abs=1e-6)
    assert page.interpolations("adam", zero)[-1] == pytest.approx([0.667, 0.667], abs=0.01)
    for start in page.STARTS:
        for method in ("gd", "adam"):
            assert page.ROW @ page.interpolations(method, start)[-1] == pytest.approx(page.ANSWER, abs=1e-6)


def test_finite_step_follows_the_flow_of_a_modified_loss():
    h = 1.0
    for eta in (0.1, 0.05):
        modified = np.exp(-eta * (h + eta * h**2 / 2))  # loss h w²/2 + eta/4 (h w)²
        plain = np.exp(-eta * h)
        assert abs(1 - eta * h - modified) < eta**3
        assert abs(1 - eta * h - plain) > 0.4 * eta**2


def test_flatness_can_be_scaled_away():
    """f = b a x with b = 2, a = 1 and with b = 2/10, a = 10: one function, different curvature."""

    def curvature(a, b):  # trace of the Hessian of (a b - 2)²/2 at a minimum
        return a**2 + b**2

    assert curvature(1.0, 2.0) == 5
    assert curvature(10.0, 0.2) > 100


def test_sam_direction_is_the_worst_to_first_order(rng):
    g = np.array([3.0, -4.0])
    worst = 0.1 * g / np.linalg.norm(g)
    for _ in range(100):
        e = rng.standard_normal(2)
        assert 0.1 * e / np.linalg.norm(e) @ g <= worst @ g + 1e-12
    signs = 0.1 * np.sign(g)
    assert signs @ g == pytest.approx(0.1 * np.abs(g).sum())


# Ensembles and small numbers


def test_variance_of_a_mean_of_correlated_models(rng):
    models, v, c = 5, 2.0, 0.7
    covariance = np.full((models, models), c) + (v - c) * np.eye(models)
    assert np.ones(models) @ covariance @ np.ones(models) / models**2 == pytest.approx(
        v / models + (1 - 1 / models) * c
    )
    probabilities = rng.random((100, models))
    assert np.all(-np.log(probabilities.mean(1)) <= -np.log(probabilities).mean(1) + 1e-12)


def test_averaged_weights_are_not_averaged_answers(rng):
    x, W = rng.standard_normal(4), rng.standard_normal((2, 3, 4))
    assert not np.allclose(np.tanh(W.mean(0) @ x), np.tanh(W @ x).mean(0), atol=1e-3)


def test_standard_error_of_an_accuracy_on_a_hundred_pictures():
    assert math.sqrt(0.8 * 0.2 / 100) == pytest.approx(0.04)


def test_penalty_can_only_raise_the_training_minimum():
    h, w_star = np.array([1.0, 0.3]), np.array([1.0, -2.0])
    losses = [0.5 * np.sum(h * (reg.l2_solution(h, w_star, decay) - w_star) ** 2) for decay in (0, 0.1, 1, 10)]
    assert losses[0] == 0
    assert np.all(np.diff(losses) > 0)


def test_temperature_does_not_change_the_answers(rng):
    logits = rng.standard_normal((50, 4))
    np.testing.assert_array_equal(softmax(logits).argmax(1), softmax(logits / 3).argmax(1))
    assert softmax(logits / 3).max(1).mean() < softmax(logits).max(1).mean()


def test_cross_entropy_without_smoothing_has_no_minimum():
    z = torch.zeros(1, 3, dtype=torch.float64)
    losses = []
    for scale in (1.0, 5.0, 25.0):
        z[0, 0] = scale
        losses.append(F.cross_entropy(z, torch.tensor([0])).item())
    assert losses[0] > losses[1] > losses[2] > 0
