"""Critics of Wasserstein GANs on toy distributions: what clipping and what the gradient penalty makes of them.

PyTorch, because the penalty is differentiated twice. All networks are small multilayer perceptrons with ReLU.
"""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn

from scripts.dl import wasserstein
from scripts.experiments.recorded import recorded

MODES_STD = 0.1


def network(*widths: int) -> nn.Sequential:
    """Linear layers of these widths with ReLU between them."""
    layers = [part for a, b in zip(widths, widths[1:], strict=False) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def fit(critic, draw, steps, threshold=None, weight=10.0, one_sided=False, lr=1e-3) -> None:
    """Train a critic in place on batches (real, fake) of `draw()`: clipped to ±threshold, or with the penalty.

    Clipping comes with RMSProp, as in its paper; the penalty with Adam, and its rate falls to zero along a line.
    """
    if threshold is not None:
        optimizer, rate = torch.optim.RMSprop(critic.parameters(), lr), lambda step: 1.0
        wasserstein.clip_weights(critic, threshold)
    else:
        optimizer, rate = torch.optim.Adam(critic.parameters(), lr, betas=(0.0, 0.9)), lambda step: 1 - step / steps
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    for _ in range(steps):
        real, fake = draw()
        loss = critic(fake).mean() - critic(real).mean()
        if threshold is None:
            loss = loss + wasserstein.gradient_penalty(critic, real, fake, weight=weight, one_sided=one_sided)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if threshold is not None:
            wasserstein.clip_weights(critic, threshold)


def input_gradients(critic, points: torch.Tensor) -> np.ndarray:
    """Gradients (n, d) of the critic at the points (n, d)."""
    points = points.clone().requires_grad_(True)
    critic(points).sum().backward()
    return points.grad.numpy()


def _fresh(seed: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(seed)


def distance(real: torch.Tensor, fake: torch.Tensor) -> float:
    """W_1 of two samples of one size: the best one-to-one assignment."""
    cost = wasserstein.distances(real.numpy(), fake.numpy())
    return float(cost[linear_sum_assignment(cost)].mean())


# On the line

SHIFT, STD = 3.0, 0.5  # the data N(0, STD²), the model N(SHIFT, STD²)
LINE = np.linspace(-2.0, 5.0, 141)


@recorded
def line_critic(steps: int) -> dict[str, object]:
    """A critic with the one-sided penalty between two Gaussians: its values on LINE, zero at the first point."""
    _fresh(0)
    critic = network(1, 64, 64, 1)
    fit(critic, lambda: (STD * torch.randn(256, 1), SHIFT + STD * torch.randn(256, 1)), steps, one_sided=True)
    with torch.no_grad():
        values = critic(torch.tensor(LINE, dtype=torch.float32)[:, None])[:, 0].numpy()
    return {"values": values - values[0]}


GAP, WEIGHT, SEEDS = 4.0, 10.0, 12


@recorded
def slopes(one_sided: int, dimension: int, steps: int) -> dict[str, object]:
    """All data at the distance GAP from the origin, along the first axis, and all fakes in it.

    Mean slope of the critic on the way between, (SEEDS,), and its derivative at 40 points there, (SEEDS, 40), after
    training from SEEDS initialisations.
    """
    found, profiles = [], []
    axis = torch.eye(dimension)[:1]
    for seed in range(SEEDS):
        _fresh(seed)
        critic = network(dimension, 32, 32, 1)
        ends = GAP * axis.expand(64, -1), torch.zeros(64, dimension)
        fit(critic, lambda ends=ends: ends, steps, weight=WEIGHT, one_sided=bool(one_sided), lr=2e-3)
        with torch.no_grad():
            found.append((critic(ends[0][:1]) - critic(ends[1][:1])).item() / GAP)
        profiles.append(input_gradients(critic, (torch.arange(40)[:, None] + 0.5) * GAP / 40 * axis)[:, 0])
    return {"slopes": np.array(found), "profiles": np.array(profiles)}


# In the plane


def mixture(count: int) -> torch.Tensor:
    """Points (count, 2) of nine narrow Gaussians on the grid {-1, 0, 1}²."""
    return torch.randint(-1, 2, (count, 2)) + MODES_STD * torch.randn(count, 2)


def pairs(count: int = 256) -> tuple[torch.Tensor, torch.Tensor]:
    """The mixture, and the mixture blurred by noise: the generator that Gulrajani et al. freeze in their figure 1."""
    return mixture(count), mixture(count) + 0.5 * torch.randn(count, 2)


THRESHOLD = 0.05
KINDS = {
    "clip": {"threshold": THRESHOLD},
    "two-sided-10": {"weight": 10.0},
    "two-sided-1": {"weight": 1.0},
    "one-sided-10": {"weight": 10.0, "one_sided": True},
}
VIEW = np.linspace(-2.0, 2.0, 61)


PLANE = (2, 64, 64, 64, 1)


@recorded
def plane_critic(kind: str, steps: int) -> dict[str, object]:
    """Values (61, 61) of a trained critic over VIEW, and gradient norms (1000,) between real and fake.

    `extreme` is the share of weights within 2 % of the largest one in absolute value,
    `gap` is E f(real) - E f(fake) over 4000 points of each, `distance` the true one between 1000 points of each.
    """
    _fresh(0)
    critic = network(*PLANE)
    fit(critic, pairs, steps, **KINDS[kind])
    x, y = (torch.tensor(v, dtype=torch.float32) for v in np.meshgrid(VIEW, VIEW))
    real, fake = pairs(4000)
    epsilon = torch.rand(1000, 1)
    between = epsilon * real[:1000] + (1 - epsilon) * fake[:1000]
    with torch.no_grad():
        values = critic(torch.stack([x.ravel(), y.ravel()], dim=1)).numpy().reshape(x.shape)
        gap = (critic(real).mean() - critic(fake).mean()).item()
    weights = np.abs(np.concatenate([p.detach().numpy().ravel() for p in critic.parameters() if p.dim() == 2]))
    return {
        "values": values.astype(np.float32),
        "norms": np.linalg.norm(input_gradients(critic, between), axis=1).astype(np.float32),
        "extreme": np.mean(weights > 0.98 * weights.max()),
        "gap": gap,
        "distance": distance(real[:1000], fake[:1000]),
    }


@recorded
def starts(seeds: int, steps: int) -> dict[str, object]:
    """The two-sided penalty of weight 10 from fresh weights, `cold`, and from what the one-sided one found, `warm`.

    Rows are initialisations, (seeds, 2): E f(real) - E f(fake) over 4000 points of each, and the loss there, in which
    the penalty is the two-sided one.
    """
    found = {"cold": [], "warm": []}
    for name, rows in found.items():
        for seed in range(seeds):
            _fresh(seed)
            critic = network(*PLANE)
            if name == "warm":
                fit(critic, pairs, steps, one_sided=True)
            fit(critic, pairs, steps)
            _fresh(seeds)  # the same points for all
            real, fake = pairs(4000)
            with torch.no_grad():
                gap = (critic(real).mean() - critic(fake).mean()).item()
            rows.append((gap, wasserstein.gradient_penalty(critic, real, fake).item() - gap))
    return {name: np.array(rows) for name, rows in found.items()}


DEPTH, BREADTH = 12, 64


@recorded
def depth(threshold: float, steps: int) -> dict[str, object]:
    """Norms (DEPTH,) of the gradient of the critic's loss by the activations of each hidden layer, the first first.

    `threshold` 0 means the gradient penalty. Biases start at zero and the weights at He's variance, so that before
    training nothing vanishes.
    """
    _fresh(0)
    critic = network(2, *[BREADTH] * DEPTH, 1)
    for layer in critic:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    fit(critic, lambda: pairs(128), steps, threshold or None, lr=2e-4)
    real, fake = pairs(512)
    a, activations = torch.cat([real, fake]), []
    for layer in critic:
        a = layer(a)
        if isinstance(layer, nn.ReLU):
            a.retain_grad()
            activations.append(a)
    (a[512:].mean() - a[:512].mean()).backward()
    return {"norms": np.array([activation.grad.norm().item() for activation in activations])}
