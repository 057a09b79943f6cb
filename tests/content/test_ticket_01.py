"""What the ticket on backpropagation claims: its formulas against autograd, and every number on the page."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from scripts.dl.activations import RELU, SIGMOID, TANH
from scripts.dl.autograd import Tensor
from scripts.dl.gradcheck import numerical_gradient, relative_error
from scripts.dl.initialization import constant, xavier_normal
from scripts.dl.losses import (
    mean_squared_error,
    sigmoid_binary_cross_entropy,
    softmax,
    softmax_cross_entropy,
)
from scripts.dl.mlp import MLP, Gradients
from scripts.figures import ticket_01 as figures
from scripts.figures.gradient_times import RECORDED, parameter_count
from tests.content.page import assert_said, printed

ROOT = Path(__file__).resolve().parents[2]
PAGE = printed("tickets/01-backpropagation.md")


def batch(network: MLP, objects: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    d_in, d_out = network.weights[0].shape[1], network.weights[-1].shape[0]
    return rng.normal(size=(objects, d_in)), np.eye(d_out)[rng.integers(d_out, size=objects)]


def gradients(network: MLP, X: np.ndarray, Y: np.ndarray) -> Gradients:
    return network.backward(softmax_cross_entropy(network.forward(X), Y)[1])


# --- The chain rule and the four equations ---------------------------------------------------------------------------


def test_paths_against_edges():
    widths = [1, 100, 100, 100, 100, 1]
    assert np.prod(widths) == 1e8
    assert sum(a * b for a, b in pairwise(widths[1:-1])) == 30_000


def test_the_four_equations_by_indices_give_the_gradients_of_autograd():
    network = MLP((4, 5, 3), TANH, xavier_normal, np.random.default_rng(0))
    X, Y = batch(network, 1)
    network.forward(X)
    (W1, W2), (b1, b2) = network.weights, network.biases
    x, z1 = X[0], network.preactivations[0][0]
    a1 = np.tanh(z1)
    p = softmax(network.preactivations[1])[0]
    delta2 = p - Y[0]
    delta1 = np.array([sum(delta2[k] * W2[k, j] for k in range(3)) * (1 - a1[j] ** 2) for j in range(5)])

    theirs = [torch.tensor(array, requires_grad=True) for array in (W1, W2, b1, b2)]
    hidden = torch.tanh(torch.tensor(x) @ theirs[0].T + theirs[2])
    F.cross_entropy(hidden @ theirs[1].T + theirs[3], torch.tensor(Y[0])).backward()
    for ours, tensor in zip((np.outer(delta1, x), np.outer(delta2, a1), delta1, delta2), theirs, strict=True):
        np.testing.assert_allclose(ours, tensor.grad.numpy(), atol=1e-15)
    assert np.linalg.matrix_rank(np.outer(delta1, x)) == 1


def test_batched_formulas_agree_with_autograd_to_1e_12():
    network = MLP((6, 9, 8, 4), TANH, xavier_normal, np.random.default_rng(0))
    X, Y = batch(network, 7)
    grads = gradients(network, X, Y)
    parameters = [torch.tensor(array, requires_grad=True) for array in network.weights + network.biases]
    A = torch.tensor(X)
    for layer in range(3):
        Z = A @ parameters[layer].T + parameters[3 + layer]
        A = torch.tanh(Z)
    F.cross_entropy(Z, torch.tensor(Y)).backward()
    for ours, theirs in zip(grads.weights + grads.biases, parameters, strict=True):
        assert ours.shape == tuple(theirs.shape)
        assert np.abs(ours - theirs.grad.numpy()).max() < 1e-12


def test_product_of_jacobians_gives_the_first_delta():
    network = MLP((4, 5, 6, 3), TANH, xavier_normal, np.random.default_rng(0))
    X, Y = batch(network, 1)
    deltas = gradients(network, X, Y).deltas
    D1, D2 = (np.diag(1 - np.tanh(Z[0]) ** 2) for Z in network.preactivations[:2])
    product = D1 @ network.weights[1].T @ D2 @ network.weights[2].T @ deltas[2][0]
    np.testing.assert_allclose(product, deltas[0][0], rtol=1e-12)


def test_a_shared_weight_and_a_shortcut_sum_their_contributions():
    rng = np.random.default_rng(0)
    W, x = Tensor(rng.normal(size=(3, 3))), Tensor(rng.normal(size=(1, 3)))
    copies = [Tensor(W.data), Tensor(W.data)]
    ((x @ W).tanh() @ W).sum().backward()
    ((x @ copies[0]).tanh() @ copies[1]).sum().backward()
    np.testing.assert_allclose(W.grad, copies[0].grad + copies[1].grad, rtol=1e-13)

    x, branch = Tensor(x.data), Tensor(x.data)
    (x + x.tanh()).sum().backward()
    branch.tanh().sum().backward()
    np.testing.assert_allclose(x.grad, 1.0 + branch.grad)


def test_positive_inputs_give_a_row_of_the_gradient_one_sign():
    network = MLP((4, 5, 6, 3), SIGMOID, xavier_normal, np.random.default_rng(0))
    grads = gradients(network, *batch(network, 1))
    for rows in grads.weights[1:]:
        assert np.all(np.abs(np.sign(rows).sum(axis=1)) == rows.shape[1])


def test_one_over_b_enters_once_and_parts_are_weighted_by_their_size():
    network = MLP((6, 9, 4), TANH, xavier_normal, np.random.default_rng(0))
    X, Y = batch(network, 12)
    whole = gradients(network, X, Y).weights[0]
    each = [gradients(network, X[i : i + 1], Y[i : i + 1]).weights[0] for i in range(12)]
    np.testing.assert_allclose(whole, np.mean(each, axis=0), atol=1e-15)

    bounds = [0, 2, 5, 12]
    parts = [gradients(network, X[i:j], Y[i:j]).weights[0] for i, j in pairwise(bounds)]
    weighted = sum((j - i) / 12 * part for (i, j), part in zip(pairwise(bounds), parts, strict=True))
    np.testing.assert_allclose(whole, weighted, atol=1e-15)
    assert relative_error(whole, np.mean(parts, axis=0)) > 0.01


def test_batch_normalisation_breaks_accumulation():
    torch.manual_seed(0)
    X, Y = torch.randn(12, 5, dtype=torch.float64), torch.randint(3, (12,))
    for normalise, equal in ((False, True), (True, False)):
        layers = [torch.nn.Linear(5, 8), *([torch.nn.BatchNorm1d(8)] if normalise else []), torch.nn.Linear(8, 3)]
        model = torch.nn.Sequential(*layers).double()
        F.cross_entropy(model(X), Y).backward()
        whole = model[0].weight.grad.clone()
        model.zero_grad()
        for rows in (slice(0, 6), slice(6, 12)):
            (F.cross_entropy(model(X[rows]), Y[rows]) / 2).backward()
        assert torch.allclose(whole, model[0].weight.grad, atol=1e-12) is equal


def test_the_lagrangian_recursion_is_that_of_delta():
    network = MLP((4, 5, 3), TANH, xavier_normal, np.random.default_rng(0))
    X, Y = batch(network, 1)
    deltas = gradients(network, X, Y).deltas
    multiplier = softmax(network.preactivations[1])[0] - Y[0]
    np.testing.assert_allclose(multiplier, deltas[1][0])
    multiplier = (network.weights[1].T @ multiplier) * TANH.derivative(network.preactivations[0][0])
    np.testing.assert_allclose(multiplier, deltas[0][0])


# --- Heads -----------------------------------------------------------------------------------------------------------


def test_softmax_jacobian():
    z = np.random.default_rng(0).normal(size=6)
    p = softmax(z)
    jacobian = np.diag(p) - np.outer(p, p)
    theirs = torch.autograd.functional.jacobian(lambda t: torch.softmax(t, 0), torch.tensor(z)).numpy()
    np.testing.assert_allclose(jacobian, theirs, atol=1e-15)
    np.testing.assert_allclose(jacobian, jacobian.T)
    np.testing.assert_allclose(jacobian @ np.ones(6), 0, atol=1e-16)
    y = np.eye(6)[2]
    np.testing.assert_allclose(jacobian.T @ (-y / p), p - y, atol=1e-15)


def test_cross_entropy_cancels_the_derivative_of_the_sigmoid_and_squared_error_does_not():
    z, y = np.array([-4.0]), np.array([1.0])
    p = SIGMOID(z)
    _, of_cross_entropy = sigmoid_binary_cross_entropy(z, y)
    of_squares = mean_squared_error(p, y)[1] * SIGMOID.derivative(z)
    np.testing.assert_allclose(of_cross_entropy, p - y)
    np.testing.assert_allclose(of_squares, 2 * (p - y) * p * (1 - p))
    np.testing.assert_allclose((p - y) / (p * (1 - p)) * SIGMOID.derivative(z), p - y)
    assert_said(PAGE, -of_cross_entropy.item(), -of_squares.item())


def test_output_adjoint_figure():
    adjoints = figures.output_adjoints()
    wrong = {epoch: np.abs(adjoint).sum(axis=1).mean() / 2 for epoch, adjoint in adjoints.items()}
    assert {adjoint.shape for adjoint in adjoints.values()} == {(360, 10)}
    assert wrong == {
        0: pytest.approx(0.89, abs=0.02), 1: pytest.approx(0.70, abs=0.05), 10: pytest.approx(0.15, abs=0.03)
    }  # fmt: skip
    assert_said(PAGE, 0.89, 0.15, digits=2)
    np.testing.assert_allclose(adjoints[10].sum(axis=1), 0, atol=1e-14)
    last_nine = adjoints[10][figures.shown_objects()[-1]]
    assert last_nine[9] < -0.3


# --- Local rules -----------------------------------------------------------------------------------------------------


def vjp(function, *inputs: np.ndarray, seed: int = 0):
    """Output adjoint, and PyTorch's adjoints of the inputs."""
    tensors = [torch.tensor(array, requires_grad=True) for array in inputs]
    output = function(*tensors)
    bar = torch.tensor(np.random.default_rng(seed).normal(size=tuple(output.shape)))
    return bar.numpy(), [grad.numpy() for grad in torch.autograd.grad(output, tensors, bar)]


