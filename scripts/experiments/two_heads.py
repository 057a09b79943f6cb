"""One small network with two heads, a detector and a segmenter, on synthetic scenes of discs and squares.

PyTorch, because the network is trained; float32 on one thread. The detector is anchor-free, as in CenterNet (Zhou et
al., 2019, arXiv 1904.07850): a map of centres for each class and the distances to the four sides of the box.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from scripts.experiments.recorded import recorded

HEIGHT, WIDTH, NOISE = 40, 64, 0.12
SKY, GROUND, DISC, SQUARE = range(4)  # classes of pixels; the last two are things and have boxes
CLASSES, THINGS = 4, (DISC, SQUARE)
# On average squares are brighter, but the ranges overlap: then only the form tells.
BRIGHTNESS = {DISC: (0.55, 0.8), SQUARE: (0.7, 1.0)}
STRIDE, SIZE_UNIT = 2, 8.0  # of the detector's maps; pixels in which distances are learnt
STEPS, BATCH, TEST_SCENES = 800, 10, 80


class Scene(NamedTuple):
    picture: np.ndarray  # (40, 64) float32
    classes: np.ndarray  # (40, 64) uint8
    instances: np.ndarray  # (40, 64) uint8; 0 is stuff
    boxes: np.ndarray  # (n, 4), around the visible part of each thing
    labels: np.ndarray  # (n,), DISC or SQUARE


def scene(rng: np.random.Generator) -> Scene:
    """Sky over ground, and on them three to six things of random size and brightness, later ones over earlier ones."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    horizon = rng.uniform(20, 30) + 2 * np.sin(x / rng.uniform(5, 12) + rng.uniform(0, 6))
    classes = np.where(y > horizon, GROUND, SKY).astype(np.uint8)
    picture = np.where(classes == GROUND, 0.35, 0.1).astype(np.float32)
    instances, labels, areas = np.zeros_like(classes), [], []
    for _ in range(rng.integers(3, 7)):
        half, label = rng.integers(3, 9), int(rng.choice(THINGS))
        row, column = rng.integers(half, HEIGHT - half), rng.integers(half, WIDTH - half)
        offsets = np.abs(y - row), np.abs(x - column)
        inside = np.hypot(*offsets) <= half + 0.3 if label == DISC else np.maximum(*offsets) <= 0.9 * half
        left = [np.count_nonzero((instances == i + 1) & ~inside) for i in range(len(areas))]
        if any(remains < 0.5 * area for remains, area in zip(left, areas, strict=True)):
            continue  # it would hide another by more than half
        labels.append(label)
        areas.append(np.count_nonzero(inside))
        instances[inside], classes[inside], picture[inside] = len(labels), label, rng.uniform(*BRIGHTNESS[label])
    picture += NOISE * rng.standard_normal(picture.shape).astype(np.float32)
    boxes = [_bounds(instances == i + 1) for i in range(len(labels))]
    return Scene(picture, classes, instances, np.array(boxes, float), np.array(labels))


