"""Dilated (atrous) convolution and which inputs a stack of such layers reaches.

Everything is a cross-correlation without padding, as in PyTorch. A stack is given by its kernel size and the list of
its dilations; all strides are 1. Supports and path counts are along one axis: in the plane they are outer products,
because the offsets of the two axes are chosen independently.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from scipy.signal import correlate2d


# --8<-- [start:definition]
def dilated_conv1d(x, w, d):
    """y_i = sum over u of w_u x_{i + d u}: (n,), (k,) -> (n - d(k-1),)."""
    n, k = len(x) - d * (len(w) - 1), len(w)
    if n < 1:
        raise ValueError("the stretched kernel is longer than the signal")
    return sum(w[u] * x[d * u : d * u + n] for u in range(k))


def zero_stuffed(w, d):
    """The dense kernel of the same layer: d - 1 zeros between taps."""
    k_eff = tuple(d * (k - 1) + 1 for k in w.shape)
    stretched = np.zeros(k_eff)
    stretched[tuple(slice(None, None, d) for _ in w.shape)] = w
    return stretched


# --8<-- [end:definition]


def dilated_conv2d(x: np.ndarray, w: np.ndarray, d: int) -> np.ndarray:
    """The same in the plane: (H, W), (k, m) -> (H - d(k-1), W - d(m-1)). Raises ValueError if nothing is left."""
    k, m = w.shape
    height, width = x.shape[0] - d * (k - 1), x.shape[1] - d * (m - 1)
    if height < 1 or width < 1:
        raise ValueError("the stretched kernel is larger than the picture")
    return sum(w[u, v] * x[d * u : d * u + height, d * v : d * v + width] for u, v in product(range(k), range(m)))


# --8<-- [start:phases]
def by_phases(x, w, d):
    """Dilation d as d² ordinary convolutions of thinned pictures."""
    height = x.shape[0] - d * (w.shape[0] - 1)
    width = x.shape[1] - d * (w.shape[1] - 1)
    y = np.empty((height, width))
    for row in range(min(d, height)):
        for column in range(min(d, width)):
            thinned = x[row::d, column::d]
            y[row::d, column::d] = correlate2d(thinned, w, "valid")
    return y


# --8<-- [end:phases]


def receptive_field(kernel: int, dilations: Sequence[int]) -> int:
    """Span of the inputs of one output, 1 + (k - 1) Σ d."""
    return 1 + (kernel - 1) * sum(dilations)


# --8<-- [start:paths]
def path_counts(kernel, dilations):
    """Ways from each input of the receptive field to one output, (R,).

    Zero means a hole: no weight of the stack ever meets that input.
    """
    counts = np.ones(1, dtype=int)
    for d in dilations:
        comb = zero_stuffed(np.ones(kernel), d).astype(int)
        counts = np.convolve(counts, comb)
    return counts


def covers_everything(kernel, dilations):
    """No holes: each dilation, in rising order, is at most the field
    already gathered by the smaller ones."""
    gathered = 1
    for d in sorted(dilations):
        if d > gathered:
            return False
        gathered += (kernel - 1) * d
    return True


# --8<-- [end:paths]


def hdc_distances(dilations: Sequence[int]) -> list[int]:
    """M_1, …, M_n of hybrid dilated convolution (Wang et al., 2018, arXiv 1702.08502, eq. 2).

    M_n = r_n and M_i = max(M_{i+1} - 2 r_i, M_{i+1} - 2 (M_{i+1} - r_i), r_i). The paper asks for M_2 ≤ k and for rates
    without a common factor.
    """
    distances = [dilations[-1]]
    for rate in reversed(dilations[:-1]):
        further = distances[0]
        distances.insert(0, max(further - 2 * rate, further - 2 * (further - rate), rate))
    return distances
