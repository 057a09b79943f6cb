"""The same small ViT with patches of 8, 4, 2 and 1 pixels.

The pictures are the digits of 8×8 pixels. All models take the same steps with the same optimizer. PyTorch, because the
networks are trained; float32 on one thread.

    patch_size(8)   "accuracy" on unseen digits of SEEDS runs, (SEEDS,); "train", on the training ones; "multiply_adds"
                    of one picture
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from scripts.dl.patches import patchify
from scripts.experiments.recorded import recorded
from scripts.figures.digits import CLASSES, digits

SIDE, SIZES = 8, (8, 4, 2, 1)
WIDTH, HEADS, LAYERS = 32, 4, 3
STEPS, BATCH, RATE, SEEDS = 400, 64, 2e-3, 3


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH) for _ in range(2)])
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.ffn = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def heads(self, z: torch.Tensor) -> list[torch.Tensor]:
        """Q, K, V of the normalised tokens, (B, HEADS, T, WIDTH / HEADS) each."""
        parts = self.qkv(self.norms[0](z)).chunk(3, dim=-1)
        return [part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in parts]

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        mixed = F.scaled_dot_product_attention(*self.heads(z)).transpose(1, 2).flatten(2)
        z = z + self.out(mixed)
        return z + self.ffn(self.norms[1](z))


class ViT(nn.Module):
    """Pre-LN encoder with learned positions and mean pooling; pictures (B, 1, 8, 8) → logits (B, 10)."""

    def __init__(self, patch: int):
        super().__init__()
        self.patch = patch
        self.embed = nn.Linear(patch**2, WIDTH)
        self.positions = nn.Parameter(0.02 * torch.randn((SIDE // patch) ** 2, WIDTH))
        self.blocks = nn.ModuleList([Block() for _ in range(LAYERS)])
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES)

    def tokens(self, x: torch.Tensor) -> torch.Tensor:
        return self.embed(torch.from_numpy(patchify(x.numpy(), self.patch))) + self.positions

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.tokens(x)
        for block in self.blocks:
            z = block(z)
        return self.head(self.norm(z).mean(dim=1))


def multiply_adds(patch: int) -> int:
    """Of one picture: the embedding, linear layers and attention (norms, softmax and the head left out)."""
    T = (SIDE // patch) ** 2
    return T * patch**2 * WIDTH + LAYERS * (12 * T * WIDTH**2 + 2 * T**2 * WIDTH)


def train(patch: int, seed: int, steps: int = STEPS) -> ViT:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng, data = np.random.default_rng([seed, 1]), digits(seed=seed)
    model = ViT(patch)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.01)
    warmup = max(steps // 10, 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, 1.0) * (1 + np.cos(np.pi * step / max(steps, 1))) / 2
    )
    for _ in range(steps):
        which = rng.choice(len(data.X_train), BATCH)
        loss = F.cross_entropy(model(images(data.X_train[which])), torch.tensor(data.y_train[which]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model


def images(pixels: np.ndarray) -> torch.Tensor:
    """Rows of 64 pixels as pictures (n, 1, 8, 8)."""
    return torch.tensor(pixels.reshape(-1, 1, SIDE, SIDE), dtype=torch.float32)


def accuracy(model: ViT, pixels: np.ndarray, labels: np.ndarray) -> float:
    with torch.no_grad():
        return np.mean(model(images(pixels)).argmax(dim=1).numpy() == labels)


@recorded
def patch_size(patch: int) -> dict[str, object]:
    found = {"accuracy": [], "train": []}
    for seed in range(SEEDS):
        model, data = train(patch, seed), digits(seed=seed)
        found["accuracy"].append(accuracy(model, data.X_test, data.y_test))
        found["train"].append(accuracy(model, data.X_train, data.y_train))
    return found | {"multiply_adds": multiply_adds(patch)}
