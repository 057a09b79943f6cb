"""Receptive field: which inputs an output can depend on, and on which it depends noticeably.

The recursion is that of Araujo, Norris & Sim (Distill 2019), the effective field of Luo et al. 2016 (arXiv 1701.04128).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Layer:
    """A convolution or pooling along one side of the picture."""

    kernel: int
    stride: int = 1
    dilation: int = 1


# --8<-- [start:receptive-field]
def receptive_field(layers):
    """(r, j) after every layer: the field's side and the jump in pixels."""
    r, j, found = 1, 1, []  # a pixel of the picture sees itself
    for layer in layers:
        r += layer.dilation * (layer.kernel - 1) * j  # j of the input
        j *= layer.stride
        found.append((r, j))
    return found


# --8<-- [end:receptive-field]


def effective_deviation(layers: Iterable[Layer]) -> float:
    """Standard deviation, in pixels along one side, of the gradient of an output when all weights of a layer are equal.

    A window of k equal weights has variance (k² - 1) / 12 times its spacing squared, and layers add variances: n layers
    3 wide give sqrt(2n / 3).
    """
    variance, jump = 0.0, 1
    for layer in layers:
        variance += (layer.dilation * jump) ** 2 * (layer.kernel**2 - 1) / 12
        jump *= layer.stride
    return float(np.sqrt(variance))


def averaging_profile(layers: Sequence[Layer]) -> np.ndarray:
    """How much the output depends on each of the r inputs of its receptive field when all layers average: sums to 1."""
    profile = np.ones(1)
    for layer in reversed(layers):
        spread = np.zeros((len(profile) - 1) * layer.stride + 1)
        spread[:: layer.stride] = profile  # as a transposed convolution: first the zeros between, then the kernel
        taps = np.zeros(layer.dilation * (layer.kernel - 1) + 1)
        taps[:: layer.dilation] = 1 / layer.kernel
        profile = np.convolve(spread, taps)
    return profile
