"""What the ticket on automatic differentiation claims: its identities, and every number on the page."""

import re
from itertools import pairwise
from math import comb
from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.dl import checkpointing
from scripts.dl import forward_mode as fm
from scripts.dl.autograd import Tensor
from scripts.dl.forward_mode import Dual, derivative
from scripts.dl.gradcheck import numerical_gradient
from scripts.dl.wengert import (
    COSTS,
    adjoints,
    gradient,
    hessian_vector,
    hessian_vector_reverse,
    operations,
    record,
    tangents,
)
from scripts.figures import ticket_03 as figures
from tests.content.page import assert_said, printed

ROOT = Path(__file__).resolve().parents[2]
PAGE = printed("tickets/03-autodiff.md")
F64 = torch.float64


def slope(function, at: float) -> float:
    """PyTorch's derivative of a function of one number."""
    z = torch.tensor(at, dtype=F64, requires_grad=True)
    return torch.autograd.grad(function(z), z)[0].item()


# --- Four ways -------------------------------------------------------------------------------------------------------


def test_step_error_figure():
    errors, steps = figures.step_errors(), figures.STEPS
    assert errors["forward"].min() == pytest.approx(3e-8, rel=0.5)
    assert errors["central"].min() == pytest.approx(5e-11, rel=0.5)
    assert errors["dual"][0] < 1e-15
    assert errors["complex"][steps < 1e-9].max() < 1e-15
    for text in (r"3\cdot10^{-8}", r"5\cdot10^{-11}", r"2\cdot10^{-16}"):
        assert text in PAGE


def test_complex_step_has_error_h_squared_third_derivative_over_six():
    h = 1e-3
    error = np.sin(0.7 + 1j * h).imag / h - np.cos(0.7)
    assert error == pytest.approx(-(h**2) / 6 * -np.cos(0.7), rel=1e-5)
    assert np.sin(0.7 + 1e-20j).imag / 1e-20 == pytest.approx(np.cos(0.7), rel=1e-15)
    assert abs(complex(-1.0, 1e-20)).imag == 0.0  # the modulus loses it


def test_expression_swell_figure():
    found = figures.swell()
    assert figures.SWELL_STEPS[-1] == 15
    assert found["formula"][-1] == 131_069
    assert found["formula'"][-1] == 1_966_079
    assert found["graph'"][-1] == 118
    assert "131 069" in PAGE and "1 966 079" in PAGE and "118 узлов" in PAGE
    assert np.all(np.diff(found["graph'"]) == 8)
    steps = np.array(figures.SWELL_STEPS)[8:]
    np.testing.assert_allclose(found["formula'"][8:] / found["formula"][8:], steps, rtol=0.002)  # k times longer


def test_the_written_out_derivative_follows_the_product_rule():
    """The count of the page again, by hand: 4 u (1 - u) has the derivative (4 u) (-u') + (1 - u) (4 u')."""
    formula, slope = 1 + 1 + 1 + 2, 1 + (1 + 2) + (1 + 2)  # of 4 x (1 - x) itself, where x' = 1 is not written
    for _ in figures.SWELL_STEPS[1:]:
        formula, slope = 1 + 2 * (1 + formula), 1 + 2 * (1 + (1 + formula) + (1 + slope))
    assert (formula, slope) == (131_069, 1_966_079)


# --- Graphs ----------------------------------------------------------------------------------------------------------


def test_a_constant_branch_has_derivative_zero():
    def f(x):
        return 9.0 if not (x > 3.0 or x < 3.0) else x * x

    assert f(3.0) == 9.0
    assert derivative(f, 3.0) == 0.0
    assert derivative(f, 3.5) == 7.0


