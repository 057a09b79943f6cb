"""Remember the first symbol through a noisy delay: how far back different recurrent networks learn to look.

The latching task of Bengio et al., 1994, with eight symbols. The networks differ in the cell and in how it is
initialised, in nothing else. PyTorch, float32: networks are trained.
"""

import numpy as np
import torch
from torch import nn

from scripts.experiments.recorded import Result, recorded

SYMBOLS, NOISE, HIDDEN = 8, 4, 48
STEPS, BATCH, RATE, CLIP, TESTED = 300, 32, 5e-3, 1.0, 500
DELAYS, SEEDS = (10, 20, 40, 80), 3
NETWORKS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


def make(name: str, delay: int) -> nn.Module:
    """`rnn`, `rnn-orthogonal`; `lstm`, `lstm-5` (bias of the forget gate), `lstm-5-closed` (and -3 of the input gate),
    `lstm-chrono` (for dependencies of `delay` steps); `gru`, `gru-3` (bias of z)."""
    kind, _, option = name.partition("-")
    keep, _, closed = option.partition("-")
    network = NETWORKS[kind](SYMBOLS + NOISE, HIDDEN)
    with torch.no_grad():
        if option == "orthogonal":
            nn.init.orthogonal_(network.weight_hh_l0)
        elif option == "chrono":
            biases = torch.empty(HIDDEN).uniform_(1, delay - 1).log()
            _set_gate(network, 1, biases)
            _set_gate(network, 0, -biases)
        elif option:
            _set_gate(network, 1, float(keep))
            if closed:
                _set_gate(network, 0, -3.0)
    return network


def _set_gate(network: nn.Module, gate: int, bias: float | torch.Tensor) -> None:
    """The whole bias of one gate: in PyTorch the sum of two."""
    rows = slice(gate * HIDDEN, (gate + 1) * HIDDEN)
    network.bias_ih_l0[rows], network.bias_hh_l0[rows] = bias, 0.0


def draw(count: int, delay: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs (delay + 1, count, symbols + noise) – a one-hot symbol, then Gaussian noise – and the symbols (count,)."""
    symbols = torch.randint(SYMBOLS, (count,), generator=generator)
    X = torch.zeros(delay + 1, count, SYMBOLS + NOISE)
    X[0, torch.arange(count), symbols] = 1.0
    X[1:, :, SYMBOLS:] = torch.randn(delay, count, NOISE, generator=generator)
    return X, symbols


def train(name: str, delay: int, seed: int, steps: int) -> tuple[np.ndarray, float]:
    """Losses of all steps, and the share of right answers on new sequences."""
    torch.manual_seed(seed)
    network, head = make(name, delay), nn.Linear(HIDDEN, SYMBOLS)
    parameters = [*network.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, RATE)
    generator = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(steps):
        X, symbols = draw(BATCH, delay, generator)
        loss = nn.functional.cross_entropy(head(network(X)[0][-1]), symbols)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        X, symbols = draw(TESTED, delay, generator)
        right = head(network(X)[0][-1]).argmax(dim=1) == symbols
    return np.array(losses), right.double().mean().item()


@recorded
def accuracy(name: str, delay: int) -> Result:
    """`accuracy` (SEEDS,) after 300 steps; `loss` (SEEDS,), the mean of the last 20."""
    torch.set_num_threads(1)
    runs = [train(name, delay, seed, STEPS) for seed in range(SEEDS)]
    return {"accuracy": [right for _, right in runs], "loss": [losses[-20:].mean() for losses, _ in runs]}
