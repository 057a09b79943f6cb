"""Transfer learning small enough to repeat: a CNN learns the digits 0–5 and is then taught 6–9 with few labels.

A digit of 8×8 pixels lies anywhere on a noisy canvas of 16×16, so that there is something worth carrying over: what a
stroke is under the noise, and that its place does not matter. (Centred clean digits show nothing: a network trained
from scratch does as well.) The network is three convolutions, a global maximum and a linear head.

    transfer(labels)               accuracy on the digits 6–9 after training on `labels` pictures of each: "accuracy",
                                   (6, 5), rows in the order of MODES, columns are seeds
    transfer(labels, "inverted")   the same with dark strokes on light, where the source had light strokes on dark
    source()                       about the networks that the others start from, on unseen digits 0–5: "accuracy",
                                   (5,), one a seed; "unnormalised", "bytes" and "inverted", (5,): their accuracy when
                                   the input is not normalised, not divided by 255, or inverted; "filters",
                                   (12, 5, 5), the first layer of seed 0

All seeds share the code and differ in the split of the digits, the initial weights and the places. A seed has one
source network, and one set of labelled pictures for all modes, so modes may be compared pairwise; for one seed fewer
labels are the beginning of more.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from scripts.experiments.recorded import recorded
from scripts.figures.digits import digits

MODES = ("scratch", "full", "one-frozen", "two-frozen", "probe", "lp-ft")
SEEDS = 5
LABELS = (3, 10, 30, 100)  # pictures of each of the four target classes

SIDE, DIGIT = 16, 8
DARK, LIGHT, NOISE = 0.25, 0.5, 0.15  # background, how much lighter a full stroke is, deviation of the pixels' noise
MEAN, STD = 0.29, 0.19  # of the source pictures: the network sees (picture - MEAN) / STD
SOURCE_CLASSES, TARGET_CLASSES = range(6), range(6, 10)
CHANNELS = (12, 24, 48)
HEAD = 8  # the body is the modules before this one, the head flattens and is linear
FROZEN = {"one-frozen": 3, "two-frozen": 5, "probe": HEAD}  # how many modules at the beginning do not learn

BATCH, PRETRAINING, STEPS = 64, 600, 200
SMALL_BATCH = 32
RATE, BODY_RATE, HEAD_RATE = 2e-3, 1e-3, 1e-2  # Adam: everything from scratch; a body that was learned; a new head
PLACES = 4  # random places at which every test digit is shown


def network(classes: int) -> nn.Sequential:
    """Logits of normalised pictures (B, 1, 16, 16)."""
    first, second, third = CHANNELS
    return nn.Sequential(
        nn.Conv2d(1, first, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(first, second, 3, padding=1), nn.ReLU(),
        nn.Conv2d(second, third, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d(1),
        nn.Flatten(), nn.Linear(third, classes),
    )  # fmt: skip


def pictures(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each digit (n, 64) at a random place of a noisy canvas: (n, 1, 16, 16), brightness mostly within [0, 1]."""
    canvas = rng.normal(DARK, NOISE, (len(pixels), SIDE, SIDE))
    corners = rng.integers(0, SIDE - DIGIT + 1, (len(pixels), 2))
    for image, digit, (row, column) in zip(canvas, pixels, corners, strict=True):
        image[row : row + DIGIT, column : column + DIGIT] += LIGHT * digit.reshape(DIGIT, DIGIT)
    return canvas[:, None]


def normalised(canvas: np.ndarray, domain: str = "same") -> torch.Tensor:
    """What the network sees of pictures of a domain: "same" as the source, or "inverted"."""
    seen = {"same": canvas, "inverted": 1 - canvas}[domain]
    return torch.tensor((seen - MEAN) / STD, dtype=torch.float32)


def _chosen(pixels: np.ndarray, labels: np.ndarray, classes: range) -> tuple[np.ndarray, torch.Tensor]:
    """The digits of some classes and their labels counted from zero."""
    of_interest = np.isin(labels, classes)
    return pixels[of_interest], torch.tensor(labels[of_interest] - classes[0])


