"""LLaVA in miniature: the picture tower of the tiny CLIP, a linear projector, a language model that has only read.

The tower is `tiny_clip.train`, frozen; of a picture it gives the 4×4 grid before pooling, 16 vectors. The language
model is a small causal transformer, first trained on text alone: questions, half of them about a description («на
картинке красный круг . какой цвет ? красный .»), half about nothing. The projector makes a word-wide vector of every
vector of the grid, and these 16 stand before the words.

    align       stage 1: the projector alone learns descriptions of pictures; tower and language model are frozen
    instruct    stage 2: projector and language model learn answers to questions about pictures, and descriptions

Twelve of the sixteen combinations are in the pictures of both stages, as in the CLIP itself; in texts all sixteen are.

    stages(seed)    accuracies after each stage, with one stage left out, with strange pictures, on new combinations
    runs(name)      one line of these for SEEDS runs

PyTorch, float32 on one thread, because something is trained.
"""

import copy
from functools import cache

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from scripts.experiments import tiny_clip as clip
from scripts.experiments.recorded import recorded

# --- Text ------------------------------------------------------------------------------------------------------------

QUESTIONS = ("какой цвет ?", "какая форма ?")
OPENING = "на картинке"
_LINES = (OPENING, *QUESTIONS, *clip.COLOURS, *clip.SHAPES)
WORDS = (".", *dict.fromkeys(word for line in _LINES for word in line.split()))
INDEX = {word: number for number, word in enumerate(WORDS)}
VISUAL = clip.GRID**2  # visual tokens
LONGEST = VISUAL + 10


def encode(text: str) -> list[int]:
    return [INDEX[word] for word in text.split()]


def description(label: int) -> str:
    colour, shape = clip.PAIRS[label]
    return f"{OPENING} {clip.COLOURS[colour]} {clip.SHAPES[shape]} ."


def answer(label: int, question: int) -> str:
    return (clip.COLOURS, clip.SHAPES)[question][clip.PAIRS[label][question]]


def dialogue(label: int, question: int) -> str:
    return f"{QUESTIONS[question]} {answer(label, question)} ."


# --- Model -----------------------------------------------------------------------------------------------------------

WIDTH, HEADS, LAYERS, BATCH = 64, 4, 2, 48


class LanguageModel(nn.Module):
    """Pre-LN decoder-only transformer over vectors of words, with learned positions."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(len(WORDS), WIDTH)
        self.positions = nn.Parameter(0.02 * torch.randn(LONGEST, WIDTH))
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 4 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, LAYERS, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, len(WORDS))

    def forward(self, vectors: torch.Tensor, start: int = 0) -> torch.Tensor:
        """Logits (B, T, |V|) after vectors (B, T, WIDTH) that stand at the positions `start`, `start` + 1, …"""
        T = vectors.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(T)
        return self.head(self.blocks(vectors + self.positions[start : start + T], mask=mask, is_causal=True))


class Llava(nn.Module):
    def __init__(self, tower: clip.ImageTower, language: LanguageModel):
        super().__init__()
        self.tower, self.language = tower.requires_grad_(False), language
        self.projector = nn.Linear(clip.CHANNELS, WIDTH)

    def forward(self, pictures: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (B, T, |V|) after each of the words `tokens` (B, T), the picture standing before them."""
        visual = self.projector(self.tower.grid(pictures))
        return self.language(torch.cat([visual, self.language.words(tokens)], dim=1))[:, VISUAL:]


def loss_after(logits: torch.Tensor, tokens: torch.Tensor, prompt: int) -> torch.Tensor:
    """Mean cross-entropy of the words after the first `prompt` ones, each predicted from what stands before it."""
    return F.cross_entropy(logits[:, prompt - 1 : -1].flatten(0, 1), tokens[:, prompt:].flatten())


# --- Training --------------------------------------------------------------------------------------------------------

SEEDS = 3
TEXT_STEPS, ALIGNMENT_STEPS, INSTRUCTION_STEPS = 500, 300, 300
TEXT_RATE, ALIGNMENT_RATE, INSTRUCTION_RATE = 2e-3, 1e-2, 1e-3


def _schedule(parameters, rate: float, steps: int):
    optimizer = torch.optim.Adam(parameters, rate)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)


