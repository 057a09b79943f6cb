"""Every number and every claim of tm-01 that can be computed is computed here."""

import numpy as np
import pytest

from scripts.dl import initialization
from scripts.dl.activations import RELU, SIGMOID, TANH
from scripts.dl.autograd import Tensor
from scripts.dl.gradcheck import forward_difference, numerical_gradient, relative_error
from scripts.dl.losses import softmax, softmax_cross_entropy
from scripts.dl.mlp import MLP
from scripts.figures import tm_01


def trained_on_random_batch(sizes, activation=TANH, batch=7, initialize=initialization.xavier_normal, seed=0):
    """A network after one forward and one backward pass: model, inputs, labels, gradients."""
    rng = np.random.default_rng(seed)
    model = MLP(sizes, activation, initialize, rng)
    X = rng.standard_normal((batch, sizes[0]))
    Y = np.eye(sizes[-1])[rng.integers(0, sizes[-1], batch)]
    _, grad_logits = softmax_cross_entropy(model.forward(X), Y)
    return model, X, Y, model.backward(grad_logits)


# The four equations


def test_batched_equations_agree_with_autograd():
    model, X, Y, gradients = trained_on_random_batch((4, 5, 3))
    W1, W2 = (Tensor(W) for W in model.weights)
    b1, b2 = (Tensor(b) for b in model.biases)
    logits = (Tensor(X) @ W1.T + b1).tanh() @ W2.T + b2
    loss = (logits.exp().sum(axis=1).log() - (logits * Y).sum(axis=1)).mean()
    loss.backward()
    for ours, theirs in zip((*gradients.weights, *gradients.biases), (W1, W2, b1, b2), strict=True):
        np.testing.assert_allclose(ours, theirs.grad, rtol=0, atol=1e-12)


def test_batched_equations_agree_with_pytorch():
    torch = pytest.importorskip("torch")
    model, X, Y, gradients = trained_on_random_batch((4, 5, 3))
    parameters = [torch.tensor(p, requires_grad=True) for p in (*model.weights, *model.biases)]
    W1, W2, b1, b2 = parameters
    logits = torch.tanh(torch.tensor(X) @ W1.T + b1) @ W2.T + b2
    torch.nn.functional.cross_entropy(logits, torch.tensor(Y)).backward()
    for ours, theirs in zip((*gradients.weights, *gradients.biases), parameters, strict=True):
        np.testing.assert_allclose(ours, theirs.grad.numpy(), rtol=0, atol=1e-12)


def test_shapes_are_those_of_the_page():
    sizes, batch = (4, 5, 3), 7
    _, _, _, gradients = trained_on_random_batch(sizes, batch=batch)
    for layer in (1, 2):
        assert gradients.weights[layer - 1].shape == (sizes[layer], sizes[layer - 1])
        assert gradients.biases[layer - 1].shape == (sizes[layer],)
        assert gradients.deltas[layer - 1].shape == (batch, sizes[layer])


def test_equations_of_one_object_and_rows_of_a_batch():
    """A row of Z-bar is delta / B of its object, and the batch gradient is the mean of the outer products."""
    model, X, Y, gradients = trained_on_random_batch((4, 5, 3))
    W2 = model.weights[1]
    outer_products = np.zeros_like(model.weights[0])
    for i, (x, y) in enumerate(zip(X, Y, strict=True)):
        z1 = model.weights[0] @ x + model.biases[0]
        p = softmax(W2 @ np.tanh(z1) + model.biases[1])
        delta2 = p - y
        delta1 = (W2.T @ delta2) * TANH.derivative(z1)
        np.testing.assert_allclose(gradients.deltas[1][i], delta2 / len(X), atol=1e-15)
        np.testing.assert_allclose(gradients.deltas[0][i], delta1 / len(X), atol=1e-15)
        outer_products += np.outer(delta1, x)
    np.testing.assert_allclose(gradients.weights[0], outer_products / len(X), atol=1e-15)


def test_finite_differences_agree():
    model, X, Y, gradients = trained_on_random_batch((4, 5, 3))

    def loss(W):
        model.weights[0] = W
        return softmax_cross_entropy(model.forward(X), Y)[0]

    assert relative_error(gradients.weights[0], numerical_gradient(loss, model.weights[0])) < 1e-7


def test_softmax_jacobian_gives_the_same_delta():
    z, y = np.array([0.3, -1.2, 0.7]), np.array([0.0, 1.0, 0.0])
    p = softmax(z)
    jacobian = np.diag(p) - np.outer(p, p)
    np.testing.assert_allclose(jacobian.T @ (-y / p), p - y, atol=1e-15)


def test_squared_error_after_sigmoid_keeps_the_slope():
    def loss(z):
        return float(0.5 * (SIGMOID(z[0]) - 1.0) ** 2)

    z = np.array([-4.0])
    p = SIGMOID(z)
    np.testing.assert_allclose((p - 1.0) * p * (1.0 - p), numerical_gradient(loss, z), rtol=1e-7)