def accuracy(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    with torch.no_grad():
        return (model(x).argmax(1) == y).double().mean().item()


Batch = tuple[torch.Tensor, torch.Tensor]  # inputs of a network and labels


def _descend(model: nn.Module, groups: list[dict], steps: int, batch: Callable[[], Batch]) -> None:
    """Adam with a cosine schedule, every step on a new batch."""
    optimizer = torch.optim.Adam([group for group in groups if group["params"]])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        x, y = batch()
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def pretrain(seed: int, steps: int = PRETRAINING) -> nn.Sequential:
    """A network that knows the digits 0–5; every step sees them at new places."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng, data = np.random.default_rng([seed, 1]), digits(seed=seed)
    pixels, labels = _chosen(data.X_train, data.y_train, SOURCE_CLASSES)
    model = network(len(SOURCE_CLASSES))

    def batch() -> Batch:
        which = rng.choice(len(pixels), BATCH)
        return normalised(pictures(pixels[which], rng)), labels[which]

    _descend(model, [{"params": list(model.parameters()), "lr": 3e-3}], steps, batch)
    return model


_pretrained = cache(pretrain)


def labelled(seed: int, labels: int) -> tuple[np.ndarray, torch.Tensor]:
    """The first `labels` pictures of each target class, and their classes."""
    rng, data = np.random.default_rng([seed, 2]), digits(seed=seed)
    pixels, classes = _chosen(data.X_train, data.y_train, TARGET_CLASSES)
    canvas = pictures(pixels, rng)
    few = np.concatenate([np.flatnonzero(classes == c)[:labels] for c in range(len(TARGET_CLASSES))])
    return canvas[few], classes[few]


def unseen(seed: int, classes: range) -> tuple[np.ndarray, torch.Tensor]:
    """Test digits of some classes, each at several places."""
    rng, data = np.random.default_rng([seed, 3]), digits(seed=seed)
    pixels, labels = _chosen(data.X_test, data.y_test, classes)
    return pictures(np.tile(pixels, (PLACES, 1)), rng), labels.repeat(PLACES)


def adapted(mode: str, model: nn.Sequential, x: torch.Tensor, y: torch.Tensor, steps: int = STEPS) -> nn.Sequential:
    """A network for the target classes; `model` is the source network, left as it is."""
    new = network(len(TARGET_CLASSES))
    if mode != "scratch":
        new[:HEAD].load_state_dict(model[:HEAD].state_dict())
    if mode == "scratch":
        _learn(new, 0, x, y, steps, RATE, RATE)
    elif mode == "lp-ft":
        _learn(new, HEAD, x, y, steps, BODY_RATE, HEAD_RATE)
        _learn(new, 0, x, y, steps, BODY_RATE, BODY_RATE)
    else:
        _learn(new, FROZEN.get(mode, 0), x, y, steps, BODY_RATE, HEAD_RATE)
    return new


def _learn(
    model: nn.Sequential, frozen: int, x: torch.Tensor, y: torch.Tensor, steps: int, body: float, head: float
) -> None:
    """Train all but the first `frozen` modules; what these compute never changes, so it is computed once."""
    with torch.no_grad():
        features = model[:frozen](x)
    groups = [
        {"params": list(model[frozen:HEAD].parameters()), "lr": body},
        {"params": list(model[HEAD:].parameters()), "lr": head},
    ]

    def batch() -> Batch:
        which = torch.randperm(len(y))[:SMALL_BATCH]
        return features[which], y[which]

    _descend(model[frozen:], groups, steps, batch)


@recorded
def transfer(labels: int, domain: str = "same") -> dict[str, object]:
    found = np.zeros((len(MODES), SEEDS))
    for seed in range(SEEDS):
        model = _pretrained(seed)
        canvas, y = labelled(seed, labels)
        test_canvas, test_y = unseen(seed, TARGET_CLASSES)
        x, test_x = normalised(canvas, domain), normalised(test_canvas, domain)
        for row, mode in enumerate(MODES):
            torch.manual_seed(100 + seed)
            found[row, seed] = accuracy(adapted(mode, model, x, y), test_x, test_y)
    return {"accuracy": found}


@recorded
def source() -> dict[str, object]:
    found: dict[str, list[float]] = {"accuracy": [], "unnormalised": [], "bytes": [], "inverted": []}
    for seed in range(SEEDS):
        canvas, y = unseen(seed, SOURCE_CLASSES)
        inputs = {
            "accuracy": normalised(canvas),
            "unnormalised": torch.tensor(canvas, dtype=torch.float32),
            "bytes": normalised(255 * canvas),
            "inverted": normalised(canvas, "inverted"),
        }
        for name, x in inputs.items():
            found[name].append(accuracy(_pretrained(seed), x, y))
    return found | {"filters": _pretrained(0)[0].weight[:, 0].detach().numpy()}
