import numpy as np
import pytest

from scripts.dl import regularization as reg

H = np.array([10.0, 1.0, 0.1, 0.0])
W_STAR = np.array([1.0, -2.0, 3.0, -4.0])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def quadratic_gradient(w):
    return H * (w - W_STAR)


def test_l2_solution_is_the_stationary_point():
    w = reg.l2_solution(H, W_STAR, 0.5)
    np.testing.assert_allclose(quadratic_gradient(w) + 0.5 * w, 0, atol=1e-14)
    assert w[3] == 0
    np.testing.assert_array_equal(reg.l2_solution(np.zeros(2), np.ones(2), 0.0), [0, 0])


def test_soft_threshold_solves_its_own_problem():
    grid = np.linspace(-3, 3, 60_001)
    for u in (-2.0, -0.3, 0.0, 0.29, 1.5):
        best = grid[np.argmin((grid - u) ** 2 / 2 + 0.3 * np.abs(grid))]
        assert reg.soft_threshold(np.array(u), 0.3) == pytest.approx(best, abs=1e-4)


def test_l1_solution_by_proximal_gradient_and_by_subgradient():
    h, w_star = np.array([2.0, 1.0, 0.5]), np.array([1.0, 0.3, -0.4])
    closed = reg.l1_solution(h, w_star, 0.4)
    assert list(closed != 0) == [True, False, False]

    def gradient(w):
        return h * (w - w_star)

    proximal = reg.proximal_gradient(gradient, np.ones(3), eta=0.4, decay=0.4, steps=300)
    np.testing.assert_allclose(proximal, closed, atol=1e-12)
    assert list(proximal == 0) == [False, True, True]
    hopping = reg.subgradient_descent(gradient, np.ones(3), eta=0.05, decay=0.4, steps=2000)
    assert np.all(hopping != 0)
    np.testing.assert_allclose(hopping, closed, atol=2 * 0.05 * 0.4)


def test_elastic_net_between_its_two_ends():
    h, w_star = np.array([2.0, 1.0, 0.5]), np.array([1.0, -0.3, -2.0])
    np.testing.assert_allclose(reg.elastic_net_solution(h, w_star, 0.4, 0.0), reg.l1_solution(h, w_star, 0.4))
    np.testing.assert_allclose(reg.elastic_net_solution(h, w_star, 0.0, 0.4), reg.l2_solution(h, w_star, 0.4))
    w = reg.elastic_net_solution(h, w_star, 0.4, 0.3)
    alive = w != 0
    stationary = h * (w - w_star) + 0.4 * np.sign(w) + 0.3 * w
    np.testing.assert_allclose(stationary[alive], 0, atol=1e-14)
    assert np.all(np.abs(h * w_star)[~alive] <= 0.4)


def test_max_norm_cuts_rows_only_where_needed():
    W = np.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    projected = reg.project_max_norm(W, 2.0)
    np.testing.assert_allclose(projected, [[1.2, 1.6], [0.3, 0.4], [0, 0]])
    with pytest.raises(ValueError, match="positive"):
        reg.project_max_norm(W, 0.0)


def test_early_stopping_is_iterated_gradient_descent():
    w = np.zeros(4)
    for _ in range(37):
        w = w - 0.15 * quadratic_gradient(w)
    np.testing.assert_allclose(w, reg.early_stopping_solution(H, W_STAR, 0.15, 37), atol=1e-13)


def test_matching_decay_makes_l2_of_early_stopping():
    h = np.array([5.0, 1.0, 0.1, 1e-6])
    decay = reg.matching_decay(h, 0.1, 50)
    stopped = reg.early_stopping_solution(h, np.ones(4), 0.1, 50)
    np.testing.assert_allclose(h / (h + decay), stopped, rtol=1e-9)
    assert decay[-1] == pytest.approx(1 / (0.1 * 50), rel=1e-4)


def test_early_stopping_protocol_returns_the_best_and_counts_patience():
    monitor, parameters = reg.EarlyStopping(patience=2), [np.array([0.0])]
    verdicts = []
    for loss in (1.0, 0.8, 0.9, 0.7, 0.71, 0.72):
        parameters[0] += 1
        verdicts.append(monitor.stop(loss, parameters))
    assert verdicts == [False, False, False, False, False, True]
    assert (monitor.best_loss, monitor.best_parameters[0][0]) == (0.7, 4.0)


