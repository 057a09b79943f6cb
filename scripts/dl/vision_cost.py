"""What a picture of a given side costs a ViT, a ViT with windows, a Swin and a ResNet-50: multiply-adds and memory.

A multiply-add counts once, as in papers (two FLOPs); norms, activations, softmax and biases are left out. Memory is
that of one kind of thing, named by the function. Sources: Dosovitskiy et al. 2020 (arXiv 2010.11929, table 1); Liu et
al. 2021 (Swin, arXiv 2103.14030, section 3); Li et al. 2022 (ViTDet, arXiv 2203.16527, section 3: windows of 14×14
and 4 global blocks); He et al. 2015 (arXiv 1512.03385).
"""

from dataclasses import dataclass

from scripts.dl.architectures import resnet50
from scripts.dl.patches import SIZES, ViTSize, token_count, vit_multiply_adds
from scripts.dl.window_attention import window_multiply_adds

SMALL = ViTSize(384, 12, 6, 16)  # ViT-S/16 of DeiT (arXiv 2012.12877): at 224 about as dear as Swin-T and ResNet-50
BASE = SIZES["B/16"]


# --8<-- [start:cost]
def block_multiply_adds(tokens, d, keys=None):
    """(linear layers, attention) of a block; every token looks at `keys`
    tokens, by default at all of them."""
    keys = tokens if keys is None else keys
    return 12 * tokens * d**2, 2 * tokens * keys * d


def attention_share(tokens, d):
    """Attention against the linear layers: N / (6d), N tokens."""
    linear, attention = block_multiply_adds(tokens, d)
    return attention / linear


# --8<-- [end:cost]


def map_bytes(tokens: int, heads: int = 1, width: int = 2) -> int:
    """Matrices of attention weights of one layer, `width` bytes a number (2: fp16)."""
    return heads * tokens**2 * width


def vit(side: int, size: ViTSize = BASE) -> int:
    """All of a plain ViT without the classifier; `side` must be whole patches."""
    return sum(vit_multiply_adds(size, side, classes=0).values())


def vit_with_windows(side: int, size: ViTSize = BASE, window: int = 14, globally: int = 4) -> int:
    """A ViT whose blocks see windows of `window`×`window` patches, but for `globally` of them; incomplete windows are
    filled up. No class token."""
    rows, N = side // size.patch, token_count(side, size.patch)
    filled = (-(-rows // window) * window) ** 2
    local = sum(block_multiply_adds(filled, size.d, window**2))
    return (
        N * size.patch**2 * 3 * size.d
        + (size.layers - globally) * local
        + globally * sum(block_multiply_adds(N, size.d))
    )


@dataclass(frozen=True)
class Swin:
    """Widths C, 2C, 4C, 8C on maps of strides 4, 8, 16, 32; the published sizes have windows of 7."""

    C: int
    depths: tuple[int, int, int, int]
    heads: int  # of the first stage; doubled by every merging
    window: int = 7


SWIN_T = Swin(96, (2, 2, 6, 2), 3)


def swin(side: int, size: Swin = SWIN_T) -> int:
    """Without the classifier; `side` must be a multiple of 32. Maps that are not whole windows are filled up for the
    attention."""
    h = side // 4
    total = h * h * 4 * 4 * 3 * size.C
    for stage, depth in enumerate(size.depths):
        C, h = size.C * 2**stage, side // (4 * 2**stage)
        if stage:
            total += h * h * (2 * C) * C  # merging: four neighbours, 4 · C/2 numbers, to C
        filled = -(-h // size.window) * size.window
        total += depth * (window_multiply_adds(filled, filled, C, size.window) + 8 * h * h * C**2)
    return total


def swin_map_bytes(side: int, size: Swin = SWIN_T, width: int = 2) -> int:
    """Attention weights of a layer of the first stage, the largest: M² numbers for every position and head."""
    filled = -(-(side // 4) // size.window) * size.window
    return size.heads * filled**2 * size.window**2 * width


def resnet(side: int) -> int:
    """ResNet-50 without the classifier; `side` must be a multiple of 32: then every map grows with the area."""
    if side % 32:
        raise ValueError(f"{side} is not a multiple of 32")
    at_224 = resnet50().total("multiply_adds", ["conv"])
    return at_224 * side**2 // 224**2


def resnet_map_bytes(side: int, width: int = 2) -> int:
    """The largest map of ResNet-50: 64 channels at stride 2, as many numbers as 256 channels at stride 4."""
    return 64 * (side // 2) ** 2 * width