def test_rows_of_the_vjp_table():
    rng = np.random.default_rng(0)
    x, y, square = rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), rng.normal(size=(4, 5))

    bar, (x_bar, y_bar) = vjp(lambda x, y: x + y, x, y)
    assert np.array_equal(x_bar, bar) and np.array_equal(y_bar, bar)
    bar, (x_bar, y_bar) = vjp(lambda x, y: x * y, x, y)
    np.testing.assert_allclose(x_bar, bar * y)
    np.testing.assert_allclose(y_bar, bar * x)
    bar, (x_bar,) = vjp(torch.tanh, x)
    np.testing.assert_allclose(x_bar, bar * (1 - np.tanh(x) ** 2))
    bar, (x_bar,) = vjp(torch.relu, x)
    np.testing.assert_array_equal(x_bar, bar * (x > 0))
    bar, (x_bar, y_bar) = vjp(lambda x, y: x @ y, x, square)
    np.testing.assert_allclose(x_bar, bar @ square.T)
    np.testing.assert_allclose(y_bar, x.T @ bar)
    bar, (x_bar,) = vjp(lambda x: x.sum(0), x)
    np.testing.assert_array_equal(x_bar, np.broadcast_to(bar, x.shape))
    bar, (x_bar,) = vjp(lambda x: x.expand(7, 4), x[0])
    np.testing.assert_allclose(x_bar, bar.sum(axis=0))
    bar, (x_bar,) = vjp(lambda x: x[1:3], x)
    np.testing.assert_array_equal(x_bar, np.pad(bar, ((1, 0), (0, 0))))
    bar, (x_bar,) = vjp(lambda x: x.max(), x)
    np.testing.assert_array_equal(x_bar, bar * (x == x.max()))
    p = softmax(x)
    bar, (x_bar,) = vjp(lambda x: torch.softmax(x, 1), x)
    np.testing.assert_allclose(x_bar, p * (bar - (p * bar).sum(axis=1, keepdims=True)), atol=1e-15)
    mask = (rng.random((3, 4)) > 0.5) * 2.0
    bar, (x_bar,) = vjp(lambda x: x * torch.tensor(mask), x)
    np.testing.assert_array_equal(x_bar, mask * bar)


