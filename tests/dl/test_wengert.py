import numpy as np
import pytest
import torch

from scripts.dl import forward_mode as fm
from scripts.dl.wengert import (
    adjoints,
    derivative_program,
    expression_sizes,
    gradient,
    gradient_program,
    hessian_vector,
    hessian_vector_reverse,
    jacobian_reverse,
    operations,
    record,
    tangents,
)

POINT = [1.3, 0.7, -0.4]


def several(lib, a, b, c):
    return [lib.sin(a * c) / b + 2.0 * a, lib.exp(c) * lib.log(a) - b, 1.0 - lib.tanh(a * b * c), 3.0 / a + c * c]


def single(lib, a, b, c):
    return lib.sin(a * c) * lib.exp(b) + lib.sqrt(a) * b / (a + b) - 0.5 * lib.log(a + b) * c * c


def theirs(function):
    return lambda x: function(torch, *x)


def ours(function):
    return lambda x: function(fm, *x)


def test_both_sweeps_give_pytorchs_jacobian():
    expected = torch.autograd.functional.jacobian(
        lambda x: torch.stack(theirs(several)(x)), torch.tensor(POINT, dtype=torch.float64)
    ).numpy()
    np.testing.assert_allclose(jacobian_reverse(ours(several), POINT), expected, rtol=1e-12)
    tape, outputs = record(ours(several), POINT)
    columns = [[tangents(tape, {j: 1.0})[y.index] for y in outputs] for j in range(3)]
    np.testing.assert_allclose(np.array(columns, dtype=float).T, expected, rtol=1e-12)
    np.testing.assert_allclose(fm.jacobian_forward(ours(several), POINT), expected, rtol=1e-12)


def test_dot_product_test():
    rng = np.random.default_rng(0)
    tape, outputs = record(ours(several), POINT)
    for _ in range(10):
        direction, seed = rng.normal(size=3), rng.normal(size=4)
        dots = tangents(tape, dict(enumerate(direction)))
        bars = adjoints(tape, {y.index: s for y, s in zip(outputs, seed, strict=True)})
        down = sum(s * dots[y.index] for y, s in zip(outputs, seed, strict=True))
        assert down == pytest.approx(np.dot(bars[:3], direction), abs=1e-12)


def test_gradient_of_a_variable_used_many_times():
    assert gradient(lambda x: x[0] * x[0] + x[0] * x[1] + x[0], [3.0, 2.0]) == [9.0, 3.0]


def test_every_operand_stands_above_its_line():
    tape, _ = record(ours(single), POINT)
    assert all(j < i for i, line in enumerate(tape) for j in line.operands)


def test_hessian_vector_two_ways_and_by_pytorch():
    hessian = torch.autograd.functional.hessian(theirs(single), torch.tensor(POINT, dtype=torch.float64)).numpy()
    direction = [0.5, -1.0, 2.0]
    np.testing.assert_allclose(hessian_vector(ours(single), POINT, direction), hessian @ direction, rtol=1e-11)
    np.testing.assert_allclose(hessian_vector_reverse(ours(single), POINT, direction), hessian @ direction, rtol=1e-11)


def test_the_branch_that_runs_is_recorded():
    def f(x):
        return x[0] * x[0] if x[0] > x[1] else x[1] * 2.0

    assert gradient(f, [3.0, 1.0]) == [6.0, 0.0]
    assert gradient(f, [1.0, 3.0]) == [0.0, 2.0]
    assert gradient(lambda x: x[0] * 3.0 if x[0] < 0.0 else x[0], [-1.0]) == [3.0]


def test_multiplying_by_one_and_adding_zero_write_nothing():
    tape, _ = record(lambda x: 1.0 * x[0] + 0.0, [2.0])
    assert len(tape) == 1


def test_operations_by_hand():
    tape, _ = record(lambda x: fm.sin(x[0] * x[1]) + 2.0 * x[0], [1.0, 2.0])
    counts = operations(tape)
    # product, sine, scale, sum; one slope; tangents 3 + 1 + 1 + 1; adjoints 2 + 1 + 1 products and x0 is used twice
    assert (counts.value, counts.slopes, counts.tangent, counts.adjoint) == (4, 1, 6, 5)
    assert (counts.gradient, counts.jvp) == (10, 11)


@pytest.mark.parametrize(("n", "m"), [(5, 1), (5, 3), (2, 4), (1, 6)])
def test_both_sweeps_differ_by_inputs_minus_outputs(n, m):
    def f(x):
        hidden = [fm.tanh(sum((0.1 * i + 0.2) * value for i, value in enumerate(x))) for _ in range(3)]
        return [hidden[0] * hidden[1] * hidden[2] + (0.5 + k) * hidden[0] for k in range(m)]

    counts = operations(record(f, [0.3] * n)[0])
    assert counts.tangent - counts.adjoint == n - m


def test_the_gradient_program_computes_the_gradient():
    program, entries = gradient_program(ours(single), POINT)
    assert [float(entry.value) for entry in entries] == pytest.approx(gradient(ours(single), POINT))
    assert operations(program).value >= operations(record(ours(single), POINT)[0]).value


def test_the_derivative_program_computes_the_derivative():
    program, slope = derivative_program(lambda x: fm.sin(x[0]) * x[0] * x[0], 1.3)
    assert slope.value == pytest.approx(np.cos(1.3) * 1.69 + 2.6 * np.sin(1.3))
    assert all(j < i for i, line in enumerate(program) for j in line.operands)


def test_expression_sizes():
    tape, (y,) = record(lambda x: (x[0] * x[0]) * (x[0] * x[0]), [2.0])
    assert expression_sizes(tape, y.index) == (4, 7)

    def power(x):
        value = x[0]
        for _ in range(5):
            value = value * value
        return value

    tape, (y,) = record(power, [1.1])
    assert expression_sizes(tape, y.index) == (6, 63)
