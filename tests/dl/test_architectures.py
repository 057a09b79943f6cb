"""Layer tables against published totals and against PyTorch's own layers."""

import pytest
import torch
from torch import nn

from scripts.dl import architectures

# Parameters and billions of multiply-adds that torchvision prints for its models (`num_params`, `_ops`).
TORCHVISION = {
    "AlexNet": (61_100_840, 0.714),
    "VGG-16": (138_357_544, 15.47),
    "GoogLeNet": (6_624_904, 1.498),
    "ResNet-18": (11_689_512, 1.814),
    "ResNet-50": (25_557_032, 4.089),
    "ResNeXt-50": (25_028_904, 4.23),
    "DenseNet-121": (7_978_856, 2.834),
    "MobileNet v2": (3_504_872, 0.301),
    "EfficientNet-B0": (5_288_548, 0.386),
    "ConvNeXt-T": (28_589_128, 4.456),
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_totals(name):
    table = architectures.NETWORKS[name]()
    parameters, billions = TORCHVISION[name]
    assert table.shape == (1000, 1, 1)
    assert table.total("parameters") == parameters
    assert table.total("multiply_adds") / 1e9 == pytest.approx(billions, abs=6e-4)


def test_lenet5_layer_by_layer():
    rows = architectures.lenet5().rows
    trained = [row.parameters for row in rows if row.parameters]
    assert trained == [156, 12, 1516, 32, 48_120, 10_164]
    assert sum(trained) == 60_000


def test_alexnet_of_2012():
    assert architectures.alexnet_2012().total("parameters") == 60_965_224


def test_mobilenet_v1_of_its_paper():
    table = architectures.mobilenet_v1()
    assert table.total("parameters") / 1e6 == pytest.approx(4.2, abs=0.05)
    assert table.total("multiply_adds") / 1e6 == pytest.approx(569, abs=1)


@pytest.mark.parametrize("groups", [1, 4, 8])
@pytest.mark.parametrize("bias", [True, False])
def test_one_layer_against_torch(groups, bias):
    layer = nn.Conv2d(8, 16, 5, 2, 1, groups=groups, bias=bias)
    table = architectures.Table(8, 20).conv(16, 5, 2, 1, groups, bias, norm=False)
    assert table.total("parameters") == sum(p.numel() for p in layer.parameters())
    out = layer(torch.zeros(1, 8, 20, 20))
    assert table.shape == tuple(out.shape[1:])
    assert table.total("multiply_adds") == out[0].numel() * layer.weight[0].numel()


def test_pooling_with_an_incomplete_window():
    for side in (112, 113, 56, 14, 15):
        expected = nn.MaxPool2d(3, 2, ceil_mode=True)(torch.zeros(1, 1, side, side)).shape[-1]
        assert architectures.Table(1, side).pool(3, 2, ceil=True).shape == (1, expected, expected)


def test_ratio_of_the_separable_convolution():
    c_in, c_out, k, side = 64, 256, 3, 14
    full = architectures.conv_multiply_adds(c_in, c_out, k, side, side)
    depthwise = architectures.conv_multiply_adds(c_in, c_in, k, side, side, groups=c_in)
    pointwise = architectures.conv_multiply_adds(c_in, c_out, 1, side, side)
    assert architectures.separable_ratio(c_out, k) == pytest.approx((depthwise + pointwise) / full)
    assert architectures.separable_ratio(256, 3) == pytest.approx(0.115, abs=5e-4)


def test_branches_join_along_channels():
    table = architectures.Table(8, 5).branches(lambda t: t.conv(3, 1), lambda t: t.conv(4, 3))
    assert table.shape == (7, 5, 5)
