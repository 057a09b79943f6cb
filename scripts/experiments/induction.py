"""Attention-only transformers of one and of two layers learn to continue a sequence that repeats itself.

A sequence is a random word of 6 to 14 distinct symbols, repeated; where the word ends is not told. From its second
round on every next symbol can be found in the sequence itself: look for the previous occurrence of the current symbol
and copy what came after it. That takes two attention layers (an induction head: Olsson et al. 2022, arXiv 2209.11895;
Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"): the first lets every position carry the
symbol before it, the second looks for a position that carries the current symbol.

PyTorch, float32, because something is trained. No FFN and no LayerNorm: attention and residual connections only.
"""

import copy

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from scripts.experiments.recorded import Result, recorded

SYMBOLS, LENGTH, SHORTEST, LONGEST = 24, 32, 6, 14
WIDTH, HEADS = 64, 2
STEPS, BATCH, RATE, WARMUP = 800, 64, 3e-3, 50


def sequences(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Symbols (count, LENGTH) and periods (count,); the word has no symbol twice."""
    periods = rng.integers(SHORTEST, LONGEST + 1, size=count)
    words = rng.permuted(np.tile(np.arange(SYMBOLS), (count, 1)), axis=1)
    places = np.arange(LENGTH) % periods[:, None]
    return np.take_along_axis(words, places, axis=1), periods


class Layer(nn.Module):
    """Multi-head attention with a residual connection (unless told otherwise), and nothing else."""

    def __init__(self, residual: bool):
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, bias=False, batch_first=True)
        self.residual = residual

    def forward(self, x: torch.Tensor, hidden: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T, WIDTH) and the weights (B, h, T, T); `hidden` (T, T) is True where one must not look."""
        change, weights = self.attention(x, x, x, attn_mask=hidden, average_attn_weights=False)
        return x + change if self.residual else change, weights


class Model(nn.Module):
    """Embeddings, learned positions, `layers` attention layers, a linear output; `without` takes one part away."""

    PARTS = ("positions", "residual", "mask")

    def __init__(self, layers: int, without: str = ""):
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, WIDTH)
        self.position = nn.Parameter(torch.randn(LENGTH, WIDTH))
        if without == "positions":
            self.position = nn.Parameter(torch.zeros(LENGTH, WIDTH), requires_grad=False)
        self.layers = nn.ModuleList(Layer(without != "residual") for _ in range(layers))
        self.output = nn.Linear(WIDTH, SYMBOLS, bias=False)
        self.causal = without != "mask"

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Logits (B, T, |V|) and the weights of every layer."""
        T = tokens.shape[1]
        hidden = torch.ones(T, T, dtype=torch.bool).triu(1) if self.causal else None
        x, maps = self.embedding(tokens) + self.position[:T], []
        for layer in self.layers:
            x, weights = layer(x, hidden)
            maps.append(weights)
        return self.output(x), maps


def _losses(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """-log p of the next symbol, (B, T - 1)."""
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")


def _tensor(tokens: np.ndarray) -> torch.Tensor:
    return torch.tensor(tokens, dtype=torch.long)


def train(layers: int, steps: int = STEPS, without: str = "") -> tuple[Model, np.ndarray]:
    """A model and its mean losses in the predictable part of the sequence, (steps,)."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rng, model = np.random.default_rng(0), Model(layers, without)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: min((t + 1) / WARMUP, 1.0))
    history = []
    for _ in range(steps):
        tokens, periods = sequences(BATCH, rng)
        loss = _losses(model(_tensor(tokens))[0], _tensor(tokens))
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
        schedule.step()
        history.append(loss.detach().numpy()[predictable(periods)].mean())
    return model.eval(), np.array(history, dtype=np.float32)


def predictable(periods: np.ndarray) -> np.ndarray:
    """(count, LENGTH - 1): position i holds a symbol that has stood in the sequence before, i >= period."""
    return np.arange(LENGTH - 1) >= periods[:, None]


def induction_keys(periods: np.ndarray) -> np.ndarray:
    """(count, LENGTH, LENGTH), True at the key one after the last occurrence of the query's symbol (i >= period)."""
    query, key = np.arange(LENGTH)[:, None], np.arange(LENGTH)
    period = periods[:, None, None]
    return (query >= period) & (key == query - period + 1)