def test_both_modes_solve_the_triangular_system_of_the_page():
    def f(x):
        return [fm.sin(x[0]) * x[1] + x[2], fm.exp(x[0] * x[2])]

    x, direction, seed = [0.3, -1.2, 0.8], np.array([1.0, 2.0, -0.5]), np.array([0.7, -1.1])
    tape, outputs = record(f, x)
    S = len(tape)
    D, E, R = np.zeros((S, S)), np.eye(S)[:, :3], np.eye(S)[[y.index for y in outputs]]
    for i, line in enumerate(tape):
        for j, partial in zip(line.operands, line.partials, strict=True):
            D[i, j] += partial
    assert not np.triu(D).any()
    J = R @ np.linalg.inv(np.eye(S) - D) @ E
    expected = torch.autograd.functional.jacobian(
        lambda x: torch.stack([torch.sin(x[0]) * x[1] + x[2], torch.exp(x[0] * x[2])]), torch.tensor(x, dtype=F64)
    )
    np.testing.assert_allclose(J, expected.numpy(), rtol=1e-13)
    np.testing.assert_allclose(J, R @ sum(np.linalg.matrix_power(D, k) for k in range(S)) @ E, rtol=1e-13)
    np.testing.assert_allclose(tangents(tape, dict(enumerate(direction)))[-1], (J @ direction)[-1], rtol=1e-13)
    bars = adjoints(tape, {y.index: s for y, s in zip(outputs, seed, strict=True)})
    np.testing.assert_allclose(bars, np.linalg.solve(np.eye(S) - D.T, R.T @ seed), rtol=1e-12)
    np.testing.assert_allclose(bars[:3], J.T @ seed, rtol=1e-12)


def test_dual_numbers_obey_the_product_and_the_chain_rule():
    a, b, c, d = 1.3, 0.4, -0.7, 2.0
    product = Dual(a, b) * Dual(c, d)
    assert (product.value, product.tangent) == pytest.approx((a * c, a * d + b * c))
    inside = fm.exp(fm.sin(Dual(a, b)))
    assert inside.tangent == pytest.approx(np.exp(np.sin(a)) * np.cos(a) * b)


def test_dot_product_test_of_pytorch_to_1e_12():
    torch.manual_seed(0)
    W = torch.randn(6, 4, dtype=F64)
    x, direction, seed = torch.randn(4, dtype=F64), torch.randn(4, dtype=F64), torch.randn(6, dtype=F64)

    def f(x):
        return torch.tanh(W @ x) * torch.exp(-((W @ x) ** 2))

    _, down = torch.func.jvp(f, (x,), (direction,))
    _, vjp = torch.func.vjp(f, x)
    assert (seed @ down).item() == pytest.approx((vjp(seed)[0] @ direction).item(), abs=1e-12)


# --- The worked example ----------------------------------------------------------------------------------------------


def test_worked_example_three_traces():
    traces = figures.example_traces()
    x1, x2 = figures.EXAMPLE_POINT
    values = [x1, x2, np.log(2), 10, np.sin(5), np.log(2) + 10, np.log(2) + 10 - np.sin(5)]
    order = [index for _, index, _ in figures.EXAMPLE.values()]
    sort = {name: [trace[index] for index in order] for name, trace in traces.items()}
    assert sort["value"] == pytest.approx(values)
    assert sort["along x1"] == pytest.approx([1, 0, 0.5, 5, 0, 5.5, 5.5])
    assert sort["along x2"] == pytest.approx([0, 1, 0, 2, np.cos(5), 2, 2 - np.cos(5)])
    assert sort["adjoint"] == pytest.approx([5.5, 2 - np.cos(5), 1, 1, -1, 1, 1])
    assert_said(PAGE, values[2], values[4], values[5], values[6], np.cos(5), 2 - np.cos(5))