def _bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    """The box (x1, y1, x2, y2) around a mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def test_scenes() -> list[Scene]:
    rng = np.random.default_rng(1000)
    return [scene(rng) for _ in range(TEST_SCENES)]


class TwoHeads(nn.Module):
    """A common trunk with one skip connection for each head; (B, 40, 64) -> class logits (B, 4, 40, 64), logits of
    centres (B, 2, 20, 32), distances (B, 4, 20, 32) to the left, upper, right and lower side."""

    def __init__(self):
        super().__init__()
        self.fine = nn.Conv2d(1, 12, 3, padding=1)
        self.middle = nn.Sequential(
            nn.Conv2d(12, 24, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(24, 24, 3, padding=1), nn.ReLU()
        )
        self.coarse = nn.Sequential(
            nn.Conv2d(24, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=2, dilation=2), nn.ReLU(),
        )  # fmt: skip
        self.joint = nn.Sequential(nn.Conv2d(56, 24, 3, padding=1), nn.ReLU())
        self.detector = nn.Conv2d(24, len(THINGS) + 4, 1)
        self.segmenter = nn.Sequential(nn.Conv2d(36, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, CLASSES, 1))
        nn.init.constant_(self.detector.bias[: len(THINGS)], -4.0)  # centres are rare

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        full = torch.relu(self.fine(x[:, None]))
        half = self.middle(full)
        joint = self.joint(torch.cat([half, _doubled(self.coarse(half))], 1))
        found = self.detector(joint)
        pixels = self.segmenter(torch.cat([full, _doubled(joint)], 1))
        return pixels, found[:, : len(THINGS)], F.softplus(found[:, len(THINGS) :])


def _doubled(maps: torch.Tensor) -> torch.Tensor:
    return F.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)


def targets(scenes: list[Scene]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Maps of centres with Gaussian slopes (B, 2, 20, 32), distances (B, 4, 20, 32) in units of 8 pixels, and the mask
    of cells where distances are taught (B, 20, 32): the centre's cell and its eight neighbours."""
    rows, columns = np.mgrid[: HEIGHT // STRIDE, : WIDTH // STRIDE]
    y, x = (rows + 0.5) * STRIDE, (columns + 0.5) * STRIDE
    heat = np.zeros((len(scenes), len(THINGS), *rows.shape), np.float32)
    sides = np.zeros((len(scenes), 4, *rows.shape), np.float32)
    taught = np.zeros((len(scenes), *rows.shape), bool)
    for i, one in enumerate(scenes):
        for (x1, y1, x2, y2), label in zip(one.boxes, one.labels, strict=True):
            row, column = (int((low + high) / 2 / STRIDE) for low, high in ((y1, y2), (x1, x2)))
            spread = max(x2 - x1, y2 - y1) / 6 / STRIDE
            slope = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * spread**2))
            channel = heat[i, THINGS.index(label)]
            np.maximum(channel, slope, out=channel)
            near = (np.abs(rows - row) <= 1) & (np.abs(columns - column) <= 1)
            sides[i][:, near] = np.stack([x - x1, y - y1, x2 - x, y2 - y])[:, near] / SIZE_UNIT
            taught[i] |= near
    return torch.from_numpy(heat), torch.from_numpy(sides), torch.from_numpy(taught)


def loss_of(network: TwoHeads, scenes: list[Scene]) -> torch.Tensor:
    """Cross-entropy of the pixels, plus focal loss of the centres (CenterNet, eq. 1) and L1 of the distances."""
    pixels, centres, distances = network(torch.from_numpy(np.stack([one.picture for one in scenes])))
    classes = torch.from_numpy(np.stack([one.classes for one in scenes]).astype(np.int64))
    heat, sides, taught = targets(scenes)
    hit, p = heat == 1, torch.sigmoid(centres)
    focal = torch.where(
        hit, (1 - p) ** 2 * F.softplus(-centres), (1 - heat) ** 4 * p**2 * F.softplus(centres)
    ).sum() / hit.sum()  # fmt: skip
    boxes = (distances - sides).abs().sum(1)[taught].mean()
    return F.cross_entropy(pixels, classes) + focal + boxes


def train(steps: int) -> TwoHeads:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network, rng = TwoHeads(), np.random.default_rng(0)
    optimizer = torch.optim.Adam(network.parameters(), 4e-3)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 4e-3 * (1 - step / steps)
        loss = loss_of(network, [scene(rng) for _ in range(BATCH)])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def answers(network: TwoHeads, scenes: list[Scene]) -> dict[str, np.ndarray]:
    """Classes of the pixels, and all detections with score above 0.05: number of the scene, class, score, box."""
    with torch.no_grad():
        pixels, centres, distances = network(torch.from_numpy(np.stack([one.picture for one in scenes])))
    scores = torch.sigmoid(centres)
    peaks = (scores == F.max_pool2d(scores, 3, 1, 1)) & (scores > 0.05)  # instead of suppression of overlaps
    number, channel, row, column = (index.numpy() for index in torch.nonzero(peaks, as_tuple=True))
    left, up, right, down = distances.numpy()[number, :, row, column].T * SIZE_UNIT
    x, y = (column + 0.5) * STRIDE, (row + 0.5) * STRIDE
    return {
        "classes": pixels.argmax(1).numpy().astype(np.uint8),
        "number": number.astype(np.int16),
        "label": np.array(THINGS)[channel].astype(np.uint8),
        "score": scores[peaks].numpy(),
        "box": np.stack([x - left, y - up, x + right, y + down], axis=1).astype(np.float32),
    }


@recorded
def two_heads() -> dict[str, object]:
    """Answers of the trained network on the test scenes."""
    return answers(train(STEPS), test_scenes())
