"""CLIP small enough to look into: pictures of coloured shapes and Russian captions, 12 of the 16 combinations trained.

A picture is one shape of one colour somewhere on a noisy grey field of 16×16 pixels; its caption is a phrase of a
template, read as a bag of words. PyTorch, because both towers are trained; float32 on one thread.

    tiny_clip()             zero-shot accuracy, losses and cosines after training with a learned temperature
    tiny_clip("0.01")       the same with a fixed τ
    similarity()            matrices of mean cosines before and after training
    clouds()                vectors of both sides on the plane of their principal axes, before and after

`train` returns the trained towers to any other experiment; `Clip.image.grid` gives the 16 vectors of a picture before
pooling.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from scripts.experiments.recorded import recorded

COLOURS = ("красный", "зелёный", "синий", "жёлтый")
SHAPES = ("круг", "квадрат", "треугольник", "крест")
RGB = np.array([[0.9, 0.15, 0.15], [0.1, 0.75, 0.2], [0.15, 0.3, 0.95], [0.9, 0.85, 0.1]])
TEMPLATES = ("{} {}", "на картинке {} {}", "нарисован {} {}", "{} {} на сером фоне", "вот {} {}")
PAIRS = tuple((colour, shape) for colour in range(4) for shape in range(4))  # class = 4 colour + shape
UNSEEN = tuple(4 * i + i for i in range(4))  # red circle, green square, blue triangle, yellow cross
SEEN = tuple(c for c in range(16) if c not in UNSEEN)
WORDS = tuple(sorted({word for template in TEMPLATES for word in template.split()} - {"{}"} | {*COLOURS, *SHAPES}))

SIDE, GREY, NOISE = 16, 0.45, 0.06
WIDTH, CHANNELS = 32, 48  # of the common space; of a vector of the picture's grid
GRID = 4  # the grid is 4×4
STEPS, BATCH, RATE = 600, 48, 2e-3
INITIAL_SCALE, MAX_SCALE = 1 / 0.07, 100.0
TEST_EACH = 60  # test pictures of each of the 16 combinations


def caption(label: int, template: int = 0) -> str:
    colour, shape = PAIRS[label]
    return TEMPLATES[template].format(COLOURS[colour], SHAPES[shape])


def picture(label: int, rng: np.random.Generator) -> np.ndarray:
    """(3, 16, 16), brightness about [0, 1]; the shape's place, size and brightness are random."""
    colour, shape = PAIRS[label]
    half = rng.uniform(2.6, 4.2)
    row, column = rng.uniform(half, SIDE - 1 - half, 2)
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    y, x = y - row, x - column
    inside = {
        0: np.hypot(x, y) <= half,
        1: np.maximum(np.abs(x), np.abs(y)) <= 0.85 * half,
        2: (np.abs(x) <= (y + half) / 2) & (y <= half),
        3: (np.minimum(np.abs(x), np.abs(y)) <= 0.32 * half) & (np.maximum(np.abs(x), np.abs(y)) <= half),
    }[shape]
    canvas = np.full((3, SIDE, SIDE), GREY)
    canvas[:, inside] = (RGB[colour] * rng.uniform(0.75, 1.1))[:, None]
    return canvas + rng.normal(0, NOISE, canvas.shape)