def test_worked_example_by_three_engines():
    x1, x2 = torch.tensor(2.0, dtype=F64, requires_grad=True), torch.tensor(5.0, dtype=F64, requires_grad=True)
    y = torch.log(x1) + x1 * x2 - torch.sin(x2)
    y.backward()
    assert y.item() == pytest.approx(11.652, abs=5e-4)
    assert gradient(figures.example, [2.0, 5.0]) == pytest.approx([x1.grad.item(), x2.grad.item()])
    u1, u2 = Tensor(2.0), Tensor(5.0)
    (u1.log() + u1 * u2).backward()  # without the sine, which `autograd` does not have
    assert (u1.grad, u2.grad) == (5.5, 2.0)


# --- Cost ------------------------------------------------------------------------------------------------------------


def test_brackets():
    costs = figures.bracket_costs((50, 100, 5, 100, 50))
    assert costs == {"forward": 300_000, "reverse": 300_000, "best": 62_500}
    assert "300 000" in PAGE and "62 500" in PAGE
    row = figures.bracket_costs((100, 80, 60, 1))
    assert row["reverse"] == row["best"] == 80 * 60 + 100 * 80
    assert row["forward"] == 100 * (80 * 60 + 60)
    column = figures.bracket_costs((1, 60, 80, 100))
    assert column["forward"] == column["best"] < column["reverse"]


def test_cost_table_bounds_the_gradient_by_five_and_the_tangent_by_four():
    for kind, (value, slopes, tangent, products) in COSTS.items():
        if kind == "input":
            continue
        edges = 2 if kind in ("sum", "product") else 1
        assert (
            value + slopes + products + edges <= {"sum": 3, "product": 5, "scale": 3, "shift": 2, "function": 4}[kind]
        )
        assert value + slopes + tangent <= 4 * value


@pytest.mark.parametrize("name", ["product", "rosenbrock", "network"])
def test_cheap_gradient_figure(name):
    ratios = figures.gradient_ratios(name)
    assert np.all(ratios["reverse"] <= 5)
    assert np.ptp(ratios["reverse"]) < 0.3
    assert np.all(ratios["forward"] > ratios["n"])
    expected = {"product": 3.0, "rosenbrock": 2.50, "network": 2.47}[name]
    assert ratios["reverse"][-1] == pytest.approx(expected, abs=0.005)
    if name != "product":
        assert_said(PAGE, expected, digits=2)


def test_the_largest_network_of_the_figure_has_990_weights():
    assert figures.cheap_gradient_counts()["network"][-1][0] == 990
    assert np.all(figures.gradient_ratios("product")["reverse"] == 3.0)


def test_the_jacobian_of_a_cheap_vector_function_is_full():
    x, a = torch.tensor([1.0, 2.0, 3.0], dtype=F64), torch.tensor([0.5, -1.0, 2.0], dtype=F64)
    jacobian = torch.autograd.functional.jacobian(lambda x: (a @ x) * x, x)
    assert torch.all(jacobian != 0)


def test_sweeps_cost_the_same_up_to_inputs_minus_outputs():
    for (n, m), counts in figures.jacobian_counts().items():
        assert counts.tangent - counts.adjoint == n - m


def test_jacobian_cost_figure():
    assert figures.jacobian_ratio(1, 256) == pytest.approx(132, abs=1)
    for size in (2**power for power in figures.POWERS):
        assert figures.jacobian_ratio(size, size) == pytest.approx(1)
    assert figures.jacobian_ratio(16, 8) < 1 < figures.jacobian_ratio(8, 16)


# --- Second order ----------------------------------------------------------------------------------------------------


def test_hessian_of_the_example_two_ways():
    point, direction = figures.EXAMPLE_POINT, [1.0, 2.0]
    hessian = np.array([[-1 / 4, 1.0], [1.0, np.sin(5)]])
    expected = hessian @ direction
    assert hessian_vector(figures.example, point, direction) == pytest.approx(expected)
    assert hessian_vector_reverse(figures.example, point, direction) == pytest.approx(expected)
    for i, j in np.ndindex(2, 2):
        unit = np.eye(2)
        assert fm.second_derivative(figures.example, point, unit[i], unit[j]) == pytest.approx(hessian[i, j], abs=1e-15)
    assert expected[0] == 1.75
    assert_said(PAGE, hessian[1, 1], expected[1])


