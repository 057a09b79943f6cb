"""A tiny CTC recogniser of synthetic vowels, watched while it learns: ticket-10, and tm-21 with augmentation.

    model = train(corpus(TRAINING, seed=0), EPOCHS, seed=0)
    label_error(model, [(features(x), y) for x, y in corpus(TESTED, seed=1)])

Utterances are 3 to 6 vowels of LETTERS at 8 kHz: pitch, length of the tract, durations, pauses and a little noise are
random, and equal neighbours are always parted by a pause. Labels are 1 … 5 in the order of LETTERS, 0 is the blank.

Recorded: `learning()`; `sample()` is the utterance of the figures, which training does not see. PyTorch, float32,
because something is trained.
"""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from scripts.dl.ctc import greedy
from scripts.dl.mel import log_mel, normalize
from scripts.dl.speech import Utterance, phrase
from scripts.dl.word_errors import errors, total_rate
from scripts.experiments.recorded import Result, recorded

LETTERS = "аэиоу"
RATE, BANDS, N_FFT = 8000, 40, 256  # samples per second, mel bands, points of the FFT
FRAME = 0.02  # seconds between outputs of the model: hop of 10 ms, convolution of stride 2
TRAINING, TESTED, EPOCHS, BATCH, STEP = 240, 100, 18, 8, 6e-3
WIDTH = 48
LONGER, LONGEST, LONG_TESTED = 12, 16, 30  # vowels in the long phrases, which training never sees; phrases

Labels = tuple[int, ...]
Example = tuple[np.ndarray, Labels]  # samples (L,) or features (T, BANDS), and labels


# --- Speech ----------------------------------------------------------------------------------------------------------


def encode(text: str) -> Labels:
    """Numbers 1 … 5 of the letters."""
    return tuple(LETTERS.index(letter) + 1 for letter in text)


def decode(labels: Sequence[int]) -> str:
    return "".join(LETTERS[k - 1] for k in labels)


def utterance(rng: np.random.Generator, shortest: int = 3, longest: int = 6) -> tuple[np.ndarray, str]:
    """Samples of a random phrase and its text."""
    text = "".join(rng.choice(list(LETTERS), rng.integers(shortest, longest + 1)))
    pause = rng.uniform(0.03, 0.08, len(text) - 1)
    joined = np.array([a != b for a, b in zip(text, text[1:], strict=False)]) & (rng.random(len(text) - 1) < 0.6)
    pitch = rng.uniform(90, 220) * np.exp(rng.normal(0, 0.1, 3))
    spoken = phrase(
        text, rng.uniform(0.08, 0.2, len(text)), pitch, RATE, np.where(joined, 0.0, pause), rng.uniform(0.9, 1.2)
    )
    return noisy(spoken.samples * rng.uniform(0.3, 1.0), rng.uniform(20, 35), rng), text


def noisy(x: np.ndarray, snr: float, rng: np.random.Generator) -> np.ndarray:
    """White noise added at `snr` decibels."""
    return x + rng.standard_normal(len(x)) * np.sqrt(np.mean(x**2) / 10 ** (snr / 10))


def corpus(count: int, seed: int, shortest: int = 3, longest: int = 6) -> list[Example]:
    """Samples and labels of `count` random phrases."""
    rng = np.random.default_rng(seed)
    return [(x, encode(text)) for x, text in (utterance(rng, shortest, longest) for _ in range(count))]


def long_corpus() -> list[Example]:
    """Phrases two to five times as long as those of training."""
    return corpus(LONG_TESTED, 2, LONGER, LONGEST)


@cache
def sample() -> Utterance:
    """The phrase of the figures, without noise: «и а а у» with a pause between the two «а»."""
    return phrase("иаау", [0.16, 0.13, 0.13, 0.18], (150.0, 110.0), RATE, [0.0, 0.06, 0.0])


def sample_features() -> np.ndarray:
    """(T, BANDS): the phrase with noise of 30 dB, as the models hear it."""
    return features(noisy(sample().samples, 30.0, np.random.default_rng(7)))


def features(x: np.ndarray) -> np.ndarray:
    """(L,) samples -> (T, BANDS): log-mel, one frame each 10 ms, normalised over the utterance."""
    return normalize(log_mel(x, RATE, BANDS, N_FFT), axis=(-2, -1))


# --- The recogniser --------------------------------------------------------------------------------------------------


