"""A GRU encoder–decoder learns to reverse strings, with and without attention.

The source is a string of `LETTERS` letters, the target the same string backwards and then the end mark. Encoder and
decoder are the same in all runs; what differs is where the context of step u comes from (`read` below). Trained on
lengths `TRAINED` with teacher forcing, tested on `LENGTHS` by greedy decoding from the network's own letters.

`reversal(score, read, hidden, seed)`: `score` of attention is "none", "additive" (Bahdanau et al., 2014, arXiv
1409.0473), "dot" or "general" (Luong et al., 2015, arXiv 1508.04025). `read` is "before": the query is the old state
s_{u-1} and the context enters the step (Bahdanau), or "after": the query is the new state s_u, and the context found
enters the output and the next step (Luong's input feeding, shortened). Recorded: `RUNS`. What comes back:

    greedy, exact    (lengths,)   share of right letters and of wholly right strings, decoding greedily
    forced           (lengths,)   share of right letters when the right beginning is fed (teacher forcing)
    diagonal         (lengths,)   mean weight of the letter that is due, 0 without attention
    strings, answers (2, 12)      the first test string of length 12 and its decoding, as numbers of letters
    alpha            (12, 12)     its attention weights: row u reads, column j is the source position
    alpha_mean       (12, 12)     the same averaged over all test strings of length 12
    losses           (STEPS,)     cross-entropy of each batch
    reach            (REACH,)     norm of the gradient of the loss of the first letter by the embedding of source
                                  position j, before training, in float64, mean over 32 strings

PyTorch, because something is trained; the scores are tested against `scripts/dl/attention_scores.py`.
"""

import numpy as np
import torch
from torch import nn

from scripts.experiments.recorded import Result, recorded

LETTERS, EMBEDDING = 12, 16
END = BEGIN = LETTERS  # the end mark is never an input, the begin mark never an output: one number will do
TRAINED, LENGTHS = (4, 12), (4, 6, 8, 10, 12, 14, 16, 20, 24)
SHOWN, REACH = 12, 40
STEPS, BATCH, RATE, CLIP, TESTED = 800, 64, 4e-3, 1.0, 400
WIDTH, SEEDS = 64, 3
KINDS = {"none": "before", "additive": "before", "general": "after"}  # score -> read
RUNS = [(score, read, WIDTH, seed) for score, read in KINDS.items() for seed in range(SEEDS)]
RUNS += [("none", "before", 2 * WIDTH, seed) for seed in range(SEEDS)]


