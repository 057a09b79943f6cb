import numpy as np
import pytest
import torch

from scripts.dl.activations import ACTIVATIONS, RELU, TANH
from scripts.dl.losses import softmax_cross_entropy
from scripts.dl.mlp import MLP

SIZES, B = (5, 8, 6, 4, 3), 7


def gaussian(fan_out, fan_in, rng):
    return rng.normal(0, fan_in**-0.5, size=(fan_out, fan_in))


def network_and_batch(activation, seed=0):
    rng = np.random.default_rng(seed)
    network = MLP(SIZES, activation, gaussian, rng)
    for bias in network.biases:
        bias[:] = rng.normal(size=bias.shape)
    return network, rng.normal(size=(B, SIZES[0])), np.eye(SIZES[-1])[rng.integers(SIZES[-1], size=B)]


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "relu"])
def test_gradients_agree_with_pytorch(name):
    network, X, Y = network_and_batch(ACTIVATIONS[name])
    loss, grad_logits = softmax_cross_entropy(network.forward(X), Y)
    grads = network.backward(grad_logits)

    weights = [torch.tensor(W, requires_grad=True) for W in network.weights]
    biases = [torch.tensor(b, requires_grad=True) for b in network.biases]
    A, Zs = torch.tensor(X), []
    for W, b in zip(weights, biases, strict=True):
        Zs.append(A @ W.T + b)
        Zs[-1].retain_grad()
        A = getattr(torch, name)(Zs[-1])
    torch_loss = torch.nn.functional.cross_entropy(Zs[-1], torch.tensor(Y))
    torch_loss.backward()

    assert loss == pytest.approx(torch_loss.item(), rel=1e-14)
    for ours, theirs in [(grads.weights, weights), (grads.biases, biases), (grads.deltas, Zs)]:
        assert len(ours) == len(SIZES) - 1
        for gradient, tensor in zip(ours, theirs, strict=True):
            assert gradient.shape == tuple(tensor.shape)
            np.testing.assert_allclose(gradient, tensor.grad.numpy(), atol=1e-14)


def test_forward_keeps_what_backward_needs():
    network, X, _ = network_and_batch(TANH)
    logits = network.forward(X)
    assert [A.shape for A in network.inputs] == [(B, d) for d in SIZES[:-1]]
    assert [Z.shape for Z in network.preactivations] == [(B, d) for d in SIZES[1:]]
    assert network.inputs[0] is X
    assert logits is network.preactivations[-1]
    np.testing.assert_array_equal(network.inputs[1], np.tanh(network.preactivations[0]))


def test_one_layer_network_is_linear():
    network = MLP((2, 1), RELU, lambda *_: np.array([[2.0, -3.0]]), np.random.default_rng(0))
    assert network.forward(np.array([[1.0, 1.0]])).tolist() == [[-1.0]]
    assert network.backward(np.array([[1.0]])).weights[0].tolist() == [[1.0, 1.0]]


def test_misuse_is_refused():
    with pytest.raises(ValueError, match="width"):
        MLP((3,), TANH, gaussian, np.random.default_rng(0))
    with pytest.raises(RuntimeError, match="forward"):
        MLP((3, 2), TANH, gaussian, np.random.default_rng(0)).backward(np.zeros((1, 2)))
