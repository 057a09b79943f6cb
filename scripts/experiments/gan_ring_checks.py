"""Two doubts about the table of the ring in ticket-11: is it a matter of time, and why is the penalty so soft?

    found = counts("longer", 0)

Kinds are the keys of RECIPES, the second argument is the seed:

    "longer"       "non-saturating" of gan_ring for twice as many rounds: seeds 0, 1, 2
    "penalty-10"   "wgan-gp" of gan_ring with the usual weight of the penalty, 10: seed 0

What comes back: rounds (S,) and counts (S, M + 1) as in gan_ring.
"""

from dataclasses import replace

import torch
from torch import nn

from scripts.dl.gan import Recipe
from scripts.dl.wasserstein import gradient_penalty
from scripts.experiments import gan_ring
from scripts.experiments.recorded import recorded


def usual_penalty(critic: nn.Module, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    return gradient_penalty(critic, real, fake, weight=10.0)


RECIPES: dict[str, Recipe] = {
    "longer": replace(gan_ring.RECIPES["non-saturating"], rounds=4000),
    "penalty-10": replace(gan_ring.RECIPES["wgan-gp"], penalty=usual_penalty),
}


@recorded
def counts(kind: str, seed: int) -> dict[str, object]:
    recipe = RECIPES[kind]
    found = gan_ring.watch(seed, recipe, frame=recipe.rounds)
    return {name: found[name] for name in ("rounds", "counts")}