# --- Experiment ----------------------------------------------------------------------------------------------------

SHOWN_PERIOD, TESTED = 7, 500


@recorded
def heads(layers: int) -> Result:
    """A model of 1 or 2 layers after STEPS steps, looked at on TESTED new sequences.

    `history` (STEPS,) and `loss`: mean loss in the predictable part. `by_round` (2 LONGEST,): mean loss of the symbols
    at distance j - LONGEST from the end of the first round, nan where there are none. `previous` and `induction`
    (layers, h): mean weight of the key one before the query, and of the key an induction head needs. `without`
    (layers, h): loss when a head's output is replaced by zero. `tokens` (LENGTH,) and `maps` (layers, h, LENGTH,
    LENGTH): one sequence of period SHOWN_PERIOD and its weights.
    """
    model, history = train(layers)
    tokens, periods = sequences(TESTED, np.random.default_rng(1))
    known, losses, maps = _look(model, tokens, periods)
    shown = int(np.flatnonzero(periods == SHOWN_PERIOD)[0])
    wanted = induction_keys(periods)[None, :, None]
    return {
        "history": history,
        "loss": losses[known].mean(),
        "by_round": _by_round(losses, periods),
        "previous": np.diagonal(maps, -1, axis1=-2, axis2=-1).mean(axis=(1, 3)),
        "induction": (maps * wanted).sum(axis=(1, 3, 4)) / wanted.sum(),
        "without": np.array(
            [[_loss_without(model, layer, head, tokens, known) for head in range(HEADS)] for layer in range(layers)]
        ),
        "tokens": tokens[shown],
        "maps": maps[:, shown],
    }


@recorded
def ablation(without: str) -> Result:
    """Two layers without one of `Model.PARTS`, or with all of them ("nothing").

    `history` (STEPS,): training loss in the predictable part. `loss`: mean loss there on new sequences when the model
    is given nothing but the prefix, as in generation; the two differ for a model without the mask.
    """
    model, history = train(2, without=without)
    tokens, periods = sequences(TESTED, np.random.default_rng(1))
    return {"history": history, "loss": prefix_losses(model, tokens)[predictable(periods)].mean()}


def prefix_losses(model: Model, tokens: np.ndarray) -> np.ndarray:
    """-log p of the next symbol after every prefix, (count, LENGTH - 1), each prefix a run of its own."""
    symbols, losses = _tensor(tokens), []
    with torch.no_grad():
        for length in range(1, LENGTH):
            logits, _ = model(symbols[:, :length])
            losses.append(F.cross_entropy(logits[:, -1], symbols[:, length], reduction="none").numpy())
    return np.stack(losses, axis=1)


def _look(model: Model, tokens: np.ndarray, periods: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where it is predictable and the losses, (count, LENGTH - 1); weights (layers, count, h, LENGTH, LENGTH)."""
    with torch.no_grad():
        logits, maps = model(_tensor(tokens))
        losses = _losses(logits, _tensor(tokens)).numpy()
    return predictable(periods), losses, np.stack([weights.numpy() for weights in maps])


def _by_round(losses: np.ndarray, periods: np.ndarray) -> np.ndarray:
    """The target of column i is symbol i + 1, at distance i + 1 - period from the end of the first round."""
    distance = np.arange(1, LENGTH) - periods[:, None]
    places = np.arange(-LONGEST, LONGEST)
    return np.array([losses[distance == place].mean() if (distance == place).any() else np.nan for place in places])


def _loss_without(model: Model, layer: int, head: int, tokens: np.ndarray, known: np.ndarray) -> float:
    """Mean loss in the predictable part after the head's columns of W_O are set to zero."""
    maimed = copy.deepcopy(model)
    columns = slice(head * WIDTH // HEADS, (head + 1) * WIDTH // HEADS)
    with torch.no_grad():
        maimed.layers[layer].attention.out_proj.weight[:, columns] = 0
        return float(_losses(maimed(_tensor(tokens))[0], _tensor(tokens)).numpy()[known].mean())