def test_hessian_vector_costs_two_and_a_half_to_four_gradients():
    ratios = figures.second_order_ratio().values()
    assert min(ratios) > 2.49 and max(ratios) <= 4.0


def small_network():
    torch.manual_seed(0)
    W1, W2 = torch.randn(5, 3, dtype=F64), torch.randn(2, 5, dtype=F64)
    X, Y = torch.randn(7, 3, dtype=F64), torch.randn(7, 2, dtype=F64)

    def outputs(theta, x):
        return torch.tanh(x @ theta[:15].reshape(5, 3).T) @ theta[15:].reshape(2, 5).T

    return outputs, torch.cat([W1.flatten(), W2.flatten()]), X, Y


def test_hvp_two_ways_equals_the_explicit_hessian_in_pytorch():
    outputs, theta, X, Y = small_network()
    u = torch.randn(25, dtype=F64)

    def loss(theta):
        return ((outputs(theta, X) - Y) ** 2).mean()

    hessian = torch.func.hessian(loss)(theta)
    _, forward_over_reverse = torch.func.jvp(torch.func.grad(loss), (theta,), (u,))
    reverse_over_reverse = torch.func.grad(lambda theta: torch.func.grad(loss)(theta) @ u)(theta)
    torch.testing.assert_close(forward_over_reverse, hessian @ u, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(reverse_over_reverse, hessian @ u, rtol=1e-11, atol=1e-12)
    columns = torch.func.jacfwd(torch.func.jacrev(loss))(theta)
    torch.testing.assert_close(columns, hessian)


def test_gauss_newton_product_is_one_jvp_and_one_vjp():
    outputs, theta, X, Y = small_network()
    u = torch.randn(25, dtype=F64)

    def logits(theta):
        return outputs(theta, X).flatten()

    J = torch.func.jacrev(logits)(theta)
    _, pushed = torch.func.jvp(logits, (theta,), (u,))
    _, vjp = torch.func.vjp(logits, theta)
    (pulled,) = vjp(2.0 * pushed)  # the Hessian of sum of squares by the outputs is 2 I
    torch.testing.assert_close(pulled, 2.0 * J.T @ (J @ u))


def test_per_sample_gradients_by_vmap():
    outputs, theta, X, Y = small_network()

    def loss(theta, x, y):
        return ((outputs(theta, x[None]) - y[None]) ** 2).sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(theta, X, Y)
    one_by_one = torch.stack([torch.func.grad(loss)(theta, x, y) for x, y in zip(X, Y, strict=True)])
    torch.testing.assert_close(each, one_by_one)
    whole = torch.func.grad(lambda theta: ((outputs(theta, X) - Y) ** 2).sum())(theta)
    torch.testing.assert_close(each.sum(0), whole)


def test_trace_by_random_signs():
    rng = np.random.default_rng(0)
    hessian = rng.normal(size=(4, 4))
    hessian = hessian + hessian.T
    signs = np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1)
    assert np.mean([u @ hessian @ u for u in signs.T]) == pytest.approx(np.trace(hessian))


# --- Checkpointing ---------------------------------------------------------------------------------------------------


def test_best_number_of_segments():
    costs = {k: k + 64 / k for k in range(1, 65)}
    assert min(costs, key=costs.get) == 8
    assert min(costs.values()) == 16 == 2 * np.sqrt(64)


