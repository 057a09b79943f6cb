"""Every number and every claim of tm-16 that can be computed is computed here."""

import math

import numpy as np
import pytest
import torch

from scripts.dl import linear_attention as la
from scripts.dl.attention import MultiHeadAttention, attention, causal_mask
from scripts.experiments.induction import LONGEST, heads
from scripts.figures import tm_16
from tests.content.page import assert_said, printed

PAGE = printed("theory-minimum/16-self-attention.md")


def gaussian(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


# Definition


def test_example_at_the_board():
    K, V = np.log([[1.0], [2.0], [4.0]]), np.array([[7.0], [0.0], [14.0]])
    Y, A = attention(np.array([[1.0], [0.0], [2.0]]), K, V)
    np.testing.assert_allclose(Y[:, 0], [9, 7, 11])
    np.testing.assert_allclose(A[0], np.array([1, 2, 4]) / 7)
    Y, A = attention(np.ones((3, 1)), K, V, causal_mask(3))
    np.testing.assert_allclose(A[1], [1 / 3, 2 / 3, 0])
    assert Y[1, 0] == pytest.approx(7 / 3)


def test_rows_sum_to_one_and_columns_do_not():
    _, A = attention(gaussian(6, 4), gaussian(6, 4, seed=1), np.eye(6))
    np.testing.assert_allclose(A.sum(axis=1), 1)
    assert np.ptp(A.sum(axis=0)) > 0.3
    sink = np.zeros((6, 4))
    sink[0] = 100.0
    assert attention(np.ones((6, 4)), sink, np.eye(6))[1].sum(axis=0)[0] == pytest.approx(6)


def test_four_squares_of_parameters_whatever_the_length():
    layer = MultiHeadAttention(8, 2, np.random.default_rng(0))
    assert sum(W.size for name, W in layer.parameters.items() if name.startswith("W")) == 4 * 8**2
    for T in (3, 11):
        assert layer.forward(gaussian(1, T, 8)).shape == (1, T, 8)


def test_keys_of_one_length_make_a_gaussian_kernel_of_width_d_to_the_quarter():
    Q, K = gaussian(5, 16), gaussian(7, 16, seed=1)
    K = 3 * K / np.linalg.norm(K, axis=1, keepdims=True)
    _, A = attention(Q, K, np.eye(7))
    squares = np.sum((Q[:, None] - K) ** 2, axis=2)
    kernel = np.exp(-squares / (2 * (16**0.25) ** 2))
    np.testing.assert_allclose(A, kernel / kernel.sum(axis=1, keepdims=True), atol=1e-12)


def test_figure_smoothing():
    x, y = tm_16.observations()
    grid = np.linspace(0, 3, 50)
    for bandwidth in tm_16.BANDWIDTHS:
        kernel = np.exp(-((grid[:, None] - x) ** 2) / (2 * bandwidth**2))
        expected = kernel @ y / kernel.sum(axis=1)
        np.testing.assert_allclose(tm_16.smooth(grid, bandwidth)[0], expected, atol=1e-9)
    narrow = tm_16.smooth(np.array([tm_16.QUERY]), tm_16.BANDWIDTHS[0])[1].max()
    assert_said(PAGE, narrow, digits=2)
    errors = [np.mean((tm_16.smooth(grid, h)[0] - tm_16.curve(grid)) ** 2) for h in tm_16.BANDWIDTHS]
    assert np.argmin(errors) == 1


def test_figure_induction():
    two = heads(2)
    first, second = tm_16.induction_maps()
    assert LONGEST == 14
    assert np.diagonal(first, -1)[:LONGEST].min() > 0.8
    assert np.diagonal(first, -1)[LONGEST:].max() < 0.2
    assert "в первых пятнадцати строках" in PAGE
    assert_said(PAGE, float(heads(1)["loss"]), digits=2)
    assert_said(PAGE, float(two["loss"]), digits=3)
    # where the word of seven symbols has been repeated, most of the weight lies on what followed an earlier occurrence
    on_earlier = [sum(second[i, j] for j in range(i + 1 - 7, 0, -7)) for i in range(7, len(second))]
    assert_said(PAGE, np.mean(on_earlier), digits=2)
    assert second[:, LONGEST + 1 :].max() < 0.05  # the second head looks for keys among the first fifteen


def test_attention_is_not_linear_but_stays_among_the_values():
    layer, X = MultiHeadAttention(8, 2, np.random.default_rng(0)), gaussian(1, 6, 8)
    assert np.abs(layer.forward(2 * X) - 2 * layer.forward(X)).max() > 0.1
    V = gaussian(6, 3, seed=2)
    Y, A = attention(gaussian(6, 4), gaussian(6, 4, seed=1), V)
    assert A.min() >= 0
    np.testing.assert_allclose(np.clip(Y, V.min(axis=0), V.max(axis=0)), Y)
    equal, _ = attention(gaussian(6, 4), gaussian(6, 4, seed=1), np.ones((6, 3)))
    np.testing.assert_allclose(equal, 1)


# Permutations


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_attention_is_equivariant(dtype):
    torch.manual_seed(0)
    layer = torch.nn.MultiheadAttention(16, 4, batch_first=True).to(dtype).eval()
    X, order = torch.randn(1, 10, 16, dtype=dtype), torch.randperm(10)
    with torch.no_grad():
        straight, shuffled = layer(X, X, X)[0], layer(X[:, order], X[:, order], X[:, order])[0]
    assert (straight[:, order] - shuffled).abs().max() < (1e-6 if dtype == torch.float32 else 1e-14)
    assert (straight.mean(dim=1) - shuffled.mean(dim=1)).abs().max() < (1e-6 if dtype == torch.float32 else 1e-14)


def test_a_causal_mask_breaks_it_but_the_last_token_of_a_layer_does_not_notice():
    layer = MultiHeadAttention(8, 2, np.random.default_rng(0))
    X, mask = gaussian(1, 6, 8), causal_mask(6)
    order = np.array([3, 0, 4, 2, 1, 5])  # the past of the last token is shuffled
    straight, shuffled = layer.forward(X, mask=mask), layer.forward(X[:, order], mask=mask)
    assert np.abs(straight[:, order] - shuffled)[:, :-1].max() > 0.1
    np.testing.assert_allclose(straight[:, -1], shuffled[:, -1], atol=1e-12)
    second = MultiHeadAttention(8, 2, np.random.default_rng(1))
    deep, deep_shuffled = second.forward(straight, mask=mask), second.forward(shuffled, mask=mask)
    assert np.abs(deep[:, -1] - deep_shuffled[:, -1]).max() > 0.01


def test_positions_break_it():
    layer, positions = MultiHeadAttention(8, 2, np.random.default_rng(0)), gaussian(6, 8, seed=5)
    X, order = gaussian(1, 6, 8), np.roll(np.arange(6), 2)
    assert np.abs(layer.forward(X + positions)[:, order] - layer.forward(X[:, order] + positions)).max() > 0.1


# Complexity and gradients


def test_mixing_is_cheaper_than_an_rnn_while_the_sequence_is_shorter_than_the_width():
    d = 512
    for T in (d - 1, d, d + 1):
        assert (4 * T**2 * d < 4 * T * d**2) == (d > T)
        assert 4 * T**2 * d + 8 * T * d**2 > 4 * T * d**2  # with the projections never


def test_jacobian_of_attention_is_that_of_autograd():
    T, d, d_k = 7, 5, 4
    W_Q, W_K, W_V = gaussian(3, d, d_k, seed=1)
    X = torch.tensor(gaussian(T, d), requires_grad=True)

    def last(X):
        Q, K, V = (X @ torch.tensor(W) for W in (W_Q, W_K, W_V))
        return torch.softmax(Q[-1] @ K.T / math.sqrt(d_k), dim=0) @ V

    jacobian = torch.autograd.functional.jacobian(last, X).numpy()  # (d_v, T, d)
    expected = np.linalg.norm(jacobian.transpose(1, 0, 2), 2, axis=(1, 2))
    np.testing.assert_allclose(tm_16.attention_jacobian_norms(W_Q, W_K, W_V, X.detach().numpy()), expected, atol=1e-12)
    # the formula of the page for s < T
    Q, K, V = (X.detach().numpy() @ W for W in (W_Q, W_K, W_V))
    y, A = attention(Q[-1:], K, V)
    for s in range(T - 1):
        formula = A[0, s] * (W_V.T + np.outer(V[s] - y[0], W_K @ Q[-1]) / math.sqrt(d_k))
        np.testing.assert_allclose(jacobian[:, s], formula, atol=1e-12)


def test_jacobian_of_the_rnn_is_that_of_autograd():
    W, W_x = 0.5 * gaussian(2, 4, 4, seed=1)
    X = torch.tensor(gaussian(6, 4), requires_grad=True)

    def last(X):
        h = torch.zeros(4, dtype=X.dtype)
        for x in X:
            h = torch.tanh(torch.tensor(W_x) @ x + torch.tensor(W) @ h)
        return h

    jacobian = torch.autograd.functional.jacobian(last, X).numpy().transpose(1, 0, 2)
    expected = np.linalg.norm(jacobian, 2, axis=(1, 2))
    np.testing.assert_allclose(tm_16.rnn_jacobian_norms(W, W_x, X.detach().numpy()), expected, atol=1e-12)


def test_figure_jacobian():
    at_50 = {name: norms[-51] for name, norms in tm_16.jacobian_norms().items()}
    assert at_50["attention"] == pytest.approx(0.018, abs=0.002)
    assert at_50["orthogonal"] == pytest.approx(6e-7, rel=0.2)
    assert at_50["rnn"] == pytest.approx(4e-17, rel=0.3)
    for text in ("$0{,}018$", r"$6\cdot10^{-7}$", r"$4\cdot10^{-17}$"):
        assert text in PAGE
    flat = tm_16.jacobian_norms()["attention"][:-1]
    assert flat.max() < 3 * flat.min()
    assert flat.mean() * tm_16.LENGTH == pytest.approx(1.7, abs=0.5)  # of the order of 1 / T


# Recurrence


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parallel_is_recurrent(dtype):
    Q, K, V = (gaussian(40, 8, seed=seed).astype(dtype) for seed in range(3))
    parallel = la.weights(Q, K, np.tri(40, dtype=dtype)) @ V
    for other in (la.recurrent_attention(Q, K, V), la.chunked_attention(Q, K, V, 16)):
        np.testing.assert_allclose(other, parallel, atol=3e-6 if dtype == np.float32 else 1e-13)


def test_example_of_linear_attention():
    S, z = 1 * 3 + 2 * 6, 1 + 2
    assert (S, z, S / z) == (15, 3, 5)
    K = np.array([[1.0], [2.0]])
    Y = la.recurrent_attention(np.ones((2, 1)), K, np.array([[3.0], [6.0]]), features=lambda X: X)
    assert Y[-1, 0] == pytest.approx(5)


def test_pairs_of_a_linear_recurrence_compose_associatively():
    rng = np.random.default_rng(0)
    pairs = [(rng.standard_normal(3), rng.standard_normal(3)) for _ in range(3)]

    def then(first, second):
        return second[0] * first[0], second[0] * first[1] + second[1]

    left, right = then(then(*pairs[:2]), pairs[2]), then(pairs[0], then(*pairs[1:]))
    np.testing.assert_allclose(left, right)
    s = rng.standard_normal(3)
    step = s
    for a, b in pairs:
        step = a * step + b
    np.testing.assert_allclose(left[0] * s + left[1], step)


def test_softmax_attention_is_an_infinite_sum_of_tensor_powers():
    q, k = gaussian(2, 4) / 2
    powers = [(q @ k) ** n / math.factorial(n) for n in range(20)]
    assert sum(powers) == pytest.approx(math.exp(q @ k))
    assert np.outer(q, q).ravel() @ np.outer(k, k).ravel() == pytest.approx((q @ k) ** 2)


def test_figure_state():
    assert tm_16.state_sizes(1)["linear"] == 33_280 == 8 * (64 * 64 + 64)
    assert_said(PAGE, 33_280 / tm_16.state_sizes(1)["cache"], digits=1)
    flops = tm_16.token_flops(np.array([64, 256]))
    assert flops["cache"][0] == flops["linear"][0]
    assert flops["cache"][1] == flops["rnn"][1]
    assert "при $T>64$" in PAGE and "при $T>256$" in PAGE


def test_the_delta_rule_reads_the_last_value_exactly():
    K, V = gaussian(12, 5), gaussian(12, 3, seed=1)
    K /= np.linalg.norm(K, axis=1, keepdims=True)
    np.testing.assert_allclose(la.delta_memory(K, V).T @ K[-1], V[-1], atol=1e-12)


def test_cost_of_generation_with_and_without_the_cache():
    T = 1000
    without, cached = sum(t**2 for t in range(1, T + 1)), sum(range(1, T + 1))
    assert without == pytest.approx(T**3 / 3, rel=0.01)
    assert cached == pytest.approx(T**2 / 2, rel=0.01)
