"""Ways to enlarge a feature map: transposed convolution by scattering and as a matrix, pixel shuffle, interpolation.

Maps are `(B, C, H, W)`. Kernels of a transposed convolution are `(C_in, C_out, k, k)`, as in `nn.ConvTranspose2d`.
"""

import numpy as np


def output_size(n: int, k: int, stride: int = 1, padding: int = 0, output_padding: int = 0, dilation: int = 1) -> int:
    """n' = (n-1)s - 2P + d(k-1) + P_out + 1 (Dumoulin, Visin, 2016, arXiv 1603.07285, section 4)."""
    return (n - 1) * stride - 2 * padding + dilation * (k - 1) + output_padding + 1


# --8<-- [start:scatter]
def conv_transpose2d(x, w, stride=1, padding=0):
    """Each input value stamps the kernel, times itself, into the output.

    x (B, C_in, H, W), w (C_in, C_out, k, k).
    """
    (batch, _, height, width), (_, out, k, _) = x.shape, w.shape
    size = [(n - 1) * stride + k for n in (height, width)]
    y = np.zeros((batch, out, *size))
    for i in range(height):
        for j in range(width):
            stamp = np.einsum("bc,cokl->bokl", x[:, :, i, j], w)
            top, left = i * stride, j * stride
            y[:, :, top : top + k, left : left + k] += stamp
    return y[:, :, padding : size[0] - padding, padding : size[1] - padding]


# --8<-- [end:scatter]


def convolution_matrix(w: np.ndarray, n: int, stride: int = 1, padding: int = 0) -> np.ndarray:
    """The matrix (n_out, n) of the 1-D convolution (cross-correlation) with kernel w (k,) of a signal of length n.

    Its transpose is the matrix of the transposed convolution with the same kernel, stride and padding.
    """
    k = len(w)
    rows = (n + 2 * padding - k) // stride + 1
    padded = np.zeros((rows, n + 2 * padding))
    for row in range(rows):
        padded[row, row * stride : row * stride + k] = w
    return padded[:, padding : padding + n]


def pixel_shuffle(x: np.ndarray, r: int) -> np.ndarray:
    """(B, C r², H, W) to (B, C, rH, rW): r² channels become a square of pixels (Shi et al., 2016, arXiv 1609.05158)."""
    batch, channels, height, width = x.shape
    x = x.reshape(batch, channels // r**2, r, r, height, width)
    return x.transpose(0, 1, 4, 2, 5, 3).reshape(batch, -1, height * r, width * r)


def nearest(x: np.ndarray, r: int) -> np.ndarray:
    """Repeat each pixel r times in both directions."""
    return x.repeat(r, axis=2).repeat(r, axis=3)


def max_unpool(x: np.ndarray, indices: np.ndarray, height: int, width: int) -> np.ndarray:
    """Put the values of x (B, C, h, w) at the flat places `indices` of a map of zeros (B, C, height, width): SegNet."""
    y = np.zeros((*x.shape[:2], height * width))
    np.put_along_axis(y, indices.reshape(*x.shape[:2], -1), x.reshape(*x.shape[:2], -1), axis=2)
    return y.reshape(*x.shape[:2], height, width)
