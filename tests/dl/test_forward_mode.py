import numpy as np
import pytest
import torch

from scripts.dl import forward_mode as fm
from scripts.dl.forward_mode import Dual, as_dual, derivative, jacobian_forward, jvp, second_derivative

# The same formula for our numbers and for PyTorch's, of x = (a, b, c) with positive a and b.
FORMULAS = {
    "sum and difference": lambda lib, a, b, c: [a + b - c, 3.0 - a + 2.0, -c + a],
    "product": lambda lib, a, b, c: [a * b * c, 2.0 * a * a],
    "quotient": lambda lib, a, b, c: [a / b, c / (a + b), 2.0 / a, a / 4.0],
    "sine and cosine": lambda lib, a, b, c: [lib.sin(a * c) + lib.cos(b), lib.cos(c) * a],
    "exponent and logarithm": lambda lib, a, b, c: [lib.exp(c) * lib.log(a), lib.log(a + b)],
    "tanh, root, relu": lambda lib, a, b, c: [lib.tanh(c), lib.sqrt(a * b), lib.relu(c) + lib.relu(-1.0 * a)],
    "a constant output": lambda lib, a, b, c: [a * 0.0 + 7.0, b],
}
POINT = [1.3, 0.7, -0.4]


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_jacobian_agrees_with_pytorch(name):
    ours = jacobian_forward(lambda x: FORMULAS[name](fm, *x), POINT)
    theirs = torch.autograd.functional.jacobian(
        lambda x: torch.stack(FORMULAS[name](torch, *x)), torch.tensor(POINT, dtype=torch.float64)
    )
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-13, atol=1e-15)


def test_jvp_is_the_jacobian_times_the_direction():
    def f(x):
        return [fm.sin(x[0]) * x[1], x[1] / x[2], fm.exp(x[0] * x[2])]

    direction = [0.3, -1.0, 2.0]
    values, slopes = jvp(f, POINT, direction)
    np.testing.assert_allclose(values, [np.sin(1.3) * 0.7, 0.7 / -0.4, np.exp(-0.52)])
    np.testing.assert_allclose(slopes, jacobian_forward(f, POINT) @ direction, rtol=1e-14)


def test_epsilon_squared_is_zero_and_has_no_inverse():
    epsilon = Dual(0.0, 1.0)
    square = epsilon * epsilon
    assert (square.value, square.tangent) == (0.0, 0.0)
    with pytest.raises(ZeroDivisionError):
        1.0 / epsilon


def test_constant_outputs_have_zero_tangent():
    assert jvp(lambda x: [5.0], [1.0], [1.0]) == ([5.0], [0.0])
    assert as_dual(2.0).tangent == 0.0


def test_numbers_of_numpy_may_stand_on_the_left():
    result = np.float64(2.0) * Dual(3.0, 1.0) - np.float64(1.0)
    assert isinstance(result, Dual)
    assert (result.value, result.tangent) == (5.0, 2.0)


def test_the_branch_that_runs_is_differentiated():
    def f(x):
        return x * x if x > 1.0 else 5.0 * x

    assert derivative(f, 3.0) == 6.0
    assert derivative(f, 0.5) == 5.0

    def loop(x):
        power = 1.0
        while x * power < 100.0:
            power = power * x
        return power

    assert loop(3.0) == 81.0
    assert derivative(loop, 3.0) == 108.0  # of x^4


def test_arrays_are_differentiated_elementwise():
    x = np.linspace(0.1, 2, 7)
    np.testing.assert_allclose(derivative(lambda x: fm.sin(x) * x, x), np.cos(x) * x + np.sin(x), rtol=1e-14)


def test_complex_values_pass_through():
    assert derivative(lambda z: z * z, 1 + 2j) == 2 + 4j


def test_second_derivatives_by_duals_of_duals():
    def f(x):
        return fm.log(x[0]) * x[1] * x[1] + fm.tanh(x[0] * x[1])

    point = [1.2, -0.7]
    hessian = torch.autograd.functional.hessian(
        lambda x: torch.log(x[0]) * x[1] * x[1] + torch.tanh(x[0] * x[1]), torch.tensor(point, dtype=torch.float64)
    ).numpy()
    ours = [[second_derivative(f, point, u, v) for v in np.eye(2)] for u in np.eye(2)]
    np.testing.assert_allclose(ours, hessian, rtol=1e-12)


def test_one_epsilon_for_all_confuses_nested_derivatives():
    """d/dx [x d/dy (x + y)] = 1; without tags the inner derivative takes x's tangent for its own."""
    assert derivative(lambda x: x * derivative(lambda y: x + y, 1.0), 1.0) == 2.0


def test_relu_has_slope_zero_at_zero():
    assert derivative(fm.relu, 0.0) == 0.0
    assert derivative(lambda x: fm.relu(x) - fm.relu(-1.0 * x), 0.0) == 0.0
