"""Costs by formula against published totals and against each other."""

import pytest

from scripts.dl import vision_cost as cost
from scripts.dl.architectures import resnet50
from scripts.dl.patches import vit_multiply_adds


@pytest.mark.parametrize(
    ("found", "published"),
    [
        (cost.vit(224), 17.6),  # torchvision, ViT-B/16
        (cost.vit(224, cost.SMALL), 4.6),  # DeiT, table 5
        (cost.swin(224), 4.5),  # Swin, table 1
        (cost.swin(224, cost.Swin(128, (2, 2, 18, 2), 4)), 15.4),  # Swin-B
        (cost.resnet(224), 4.1),
    ],
)
def test_published_multiply_adds(found, published):
    assert round(found / 1e9, 1) == pytest.approx(published, abs=0.051)


def test_block_is_that_of_the_whole_network():
    for side in (224, 512):
        parts = vit_multiply_adds(cost.BASE, side)
        linear, attention = cost.block_multiply_adds((side // 16) ** 2 + 1, 768)
        assert (12 * linear, 12 * attention) == (parts["linear"], parts["attention"])
    assert cost.attention_share(6 * 768, 768) == 1


def test_windows_over_the_whole_picture_are_plain_attention():
    without_class_token = 196 * 768 * 768 + 12 * sum(cost.block_multiply_adds(196, 768))
    for globally in (0, 4, 12):
        assert cost.vit_with_windows(224, globally=globally) == without_class_token
    assert (
        cost.vit_with_windows(1344, globally=12) > cost.vit_with_windows(1344) > cost.vit_with_windows(1344, globally=0)
    )


def test_convolutions_and_windows_grow_with_the_area():
    for cheap in (cost.resnet, cost.swin):
        assert cheap(448) == 4 * cheap(224)
    assert cost.vit(448) > 4 * cost.vit(224)
    with pytest.raises(ValueError, match="not a multiple of 32"):
        cost.resnet(100)


def test_memory():
    assert cost.map_bytes(4096) == 32 * 2**20
    assert cost.swin_map_bytes(224) == 2 * 3 * 64 * 49**2  # 64 windows of 49 tokens, three heads
    largest = max(row.shape[0] * row.shape[1] * row.shape[2] for row in resnet50().rows)
    assert cost.resnet_map_bytes(224) == 2 * largest
