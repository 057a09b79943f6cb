"""Generative adversarial networks: the losses, the theory they rest on, and the ring of Gaussians to try them on.

Densities, the ring and the counting of modes are float64 NumPy. Losses and training are PyTorch: both networks are
trained through one another, and a gradient penalty needs second derivatives.

Goodfellow et al., 2014 (arXiv 1406.2661) is cited below as [G]; Mao et al., 2017 (1611.04076) is the least-squares
loss, Lim & Ye, 2017 (1705.02894) and Miyato et al., 2018 (1802.05957, eq. 16-17) the hinge loss, Arjovsky et al.,
2017 (1701.07875) the Wasserstein loss.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

# Theory on densities


def optimal_discriminator(data: np.ndarray, model: np.ndarray) -> np.ndarray:
    """D* = p_d / (p_d + p_g) where either density is positive, 1/2 elsewhere: any value would do there ([G], prop. 1).

    `data` and `model` are values of the densities (or probabilities) at the same points, of any shape.
    """
    total = data + model
    return np.divide(data, total, out=np.full(np.shape(total), 0.5), where=total > 0)


def kullback_leibler(p: np.ndarray, q: np.ndarray) -> float:
    """KL(p || q) in nats of two discrete distributions of the same shape; inf where q = 0 and p > 0."""
    inside = p > 0
    with np.errstate(divide="ignore"):
        return float(np.sum(p[inside] * (np.log(p[inside]) - np.log(q[inside]))))


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """JSD(p || q) in nats of two discrete distributions: from 0 to log 2."""
    middle = (p + q) / 2
    return (kullback_leibler(p, middle) + kullback_leibler(q, middle)) / 2


def value(discriminator: np.ndarray, data: np.ndarray, model: np.ndarray) -> float:
    """V(D, G) = E_{p_d} log D + E_{p_g} log(1 - D) of two discrete distributions ([G], eq. 1), with 0 log 0 = 0."""
    real, fake = data > 0, model > 0
    with np.errstate(divide="ignore"):
        gains = np.sum(data[real] * np.log(discriminator[real]))
        return float(gains + np.sum(model[fake] * np.log(1 - discriminator[fake])))


# Losses on outputs of a discriminator without a sigmoid; all are means over the batch and are minimised


# --8<-- [start:losses]
def standard_d(real, fake):  # -log D(x) - log(1 - D(G(z)))
    return softplus(-real).mean() + softplus(fake).mean()


def saturating_g(fake):  # log(1 - D(G(z)))
    return -softplus(fake).mean()


def non_saturating_g(fake):  # -log D(G(z))
    return softplus(-fake).mean()


def hinge_d(real, fake):
    return relu(1 - real).mean() + relu(1 + fake).mean()


def least_squares_d(real, fake):  # labels 1 and 0
    return ((real - 1) ** 2).mean() / 2 + (fake**2).mean() / 2


def least_squares_g(fake):
    return ((fake - 1) ** 2).mean() / 2
    # --8<-- [end:losses]


def wasserstein_d(real: Tensor, fake: Tensor) -> Tensor:
    """Minus the critic's estimate of W1: the Lipschitz condition has to come from elsewhere."""
    return fake.mean() - real.mean()


def linear_g(fake: Tensor) -> Tensor:
    """The generator's loss beside a critic, and beside the hinge loss."""
    return -fake.mean()


DiscriminatorLoss = Callable[[Tensor, Tensor], Tensor]
GeneratorLoss = Callable[[Tensor], Tensor]
LOSSES: dict[str, tuple[DiscriminatorLoss, GeneratorLoss]] = {
    "saturating": (standard_d, saturating_g),
    "non-saturating": (standard_d, non_saturating_g),
    "least-squares": (least_squares_d, least_squares_g),
    "hinge": (hinge_d, linear_g),
    "wasserstein": (wasserstein_d, linear_g),
}


# Training

Penalty = Callable[[nn.Module, Tensor, Tensor], Tensor]


# --8<-- [start:steps]
def discriminator_step(G, D, optimizer, loss, real, z, penalty=None):
    fake = G(z).detach()  # the generator is not trained now
    optimizer.zero_grad()  # and drops what G's step left in D
    objective = loss(D(real), D(fake))
    if penalty is not None:
        objective = objective + penalty(D, real, fake)
    objective.backward()
    optimizer.step()


def generator_step(G, D, optimizer, loss, z):
    optimizer.zero_grad()
    loss(D(G(z))).backward()  # the gradient comes through D
    optimizer.step()  # of the parameters of G alone
    # --8<-- [end:steps]


@dataclass(frozen=True)
class Recipe:
    """How to alternate: `rounds` times `discriminator_steps` and then `generator_steps` updates by Adam.

    `loss` is a key of LOSSES; `penalty`, if any, is added to the discriminator's loss.
    """

    loss: str
    rounds: int
    discriminator_steps: int = 1
    generator_steps: int = 1
    lr: float = 1e-3
    betas: tuple[float, float] = (0.5, 0.9)
    batch: int = 256
    penalty: Penalty | None = None


def train(
    G: nn.Module,
    D: nn.Module,
    sample: Callable[[int], Tensor],
    noise: Callable[[int], Tensor],
    recipe: Recipe,
    after: Callable[[int], None],
) -> None:
    """Train both networks in place.

    `sample(n)` draws n real objects and `noise(n)` n inputs of the generator. `after(round)` is called after every
    round, with rounds counted from 1.
    """
    d_loss, g_loss = LOSSES[recipe.loss]
    d_optimizer = torch.optim.Adam(D.parameters(), recipe.lr, recipe.betas)
    g_optimizer = torch.optim.Adam(G.parameters(), recipe.lr, recipe.betas)
    for done in range(1, recipe.rounds + 1):
        for _ in range(recipe.discriminator_steps):
            real, z = sample(recipe.batch), noise(recipe.batch)
            discriminator_step(G, D, d_optimizer, d_loss, real, z, recipe.penalty)
        for _ in range(recipe.generator_steps):
            generator_step(G, D, g_optimizer, g_loss, noise(recipe.batch))
        after(done)


# The ring of Gaussians


def ring_centres(modes: int = 8, radius: float = 2.0) -> np.ndarray:
    """Points at equal angles on a circle, (modes, 2), the first on the positive x axis."""
    angles = 2 * np.pi * np.arange(modes) / modes
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def sample_mixture(count: int, centres: np.ndarray, std: float, rng: np.random.Generator) -> np.ndarray:
    """`count` points of the equal mixture of round Gaussians of deviation `std` about `centres` (K, d): (count, d)."""
    chosen = centres[rng.integers(len(centres), size=count)]
    return chosen + std * rng.standard_normal(chosen.shape)


# --8<-- [start:coverage]
def mode_counts(points, centres, reach):
    """How many points lie at each mode, and how many at none.

    points (n, d), centres (K, d) -> integers (K + 1,) with sum n.
    A point belongs to its nearest mode if that is within `reach`.
    """
    offsets = points[:, None] - centres[None]
    distances = np.linalg.norm(offsets, axis=2)  # (n, K)
    nearest = distances.argmin(axis=1)
    nearest[distances.min(axis=1) > reach] = len(centres)
    return np.bincount(nearest, minlength=len(centres) + 1)


def modes_covered(counts, share=0.01):
    """How many modes hold at least this share of all the points."""
    return int(np.sum(counts[:-1] >= share * counts.sum()))
    # --8<-- [end:coverage]
