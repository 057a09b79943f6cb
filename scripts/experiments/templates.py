"""Two small transformers read the same templated Russian: a causal one (GPT) and one that sees both sides (BERT).

A sentence is «правит королева потому что счастлива» or «королева счастлива потому что правит»: a verb, a noun that
suits it, a short adjective. The verb tells which pair of nouns it is and not the gender, the adjective the gender and
nothing else: what stands to the left of the noun leaves two possibilities, both sides leave one.

The models differ in the mask and in the objective only: next token against masked tokens (Devlin et al. 2018, arXiv
1810.04805, section 3.1). PyTorch, float32, because something is trained. Other experiments may start from `trained`.
"""

from functools import cache

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from scripts.experiments.recorded import Result, recorded

# --- Sentences -----------------------------------------------------------------------------------------------------

# Masculine, feminine, verbs that only this pair takes.
PAIRS = (
    ("король", "королева", ("правит", "царствует")),
    ("актёр", "актриса", ("играет", "репетирует")),
    ("певец", "певица", ("поёт", "распевается")),
    ("ученик", "ученица", ("учится", "отвечает")),
    ("пловец", "пловчиха", ("плывёт", "ныряет")),
    ("танцор", "танцовщица", ("танцует", "кружится")),
    ("поэт", "поэтесса", ("сочиняет", "рифмует")),
    ("повар", "повариха", ("варит", "жарит")),
)
ADJECTIVES = (
    ("счастлив", "счастлива"),
    ("весел", "весела"),
    ("спокоен", "спокойна"),
    ("здоров", "здорова"),
    ("молод", "молода"),
    ("талантлив", "талантлива"),
)
SPECIAL = ("[PAD]", "[CLS]", "[MASK]")
_CONTENT = [word for *nouns, verbs in PAIRS for word in (*nouns, *verbs)] + [
    form for pair in ADJECTIVES for form in pair
]
WORDS = (*SPECIAL, "потому", "что", *_CONTENT)
INDEX = {word: number for number, word in enumerate(WORDS)}
CLS, MASK = INDEX["[CLS]"], INDEX["[MASK]"]
LENGTH = 6  # [CLS] and five words


def sentences(count: int, rng: np.random.Generator) -> list[str]:
    """Random sentences, pair, verb, gender, adjective and one of the two orders being equally likely."""
    made = []
    for pair, verb, gender, adjective, order in zip(
        *(rng.integers(n, size=count) for n in (len(PAIRS), 2, 2, len(ADJECTIVES), 2)), strict=True
    ):
        noun, does, state = PAIRS[pair][gender], PAIRS[pair][2][verb], ADJECTIVES[adjective][gender]
        made.append(f"{does} {noun} потому что {state}" if order else f"{noun} {state} потому что {does}")
    return made


def encode(lines: list[str]) -> torch.Tensor:
    """Token numbers (n, LENGTH), [CLS] first."""
    return torch.tensor([[CLS, *(INDEX[word] for word in line.split())] for line in lines])


def corpus(count: int, seed: int) -> torch.Tensor:
    return encode(sentences(count, np.random.default_rng(seed)))


# --- Model ---------------------------------------------------------------------------------------------------------

WIDTH, HEADS, LAYERS = 32, 2, 2


class Model(nn.Module):
    """Pre-LN transformer with learned positions and tied embeddings; `causal` decides the mask and nothing else."""

    def __init__(self, causal: bool):
        super().__init__()
        self.embedding = nn.Embedding(len(WORDS), WIDTH)
        self.position = nn.Parameter(0.1 * torch.randn(LENGTH, WIDTH))
        nn.init.normal_(self.embedding.weight, std=0.1)
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, LAYERS, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.causal = causal

    def hidden(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T, WIDTH) after the last block."""
        T = tokens.shape[1]
        future = torch.ones(T, T, dtype=torch.bool).triu(1) if self.causal else None  # True: must not look
        return self.blocks(self.embedding(tokens) + self.position[:T], mask=future)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (B, T, |V|)."""
        return self.hidden(tokens) @ self.embedding.weight.T


# --- Objectives ----------------------------------------------------------------------------------------------------

CHOSEN, TO_MASK, TO_RANDOM = 0.15, 0.8, 0.1