def test_checkpointing_table_and_figure():
    runs = figures.checkpoint_runs()
    expected = {
        "none": (65, 64, 192), "segments": (16, 120, 248), "decreasing": (12, 127, 255), "halving": (8, 256, 384),
        "input": (3, 2080, 2208),
    }  # fmt: skip
    assert {name: (run.peak, run.forward_steps, sum(run.costs)) for name, run in runs.items()} == expected
    for numbers in expected.values():
        assert f"| {' | '.join(map(str, numbers))} |" in PAGE
    for run in runs.values():
        np.testing.assert_allclose(run.bar, runs["none"].bar, rtol=1e-12)
        assert run.live.index(run.peak) >= run.costs.index(2) - 1  # the peak comes when the forward pass is over
    assert_said(PAGE, 248 / 192, digits=2)


def test_limits_of_the_ratio_and_of_decreasing_segments():
    length = 10**6
    assert (3 * length + length - 1000) / (3 * length) == pytest.approx(4 / 3, abs=1e-3)
    memory = next(m for m in range(2, 10**4) if m * (m - 1) // 2 >= length)
    assert memory == pytest.approx(np.sqrt(2 * length), rel=1e-3)


def test_halving_recurrence_and_the_binomial_schedule():
    def steps(length):
        return 1 if length == 1 else length // 2 + 2 * steps(length // 2)

    assert steps(64) == 64 // 2 * 6 + 64 == 256
    assert checkpointing.longest_chain(4, 4) == comb(8, 4) == 70


# --- Kinks and numerical traps ---------------------------------------------------------------------------------------


def test_the_four_facts_about_kinks():
    assert slope(torch.relu, 0.0) == 0.0
    pair = torch.tensor([1.0, 1.0], dtype=F64, requires_grad=True)
    assert torch.autograd.grad(torch.maximum(pair[0], pair[1]), pair)[0].tolist() == [0.5, 0.5]
    assert slope(torch.sqrt, 0.0) == np.inf
    assert slope(lambda z: torch.relu(z) - torch.relu(-z), 0.0) == 0.0
    assert slope(lambda z: torch.clamp(z, min=0.0), 0.0) == 1.0


def test_ties_of_a_maximum_are_shared_or_not():
    pair = torch.tensor([1.0, 1.0], dtype=F64, requires_grad=True)
    halves = torch.autograd.grad(torch.max(pair), pair)[0]
    one = torch.autograd.grad(torch.max(pair, 0).values, pair)[0]
    pooled = torch.autograd.grad(torch.nn.functional.max_pool1d(pair[None, None], 2).sum(), pair)[0]
    assert halves.tolist() == [0.5, 0.5]
    assert sorted(one.tolist()) == sorted(pooled.tolist()) == [0.0, 1.0]


def test_length_of_the_zero_vector():
    zero = torch.zeros(3, dtype=F64, requires_grad=True)
    assert torch.autograd.grad((zero**2).sum().sqrt(), zero)[0].isnan().all()
    assert torch.autograd.grad(zero.norm(), zero)[0].tolist() == [0.0, 0.0, 0.0]


def test_where_gives_nan_and_double_where_does_not():
    def zeros(z):
        return torch.zeros_like(z)

    assert np.isnan(slope(lambda z: torch.where(z > 0, torch.sqrt(z), zeros(z)), 0.0))
    for at, expected in ((0.0, 0.0), (4.0, 0.25), (-1.0, 0.0)):
        safe = slope(lambda z: torch.where(z > 0, torch.sqrt(torch.where(z > 0, z, zeros(z) + 1)), zeros(z)), at)
        assert safe == expected


def relu_with_slope(c):
    """relu whose derivative at zero is c, on dual numbers."""
    return fm.primitive(lambda x: x if x > 0 else 0.0 * x, lambda x: 1.0 if x > 0 else (0.0 if x < 0 else c))


def test_no_slope_at_zero_saves_relu():
    for c in (0.0, 0.5, 1.0):
        relu = relu_with_slope(c)
        once = derivative(lambda z, relu=relu: relu(z) - relu(-1.0 * z), 0.0)
        twice = derivative(lambda z, relu=relu: relu(relu(z)) - relu(relu(-1.0 * z)), 0.0)
        assert (once, twice) == (2 * c, 2 * c**2)
        assert once != 1.0 or twice != 1.0


def test_overflow_is_differentiated_too():
    assert np.isnan(slope(lambda z: torch.log(1 + torch.exp(z)), 800.0))
    assert slope(torch.nn.functional.softplus, 800.0) == 1.0
    z = torch.tensor([800.0, 801.0], dtype=F64, requires_grad=True)
    (bar,) = torch.autograd.grad(torch.logsumexp(z, 0), z)
    torch.testing.assert_close(bar, torch.softmax(z.detach(), 0))


# --- Beyond the graph ------------------------------------------------------------------------------------------------


def test_implicit_differentiation_equals_unrolling():
    torch.manual_seed(0)
    W, U = 0.3 * torch.randn(4, 4, dtype=F64), torch.randn(4, 2, dtype=F64)
    theta, bar = torch.randn(2, dtype=F64, requires_grad=True), torch.randn(4, dtype=F64)
    z = torch.zeros(4, dtype=F64)
    for _ in range(200):
        z = torch.tanh(W @ z + U @ theta)
    (unrolled,) = torch.autograd.grad(z @ bar, theta)

    def F(z, theta):
        return z - torch.tanh(W @ z + U @ theta)

    F_z, F_theta = torch.autograd.functional.jacobian(F, (z.detach(), theta.detach()))
    w = torch.linalg.solve(F_z.T, bar)
    torch.testing.assert_close(-F_theta.T @ w, unrolled)


def test_implicit_square_root():
    z = np.sqrt(2.0)
    assert -(1 / (2 * z)) * -1.0 == pytest.approx(slope(torch.sqrt, 2.0))


def test_estimators_figure():
    found, d = figures.estimator_deviations(), np.array(figures.ESTIMATOR_SIZES)
    np.testing.assert_allclose(found["score"], np.sqrt(4 * d**2 + 14 * d + 12), rtol=0.12)
    np.testing.assert_allclose(found["baseline"], np.sqrt(6 * d + 12), rtol=0.12)
    np.testing.assert_allclose(found["reparameterised"], 2.0, rtol=0.03)
    assert round(np.sqrt(4 * 300**2 + 14 * 300 + 12)) == 603 and "603" in PAGE
    assert_said(PAGE, np.sqrt(6 * 300 + 12), digits=1)


def test_straight_through():
    z = torch.tensor([0.3, 1.7], dtype=F64, requires_grad=True)
    estimate = z + (torch.round(z) - z).detach()
    assert estimate.tolist() == pytest.approx([0.0, 2.0])
    estimate.sum().backward()
    assert z.grad.tolist() == [1.0, 1.0]
    assert slope(torch.round, 0.3) == slope(torch.sign, 0.3) == 0.0


def test_gumbel_softmax_tends_to_a_sample():
    rng, p, tau = np.random.default_rng(0), np.array([0.2, 0.5, 0.3]), 1e-3
    logits = (np.log(p) + rng.gumbel(size=(100_000, 3))) / tau
    soft = np.exp(logits - logits.max(axis=1, keepdims=True))
    soft /= soft.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(soft.mean(axis=0), p, atol=0.01)
    assert np.mean(soft.max(axis=1) > 0.99) > 0.98


# --- Follow-ups ------------------------------------------------------------------------------------------------------


def test_a_jvp_out_of_two_vjps():
    x, direction = torch.tensor([0.4, -1.0], dtype=F64, requires_grad=True), torch.tensor([2.0, 0.5], dtype=F64)
    y = torch.stack([torch.sin(x[0]) * x[1], torch.exp(x[0]), x[0] * x[1]])
    seed = torch.zeros(3, dtype=F64, requires_grad=True)
    (pulled,) = torch.autograd.grad(y, x, seed, create_graph=True)
    (pushed,) = torch.autograd.grad(pulled, seed, direction)
    J = torch.autograd.functional.jacobian(
        lambda x: torch.stack([torch.sin(x[0]) * x[1], torch.exp(x[0]), x[0] * x[1]]), x.detach()
    )
    torch.testing.assert_close(pushed, J @ direction)


def test_forward_gradient_is_unbiased_with_variance_n_plus_one():
    g = np.array([1.0, -2.0, 0.5, 3.0])
    u = np.random.default_rng(0).normal(size=(400_000, 4))
    estimates = (u @ g)[:, None] * u
    np.testing.assert_allclose(estimates.mean(axis=0), g, atol=0.05)
    assert estimates.var(axis=0).sum() == pytest.approx(5 * (g @ g), rel=0.02)


def test_an_operand_taken_twice_is_two_edges():
    tape, (y,) = record(lambda x: x[0] * x[0], [3.0])
    assert tape[1].operands == (0, 0)
    assert adjoints(tape, {y.index: 1.0})[0] == 6.0


def test_adjoints_of_a_quotient():
    x, y, bar = 3.0, 7.0, 1.7
    t = bar / y
    assert gradient(lambda z: 1.7 * (z[0] / z[1]), [x, y]) == pytest.approx([t, -t * (x / y)])


def test_vjp_of_a_product_and_of_an_inverse_from_their_tangents():
    torch.manual_seed(0)
    A, B = torch.randn(3, 4, dtype=F64), torch.randn(4, 2, dtype=F64)
    _, vjp = torch.func.vjp(torch.matmul, A, B)
    bar = torch.randn(3, 2, dtype=F64)
    torch.testing.assert_close(vjp(bar), (bar @ B.T, A.T @ bar))
    square, bar = torch.randn(4, 4, dtype=F64), torch.randn(4, 4, dtype=F64)
    C, vjp = torch.func.vjp(torch.linalg.inv, square)
    torch.testing.assert_close(vjp(bar)[0], -C.T @ bar @ C.T)


def test_gradient_passes_through_sorting_but_not_through_the_index():
    x = torch.tensor([3.0, 1.0, 2.0], requires_grad=True)
    (bar,) = torch.autograd.grad((torch.sort(x).values * torch.tensor([10.0, 20.0, 30.0])).sum(), x)
    assert bar.tolist() == [30.0, 10.0, 20.0]
    assert not torch.argmax(x).requires_grad
    assert not (x > 1).requires_grad
    with pytest.raises(RuntimeError, match="does not require grad"):
        torch.argmax(x).float().backward()
    with pytest.raises(RuntimeError, match="detach"):
        x.numpy()
    other = torch.ones(1, requires_grad=True)
    (other * torch.argmax(x)).sum().backward()
    assert x.grad is None and other.grad is not None


def test_diagonal_of_the_hessian_by_random_signs():
    rng = np.random.default_rng(0)
    hessian = rng.normal(size=(4, 4))
    hessian = hessian + hessian.T
    signs = np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1).T
    estimates = signs * (signs @ hessian)
    np.testing.assert_allclose(estimates.mean(axis=0), np.diag(hessian))
    np.testing.assert_allclose(estimates.var(axis=0), (hessian**2).sum(axis=1) - np.diag(hessian) ** 2)


