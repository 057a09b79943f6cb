import numpy as np
import pytest
import torch

from scripts.dl.activations import ACTIVATIONS, RELU, SIGMOID, sigmoid

TORCH = {"tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu, "identity": lambda z: z * 1.0}


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_value_and_derivative_agree_with_pytorch(name):
    z = np.random.default_rng(0).normal(0, 3, size=(5, 7))
    z_torch = torch.tensor(z, requires_grad=True)
    value = TORCH[name](z_torch)
    value.sum().backward()

    activation = ACTIVATIONS[name]
    assert activation.name == name
    np.testing.assert_allclose(activation(z), value.detach().numpy(), atol=1e-15)
    np.testing.assert_allclose(activation.derivative(z), z_torch.grad.numpy(), atol=1e-15)


def test_relu_takes_the_subgradient_zero_at_the_kink():
    assert RELU.derivative(np.array([-1.0, 0.0, 1.0])).tolist() == [0.0, 0.0, 1.0]


def test_sigmoid_does_not_overflow():
    with np.errstate(all="raise", under="ignore"):
        assert sigmoid(np.array([-1e4, 1e4])).tolist() == [0.0, 1.0]
    assert 0 < SIGMOID.derivative(np.array(40.0)) < 1e-17