def corrupt(tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The input of masked-token training and where tokens were chosen, both (B, T); [CLS] is never chosen."""
    chosen = (torch.rand(tokens.shape) < CHOSEN) & (tokens != CLS)
    fate = torch.rand(tokens.shape)
    noisy = torch.where(chosen & (fate < TO_MASK), MASK, tokens)
    some = torch.randint(len(SPECIAL), len(WORDS), tokens.shape)
    return torch.where(chosen & (fate >= TO_MASK) & (fate < TO_MASK + TO_RANDOM), some, noisy), chosen


def loss(model: Model, tokens: torch.Tensor) -> torch.Tensor:
    """Mean -log p over all next tokens (causal) or over the chosen ones (bidirectional)."""
    if model.causal:
        return F.cross_entropy(model(tokens)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    noisy, chosen = corrupt(tokens)
    return F.cross_entropy(model(noisy)[chosen], tokens[chosen])


# --- Training ------------------------------------------------------------------------------------------------------

SENTENCES, STEPS, BATCH, RATE, WARMUP = 12_000, 1500, 64, 3e-3, 50


def train(causal: bool, steps: int = STEPS) -> tuple[Model, np.ndarray]:
    """A model and its losses (steps,)."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, text = Model(causal), corpus(SENTENCES, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: min((t + 1) / WARMUP, 1.0) * (1 - t / steps))
    losses = []
    for _ in range(steps):
        value = loss(model, text[torch.randint(len(text), (BATCH,))])
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(value.item())
    return model.eval(), np.array(losses, dtype=np.float32)


@cache
def trained(causal: bool, steps: int = STEPS) -> Model:
    """The trained model alone, once in a process; do not change it (copy.deepcopy first)."""
    return train(causal, steps)[0]


def probabilities(model: Model, line: str, place: int) -> np.ndarray:
    """Probabilities of all words (|V|,) at word `place` = 1 … 5 of a sentence, in which words may be «[MASK]».

    The bidirectional model is asked at that very place; the causal one at the place before.
    """
    tokens = encode([line])
    with torch.no_grad():
        logits = model(tokens)[0, place - 1 if model.causal else place]
    return F.softmax(logits, dim=-1).numpy()


def log_probability(model: Model, line: str) -> float:
    """log p of a whole sentence under a causal model: the sum over its words of log p(word | words before)."""
    tokens = encode([line])
    with torch.no_grad():
        return -F.cross_entropy(model(tokens)[0, :-1], tokens[0, 1:], reduction="sum").item()


# --- Experiment ----------------------------------------------------------------------------------------------------

EXAMPLE = "правит королева потому что счастлива"
RIVAL = "правит король потому что счастлива"
NOUN, ADJECTIVE = 2, 5  # places in these sentences
NOUNS = frozenset(noun for *nouns, _ in PAIRS for noun in nouns)


@recorded
def gap(kind: str) -> Result:
    """A model, causal or bidirectional, fills a gap in EXAMPLE.

    `noun` and `adjective` (|V|,) are its probabilities of the word left out, `losses` (STEPS,) of the training;
    `noun_right` and `adjective_right` (400,) are probabilities of the true word in 400 sentences of that order drawn
    anew. A causal model also weighs whole sentences: `log_odds`, log p(EXAMPLE) - log p(RIVAL).
    """
    model, losses = train(kind == "causal")
    result = {"losses": losses}
    fresh = [line for line in sentences(1000, np.random.default_rng(1)) if line.split()[NOUN - 1] in NOUNS][:400]
    for name, place in (("noun", NOUN), ("adjective", ADJECTIVE)):
        result[name] = probabilities(model, without(EXAMPLE, place), place).astype(np.float32)
        right = [probabilities(model, without(line, place), place)[INDEX[line.split()[place - 1]]] for line in fresh]
        result[f"{name}_right"] = np.array(right, dtype=np.float32)
    if model.causal:
        result["log_odds"] = log_probability(model, EXAMPLE) - log_probability(model, RIVAL)
    return result


def without(line: str, place: int) -> str:
    """The sentence with [MASK] for word `place`, counted from 1."""
    words = line.split()
    words[place - 1] = "[MASK]"
    return " ".join(words)
