import numpy as np
import pytest

from scripts.dl.gradcheck import forward_difference, numerical_gradient, relative_error


def f(theta):
    return float(np.sum(np.exp(theta) * np.sin(theta)))


@pytest.fixture
def theta():
    return np.random.default_rng(0).uniform(0, 1, size=(3, 2))


def exact(theta):
    return np.exp(theta) * (np.sin(theta) + np.cos(theta))


def test_central_difference(theta):
    assert relative_error(numerical_gradient(f, theta), exact(theta)) < 1e-9


def test_forward_difference_is_less_exact(theta):
    error = relative_error(forward_difference(f, theta), exact(theta))
    assert relative_error(numerical_gradient(f, theta), exact(theta)) < error < 1e-6


@pytest.mark.parametrize("difference", [numerical_gradient, forward_difference])
def test_theta_is_left_alone_and_may_be_integer(difference, theta):
    before = theta.copy()
    difference(f, theta)
    np.testing.assert_array_equal(theta, before)
    np.testing.assert_allclose(difference(lambda t: float(t @ t), np.array([1, 2])), [2.0, 4.0], rtol=1e-6)


def test_number_of_evaluations(theta):
    calls = []

    def counted(t):
        calls.append(1)
        return f(t)

    forward_difference(counted, theta)
    assert len(calls) == theta.size + 1
    calls.clear()
    numerical_gradient(counted, theta)
    assert len(calls) == 2 * theta.size


def test_relative_error():
    assert relative_error(np.array([1.0]), np.array([-1.0])) == 1.0
    assert relative_error(np.zeros(3), np.zeros(3)) == 0.0
    assert relative_error(np.array([3.0]), np.array([1.0])) == 0.5
