"""Every number and every claim of tm-05 that can be computed is computed here."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import initialization
from scripts.dl.activations import TANH
from scripts.dl.losses import softmax, softmax_cross_entropy
from scripts.dl.mlp import MLP
from scripts.dl.optimizers import Adam
from scripts.figures import tm_05
from scripts.figures.digits import digits


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# One data set, several answers


def test_all_learners_fit_the_points_and_disagree_far_away():
    at_ten = {}
    for name, (learner, _) in tm_05.LEARNERS.items():
        assert np.abs(learner(tm_05.POINTS) - tm_05.observed()).max() < 1e-5, name
        at_ten[name] = learner(np.array([10.0]))[0]
    claimed = {"ближайший сосед": 0.66, "полином степени 7": 24.7, "гауссово ядро": 0.01, "периодическое ядро": -0.55}
    for name, value in claimed.items():
        assert at_ten[name] == pytest.approx(value, rel=0.01, abs=0.005)
    assert at_ten["сеть ReLU"] == pytest.approx(2.8, abs=0.5)
    assert round(math.sin(10), 2) == -0.54
    nearest = min(at_ten, key=lambda name: abs(at_ten[name] - math.sin(10)))
    assert nearest == "периодическое ядро"


def test_relu_network_goes_on_as_a_straight_line():
    far = tm_05.relu_network(np.array([1000.0, 1001.0, 1002.0]))  # beyond the last kink
    assert far[2] - far[1] == pytest.approx(far[1] - far[0], abs=1e-9)
    assert abs(far[1] - far[0]) > 0.05


def test_a_linear_model_cannot_learn_xor():
    X = np.array([[a, b, 1.0] for a in (0, 1) for b in (0, 1)])
    targets = np.array([0, 1, 1, 0])
    best = max(
        np.mean((X @ np.array([u, v, c]) > 0) == targets)
        for u in np.linspace(-1, 1, 21)
        for v in np.linspace(-1, 1, 21)
        for c in np.linspace(-2, 2, 41)
    )
    assert best == 0.75


# No free lunch


def test_every_learner_is_at_one_half_over_all_functions():
    table = tm_05.free_lunch(False)
    assert table.pop("targets") == 256
    assert table == {"nearest": 0.5, "common": 0.5, "rare": 0.5, "one": 0.5}


def test_learners_differ_once_the_world_is_narrower():
    table = tm_05.free_lunch(True)
    assert table["targets"] == 104
    assert [round(table[name], 3) for name in ("nearest", "common", "rare", "one")] == [0.651, 0.571, 0.429, 0.5]


def test_no_free_lunch_with_three_classes(rng):
    """A learner whose answers depend on the labels seen in a random way errs on exactly 2/3 of the unseen points."""
    answers, errors = {}, []
    for target in product(range(3), repeat=4):
        answer = answers.setdefault(target[:2], rng.integers(0, 3, size=2))
        errors.extend(answer != np.array(target[2:]))
    assert np.mean(errors) == pytest.approx(1 - 1 / 3)


# Equivariance


def correlate(w, x):
    return np.array([sum(w[j] * x[(i + j) % len(x)] for j in range(len(w))) for i in range(len(x))])


def test_convolution_commutes_with_shifts(rng):
    x, w = rng.standard_normal(12), rng.standard_normal(5)
    for s in range(12):
        assert np.array_equal(correlate(w, np.roll(x, s)), np.roll(correlate(w, x), s))


def test_a_matrix_commuting_with_shifts_is_given_by_its_first_column(rng):
    """Project a random matrix on those that commute (average over the group): it is circulant."""
    n = 7
    shift = np.roll(np.eye(n), 1, axis=0)
    powers = [np.linalg.matrix_power(shift, s) for s in range(n)]
    anything = rng.standard_normal((n, n))
    A = sum(T.T @ anything @ T for T in powers) / n
    np.testing.assert_allclose(A @ shift, shift @ A)
    for j in range(n):
        np.testing.assert_allclose(A[:, j], np.roll(A[:, 0], j))


def test_counts_of_weights():
    assert (16 * 16) ** 2 == 65_536
    assert 16 * 16 == 256
    assert 3 * 3 == 9


def test_table_of_shift_errors():
    errors = tm_05.shift_errors()
    assert errors["circular"] < 1e-15
    assert errors["global"] < 1e-15
    claimed = {"zero": 0.26, "pool": 0.59, "stride": 1.39, "linear": 2.37}
    for name, value in claimed.items():
        assert round(errors[name], 2) == value


def test_strided_convolution_keeps_shifts_by_the_stride():
    torch.manual_seed(0)
    x, kernel = torch.randn(1, 1, 16, 16, dtype=torch.float64), torch.randn(4, 1, 3, 3, dtype=torch.float64)

    def layer(v):
        return F.conv2d(F.pad(v, (1, 1, 1, 1), mode="circular"), kernel, stride=2)

    torch.testing.assert_close(layer(x.roll(2, dims=3)), layer(x).roll(1, dims=3))
    pooled = F.max_pool2d(x, 2)
    torch.testing.assert_close(F.max_pool2d(x.roll(2, dims=3), 2), pooled.roll(1, dims=3))


def attention(X, W_Q, W_K, W_V, mask=0.0):
    Q, K = X @ W_Q, X @ W_K
    return softmax(Q @ K.T / math.sqrt(K.shape[1]) + mask) @ (X @ W_V)


def test_attention_commutes_with_permutations_until_it_gets_positions(rng):
    T, d = 7, 5
    X, weights = rng.standard_normal((T, d)), [rng.standard_normal((d, d)) for _ in range(3)]
    P = np.eye(T)[rng.permutation(T)]
    np.testing.assert_allclose(attention(P @ X, *weights), P @ attention(X, *weights), atol=1e-12)
    np.testing.assert_allclose(attention(P @ X, *weights).mean(0), attention(X, *weights).mean(0), atol=1e-12)
    positions = rng.standard_normal((T, d))
    assert np.abs(attention(P @ X + positions, *weights) - P @ attention(X + positions, *weights)).max() > 0.1
    causal = np.where(np.tri(T) > 0, 0.0, -np.inf)
    assert np.abs(attention(P @ X, *weights, causal) - P @ attention(X, *weights, causal)).max() > 0.1


def test_softmax_of_a_permuted_matrix(rng):
    S, P = rng.standard_normal((6, 6)), np.eye(6)[rng.permutation(6)]
    np.testing.assert_allclose(softmax(P @ S @ P.T), P @ softmax(S) @ P.T)


def test_message_passing_commutes_with_renumbering(rng):
    adjacency = (rng.random((6, 6)) < 0.4).astype(float)
    X, W, P = rng.standard_normal((6, 3)), rng.standard_normal((3, 4)), np.eye(6)[rng.permutation(6)]
    np.testing.assert_allclose(np.tanh(P @ adjacency @ P.T @ P @ X @ W), P @ np.tanh(adjacency @ X @ W))


def test_mlp_training_does_not_notice_permuted_pixels(rng):
    """With the columns of the first matrix permuted alike, every weight stays the same all along the way."""
    data, order = digits(60), rng.permutation(64)
    labels = np.eye(10)[data.y_train]
    plain, shuffled = (MLP([64, 12, 10], TANH, initialization.xavier_normal, np.random.default_rng(1)) for _ in "ab")
    shuffled.weights[0] = shuffled.weights[0][:, order].copy()
    optimizers = [Adam(mlp.weights + mlp.biases, 1e-2) for mlp in (plain, shuffled)]
    for _ in range(30):
        for mlp, optimizer, X in zip(
            (plain, shuffled), optimizers, (data.X_train, data.X_train[:, order]), strict=True
        ):
            _, grad_logits = softmax_cross_entropy(mlp.forward(X), labels)
            grads = mlp.backward(grad_logits)
            optimizer.step(grads.weights + grads.biases)
    np.testing.assert_allclose(shuffled.weights[0], plain.weights[0][:, order], atol=1e-9)
    np.testing.assert_allclose(shuffled.weights[1], plain.weights[1], atol=1e-9)
    np.testing.assert_allclose(shuffled.forward(data.X_test[:, order]), plain.forward(data.X_test), atol=1e-8)


# Experiments with digits


def test_data_buys_the_bias_back():
    cnn, mlp = tm_05.test_accuracy("cnn", 1000, False), tm_05.test_accuracy("mlp", 1000, False)
    assert cnn == pytest.approx(0.948, abs=0.025)
    assert mlp == pytest.approx(0.563, abs=0.04)
    assert tm_05.test_accuracy("mlp", 10_000, False) < cnn
    assert tm_05.test_accuracy("mlp", 97_200, False) == pytest.approx(0.970, abs=0.017)
    assert tm_05.test_accuracy("mlp", 97_200, False) > cnn
    assert tm_05.test_accuracy("cnn", 100, False) > tm_05.test_accuracy("mlp", 3000, False)
    assert (tm_05.parameters(tm_05.Convolutional()), tm_05.parameters(tm_05.perceptron())) == (10_090, 134_154)
    assert 1200 * 9**2 == 97_200


def test_a_wrong_bias_hurts():
    assert tm_05.test_accuracy("mlp", 1000, True) == pytest.approx(0.581, abs=0.04)
    assert tm_05.test_accuracy("cnn", 1000, True) == pytest.approx(0.281, abs=0.06)
    for count in tm_05.PERMUTED_COUNTS[1:]:
        assert tm_05.test_accuracy("cnn", count, True) < tm_05.test_accuracy("mlp", count, True) - 0.03
    pictures, labels = tm_05.train_pictures(1000)
    fitted = tm_05.accuracy(tm_05.trained("cnn", 1000, True), tm_05.permuted(pictures), labels)
    assert fitted == pytest.approx(0.65, abs=0.1)


def test_longer_training_memorises_permuted_pictures_but_does_not_generalise():
    pictures, labels = tm_05.train_pictures(1000)
    network = tm_05.fitted(tm_05.Convolutional, tm_05.permuted(pictures), labels, steps=1500, rate=5e-3)
    assert tm_05.accuracy(network, tm_05.permuted(pictures), labels) > 0.97
    pictures, labels = tm_05.test_pictures()
    assert tm_05.accuracy(network, tm_05.permuted(pictures), labels) == pytest.approx(0.32, abs=0.07)


def test_shifted_digits():
    at = {int(shift): i for i, shift in enumerate(tm_05.SHIFTS)}
    cnn, flat, mlp = (tm_05.shifted_accuracy(kind) for kind in ("cnn", "flat", "mlp"))
    assert (mlp[at[2]], flat[at[2]], cnn[at[2]]) == pytest.approx((0.11, 0.12, 0.99), abs=0.03)
    assert min(mlp[at[0]], flat[at[0]], cnn[at[0]]) > 0.95
    odd, even = cnn[[at[-3], at[-1], at[1], at[3]]], cnn[[at[-2], at[0], at[2]]]
    assert odd.mean() == pytest.approx(0.89, abs=0.025)
    assert odd.max() < even.min()
    assert max(curve[at[s]] for curve in (mlp, flat) for s in (-3, 3)) < 0.1
    assert tm_05.shifted_accuracy("everywhere").min() > 0.93


def test_the_stride_of_pooling_is_what_makes_odd_shifts_worse():
    data, middle = digits(1000), np.full(1000, 4)
    pictures, held_out = tm_05.placed(data.X_train, middle, middle), np.full(len(data.y_test), 4)
    network = tm_05.fitted(lambda: tm_05.Convolutional(stride=1), pictures, data.y_train, steps=150, rate=5e-3)
    at = {
        s: tm_05.accuracy(network, tm_05.placed(data.X_test, held_out + s, held_out), data.y_test) for s in range(-2, 3)
    }
    assert at[0] > 0.9
    assert (at[-1] + at[1]) / 2 == pytest.approx((at[-2] + at[0] + at[2]) / 3, abs=0.02)


# The optimiser


def test_low_frequencies_are_learnt_first():
    missing = tm_05.residual_amplitudes()
    halved = [int(np.flatnonzero(column < 0.5)[0]) + 1 for column in missing[:, :4].T]
    assert halved == pytest.approx([10, 55, 135, 570], rel=0.15)
    assert missing[-1, 4] == pytest.approx(0.78, abs=0.04)
    assert np.all(missing[:, 4] > 0.5)


def test_the_points_determine_all_five_sines():
    x = np.arange(128) / 128
    waves = [f(2 * np.pi * k * x) for k in tm_05.FREQUENCIES for f in (np.sin, np.cos)]
    assert np.linalg.matrix_rank(np.array(waves)) == 10


def test_residuals_shrink_along_the_eigenvectors_of_the_kernel(rng):
    J, theta, y, eta, steps = rng.standard_normal((5, 8)), np.zeros(8), rng.standard_normal(5), 0.02, 40
    for _ in range(steps):
        theta -= eta * J.T @ (J @ theta - y)
    kappa, vectors = np.linalg.eigh(J @ J.T)
    expected = (1 - eta * kappa) ** steps * (vectors.T @ -y)
    np.testing.assert_allclose(vectors.T @ (J @ theta - y), expected, atol=1e-12)


# Follow-ups


def test_averaging_over_the_group_is_invariant_and_no_worse(rng):
    def answer(image):
        return softmax(np.tanh(image.ravel() @ W))

    W, image, label = rng.standard_normal((36, 4)), rng.standard_normal((6, 6)), 2
    turned = [np.rot90(image, k) for k in range(4)]
    averages = [np.mean([answer(np.rot90(start, k)) for k in range(4)], axis=0) for start in turned]
    for average in averages[1:]:
        np.testing.assert_allclose(average, averages[0])
    assert -np.log(averages[0][label]) <= np.mean([-np.log(answer(t)[label]) for t in turned])


def test_group_convolution_turns_and_cycles(rng):
    """Correlate with four turns of a kernel: turning the input turns the maps and shifts the axis of orientations."""
    x = torch.tensor(rng.standard_normal((1, 1, 9, 9)))
    kernel = torch.tensor(rng.standard_normal((1, 1, 3, 3)))

    def lifted(v):
        return torch.cat([F.conv2d(v, kernel.rot90(k, (2, 3))) for k in range(4)], dim=1)

    expected = lifted(x).rot90(1, (2, 3)).roll(1, dims=1)
    torch.testing.assert_close(lifted(x.rot90(1, (2, 3))), expected)
    torch.testing.assert_close(lifted(x.rot90(1, (2, 3))).amax((1, 2, 3)), lifted(x).amax((1, 2, 3)))


def test_a_recurrent_network_without_biases_waits_at_zero():
    torch.manual_seed(0)
    x = torch.randn(5, 1, 3, dtype=torch.float64)
    late = torch.cat([torch.zeros(2, 1, 3, dtype=torch.float64), x])
    free, biased = (torch.nn.RNN(3, 4, bias=bias).double() for bias in (False, True))
    torch.testing.assert_close(free(late)[0][2:], free(x)[0])
    assert (biased(late)[0][2:] - biased(x)[0]).abs().max() > 1e-3


def test_zero_padding_shows_where_the_border_is():
    """On a constant picture the answer of a zero-padded convolution depends on the place."""
    out = F.conv2d(torch.ones(1, 1, 8, 8), torch.ones(1, 1, 3, 3), padding=1)[0, 0]
    assert (out[0, 0], out[0, 4], out[4, 4]) == (4, 6, 9)