def test_a_tridiagonal_jacobian_takes_three_passes():
    n = 11

    def f(x):
        return [sum(fm.sin((1.0 + i) * x[j]) for j in range(max(i - 1, 0), min(i + 2, n))) for i in range(n)]

    point = list(np.linspace(0.1, 1.0, n))
    J = np.zeros((n, n))
    for colour in range(3):
        _, pushed = fm.jvp(f, point, [float(j % 3 == colour) for j in range(n)])
        for i in range(n):
            for j in range(max(i - 1, 0), min(i + 2, n)):
                if j % 3 == colour:
                    J[i, j] = pushed[i]
    np.testing.assert_allclose(J, fm.jacobian_forward(f, point), rtol=1e-13)


def test_perturbation_confusion():
    assert derivative(lambda x: x * derivative(lambda y: x + y, 1.0), 1.0) == 2.0
    x = torch.tensor(1.0, dtype=F64)
    nested = torch.func.grad(lambda x: x * torch.func.grad(lambda y: x + y)(torch.tensor(1.0, dtype=F64)))(x)
    assert nested.item() == 1.0


def test_a_reversible_layer_is_inverted():
    rng = np.random.default_rng(0)
    x1, x2 = rng.normal(size=(2, 3))
    F, G = np.tanh, np.sin
    y1 = x1 + F(x2)
    y2 = x2 + G(y1)
    back2 = y2 - G(y1)
    np.testing.assert_allclose(back2, x2)
    np.testing.assert_allclose(y1 - F(back2), x1)


