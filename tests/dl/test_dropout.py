"""Dropout by simulation, against autograd, and the averages over all masks."""

import numpy as np
import pytest
import torch

from scripts.dl import dropout as d
from scripts.dl import initialization
from scripts.dl.activations import RELU, TANH
from scripts.dl.gradcheck import numerical_gradient, relative_error
from scripts.dl.losses import softmax_cross_entropy
from scripts.dl.mlp import MLP


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_mean_is_kept_and_variance_is_p_over_one_minus_p(p, rng):
    a = np.array([-2.0, 0.5, 3.0])
    out, _ = d.dropout(np.tile(a, (400_000, 1)), p, rng)
    np.testing.assert_allclose(out.mean(axis=0), a, atol=0.03)
    np.testing.assert_allclose(out.var(axis=0), p / (1 - p) * a**2, rtol=0.02)


def test_values_of_the_mask_and_share_of_the_dropped(rng):
    out, mask = d.dropout(np.ones((500, 400)), 0.3, rng)
    assert set(np.unique(mask)) == {0.0, 1 / 0.7}
    assert np.mean(mask == 0) == pytest.approx(0.3, abs=0.005)
    assert np.array_equal(out, mask)
    # Independent between objects and between units.
    dropped = (mask == 0) - 0.3
    assert abs(np.mean(dropped[1:] * dropped[:-1])) < 0.005
    assert abs(np.mean(dropped[:, 1:] * dropped[:, :-1])) < 0.005


def test_p_zero_is_the_identity_and_input_stays(rng):
    a = rng.standard_normal((4, 5))
    before = a.copy()
    out, mask = d.dropout(a, 0.0, rng)
    assert np.array_equal(out, a)
    assert np.all(mask == 1)
    d.dropout(a, 0.5, rng)
    assert np.array_equal(a, before)


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, np.nan])
def test_bad_probabilities(p, rng):
    for call in (d.dropout, d.gaussian_dropout):
        with pytest.raises(ValueError, match="p must be"):
            call(np.ones(3), p, rng)
    with pytest.raises(ValueError, match="p must be"):
        d.all_masks(3, p)


def test_backward_is_the_derivative_for_a_fixed_mask(rng):
    a, top = rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    _, mask = d.dropout(a, 0.5, rng)
    numeric = numerical_gradient(lambda v: float(np.sum(top * (v * mask) ** 2)), a)
    analytic = d.dropout_backward(2 * top * (a * mask), mask)
    assert relative_error(analytic, numeric) < 1e-8


def test_backward_agrees_with_torch(rng):
    """Read torch's mask off its output, then compare gradients."""
    torch.manual_seed(0)
    a = torch.tensor(rng.standard_normal((50, 20)), requires_grad=True)
    out = torch.nn.functional.dropout(a, 0.4)
    top = rng.standard_normal((50, 20))
    out.backward(torch.tensor(top))
    mask = (out / a).detach().numpy()
    np.testing.assert_allclose(np.unique(np.round(mask, 12)), [0.0, 1 / 0.6])
    np.testing.assert_allclose(d.dropout_backward(top, mask), a.grad.numpy())


def test_shared_axes_give_channels_and_time_steps_one_mask(rng):
    images = np.ones((6, 8, 5, 5))
    out, mask = d.dropout(images, 0.5, rng, shared=(2, 3))
    assert mask.shape == (6, 8, 1, 1)
    assert np.array_equal(out, out[:, :, :1, :1] * images)  # whole channels
    assert 0 < np.mean(out == 0) < 1
    states = np.ones((6, 30, 16))  # (B, T, d)
    out, mask = d.dropout(states, 0.5, rng, shared=(1,))
    assert mask.shape == (6, 1, 16)
    assert np.array_equal(out, np.broadcast_to(out[:, :1], out.shape))


