"""Patches and positions against PyTorch, totals against those that torchvision prints."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import patches as p
from scripts.dl.transformer import Block

# Parameters and billions of multiply-adds of torchvision's vit_b_16, vit_b_32, vit_l_16 (`num_params`, `_ops`).
TORCHVISION = {"B/16": (86_567_656, 17.564), "B/32": (88_224_232, 4.409), "L/16": (304_326_632, 61.555)}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_patchify_is_unfold_and_has_an_inverse(rng):
    x = rng.standard_normal((2, 3, 8, 12))
    cut = p.patchify(x, 4)
    unfolded = F.unfold(torch.tensor(x), 4, stride=4).transpose(1, 2)
    np.testing.assert_array_equal(cut, unfolded)
    np.testing.assert_array_equal(p.unpatchify(cut, (2, 3), 3), x)


def test_patchify_refuses_parts_of_patches(rng):
    with pytest.raises(ValueError, match="whole patches"):
        p.patchify(np.zeros((1, 1, 10, 8)), 4)
    with pytest.raises(ValueError, match="are not"):
        p.unpatchify(np.zeros((1, 6, 48)), (2, 2), 3)
    with pytest.raises(ValueError, match="whole patches"):
        p.token_count(225, 16)


def test_patch_embedding_is_a_strided_convolution(rng):
    x, E = rng.standard_normal((2, 3, 8, 8)), rng.standard_normal((48, 5))
    convolved = F.conv2d(torch.tensor(x), torch.tensor(p.as_kernels(E, 4)), stride=4)
    np.testing.assert_allclose(p.patchify(x, 4) @ E, convolved.flatten(2).transpose(1, 2), atol=1e-12)


def test_vit_input(rng):
    x, E, cls = rng.standard_normal((2, 1, 4, 4)), rng.standard_normal((4, 3)), rng.standard_normal(3)
    positions = rng.standard_normal((5, 3))
    z = p.vit_input(x, 2, E, cls, positions)
    assert z.shape == (2, 5, 3)
    np.testing.assert_allclose(z[1, 0], cls + positions[0])
    np.testing.assert_allclose(z[1, 4], x[1, :, 2:, 2:].ravel() @ E + positions[4])


@pytest.mark.parametrize(("old", "new"), [((7, 7), (12, 12)), ((4, 6), (9, 5)), ((8, 8), (4, 4))])
def test_bicubic_positions(rng, old, new):
    positions = rng.standard_normal((1 + old[0] * old[1], 3))
    grid = torch.tensor(positions[1:].T.reshape(1, 3, *old))
    wanted = F.interpolate(grid, size=new, mode="bicubic", align_corners=False)
    found = p.interpolate_positions(positions, old, new)
    np.testing.assert_allclose(found[1:], wanted.flatten(2)[0].T, atol=1e-12)
    np.testing.assert_array_equal(found[0], positions[0])


def test_interpolation_keeps_constants():
    assert p.bicubic_matrix(14, 24).sum(axis=1) == pytest.approx(np.ones(24))
    same = np.ones((1 + 14 * 14, 2))
    np.testing.assert_allclose(p.interpolate_positions(same, (14, 14), (24, 24)), np.ones((1 + 24 * 24, 2)))


@pytest.mark.parametrize("name", TORCHVISION)
def test_totals(name):
    parameters, billions = TORCHVISION[name]
    assert sum(p.vit_parameters(p.SIZES[name]).values()) == parameters
    assert sum(p.vit_multiply_adds(p.SIZES[name]).values()) / 1e9 == pytest.approx(billions, rel=2e-3)


def test_parameters_of_a_block_are_those_of_pytorch():
    size = p.ViTSize(32, 3, 4, 4)
    layer = torch.nn.TransformerEncoderLayer(32, 4, 128, norm_first=True)
    assert p.vit_parameters(size, side=8)["blocks"] == 3 * sum(w.numel() for w in layer.parameters())


def test_without_positions_a_vit_is_a_bag_of_patches(rng):
    """Encoder and mean pooling do not see the order of patches; with positions they do."""
    block, tokens = Block(8, 2, rng), rng.standard_normal((1, 6, 8))
    order, positions = rng.permutation(6), rng.standard_normal((6, 8))

    def pooled(z):
        return block.forward(z).mean(axis=1)

    np.testing.assert_allclose(pooled(tokens), pooled(tokens[:, order]), atol=1e-12)
    assert np.abs(pooled(tokens + positions) - pooled(tokens[:, order] + positions)).max() > 0.01
