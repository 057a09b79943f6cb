"""A small causal transformer learns to repeat the token three back, with different positional encodings.

Trained on sequences of 32 tokens, tested at each position of sequences of 128: what is learned about order, and does
it hold further than the training length? PyTorch, float32: something is trained.
"""

import copy
import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scripts.dl import positional_encoding as pe
from scripts.experiments.recorded import Result, recorded

KINDS = ("none", "learned", "sinusoidal", "shaw", "t5", "alibi", "rope")
STRETCHES = ("none", "interpolated", "ntk")
VOCABULARY, BACK = 16, 3
SHORT, LONG = 32, 128
WIDTH, HEADS, LAYERS = 64, 4, 2
STEPS, BATCH, RATE = 300, 32, 2e-3
TUNING, TUNING_BATCH, TUNING_RATE = 60, 8, 1e-3
CLIP = 16  # of Shaw's offsets
TESTED, SEEDS = 256, 3


def _numbers(array: np.ndarray) -> Tensor:
    return torch.tensor(array, dtype=torch.float32)


def _rotate(X: Tensor, omega: Tensor) -> Tensor:
    """RoPE of (B, h, T, d_k), as `pe.rotate`."""
    angles = torch.arange(X.shape[-2])[:, None] * omega
    a, b = X[..., 0::2], X[..., 1::2]
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)


class Attention(nn.Module):
    """Causal self-attention with the positions of `kind`; learned and sinusoidal ones are already in the input."""

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind
        self.project = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        d_k = WIDTH // HEADS
        if kind == "shaw":  # in the keys alone: a value is told by its token here
            self.table = nn.Parameter(0.1 * torch.randn(CLIP + 1, d_k))
        if kind == "t5":
            self.biases = nn.Parameter(torch.zeros(32, HEADS))
        self.omega = _numbers(pe.frequencies(d_k))

    def forward(self, X: Tensor) -> Tensor:
        B, T, _ = X.shape
        Q, K, V = self.project(X).view(B, T, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        if self.kind == "rope":
            Q, K = _rotate(Q, self.omega), _rotate(K, self.omega)
        scores = Q @ K.mT / math.sqrt(Q.shape[-1]) + self._bias(Q)
        scores = scores.masked_fill(torch.from_numpy(pe.offsets(T) > 0), -math.inf)  # causal
        A = scores.softmax(dim=-1)  # (B, h, T, T)
        self.weights = A.detach()
        return self.out((A @ V).transpose(1, 2).flatten(2))

    def _bias(self, Q: Tensor) -> Tensor | float:
        T = Q.shape[-2]
        if self.kind == "alibi":
            return _numbers(pe.alibi_bias(T, HEADS))
        if self.kind == "t5":
            buckets = torch.from_numpy(pe.t5_bucket(pe.offsets(T), causal=True))
            return self.biases[buckets].permute(2, 0, 1)
        if self.kind == "shaw":
            distance = torch.from_numpy(np.clip(-pe.offsets(T), 0, CLIP)).expand(*Q.shape[:2], T, T)
            return (Q @ self.table.T).gather(-1, distance) / math.sqrt(Q.shape[-1])
        return 0.0


class Model(nn.Module):
    """Pre-LN blocks; logits (B, T, VOCABULARY) of the token `BACK` positions earlier."""

    def __init__(self, kind: str):
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.places = None
        if kind == "learned":
            self.places = nn.Parameter(torch.randn(LONG, WIDTH))
        if kind == "sinusoidal":
            self.places = _numbers(pe.sinusoidal(np.arange(LONG), WIDTH))
        self.attention = nn.ModuleList(Attention(kind) for _ in range(LAYERS))
        self.ffn = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.ReLU(), nn.Linear(4 * WIDTH, WIDTH)) for _ in range(LAYERS)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2 * LAYERS + 1))
        self.head = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, tokens: Tensor) -> Tensor:
        X = self.tokens(tokens)
        if self.places is not None:
            X = X + self.places[: tokens.shape[1]]
        for layer in range(LAYERS):
            X = X + self.attention[layer](self.norms[2 * layer](X))
            X = X + self.ffn[layer](self.norms[2 * layer + 1](X))
        return self.head(self.norms[-1](X))

    def stretch(self, method: str) -> None:
        """Change the waves of RoPE for LONG tokens instead of SHORT."""
        change = {"none": lambda d, _: pe.frequencies(d), "interpolated": pe.interpolated, "ntk": pe.ntk_aware}[method]
        for attention in self.attention:
            attention.omega = _numbers(change(WIDTH // HEADS, LONG / SHORT))


def _fit(model: Model, T: int, steps: int, batch: int, rate: float) -> None:
    optimizer = torch.optim.Adam(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        tokens = torch.randint(VOCABULARY, (batch, T))
        logits = model(tokens)[:, BACK:]
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, :-BACK].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _accuracy(model: Model) -> np.ndarray:
    """(LONG - BACK,) share of right answers at positions BACK, BACK + 1, …"""
    tokens = torch.randint(VOCABULARY, (TESTED, LONG), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        right = model(tokens)[:, BACK:].argmax(dim=-1) == tokens[:, :-BACK]
    return right.float().mean(dim=0).numpy()


def _looks(model: Model) -> np.ndarray:
    """(LONG,) weight of each distance 0, 1, … for the last token in the last layer, the mean of sequences and heads."""
    tokens = torch.randint(VOCABULARY, (TESTED, LONG), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        model(tokens)
    return model.attention[-1].weights[:, :, -1].mean(dim=(0, 1)).flip(0).numpy()


def train(kind: str, seed: int, steps: int = STEPS) -> Model:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = Model(kind)
    _fit(model, SHORT, steps, BATCH, RATE)
    return model


@recorded
def three_back(kind: str) -> Result:
    """`accuracy` (SEEDS, LONG - BACK) at each position after training on SHORT tokens."""
    return {"accuracy": np.stack([_accuracy(train(kind, seed)) for seed in range(SEEDS)])}


@recorded
def stretched() -> Result:
    """RoPE trained on SHORT tokens, its waves changed for LONG in each way of STRETCHES.

    `before` and `after` (STRETCHES, SEEDS, LONG - BACK), accuracies without and with TUNING steps on LONG tokens;
    `looks` (STRETCHES, SEEDS, LONG), weights of the last token by distance, before the tuning.
    """
    before, after, looks = [], [], []
    for seed in range(SEEDS):
        trained = train("rope", seed)
        models = [copy.deepcopy(trained) for _ in STRETCHES]
        for model, method in zip(models, STRETCHES, strict=True):
            model.stretch(method)
        before.append([_accuracy(model) for model in models])
        looks.append([_looks(model) for model in models])
        for model in models:
            _fit(model, LONG, TUNING, TUNING_BATCH, TUNING_RATE)
        after.append([_accuracy(model) for model in models])
    found = {"before": before, "after": after, "looks": looks}
    return {name: np.array(values).swapaxes(0, 1) for name, values in found.items()}
