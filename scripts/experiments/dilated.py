"""What dilation buys: a causal network that must look twelve steps back, and labels of pixels that a far mark decides.

PyTorch, because the networks are trained; float32 on one thread. In each task the networks have equal parameters and
differ only in dilations or strides.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from scripts.dl.segmentation_metrics import boundary, boundary_f, confusion_matrix, iou
from scripts.experiments.recorded import recorded

# --- A distant factor ----------------------------------------------------------------------------------------------

LAG, LENGTH = 12, 96
MEMORY_DILATIONS = {"plain": (1, 1, 1, 1), "dilated": (1, 2, 4, 8)}


class CausalNetwork(nn.Module):
    """Causal convolutions of three taps with ReLU, one a dilation, and a 1×1 head: (B, T) -> logits (B, T).

    Padding is on the left only, so the answer at time t sees no input after t.
    """

    def __init__(self, dilations: tuple[int, ...], channels: int = 16):
        super().__init__()
        self.dilations = dilations
        widths = [1, *[channels] * len(dilations)]
        self.layers = nn.ModuleList(
            nn.Conv1d(before, after, 3, dilation=d)
            for before, after, d in zip(widths[:-1], widths[1:], dilations, strict=True)
        )
        self.head = nn.Conv1d(channels, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x[:, None]
        for layer, d in zip(self.layers, self.dilations, strict=True):
            x = torch.relu(layer(F.pad(x, (2 * d, 0))))
        return self.head(x)[:, 0]


def products(count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Normal noise (B, T) and whether x_t and x_{t-12} have the same sign, (B, T - 12)."""
    x = torch.randn(count, LENGTH, generator=generator)
    return x, (x[:, LAG:] * x[:, :-LAG] > 0).float()


def train_memory(kind: str, steps: int) -> dict[str, object]:
    """Losses of the steps (smoothed over 20), accuracy on 200 new signals, number of parameters."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network, generator = CausalNetwork(MEMORY_DILATIONS[kind]), torch.Generator().manual_seed(1)
    optimizer, losses = torch.optim.Adam(network.parameters(), 5e-3), []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / steps)
        x, y = products(16, generator)
        loss = F.binary_cross_entropy_with_logits(network(x)[:, LAG:], y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    x, y = products(200, generator)
    with torch.no_grad():
        accuracy = ((network(x)[:, LAG:] > 0) == y.bool()).float().mean().item()
    return {
        "losses": np.mean(np.reshape(losses[: steps // 20 * 20], (-1, 20)), axis=1).astype(np.float32),
        "accuracy": accuracy,
        "parameters": _parameters(network),
    }


@recorded
def memory(kind: str) -> dict[str, object]:
    return train_memory(kind, steps=800)


# --- A label that depends on a far mark ----------------------------------------------------------------------------

SIDE, CLASSES, NOISE = 40, 3, 0.15
RADII = (7, 8, 9, 10)
# (dilation, stride) of the five layers
DENSE_LAYERS = {
    "plain": ((1, 1), (1, 1), (1, 1), (1, 1), (1, 1)),
    "strided": ((1, 1), (1, 2), (1, 2), (1, 1), (1, 1)),
    "lattice": ((4, 1), (4, 1), (4, 1), (4, 1), (4, 1)),
    "dilated": ((1, 1), (2, 1), (4, 1), (8, 1), (1, 1)),
}
TEST_PICTURES, SHOWN = 200, 3


def discs(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (n, 40, 40) of two grey discs with a mark of 3×3 in the middle, and labels of the pixels.

    A pixel of a disc has class 1 if the disc's mark is bright and class 2 if it is dark; away from the mark the two
    kinds look the same.
    """
    y, x = np.mgrid[:SIDE, :SIDE]
    pictures, labels = np.zeros((count, SIDE, SIDE), np.float32), np.zeros((count, SIDE, SIDE), np.int64)
    for picture, label in zip(pictures, labels, strict=True):
        centres: list[tuple[int, int, int]] = []
        while len(centres) < 2:
            radius = int(rng.choice(RADII))
            row, column = rng.integers(radius, SIDE - radius, 2)
            if any((row - r) ** 2 + (column - c) ** 2 < (radius + other + 1) ** 2 for r, c, other in centres):
                centres.clear()
                continue
            centres.append((row, column, radius))
        for row, column, radius in centres:
            inside, kind = (y - row) ** 2 + (x - column) ** 2 <= radius**2, rng.integers(1, 3)
            picture[inside], label[inside] = 0.5, kind
            picture[row - 1 : row + 2, column - 1 : column + 2] = 1.0 if kind == 1 else 0.0
    pictures += NOISE * rng.standard_normal(pictures.shape).astype(np.float32)
    return pictures, labels


class DenseNetwork(nn.Module):
    """Five 3×3 convolutions with ReLU and a 1×1 head; strides are undone by bilinear interpolation of the logits."""

    def __init__(self, layers: tuple[tuple[int, int], ...], channels: int = 12):
        super().__init__()
        widths = [1, *[channels] * len(layers)]
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=stride, padding=d, dilation=d)
            for before, after, (d, stride) in zip(widths[:-1], widths[1:], layers, strict=True)
        )
        self.head = nn.Conv2d(channels, CLASSES, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 40, 40) -> logits (B, 3, 40, 40)."""
        x = x[:, None]
        for layer in self.layers:
            x = torch.relu(layer(x))
        return F.interpolate(self.head(x), (SIDE, SIDE), mode="bilinear", align_corners=False)


def train_dense(kind: str, steps: int, seed: int = 0) -> DenseNetwork:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    network, rng = DenseNetwork(DENSE_LAYERS[kind]), np.random.default_rng(seed)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / steps)
        pictures, labels = discs(12, rng)
        loss = F.cross_entropy(network(torch.from_numpy(pictures)), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def test_pictures() -> tuple[np.ndarray, np.ndarray]:
    return discs(TEST_PICTURES, np.random.default_rng(1000))


def answers(network: DenseNetwork, pictures: np.ndarray) -> np.ndarray:
    """Classes of the pixels, (n, 40, 40) uint8."""
    with torch.no_grad():
        return network(torch.from_numpy(pictures)).argmax(1).numpy().astype(np.uint8)


@recorded
def dense(kind: str) -> dict[str, object]:
    """IoU of the classes over all test pixels, mean boundary F of the discs (tolerance 1 pixel, classes merged), share
    of neighbours inside a disc that are answered differently, share of the wrong pixels that touch the true boundary of
    a disc (from either side), and the first answers."""
    network = train_dense(kind, steps=1000)
    pictures, labels = test_pictures()
    found = answers(network, pictures)
    inside = (labels[:, :, 1:] == labels[:, :, :-1]) & (labels[:, :, 1:] > 0)
    around = [boundary(np.pad(t == 0, 1, constant_values=True))[1:-1, 1:-1] for t in labels]
    edges = np.array([boundary(t > 0) for t in labels]) | around
    return {
        "iou": iou(confusion_matrix(labels, found, CLASSES)),
        "boundary": np.mean([boundary_f(t > 0, p > 0, 1.0) for t, p in zip(labels, found, strict=True)]),
        "disagreement": np.mean((found[:, :, 1:] != found[:, :, :-1])[inside]),
        "wrong_at_edges": np.mean(edges[found != labels]),
        "found": found[:SHOWN],
        "parameters": _parameters(network),
    }


def _parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
