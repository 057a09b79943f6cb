"""Every number and every claim of tm-12 that can be computed is computed here."""

from itertools import combinations_with_replacement, product
from math import gcd

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import architectures, dilated
from scripts.dl.receptive_field import Layer
from scripts.dl.receptive_field import receptive_field as general_field
from scripts.experiments import dilated as experiment
from scripts.figures import tm_12
from tests.content.page import assert_said, printed

PAGE = printed("theory-minimum/12-dilated-convolution.md")


def said(text):
    assert text in PAGE, f"not on the page: {text}"


# Formulas


def test_extent_padding_and_cost_of_a_dilated_layer():
    x = torch.zeros(1, 1, 30, 30)
    for k in (1, 2, 3, 5):
        for d in (1, 2, 3, 6):
            extent = d * (k - 1) + 1
            assert extent == k + (k - 1) * (d - 1)
            if extent <= 30:
                assert F.conv2d(x, torch.zeros(1, 1, k, k), dilation=d).shape[-1] == 30 - extent + 1
            if d * (k - 1) % 2 == 0:
                same = F.conv2d(x, torch.zeros(1, 1, k, k), dilation=d, padding=d * (k - 1) // 2)
                assert same.shape == x.shape
    assert F.conv2d(x, torch.zeros(1, 1, 3, 3), dilation=2, padding=1).shape[-1] == 28
    sizes = {sum(p.numel() for p in torch.nn.Conv2d(4, 8, 3, dilation=d).parameters()) for d in (1, 2, 7)}
    assert sizes == {8 * 4 * 9 + 8}


def test_even_kernel_keeps_the_size_when_the_dilation_is_even():
    assert F.conv1d(torch.zeros(1, 1, 20), torch.zeros(1, 1, 2), dilation=2, padding=1).shape[-1] == 20


# Why


def random_network(strides, dilations, x):
    generator = torch.Generator().manual_seed(0)
    for stride, d in zip(strides, dilations, strict=True):
        kernel = torch.randn(2, 2, 3, 3, dtype=torch.float64, generator=generator)
        x = torch.relu(F.conv2d(x, kernel, stride=stride, padding=d, dilation=d))
    return x


@pytest.mark.parametrize("size", [(24, 24), (21, 23)])
def test_a_stride_is_replaced_by_dilation_exactly(size):
    x = torch.randn(1, 2, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    strided = random_network((1, 2, 2, 1), (1, 1, 1, 1), x)
    dense = random_network((1, 1, 1, 1), (1, 1, 2, 4), x)
    assert dense.shape[-2:] == size
    torch.testing.assert_close(dense[..., ::4, ::4], strided, rtol=0, atol=1e-12)


def test_dilation_answers_for_all_shifts_of_the_picture():
    x = torch.randn(1, 2, 24, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    dense = random_network((1, 1, 1), (1, 1, 2), x)
    shifted = random_network((1, 2, 1), (1, 1, 1), x[..., 1:, :])
    # away from the padding
    torch.testing.assert_close(dense[..., 1::2, ::2][..., 3:-3, 3:-3], shifted[..., 3:-3, 3:-3])


def resnet50_macs(output_stride: int, size: int) -> float:
    """Multiply-adds of the convolutions of ResNet-50 (stride in the 3×3) on a picture size × size; strides beyond
    `output_stride` are replaced by dilation, which costs nothing for one position."""
    side, stride, before = size // 4, 4, 64
    total = (size // 2) ** 2 * 3 * 64 * 49
    for number_of_blocks, width in ((3, 64), (4, 128), (6, 256), (3, 512)):
        for block in range(number_of_blocks):
            step = 2 if block == 0 and width > 64 and stride < output_stride else 1
            total += side**2 * before * width
            side, stride = side // step, stride * step
            total += side**2 * (9 * width**2 + 4 * width**2)
            if block == 0:
                total += side**2 * before * 4 * width
            before = 4 * width
    return float(total)


def test_price_of_a_finer_map():
    macs = {stride: resnet50_macs(stride, 512) / 1e9 for stride in (32, 16, 8)}
    assert_said(PAGE, *macs.values(), digits=1)
    assert_said(PAGE, macs[8] / macs[32], macs[8] / macs[16], digits=1)
    table = sum(row.multiply_adds for row in architectures.resnet50().rows if row.kind == "conv")
    assert resnet50_macs(32, 224) == table

    def stage(stride, upto):  # growth of the last stages, from differences between output strides
        return resnet50_macs(stride, 512) - resnet50_macs(upto, 512)

    last = 512 * 16 * 16 * (1024 * 4 + 2 * 2048 + 3 * 9 * 512 + 3 * 2048) + 2048 * 1024 * 16 * 16
    assert last / 1e9 == pytest.approx(4.23, abs=0.01)
    last_16 = last + stage(16, 32)
    assert_said(PAGE, 4 * last_16 / last, digits=1)
    before = 256 * 32 * 32 * (512 * 4 + 5 * 1024 + 6 * 9 * 256 + 6 * 1024) + 1024 * 512 * 32 * 32
    assert before / 1e9 == pytest.approx(7.65, abs=0.01)
    before_8 = before + stage(8, 16) - 3 * last_16
    assert_said(PAGE, before_8 / before, digits=1)


# Receptive field


def test_receptive_fields_of_the_page():
    for n in range(1, 9):
        assert dilated.receptive_field(3, [2**i for i in range(n)]) == 2 ** (n + 1) - 1
        assert dilated.receptive_field(2, [2**i for i in range(n)]) == 2**n
        strided = general_field([Layer(3, 2, 1)] * n)[-1]
        assert tuple(strided) == (2 ** (n + 1) - 1, 2**n)
    assert 4**8 == 65_536
    assert (dilated.receptive_field(3, [1, 2, 4, 8, 16]), dilated.receptive_field(3, [1] * 5)) == (63, 11)
    assert 63**2 == 3969
    assert dilated.receptive_field(2, [2**i for i in range(10)]) == 1024
    assert 1024 / 16_000 == 0.064
    assert 1 + 3 * 1023 == 3070 == dilated.receptive_field(2, 3 * [2**i for i in range(10)])
    assert 18 < 2**30 / 16_000 / 3600 < 19


def test_recursion_with_strides_is_the_general_one():
    layers = [Layer(3, 1, 1), Layer(3, 2, 1), Layer(3, 2, 2), Layer(5, 1, 3)]
    field, jump = 1, 1
    for layer, found in zip(layers, general_field(layers)[-4:], strict=True):
        field, jump = field + layer.dilation * (layer.kernel - 1) * jump, jump * layer.stride
        assert tuple(found) == (field, jump)


def test_layers_needed_for_a_thousand():
    assert 2**9 < 1000 <= 2**10
    assert 2**9 - 1 < 1000 <= 2 ** (9 + 1) - 1 == 1023
    assert 3**6 < 1000 <= 3**7 == 2187
    assert 1 + 2 * 499 < 1000 <= 1 + 2 * 500
    assert 1 + 1022 < 1024 <= 1 + 1023  # plain layers of two taps


def test_field_of_tcn():
    levels = [2**i for i in range(8) for _ in range(2)]
    assert dilated.receptive_field(3, levels) == 1 + 2 * 2 * (2**8 - 1) == 1021


@pytest.mark.parametrize(("rates", "text"), [((1,) * 5, "1{,}8"), ((1, 2, 4, 8, 16), "15{,}1")])
def test_spread_of_the_paths(rates, text):
    counts = dilated.path_counts(3, rates)
    offsets = np.arange(len(counts)) - len(counts) // 2
    spread = np.sqrt(np.average(offsets**2.0, weights=counts))
    assert spread == pytest.approx(np.sqrt(2 / 3 * np.sum(np.square(rates))))
    assert f"{spread:.1f}".replace(".", "{,}") == text
    said(text)


def test_squared_gradients_of_random_weights_follow_the_paths():
    rates, generator, total = (1, 2, 5), torch.Generator().manual_seed(0), 0
    for _ in range(4000):
        y = x = torch.zeros(1, 1, 17, dtype=torch.float64, requires_grad=True)
        for d in rates:
            y = F.conv1d(y, torch.randn(1, 1, 3, dtype=torch.float64, generator=generator), dilation=d)
        total = total + torch.autograd.grad(y.sum(), x)[0][0, 0] ** 2
    np.testing.assert_allclose(total / 4000, dilated.path_counts(3, rates), rtol=0.3)


def test_figure_causal():
    plain, wide = experiment.memory("plain"), experiment.memory("dilated")
    assert plain["parameters"] == wide["parameters"] == 2433
    assert plain["accuracy"] == pytest.approx(0.50, abs=0.005)
    assert_said(PAGE, float(plain["accuracy"]), digits=2)
    assert_said(PAGE, float(wide["accuracy"]), digits=3)
    assert plain["losses"].min() > 0.69
    assert wide["losses"][-1] == pytest.approx(0.01, abs=0.004)
    for kind, field in (("plain", 9), ("dilated", 31)):
        reached = {below for below, _ in tm_12.edges(experiment.MEMORY_DILATIONS[kind])[0]}
        assert reached == set(range(1 - field, 1))
    assert not tm_12.edges(experiment.MEMORY_DILATIONS["plain"], 12)[0]
    assert tm_12.edges(experiment.MEMORY_DILATIONS["dilated"], 12)[-1]


# Gridding


def test_support_counts():
    assert tm_12.covered((1, 1, 1)) == (49, 49)
    assert tm_12.covered((2, 2, 2)) == (49, 169)
    assert round(100 * 49 / 169) == 29
    assert tm_12.covered((1, 2, 5)) == (289, 289)
    assert tm_12.covered((1, 3, 9)) == (729, 729)
    assert set(dilated.path_counts(3, (1, 3, 9))) == {1}
    assert np.count_nonzero(dilated.path_counts(3, (2, 2, 2))) == 7


def test_neighbours_share_no_inputs_under_a_common_factor():
    seen = np.flatnonzero(dilated.path_counts(3, (2, 4, 2)))
    assert not set(seen) & set(seen + 1)


def test_the_largest_field_without_holes_is_a_power_of_the_kernel():
    for k, n, limit in ((3, 3, 12), (2, 4, 10)):
        fields = [
            dilated.receptive_field(k, rates)
            for rates in combinations_with_replacement(range(1, limit), n)
            if dilated.covers_everything(k, rates)
        ]
        assert max(fields) == k**n


def test_hybrid_dilated_convolution():
    assert dilated.hdc_distances((1, 2, 5))[1] == 2 == max(5 - 4, 5 - 6, 2)
    assert dilated.hdc_distances((1, 2, 9))[1] == 5 == max(5, -5, 2)
    assert not dilated.covers_everything(3, (1, 2, 9))
    assert dilated.hdc_distances((2, 2, 2))[1] == 2 <= 3
    assert dilated.hdc_distances((2, 3))[1] <= 3
    assert gcd(2, 3) == 1
    assert list(np.flatnonzero(dilated.path_counts(3, (2, 3)) == 0)) == [1, 9]
    assert len(dilated.path_counts(3, (2, 3))) == 11


def test_the_condition_by_hand():
    fields = [dilated.receptive_field(3, (1, 2, 5)[:m]) for m in range(3)]
    assert fields == [1, 3, 7]
    assert dilated.path_counts(3, (1, 2, 9))[7] == 0
    for k in (2, 3, 4):  # by its own words: coins, at most k - 1 of each
        for rates in combinations_with_replacement(range(1, 8), 3):
            sums = {int(np.dot(taken, rates)) for taken in product(range(k), repeat=3)}
            fields = [dilated.receptive_field(k, rates[:m]) for m in range(3)]
            assert all(d <= r for d, r in zip(rates, fields, strict=True)) is (len(sums) == max(sums) + 1)


def test_second_distance_of_hdc_is_the_widest_gap():
    for n in (1, 2, 3):
        for rates in combinations_with_replacement(range(1, 13), n):
            seen = np.flatnonzero(dilated.path_counts(3, rates))
            assert dilated.hdc_distances((1, *rates))[1] == np.diff(seen).max()


def test_hdc_agrees_with_the_exact_condition_where_the_page_says_so():
    for n in (2, 3, 4):
        for rest in combinations_with_replacement(range(1, 13), n - 1):
            rates = (1, *rest)
            assert (dilated.hdc_distances(rates)[1] <= 3) is dilated.covers_everything(3, rates)
    assert dilated.hdc_distances((1, 1, 8))[1] > 5
    assert dilated.covers_everything(5, (1, 1, 8))
    assert dilated.receptive_field(5, (1, 1)) == 9


def test_a_residual_connection_does_not_break_the_lattice():
    x = torch.zeros(1, 1, 21, dtype=torch.float64, requires_grad=True)
    y = x
    for d in (2, 4):
        y = y + F.conv1d(y, torch.ones(1, 1, 3, dtype=torch.float64), padding=d, dilation=d)
    y[0, 0, 10].backward()
    assert not x.grad[0, 0, 1::2].any()


def test_an_averaging_kernel_passes_the_chequerboard():
    signs = np.tile([1.0, -1.0], 10)
    w = np.ones(3) / 3
    assert np.abs(dilated.dilated_conv1d(signs, w, 1)) == pytest.approx(1 / 3)
    np.testing.assert_allclose(dilated.dilated_conv1d(signs, w, 2), signs[:-4])
    frequencies = np.linspace(0, np.pi, 50)
    stretched = [np.sum(w * np.exp(1j * f * 2 * np.arange(3))) for f in frequencies]
    plain = [np.sum(w * np.exp(1j * 2 * f * np.arange(3))) for f in frequencies]
    np.testing.assert_allclose(stretched, plain)
    kernel = np.array([0.3, -1.2, 2.0])
    for d in (2, 4, 6):  # an even dilation answers the chequerboard as it answers a constant
        np.testing.assert_allclose(np.abs(dilated.dilated_conv1d(signs, kernel, d)), kernel.sum())
    assert np.allclose(dilated.dilated_conv1d(signs, np.array([0.25, 0.5, 0.25]), 1), 0)


def test_figure_dense():
    found = {kind: experiment.dense(kind) for kind in tm_12.NAMES}
    mean = {kind: tm_12.mean_iou(kind) for kind in found}
    assert mean["plain"] < 0.75
    assert mean["lattice"] < 0.75
    assert mean["dilated"] > mean["strided"] + 0.02 > 0.9
    assert {int(result["parameters"]) for result in found.values()} == {5391}
    assert round(100 * float(found["lattice"]["disagreement"])) == 38
    assert round(100 * float(found["dilated"]["disagreement"])) == 1
    assert round(100 * float(found["strided"]["wrong_at_edges"])) == 95
    for text in ("5391", "38\\,\\%", "1\\,\\%", "95\\,\\%"):
        said(text)
    fields = {
        kind: tuple(general_field([Layer(3, s, d) for d, s in layers])[-1])[0]
        for kind, layers in experiment.DENSE_LAYERS.items()
    }
    assert fields == {"plain": 11, "strided": 25, "lattice": 41, "dilated": 33}
    assert fields["plain"] // 2 < min(experiment.RADII) - 1  # from the edge the mark is out of sight
    assert fields["strided"] // 2 >= max(experiment.RADII)
    phases = np.flatnonzero(dilated.path_counts(3, (4,) * 5)) % 4
    assert set(phases) == {0}  # so a mark of three pixels is met in three phases of four on each axis
    full = 40**2 * (9 * 12 + 4 * 9 * 12 * 12 + 3 * 12)
    strided = 40**2 * 9 * 12 + 20**2 * 9 * 144 + 3 * 10**2 * 9 * 144 + 10**2 * 36
    assert_said(PAGE, full / strided, digits=1)


# Tasks


def test_taps_that_fall_on_the_map():
    inside = torch.ones(1, 1, 33, 33)

    def counted(d):
        return F.conv2d(inside, torch.ones(1, 1, 3, 3), padding=d, dilation=d).mean().item()

    for d in (6, 12, 18, 33):
        assert counted(d) == pytest.approx((1 + 2 * (1 - d / 33)) ** 2)
    assert counted(40) == 1
    assert_said(PAGE, *(counted(d) for d in (6, 12, 18)), digits=1)
    assert (513 + 2 * 1 - 3) // 16 + 1 == 33


def test_field_of_the_context_network_of_pwc():
    assert dilated.receptive_field(3, (1, 2, 4, 8, 16, 1, 1)) == 67


# Follow-ups


def test_weights_of_aspp():
    weights = sum(torch.nn.Conv2d(2048, 256, k, bias=False, device="meta").weight.numel() for k in (1, 3, 3, 3, 1))
    assert weights == (1 + 27 + 1) * 2048 * 256
    assert_said(PAGE, weights / 1e6, digits=1)
    assert_said(PAGE, 5 * 256 * 256 / 1e6, digits=2)
    extent = 18 * 2 + 1
    assert extent == 37
    assert round(extent**2 * 2048 * 256 / 1e6) == 718
    said("718")


def test_backward_of_a_dilated_convolution():
    generator = torch.Generator().manual_seed(0)
    x, w = (torch.randn(n, dtype=torch.float64, generator=generator).requires_grad_() for n in (20, 3))
    d, n = 4, 20 - 8
    y = sum(w[u] * x[d * u : d * u + n] for u in range(3))
    bar = torch.randn(n, dtype=torch.float64, generator=generator)
    y.backward(bar)
    padded = F.pad(bar, (8, 8))
    flipped = F.conv1d(padded[None, None], w.detach().flip(0)[None, None], dilation=d)[0, 0]
    torch.testing.assert_close(x.grad, flipped)
    strided = F.conv1d(x.detach()[None, None], bar[None, None], stride=d)[0, 0]
    torch.testing.assert_close(w.grad, strided)


def test_weights_of_a_strided_convolution_have_a_dilated_gradient():
    generator = torch.Generator().manual_seed(0)
    x, w = (torch.randn(1, 1, n, dtype=torch.float64, generator=generator).requires_grad_() for n in (20, 3))
    y = F.conv1d(x, w, stride=4)
    bar = torch.randn(y.shape, dtype=torch.float64, generator=generator)
    y.backward(bar)
    gradient = F.conv1d(x.detach(), bar, dilation=4)[..., :3]
    torch.testing.assert_close(w.grad, gradient)


def test_cost_of_separable_and_composed_kernels():
    assert 9 + 256 == 265
    assert 9 * 256 == 2304
    assert_said(PAGE, 2304 / 265, digits=1)
    assert dilated.receptive_field(3, (1, 3, 9)) ** 2 == 729
    assert 3 * 9 == 27
