"""Pooling: the maximum or the mean of a window, the mean of the whole map, and the anti-aliased maximum.

Pictures are (B, C, H, W). Every `…_backward` takes the adjoint of the output and returns that of the input. As in
PyTorch, padding never wins a maximum and counts as zero in a mean. `max_blur_pool2d` is Zhang 2019 (arXiv 1904.11486).
"""

import numpy as np

from scripts.dl.convolution import col2im, conv2d, im2col, output_size

BLUR = np.outer([1.0, 2.0, 1.0], [1.0, 2.0, 1.0]) / 16


def _windows(x: np.ndarray, kernel: int, stride: int, padding: int) -> tuple[np.ndarray, tuple[int, ...]]:
    """Windows (B, C, kernel², H' * W') and the shape of the output."""
    if padding > kernel // 2:
        raise ValueError(f"padding {padding} is more than half of the window {kernel}: some windows would be empty")
    shape = (*x.shape[:2], *(output_size(n, kernel, stride, padding) for n in x.shape[2:]))
    return im2col(x, (kernel, kernel), stride, padding), shape


def max_pool2d(
    x: np.ndarray, kernel: int, stride: int | None = None, padding: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Maxima (B, C, H', W') and which of the window's kernel² numbers won, for the backward pass (the first of equals).

    The stride is the size of the window unless given.
    """
    stride = stride or kernel
    windows, shape = _windows(x, kernel, stride, padding)
    inside, _ = _windows(np.ones((1, 1, *x.shape[2:])), kernel, stride, padding)
    windows = np.where(inside > 0, windows, -np.inf)
    return windows.max(axis=2).reshape(shape), windows.argmax(axis=2)


def max_pool2d_backward(
    bar_y: np.ndarray, winners: np.ndarray, size: tuple[int, int], kernel: int, stride: int | None = None,
    padding: int = 0,
) -> np.ndarray:  # fmt: skip
    """All of an adjoint goes to the winner; a pixel that won in several windows gets the sum. (B, C, *size)."""
    B, C = bar_y.shape[:2]
    windows = np.zeros((B, C, kernel * kernel, winners.shape[-1]))
    np.put_along_axis(windows, winners[:, :, None], bar_y.reshape(B, C, 1, -1), axis=2)
    return col2im(windows, size, (kernel, kernel), stride or kernel, padding)


def avg_pool2d(x: np.ndarray, kernel: int, stride: int | None = None, padding: int = 0) -> np.ndarray:
    """Means of the windows, (B, C, H', W')."""
    windows, shape = _windows(x, kernel, stride or kernel, padding)
    return windows.mean(axis=2).reshape(shape)


def avg_pool2d_backward(
    bar_y: np.ndarray, size: tuple[int, int], kernel: int, stride: int | None = None, padding: int = 0
) -> np.ndarray:
    """Each pixel of a window gets an equal share, (B, C, *size)."""
    B, C = bar_y.shape[:2]
    share = bar_y.reshape(B, C, 1, -1) / kernel**2
    windows = np.broadcast_to(share, (B, C, kernel**2, share.shape[-1]))
    return col2im(windows, size, (kernel, kernel), stride or kernel, padding)


def global_average_pool(x: np.ndarray) -> np.ndarray:
    """(B, C): one number a channel, whatever the size of the map."""
    return x.mean(axis=(2, 3))


def max_blur_pool2d(x: np.ndarray, stride: int = 2, border: str = "reflect") -> np.ndarray:
    """Maximum of 2×2 windows at every place, then a binomial blur 3×3, and only then every `stride`-th pixel.

    `border` is a mode of `numpy.pad`: "wrap" joins the opposite edges of the picture.
    """
    C = x.shape[1]
    dense = max_pool2d(np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1)), mode=border), 2, 1)[0]
    padded = np.pad(dense, ((0, 0), (0, 0), (1, 1), (1, 1)), mode=border)
    return conv2d(padded, np.tile(BLUR, (C, 1, 1, 1)), stride=stride, groups=C)
