"""An MLP that knows the digits is taught a shifted task by training all of it, a part of it, or LoRA.

PyTorch, because only training is of interest here. The source task is the digits as they are; the targets are
"rotated", the digits turned by 30°, so that the input has changed, and "relabelled", the same pictures with permuted
classes, so that the answer has. The network is 64–128–128–10 with ReLU; Adam with a constant rate.
"""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from scipy.ndimage import rotate
from torch.nn import functional as F

from scripts.dl.lora import lora_parameters, truncated
from scripts.experiments.recorded import recorded
from scripts.figures.digits import digits

SIZES = (64, 128, 128, 10)
LAYERS = range(len(SIZES) - 1)
SEEDS, BATCH, PRETRAINING, STEPS, LABELS = 5, 32, 1000, 400, 300
ANGLE, SHIFT = 30, 3  # degrees; a class c is called c + 3 (mod 10)
ALPHA = 8.0
PRETRAINING_RATE, RATE = 1e-3, 3e-3  # the latter about the best for all methods, see `rates`
RANKS = (1, 2, 4, 8)
PARTS = ("layer-1", "layer-2", "layer-3")
METHODS = (*PARTS, *(f"lora-{rank}" for rank in RANKS), "full")
RATES, RATE_SEEDS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1), 3

Weights = list[torch.Tensor]  # W1, b1, W2, b2, W3, b3
Data = tuple[torch.Tensor, torch.Tensor]