def _update(optimizer, schedule, loss: torch.Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()


def train_on_text(language: LanguageModel, steps: int, rng: np.random.Generator) -> None:
    """Half descriptions with a question about them, half questions with nothing before them; all words are learnt.

    The text starts at a random position, so that later there is room for a picture.
    """
    optimizer, schedule = _schedule(language.parameters(), TEXT_RATE, steps)
    for step in range(steps):
        labels, question = rng.integers(16, size=BATCH), rng.integers(2)
        lines = [dialogue(label, question) for label in labels]
        if step % 2:
            lines = [description(label) + " " + line for label, line in zip(labels, lines, strict=True)]
        tokens = torch.tensor([encode(line) for line in lines])
        logits = language(language.words(tokens), int(rng.integers(VISUAL + 1)))
        _update(optimizer, schedule, loss_after(logits, tokens, 1))


def align(model: Llava, steps: int, rng: np.random.Generator) -> None:
    """Stage 1: descriptions of pictures; only the projector learns."""
    optimizer, schedule = _schedule(model.projector.parameters(), ALIGNMENT_RATE, steps)
    for _ in range(steps):
        labels = rng.choice(clip.SEEN, BATCH)
        tokens = torch.tensor([encode(description(label)) for label in labels])
        logits = model(clip.pictures(labels, rng), tokens)
        _update(optimizer, schedule, loss_after(logits, tokens, len(OPENING.split())))


def instruct(model: Llava, steps: int, rng: np.random.Generator, describe: bool = True) -> None:
    """Stage 2: projector and language model learn, the loss is on the answer alone.

    With `describe` a third of the batches are descriptions, as in LLaVA's own instructions.
    """
    learning = [*model.projector.parameters(), *model.language.parameters()]
    optimizer, schedule = _schedule(learning, INSTRUCTION_RATE, steps)
    for step in range(steps):
        labels, task = rng.choice(clip.SEEN, BATCH), step % (2 + describe)
        prompt = (*QUESTIONS, OPENING)[task]
        lines = [description(label) if prompt == OPENING else dialogue(label, task) for label in labels]
        tokens = torch.tensor([encode(line) for line in lines])
        logits = model(clip.pictures(labels, rng), tokens)
        _update(optimizer, schedule, loss_after(logits, tokens, len(prompt.split())))


# --- Questions -------------------------------------------------------------------------------------------------------


def greedy(model: Llava, pictures: torch.Tensor, prompt: str, words: int) -> list[list[str]]:
    """The next `words` most probable words for every picture."""
    tokens = torch.tensor([encode(prompt)]).repeat(len(pictures), 1)
    with torch.no_grad():
        for _ in range(words):
            tokens = torch.cat([tokens, model(pictures, tokens)[:, -1:].argmax(dim=-1)], dim=1)
    return [[WORDS[token] for token in line] for line in tokens[:, -words:]]


def examine(model: Llava, x: torch.Tensor, labels: np.ndarray) -> np.ndarray:
    """Shares of right colours and shapes in descriptions, then in answers, (4,)."""
    truth = [[answer(label, question) for label in labels] for question in (0, 1)]
    said = greedy(model, x, OPENING, 2)
    found = [np.mean([line[i] == right for line, right in zip(said, truth[i], strict=True)]) for i in (0, 1)]
    for question in (0, 1):
        answers = greedy(model, x, QUESTIONS[question], 1)
        found.append(np.mean([line[0] == right for line, right in zip(answers, truth[question], strict=True)]))
    return np.array(found)


def reading(language: LanguageModel) -> float:
    """Share of right answers about all descriptions in words, without a picture."""
    right = []
    for question in (0, 1):
        lines = [encode(f"{description(label)} {QUESTIONS[question]}") for label in range(16)]
        with torch.no_grad():
            said = language(language.words(torch.tensor(lines)))[:, -1].argmax(dim=-1)
        right += [WORDS[token] == answer(label, question) for label, token in enumerate(said)]
    return float(np.mean(right))


@cache
def start(seed: int = 0) -> tuple[clip.ImageTower, LanguageModel]:
    """The tower after contrastive training and the language model after text."""
    tower = clip.train(seed=seed).image
    torch.manual_seed(seed)
    language = LanguageModel()
    train_on_text(language, TEXT_STEPS, np.random.default_rng([seed, 10]))
    return tower, language


def fresh(seed: int = 0) -> Llava:
    """The two parts of `start` joined by a projector that has learnt nothing."""
    torch.manual_seed(seed)
    tower, language = (copy.deepcopy(part) for part in start(seed))
    return Llava(tower, language)


@recorded
def stages(seed: int) -> dict[str, object]:
    """`examine` on seen combinations, (4,), and on unseen ones ("…-new") for models on different paths; `reading`.

    "none": nothing trained on pictures; "alignment": stage 1; "both"; "answers": both, stage 2 without descriptions;
    "instructions": stage 2 alone, as many steps as both together; "short": stage 2 alone, no longer than in "both".
    "blind" is "both" with the pictures of other questions. `guesses` (16, 4) counts the shapes that "both" names on
    the test pictures of every combination.
    """
    torch.set_num_threads(1)
    x, labels = clip.test_pictures(seed)
    seen = np.isin(labels, clip.SEEN)
    found: dict[str, object] = {}

    def note(name: str, model: Llava) -> None:
        found[name] = examine(model, x[seen], labels[seen])
        found[f"{name}-new"] = examine(model, x[~seen], labels[~seen])
        found[f"{name}-reading"] = reading(model.language)

    def second_stage(model: Llava, steps: int = INSTRUCTION_STEPS, describe: bool = True) -> Llava:
        instruct(model, steps, np.random.default_rng([seed, 12]), describe)
        return model

    note("none", fresh(seed))
    aligned = fresh(seed)
    align(aligned, ALIGNMENT_STEPS, np.random.default_rng([seed, 11]))
    note("alignment", aligned)
    note("answers", second_stage(copy.deepcopy(aligned), describe=False))
    note("instructions", second_stage(fresh(seed), ALIGNMENT_STEPS + INSTRUCTION_STEPS))
    note("short", second_stage(fresh(seed)))
    both = second_stage(aligned)
    note("both", both)
    order = np.random.default_rng([seed, 13]).permutation(int(seen.sum()))
    found["blind"] = examine(both, x[seen][order], labels[seen])
    shapes = np.array([line[0] for line in greedy(both, x, QUESTIONS[1], 1)])
    found["guesses"] = np.array([[np.sum(shapes[labels == c] == shape) for shape in clip.SHAPES] for c in range(16)])
    return found


def runs(name: str) -> np.ndarray:
    """What `stages` found under `name`, (SEEDS, …)."""
    return np.stack([stages(seed)[name] for seed in range(SEEDS)])