class Encoder(nn.Module):
    """A convolution of stride 2 over time and a bidirectional GRU: (B, T, BANDS) -> (B, ceil(T / 2), 2 WIDTH)."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv1d(BANDS, WIDTH, 9, stride=2, padding=4)
        self.recurrent = nn.GRU(WIDTH, WIDTH, batch_first=True, bidirectional=True)

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        hidden = F.relu(self.convolution(inputs.mT)).mT
        packed = nn.utils.rnn.pack_padded_sequence(hidden, shortened(lengths), batch_first=True, enforce_sorted=False)
        output, _ = nn.utils.rnn.pad_packed_sequence(self.recurrent(packed)[0], batch_first=True)
        return output


def shortened(lengths: torch.Tensor) -> torch.Tensor:
    """Lengths after the convolution of stride 2."""
    return (lengths + 1) // 2


class Recogniser(nn.Module):
    """An encoder and one linear layer over each of its frames."""

    def __init__(self):
        super().__init__()
        self.encoder = Encoder()
        self.head = nn.Linear(2 * WIDTH, len(LETTERS) + 1)

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """(B, T', 6) log-probabilities."""
        return self.head(self.encoder(inputs, lengths)).log_softmax(-1)


def padded(examples: Sequence[Example]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features (B, T, BANDS) and their lengths (B,), labels (B, U) and their lengths; zeros where there is nothing."""
    inputs = nn.utils.rnn.pad_sequence([torch.tensor(f, dtype=torch.float32) for f, _ in examples], batch_first=True)
    labels = nn.utils.rnn.pad_sequence([torch.tensor(y) for _, y in examples], batch_first=True)
    lengths = torch.tensor([len(f) for f, _ in examples])
    return inputs, lengths, labels, torch.tensor([len(y) for _, y in examples])


def ctc_loss(model: nn.Module, examples: Sequence[Example]) -> torch.Tensor:
    """The mean of -log p(y | x) / U."""
    inputs, lengths, labels, label_lengths = padded(examples)
    return F.ctc_loss(
        model(inputs, lengths).transpose(0, 1), labels, shortened(lengths), label_lengths, zero_infinity=True
    )


def train(
    utterances: Sequence[Example],
    epochs: int,
    seed: int,
    augmented: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None,
    watch: Callable[[nn.Module, float], None] | None = None,
    model: Callable[[], nn.Module] = Recogniser,
    loss: Callable[[nn.Module, Sequence[Example]], torch.Tensor] = ctc_loss,
) -> nn.Module:
    """Train on `utterances` of samples and labels with Adam, the step falling to zero along a cosine.

    Args:
        augmented: makes features (T, BANDS) of samples, anew in each epoch; None: `features`.
        watch: is called before training and after each epoch with the model and the mean loss (nan before).
        model, loss: what is trained and on what; by default the CTC recogniser.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng, network = np.random.default_rng(seed), model()
    optimizer = torch.optim.Adam(network.parameters(), STEP)
    batches = -(-len(utterances) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * batches)
    examples = [(features(x), y) for x, y in utterances]
    if watch:
        watch(network, np.nan)
    for _ in range(epochs):
        if augmented:
            examples = [(augmented(x, rng), y) for x, y in utterances]
        order, losses = rng.permutation(len(examples)), []
        for start in range(0, len(order), BATCH):
            optimizer.zero_grad()
            value = loss(network, [examples[i] for i in order[start : start + BATCH]])
            value.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            losses.append(value.item())
        if watch:
            watch(network, float(np.mean(losses)))
    return network


@torch.no_grad()
def log_probabilities(model: nn.Module, example: np.ndarray) -> np.ndarray:
    """(T', 6) of one utterance's features."""
    return model(torch.tensor(example, dtype=torch.float32)[None], torch.tensor([len(example)]))[0].numpy()


def label_error(model: nn.Module, examples: Sequence[Example]) -> float:
    """Errors of the greedy decoding over all labels of `examples` of features and labels."""
    return total_rate([errors(y, greedy(log_probabilities(model, f))) for f, y in examples])


@recorded
def learning() -> Result:
    """What the recogniser says before training and after each of EPOCHS epochs.

    Returns:
        log_p (EPOCHS + 1, T', 6) of the phrase of the figures; loss, error and blanks (EPOCHS + 1,): the mean training
        loss of the epoch, the label error of TESTED new utterances, the share of their frames whose most probable
        symbol is the blank; long_error (), after training, of LONG_TESTED phrases of LONGER to LONGEST vowels.
    """
    tests = [(features(x), y) for x, y in corpus(TESTED, seed=1)]
    seen = {"log_p": [], "loss": [], "error": [], "blanks": []}

    def watch(model: nn.Module, loss: float) -> None:
        said = [log_probabilities(model, f) for f, _ in tests]
        seen["log_p"].append(log_probabilities(model, sample_features()))
        seen["loss"].append(loss)
        seen["error"].append(total_rate([errors(y, greedy(p)) for p, (_, y) in zip(said, tests, strict=True)]))
        seen["blanks"].append(np.mean(np.concatenate([p.argmax(axis=1) for p in said]) == 0))

    model = train(corpus(TRAINING, seed=0), EPOCHS, 0, watch=watch)
    long = [(features(x), y) for x, y in long_corpus()]
    return {name: np.array(values, dtype=np.float32) for name, values in seen.items()} | {
        "long_error": label_error(model, long)
    }