def logits(weights: Sequence[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    for layer in LAYERS:
        x = F.linear(x if layer == 0 else torch.relu(x), weights[2 * layer], weights[2 * layer + 1])
    return x


def accuracy(weights: Sequence[torch.Tensor], data: Data) -> float:
    with torch.no_grad():
        return (logits(weights, data[0]).argmax(1) == data[1]).double().mean().item()


def task(name: str, seed: int) -> tuple[Data, Data]:
    """Training and test data of "source", "rotated" or "relabelled"."""
    split, parts = digits(seed=seed), []
    for X, y in ((split.X_train, split.y_train), (split.X_test, split.y_test)):
        if name == "rotated":
            X = rotate(X.reshape(-1, 8, 8), ANGLE, axes=(1, 2), reshape=False, order=1).reshape(-1, 64)
        if name == "relabelled":
            y = (y + SHIFT) % SIZES[-1]
        parts.append((torch.tensor(X, dtype=torch.float32), torch.tensor(y)))
    return parts[0], parts[1]


def descend(
    parameters: Weights, weights: Callable[[], Sequence[torch.Tensor]], data: Data, rate: float, steps: int, seed: int
) -> None:
    """Adam on `parameters`, of which `weights()` makes the weights of the network."""
    torch.set_num_threads(1)
    optimizer, generator = torch.optim.Adam(parameters, lr=rate), torch.Generator().manual_seed(seed)
    for _ in range(steps):
        chosen = torch.randint(len(data[1]), (BATCH,), generator=generator)
        loss = F.cross_entropy(logits(weights(), data[0][chosen]), data[1][chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def pretrain(seed: int, steps: int = PRETRAINING) -> Weights:
    torch.manual_seed(seed)
    layers = [torch.nn.Linear(d_in, d_out) for d_in, d_out in zip(SIZES[:-1], SIZES[1:], strict=True)]
    weights = [tensor.detach().clone().requires_grad_() for layer in layers for tensor in (layer.weight, layer.bias)]
    descend(weights, lambda: weights, task("source", seed)[0], PRETRAINING_RATE, steps, seed)
    return [tensor.detach() for tensor in weights]


_pretrained = cache(pretrain)


def adapted(method: str, start: Weights, data: Data, seed: int, rate: float = RATE, steps: int = STEPS) -> Weights:
    """The weights after learning the target; LoRA comes back merged."""
    if method.startswith("lora-"):
        return _with_lora(int(method.removeprefix("lora-")), start, data, seed, rate, steps)
    weights = [tensor.clone() for tensor in start]
    layer = None if method == "full" else PARTS.index(method)
    free = weights if layer is None else weights[2 * layer : 2 * layer + 2]
    for tensor in free:
        tensor.requires_grad_()
    descend(free, lambda: weights, data, rate, steps, seed)
    return [tensor.detach() for tensor in weights]


def _with_lora(rank: int, start: Weights, data: Data, seed: int, rate: float, steps: int) -> Weights:
    torch.manual_seed(seed)
    down = [(torch.randn(rank, d_in) / d_in**0.5).requires_grad_() for d_in in SIZES[:-1]]
    up = [torch.zeros(d_out, rank, requires_grad=True) for d_out in SIZES[1:]]

    def weights() -> Weights:
        updates = [ALPHA / rank * B @ A for A, B in zip(down, up, strict=True)]
        return [t for layer in LAYERS for t in (start[2 * layer] + updates[layer], start[2 * layer + 1])]

    descend([*down, *up], weights, data, rate, steps, seed)
    return [tensor.detach() for tensor in weights()]


def parameters(method: str) -> int:
    """How many numbers the method trains."""
    sides = list(zip(SIZES[1:], SIZES[:-1], strict=True))
    if method.startswith("lora-"):
        return sum(lora_parameters(d_out, d_in, int(method.removeprefix("lora-"))) for d_out, d_in in sides)
    counts = [d_out * d_in + d_out for d_out, d_in in sides]
    return sum(counts) if method == "full" else counts[PARTS.index(method)]


def few(data: Data, labels: int = LABELS) -> Data:
    """The first examples of a task."""
    return data[0][:labels], data[1][:labels]


@recorded
def adapt(method: str, shift: str) -> dict[str, object]:
    """Test accuracies (seeds,) after learning from LABELS examples: of the new network on the `target` and on the
    `source` task, and `before`, of the old network on the target."""
    found: dict[str, list[float]] = {"target": [], "source": [], "before": []}
    for seed in range(SEEDS):
        start, (train, test) = _pretrained(seed), task(shift, seed)
        weights = adapted(method, start, few(train), seed)
        found["target"].append(accuracy(weights, test))
        found["source"].append(accuracy(weights, task("source", seed)[1]))
        found["before"].append(accuracy(start, test))
    return found


TRUNCATIONS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 32)


@recorded
def spectrum() -> dict[str, object]:
    """What full fine-tuning on all 1200 rotated digits changes.

    `update-l` and `weight-l` (seeds, min side): singular values of the change of W_l and of W_l before it; `truncated`
    (seeds, len(TRUNCATIONS)): test accuracy when all three changes are cut to a rank; `whole` (seeds,): uncut.
    """
    found: dict[str, list] = {"truncated": [], "whole": []}
    for seed in range(SEEDS):
        start, (train, test) = _pretrained(seed), task("rotated", seed)
        weights = adapted("full", start, train, seed, steps=2 * STEPS)
        changes = [(new - old).numpy() for new, old in zip(weights, start, strict=True)]
        for layer in LAYERS:
            for name, matrix in (("update", changes[2 * layer]), ("weight", start[2 * layer].numpy())):
                found.setdefault(f"{name}-{layer + 1}", []).append(np.linalg.svd(matrix, compute_uv=False))
        found["whole"].append(accuracy(weights, test))
        found["truncated"].append([accuracy(_cut(start, changes, rank), test) for rank in TRUNCATIONS])
    return found


def _cut(start: Weights, changes: list[np.ndarray], rank: int) -> Weights:
    """Matrices changed by the truncated change, shifts (biases) by the whole of theirs."""
    return [
        old + torch.from_numpy(truncated(change, rank) if change.ndim == 2 else change)
        for old, change in zip(start, changes, strict=True)
    ]


@recorded
def rates(method: str) -> dict[str, object]:
    """Target accuracy (len(RATES), RATE_SEEDS) on the rotated digits at every learning rate."""
    found = np.zeros((len(RATES), RATE_SEEDS))
    for seed in range(RATE_SEEDS):
        train, test = task("rotated", seed)
        for row, rate in enumerate(RATES):
            found[row, seed] = accuracy(adapted(method, _pretrained(seed), few(train), seed, rate), test)
    return {"accuracy": found}
