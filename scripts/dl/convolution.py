"""Two-dimensional convolution of neural networks, forward and backward, as one matrix product.

    y[b,o,i,j] = bias[o] + sum_{c,u,v} w[o,c,u,v] x[b, c, s i + d u - P, s j + d v - P]

with stride s, dilation d and P zeros around the picture; c runs over the input channels of the group of o. This is a
cross-correlation: unlike in signal processing the kernel is not flipped. The patches under the kernel are laid out as
columns (im2col: Chellapilla, Puri & Simard 2006), so that the sum becomes a matrix product; sizes and the backward
pass are those of Dumoulin & Visin (arXiv 1603.07285, relationships 6 and 14) and of PyTorch's `Conv2d`.
"""

import numpy as np


def output_size(n, kernel, stride=1, padding=0, dilation=1):
    """How many places the kernel takes along a side of n pixels."""
    reach = dilation * (kernel - 1) + 1  # pixels from its first to its last
    free = n + 2 * padding - reach
    if free < 0:
        raise ValueError(f"a kernel of reach {reach} does not fit in "
                         f"{n} + 2·{padding} pixels")  # fmt: skip
    return free // stride + 1


def same_padding(kernel: int, dilation: int = 1) -> int:
    """Zeros on each side that keep the size when the stride is 1.

    Raises:
        ValueError: for an even reach, which would need different padding on the two sides.
    """
    surplus = dilation * (kernel - 1)
    if surplus % 2:
        raise ValueError(f"kernel {kernel} with dilation {dilation} has no symmetric padding")
    return surplus // 2


def im2col(x, kernel, stride=1, padding=0, dilation=1):
    """Patches of x (B, C, H, W) as columns: (B, C, kh * kw, H' * W')."""
    (kh, kw), (B, C, H, W) = kernel, x.shape
    rows = output_size(H, kh, stride, padding, dilation)
    columns = output_size(W, kw, stride, padding, dilation)
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    patches = np.empty((B, C, kh, kw, rows, columns))
    for u in range(kh):
        for v in range(kw):  # all that weight (u, v) will be multiplied by
            top, left = dilation * u, dilation * v
            patches[:, :, u, v] = x[:, :, top : top + stride * rows : stride,
                                    left : left + stride * columns : stride]  # fmt: skip
    return patches.reshape(B, C, kh * kw, rows * columns)


def col2im(
    patches: np.ndarray, size: tuple[int, int], kernel: tuple[int, int],
    stride: int = 1, padding: int = 0, dilation: int = 1,
) -> np.ndarray:  # fmt: skip
    """Adjoint of `im2col`: add the columns (B, C, kh * kw, H' * W') up where they came from, (B, C, *size)."""
    (kh, kw), (H, W), (B, C) = kernel, size, patches.shape[:2]
    rows, columns = (output_size(n, k, stride, padding, dilation) for n, k in zip(size, kernel, strict=True))
    patches = patches.reshape(B, C, kh, kw, rows, columns)
    x = np.zeros((B, C, H + 2 * padding, W + 2 * padding))
    for u in range(kh):
        for v in range(kw):
            top, left = dilation * u, dilation * v
            x[:, :, top : top + stride * rows : stride, left : left + stride * columns : stride] += patches[:, :, u, v]
    return x[:, :, padding : padding + H, padding : padding + W]


# --8<-- [start:conv2d]
def conv2d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    """x (B, C_in, H, W), w (C_out, C_in / groups, kh, kw), b (C_out,)."""
    _check(x, w, groups)
    B, _, H, W = x.shape
    C_out, _, kh, kw = w.shape
    shape = (output_size(H, kh, stride, padding, dilation),
             output_size(W, kw, stride, padding, dilation))  # fmt: skip
    patches = im2col(x, (kh, kw), stride, padding, dilation)
    patches = patches.reshape(B, groups, -1, shape[0] * shape[1])
    kernels = w.reshape(groups, C_out // groups, -1)  # a kernel is a row
    y = (kernels @ patches).reshape(B, C_out, *shape)
    return y if b is None else y + b[:, None, None]


# --8<-- [end:conv2d]


def conv2d_backward(x, w, bar_y, stride=1, padding=0, dilation=1, groups=1):
    """Adjoints of x, w and b, given bar_y (B, C_out, H', W')."""
    _check(x, w, groups)
    (B, _, H, W), (C_out, _, kh, kw) = x.shape, w.shape
    patches = im2col(x, (kh, kw), stride, padding, dilation)
    patches = patches.reshape(B, groups, -1, patches.shape[-1])
    kernels = w.reshape(groups, C_out // groups, -1)
    bar = bar_y.reshape(B, groups, C_out // groups, -1)
    bar_w = (bar @ patches.swapaxes(2, 3)).sum(axis=0).reshape(w.shape)
    bar_patches = kernels.swapaxes(1, 2) @ bar
    bar_patches = bar_patches.reshape(B, x.shape[1], kh * kw, -1)
    bar_x = col2im(bar_patches, (H, W), (kh, kw),
                   stride, padding, dilation)  # fmt: skip
    return bar_x, bar_w, bar_y.sum(axis=(0, 2, 3))


def toeplitz(w: np.ndarray, size: tuple[int, int], stride: int = 1, padding: int = 0, dilation: int = 1) -> np.ndarray:
    """The matrix of the layer with weights w (C_out, C_in, kh, kw) on pictures of `size` (H, W).

    Rows are outputs, columns inputs, both in the order of `ravel`: (C_out * H' * W', C_in * H * W). For one channel,
    stride 1 and no padding it is block Toeplitz with Toeplitz blocks. Written straight from the definition.
    """
    C_out, C_in, kh, kw = w.shape
    rows, columns = (output_size(n, k, stride, padding, dilation) for n, k in zip(size, (kh, kw), strict=True))
    matrix = np.zeros((C_out, rows, columns, C_in, *size))
    for i, j, u, v in np.ndindex(rows, columns, kh, kw):
        p, q = stride * i + dilation * u - padding, stride * j + dilation * v - padding
        if 0 <= p < size[0] and 0 <= q < size[1]:  # else the weight meets a zero of the padding
            matrix[:, i, j, :, p, q] = w[:, :, u, v]
    return matrix.reshape(C_out * rows * columns, C_in * size[0] * size[1])


def _check(x: np.ndarray, w: np.ndarray, groups: int) -> None:
    if x.ndim != 4 or w.ndim != 4:
        raise ValueError(f"x must be (B, C, H, W) and w (C_out, C_in, kh, kw), got {x.shape} and {w.shape}")
    if x.shape[1] != groups * w.shape[1] or w.shape[0] % groups:
        raise ValueError(f"{x.shape[1]} channels in {groups} groups do not fit weights of shape {w.shape}")
