"""A network learns a signed distance function from points of a contour: implicit geometric regularisation.

Gropp et al., 2020 (arXiv 2002.10099, eq. 2): |f| on the contour, the gradient of f against the normals there, and the
eikonal equation everywhere. PyTorch, float32: something is trained, and the loss holds the gradient of the network.
"""

import numpy as np
import torch
from torch import nn

from scripts.dl.signed_distance import polygon
from scripts.experiments.recorded import Result, recorded

POINTS, REGION, GRID = 500, 1.0, 65  # on the contour; half the side of the square; lines of the grid
WIDTH, LAYERS, SHARPNESS = 64, 3, 30.0
STEPS, BATCH, RATE, NORMALS = 600, 256, 2e-3, 0.3
EIKONAL = 0.1


def radius(angle: np.ndarray, petals: float) -> np.ndarray:
    """Distance of the contour from the centre: a circle of radius 0.5, bent in three times by `petals`."""
    return 0.5 + petals * np.cos(3 * angle)


def contour(petals: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and outward unit normals, both (count, 2), at equal steps of the angle."""
    angle = 2 * np.pi * np.arange(count) / count
    r, slope = radius(angle, petals), -3 * petals * np.sin(3 * angle)
    cos, sin = np.cos(angle), np.sin(angle)
    points = np.stack([r * cos, r * sin], axis=1)
    normals = np.stack([r * cos + slope * sin, r * sin - slope * cos], axis=1)
    return points, normals / np.linalg.norm(normals, axis=1, keepdims=True)


def grid() -> np.ndarray:
    """(GRID, GRID, 2); row 0 is y = -REGION."""
    line = np.linspace(-REGION, REGION, GRID)
    return np.stack(np.meshgrid(line, line), axis=-1)


def exact(petals: float) -> np.ndarray:
    """The true signed distance on the grid."""
    return polygon(grid(), contour(petals, 720)[0])


def _network() -> nn.Sequential:
    sizes = [2, *[WIDTH] * LAYERS]
    hidden = zip(sizes[:-1], sizes[1:], strict=True)
    layers = [part for shape in hidden for part in (nn.Linear(*shape), nn.Softplus(SHARPNESS))]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 1))


def _slopes(network: nn.Module, x: torch.Tensor, create_graph: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """f (n,) and ∇f (n, 2)."""
    x = x.detach().requires_grad_()
    f = network(x)[:, 0]
    return f, torch.autograd.grad(f.sum(), x, create_graph=create_graph)[0]


def train(petals: float, eikonal: float, steps: int = STEPS) -> Result:
    """`field` (GRID, GRID) and `slope` (GRID, GRID), the learned f and ‖∇f‖; `losses` (steps,)."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = _network()
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.05 ** (1 / steps))
    points, normals = (torch.tensor(array, dtype=torch.float32) for array in contour(petals, POINTS))
    losses = []
    for _ in range(steps):
        chosen = torch.randint(POINTS, (BATCH,))
        f, outward = _slopes(network, points[chosen], create_graph=True)
        _, anywhere = _slopes(network, REGION * (2 * torch.rand(BATCH, 2) - 1), create_graph=True)
        loss = f.abs().mean() + NORMALS * (outward - normals[chosen]).norm(dim=1).mean()
        loss = loss + eikonal * ((anywhere.norm(dim=1) - 1) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    f, slopes = _slopes(network, torch.tensor(grid().reshape(-1, 2), dtype=torch.float32), create_graph=False)
    return {
        "field": f.detach().numpy().reshape(GRID, GRID),
        "slope": slopes.norm(dim=1).numpy().reshape(GRID, GRID),
        "losses": np.array(losses, dtype=np.float32),
    }


@recorded
def sdf(petals: float, eikonal: float) -> Result:
    """`petals` 0 is a circle, 0.18 a trefoil; `eikonal` is the weight of (‖∇f‖ - 1)² (`EIKONAL`, or 0 without it)."""
    return train(petals, eikonal)
