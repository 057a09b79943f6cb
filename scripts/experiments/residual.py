"""Fully connected networks of growing depth on the digits, with and without shortcuts.

PyTorch, because only training is of interest here. All seeds train side by side: every tensor of weights has the seeds
as its first axis, every batch is (seeds, B, d). A block is two layers; its branch is the full pre-activation
F(x) = W2 relu(N2(W1 relu(N1(x)))), where N is batch normalisation or, without it, a learned shift.
"""

import math

import numpy as np
import torch
from torch.nn import functional

from scripts.dl.residual import path_gradients
from scripts.experiments.recorded import recorded
from scripts.figures.digits import CLASSES, digits

WIDTH, SEEDS, EPOCHS, BATCH, RATE, MOMENTUM, EPS = 64, 5, 8, 64, 0.01, 0.9, 1e-5

PLAIN, PLAIN_BN, RESIDUAL, RESIDUAL_BN, SCALED, ZERO = (
    "plain", "plain-bn", "residual", "residual-bn", "scaled", "zero",
)  # fmt: skip
KINDS = (PLAIN, PLAIN_BN, RESIDUAL, RESIDUAL_BN, SCALED, ZERO)
DEPTHS = (4, 10, 20, 30, 40, 60)


class Norm:
    """Batch normalisation over axis 1 of (seeds, B, d), or only the shift when `normalize` is off."""

    def __init__(self, seeds: int, width: int, normalize: bool):
        self.normalize = normalize
        self.gamma, self.beta = torch.ones(seeds, 1, width), torch.zeros(seeds, 1, width)
        self.statistics = None  # those of the last training batch

    def parameters(self) -> list[torch.Tensor]:
        return [self.gamma, self.beta] if self.normalize else [self.beta]

    def __call__(self, x: torch.Tensor, training: bool) -> torch.Tensor:
        if not self.normalize:
            return x + self.beta
        if training:
            variance, mean = torch.var_mean(x, dim=1, keepdim=True, correction=0)
            self.statistics = mean.detach(), variance.detach()
        else:
            mean, variance = self.statistics
        return (x - mean) / torch.sqrt(variance + EPS) * self.gamma + self.beta


class Network:
    """`layers` hidden layers (an even number), a linear stem and a linear head; `kind` is one of `KINDS`."""

    def __init__(self, kind: str, layers: int, seeds: int = SEEDS):
        generator = torch.Generator().manual_seed(0)

        def normal(fan_out: int, fan_in: int, gain: float) -> torch.Tensor:
            return math.sqrt(gain / fan_in) * torch.randn(seeds, fan_out, fan_in, generator=generator)

        self.shortcut = kind not in (PLAIN, PLAIN_BN)
        blocks = layers // 2
        self.scale = 1 / math.sqrt(blocks) if kind == SCALED else 1.0
        normalize = kind in (PLAIN_BN, RESIDUAL_BN)
        self.stem = normal(WIDTH, 64, 1.0)
        self.blocks = [[normal(WIDTH, WIDTH, 2.0), normal(WIDTH, WIDTH, 2.0)] for _ in range(blocks)]
        if kind == ZERO:
            for block in self.blocks:
                block[1].zero_()
        self.norms = [[Norm(seeds, WIDTH, normalize) for _ in range(2)] for _ in range(blocks)]
        self.last = Norm(seeds, WIDTH, normalize)
        self.head, self.bias = normal(CLASSES, WIDTH, 1.0), torch.zeros(seeds, 1, CLASSES)
        self.parameters = [self.stem, self.head, self.bias, *self.last.parameters()]
        for weights, norms in zip(self.blocks, self.norms, strict=True):
            self.parameters += [*weights, *norms[0].parameters(), *norms[1].parameters()]
        for parameter in self.parameters:
            parameter.requires_grad_()

    def branch(self, block: int, x: torch.Tensor, training: bool) -> torch.Tensor:
        for weight, norm in zip(self.blocks[block], self.norms[block], strict=True):
            x = torch.relu(norm(x, training)) @ weight.mT
        return self.scale * x

    def trunk(self, X: torch.Tensor, training: bool = False, removed: frozenset[int] = frozenset()) -> list:
        """The trunk after the stem and after every block that is not removed."""
        states = [X @ self.stem.mT]
        for block in range(len(self.blocks)):
            if block not in removed:
                branch = self.branch(block, states[-1], training)
                states.append(states[-1] + branch if self.shortcut else branch)
        return states

    def classify(self, x: torch.Tensor, training: bool = False) -> torch.Tensor:
        return torch.relu(self.last(x, training)) @ self.head.mT + self.bias

    def logits(self, X: torch.Tensor, training: bool = False, removed: frozenset[int] = frozenset()) -> torch.Tensor:
        return self.classify(self.trunk(X, training, removed)[-1], training)


