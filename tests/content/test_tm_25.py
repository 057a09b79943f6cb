"""Every number and every claim of tm-25 that can be computed is computed here."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import vision_cost as cost
from scripts.dl.patches import SIZES, interpolate_positions, token_count, vit_multiply_adds
from scripts.experiments import patch_size as ps
from scripts.figures import tm_25
from tests.content.page import assert_said, printed

PAGE = printed("theory-minimum/25-vit.md")


def blocks(side):
    parts = vit_multiply_adds(SIZES["B/16"], side)
    return (parts["linear"] + parts["attention"]) / 1e9


# Cost


@pytest.mark.parametrize(
    ("side", "tokens", "share", "billions"),
    [(224, 196, "4", "17{,}4"), (384, 576, "12{,}5", "55"), (512, 1024, "22", "106"), (1024, 4096, "89", "657")],
)
def test_table_of_cost(side, tokens, share, billions):
    assert token_count(side, 16) == tokens
    assert cost.attention_share(tokens, 768) == pytest.approx(tokens / (6 * 768))
    digits = len(share.partition("{,}")[2])
    assert f"{100 * cost.attention_share(tokens, 768):.{digits}f}".replace(".", "{,}") == share
    assert f"{blocks(side):.{len(billions.partition('{,}')[2])}f}".replace(".", "{,}") == billions
    assert f"| ${side}$ | ${tokens}$ | ${share}\\,\\%$ | ${billions}$ |" in PAGE


def test_ratios_from_224_to_1024():
    assert round(blocks(1024) / blocks(224)) == 38
    assert round((1024 / 224) ** 2) == 21
    assert cost.resnet(1024) / cost.resnet(224) == pytest.approx((1024 / 224) ** 2)


def test_doubling_the_side():
    linear, attention = cost.block_multiply_adds(196, 768)
    assert tuple(cost.block_multiply_adds(784, 768)) == (4 * linear, 16 * attention)
    alpha = attention / (linear + attention)
    assert round(alpha, 2) == 0.04
    assert 4 * (1 - alpha) + 16 * alpha == pytest.approx(4.5, abs=0.05)
    assert_said(PAGE, round(blocks(448) / blocks(224), 1), digits=1)


def test_memory_of_the_maps():
    assert cost.map_bytes(4096) == 32 * 2**20
    assert cost.map_bytes(4096, heads=12) == 384 * 2**20
    assert 12 * cost.map_bytes(4096, heads=12) == 4.5 * 2**30


def test_where_attention_overtakes():
    for d, tokens, side in ((384, 2304, 768), (768, 4608, 1086), (1024, 6144, 1254)):
        assert 6 * d == tokens
        assert round(16 * math.sqrt(tokens)) == side


def test_figure_share():
    tokens = (tm_25.FINE_SIDES // 16) ** 2
    for name, size in (("S", cost.SMALL), ("B", cost.BASE), ("L", SIZES["L/16"])):
        assert tm_25.WIDTHS[name] == size.d
        ratio = np.array([cost.attention_share(int(N), size.d) for N in tokens])
        np.testing.assert_allclose(tm_25.shares()[name], ratio / (1 + ratio))
        growth = 4 + 12 * tm_25.shares()[name]
        assert 4 < growth[0] < 5 and 12.5 < growth[-1] < 14.6


def test_figure_side():
    first, last = ({name: values[i] for name, values in tm_25.costs().items()} for i in (0, -1))
    assert (tm_25.SIDES[0], tm_25.SIDES[-1]) == (224, 1344)
    assert_said(PAGE, first["small"], first["swin"], first["resnet"], digits=1)
    assert_said(PAGE, *(last[name] for name in ("small", "swin", "resnet", "vit", "windows")), digits=0)
    assert (1344 / 224) ** 2 == 36
    assert last["swin"] / first["swin"] == pytest.approx(36)
    assert last["resnet"] / first["resnet"] == pytest.approx(36)
    assert round(last["small"] / first["small"]) == 133
    assert tm_25.memory()["vit"][-1] > 1000
    assert 25 < tm_25.memory()["swin"][-1] < 35


def test_what_windows_leave():
    parts = vit_multiply_adds(SIZES["B/16"], 1344)
    assert parts["attention"] / 1e9 == pytest.approx(920, abs=5)
    assert parts["attention"] / 3e9 == pytest.approx(306, abs=1)
    assert parts["linear"] / 1e9 == pytest.approx(600, abs=2)
    # Eight of twelve blocks see 14 × 14 tokens of the 84 × 84.
    assert parts["attention"] * 8 / 12 / 36 / 1e9 == pytest.approx(17, abs=0.5)
    assert parts["patch embedding"] / 1e9 == pytest.approx(4, abs=0.5)


def test_tiles():
    assert 336 // 14 == 24
    assert 24**2 == 576
    assert 5 * 576 == 2880
    assert (672 // 14) ** 2 == 2304
    assert_said(PAGE, 5 * 576**2 / 1e6, 2304**2 / 1e6, digits=2)
    large = SIZES["L/14"]
    for whole, tiles in ((672, 5), (1344, 17)):
        assert tiles == (whole // 336) ** 2 + 1
        assert_said(PAGE, tiles * cost.vit(336, large) / 1e9, cost.vit(whole, large) / 1e9, digits=0)


# Advantages


def test_layers_until_the_centre_hears_the_edge():
    assert 2 * 31 + 1 < 64 <= 2 * 32 + 1


def test_figure_field():
    cells = tm_25.GRID**2
    for depth, vit, cnn in zip(tm_25.DEPTHS, tm_25.fields()["vit"], tm_25.fields()["cnn"], strict=True):
        assert np.count_nonzero(vit) == cells
        assert np.count_nonzero(cnn) == (2 * depth + 1) ** 2
        centre = tm_25.GRID // 2
        assert vit[centre, centre] == cnn[centre, centre] == 1
        assert 50 < 1 / np.median(vit) < 150
    assert round(100 * 81 / cells) == 36
    assert tm_25.DRAWS == 8


def test_patch_embedding_may_be_invertible():
    assert 16 * 16 * 3 == SIZES["B/16"].d == 768
    assert 32 * 32 * 3 == 3072 > SIZES["B/32"].d
    assert (token_count(224, 32), token_count(224, 16)) == (49, 196)


def test_without_positions_attention_is_equivariant_to_permutations():
    X = torch.randn(9, 8, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    attended = F.scaled_dot_product_attention(X, X, X)
    torch.testing.assert_close(F.scaled_dot_product_attention(*[X[order]] * 3), attended[order])


# Resolution


def test_interpolation_of_positions_keeps_constants_and_the_class_token():
    constant = np.tile(np.arange(4.0), (1 + 14 * 14, 1))
    np.testing.assert_allclose(interpolate_positions(constant, (14, 14), (24, 24)), np.tile(np.arange(4.0), (577, 1)))
    positions = np.random.default_rng(0).standard_normal((1 + 14 * 14, 4))
    np.testing.assert_array_equal(interpolate_positions(positions, (14, 14), (24, 24))[0], positions[0])


def test_entropy_of_equal_weights_grows():
    assert_said(PAGE, math.log(576 / 196), digits=2)


def test_figure_patches():
    accuracy = {patch: ps.patch_size(patch)["accuracy"].mean() for patch in ps.SIZES}
    assert_said(PAGE, *accuracy.values(), digits=2)
    assert accuracy[8] > accuracy[4] > accuracy[2] > 0.9
    assert ps.patch_size(1)["train"].mean() == pytest.approx(accuracy[1], abs=0.02)
    assert [(ps.SIDE // patch) ** 2 for patch in ps.SIZES] == [1, 4, 16, 64]
    assert_said(PAGE, ps.patch_size(1)["multiply_adds"] / 1e6, digits=2)


# Merging


def test_merged_equal_tokens_with_the_correction_change_nothing():
    rng = np.random.default_rng(0)
    k, v, q = rng.standard_normal((5, 4)), rng.standard_normal((5, 3)), rng.standard_normal(4)
    k[1] = k[2] = k[0]
    v[1] = v[2] = v[0]

    def attend(scores, values):
        weights = np.exp(scores - scores.max())
        return weights @ values / weights.sum()

    sizes = np.array([3, 1, 1])
    merged = attend(k[[0, 3, 4]] @ q + np.log(sizes), v[[0, 3, 4]])
    np.testing.assert_allclose(merged, attend(k @ q, v))
    assert np.abs(attend(k[[0, 3, 4]] @ q, v[[0, 3, 4]]) - merged).max() > 0.01
