"""The recursion against the inputs that a real network depends on."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import architectures
from scripts.dl.receptive_field import Layer, averaging_profile, effective_deviation, receptive_field

STACKS = [
    [Layer(3)] * 4,
    [Layer(7, 2), Layer(3, 2), Layer(3), Layer(3)],
    [Layer(3), Layer(3, 1, 2), Layer(3, 1, 4)],
    [Layer(2, 2), Layer(5, 1, 3), Layer(1), Layer(3, 3), Layer(2)],
]


def dependence(layers, side=300):
    """Gradient of one output near the middle in the inputs, when every layer averages."""
    x = torch.zeros(1, 1, side, dtype=torch.float64, requires_grad=True)
    y = x
    for layer in layers:
        weights = torch.full((1, 1, layer.kernel), 1 / layer.kernel, dtype=torch.float64)
        y = F.conv1d(y, weights, stride=layer.stride, dilation=layer.dilation)
    y[0, 0, y.shape[-1] // 2].backward()
    return x.grad[0, 0].numpy()


@pytest.mark.parametrize("layers", STACKS)
def test_field_is_what_the_output_depends_on(layers):
    seen = np.flatnonzero(dependence(layers))
    assert receptive_field(layers)[-1][0] == seen[-1] - seen[0] + 1


@pytest.mark.parametrize("layers", STACKS)
def test_profile_and_its_deviation(layers):
    gradient = dependence(layers)
    seen = np.flatnonzero(gradient)
    profile = averaging_profile(layers)
    np.testing.assert_allclose(profile, gradient[seen[0] : seen[-1] + 1], atol=1e-14)
    place = np.arange(len(profile))
    mean = profile @ place
    assert np.sqrt(profile @ (place - mean) ** 2) == pytest.approx(effective_deviation(layers))


def test_jump_is_the_product_of_strides():
    assert receptive_field([Layer(3, 2), Layer(3, 2), Layer(3)]) == [(3, 2), (7, 4), (15, 4)]


@pytest.mark.parametrize(
    ("network", "field"), [("AlexNet", 195), ("VGG-16", 212), ("ResNet-18", 435), ("ResNet-50", 427)]
)
def test_fields_of_known_networks(network, field):
    assert receptive_field(architectures.NETWORKS[network]().windows())[-1] == (field, 32)