def test_best_step_of_the_central_difference():
    assert np.finfo(float).eps ** (1 / 3) == pytest.approx(6e-6, rel=0.02)


def test_add_copies_multiply_swaps_max_routes_broadcasting_sums():
    a, b = Tensor([2.0, -1.0]), Tensor(3.0)
    (a * b + a).sum().backward()
    np.testing.assert_array_equal(a.grad, [3.0 + 1.0, 3.0 + 1.0])
    assert b.grad == 2.0 - 1.0
    c = Tensor([2.0, -1.0])
    c.relu().sum().backward()
    np.testing.assert_array_equal(c.grad, [1.0, 0.0])


# The scalar example

EXAMPLE = {"w1": 0.5, "b1": -0.5, "w2": -0.8, "b2": 0.0}


def run_example(parameters):
    p = {name: Tensor(value) for name, value in parameters.items()}
    z1 = p["w1"] * 2.0 + p["b1"]
    a1 = z1.tanh()
    prediction = p["w2"] * a1 + p["b2"]
    loss = (prediction - 1.0) ** 2 * 0.5
    loss.backward()
    return {"z1": z1, "a1": a1, "prediction": prediction, "loss": loss, **p}


def test_scalar_example():
    example = run_example(EXAMPLE)
    values = {name: float(example[name].data) for name in ("z1", "a1", "prediction", "loss")}
    assert values == pytest.approx({"z1": 0.5, "a1": 0.4621, "prediction": -0.3697, "loss": 0.9380}, abs=5e-5)
    assert 1 - values["a1"] ** 2 == pytest.approx(0.7864, abs=5e-5)
    gradients = {name: float(node.grad) for name, node in example.items()}
    assert gradients["prediction"] == pytest.approx(-1.3697, abs=5e-5)
    assert gradients["z1"] == pytest.approx(0.8618, abs=5e-5)
    expected = {"w1": 1.7235, "b1": 0.8618, "w2": -0.6330, "b2": -1.3697}
    assert {name: gradients[name] for name in EXAMPLE} == pytest.approx(expected, abs=5e-5)


def test_scalar_example_by_the_four_equations():
    model = MLP((1, 1, 1), TANH, initialization.constant(0.0), np.random.default_rng(0))
    model.weights = [np.array([[EXAMPLE["w1"]]]), np.array([[EXAMPLE["w2"]]])]
    model.biases[0] += EXAMPLE["b1"]
    gradients = model.backward(model.forward(np.array([[2.0]])) - 1.0)
    found = [float(g.item()) for g in (*gradients.weights, *gradients.biases)]
    assert found == pytest.approx([1.7235, -0.6330, 0.8618, -1.3697], abs=5e-5)


def test_step_of_gradient_descent_lowers_the_loss_of_the_example():
    example = run_example(EXAMPLE)
    stepped = {name: value - 0.1 * float(example[name].grad) for name, value in EXAMPLE.items()}
    assert float(run_example(stepped)["loss"].data) == pytest.approx(0.4176, abs=5e-5)


# Several consumers, shared weights


def test_consumers_add_up():
    w = Tensor(3.0)
    (w * w).backward()
    assert w.grad == 2 * 3.0

    x = Tensor(0.7)
    (x + x.tanh()).backward()
    assert x.grad == pytest.approx(1.0 + TANH.derivative(0.7))


def test_shared_matrix_sums_the_gradients_of_its_uses():
    rng = np.random.default_rng(0)
    initial, x = rng.standard_normal((3, 3)), Tensor(rng.standard_normal((1, 3)))
    shared, first, second = Tensor(initial), Tensor(initial), Tensor(initial)
    ((x @ shared.T).tanh() @ shared.T).tanh().sum().backward()
    ((x @ first.T).tanh() @ second.T).tanh().sum().backward()
    np.testing.assert_allclose(shared.grad, first.grad + second.grad, atol=1e-15)


# Cost


def matmul_cost(sizes):
    """Multiply-adds of the matrix products of one object: forward, backward (the input's adjoint is not computed)."""
    products = [a * b for a, b in zip(sizes[:-1], sizes[1:], strict=True)]
    return sum(products), 2 * sum(products) - products[0]


@pytest.mark.parametrize("depth", [1, 2, 8, 50])
def test_backward_costs_two_forwards_less_one_product(depth):
    forward, backward = matmul_cost((6,) * (depth + 1))
    assert backward / forward == pytest.approx(2 - 1 / depth)


def test_finite_differences_of_the_digits_network():
    model = MLP((64, 32, 10), TANH, initialization.xavier_normal, np.random.default_rng(0))
    parameters = sum(p.size for p in (*model.weights, *model.biases))
    assert parameters == 2410

    calls = 0

    def count(theta):
        nonlocal calls
        calls += 1
        return 0.0

    forward_difference(count, np.zeros(parameters))
    assert calls == 2411