def pictures(labels: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """(n, 3, 16, 16), centred at the grey of the field."""
    return torch.tensor(np.stack([picture(label, rng) for label in labels]) - GREY, dtype=torch.float32)


def bag(text: str) -> torch.Tensor:
    """Counts of the words of a phrase, (len(WORDS),): their order is lost."""
    counts = torch.zeros(len(WORDS))
    for word in text.split():
        counts[WORDS.index(word)] += 1
    return counts


def bags(labels: np.ndarray, templates: np.ndarray) -> torch.Tensor:
    return torch.stack([bag(caption(int(a), int(b))) for a, b in zip(labels, templates, strict=True)])


class ImageTower(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 24, 3, padding=1), nn.ReLU(),
            nn.Conv2d(24, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(32, CHANNELS, 3, stride=2, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.projection = nn.Linear(CHANNELS, WIDTH, bias=False)

    def grid(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, 16, 16) → (n, 16, CHANNELS), row by row."""
        return self.body(x).flatten(2).transpose(1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Unit vectors (n, WIDTH)."""
        return F.normalize(self.projection(self.grid(x).mean(dim=1)), dim=1)


class TextTower(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(len(WORDS), 64), nn.ReLU())
        self.projection = nn.Linear(64, WIDTH, bias=False)

    def forward(self, counts: torch.Tensor) -> torch.Tensor:
        """Unit vectors (n, WIDTH) of bags of words (n, len(WORDS))."""
        return F.normalize(self.projection(self.body(counts)), dim=1)


class Clip(nn.Module):
    """Two towers and t = log 1/τ."""

    def __init__(self, scale: float = INITIAL_SCALE):
        super().__init__()
        self.image, self.text = ImageTower(), TextTower()
        self.t = nn.Parameter(torch.tensor(float(np.log(scale))))


def clip_loss(u: torch.Tensor, v: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Mean of the two cross-entropies; u, v (B, WIDTH) unit vectors."""
    logits = t.exp() * u @ v.T
    right = torch.arange(len(u))
    return (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2


def train(
    steps: int = STEPS, seed: int = 0, temperature: float | None = None, losses: list[float] | None = None
) -> Clip:
    """Both towers from scratch on the seen combinations; 1/τ learns unless `temperature` fixes it.

    Appends the loss of every step to `losses`.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 1])
    model = Clip() if temperature is None else Clip(1 / temperature)
    model.t.requires_grad_(temperature is None)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        labels = rng.choice(SEEN, BATCH)
        templates = rng.integers(len(TEMPLATES), size=BATCH)
        loss = clip_loss(model.image(pictures(labels, rng)), model.text(bags(labels, templates)), model.t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            model.t.clamp_(max=float(np.log(MAX_SCALE)))
        if losses is not None:
            losses.append(loss.item())
    return model


def test_pictures(seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    """TEST_EACH pictures of every combination and their classes 0 … 15."""
    labels = np.repeat(np.arange(16), TEST_EACH)
    return pictures(labels, np.random.default_rng([seed, 2])), labels


def class_vectors(model: Clip) -> torch.Tensor:
    """Unit vectors (16, WIDTH) of the classes, each a mean over all templates."""
    with torch.no_grad():
        found = [model.text(bags(np.arange(16), np.full(16, i))) for i in range(len(TEMPLATES))]
    return F.normalize(torch.stack(found).mean(dim=0), dim=1)


def image_vectors(model: Clip, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.image(x)


def zero_shot(model: Clip, seed: int = 0) -> dict[str, float]:
    """Accuracy of the best of 16 captions on seen and unseen combinations, and of its colour and of its shape there."""
    x, labels = test_pictures(seed)
    answers = (image_vectors(model, x) @ class_vectors(model).T).argmax(dim=1).numpy()
    found = {}
    for name, classes in (("seen", SEEN), ("unseen", UNSEEN)):
        own = np.isin(labels, classes)
        found[name] = np.mean(answers[own] == labels[own])
        found[f"{name}_colour"] = np.mean(answers[own] // 4 == labels[own] // 4)
        found[f"{name}_shape"] = np.mean(answers[own] % 4 == labels[own] % 4)
    return found


@recorded
def tiny_clip(temperature: str = "learned", seed: int = 0) -> dict[str, object]:
    """`zero_shot` after training, "loss" of every step, the last 1/τ "scale"; mean cosines, over test pictures of seen
    combinations, with their own caption, "right", with those of the 11 others, "wrong", and with the best of these,
    "best_wrong"; "gap", the distance between the mean picture and the mean caption."""
    losses: list[float] = []
    model = train(seed=seed, temperature=None if temperature == "learned" else float(temperature), losses=losses)
    x, labels = test_pictures(seed)
    known = np.isin(labels, SEEN)
    u, v = image_vectors(model, x).numpy()[known], class_vectors(model).numpy()[list(SEEN)]
    cosines, own = u @ v.T, labels[known][:, None] == np.array(SEEN)
    return zero_shot(model, seed) | {
        "loss": np.array(losses, np.float32),
        "scale": model.t.exp().item(),
        "right": cosines[own].mean(),
        "wrong": cosines[~own].mean(),
        "best_wrong": np.where(own, -1.0, cosines).max(axis=1).mean(),
        "gap": np.linalg.norm(u.mean(axis=0) - v.mean(axis=0)),
    }


@recorded
def similarity() -> dict[str, object]:
    """Mean cosines of the test pictures of a class with the captions, (16, 16), "before" and "after"; one picture of
    each class, "pictures" (16, 3, 16, 16) bytes."""
    found = {}
    x, labels = test_pictures()
    for name, steps in (("before", 0), ("after", STEPS)):
        model = train(steps)
        cosines = (image_vectors(model, x) @ class_vectors(model).T).numpy()
        found[name] = np.stack([cosines[labels == c].mean(axis=0) for c in range(16)]).astype(np.float32)
    examples = (x[::TEST_EACH] + GREY).clamp(0, 1).numpy()
    return found | {"pictures": (255 * examples).round().astype(np.uint8)}


@recorded
def clouds() -> dict[str, object]:
    """20 test pictures of each seen combination, (240, 2), and all its captions, (60, 2), on the plane of the two
    largest principal axes of both together: "pictures_before", "captions_before", and "…_after"; "kinds" and
    "caption_kinds", their classes; "share_…", the part of the variance that the plane shows."""
    x, labels = test_pictures()
    shown = np.concatenate([np.flatnonzero(labels == c)[:20] for c in SEEN])
    captions = np.repeat(SEEN, len(TEMPLATES))
    counts = bags(captions, np.tile(np.arange(len(TEMPLATES)), len(SEEN)))
    found: dict[str, object] = {"kinds": labels[shown], "caption_kinds": captions}
    for name, steps in (("before", 0), ("after", STEPS)):
        model = train(steps)
        with torch.no_grad():
            both = np.concatenate([model.image(x[shown]).numpy(), model.text(counts).numpy()]).astype(float)
        centred = both - both.mean(axis=0)
        _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
        plane = (centred @ axes[:2].T).astype(np.float32)
        found |= {
            f"pictures_{name}": plane[: len(shown)],
            f"captions_{name}": plane[len(shown) :],
            f"share_{name}": np.sum(sizes[:2] ** 2) / np.sum(sizes**2),
        }
    return found
