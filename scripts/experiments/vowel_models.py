"""The vowels of `vowel_ctc` recognised by an RNN transducer and by an attention encoder–decoder (LAS): ticket-10.

The encoder, the training phrases and the optimiser are those of the CTC recogniser; all models here get more epochs,
for they learn later.

Recorded: `transducer("all")`, `transducer("one")`, `attention(seed)`, and `recogniser(seed)`, the CTC model from other
weights. PyTorch, float32, because something is trained.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from scripts.dl.ctc import repeats
from scripts.dl.transducer import greedy
from scripts.dl.word_errors import errors, total_rate
from scripts.experiments import vowel_ctc as v
from scripts.experiments.recorded import Result, recorded

SYMBOLS = len(v.LETTERS) + 1
EMBEDDING, EPOCHS = 16, 30
END, START = 0, SYMBOLS  # of the attention decoder: what it ends with, and what it is given first
MOST = 40  # labels after which the attention decoder is stopped


# --- RNN-T -----------------------------------------------------------------------------------------------------------


class Transducer(nn.Module):
    """Encoder over frames, predictor over labels, and their sum through tanh and a linear layer.

    The predictor is a GRU over all labels or, for `context` = "one", a linear layer over the last of them.
    """

    def __init__(self, context: str = "all"):
        super().__init__()
        self.encoder = v.Encoder()
        self.projection = nn.Linear(2 * v.WIDTH, v.WIDTH)
        self.embedding = nn.Embedding(SYMBOLS, EMBEDDING)
        self.recurrent = nn.GRU(EMBEDDING, v.WIDTH, batch_first=True) if context == "all" else None
        self.last = nn.Linear(EMBEDDING, v.WIDTH) if context == "one" else None
        self.head = nn.Linear(v.WIDTH, SYMBOLS)

    def heard(self, inputs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """(B, T', WIDTH)."""
        return self.projection(self.encoder(inputs, lengths))

    def written(self, labels: torch.Tensor) -> torch.Tensor:
        """(B, U + 1, WIDTH): row u has read labels 1 … u or the last of them; the row 0 has read the blank."""
        embedded = self.embedding(F.pad(labels, (1, 0)))
        return self.recurrent(embedded)[0] if self.recurrent else self.last(embedded)

    def joint(self, heard: torch.Tensor, written: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(heard + written)).log_softmax(-1)

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(B, T', U + 1, SYMBOLS) log-probabilities."""
        return self.joint(self.heard(inputs, lengths)[:, :, None], self.written(labels)[:, None])


def log_likelihood(
    log_p: torch.Tensor, labels: torch.Tensor, frames: torch.Tensor, label_lengths: torch.Tensor
) -> torch.Tensor:
    """(B,) of log p(y | x): a row of the lattice at once, for along it α is a cumulative sum."""
    blank = log_p[..., 0]
    emit = log_p[:, :, :-1].gather(-1, labels[:, None, :, None].expand(-1, log_p.shape[1], -1, 1))[..., 0]
    ahead = F.pad(emit.cumsum(-1), (1, 0))
    rows = [ahead[:, 0]]
    for t in range(1, log_p.shape[1]):
        came = rows[-1] + blank[:, t - 1]
        rows.append(ahead[:, t] + torch.logcumsumexp(came - ahead[:, t], dim=1))
    finished = torch.stack(rows, dim=1) + blank
    return finished[torch.arange(len(log_p)), frames - 1, label_lengths]


def transducer_loss(model: Transducer, examples: Sequence[v.Example]) -> torch.Tensor:
    """The mean of -log p(y | x) / U, as in `vowel_ctc`."""
    inputs, lengths, labels, label_lengths = v.padded(examples)
    log_p = model(inputs, lengths, labels)
    return (-log_likelihood(log_p, labels, v.shortened(lengths), label_lengths) / label_lengths).mean()


@torch.no_grad()
def transcribe(model: Transducer, example: np.ndarray) -> v.Labels:
    """Greedy decoding of features (T, BANDS)."""
    heard = model.heard(torch.tensor(example, dtype=torch.float32)[None], torch.tensor([len(example)]))[0]
    memory: dict[v.Labels, torch.Tensor] = {}

    def joint(t: int, y: v.Labels) -> np.ndarray:
        if y not in memory:
            memory[y] = model.written(torch.tensor([y], dtype=torch.long).reshape(1, len(y)))[0, -1]
        return model.joint(heard[t], memory[y]).numpy()

    return greedy(joint, len(heard))


@recorded
def transducer(context: str) -> Result:
    """The trained transducer, whose predictor reads "all" labels or "one".

    Returns:
        log_p (T', 5, SYMBOLS): the lattice of the phrase of the figures; kinds (3,): substitutions, deletions and
        insertions on the short tests, of labels () labels, doubles () of which equal the one before them; apart ():
        how many deletions remain if the tests without doubles are taken alone.
    """
    model = v.train(v.corpus(v.TRAINING, seed=0), EPOCHS, 0, model=partial(Transducer, context), loss=transducer_loss)
    inputs, lengths, labels, _ = v.padded([(v.sample_features(), v.encode(v.sample().text))])
    with torch.no_grad():
        log_p = model(inputs, lengths, labels)[0].numpy()
    tests = v.corpus(v.TESTED, seed=1)
    found = [errors(y, transcribe(model, v.features(x))) for x, y in tests]
    doubles = [repeats(y) for _, y in tests]
    return {
        "log_p": log_p,
        "kinds": np.sum([(e.substitutions, e.deletions, e.insertions) for e in found], axis=0),
        "labels": sum(e.length for e in found),
        "doubles": sum(doubles),
        "apart": sum(e.deletions for e, r in zip(found, doubles, strict=True) if r == 0),
    }


# --- LAS -------------------------------------------------------------------------------------------------------------


class AttentionModel(nn.Module):
    """The same encoder, and a GRU cell that looks at its frames by scaled dot products."""

    def __init__(self):
        super().__init__()
        self.encoder = v.Encoder()
        self.keys, self.query = nn.Linear(2 * v.WIDTH, v.WIDTH), nn.Linear(v.WIDTH, v.WIDTH)
        self.embedding = nn.Embedding(SYMBOLS + 1, EMBEDDING)
        self.cell = nn.GRUCell(EMBEDDING + 2 * v.WIDTH, v.WIDTH)
        self.head = nn.Linear(3 * v.WIDTH, SYMBOLS)

    def step(
        self, symbol: torch.Tensor, state: torch.Tensor, context: torch.Tensor, memory: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """One symbol: logits (B, SYMBOLS), the new state (B, WIDTH), context (B, 2 WIDTH) and weights (B, T')."""
        state = self.cell(torch.cat([self.embedding(symbol), context], dim=-1), state)
        scores = (self.keys(memory) @ self.query(state)[..., None])[..., 0] / v.WIDTH**0.5
        weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
        context = (weights[:, None] @ memory)[:, 0]
        return self.head(torch.cat([state, context], dim=-1)), state, context, weights

    def begin(self, inputs: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """State and context of zeros, memory (B, T', 2 WIDTH), mask (B, T')."""
        memory = self.encoder(inputs, lengths)
        mask = torch.arange(memory.shape[1]) < v.shortened(lengths)[:, None]
        return torch.zeros(len(memory), v.WIDTH), torch.zeros(len(memory), 2 * v.WIDTH), memory, mask


def attention_loss(model: AttentionModel, examples: Sequence[v.Example]) -> torch.Tensor:
    """Cross-entropy of the labels and of the end after them; the decoder is given the right labels."""
    inputs, lengths, labels, label_lengths = v.padded(examples)
    state, context, memory, mask = model.begin(inputs, lengths)
    targets = F.pad(labels, (0, 1), value=END)  # the rest is padded with END, too
    counted = torch.arange(targets.shape[1]) <= label_lengths[:, None]
    given, logits = F.pad(labels, (1, 0), value=START), []
    for u in range(targets.shape[1]):
        said, state, context, _ = model.step(given[:, u], state, context, memory, mask)
        logits.append(said)
    losses = F.cross_entropy(torch.stack(logits, dim=1).transpose(1, 2), targets, reduction="none")
    return losses[counted].mean()


@torch.no_grad()
def attend(model: AttentionModel, example: np.ndarray) -> tuple[v.Labels, np.ndarray]:
    """Greedy decoding of features (T, BANDS): labels (U,), weights (U + 1, T') with the row of the end."""
    inputs, lengths = torch.tensor(example, dtype=torch.float32)[None], torch.tensor([len(example)])
    state, context, memory, mask = model.begin(inputs, lengths)
    labels, rows, symbol = [], [], START
    while symbol != END and len(labels) < MOST:
        logits, state, context, weights = model.step(torch.tensor([symbol]), state, context, memory, mask)
        symbol = int(logits.argmax())
        labels += [symbol] * (symbol != END)
        rows.append(weights[0].numpy())
    return tuple(labels), np.array(rows)


@recorded
def attention(seed: int) -> Result:
    """The encoder–decoder trained from the weights of a seed.

    Returns:
        weights (U + 1, T'), labels (U,): what it attends to and says on the phrase of the figures; long_weights,
        long_labels, long_right: the same on the first long phrase, and its true labels; error, long_error (): of short
        and long tests; lengths (): the mean ratio of the numbers of said and of true labels on the long ones.
    """
    model = v.train(v.corpus(v.TRAINING, seed=0), EPOCHS, seed, model=AttentionModel, loss=attention_loss)
    said, weights = attend(model, v.sample_features())
    long = [(attend(model, v.features(x)), y) for x, y in v.long_corpus()]
    return {
        "weights": weights,
        "labels": said,
        "long_weights": long[0][0][1],
        "long_labels": long[0][0][0],
        "long_right": long[0][1],
        "error": total_rate([errors(y, attend(model, v.features(x))[0]) for x, y in v.corpus(v.TESTED, seed=1)]),
        "long_error": total_rate([errors(y, found[0]) for found, y in long]),
        "lengths": np.mean([len(found[0]) / len(y) for found, y in long]),
    }


# --- CTC again -------------------------------------------------------------------------------------------------------


@recorded
def recogniser(seed: int) -> Result:
    """Errors (), short and long, of the CTC recogniser trained from the weights of another seed."""
    model = v.train(v.corpus(v.TRAINING, seed=0), v.EPOCHS, seed)
    return {
        name: v.label_error(model, [(v.features(x), y) for x, y in tests])
        for name, tests in (("error", v.corpus(v.TESTED, seed=1)), ("long_error", v.long_corpus()))
    }
