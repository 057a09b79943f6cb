import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scripts.dl.losses import mean_squared_error, sigmoid_binary_cross_entropy, softmax, softmax_cross_entropy

B, K = 6, 4


@pytest.fixture
def logits():
    return np.random.default_rng(1).normal(0, 3, size=(B, K))


@pytest.fixture
def labels():
    return np.random.default_rng(2).integers(K, size=B)


def assert_same(ours, theirs, z_torch):
    loss, gradient = ours
    theirs.backward()
    assert loss == pytest.approx(theirs.item(), rel=1e-13)
    np.testing.assert_allclose(gradient, z_torch.grad.numpy(), atol=1e-15)


def test_softmax_cross_entropy(logits, labels):
    z = torch.tensor(logits, requires_grad=True)
    assert_same(softmax_cross_entropy(logits, np.eye(K)[labels]), F.cross_entropy(z, torch.tensor(labels)), z)


def test_sigmoid_binary_cross_entropy(logits):
    targets = (np.random.default_rng(3).random((B, K)) > 0.5).astype(float)
    z = torch.tensor(logits, requires_grad=True)
    theirs = F.binary_cross_entropy_with_logits(z, torch.tensor(targets), reduction="sum") / B
    assert_same(sigmoid_binary_cross_entropy(logits, targets), theirs, z)


def test_mean_squared_error(logits):
    target = np.random.default_rng(4).normal(size=(B, K))
    z = torch.tensor(logits, requires_grad=True)
    assert_same(mean_squared_error(logits, target), F.mse_loss(z, torch.tensor(target), reduction="sum") / B, z)


def test_softmax_is_a_distribution_even_for_huge_logits():
    p = softmax(np.array([[1e4, 0.0, -1e4], [1.0, 1.0, 1.0]]))
    np.testing.assert_allclose(p, [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]])


def test_confident_mistakes_have_finite_losses():
    with np.errstate(all="raise", under="ignore"):
        loss, gradient = softmax_cross_entropy(np.array([[1e4, 0.0]]), np.array([[0.0, 1.0]]))
        assert loss == 1e4
        assert gradient.tolist() == [[1.0, -1.0]]
        loss, gradient = sigmoid_binary_cross_entropy(np.array([-1e4]), np.array([1.0]))
        assert (loss, gradient.item()) == (1e4, -1.0)


@pytest.mark.parametrize("loss", [softmax_cross_entropy, sigmoid_binary_cross_entropy, mean_squared_error])
def test_shapes_that_would_broadcast_are_refused(loss):
    with pytest.raises(ValueError, match="shape"):
        loss(np.zeros((B, 1)), np.zeros(B))
