"""What skips give a segmenter: a small U-Net trained with its skips and with zeros in their place.

The task is noisy pictures 32×32 of discs and squares, three classes with the background. In PyTorch, because networks
are trained here. The maps of the encoder serve a second question: how well is a dropped activation guessed from those
that dropout leaves?
"""

import numpy as np
import torch
from scipy.ndimage import binary_dilation
from torch import nn
from torch.nn import functional as F

from scripts.dl import structured_dropout as structured
from scripts.dl.dropout import dropout
from scripts.experiments.recorded import recorded

SIDE, CLASSES, NOISE = 32, 3, 0.35
WIDTHS = (8, 16, 32, 32)  # channels at strides 1, 2, 4, 8
BATCH, RATE, TEST = 32, 3e-3, 200
BAND = 1  # pixels on each side of an edge that belong to the band
TEST_SEED = 1


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, 1, 32, 32) with two to four shapes that may cover each other, and classes (N, 32, 32)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    labels = np.zeros((count, SIDE, SIDE), dtype=np.int64)
    for label in labels:
        for _ in range(rng.integers(2, 5)):
            cx, cy, radius = *rng.uniform(3, SIDE - 3, 2), rng.uniform(3, 7)
            kind = rng.integers(1, CLASSES)
            inside = (x - cx) ** 2 + (y - cy) ** 2 < radius**2
            if kind == 2:
                inside = np.maximum(abs(x - cx), abs(y - cy)) < radius * np.sqrt(np.pi) / 2  # of the same area
            label[inside] = kind
    images = (labels > 0) + NOISE * rng.standard_normal(labels.shape)
    return images[:, None].astype(np.float32), labels