def test_gather_scatters_back_and_unseen_rows_get_exactly_zero():
    E, words = np.random.default_rng(0).normal(size=(5, 3)), [4, 1, 4, 4]
    bar, (E_bar,) = vjp(lambda E: E[words], E)
    np.testing.assert_allclose(E_bar[4], bar[[0, 2, 3]].sum(axis=0))
    assert not E_bar[[0, 2, 3]].any()


def correlate_full(y_bar: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Full correlation of (C_out, H, W) with a kernel (C_in, C_out, k, k)."""
    k = kernel.shape[-1]
    padded = np.pad(y_bar, ((0, 0), (k - 1, k - 1), (k - 1, k - 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(1, 2))
    return np.einsum("ohwkl,iokl->ihw", windows, kernel)


def test_convolution_in_one_dimension_by_the_formulas_of_the_page():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=9), rng.normal(size=3)
    bar, (x_bar, w_bar) = vjp(lambda x, w: F.conv1d(x[None, None], w[None, None])[0, 0], x, w)
    assert w_bar == pytest.approx([sum(bar[i] * x[i + m] for i in range(7)) for m in range(3)])
    expected = [sum(bar[j - m] * w[m] for m in range(3) if 0 <= j - m < 7) for j in range(9)]
    assert x_bar == pytest.approx(expected)
    assert x_bar == pytest.approx(np.correlate(np.pad(bar, 2), w[::-1], mode="valid"))


def test_convolution_back_is_a_transposed_convolution():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(3, 8, 7)), rng.normal(size=(4, 3, 3, 3))
    bar, (x_bar, w_bar) = vjp(lambda x, w: F.conv2d(x[None], w)[0], x, w)
    transposed = F.conv_transpose2d(torch.tensor(bar)[None], torch.tensor(w))[0].numpy()
    np.testing.assert_allclose(x_bar, transposed, atol=1e-13)
    flipped = w[:, :, ::-1, ::-1].swapaxes(0, 1)
    np.testing.assert_allclose(x_bar, correlate_full(bar, flipped), atol=1e-13)
    windows = np.lib.stride_tricks.sliding_window_view(x, bar.shape[1:], axis=(1, 2))
    np.testing.assert_allclose(w_bar, np.einsum("iklhw,ohw->oikl", windows, bar), atol=1e-13)


def test_strided_convolution_back_inserts_zeros():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(3, 9, 9)), rng.normal(size=(4, 3, 3, 3))
    bar, (x_bar, _) = vjp(lambda x, w: F.conv2d(x[None], w, stride=2)[0], x, w)
    spread = np.zeros((4, 7, 7))
    spread[:, ::2, ::2] = bar
    np.testing.assert_allclose(x_bar, correlate_full(spread, w[:, :, ::-1, ::-1].swapaxes(0, 1)), atol=1e-13)


def test_pooling():
    x = np.random.default_rng(0).normal(size=(6, 6))
    bar, (x_bar,) = vjp(lambda x: F.max_pool2d(x[None], 3, stride=1)[0], x)
    expected = np.zeros_like(x)
    for i, j in np.ndindex(bar.shape):
        window = x[i : i + 3, j : j + 3]
        di, dj = np.unravel_index(window.argmax(), window.shape)
        expected[i + di, j + dj] += bar[i, j]
    np.testing.assert_allclose(x_bar, expected)
    bar, (x_bar,) = vjp(lambda x: F.avg_pool2d(x[None], 2)[0], x)
    np.testing.assert_allclose(x_bar, np.kron(bar / 4, np.ones((2, 2))))
    _, (tied,) = vjp(lambda x: F.max_pool2d(x[None, None], 2)[0], np.ones((2, 2)))
    assert np.count_nonzero(tied) == 1


def test_autograd_of_an_identity_made_of_relus_is_wrong_at_the_kink():
    for start, expected in ((0.0, 0.0), (0.5, 1.0), (-0.5, 1.0)):
        t = Tensor(start)
        (t.relu() - (-t).relu()).backward()
        assert t.grad == expected
    theirs = torch.tensor(0.0, requires_grad=True)
    (torch.relu(theirs) - torch.relu(-theirs)).backward()
    assert theirs.grad == 0.0


def test_piecewise_constant_functions_pass_zero():
    t = torch.tensor([0.3, 1.7], requires_grad=True)
    torch.round(t).sum().backward()
    assert t.grad.tolist() == [0.0, 0.0]


# --- The hand example ------------------------------------------------------------------------------------------------


def test_hand_example_by_the_network():
    network = figures.hand_network()
    loss, grads = figures.hand_pass(network)
    logit = network.preactivations[1].item()
    p = SIGMOID(np.array(logit)).item()
    assert network.preactivations[0].tolist() == [[pytest.approx(0.5), pytest.approx(-0.3)]]
    np.testing.assert_allclose(network.inputs[1], [[0.462, -0.291]], atol=5e-4)
    np.testing.assert_allclose(grads.deltas[0], [[0.413, -0.360]], atol=5e-4)
    np.testing.assert_allclose(grads.weights[0], [[0.413, 0.825], [-0.360, -0.720]], atol=5e-4)
    np.testing.assert_allclose(grads.weights[1], [[0.303, -0.191]], atol=5e-4)
    np.testing.assert_allclose(grads.deltas[1] @ network.weights[1], [[0.525, -0.393]], atol=5e-4)
    np.testing.assert_allclose(1 - network.inputs[1] ** 2, [[0.786, 0.915]], atol=5e-4)
    assert grads.deltas[1].item() == grads.biases[1].item() == pytest.approx(p)
    assert_said(
        PAGE, 0.462, 0.291, logit, p, loss, 0.413, 0.360, 0.825, 0.720, 0.303, 0.191, 0.525, 0.393, 0.786, 0.915
    )


def test_hand_example_by_the_micro_autograd():
    node = figures.hand_nodes()
    loss, grads = figures.hand_pass(figures.hand_network())
    assert node["loss"].data == pytest.approx(loss)
    for i in (1, 2):
        assert node[f"v{i}"].grad == pytest.approx(grads.weights[1][0, i - 1])
        assert node[f"z{i}"].grad == node[f"b{i}"].grad == pytest.approx(grads.deltas[0][0, i - 1])
        for j in (1, 2):
            assert node[f"w{i}{j}"].grad == pytest.approx(grads.weights[0][i - 1, j - 1])
    assert node["z"].grad == pytest.approx(node["p"].data)
    assert_said(PAGE, node["p"].grad, node["p"].data * (1 - node["p"].data))


def test_contributions_of_the_fan_out_add_up():
    node = figures.hand_nodes()
    first, second = figures.contribution("x1", "w11x1"), figures.contribution("x1", "w21x1")
    assert first + second == pytest.approx(node["x1"].grad)
    assert_said(PAGE, first, second, node["x1"].grad)
    total = figures.contribution("x2", "w12x2") + figures.contribution("x2", "w22x2")
    assert total == pytest.approx(node["x2"].grad)


def test_figure_shows_all_edges_of_the_graph():
    shown = [
        (operand, consumer)
        for consumer in figures.LABELS
        for operand in figures.LABELS
        if figures._feeds(operand, consumer)
    ]
    assert len(shown) == 4 * 2 + 2 * 3 + 2 + 2 * 2 + 3 + 2


def test_hand_example_agrees_with_pytorch():
    W1, W2 = (torch.tensor(W, requires_grad=True) for W in figures.HAND_WEIGHTS)
    b1, b2 = (torch.tensor(b, requires_grad=True) for b in figures.HAND_BIASES)
    x, y = torch.tensor(figures.HAND_X, requires_grad=True), torch.tensor(figures.HAND_Y)
    loss = F.binary_cross_entropy_with_logits(torch.tanh(x @ W1.T + b1) @ W2.T + b2, y)
    loss.backward()
    _, grads = figures.hand_pass(figures.hand_network())
    for ours, theirs in zip(grads.weights + grads.biases, (W1, W2, b1, b2), strict=True):
        np.testing.assert_allclose(ours, theirs.grad.numpy(), atol=1e-15)
    np.testing.assert_allclose([figures.hand_nodes()[name].grad for name in ("x1", "x2")], x.grad.numpy()[0])


def test_one_step_of_descent_on_the_hand_example():
    network = figures.hand_network()
    before, grads = figures.hand_pass(network)
    parameters = network.weights + network.biases
    for parameter, gradient in zip(parameters, grads.weights + grads.biases, strict=True):
        parameter -= 0.5 * gradient
    after, _ = figures.hand_pass(network)
    assert parameter_count(network) == 9
    assert_said(PAGE, before, after, network.weights[1][0, 0])


# --- Cost ------------------------------------------------------------------------------------------------------------


def flops(sizes: tuple[int, ...], objects: int = 32) -> tuple[int, int]:
    """Of the forward and of the backward pass, as PyTorch counts them (a multiply-add is two)."""
    model = torch.nn.Sequential(*(torch.nn.Linear(a, b, bias=False) for a, b in pairwise(sizes)))
    X = torch.randn(objects, sizes[0])
    with FlopCounterMode(display=False) as forward:
        loss = model(X).sum()
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    return forward.get_total_flops(), backward.get_total_flops()


def test_flops_of_a_layer_and_of_a_small_network():
    forward, backward = flops((64, 128, 128, 10))
    assert forward == 2 * 32 * (64 * 128 + 128 * 128 + 128 * 10)
    assert backward == 2 * forward - 2 * 32 * 64 * 128
    assert_said(PAGE, backward / forward, digits=2)


def test_a_hidden_layer_costs_twice_as_much_backward():
    short, long = flops((64, 100, 10)), flops((64, 100, 100, 10))
    forward, backward = (b - a for a, b in zip(short, long, strict=True))
    assert forward == 2 * 32 * 100 * 100
    assert backward == 2 * forward


def test_six_n_d_for_gpt_3():
    parameters, tokens = 1.75e11, 3e11
    assert 6 * parameters * tokens == pytest.approx(3.15e23)
    assert_said(PAGE, 1.75, 3.15, 3.14, digits=2)


def test_recorded_times_have_the_claimed_slopes_and_gap():
    sizes, backprop, differences = (np.array(RECORDED[name]) for name in ("sizes", "backprop", "differences"))
    assert sizes[0] < 1000 < sizes[-1] < 100_000
    assert figures.slope(sizes, backprop) == pytest.approx(1, abs=0.12)
    assert figures.slope(sizes, differences) == pytest.approx(2, abs=0.12)
    assert 10_000 * backprop[-1] < differences[-1] < 100_000 * backprop[-1]


# --- Gradient check --------------------------------------------------------------------------------------------------


def flat(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([array.ravel() for array in arrays])


def hand_loss(theta: np.ndarray) -> float:
    network, start = figures.hand_network(), 0
    for parameter in network.weights + network.biases:
        parameter[...] = theta[start : start + parameter.size].reshape(parameter.shape)
        start += parameter.size
    return figures.hand_pass(network)[0]


def test_gradient_check_of_the_hand_example_and_of_a_bug():
    network = figures.hand_network()
    _, grads = figures.hand_pass(network)
    theta, right = flat(network.weights + network.biases), flat(grads.weights + grads.biases)
    numerical = numerical_gradient(hand_loss, theta)
    assert relative_error(right, numerical) < 1e-10
    assert "1{,}4\\cdot10^{-11}" in PAGE

    delta1 = grads.deltas[1] @ network.weights[1]  # without the derivative of tanh
    wrong = flat([delta1.T @ figures.HAND_X, grads.weights[1], delta1.sum(axis=0), grads.biases[1]])
    assert_said(PAGE, relative_error(wrong, numerical))

    direction = np.random.default_rng(0).normal(size=theta.size)
    h = 6e-6
    along = (hand_loss(theta + h * direction) - hand_loss(theta - h * direction)) / (2 * h)
    assert along == pytest.approx(right @ direction, rel=1e-8)


def test_step_and_error_of_the_central_difference_by_the_formula():
    epsilon = np.finfo(np.float64).eps
    assert epsilon == pytest.approx(2.2e-16, rel=0.01)
    assert epsilon ** (1 / 3) == pytest.approx(6e-6, rel=0.02)
    assert epsilon ** (2 / 3) == pytest.approx(4e-11, rel=0.1)
    assert epsilon ** (1 / 2) == pytest.approx(1.5e-8, rel=0.01)
    assert np.finfo(np.float32).eps == pytest.approx(1.2e-7, rel=0.01)

    value, third = 1.7, 0.9
    h = np.logspace(-7, -4, 300_001)
    error = third * h**2 / 6 + epsilon * value / h
    best = (3 * epsilon * value / third) ** (1 / 3)
    assert h[error.argmin()] == pytest.approx(best, rel=1e-3)
    assert error.min() == pytest.approx(third * best**2 / 2, rel=1e-6)


def test_step_size_figure():
    errors, steps = figures.step_errors(), figures.STEPS
    minima = {key: (curve.min(), steps[curve.argmin()]) for key, curve in errors.items()}
    assert minima["float64", "forward"][0] == pytest.approx(7e-9, rel=0.2)
    assert minima["float64", "central"][0] == pytest.approx(7e-12, rel=0.4)
    assert minima["float32", "central"][0] == pytest.approx(4e-6, rel=0.4)
    for dtype in (np.float64, np.float32):
        epsilon, name = np.finfo(dtype).eps, np.dtype(dtype).name
        assert 0.3 < minima[name, "forward"][1] / epsilon ** (1 / 2) < 3
        assert 0.3 < minima[name, "central"][1] / epsilon ** (1 / 3) < 3
    lost = errors["float32", "central"][steps < 4e-8]
    assert len(lost) and np.all(lost == 1)
    assert errors["float32", "central"][steps > 6e-8][0] < 1


# --- Symmetry --------------------------------------------------------------------------------------------------------


def test_zero_start_of_a_tanh_network_has_exactly_zero_gradients_but_for_the_last_bias():
    network = MLP((6, 5, 4, 3), TANH, constant(0.0), np.random.default_rng(0))
    X, Y = batch(network, 8)
    for _ in range(3):
        grads = gradients(network, X, Y)
        assert not any(gradient.any() for gradient in grads.weights + grads.biases[:-1])
        assert grads.biases[-1].any()
        network.biases[-1] -= 0.5 * grads.biases[-1]


def test_zero_start_with_sigmoid_moves_the_top_layer_only_and_keeps_it_symmetric():
    network = MLP((6, 5, 3), SIGMOID, constant(0.0), np.random.default_rng(0))
    grads = gradients(network, *batch(network, 8))
    assert grads.weights[1].any() and not grads.weights[0].any()
    assert np.ptp(grads.weights[1], axis=1) == pytest.approx(0, abs=1e-16)


@pytest.mark.parametrize("activation", [TANH, SIGMOID, RELU])
def test_constant_start_gives_identical_rows(activation):
    network = MLP((6, 5, 4, 3), activation, constant(0.3), np.random.default_rng(0))
    X, Y = batch(network, 8)
    for _ in range(5):
        grads = gradients(network, X, Y)
        for gradient in grads.weights[:-1]:
            np.testing.assert_allclose(gradient, np.broadcast_to(gradient[0], gradient.shape), atol=1e-13)
        for W, gradient in zip(network.weights, grads.weights, strict=True):
            W -= 0.5 * gradient
    assert np.ptp(network.weights[0], axis=0).max() < 1e-12


def test_symmetry_figure():
    runs = figures.symmetry_runs()
    assert runs["zero"].losses.min() == pytest.approx(np.log(10), abs=0.002)
    assert not any(W.any() for W in runs["zero"].network.weights)
    assert np.ptp(runs["constant"].network.weights[0], axis=0).max() < 1e-10
    assert_said(PAGE, np.log(10), digits=2)
    for name, percent in (("constant", 39), ("single", 28), ("random", 99)):
        assert 100 * runs[name].accuracy == pytest.approx(percent, abs=3)
    assert runs["random"].losses[-1] < 0.1 < 1.3 < runs["constant"].losses[-1] < runs["single"].losses[-1]


def test_identical_units_are_one_unit_with_other_rates():
    units, rate, epochs = 32, 0.1, figures.SYMMETRY_EPOCHS
    scales = [rate / units, rate * units]
    single = MLP((64, 1, 10), TANH, constant(0.01), np.random.default_rng(0))
    single.weights[1] *= units
    losses = []

    def scaled_backward(network: MLP, grad_logits: np.ndarray) -> Gradients:
        grads = network.backward(grad_logits)
        grads.weights = [scale * W for scale, W in zip(scales, grads.weights, strict=True)]
        grads.biases = [scales[0] * grads.biases[0], rate * grads.biases[1]]
        return grads

    def keep(_: int, network: MLP) -> None:
        losses.append(figures.loss_and_accuracy(network)[0])

    figures.train_on_digits(single, epochs, 1.0, keep, scaled_backward)
    np.testing.assert_allclose(losses, figures.symmetry_runs()["constant"].losses, rtol=1e-3)


def test_lora_start_is_not_stuck():
    rng = np.random.default_rng(0)
    W, A, B, x = Tensor(rng.normal(size=(4, 4))), Tensor(rng.normal(size=(2, 4))), Tensor(np.zeros((4, 2))), rng.normal
    (Tensor(x(size=(3, 4))) @ (W + B @ A).T).tanh().sum().backward()
    assert B.grad.all() and not A.grad.any()


# --- Limits ----------------------------------------------------------------------------------------------------------


def test_feedback_alignment_figure():
    found = figures.alignment()
    assert 100 * found["accuracy_backprop"][-1] == pytest.approx(98.6, abs=1.5)
    assert 100 * found["accuracy_feedback"][-1] == pytest.approx(97.5, abs=1.5)
    assert found["angles"][0] == pytest.approx([90, 90], abs=10)
    assert np.all(found["angles"][-1] < 60)
    assert_said(PAGE, 97.5, 98.6, digits=1)


def test_loss_scaling_facts():
    half = torch.finfo(torch.float16)
    assert half.smallest_normal * half.eps == pytest.approx(6e-8, rel=0.01)
    assert torch.tensor(2e-8, dtype=torch.float16) == 0
    assert torch.finfo(torch.bfloat16).max == pytest.approx(torch.finfo(torch.float32).max, rel=0.01)


def test_softmax_applied_twice_flattens_the_prediction():
    twice = softmax(softmax(np.array([50.0, 0.0, 0.0])))
    assert twice[0] < np.e / (np.e + 2) + 1e-9


# --- The page itself -------------------------------------------------------------------------------------------------


def test_code_on_the_page_is_short():
    for path, section in re.findall(r'--8<-- "([^":]+):([\w-]+)"', PAGE):
        source = (ROOT / path).read_text(encoding="utf-8")
        body = source.split(f"# --8<-- [start:{section}]\n")[1].split(f"# --8<-- [end:{section}]")[0]
        lines = [line for line in body.rstrip().splitlines() if "--8<--" not in line]
        assert len(lines) <= 25, (path, section)
        assert max(map(len, lines)) <= 80, (path, section)
    pseudocode = PAGE.split("```text\n")[1].split("```")[0]
    assert len([line for line in pseudocode.splitlines() if line.strip()]) <= 15


# --- What PyTorch does, as the follow-ups tell it ---------------------------------------------------------------------


def gradient_at(function, *values: float) -> list[float]:
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    function(x).backward()
    return x.grad.tolist()


def test_ties_and_kinks_in_pytorch():
    assert sorted(gradient_at(lambda x: x.max(dim=0).values, 1.0, 1.0)) == [0.0, 1.0]
    assert sorted(gradient_at(lambda x: F.max_pool1d(x[None, None], 2).sum(), 1.0, 1.0)) == [0.0, 1.0]
    for shared in (torch.max, torch.amax, lambda x: torch.maximum(x[0], x[1])):
        assert gradient_at(shared, 1.0, 1.0) == [0.5, 0.5]
    assert gradient_at(lambda x: x.relu().sum(), 0.0) == [0.0]
    assert gradient_at(lambda x: x.clamp(min=0).sum(), 0.0) == [1.0]
    assert gradient_at(lambda x: x.round().sum(), 0.3) == [0.0]
    assert not torch.zeros(2, requires_grad=True).argmax().requires_grad


def test_a_finite_loss_with_a_nan_gradient():
    assert np.isnan(gradient_at(lambda x: torch.where(x > 0, x.sqrt(), 0.0 * x).sum(), 0.0)[0])


def test_backward_of_a_vector_is_refused():
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        torch.ones(2, requires_grad=True).mul(2).backward()


def test_gradient_through_attention():
    generator = torch.Generator().manual_seed(0)
    Q, K, V, O_bar = (torch.randn(5, 3, generator=generator, dtype=torch.float64) for _ in range(4))
    for tensor in (Q, K, V):
        tensor.requires_grad_()
    P = torch.softmax(Q @ K.T / 3**0.5, dim=1)
    (P @ V).backward(O_bar)
    with torch.no_grad():
        P_bar = O_bar @ V.T
        S_bar = P * (P_bar - (P * P_bar).sum(dim=1, keepdim=True))
        for tensor, formula in ((V, P.T @ O_bar), (Q, S_bar @ K / 3**0.5), (K, S_bar.T @ Q / 3**0.5)):
            torch.testing.assert_close(tensor.grad, formula)


def test_norm_of_one_object_s_gradient_without_its_own_pass():
    rng = np.random.default_rng(0)
    delta, a = rng.normal(size=4), rng.normal(size=6)
    assert np.linalg.norm(np.outer(delta, a)) == pytest.approx(np.linalg.norm(delta) * np.linalg.norm(a))


def test_gradient_through_a_fixed_point():
    theta = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    W = torch.tensor([[0.2, -0.3], [0.4, 0.1]], dtype=torch.float64)
    z = torch.zeros(2, dtype=torch.float64)
    for _ in range(200):
        z = torch.tanh(W @ z + theta)
    z.sum().backward()
    with torch.no_grad():
        slope = 1 - z**2
        J = slope[:, None] * W
        adjoint = torch.linalg.solve(torch.eye(2, dtype=torch.float64) - J.T, torch.ones(2, dtype=torch.float64))
        assert float(adjoint @ slope) == pytest.approx(theta.grad.item(), abs=1e-12)
