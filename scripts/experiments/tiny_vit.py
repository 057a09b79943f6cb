"""A small ViT and a small convolutional network learn digits of 8×8 pixels from more and more examples.

The ViT cuts a digit into 16 patches of 2×2 and is a Pre-LN encoder with mean pooling; the convolutional network has two
3×3 layers and global average pooling. All take the same number of steps with the optimizer that they share, at a rate
of their own. Variants of the ViT: without positions it is a bag of patches; with `cls` it is read from a class token.

    accuracy(name, train)         SEEDS runs of one of MODELS, on test digits in their places and moved by a pixel
    accuracy(name, train, steps)  the same after another number of steps
    resolution()                  the trained ViT on digits stretched to 12×12, positions carried over in several ways

PyTorch, float32 on one thread, because something is trained.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from scripts.dl.patches import interpolate_positions, patchify
from scripts.experiments.recorded import recorded
from scripts.figures.digits import CLASSES, digits

SIDE, PATCH, WIDTH, HEADS, LAYERS = 8, 2, 32, 4, 2
GRID = SIDE // PATCH
STEPS, BATCH, SEEDS = 400, 64, 3
LONG = 4 * STEPS
SIZES = (50, 100, 200, 400, 1200)


@dataclass(frozen=True)
class Model:
    convolutional: bool = False
    positions: bool = True
    cls: bool = False
    rate: float = 2e-3


MODELS = {
    "vit": Model(),
    "vit-no-positions": Model(positions=False),
    "vit-cls": Model(cls=True),
    "cnn": Model(convolutional=True, rate=1e-2),
    "cnn-at-rate-of-vit": Model(convolutional=True),
}


class ViT(nn.Module):
    def __init__(self, positions: bool = True, cls: bool = False):
        super().__init__()
        self.embed = nn.Linear(PATCH**2, WIDTH)
        self.cls = nn.Parameter(torch.zeros(WIDTH)) if cls else None
        self.positions = nn.Parameter(0.02 * torch.randn(cls + GRID**2, WIDTH)) if positions else None
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 4 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, LAYERS, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, 10) of pictures (B, 1, H, W)."""
        z = self.embed(torch.from_numpy(patchify(x.numpy(), PATCH)))
        if self.cls is not None:
            z = torch.cat([self.cls.expand(len(z), 1, -1), z], dim=1)
        if self.positions is not None:
            z = z + self.positions
        z = self.encoder(z)
        return self.head(z.mean(dim=1) if self.cls is None else z[:, 0])


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 48, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(48, CLASSES),
    )  # fmt: skip


def shifted(x: torch.Tensor) -> torch.Tensor:
    """Every picture moved by a pixel in one of the eight directions, zeros coming in."""
    padded = F.pad(x, (1, 1, 1, 1))
    places = torch.tensor([(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)])
    corners = places[torch.randint(8, (len(x),))]
    return torch.stack([one[:, i : i + SIDE, j : j + SIDE] for one, (i, j) in zip(padded, corners, strict=True)])


def fit(network: nn.Module, x: torch.Tensor, y: torch.Tensor, rate: float, steps: int) -> None:
    """AdamW with warm-up over a tenth of the steps and cosine decay; batches are drawn with repetition."""
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.01)
    warmup = max(steps // 10, 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, 1.0) * (1 + np.cos(np.pi * step / steps)) / 2
    )
    for _ in range(steps):
        batch = torch.randint(len(x), (BATCH,))
        optimizer.zero_grad()
        F.cross_entropy(network(x[batch]), y[batch]).backward()
        optimizer.step()
        schedule.step()


def share_right(network: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    with torch.no_grad():
        return (network(x).argmax(dim=1) == y).float().mean().item()


def pictures(train: int, seed: int) -> tuple[torch.Tensor, ...]:
    """Training pictures (train, 1, 8, 8) and labels, the test ones after them."""
    split = digits(train, seed=seed)
    return tuple(
        torch.tensor(part.reshape(-1, 1, SIDE, SIDE), dtype=torch.float32) if part.ndim == 2 else torch.tensor(part)
        for part in (split.X_train, split.y_train, split.X_test, split.y_test)
    )


def trained(name: str, train: int, seed: int, steps: int = STEPS) -> nn.Module:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = MODELS[name]
    network = convolutional() if model.convolutional else ViT(model.positions, model.cls)
    fit(network, *pictures(train, seed)[:2], model.rate, steps)
    return network


@recorded
def accuracy(name: str, train: int, steps: int = STEPS) -> dict[str, object]:
    """Accuracies of SEEDS runs, (SEEDS,) each, on training and test digits and on moved test ones.

    Every seed has a split of its own.
    """
    found: dict[str, list[float]] = {"test": [], "moved": [], "train": []}
    for seed in range(SEEDS):
        network = trained(name, train, seed, steps)
        x, y, x_test, y_test = pictures(train, seed)
        found["test"].append(share_right(network, x_test, y_test))
        found["moved"].append(share_right(network, shifted(x_test), y_test))
        found["train"].append(share_right(network, x, y))
    return found


# --- Another resolution ----------------------------------------------------------------------------------------------

FINER, FINER_STEPS, FINER_RATE = 12, 60, 5e-4


def stretched(x: torch.Tensor) -> torch.Tensor:
    """(B, 1, 8, 8) -> (B, 1, 12, 12)."""
    return F.interpolate(x, size=(FINER, FINER), mode="bilinear", align_corners=False)


@cache
def flat_positions(old: int, new: int) -> np.ndarray:
    """(new², old²): linear interpolation along the list of patches, as if it were a line."""
    at = np.linspace(0, old * old - 1, new * new)
    return np.stack([np.interp(at, np.arange(old * old), row) for row in np.eye(old * old)], axis=1)


def carried(positions: np.ndarray, way: str, seed: int) -> np.ndarray:
    """Positions (36, d) for the finer grid from those (16, d) of the trained one."""
    finer = FINER // PATCH
    if way == "grid":
        first = np.zeros((1, WIDTH))  # `interpolate_positions` expects a class token
        return interpolate_positions(np.concatenate([first, positions]), (GRID, GRID), (finer, finer))[1:]
    if way == "line":
        return flat_positions(GRID, finer) @ positions
    return np.random.default_rng(seed).normal(0, positions.std(), (finer * finer, WIDTH))


@recorded
def resolution() -> dict[str, object]:
    """Accuracies of SEEDS runs: at 8×8, and at 12×12 as carried over and after FINER_STEPS steps there."""
    found: dict[str, list[float]] = {"native": []}
    for seed in range(SEEDS):
        x, y, x_test, y_test = pictures(1200, seed)
        network = trained("vit", 1200, seed)
        found["native"].append(share_right(network, x_test, y_test))
        kept = {key: value.clone() for key, value in network.state_dict().items()}
        learned = kept.pop("positions").numpy()
        for way in ("grid", "line", "random"):
            network.load_state_dict(kept, strict=False)
            network.positions = nn.Parameter(torch.tensor(carried(learned, way, seed), dtype=torch.float32))
            found.setdefault(way, []).append(share_right(network, stretched(x_test), y_test))
            torch.manual_seed(seed)
            fit(network, stretched(x), y, FINER_RATE, FINER_STEPS)
            found.setdefault(f"{way}-tuned", []).append(share_right(network, stretched(x_test), y_test))
    return found