def block(inputs: int, outputs: int) -> nn.Sequential:
    """Two 3×3 convolutions, each with batch normalisation and ReLU."""
    layers = []
    for size in (inputs, outputs):
        layers += [nn.Conv2d(size, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Three halvings and three doublings; `skips=False` puts zeros where the encoder's maps would be concatenated."""

    def __init__(self, skips: bool):
        super().__init__()
        self.skips = skips
        self.down = nn.ModuleList(block(i, o) for i, o in zip((1, *WIDTHS[:-1]), WIDTHS, strict=True))
        self.up = nn.ModuleList(
            block(deep + wide, wide) for deep, wide in zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True)
        )
        self.head = nn.Conv2d(WIDTHS[0], CLASSES, 1)

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Maps at strides 1, 2, 4, 8."""
        maps = []
        for level, layer in enumerate(self.down):
            x = layer(F.max_pool2d(x, 2) if level else x)
            maps.append(x)
        return maps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, 3, 32, 32)."""
        *skips, x = self.encode(x)
        for layer, skip in zip(self.up, reversed(skips), strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = layer(torch.cat([x, skip if self.skips else torch.zeros_like(skip)], dim=1))
        return self.head(x)


def trained(skips: bool, steps: int, seed: int = 0) -> UNet:
    """A network after `steps` of Adam with fresh pictures in each batch and the rate falling to zero by a cosine."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    network = UNet(skips)
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    images, labels = (torch.from_numpy(array) for array in pictures(steps * BATCH, 1000 + seed))
    for x, y in zip(images.split(BATCH), labels.split(BATCH), strict=True):
        optimizer.zero_grad()
        F.cross_entropy(network(x), y).backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def edge_band(labels: np.ndarray) -> np.ndarray:
    """Pixels within `BAND` of a change of class, (N, H, W) of bool."""
    edge = np.zeros(labels.shape, dtype=bool)
    for axis in (1, 2):
        change = np.diff(labels, axis=axis) != 0
        head, tail = [(0, 0)] * 3, [(0, 0)] * 3
        head[axis], tail[axis] = (1, 0), (0, 1)
        edge |= np.pad(change, head) | np.pad(change, tail)
    square = np.ones((1, 2 * BAND - 1, 2 * BAND - 1), dtype=bool)
    return binary_dilation(edge, square)


@recorded
def answers(skips: int, steps: int) -> dict[str, object]:
    """Classes of the test pictures, (200, 32, 32), by a network with skips (1) or without (0)."""
    network = trained(bool(skips), steps)
    with torch.no_grad():
        logits = network(torch.from_numpy(pictures(TEST, TEST_SEED)[0]))
    return {"classes": logits.argmax(dim=1).numpy().astype(np.uint8)}


# Does what dropout leaves tell what it has dropped?

LEVEL, DROPPED, BLOCK = 1, 0.25, 5  # maps at stride 2: 16 channels of 16×16
KINDS = ("dropout", "channels", "blocks", "shared")  # the last: one mask of blocks for all channels
SHOWN, SHOWN_CHANNELS = 4, (0, 1, 2)  # picture and channels kept for the figure
REACH = {"own": 2, "all": 1}  # neighbourhood 5×5 of the same channel, 3×3 of all channels
LAGS = 9
RIDGE = 1.0


def features(network: UNet, images: np.ndarray) -> np.ndarray:
    """Maps of the encoder (N, 16, 16, 16), each channel divided by its deviation, float64."""
    with torch.no_grad():
        maps = network.encode(torch.from_numpy(images))[LEVEL].double().numpy()
    deviation = maps.std(axis=(0, 2, 3), keepdims=True)
    return maps[:, deviation.ravel() > 1e-6] / deviation[:, deviation.ravel() > 1e-6]


def correlations(maps: np.ndarray) -> np.ndarray:
    """Correlation of activations of one channel at horizontal distances 0…8, mean over channels, (9,)."""
    centred = maps - maps.mean(axis=(0, 2, 3), keepdims=True)
    width = maps.shape[3]
    return np.array([
        np.mean(np.mean(centred[..., : width - lag] * centred[..., lag:], axis=(0, 2, 3)) / centred.var(axis=(0, 2, 3)))
        for lag in range(LAGS)
    ])  # fmt: skip


def mask_of(kind: str, maps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """True where the activation survives, the shape of `maps`."""
    if kind == "dropout":
        return dropout(maps, DROPPED, rng)[1] > 0
    if kind == "channels":
        return np.broadcast_to(structured.spatial_dropout(maps, DROPPED, rng)[1] > 0, maps.shape)
    target = maps[:, :1] if kind == "shared" else maps
    return np.broadcast_to(structured.drop_block(target, DROPPED, BLOCK, rng)[1] > 0, maps.shape)


def neighbourhoods(maps: np.ndarray, reach: int) -> np.ndarray:
    """Values around each place, (N, C, H, W, (2 reach + 1)²); beyond the edge zeros."""
    padded = np.pad(maps, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    side = 2 * reach + 1
    views = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(2, 3))
    return views.reshape(*maps.shape, side**2)


def guessed(maps: np.ndarray, kept: np.ndarray, channels: str) -> float:
    """Share of the variance of dropped activations that ridge regression explains from the survivors around them.

    Inputs are the survivors' values (zeros instead of the dropped) and which of them survived, in one channel or in
    all. Each channel has its own regression, fitted on half of the pictures and judged on the other half.
    """
    around = np.concatenate([neighbourhoods(m, REACH[channels]) for m in (maps * kept, kept.astype(float))], axis=4)
    everything = np.moveaxis(around, 1, 3).reshape(len(maps), *maps.shape[2:], -1)
    half, errors, spread = len(maps) // 2, 0.0, 0.0
    for channel in range(maps.shape[1]):
        inputs = around[:, channel] if channels == "own" else everything
        parts = []
        for part in (slice(half), slice(half, None)):
            dropped = ~kept[part, channel]
            parts.append((inputs[part][dropped], maps[part, channel][dropped]))
        (X, y), (X_test, y_test) = parts
        mean, centre = X.mean(axis=0), y.mean()
        w = np.linalg.solve((X - mean).T @ (X - mean) + RIDGE * np.eye(X.shape[1]), (X - mean).T @ (y - centre))
        errors += np.sum((y_test - centre - (X_test - mean) @ w) ** 2)
        spread += np.sum((y_test - y_test.mean()) ** 2)
    return 1 - errors / spread


@recorded
def leak(steps: int) -> dict[str, object]:
    """Correlation by distance, shares guessed for every kind of dropout, and one map with its masks."""
    network = trained(True, steps)
    maps = features(network, pictures(TEST, TEST_SEED)[0])
    result = {"correlation": correlations(maps), "maps": maps[SHOWN, list(SHOWN_CHANNELS)].astype(np.float32)}
    for kind in KINDS:
        kept = mask_of(kind, maps, np.random.default_rng(0))
        result[f"masks_{kind}"] = kept[SHOWN, list(SHOWN_CHANNELS)]
        result |= {f"{channels}_{kind}": guessed(maps, kept, channels) for channels in REACH}
    return result
