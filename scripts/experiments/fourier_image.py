"""A network learns a photograph as a function (x, y) → brightness from every other pixel, through Fourier features.

After Tancik et al., 2020 (arXiv 2006.10739). PyTorch, float32, because something is trained.
"""

from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_sample_image
from torch import nn

from scripts.dl.fourier_features import gaussian_frequencies, random_features
from scripts.experiments.recorded import Result, recorded

SIDE, SHRINK, TOP, LEFT = 96, 4, 8, 20
FEATURES, WIDTH, LAYERS = 128, 128, 3
STEPS, BATCH, RATE = 400, 1024, 2e-3
LOOK = 20  # steps between two measurements


@cache
def photograph() -> np.ndarray:
    """The pagoda of scikit-learn's china.jpg, grey, shrunk four times, (SIDE, SIDE), in [0, 1]."""
    grey = load_sample_image("china.jpg") / 255 @ np.array([0.299, 0.587, 0.114])
    height, width = (size // SHRINK for size in grey.shape)
    cells = grey[: height * SHRINK, : width * SHRINK].reshape(height, SHRINK, width, SHRINK)
    return cells.mean(axis=(1, 3))[TOP : TOP + SIDE, LEFT : LEFT + SIDE]


def chequerboard() -> np.ndarray:
    """True where the pixel is trained on, (SIDE, SIDE): the black squares, half of all."""
    return np.indices((SIDE, SIDE)).sum(axis=0) % 2 == 0


def coordinates() -> np.ndarray:
    """Centres of the pixels, (SIDE², 2), in [0, 1]²: a pixel is 1 / SIDE wide."""
    return (np.indices((SIDE, SIDE)).reshape(2, -1).T + 0.5) / SIDE


def psnr(predicted: np.ndarray, truth: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((predicted - truth) ** 2)))


def train(scale: float, steps: int = STEPS) -> Result:
    """Features from B ~ N(0, scale²), in cycles per side of the picture; scale 0 means raw coordinates from [-1, 1].

    `image` (SIDE, SIDE), 0 … 255; `moments` and `train_psnr`, `test_psnr` at each of them.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    frequencies = gaussian_frequencies(FEATURES, 2, scale, np.random.default_rng(0))
    points = coordinates()
    code = torch.tensor(random_features(points, frequencies) if scale else 2 * points - 1, dtype=torch.float32)
    chosen, truth = chequerboard().ravel(), photograph().ravel()
    inputs, targets = code[chosen], torch.tensor(truth[chosen], dtype=torch.float32)

    sizes = [code.shape[1], *[WIDTH] * LAYERS]
    hidden = zip(sizes[:-1], sizes[1:], strict=True)
    layers = [part for shape in hidden for part in (nn.Linear(*shape), nn.ReLU())]
    network = nn.Sequential(*layers, nn.Linear(WIDTH, 1), nn.Sigmoid())
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1 ** (1 / steps))

    moments, seen, unseen = [], [], []
    for step in range(steps + 1):
        if step % LOOK == 0 or step == steps:
            with torch.no_grad():
                image = network(code)[:, 0].numpy()
            moments.append(step)
            seen.append(psnr(image[chosen], truth[chosen]))
            unseen.append(psnr(image[~chosen], truth[~chosen]))
        batch = torch.randint(len(inputs), (BATCH,))
        loss = ((network(inputs[batch])[:, 0] - targets[batch]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return {
        "image": np.round(255 * image.reshape(SIDE, SIDE)).astype(np.uint8),
        "moments": np.array(moments),
        "train_psnr": np.array(seen),
        "test_psnr": np.array(unseen),
    }


@recorded
def fourier_image(scale: float) -> Result:
    """See `train`."""
    return train(scale)