class Seq2Seq(nn.Module):
    """Strings (B, T) to logits (B, U, LETTERS + 1) and attention weights (B, U, T), None without attention."""

    def __init__(self, score: str, read: str, hidden: int):
        super().__init__()
        self.score, self.read = score, read
        self.embedding = nn.Embedding(LETTERS + 1, EMBEDDING)
        self.encoder = nn.GRU(EMBEDDING, hidden, batch_first=True)
        self.first_state = nn.Linear(hidden, hidden)
        self.decoder = nn.GRUCell(EMBEDDING + hidden, hidden)
        self.output = nn.Linear(2 * hidden, LETTERS + 1)
        if score in ("additive", "general"):
            self.of_encoder = nn.Linear(hidden, hidden, bias=False)
        if score == "additive":
            self.of_decoder = nn.Linear(hidden, hidden, bias=False)
            self.v = nn.Linear(hidden, 1, bias=False)

    def weights(self, state: torch.Tensor, encoded: torch.Tensor) -> torch.Tensor:
        """Attention weights (B, T) of decoder states (B, H) over encoder states (B, T, H)."""
        keys = encoded if self.score == "dot" else self.of_encoder(encoded)
        if self.score == "additive":
            scores = self.v(torch.tanh(self.of_decoder(state)[:, None] + keys))[..., 0]
        else:
            scores = torch.einsum("bh,bth->bt", state, keys)
        return scores.softmax(dim=-1)

    def forward(
        self, source: torch.Tensor, steps: int, forced: torch.Tensor | None = None, embedded: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Feed the right letters `forced` (B, steps), or the network's own without them."""
        encoded, _ = self.encoder(self.embedding(source) if embedded is None else embedded)
        last = encoded[:, -1]
        state, context = torch.tanh(self.first_state(last)), last
        letter = torch.full((len(source),), BEGIN)
        logits, alpha = [], []
        for u in range(steps):
            if self.score != "none" and self.read == "before":
                context = self._read(state, encoded, alpha)
            state = self.decoder(torch.cat([self.embedding(letter), context], dim=-1), state)
            if self.score != "none" and self.read == "after":
                context = self._read(state, encoded, alpha)
            logits.append(self.output(torch.cat([state, context], dim=-1)))
            letter = logits[-1].argmax(dim=-1) if forced is None else forced[:, u]
        return torch.stack(logits, dim=1), torch.stack(alpha, dim=1) if alpha else None

    def _read(self, state: torch.Tensor, encoded: torch.Tensor, alpha: list[torch.Tensor]) -> torch.Tensor:
        alpha.append(self.weights(state, encoded))
        return torch.einsum("bt,bth->bh", alpha[-1], encoded)


def strings(count: int, length: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Sources (count, length) and targets (count, length + 1)."""
    source = torch.randint(LETTERS, (count, length), generator=generator)
    return source, torch.cat([source.flip(1), torch.full((count, 1), END)], dim=1)


def reach(network: Seq2Seq) -> np.ndarray:
    """How strongly the loss of the first answer depends on each of `REACH` source positions."""
    network = network.double()
    source, target = strings(32, REACH, torch.Generator().manual_seed(2))
    embedded = network.embedding(source).detach().requires_grad_()
    logits, _ = network(source, 1, target[:, :1], embedded)
    nn.functional.cross_entropy(logits[:, 0], target[:, 0], reduction="sum").backward()
    network.float()
    return embedded.grad.norm(dim=2).mean(dim=0).numpy()


@torch.no_grad()
def examine(network: Seq2Seq) -> Result:
    """All that is measured after training."""
    generator = torch.Generator().manual_seed(1)
    greedy, exact, forced, diagonal, found = [], [], [], [], {}
    for length in LENGTHS:
        source, target = strings(TESTED, length, generator)
        logits, alpha = network(source, length + 1)
        right = (logits.argmax(dim=-1) == target)[:, :length]
        greedy.append(right.float().mean().item())
        exact.append(right.all(dim=1).float().mean().item())
        taught = network(source, length + 1, target)[0].argmax(dim=-1)
        forced.append((taught == target)[:, :length].float().mean().item())
        alpha = torch.zeros(TESTED, length, length) if alpha is None else alpha[:, :length]
        diagonal.append(alpha.flip(2).diagonal(dim1=1, dim2=2).mean().item())
        if length == SHOWN:
            answers = logits[0].argmax(dim=-1)[:length]
            found = {"strings": torch.stack([source[0], answers]).numpy(), "alpha": alpha[0].numpy()}
            found["alpha_mean"] = alpha.mean(dim=0).numpy()
    return {
        "greedy": np.array(greedy), "exact": np.array(exact), "forced": np.array(forced),
        "diagonal": np.array(diagonal), **found,
    }  # fmt: skip


def train(score: str, read: str, hidden: int, seed: int, steps: int = STEPS) -> Result:
    """See the top of the module."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = Seq2Seq(score, read, hidden)
    before = reach(network)
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    losses = []
    for _ in range(steps):
        length = int(torch.randint(TRAINED[0], TRAINED[1] + 1, (1,), generator=generator))
        source, target = strings(BATCH, length, generator)
        logits, _ = network(source, length + 1, target)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return examine(network) | {"losses": np.array(losses, dtype=np.float32), "reach": before}


@recorded
def reversal(score: str, read: str, hidden: int, seed: int) -> Result:
    """See the top of the module."""
    return train(score, read, hidden, seed)