def test_an_ill_conditioned_program_has_an_ill_conditioned_derivative():
    def f(x):
        return (1.0 - fm.cos(x)) / (x * x)

    exact = -1e-4 / 12  # the derivative of 1/2 - x^2/24 + ...
    assert abs(derivative(f, 1e-4) / exact - 1) > 1e-4
    assert abs(derivative(f, 0.5) - numerical_gradient(f, np.array(0.5))) < 1e-9


def test_unrolled_derivative_converges_more_slowly_than_the_iterate():
    theta, z, dz = 0.5, Dual(0.0), []
    errors = []
    for _ in range(30):
        z = 0.8 * fm.cos(z) * Dual(theta, 1.0)
        dz.append((z.value, z.tangent))
    value, tangent = dz[-1]
    for each in (dz[8], dz[12], dz[16]):
        errors.append((abs(each[0] - value) / abs(value), abs(each[1] - tangent) / abs(tangent)))
    ratios = [of_tangent / of_value for of_value, of_tangent in errors]
    assert all(later > earlier for earlier, later in pairwise(ratios))


def test_adjoint_of_an_ordinary_differential_equation():
    """dz/dt = theta z, loss z(1): the adjoint is exp(theta (1 - t)) and the gradient exp(theta) z(0)."""
    theta, start, steps = 0.7, 1.5, 20_000
    tau, z = 1 / steps, [start]
    for _ in range(steps):
        z.append(z[-1] + tau * theta * z[-1])
    bar, bar_theta = 1.0, 0.0
    for k in reversed(range(steps)):
        bar_theta += tau * z[k] * bar
        bar += tau * theta * bar
        if k == steps // 2:
            assert bar == pytest.approx(np.exp(theta / 2), rel=1e-3)
    assert bar_theta == pytest.approx(np.exp(theta) * start, rel=1e-3)


def test_operations_of_the_example_stay_within_the_bound():
    counts = operations(record(figures.example, figures.EXAMPLE_POINT)[0])
    assert counts.value == 5
    assert counts.gradient <= 5 * counts.value


# --- The page itself -------------------------------------------------------------------------------------------------


def test_code_on_the_page_is_short():
    sections = re.findall(r'--8<-- "([^":]+):([\w-]+)"', PAGE)
    total = 0
    for path, section in sections:
        source = (ROOT / path).read_text(encoding="utf-8")
        body = source.split(f"# --8<-- [start:{section}]\n")[1].split(f"# --8<-- [end:{section}]")[0]
        lines = [line for line in body.rstrip().splitlines() if line.strip() and "--8<--" not in line]
        assert max(map(len, lines)) <= 76, (path, section)
        assert len(lines) <= 25, (path, section)
        total += len(lines) if path.endswith("wengert.py") else 0
    assert len(sections) == 6
    assert total <= 65  # the scalar engine


def test_numbers_of_follow_ups_and_cards():
    assert PAGE.count("??? question") >= 12
    assert PAGE.count("??? card") >= 14
