"""Classical image classifiers as tables of layers: parameters and multiply-adds counted layer by layer.

A multiply-add counts once, as in papers (two FLOPs). Only convolutions and linear layers are given multiply-adds; a
bias, an activation, a normalisation or a pooling costs two orders less. The variants are those of torchvision, whose
published numbers the tests compare with; LeNet-5 is that of LeCun et al. 1998, section II.B.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from scripts.dl.convolution import output_size
from scripts.dl.receptive_field import Layer

Shape = tuple[int, int, int]  # C, H, W


def conv_parameters(c_in, c_out, k, groups=1, bias=True):
    """Weights of a convolution with a square kernel, and its biases."""
    return c_out * (c_in // groups * k * k + bias)


def conv_multiply_adds(c_in, c_out, k, height, width, groups=1):
    """`height` and `width` are those of the output."""
    return height * width * c_out * (c_in // groups) * k * k


def separable_ratio(c_out: int, k: int) -> float:
    """Multiply-adds of a depthwise and a 1×1 convolution against those of the full one: 1 / C_out + 1 / k²."""
    return 1 / c_out + 1 / k**2


@dataclass(frozen=True)
class Row:
    """One layer. `kind` is "conv", "fc", "norm" or "pool"; `shape` its output; `window` its kernel and stride, None for
    layers that do not slide or lie beside the longest path."""

    kind: str
    shape: Shape
    parameters: int
    multiply_adds: int
    window: Layer | None = None


class Table:
    """Rows of a network, filled in from its input on; `shape` is that of the current output."""

    def __init__(self, channels: int, side: int):
        self.shape: Shape = (channels, side, side)
        self.rows: list[Row] = []

    def conv(
        self, out: int, k: int, stride: int = 1, padding: int | None = None, groups: int = 1, bias: bool = False,
        norm: bool = True, aside: bool = False,
    ) -> "Table":  # fmt: skip
        """A convolution, "same" unless told, then a normalisation. `aside`: not on the longest path."""
        channels, height, width = self.shape
        padding = k // 2 if padding is None else padding
        self.shape = out, *(output_size(n, k, stride, padding) for n in (height, width))
        parameters = conv_parameters(channels, out, k, groups, bias)
        cost = conv_multiply_adds(channels, out, k, *self.shape[1:], groups)
        self.rows.append(Row("conv", self.shape, parameters, cost, None if aside else Layer(k, stride)))
        return self.norm() if norm else self

    def norm(self) -> "Table":
        """A gain and a shift a channel, of batch or layer normalisation."""
        return self.extra("norm", 2 * self.shape[0])

    def extra(self, kind: str, parameters: int, multiply_adds: int = 0) -> "Table":
        """Parameters that leave the shape as it is."""
        self.rows.append(Row(kind, self.shape, parameters, multiply_adds))
        return self

    def pool(self, k: int, stride: int, padding: int = 0, ceil: bool = False) -> "Table":
        """Pooling; `ceil` keeps an incomplete last window."""
        channels, height, width = self.shape
        self.shape = channels, *(output_size(n + ceil * (stride - 1), k, stride, padding) for n in (height, width))
        self.rows.append(Row("pool", self.shape, 0, 0, Layer(k, stride)))
        return self

    def mean(self) -> "Table":
        """Global average pooling."""
        self.shape = self.shape[0], 1, 1
        return self

    def linear(self, out: int) -> "Table":
        inputs = self.shape[0] * self.shape[1] * self.shape[2]
        self.shape = out, 1, 1
        self.rows.append(Row("fc", self.shape, (inputs + 1) * out, inputs * out))
        return self

    def branches(self, *makers: Callable[["Table"], object]) -> "Table":
        """Parallel branches from the current output, joined along the channels."""
        start, joined = self.shape, 0
        for make in makers:
            self.shape = start
            make(self)
            joined += self.shape[0]
        self.shape = joined, *self.shape[1:]
        return self

    def total(self, field: str, kinds: Iterable[str] = ("conv", "fc", "norm")) -> int:
        """Sum of "parameters" or "multiply_adds" over the rows of some kinds."""
        return sum(getattr(row, field) for row in self.rows if row.kind in kinds)

    def windows(self) -> list[Layer]:
        """What slides along the longest path, for `receptive_field`."""
        return [row.window for row in self.rows if row.window]


def lenet5() -> Table:
    """As published: trainable subsampling, sparse connections in C3, no trained parameters in the output layer."""
    net = Table(1, 32).conv(6, 5, padding=0, bias=True, norm=False)
    net.pool(2, 2).extra("pool", 2 * 6)  # S2: a coefficient and a bias a map
    net.shape = 16, 10, 10
    connections = 6 * 3 + 9 * 4 + 1 * 6  # table I: six maps see 3 maps of S2, nine see 4, the last all 6
    net.rows.append(Row("conv", net.shape, connections * 25 + 16, connections * 25 * 100, Layer(5)))
    net.pool(2, 2).extra("pool", 2 * 16)
    return net.conv(120, 5, padding=0, bias=True, norm=False).linear(84)


def alexnet() -> Table:
    """The one-tower variant of Krizhevsky 2014 (arXiv 1404.5997), as in torchvision."""
    net = Table(3, 224).conv(64, 11, 4, 2, bias=True, norm=False).pool(3, 2)
    net.conv(192, 5, bias=True, norm=False).pool(3, 2)
    for out in (384, 256, 256):
        net.conv(out, 3, bias=True, norm=False)
    return net.pool(3, 2).linear(4096).linear(4096).linear(1000)


def alexnet_2012() -> Table:
    """The original on two devices: convolutions 2, 4 and 5 see only the half of the channels that is at home."""
    net = Table(3, 227).conv(96, 11, 4, 0, bias=True, norm=False).pool(3, 2)
    net.conv(256, 5, groups=2, bias=True, norm=False).pool(3, 2).conv(384, 3, bias=True, norm=False)
    net.conv(384, 3, groups=2, bias=True, norm=False).conv(256, 3, groups=2, bias=True, norm=False)
    return net.pool(3, 2).linear(4096).linear(4096).linear(1000)


def vgg16() -> Table:
    """Configuration D of Simonyan & Zisserman (arXiv 1409.1556)."""
    net = Table(3, 224)
    for out, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            net.conv(out, 3, bias=True, norm=False)
        net.pool(2, 2)
    return net.linear(4096).linear(4096).linear(1000)


def googlenet() -> Table:
    """Szegedy et al. (arXiv 1409.4842) without auxiliary heads, with batch normalisation, and, as torchvision has it,
    3×3 in place of 5×5."""
    net = Table(3, 224).conv(64, 7, 2).pool(3, 2, ceil=True).conv(64, 1).conv(192, 3).pool(3, 2, ceil=True)
    modules = (
        (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), None,
        (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), None,
        (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
    )  # fmt: skip
    for module in modules:
        if module is None:
            net.pool(3 if net.shape[1] == 28 else 2, 2, ceil=True)
            continue
        one, reduce3, three, reduce5, five, pooled = module
        net.branches(
            lambda t, one=one: t.conv(one, 1, aside=True),
            lambda t, a=reduce3, b=three: t.conv(a, 1).conv(b, 3),
            lambda t, a=reduce5, b=five: t.conv(a, 1, aside=True).conv(b, 3, aside=True),
            lambda t, pooled=pooled: t.conv(pooled, 1, aside=True),  # after a max-pool 3×3 of stride 1
        )
    return net.mean().linear(1000)


def resnet18() -> Table:
    """He et al. (arXiv 1512.03385)."""
    net = Table(3, 224).conv(64, 7, 2).pool(3, 2, padding=1)
    for stage, out in enumerate((64, 128, 256, 512)):
        for block in range(2):
            stride, before = 2 if stage and not block else 1, net.shape
            net.conv(out, 3, stride).conv(out, 3)
            _shortcut(net, before, stride)
    return net.mean().linear(1000)


def resnet50(groups: int = 1, width: int = 64) -> Table:
    """Bottlenecks 1×1, 3×3, 1×1, the stride in the 3×3; with groups 32 and width 4 it is ResNeXt-50 (1611.05431)."""
    net = Table(3, 224).conv(64, 7, 2).pool(3, 2, padding=1)
    for stage, count in enumerate((3, 4, 6, 3)):
        inner = groups * width * 2**stage
        for block in range(count):
            stride, before = 2 if stage and not block else 1, net.shape
            net.conv(inner, 1).conv(inner, 3, stride, groups=groups).conv(256 * 2**stage, 1)
            _shortcut(net, before, stride)
    return net.mean().linear(1000)


def resnext50() -> Table:
    return resnet50(32, 4)


def _shortcut(net: Table, before: Shape, stride: int) -> None:
    """A projection where the shape changes; where it does not, the shortcut is free."""
    after = net.shape
    if before != after:
        net.shape = before
        net.conv(after[0], 1, stride, aside=True)


def densenet121(growth: int = 32) -> Table:
    """Huang et al. (arXiv 1608.06993): every layer sees the outputs of all before it in its block."""
    net = Table(3, 224).conv(64, 7, 2).pool(3, 2, padding=1)
    for stage, count in enumerate((6, 12, 24, 16)):
        for _ in range(count):
            before = net.shape
            net.norm().conv(4 * growth, 1).conv(growth, 3, norm=False)
            net.shape = before[0] + growth, *before[1:]
        net.norm()
        if stage < 3:
            net.conv(net.shape[0] // 2, 1, norm=False).pool(2, 2)
    return net.mean().linear(1000)


def mobilenet_v1() -> Table:
    """Howard et al. (arXiv 1704.04861), table 1: a depthwise 3×3 and a 1×1, thirteen times."""
    net = Table(3, 224).conv(32, 3, 2)
    plan = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
    for out, stride in plan:
        net.conv(net.shape[0], 3, stride, groups=net.shape[0]).conv(out, 1)
    return net.mean().linear(1000)


def _inverted(net: Table, expand: int, k: int, stride: int, out: int, gate: bool = False) -> None:
    """An inverted residual: widen by a 1×1, filter each channel, optionally gate the channels, narrow by a 1×1."""
    narrow = net.shape[0]
    wide = narrow * expand
    if expand > 1:
        net.conv(wide, 1)
    net.conv(wide, k, stride, groups=wide)
    if gate:  # squeeze and excitation: two linear layers on the means of the channels
        squeezed = narrow // 4
        net.extra("fc", (wide + 1) * squeezed + (squeezed + 1) * wide, 2 * wide * squeezed)
    net.conv(out, 1)


def mobilenet_v2() -> Table:
    """Sandler et al. (arXiv 1801.04381), table 2."""
    net = Table(3, 224).conv(32, 3, 2)
    plan = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expand, out, count, stride in plan:
        for block in range(count):
            _inverted(net, expand, 3, stride if block == 0 else 1, out)
    return net.conv(1280, 1).mean().linear(1000)


def efficientnet_b0() -> Table:
    """Tan & Le (arXiv 1905.11946), table 1."""
    net = Table(3, 224).conv(32, 3, 2)
    plan = (
        (1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 3, 2), (6, 5, 112, 3, 1), (6, 5, 192, 4, 2),
        (6, 3, 320, 1, 1),
    )  # fmt: skip
    for expand, k, out, count, stride in plan:
        for block in range(count):
            _inverted(net, expand, k, stride if block == 0 else 1, out, gate=True)
    return net.conv(1280, 1).mean().linear(1000)


def convnext_tiny() -> Table:
    """Liu et al. (arXiv 2201.03545): a depthwise 7×7, then two 1×1 (4 times wider inside) as in a transformer."""
    net = Table(3, 224)
    for stage, (width, count) in enumerate(zip((96, 192, 384, 768), (3, 3, 9, 3), strict=True)):
        if stage:
            net.norm().conv(width, 2, 2, 0, bias=True, norm=False)
        else:
            net.conv(width, 4, 4, 0, bias=True)
        for _ in range(count):
            net.conv(width, 7, groups=width, bias=True)
            net.conv(4 * width, 1, bias=True, norm=False).conv(width, 1, bias=True, norm=False)
            net.extra("norm", width)  # a learned scale of the branch
    return net.mean().norm().linear(1000)


NETWORKS: dict[str, Callable[[], Table]] = {
    "LeNet-5": lenet5, "AlexNet": alexnet, "VGG-16": vgg16, "GoogLeNet": googlenet, "ResNet-18": resnet18,
    "ResNet-50": resnet50, "ResNeXt-50": resnext50, "DenseNet-121": densenet121, "MobileNet v1": mobilenet_v1,
    "MobileNet v2": mobilenet_v2, "EfficientNet-B0": efficientnet_b0, "ConvNeXt-T": convnext_tiny,
}  # fmt: skip
