"""What a generator learns from a discriminator that stands still.

PyTorch: a generator is trained through the discriminator. The data is the ring of eight Gaussians of `scripts.dl.gan`.
"""

import numpy as np
import torch
from torch import nn

from scripts.dl import gan
from scripts.experiments.recorded import recorded

STD, REACH, SIDE = 0.15, 0.6, 4.0
CENTRES = gan.ring_centres()
VIEW = np.linspace(-3.2, 3.2, 65)
POINTS = 500
MOMENTS = (0, 40, 200, 2000)  # steps of gradient ascent at which the points are looked at


def _network(*widths: int) -> nn.Sequential:
    layers = [part for a, b in zip(widths, widths[1:], strict=False) for part in (nn.Linear(a, b), nn.LeakyReLU(0.2))]
    return nn.Sequential(*layers[:-1])


def _start() -> np.random.Generator:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return np.random.default_rng(0)


def _ring(count: int, rng: np.random.Generator) -> torch.Tensor:
    return torch.tensor(gan.sample_mixture(count, CENTRES, STD, rng), dtype=torch.float32)


def _square(count: int) -> torch.Tensor:
    """Samples (count, 2) of an ideal spread-out generator: uniform on the square."""
    return SIDE * (2 * torch.rand(count, 2) - 1)


def fit_discriminator(D, rng, fake, steps: int, lr: float = 1e-3) -> None:
    """Train D in place between the ring and `fake(count)`, with Adam and batches of 256."""
    optimizer = torch.optim.Adam(D.parameters(), lr)
    for _ in range(steps):
        loss = gan.standard_d(D(_ring(256, rng)), D(fake(256)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def fit_generator(G, D, steps: int, lr: float = 1e-3) -> None:
    """Train G in place against D as it is, with the non-saturating loss."""
    optimizer = torch.optim.Adam(G.parameters(), lr)
    for _ in range(steps):
        optimizer.zero_grad()
        gan.non_saturating_g(D(G(torch.randn(256, 2)))).backward()
        optimizer.step()


@recorded
def frozen(steps: int) -> dict[str, object]:
    """A discriminator fitted for `steps` against the uniform square, then frozen.

    `logit` (65, 65) over VIEW; `points` (moments, 500, 2): independent points under gradient ascent on the logit;
    `generator` (moments, 500, 2): samples of a network trained by the non-saturating loss for the same numbers of
    steps.
    """
    rng = _start()
    D = _network(2, 128, 128, 1)
    fit_discriminator(D, rng, _square, steps)
    for w in D.parameters():
        w.requires_grad_(False)
    x, y = (torch.tensor(v, dtype=torch.float32) for v in np.meshgrid(VIEW, VIEW))
    logit = D(torch.stack([x.ravel(), y.ravel()], dim=1)).numpy().reshape(x.shape)
    G, z = _network(2, 64, 64, 2), torch.randn(POINTS, 2)
    points, found, generated = _square(POINTS), [], []
    for before, after in zip((0, *MOMENTS), MOMENTS, strict=False):
        points = _ascend(D, points, after - before)
        fit_generator(G, D, after - before)
        with torch.no_grad():
            generated.append(G(z).numpy())
        found.append(points.numpy())
    return {
        "logit": logit.astype(np.float16),
        "points": np.array(found, np.float16),
        "generator": np.array(generated, np.float16),
    }


def _ascend(D, points: torch.Tensor, steps: int, rate: float = 0.01) -> torch.Tensor:
    """Plain gradient ascent of every point on the logit of D."""
    points = points.clone().requires_grad_(True)
    for _ in range(steps):
        (slope,) = torch.autograd.grad(D(points).sum(), points)
        with torch.no_grad():
            points += rate * slope
    return points.detach()