def test_gaussian_noise_has_the_same_two_moments(rng):
    out, factors = d.gaussian_dropout(np.full(400_000, 3.0), 0.2, rng)
    assert out.mean() == pytest.approx(3.0, abs=0.01)
    assert out.var() == pytest.approx(0.25 * 9, rel=0.01)
    np.testing.assert_array_equal(out, 3.0 * factors)


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_all_masks_form_the_product_distribution(p):
    masks, weights = d.all_masks(6, p)
    assert masks.shape == (64, 6)
    assert len(np.unique(masks, axis=0)) == 64
    assert weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(weights @ masks, np.ones(6))  # E m/(1-p) = 1
    np.testing.assert_allclose(weights @ (masks - 1) ** 2, np.full(6, p / (1 - p)))


def test_geometric_mean_of_equal_members_is_the_member(rng):
    member = rng.dirichlet(np.ones(4), size=3)
    np.testing.assert_allclose(d.geometric_mean(np.stack([member, member]), np.array([0.3, 0.7])), member)


def test_geometric_mean_by_hand():
    pair = np.array([[0.8, 0.2], [0.5, 0.5]])
    raw = np.sqrt(pair[0] * pair[1])
    np.testing.assert_allclose(d.geometric_mean(pair, np.array([0.5, 0.5])), raw / raw.sum())


def test_uncertainty_splits_and_is_never_negative(rng):
    total, data, mutual = d.uncertainty(rng.dirichlet(np.ones(5), size=(40, 7)))
    np.testing.assert_allclose(total, data + mutual)
    assert np.all(mutual > 0)
    same = np.tile(rng.dirichlet(np.ones(5), size=7), (10, 1, 1))
    np.testing.assert_allclose(d.uncertainty(same)[2], 0, atol=1e-12)


def test_sure_subnetworks_that_disagree_are_all_mutual_information():
    votes = np.eye(2)[[0, 1, 0, 1]][:, None, :]
    total, data, mutual = d.uncertainty(votes)
    assert (total[0], data[0], mutual[0]) == pytest.approx((np.log(2), 0.0, np.log(2)))


def network(p=0.5, activation=TANH):
    sizes = [4, 6, 5, 3]
    return d.DropoutMLP(
        sizes, activation, initialization.xavier_normal, np.random.default_rng(1), p, np.random.default_rng(2)
    )


def test_network_draws_new_masks_in_training_and_none_in_evaluation(rng):
    X, mlp = rng.standard_normal((7, 4)), network()
    assert not np.array_equal(mlp.forward(X), mlp.forward(X))
    assert [m.shape for m in mlp.masks] == [(7, 6), (7, 5)]
    mlp.training = False
    plain = MLP([4, 6, 5, 3], TANH, initialization.xavier_normal, np.random.default_rng(1))
    np.testing.assert_array_equal(mlp.forward(X), plain.forward(X))


def test_network_gradient_is_right_for_its_masks(rng):
    X, labels, mlp = rng.standard_normal((7, 4)), np.eye(3)[rng.integers(0, 3, 7)], network()
    _, grad_logits = softmax_cross_entropy(mlp.forward(X), labels)
    grads = mlp.backward(grad_logits)
    masks = [m.copy() for m in mlp.masks]

    def loss():
        A = X
        for layer, (W, b) in enumerate(zip(mlp.weights, mlp.biases, strict=True)):
            A = A @ W.T + b
            if layer < 2:
                A = np.tanh(A) * masks[layer]
        return softmax_cross_entropy(A, labels)[0]

    for layer in range(3):
        for kind in ("weights", "biases"):
            theta = getattr(mlp, kind)[layer]
            original = theta.copy()

            def at(v, theta=theta):
                theta[...] = v
                return loss()

            numeric = numerical_gradient(at, original.copy())
            theta[...] = original
            assert relative_error(getattr(grads, kind)[layer], numeric) < 1e-7


def test_backward_needs_forward():
    with pytest.raises(RuntimeError, match="forward"):
        network(activation=RELU).backward(np.zeros((1, 3)))
