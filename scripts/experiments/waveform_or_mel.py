"""Which vowel is it? The same small network on the waveform and on log-mel, against the number of examples.

A piece is 100 ms of one of five vowels at 8 kHz: random speaker (pitch, length of the vocal tract), random place in the
period, white noise of 15 to 30 dB. Both networks are two convolutions, mean over time and a linear layer; the first
convolution of the one reads 800 samples (10 ms long, step 2.5 ms), that of the other 11 frames of 40 log-mel bands.
"""

import numpy as np
import torch
from torch import nn

from scripts.dl.audio_augmentation import add_noise
from scripts.dl.mel import log_mel
from scripts.dl.speech import phrase
from scripts.experiments.recorded import recorded

VOWELS = "аэиоу"
RATE, LENGTH = 8000, 800
POOL, TEST = 1600, 500
SIZES = (25, 50, 100, 200, 400, 800, 1600)
STEPS, BATCH = 300, 32


def pieces(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Waveforms (count, 800) of unit variance and numbers of their vowels (count,)."""
    labels = rng.integers(0, len(VOWELS), count)
    waves = np.empty((count, LENGTH))
    for row, label in zip(waves, labels, strict=True):
        pitch = rng.uniform(90, 250) * rng.uniform(0.9, 1.1, 2)
        spoken = phrase(VOWELS[label], 0.2, pitch, RATE, tract=rng.uniform(0.85, 1.2)).samples
        start = rng.integers(300, 500)
        piece = spoken[start : start + LENGTH]
        noisy = add_noise(piece, rng.standard_normal(LENGTH), rng.uniform(15, 30))
        row[:] = noisy / noisy.std()
    return waves, labels


def features(waves: np.ndarray, kind: str) -> torch.Tensor:
    """(count, 1, 800) samples or (count, 40, 11) log-mel, of zero mean and unit variance for each piece."""
    x = waves[:, None] if kind == "waveform" else log_mel(waves, RATE, 40, 256).transpose(0, 2, 1)
    x = (x - x.mean(axis=(1, 2), keepdims=True)) / x.std(axis=(1, 2), keepdims=True)
    return torch.tensor(x, dtype=torch.float32)


def network(kind: str) -> nn.Module:
    """About 10 000 parameters on either input."""
    first = nn.Conv1d(1, 40, 80, stride=20) if kind == "waveform" else nn.Conv1d(40, 40, 3, padding=1)
    return nn.Sequential(
        first,
        nn.ReLU(),
        nn.Conv1d(40, 40, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(40, len(VOWELS)),
    )


def train(x: torch.Tensor, y: torch.Tensor, kind: str, seed: int, steps: int = STEPS) -> nn.Module:
    """Adam with weight decay; the same number of steps whatever the number of examples."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    net = network(kind)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(steps):
        rows = torch.randint(len(x), (BATCH,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
        optimizer.step()
        schedule.step()
    return net


def error(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    with torch.no_grad():
        return (net(x).argmax(dim=1) != y).float().mean().item()


@recorded
def errors(seeds: int) -> dict[str, object]:
    """Test errors (sizes, seeds) of `waveform` and `mel`, and the parameters of both networks."""
    found = {"waveform": np.zeros((len(SIZES), seeds)), "mel": np.zeros((len(SIZES), seeds))}
    waves, labels = pieces(POOL + TEST, np.random.default_rng(0))
    y = torch.tensor(labels)
    for kind, table in found.items():
        x = features(waves, kind)
        for i, size in enumerate(SIZES):
            for seed in range(seeds):
                net = train(x[:size], y[:size], kind, seed)
                table[i, seed] = error(net, x[POOL:], y[POOL:])
    sizes = {f"{kind}_parameters": sum(p.numel() for p in network(kind).parameters()) for kind in found}
    return {name: table.astype(np.float32) for name, table in found.items()} | sizes
