"""A tiny BERT is asked with half of the context hidden, then fine-tuned with few labels.

The model and its sentences are those of `scripts/experiments/templates.py`: «правит королева потому что счастлива»,
where the verb tells the pair of nouns, and noun and adjective agree in gender.

Fine-tuning decides whether a sentence is right. Half of the sentences are spoilt by one change of the noun: to the
other gender of its pair (it no longer agrees with the adjective) or to another pair (the verb no longer suits it).
Without pre-training one has to learn from labels what pre-training has learnt from plain text.

A third way leaves the encoder as it is: logistic regression, trained to convergence, reads its states. Either the state
of [CLS], of which this pre-training has asked nothing, or those of all the words side by side.

Recorded: `contexts()`, `accuracy(start, labels)` for the starts of `STARTS` and `probe(reads, labels)` for those of
`READS`, with the numbers of `LABELS`. PyTorch, float32, because something is trained.
"""

import copy
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from scripts.experiments import templates as t
from scripts.experiments.recorded import Result, recorded

# --- What is guessed from what ---------------------------------------------------------------------------------------

CONTEXTS = {
    "none": "[MASK] [MASK] [MASK] [MASK] [MASK]",
    "left": "правит [MASK] [MASK] [MASK] [MASK]",
    "right": "[MASK] [MASK] потому что счастлива",
    "both": "правит [MASK] потому что счастлива",
}


@recorded
def contexts() -> Result:
    """Probabilities (|V|,) of all words at the noun's place, for each of CONTEXTS."""
    model = t.trained(causal=False)
    return {name: t.probabilities(model, line, t.NOUN).astype(np.float32) for name, line in CONTEXTS.items()}


# --- Right or spoilt -------------------------------------------------------------------------------------------------

TEST, SEEDS, BATCH = 1000, 3, 32
LABELS = (16, 64, 256, 1024, 4096)


@dataclass(frozen=True)
class Start:
    """Where training starts, with the pre-trained encoder or a random one, and how it goes on."""

    pretrained: bool
    rate: float
    steps: int


# From scratch three times as many steps at the rate of pre-training: with 300 at 1e-3 it often learns nothing.
STARTS = {"fine-tuned": Start(True, 1e-3, 300), "scratch": Start(False, 3e-3, 900)}


def labelled(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sentences (count, LENGTH) and labels (count,), 1: right, 0: spoilt."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=count)
    lines = [line if right else spoilt(line, rng) for line, right in zip(t.sentences(count, rng), labels, strict=True)]
    return t.encode(lines), torch.tensor(labels)


def spoilt(line: str, rng: np.random.Generator) -> str:
    """The sentence with another noun: of the other gender, or of the same gender and another pair, equally likely."""
    words = line.split()
    place = next(i for i, word in enumerate(words) if word in t.NOUNS)
    pair, gender = next(
        (i, nouns.index(words[place])) for i, (*nouns, _) in enumerate(t.PAIRS) if words[place] in nouns
    )
    if rng.random() < 0.5:
        gender = 1 - gender
    else:
        pair = (pair + rng.integers(1, len(t.PAIRS))) % len(t.PAIRS)
    words[place] = t.PAIRS[pair][gender]
    return " ".join(words)


class Classifier(nn.Module):
    """An encoder and one linear layer over the state of [CLS]."""

    def __init__(self, encoder: t.Model):
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(t.WIDTH, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (B, 2)."""
        return self.head(self.encoder.hidden(tokens)[:, 0])


def fine_tune(start: Start, labels: int, seed: int) -> float:
    """Accuracy on TEST new sentences after AdamW with warm-up and linear decay on `labels` sentences."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    encoder = copy.deepcopy(_checkpoint()) if start.pretrained else t.Model(causal=False)
    model = Classifier(encoder)
    tokens, targets = labelled(labels, seed)
    optimizer = torch.optim.AdamW(model.parameters(), start.rate, weight_decay=0.01)
    warmup = max(start.steps // 10, 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, 1.0) * (1 - step / start.steps)
    )
    for _ in range(start.steps):
        batch = torch.randint(labels, (min(BATCH, labels),))
        optimizer.zero_grad()
        F.cross_entropy(model(tokens[batch]), targets[batch]).backward()
        optimizer.step()
        schedule.step()
    tokens, targets = labelled(TEST, seed=1_000_000)
    with torch.no_grad():
        return (model.eval()(tokens).argmax(dim=1) == targets).float().mean().item()


@cache
def _checkpoint() -> t.Model:
    return t.trained(causal=False)


@recorded
def accuracy(start: str, labels: int) -> Result:
    """`accuracy` (SEEDS,): other labelled sentences and another initial head, or network, for every seed."""
    return {"accuracy": np.array([fine_tune(STARTS[start], labels, s) for s in range(SEEDS)], dtype=np.float32)}


# --- Frozen ----------------------------------------------------------------------------------------------------------

READS = ("cls", "words")
WEAKNESS = 10.0  # C of LogisticRegression: the inverse of the L2 penalty


def features(encoder: t.Model, tokens: torch.Tensor, reads: str) -> np.ndarray:
    """States of a frozen encoder: of [CLS], (B, WIDTH), or of the words side by side, (B, (LENGTH - 1) WIDTH)."""
    with torch.no_grad():
        H = encoder.hidden(tokens)
    return (H[:, 0] if reads == "cls" else H[:, 1:].flatten(1)).numpy()


def fit_probe(encoder: t.Model, reads: str, labels: int, seed: int) -> float:
    """Accuracy on TEST new sentences of logistic regression on the states of `labels` sentences."""
    tokens, targets = labelled(labels, seed)
    head = LogisticRegression(C=WEAKNESS, max_iter=5000).fit(features(encoder, tokens, reads), targets.numpy())
    tokens, targets = labelled(TEST, seed=1_000_000)
    return float(head.score(features(encoder, tokens, reads), targets.numpy()))


@recorded
def probe(reads: str, labels: int) -> Result:
    """`accuracy` (SEEDS,): the same labelled sentences as `accuracy` has."""
    return {"accuracy": np.array([fit_probe(_checkpoint(), reads, labels, s) for s in range(SEEDS)], dtype=np.float32)}
