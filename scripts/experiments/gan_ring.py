"""A small GAN on a ring of eight Gaussians, watched while it learns: shared by ticket-11 and tm-22.

    run = ring("collapse", 0)

The second argument is the seed of both networks and of the data; give it always, it is part of the record's name. Kinds
are the keys of RECIPES:

    "non-saturating"  one step of D, one of G, -log D(G(z)): seeds 0, 1, 2
    "saturating"      the same with log(1 - D(G(z))): seeds 0, 1, 2
    "collapse"        non-saturating, but five steps of G for one of D: collapse is provoked; seed 0
    "wgan-gp"         five steps of the critic, one of G, two-sided gradient penalty of weight 1: seeds 0, 1, 2

What comes back (F frames, S snapshots, M = 8 modes):

    frames (F,)           rounds at which the pictures were taken
    points (F, 300, 2)    generated points there
    field (F, 41, 41)     logit of D (or value of the critic) on GRID × GRID; rows are y, columns x
    rounds (S,)           rounds, every tenth, of the following
    counts (S, M + 1)     of 1000 new generated points: how many lie within REACH of each mode, the last: of none
    d_loss, g_loss (S,)   losses of D (without the penalty) and of G on 1000 new objects of each kind
    distance (F,)         W1 between 800 generated points and 100 of the data from each mode, by exact matching
    floor ()              the same with 800 random points of the data, mean over F samples

Rounds are updates of the pair: a round of "collapse" is one step of D and five of G.
"""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn

from scripts.dl.gan import LOSSES, Recipe, mode_counts, ring_centres, sample_mixture, train
from scripts.dl.wasserstein import distances, gradient_penalty
from scripts.experiments.recorded import recorded

STD, REACH, WIDTH, NOISE = 0.1, 0.3, 128, 16
CENTRES = ring_centres()
GRID = np.linspace(-3.0, 3.0, 41)
SNAPSHOT, PICTURED, COUNTED, MATCHED = 10, 300, 1000, 800
FRAME = {"non-saturating": 250, "saturating": 250, "collapse": 100, "wgan-gp": 250}


def penalty(critic: nn.Module, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Weight 1 rather than 10: distances here are about 1, and the softer penalty learns sooner."""
    return gradient_penalty(critic, real, fake, weight=1.0)


RECIPES = {
    "non-saturating": Recipe("non-saturating", 2000),
    "saturating": Recipe("saturating", 2000),
    "collapse": Recipe("non-saturating", 1500, generator_steps=5),
    "wgan-gp": Recipe("wasserstein", 1500, discriminator_steps=5, penalty=penalty),
}


def network(inputs: int, outputs: int) -> nn.Sequential:
    """Two hidden layers of ReLU."""
    return nn.Sequential(
        nn.Linear(inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, outputs)
    )


def data(count: int, rng: np.random.Generator) -> torch.Tensor:
    """Points of the ring, (count, 2)."""
    return torch.tensor(sample_mixture(count, CENTRES, STD, rng), dtype=torch.float32)


def matched_distance(x: np.ndarray, y: np.ndarray) -> float:
    """W1 of two samples of one size: the least mean distance of a one-to-one matching."""
    cost = distances(x, y)
    return float(cost[linear_sum_assignment(cost)].mean())


class Watcher:
    """Looks at the networks after a round, with random numbers of its own, so that looking changes nothing."""

    def __init__(self, G: nn.Module, D: nn.Module, loss: str, frame: int):
        self.G, self.D, self.frame = G, D, frame
        self.d_loss, self.g_loss = LOSSES[loss]
        self.rng, self.generator = np.random.default_rng(100), torch.Generator().manual_seed(100)
        x, y = np.meshgrid(GRID, GRID)
        self.plane = torch.tensor(np.stack([x, y], axis=-1), dtype=torch.float32)
        self.seen: dict[str, list] = {
            name: []
            for name in (
                "frames", "points", "field", "rounds", "counts", "d_loss", "g_loss", "distance", "floors",
            )
        }  # fmt: skip

    def generated(self, count: int) -> torch.Tensor:
        return self.G(torch.randn(count, NOISE, generator=self.generator))

    @torch.no_grad()
    def __call__(self, done: int) -> None:
        if done % SNAPSHOT == 0:
            self._snapshot(done)
        if done % self.frame == 0:
            self._picture(done)

    def _keep(self, **found: object) -> None:
        for name, what in found.items():
            self.seen[name].append(what)

    def _snapshot(self, done: int) -> None:
        fake = self.generated(COUNTED)
        judged_real, judged_fake = self.D(data(COUNTED, self.rng)), self.D(fake)
        self._keep(
            rounds=done,
            counts=mode_counts(fake.numpy(), CENTRES, REACH),
            d_loss=self.d_loss(judged_real, judged_fake).item(),
            g_loss=self.g_loss(judged_fake).item(),
        )

    def _picture(self, done: int) -> None:
        real = np.repeat(CENTRES, MATCHED // len(CENTRES), axis=0)
        real = real + STD * self.rng.standard_normal(real.shape)
        self._keep(
            frames=done,
            points=self.generated(PICTURED).numpy(),
            field=self.D(self.plane)[..., 0].numpy(),
            distance=matched_distance(self.generated(MATCHED).numpy(), real),
            floors=matched_distance(data(MATCHED, self.rng).numpy(), real),
        )

    def found(self) -> dict[str, object]:
        """All that was seen, in half precision where it is only drawn."""
        arrays = {name: np.array(values) for name, values in self.seen.items()}
        floor = arrays.pop("floors").mean()
        for name in ("points", "field"):
            arrays[name] = arrays[name].astype(np.float16)
        arrays["counts"] = arrays["counts"].astype(np.int16)
        return arrays | {"floor": floor}


def watch(seed: int, recipe: Recipe, frame: int) -> dict[str, object]:
    """Train by `recipe` with a picture every `frame` rounds; what is returned is described above."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    G, D = network(NOISE, 2), network(2, 1)
    watcher = Watcher(G, D, recipe.loss, frame)
    train(G, D, lambda n: data(n, rng), lambda n: torch.randn(n, NOISE), recipe, watcher)
    return watcher.found()


@recorded
def ring(kind: str, seed: int) -> dict[str, object]:
    return watch(seed, RECIPES[kind], FRAME[kind])
