"""Every number and every claim of ticket-05 that can be computed is computed here."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from scripts.dl import architectures
from scripts.dl.architectures import Table, conv_multiply_adds, conv_parameters
from scripts.dl.convolution import conv2d, conv2d_backward, im2col, output_size, same_padding, toeplitz
from scripts.dl.finetuning import parameter_groups
from scripts.dl.pooling import global_average_pool
from scripts.dl.receptive_field import Layer, averaging_profile, effective_deviation, receptive_field
from scripts.experiments import transfer as experiment
from scripts.experiments import transfer_converged
from scripts.figures import ticket_05 as figures
from tests.content.page import assert_said, printed

PAGE = printed("tickets/05-cnn-transfer-learning.md")


def said(*texts):
    """Each text stands on the page as it is."""
    for text in texts:
        assert text in PAGE, text


# The layer


def test_picture_and_a_dense_layer():
    assert 224 * 224 * 3 == 150_528
    assert pytest.approx(150e6, rel=0.01) == 150_528 * 1000


def test_size_formula_on_a_grid():
    for n, k, s, P, d in product((5, 6, 11, 32), (1, 2, 3, 5), (1, 2, 3), (0, 1, 2), (1, 2)):
        if n + 2 * P >= d * (k - 1) + 1:
            expected = F.conv2d(torch.zeros(1, 1, n, n), torch.zeros(1, 1, k, k), None, s, P, d).shape[-1]
            assert output_size(n, k, s, P, d) == expected == (n + 2 * P - d * (k - 1) - 1) // s + 1
    assert same_padding(3) == 1


def test_first_layer_of_alexnet():
    assert (224 + 2 * 2 - 11) // 4 == 54  # the floor of 217 / 4
    assert output_size(224, 11, 4, 2) == output_size(227, 11, 4, 0) == 55
    assert output_size(224, 11, 4, 0) == 54
    assert conv_parameters(3, 64, 11) == 23_296
    assert conv_multiply_adds(3, 64, 11, 55, 55) / 1e6 == pytest.approx(70, abs=0.5)
    assert architectures.alexnet_2012().total("parameters") == 60_965_224
    said(r"60\,965\,224", r"61\,100\,840", r"23\,296")


def test_matrix_of_the_figure():
    shapes = [matrix.shape for matrix in figures.matrices().values()]
    assert shapes == [(16, 36), (36, 36), (9, 36)]
    valid = next(iter(figures.matrices().values()))
    assert (valid.size, np.count_nonzero(valid), len(np.unique(valid[valid != 0]))) == (576, 144, 9)
    x = np.random.default_rng(0).standard_normal((1, 1, 6, 6))
    np.testing.assert_allclose(valid @ x.ravel(), conv2d(x, figures.KERNEL).ravel())


def test_toeplitz_product_and_its_transpose():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 2, 6, 6)), rng.standard_normal((3, 2, 3, 3))
    T, y = toeplitz(w, (6, 6), 2, 1), conv2d(x, w, None, 2, 1)
    np.testing.assert_allclose(T @ x.ravel(), y.ravel(), atol=1e-12)
    bar_y = rng.standard_normal(y.shape)
    np.testing.assert_allclose(T.T @ bar_y.ravel(), conv2d_backward(x, w, bar_y, 2, 1)[0].ravel(), atol=1e-12)


def test_flipped_kernel_is_the_convolution_of_signal_processing():
    x, w = np.random.default_rng(0).standard_normal((2, 7))
    w = w[:3]
    ours = conv2d(x.reshape(1, 1, 1, 7), w[::-1].reshape(1, 1, 1, 3)).ravel()
    np.testing.assert_allclose(ours, np.convolve(x, w, mode="valid"), atol=1e-12)
    np.testing.assert_array_equal(figures.SOBEL[:, ::-1], -figures.SOBEL)  # the flip along x changes its sign


def test_gradient_of_a_weight_sums_over_places():
    rng = np.random.default_rng(0)
    x, w, bar_y = (
        rng.standard_normal((2, 3, 7, 7)),
        rng.standard_normal((4, 3, 3, 3)),
        rng.standard_normal((2, 4, 3, 3)),
    )
    bar_w = conv2d_backward(x, w, bar_y, stride=2)[1]
    by_hand = sum(
        bar_y[b, 1, i, j] * x[b, 2, 2 * i + 0, 2 * j + 2] for b, i, j in product(range(2), range(3), range(3))
    )
    assert bar_w[1, 2, 0, 2] == pytest.approx(by_hand)


def test_backward_pass_of_one_picture_as_matrices():
    rng = np.random.default_rng(0)
    x, w, bar_y = (rng.standard_normal(shape) for shape in ((1, 2, 6, 6), (3, 2, 3, 3), (1, 3, 4, 4)))
    p, W, bar = im2col(x, (3, 3)).reshape(2 * 9, 16), w.reshape(3, 2 * 9), bar_y.reshape(3, 16)
    np.testing.assert_allclose((W @ p).reshape(3, 4, 4), conv2d(x, w)[0], atol=1e-12)
    _, bar_w, bar_b = conv2d_backward(x, w, bar_y)
    np.testing.assert_allclose((bar @ p.T).reshape(w.shape), bar_w, atol=1e-12)
    np.testing.assert_allclose(bar_y[0].sum(axis=(1, 2)), bar_b)


# Shifts


def test_shift_errors_of_the_figure():
    errors = figures.shift_errors()
    assert errors["без прореживания"].max() < 1e-12
    odd = {name: error[1::2] for name, error in errors.items()}
    for name, value in (
        ("каждый второй", 0.220),
        ("max-pool", 0.135),
        ("average-pool", 0.074),
        ("max-blur-pool", 0.035),
    ):
        np.testing.assert_allclose(odd[name], value, atol=1e-3)
        assert errors[name][::2].max() < 1e-12
        assert_said(PAGE, value)


def test_average_pooling_is_a_fixed_convolution():
    x = torch.randn(1, 1, 6, 6)
    torch.testing.assert_close(F.avg_pool2d(x, 2), F.conv2d(x, torch.full((1, 1, 2, 2), 0.25), stride=2))


def test_global_average_of_shifted_maps():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 1, 8, 8)), rng.standard_normal((3, 1, 3, 3))

    def answer(x):
        wrapped = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="wrap")
        return global_average_pool(np.maximum(conv2d(wrapped, w), 0))

    np.testing.assert_allclose(answer(np.roll(x, 3, axis=-1)), answer(x), atol=1e-12)
    assert np.abs(answer(np.rot90(x, axes=(2, 3))) - answer(x)).max() > 0.01


# Receptive field


def test_table_for_the_board():
    table = Table(3, 32).conv(16, 5, bias=True, norm=False).pool(2, 2)
    assert table.shape == (16, 16, 16)
    assert output_size(16, 3, 1, 2, 2) == 16
    sizes = [conv_parameters(3, 16, 5), conv_parameters(16, 32, 3), conv_parameters(32, 64, 3), 64 * 10 + 10]
    assert sizes == [1216, 4640, 18_496, 650]
    assert output_size(16, 3, 2, 1) == 8
    layers = [Layer(5), Layer(2, 2), Layer(3, 1, 2), Layer(3, 2)]
    assert receptive_field(layers) == [(5, 1), (6, 2), (14, 2), (18, 4)]
    x = torch.zeros(1, 1, 64, dtype=torch.float64, requires_grad=True)
    y = x
    for layer in layers:
        y = F.conv1d(y, torch.ones(1, 1, layer.kernel, dtype=torch.float64), None, layer.stride, 0, layer.dilation)
    y[0, 0, 5].backward()
    seen = np.flatnonzero(x.grad[0, 0].numpy())
    assert seen[-1] - seen[0] + 1 == 18


@pytest.mark.parametrize(("name", "field"), [("AlexNet", 195), ("VGG-16", 212), ("ResNet-18", 435), ("ResNet-50", 427)])
def test_fields_of_networks(name, field):
    assert receptive_field(figures.table(name).windows())[-1] == (field, 32)
    assert f"{field}$" in PAGE
    assert (field > 224) == name.startswith("ResNet")  # sees the whole picture


def test_field_of_the_older_resnet50():
    older = [Layer(7, 2), Layer(3, 2)]
    for stage, count in enumerate((3, 4, 6, 3)):
        for block in range(count):
            older += [Layer(1, 2 if stage and not block else 1), Layer(3), Layer(1)]
    assert receptive_field(older)[-1] == (483, 32)
    assert 483 - 427 == 2 * (4 + 8 + 16) == 56


def test_beginning_of_resnet():
    assert (output_size(224, 7, 2, 3), output_size(112, 3, 2, 1)) == (112, 56)
    assert conv_parameters(3, 64, 7, bias=False) == 9408
    assert conv_multiply_adds(3, 64, 7, 112, 112) / 1e6 == pytest.approx(118, abs=0.5)
    assert conv_parameters(64, 64, 3, bias=False) == 36_864
    assert conv_multiply_adds(64, 64, 3, 56, 56) / 1e6 == pytest.approx(115.6, abs=0.05)
    fields = receptive_field([Layer(7, 2), Layer(3, 2), *[Layer(3)] * 4])
    assert [r for r, _ in fields] == [7, 11, 19, 27, 35, 43]


def test_averaging_field_of_the_figure():
    for depth, deviation, share in ((5, 1.83, 0.57), (20, 3.65, 0.155), (40, 5.16, 0.079)):
        field = figures.averaged_field(depth)
        assert field.shape == (2 * depth + 1,) * 2
        assert figures.field_deviation(field) == pytest.approx(math.sqrt(2 * depth / 3))
        assert figures.field_deviation(field) == pytest.approx(deviation, abs=5e-3)
        assert figures.noticeable_share(field) == pytest.approx(share, abs=1e-3)
        assert effective_deviation([Layer(3)] * depth) == pytest.approx(math.sqrt(2 * depth / 3))
        assert_said(PAGE, deviation, digits=2)
    assert [round(100 * figures.noticeable_share(figures.averaged_field(n))) for n in figures.DEPTHS] == [57, 16, 8]


def test_averaging_field_by_backpropagation():
    depth = 4
    w, bar = np.full((1, 1, 3, 3), 1 / 9), np.ones((1, 1, 1, 1))
    for side in range(3, 2 * depth + 2, 2):
        bar = conv2d_backward(np.zeros((1, 1, side, side)), w, bar)[0]
    np.testing.assert_allclose(bar[0, 0], figures.averaged_field(depth), atol=1e-12)


def test_share_falls_as_one_over_depth():
    constant = 2 * math.pi * math.log(1 / 0.0455) * (2 / 3) / 4
    assert constant == pytest.approx(3.24, abs=0.005)
    assert constant / 40 == pytest.approx(figures.noticeable_share(figures.averaged_field(40)), abs=0.004)


def test_random_field_is_root_two_wider():
    wide = figures.field_deviation(figures.random_field(40))
    assert wide == pytest.approx(math.sqrt(2) * math.sqrt(80 / 3), rel=0.05)
    assert wide == pytest.approx(7.33, abs=0.1)
    assert_said(PAGE, 7.33, digits=2)


def test_path_through_some_of_the_layers():
    m = 6
    profile = averaging_profile([Layer(3)] * m)
    place = np.arange(len(profile)) - m
    assert math.sqrt(profile @ place**2) == pytest.approx(math.sqrt(2 * m / 3))


# Costs


def test_budget_of_vgg():
    layers = figures.vgg_layers()
    total = layers["activations"].sum()
    assert total / 1e6 == pytest.approx(13.6, abs=0.05)
    assert layers["activations"][:2].sum() / total == pytest.approx(0.47, abs=0.005)
    assert layers["parameters"][13] / 1e6 == pytest.approx(102.8, abs=0.05)
    assert layers["multiply_adds"][13] / layers["multiply_adds"].sum() == pytest.approx(0.007, abs=5e-4)
    assert 32 * total / 1e6 == pytest.approx(434, abs=0.5)
    assert layers["parameters"].sum() / total == pytest.approx(10, abs=0.5)
    assert layers["multiply_adds"][:2].sum() / 1e9 == pytest.approx(1.94, abs=0.005)
    assert layers["multiply_adds"][:2].sum() > figures.table("GoogLeNet").total("multiply_adds")
    assert layers["is_conv"].sum() == 13


def test_memory_of_training():
    """Numbers kept for 32 pictures: outputs of layers against weights, their gradient and two moments of Adam."""
    for name, activations, weights in (("VGG-16", 434, 553), ("ResNet-50", 356, 102)):
        layers = figures.table(name)
        outputs = sum(math.prod(row.shape) for row in layers.rows if row.kind in ("conv", "fc"))
        assert round(32 * outputs / 1e6) == activations
        assert round(4 * layers.total("parameters") / 1e6) == weights
        said(f"${activations}$", f"${weights}$")


def test_halving_the_map_and_doubling_the_channels():
    assert conv_multiply_adds(128, 128, 3, 14, 14) == conv_multiply_adds(64, 64, 3, 28, 28)
    assert conv_parameters(128, 128, 3, bias=False) == 4 * conv_parameters(64, 64, 3, bias=False)


def test_split_of_the_figure():
    def millions(name):
        return [round(part / 1e6, 1) for part in figures.split(name, "parameters")]

    assert millions("AlexNet")[1] == 58.6
    assert millions("VGG-16") == [14.7, 123.6]
    assert millions("ResNet-50")[0] == 23.5
    ratio = figures.table("VGG-16").total("multiply_adds") / figures.table("ResNet-50").total("multiply_adds")
    assert ratio == pytest.approx(4, abs=0.3)
    ratio = figures.table("VGG-16").total("multiply_adds") / figures.table("MobileNet v2").total("multiply_adds")
    assert ratio == pytest.approx(51, abs=0.6)
    assert figures.TOP1["MobileNet v2"] > figures.TOP1["VGG-16"]


@pytest.mark.parametrize(
    ("name", "millions", "billions"),
    [("AlexNet", 61.1, 0.71), ("VGG-16", 138.4, 15.5), ("GoogLeNet", 6.6, 1.5), ("ResNet-50", 25.6, 4.1),
     ("DenseNet-121", 8.0, 2.8), ("MobileNet v2", 3.5, 0.30), ("EfficientNet-B0", 5.3, 0.39), ("ConvNeXt-T", 28.6, 4.5),
     ("ResNeXt-50", 25.0, 4.2), ("MobileNet v1", 4.2, 0.57)],
)  # fmt: skip
def test_table_of_networks(name, millions, billions):
    table = figures.table(name)
    assert table.total("parameters") / 1e6 == pytest.approx(millions, abs=0.051)
    assert table.total("multiply_adds") / 1e9 == pytest.approx(billions, abs=0.0501)


def test_lenet5():
    rows = architectures.lenet5()
    assert [row.parameters for row in rows.rows if row.parameters] == [156, 12, 1516, 32, 48_120, 10_164]
    assert rows.total("parameters", ("conv", "fc", "norm", "pool")) == 60_000
    assert rows.total("multiply_adds") / 1e9 == pytest.approx(0.0003, abs=5e-5)


def test_stacks_of_small_kernels():
    assert receptive_field([Layer(3)] * 3)[-1] == receptive_field([Layer(7)])[-1] == (7, 1)
    assert 3 * conv_parameters(1, 1, 3, bias=False) == 27
    assert conv_parameters(1, 1, 7, bias=False) == 49
    assert 7 + 7 == 14
    assert (conv_parameters(384, 384, 7, 384, False), conv_parameters(384, 384, 1, bias=False)) == (18_816, 147_456)


def test_one_by_one_is_linear_over_channels():
    rng = np.random.default_rng(0)
    x, W = rng.standard_normal((1, 4, 3, 3)), rng.standard_normal((5, 4))
    np.testing.assert_allclose(conv2d(x, W[:, :, None, None])[0, :, 1, 2], W @ x[0, :, 1, 2], atol=1e-12)


def test_bottleneck_of_googlenet():
    direct = conv_multiply_adds(192, 32, 5, 28, 28)
    squeeze, five = conv_multiply_adds(192, 16, 1, 28, 28), conv_multiply_adds(16, 32, 5, 28, 28)
    found = [round(cost / 1e6, 1) for cost in (direct, squeeze, five, squeeze + five)]
    assert found == [120.4, 2.4, 10.0, 12.4]
    assert_said(PAGE, *found, digits=1)


def test_separable_convolution():
    assert architectures.separable_ratio(256, 3) == pytest.approx(0.115, abs=5e-4)
    assert 1 / architectures.separable_ratio(256, 3) == pytest.approx(8.7, abs=0.05)
    assert pytest.approx(0.97, abs=0.005) == 256 / (256 + 9)


def test_growth_of_efficientnet():
    assert pytest.approx(1.92, abs=0.005) == 1.2 * 1.1**2 * 1.15**2


def test_winograd_gain_and_the_algorithm():
    """F(2, 3) along one axis: two outputs of a kernel of three for four multiplications; nested twice, 16 for 36."""
    d, g = np.random.default_rng(0).standard_normal((2, 4))
    g = g[:3]
    B = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1.0]])
    G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1.0]])
    A = np.array([[1, 1, 1, 0], [0, 1, -1, -1.0]])
    np.testing.assert_allclose(A @ ((G @ g) * (B @ d)), np.correlate(d, g, mode="valid"), atol=1e-12)
    assert (4 * 4, 2 * 2 * 9, 36 / 16) == (16, 36, 2.25)


def test_heads():
    assert 512 * 1000 + 1000 == 513_000
    assert (2048 + 1) * 10 == 20_490
    assert output_size(448 // 32, 1) == 14


def test_class_activation_map():
    """The logit after global averaging is the mean over places of the weighted sum of channels."""
    rng = np.random.default_rng(0)
    x, V = rng.standard_normal((1, 6, 5, 5)), rng.standard_normal((3, 6))
    maps = np.einsum("kc,bcij->bkij", V, x)
    np.testing.assert_allclose(global_average_pool(x) @ V.T, maps.mean(axis=(2, 3)), atol=1e-12)


# Transfer


def test_accuracies_of_the_figure():
    found = figures.accuracies()
    means = {mode: values.mean(axis=1) for mode, values in found.items()}
    said_first = {"scratch": 0.37, "probe": 0.55, "two-frozen": 0.61, "full": 0.61, "lp-ft": 0.64}
    said_last = {"scratch": 0.84, "probe": 0.76, "two-frozen": 0.84, "full": 0.86, "lp-ft": 0.87}
    for row, claimed in ((0, said_first), (-1, said_last)):
        for mode, value in claimed.items():
            assert means[mode][row] == pytest.approx(value, abs=0.00501)
            assert_said(PAGE, value, digits=2)
    assert np.all(found["two-frozen"][-1] < found["full"][-1])  # in every one of the five splits
    assert np.all(means["probe"] < means["full"])
    assert means["probe"][2] < means["scratch"][2]
    assert np.all(means["lp-ft"] > means["full"])


def test_inverted_contrast():
    means = {mode: values.mean(axis=1) for mode, values in figures.accuracies("inverted").items()}
    assert means["scratch"][-1] == pytest.approx(0.77, abs=0.00501)
    transferred = [means[mode][-1] for mode in means if mode != "scratch"]
    assert min(transferred) == pytest.approx(0.28, abs=0.00501)
    assert max(transferred) == pytest.approx(0.39, abs=0.00501)


def test_more_steps_do_not_mend_the_inverted_contrast():
    longer, row = transfer_converged.inverted(1000), transfer_converged.MODES.index
    for mode, accuracy in (("scratch", 0.84), ("full", 0.65)):
        assert longer["accuracy"][row(mode)].mean() == pytest.approx(accuracy, abs=0.00501)
        assert_said(PAGE, accuracy, digits=2)
    assert np.all(longer["accuracy"][row("full")] < longer["accuracy"][row("scratch")])
    assert longer["training"][row("full")].mean() == pytest.approx(0.99, abs=0.00501)
    assert_said(PAGE, 0.99, digits=2)
    assert np.all(longer["accuracy"][row("full")] > figures.accuracies("inverted")["full"][-1])


def test_a_head_trained_to_its_minimum_still_loses():
    found = transfer_converged.probe(100)
    assert 1 - found["training"][-1].mean() == pytest.approx(0.07, abs=0.00501)  # with next to no penalty
    assert found["training"].max() < 1
    best = found["accuracy"].mean(axis=1).max()
    assert best == pytest.approx(0.80, abs=0.00501)
    assert_said(PAGE, 0.80, digits=2)
    assert np.all(found["accuracy"] < figures.accuracies()["full"][-1])
    assert best < figures.accuracies()["scratch"][-1].mean()


def test_few_frozen_layers_win_nothing():
    found = figures.accuracies()
    assert np.all(found["two-frozen"].mean(axis=1) < found["full"].mean(axis=1))


def test_wrong_preprocessing():
    found = {name: values.mean() for name, values in experiment.source().items() if name != "filters"}
    claimed = {"accuracy": 0.93, "unnormalised": 0.57, "bytes": 0.50, "inverted": 0.17}
    for name, value in claimed.items():
        assert found[name] == pytest.approx(value, abs=0.00501)
        assert_said(PAGE, value, digits=2)
    assert found["accuracy"] - found["unnormalised"] == pytest.approx(0.36, abs=0.00501)
    assert found["inverted"] == pytest.approx(1 / len(experiment.SOURCE_CLASSES), abs=0.01)


def test_rates_of_the_experiment():
    assert (experiment.RATE, experiment.BODY_RATE, experiment.HEAD_RATE) == (0.002, 0.001, 0.01)
    np.testing.assert_allclose(
        experiment.normalised(np.array(0.2), "inverted"), (1 - 0.2 - experiment.MEAN) / experiment.STD, rtol=1e-6
    )
    said("0{,}002", "0{,}001", "0{,}01$ у новой головы")


def test_rate_of_the_fourth_block():
    blocks = [nn.Linear(1, 1) for _ in range(4)]
    rates = [group["lr"] for group in parameter_groups(blocks, nn.Linear(1, 1), 1.0)]
    assert rates == pytest.approx([0.3**k for k in range(5)])
    assert round(1 / rates[-1]) == 123


def test_constants_of_normalisation():
    canvas, _ = experiment.unseen(0, experiment.SOURCE_CLASSES)
    assert canvas.mean() == pytest.approx(experiment.MEAN, abs=0.01)
    assert canvas.std() == pytest.approx(experiment.STD, abs=0.01)


def test_fewer_labels_are_the_beginning_of_more():
    few, few_classes = experiment.labelled(0, 3)
    many, many_classes = experiment.labelled(0, 10)
    for c in range(4):
        np.testing.assert_array_equal(few[few_classes == c], many[many_classes == c][:3])


@pytest.mark.parametrize("mode", experiment.MODES)
def test_training_code_in_a_few_steps(mode):
    torch.manual_seed(0)
    source = experiment.network(6)
    x, y = torch.randn(8, 1, 16, 16), torch.arange(8) % 4
    new = experiment.adapted(mode, source, x, y, steps=2)
    moved = [not torch.equal(a, b) for a, b in zip(source[:8].parameters(), new[:8].parameters(), strict=True)]
    frozen = {"one-frozen": 2, "two-frozen": 4, "probe": 6}.get(mode, 0)  # tensors: a weight and a bias a layer
    assert moved == [False] * frozen + [True] * (6 - frozen)


def test_pretraining_learns():
    canvas, y = experiment.unseen(0, experiment.SOURCE_CLASSES)
    x = experiment.normalised(canvas[:100])
    losses = [F.cross_entropy(experiment.pretrain(0, steps)(x), y[:100]).item() for steps in (1, 40)]
    assert losses[1] < losses[0] - 0.05


def test_gradient_of_the_features():
    torch.manual_seed(0)
    f, V = torch.randn(5, requires_grad=True), torch.randn(3, 5)
    F.cross_entropy(V @ f, torch.tensor(1)).backward()
    error = torch.softmax(V @ f, 0).detach() - F.one_hot(torch.tensor(1), 3)
    torch.testing.assert_close(f.grad, V.T @ error)


def test_fine_tuning_does_not_move_unseen_directions():
    rng = np.random.default_rng(0)
    B, X, y = rng.standard_normal((4, 8)), rng.standard_normal((3, 8)), rng.standard_normal(3)
    u = np.linalg.svd(X)[2][-1]  # orthogonal to all training inputs
    v, before = rng.standard_normal(4), B.copy()
    for _ in range(500):
        error = X @ B.T @ v - y
        v, B = v - 0.005 * B @ X.T @ error, B - 0.005 * np.outer(v, error @ X)
    assert np.abs(X @ B.T @ v - y).max() < 1e-3
    np.testing.assert_allclose(B @ u, before @ u, atol=1e-12)
    assert np.abs((B - before) @ X.T).max() > 0.1
    trained = np.linalg.lstsq(X @ before.T, y, rcond=None)[0]  # the head first: no error, no gradient for the body
    assert np.abs(np.outer(trained, (X @ before.T @ trained - y) @ X)).max() < 1e-9


def test_frozen_batch_norm_forgets():
    assert pytest.approx(0.01, abs=5e-4) == 0.9**44
    assert nn.BatchNorm2d(3).momentum == 0.1
    layer = nn.BatchNorm2d(3).requires_grad_(False)
    layer(torch.randn(4, 3, 5, 5) + 10)
    assert layer.running_mean.min() > 0.9
    layer.eval()
    kept = layer.running_mean.clone()
    layer(torch.randn(4, 3, 5, 5) + 10)
    assert torch.equal(layer.running_mean, kept)


def test_grey_pictures_and_a_fourth_channel():
    rng = np.random.default_rng(0)
    grey, rgb = rng.standard_normal((1, 1, 6, 6)), rng.standard_normal((1, 3, 6, 6))
    w = rng.standard_normal((4, 3, 3, 3))
    repeated = conv2d(np.repeat(grey, 3, axis=1), w)
    np.testing.assert_allclose(repeated, conv2d(grey, w.sum(axis=1, keepdims=True)), atol=1e-12)
    with_zeros = np.concatenate([w, np.zeros((4, 1, 3, 3))], axis=1)
    np.testing.assert_allclose(conv2d(np.concatenate([rgb, grey], axis=1), with_zeros), conv2d(rgb, w), atol=1e-12)
    averaged = 0.75 * np.concatenate([w, w.mean(axis=1, keepdims=True)], axis=1)
    np.testing.assert_allclose(averaged.sum(axis=1), w.sum(axis=1), atol=1e-12)


def test_classical_filters_of_the_figure():
    """Sobel answers to vertical edges only, Gabor to horizontal stripes."""
    edge = np.tile(np.repeat([0.0, 1.0], 10), (20, 1))
    assert np.abs(conv2d(edge[None, None], figures.SOBEL[None, None])).max() == 4
    assert np.abs(conv2d(edge.T[None, None], figures.SOBEL[None, None])).max() == 0
    stripes = np.cos(2 * np.pi * np.arange(30) / 5)[:, None] * np.ones(30)
    answer = np.abs(conv2d(stripes[None, None], figures.gabor()[None, None])).max()
    assert answer > 20 * np.abs(conv2d(stripes.T[None, None], figures.gabor()[None, None])).max()
    assert experiment.source()["filters"].shape == (12, 5, 5)
    assert figures.learned_maps().shape == (12, 16, 16)
