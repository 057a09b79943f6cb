"""Moments, shapes and orthogonality of the initial weights."""

import numpy as np
import pytest
import torch

from scripts.dl import initialization

FAN_OUT, FAN_IN = 300, 500
VARIANCES = {
    "normal": (initialization.normal(0.01), 1e-4),
    "xavier_normal": (initialization.xavier_normal, 2 / (FAN_IN + FAN_OUT)),
    "xavier_uniform": (initialization.xavier_uniform, 2 / (FAN_IN + FAN_OUT)),
    "he_normal": (initialization.he_normal, 2 / FAN_IN),
    "linear_default": (initialization.linear_default, 1 / (3 * FAN_IN)),
    "orthogonal": (initialization.orthogonal, 1 / FAN_IN),
}


@pytest.mark.parametrize("name", VARIANCES)
def test_shape_mean_and_variance(name):
    recipe, variance = VARIANCES[name]
    weights = recipe(FAN_OUT, FAN_IN, np.random.default_rng(0))
    assert weights.shape == (FAN_OUT, FAN_IN)
    # 150 000 entries: the mean is known to 1/387 of a standard deviation, the variance to at most 0.4 %.
    assert abs(weights.mean()) < 4 * np.sqrt(variance / weights.size)
    assert weights.var() == pytest.approx(variance, rel=0.015)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (initialization.xavier_normal, torch.nn.init.xavier_normal_),
        (initialization.xavier_uniform, torch.nn.init.xavier_uniform_),
        (initialization.he_normal, lambda w: torch.nn.init.kaiming_normal_(w, nonlinearity="relu")),
        (initialization.linear_default, lambda w: torch.nn.Linear(FAN_IN, FAN_OUT).weight.detach()),
        (initialization.orthogonal, torch.nn.init.orthogonal_),
    ],
)
def test_spread_is_that_of_torch(ours, theirs):
    torch.manual_seed(0)
    reference = theirs(torch.empty(FAN_OUT, FAN_IN)).numpy()
    weights = ours(FAN_OUT, FAN_IN, np.random.default_rng(0))
    assert weights.std() == pytest.approx(reference.std(), rel=0.01)
    assert np.abs(weights).max() == pytest.approx(np.abs(reference).max(), rel=0.15)


@pytest.mark.parametrize(("recipe", "bound"), [
    (initialization.xavier_uniform, np.sqrt(6 / (FAN_IN + FAN_OUT))),
    (initialization.linear_default, 1 / np.sqrt(FAN_IN)),
])  # fmt: skip
def test_uniform_recipes_fill_their_interval(recipe, bound):
    weights = recipe(FAN_OUT, FAN_IN, np.random.default_rng(0))
    assert 0.999 * bound < np.abs(weights).max() <= bound


@pytest.mark.parametrize(("fan_out", "fan_in"), [(40, 40), (30, 50), (50, 30), (1, 7), (7, 1)])
def test_orthogonal_keeps_the_shorter_side_orthonormal(fan_out, fan_in):
    weights = initialization.orthogonal(fan_out, fan_in, np.random.default_rng(0))
    assert weights.shape == (fan_out, fan_in)
    gram = weights @ weights.T if fan_out <= fan_in else weights.T @ weights
    assert np.allclose(gram, np.eye(min(fan_out, fan_in)), atol=1e-12)


def test_orthogonal_is_unbiased_by_the_sign_convention_of_qr():
    """A bare QR has a fixed sign on R's diagonal, so the first entry of Q would never change its sign."""
    rng = np.random.default_rng(0)
    corners = [initialization.orthogonal(3, 3, rng)[0, 0] for _ in range(400)]
    assert abs(np.mean(corners)) < 0.1  # a uniform entry has standard deviation 0.58, so its mean 0.03


def test_constant_fills_and_normal_rejects_a_negative_spread():
    assert np.array_equal(initialization.constant(0.5)(2, 3, np.random.default_rng(0)), np.full((2, 3), 0.5))
    assert np.array_equal(initialization.normal(0)(2, 3, np.random.default_rng(0)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="negative"):
        initialization.normal(-1.0)


def test_the_generator_decides_the_weights():
    first, again = (initialization.he_normal(4, 5, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first, again)
    rng = np.random.default_rng(7)
    assert not np.array_equal(initialization.he_normal(4, 5, rng), initialization.he_normal(4, 5, rng))