def _data() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Training images (1200, 64) and labels, test images (597, 64) and labels; centred, of mean square 1."""
    split = digits()
    mean = split.X_train.mean(axis=0)
    scale = np.sqrt(np.mean((split.X_train - mean) ** 2))
    images = [torch.tensor((X - mean) / scale, dtype=torch.float32) for X in (split.X_train, split.X_test)]
    return images[0], torch.tensor(split.y_train), images[1], torch.tensor(split.y_test)


def train(kind: str, layers: int, seeds: int = SEEDS, epochs: int = EPOCHS) -> tuple[Network, np.ndarray]:
    """The trained networks and the training losses of every step, (steps, seeds).

    The statistics left in the batch normalisations are those of the whole training set.
    """
    torch.set_num_threads(1)
    X, y, _, _ = _data()
    network, shuffle = Network(kind, layers, seeds), torch.Generator().manual_seed(1)
    optimizer = torch.optim.SGD(network.parameters, lr=RATE, momentum=MOMENTUM)
    losses = []
    for _ in range(epochs):
        order = torch.randperm(len(X), generator=shuffle)
        for chosen in order[: len(X) // BATCH * BATCH].split(BATCH):
            logits = network.logits(X[chosen].expand(seeds, -1, -1), training=True)
            loss = functional.cross_entropy(
                logits.flatten(0, 1), y[chosen].repeat(seeds), reduction="none"
            ).unflatten(0, (seeds, -1)).mean(dim=1)  # fmt: skip
            optimizer.zero_grad()
            loss.sum().backward()
            optimizer.step()
            losses.append(loss.detach().numpy().copy())
    with torch.no_grad():
        network.logits(X.expand(seeds, -1, -1), training=True)
    return network, np.array(losses)


@torch.no_grad()
def accuracies(network: Network, X: torch.Tensor, y: torch.Tensor, removed: frozenset[int] = frozenset()) -> np.ndarray:
    """One number a seed; a network that diverged counts as wrong wherever it answers NaN."""
    seeds = len(network.stem)
    logits = network.logits(X.expand(seeds, -1, -1), removed=removed)
    right = (logits.argmax(dim=2) == y) & torch.isfinite(logits).all(dim=2)
    return right.double().mean(dim=1).numpy()


@recorded
def depth(kind: str, layers: int) -> dict[str, object]:
    """Accuracies after training, `train` and `test`, and whether all losses were finite, `finite`; each (seeds,)."""
    X, y, X_test, y_test = _data()
    network, losses = train(kind, layers)
    return {
        "train": accuracies(network, X, y),
        "test": accuracies(network, X_test, y_test),
        "finite": np.isfinite(losses).all(axis=0),
    }


DISSECTED, DISSECTED_PLAIN, OBJECTS, DRAWS = 60, 10, 128, 10
REMOVED = (1, 2, 3, 5, 8, 12, 16, 20, 25)


@recorded
def dissected() -> dict[str, object]:
    """What is left of trained networks with batch normalisation when blocks are taken out, and their paths.

    `one` (blocks,): test accuracy without that block of a residual network of 60 layers; `several` (len(REMOVED),
    draws): without so many blocks at random; `whole`: with all; `plain`, `plain_whole`: the same for a plain network
    of 10 layers. `paths` (2, blocks + 1): norms of the gradient at the first block carried by paths through k branches,
    before and after training, root mean square over test objects; `total` (2,) the norm of the whole gradient.
    """
    _, _, X, y = _data()
    network, _ = train(RESIDUAL_BN, DISSECTED, seeds=1)
    blocks, rng = len(network.blocks), np.random.default_rng(0)
    plain, _ = train(PLAIN_BN, DISSECTED_PLAIN, seeds=1)
    fresh, _ = train(RESIDUAL_BN, DISSECTED, seeds=1, epochs=0)
    paths, totals = zip(*(_path_norms(one, X[:OBJECTS], y[:OBJECTS]) for one in (fresh, network)), strict=True)
    return {
        "whole": accuracies(network, X, y)[0],
        "one": np.array([accuracies(network, X, y, frozenset({block}))[0] for block in range(blocks)]),
        "several": np.array(
            [
                [accuracies(network, X, y, frozenset(rng.permutation(blocks)[:count]))[0] for _ in range(DRAWS)]
                for count in REMOVED
            ]
        ),
        "plain_whole": accuracies(plain, X, y)[0],
        "plain": np.array(
            [accuracies(plain, X, y, frozenset({block}))[0] for block in range(len(plain.blocks))]
        ),
        "paths": np.array(paths),
        "total": np.array(totals),
    }  # fmt: skip


def _path_norms(network: Network, X: torch.Tensor, y: torch.Tensor) -> tuple[np.ndarray, float]:
    """Norms by path length (blocks + 1,) and that of the sum, of gradients of single objects; statistics are fixed."""
    states = [state.detach() for state in network.trunk(X[None])]
    top = states[-1].requires_grad_()
    functional.cross_entropy(network.classify(top)[0], y, reduction="sum").backward()

    def vector_jacobian(block: int):
        x = states[block].detach().requires_grad_()
        out = network.branch(block, x, training=False)
        return lambda v: torch.autograd.grad(out, x, torch.tensor(v), retain_graph=True)[0].numpy()

    parts = path_gradients([vector_jacobian(block) for block in range(len(network.blocks))], top.grad.numpy())
    per_object = np.sqrt(np.mean(np.sum(parts[:, 0].astype(float) ** 2, axis=2), axis=1))
    return per_object, float(np.sqrt(np.mean(np.sum(parts.sum(axis=0)[0].astype(float) ** 2, axis=1))))