def test_figure_reuse_numbers_of_the_caption():
    counts = tm_01.counts(8)
    assert (counts.paths, counts.backprop, counts.forward) == (582576, 396, 128)
    assert tm_01.NETWORK_WIDTH**7 == 16384
    assert tm_01.NETWORK_WIDTH + 6 * tm_01.NETWORK_WIDTH**2 == 100  # edges above one unit of the first layer
    assert counts.finite_differences == 20608 == 161 * counts.forward


def test_figure_reuse_growth():
    """Exponential without memory, linear with it, quadratic for finite differences."""
    paths = [tm_01.counts(depth).paths for depth in tm_01.DEPTHS]
    assert paths[-1] / paths[-2] == pytest.approx(tm_01.NETWORK_WIDTH, rel=0.01)
    backprop = np.diff([tm_01.counts(depth).backprop for depth in tm_01.DEPTHS])
    assert len(set(backprop)) == 1
    finite = np.diff([tm_01.counts(depth).finite_differences for depth in tm_01.DEPTHS], n=2)
    assert len(set(finite)) == 1


# The other figures


def test_figure_chain_is_confidently_wrong_and_its_matrices_are_outer_products():
    chain = tm_01.chain()
    assert chain.target.tolist() == [0.0, 1.0]
    assert chain.activations[-1][1] < 0.1
    np.testing.assert_allclose(chain.gradients.deltas[-1][0], chain.activations[-1] - chain.target)
    for layer, weights in enumerate(chain.gradients.weights):
        np.testing.assert_allclose(weights, np.outer(chain.gradients.deltas[layer][0], chain.activations[layer]))
        np.testing.assert_array_equal(chain.gradients.biases[layer], chain.gradients.deltas[layer][0])


def test_figure_gradient_check():
    checks = tm_01.mistakes()
    assert checks[tm_01.CORRECT].error < 1e-9
    assert checks[tm_01.SLOPE_AT_A].error == pytest.approx(0.08, abs=5e-3)
    assert checks[tm_01.NO_SLOPE].error == pytest.approx(0.31, abs=5e-3)
    assert checks[tm_01.NO_TRANSPOSE].error == pytest.approx(0.44, abs=5e-3)
    for check in checks.values():
        assert relative_error(check.analytical[-1], check.numerical[-1]) < 1e-9
    assert all(weights.shape == (5, 5) for weights in checks[tm_01.CORRECT].analytical)


# Limits and traps


def test_ten_sigmoid_layers_of_unit_norm_weaken_the_signal_a_million_times():
    widths = (16,) * 12
    model, _, _, gradients = trained_on_random_batch(widths, SIGMOID, batch=4, initialize=initialization.orthogonal)
    assert np.linalg.norm(model.weights[5], 2) == pytest.approx(1.0)
    top, bottom = gradients.deltas[10], gradients.deltas[0]
    weakening = np.linalg.norm(top, axis=1) / np.linalg.norm(bottom, axis=1)
    assert np.all(weakening >= 4**10)
    assert pytest.approx(1e6, rel=0.05) == 4**10


def test_derivatives_through_the_output():
    z = np.linspace(-3, 3, 13)
    np.testing.assert_allclose(TANH.derivative(z), 1 - np.tanh(z) ** 2)
    np.testing.assert_allclose(SIGMOID.derivative(z), SIGMOID(z) * (1 - SIGMOID(z)))
    assert SIGMOID.derivative(z).max() == 0.25
    assert RELU.derivative(np.array([0.0]))[0] == 0.0


def test_zero_tanh_network_moves_only_the_last_bias():
    _, _, _, gradients = trained_on_random_batch((4, 5, 3), initialize=initialization.constant(0.0))
    assert all(not weights.any() for weights in gradients.weights)
    assert not gradients.biases[0].any()
    assert gradients.biases[1].any()


def test_zero_sigmoid_network_moves_but_keeps_its_units_identical():
    model, X, Y, gradients = trained_on_random_batch((4, 5, 3), SIGMOID, initialize=initialization.constant(0.0))
    np.testing.assert_array_equal(model.inputs[1], 0.5)
    assert gradients.weights[1].any()
    for _ in range(5):
        model.weights = [W - g for W, g in zip(model.weights, gradients.weights, strict=True)]
        model.biases = [b - g for b, g in zip(model.biases, gradients.biases, strict=True)]
        gradients = model.backward(softmax_cross_entropy(model.forward(X), Y)[1])
    assert model.weights[0].any()
    np.testing.assert_allclose(model.weights[0], np.broadcast_to(model.weights[0][0], (5, 4)))


def test_updating_on_the_fly_spoils_the_lower_layers():
    model, X, Y, honest = trained_on_random_batch((4, 5, 3))
    grad_logits = softmax_cross_entropy(model.forward(X), Y)[1]
    model.weights[1] = model.weights[1] - honest.weights[1]
    assert relative_error(model.backward(grad_logits).weights[0], honest.weights[0]) > 1e-3
