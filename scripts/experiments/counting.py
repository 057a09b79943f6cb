"""Networks of four units learn to tell where a^n b^n ends: a counter that LSTM can build and GRU cannot.

The input is n letters a, then n letters b, one-hot. After each b the network answers whether the b's have caught up
with the a's; only the last b is a "yes". All n up to `TRAINED` form the batch of every step; then n up to `TESTED`
are asked. The bias of the gate that keeps the state (f of LSTM, z of GRU) starts at `KEEP_BIAS`, because the default
forgets in a few steps. "Yes" is one answer in n, so it weighs `YES_WEIGHT` times as much.

`counting(kind, seed)`: kind is "LSTM", "GRU" or "RNN". Recorded: `KINDS` × `range(SEEDS)`. What comes back:

    right       (TESTED,)              whether all answers on a^n b^n are right, n = 1, 2, …
    states      (2 SHOWN, UNITS)       cell c (LSTM) or state h on a^n b^n with n = SHOWN
    logits      (2 SHOWN,)             answers on the same string, "yes" if positive
    keep, write (2 SHOWN, UNITS)       gates there: f and i of LSTM, z and 1 - z of GRU; ones for RNN
    losses      (STEPS,)

PyTorch, because something is trained.
"""

import numpy as np
import torch
from torch import nn

from scripts.experiments.recorded import Result, recorded

KINDS, SEEDS = ("LSTM", "GRU", "RNN"), 4
UNITS, TRAINED, TESTED, SHOWN = 4, 20, 100, 30
STEPS, RATE, CLIP, KEEP_BIAS, YES_WEIGHT = 2000, 0.02, 1.0, 3.0, 10.0
LAYERS = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}


class Counter(nn.Module):
    """Strings (B, T, 2) to logits (B, T)."""

    def __init__(self, kind: str):
        super().__init__()
        self.recurrent = LAYERS[kind](2, UNITS, batch_first=True)
        self.answer = nn.Linear(UNITS, 1)
        if kind != "RNN":  # rows H … 2H are f of LSTM and z of GRU; PyTorch adds two biases
            with torch.no_grad():
                self.recurrent.bias_ih_l0[UNITS : 2 * UNITS] = KEEP_BIAS
                self.recurrent.bias_hh_l0[UNITS : 2 * UNITS] = 0.0

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        return self.answer(self.recurrent(letters)[0])[..., 0]


def strings(counts: range) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Letters (B, 2 max n, 2), answers and the mask of the b's, both (B, 2 max n)."""
    n, t = torch.tensor(counts)[:, None], torch.arange(2 * max(counts))[None]
    letters = torch.stack([t < n, (n <= t) & (t < 2 * n)], dim=-1).float()
    return letters, (t == 2 * n - 1).float(), letters[..., 1]


def gates(network: Counter, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Shares kept and written (B, UNITS) at an input (B, 2) and the previous state h (B, UNITS)."""
    r = network.recurrent
    if isinstance(r, nn.RNN):
        return torch.ones_like(h), torch.ones_like(h)
    rows = x @ r.weight_ih_l0.T + r.bias_ih_l0 + h @ r.weight_hh_l0.T + r.bias_hh_l0
    second = torch.sigmoid(rows[:, UNITS : 2 * UNITS])
    return second, torch.sigmoid(rows[:, :UNITS]) if isinstance(r, nn.LSTM) else 1 - second


@torch.no_grad()
def trajectory(network: Counter, count: int) -> Result:
    """`states`, `keep`, `write`, each (2 count, UNITS), at each letter of a^n b^n with n = count."""
    letters, _, _ = strings(range(count, count + 1))
    h, state, found = torch.zeros(1, UNITS), None, {"states": [], "keep": [], "write": []}
    for t in range(2 * count):
        keep, write = gates(network, letters[:, t], h)
        output, state = network.recurrent(letters[:, t : t + 1], state)
        h = output[:, 0]
        kept = state[1][0] if isinstance(state, tuple) else h
        for name, value in (("states", kept), ("keep", keep), ("write", write)):
            found[name].append(value[0])
    return {name: torch.stack(values).numpy() for name, values in found.items()}


@torch.no_grad()
def examine(network: Counter) -> Result:
    letters, answers, asked = strings(range(1, TESTED + 1))
    right = ((network(letters) > 0) == (answers > 0)) | (asked == 0)
    logits = network(strings(range(SHOWN, SHOWN + 1))[0])[0].numpy()
    return {"right": right.all(dim=1).numpy(), "logits": logits, **trajectory(network, SHOWN)}


def train(kind: str, seed: int, steps: int = STEPS) -> Result:
    """See the top of the module."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    network = Counter(kind)
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    letters, answers, asked = strings(range(1, TRAINED + 1))
    weights = asked * (1 + (YES_WEIGHT - 1) * answers)
    losses = []
    for _ in range(steps):
        wrongness = nn.functional.binary_cross_entropy_with_logits(network(letters), answers, reduction="none")
        loss = (weights * wrongness).sum() / weights.sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return examine(network) | {"losses": np.array(losses, dtype=np.float32)}


@recorded
def counting(kind: str, seed: int) -> Result:
    """See the top of the module."""
    return train(kind, seed)