def test_dropout_ridge_minimises_the_expected_loss(rng):
    X, y, p = rng.standard_normal((30, 4)) * [1, 2, 3, 4], rng.standard_normal(30), 0.3
    w = reg.dropout_ridge(X, y, p)

    def expected(v):
        return np.sum((y - X @ v) ** 2) + reg.dropout_penalty(X, v, p)

    for direction in np.eye(4):
        assert expected(w + 1e-4 * direction) > expected(w) < expected(w - 1e-4 * direction)
    np.testing.assert_allclose(reg.dropout_ridge(X, y, 0.0), np.linalg.lstsq(X, y, rcond=None)[0])
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        reg.dropout_ridge(X, y, 1.0)


def test_noise_ridge_is_ridge_of_n_sigma_squared(rng):
    X, y = rng.standard_normal((30, 4)), rng.standard_normal(30)
    w = reg.noise_ridge(X, y, 0.5)
    np.testing.assert_allclose(X.T @ (X @ w - y) + 30 * 0.25 * w, 0, atol=1e-12)


def test_minimum_norm_interpolates_and_is_shortest(rng):
    X, y = rng.standard_normal((3, 7)), rng.standard_normal(3)
    w = reg.minimum_norm(X, y)
    np.testing.assert_allclose(X @ w, y)
    null = np.linalg.svd(X)[2][3:]
    np.testing.assert_allclose(null @ w, 0, atol=1e-12)


def test_smooth_labels():
    q = reg.smooth_labels(np.eye(4)[[1]], 0.2)
    np.testing.assert_allclose(q, [[0.05, 0.85, 0.05, 0.05]])
    assert reg.smoothing_gap(0.2, 4) == pytest.approx(np.log(0.85 / 0.05))
    with pytest.raises(ValueError, match="smoothing"):
        reg.smooth_labels(q, 1.5)


def test_mixup_mixes_inputs_and_labels_alike(rng):
    X, labels = rng.standard_normal((5, 2, 3)), np.eye(5)
    mixed, soft = reg.mixup(X, labels, 1.0, rng)
    np.testing.assert_allclose(mixed, np.einsum("nk,kij->nij", soft, X))
    np.testing.assert_allclose(soft.sum(1), 1)


def test_cutmix_counts_the_pixels_it_kept(rng):
    images = np.stack([np.full((3, 9, 7), value) for value in (0.0, 1.0, 2.0)])
    for _ in range(50):
        mixed, soft = reg.cutmix(images, np.eye(3), 1.0, rng)
        for own, (image, label) in enumerate(zip(mixed, soft, strict=True)):
            np.testing.assert_allclose([np.mean(image[0] == k) for k in range(3)], label, atol=1e-12)
            assert np.all(image[0] == image[1])
            assert label[own] > 0 or np.all(image != own)


def test_cutout_zeroes_a_square(rng):
    images = np.ones((20, 1, 8, 8))
    cut = reg.cutout(images, 4, rng)
    holes = (cut == 0).sum(axis=(1, 2, 3))
    assert holes.max() == 16
    assert holes.min() >= 4
    assert np.all(images == 1)


def test_sam_looks_at_the_worst_neighbour():
    w = np.array([3.0, 4.0])
    np.testing.assert_allclose(reg.sam_gradient(lambda v: v, w, 0.5), [3.3, 4.4])
    np.testing.assert_array_equal(reg.sam_gradient(lambda v: v, np.zeros(2), 0.5), [0, 0])


def test_weight_average():
    ema = reg.WeightAverage(0.9)
    for value in (1.0, 2.0):
        ema.update([np.array([value])])
    assert ema.average[0][0] == pytest.approx(1.1)


@pytest.mark.parametrize("call", [lambda: reg.l2_solution(H, W_STAR, -1), lambda: reg.l1_solution(H, W_STAR, -1)])
def test_negative_penalties_are_refused(call):
    with pytest.raises(ValueError, match="negative"):
        call()
