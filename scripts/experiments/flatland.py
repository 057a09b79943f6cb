"""NeRF in a flat world: opaque discs on the plane, photographed by cameras whose pictures are one line of pixels.

`flatland(cameras, frequencies)` trains one radiance field on the pictures of `cameras` cameras, with `frequencies`
octaves in γ (0: raw coordinates), and returns (A = 48 test angles, W = 64 pixels, S = 4 moments, G = 64 grid lines):

    steps          (S,)           training steps at which the field was looked at: 0, 25, 100, 400
    density        (S, G, G)      σ, in 1 / unit of length; row 0 is y = -1.2, column 0 is x = -1.2 (see `grid()`)
    colours        (G, G, 3)      colour of the field after training, uint8
    views          (S, A, W, 3)   pictures by the cameras at `test_angles`, none of which was trained on, uint8
    truth          (A, W, 3)      the right pictures, in [0, 1]
    test_angles    (A,)           in radians; row a of `views` and `truth` is one held-out 1-D view
    train_angles   (cameras,)     cameras stand at `DISTANCE` from the centre and look at it
    train_psnr, test_psnr   (S,)  decibels over all pixels of the training and of the test cameras
    losses         (400,)         mean squared error of each batch
    ray_positions, ray_density, ray_colours   (P,), (P,), (P, 3): the trained field on the ray `inspected_ray()`

Recorded: (16, 6), (16, 0), (3, 6), (16, 4), (16, 10). The colour does not depend on the direction: the discs are matte.
PyTorch, float32, because something is trained; its rendering is tested against `scripts/dl/volume_rendering.py`.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from scripts.experiments.recorded import Result, recorded

DISTANCE, HALF_VIEW = 2.5, 0.48  # of a camera from the centre; tangent of half the angle of view
NEAR, FAR = 1.3, 3.7  # where a ray begins and ends: the scene lies within 1.2 of the centre
PIXELS, SUBPIXELS = 64, 16
BINS, RAYS = 64, 256  # positions on a ray; rays in a batch
WIDTH, LAYERS = 64, 3
RATE, MOMENTS = 5e-3, (0, 25, 100, 400)
BACKGROUND = (1.0, 1.0, 1.0)
TEST_CAMERAS, GRID = 48, 64


@dataclass(frozen=True)
class Disc:
    x: float
    y: float
    radius: float
    colour: tuple[float, float, float]


DISCS = (
    Disc(-0.45, 0.35, 0.38, (0.80, 0.15, 0.15)),
    Disc(0.50, 0.45, 0.25, (0.10, 0.45, 0.80)),
    Disc(0.30, -0.45, 0.34, (0.95, 0.70, 0.10)),
    Disc(-0.50, -0.50, 0.20, (0.10, 0.55, 0.35)),
    Disc(0.02, 0.02, 0.12, (0.45, 0.20, 0.55)),
)


def grid() -> np.ndarray:
    """Coordinates of the rows and columns of the density map, (G,)."""
    return np.linspace(-1.2, 1.2, GRID)


def training_angles(cameras: int) -> np.ndarray:
    return 2 * np.pi * np.arange(cameras) / cameras


def test_angles() -> np.ndarray:
    """Spread evenly, none of them the angle of one of 16 training cameras."""
    return 2 * np.pi * (np.arange(TEST_CAMERAS) + 0.5) / TEST_CAMERAS


test_angles.__test__ = False  # the name is not pytest's


def camera_rays(angle: float, pixels: int = PIXELS) -> tuple[np.ndarray, np.ndarray]:
    """Origins and unit directions, both (pixels, 2), of a camera at `angle` on the circle, looking at the centre."""
    outward = np.array([np.cos(angle), np.sin(angle)])
    right = np.array([-outward[1], outward[0]])
    u = HALF_VIEW * ((np.arange(pixels) + 0.5) / pixels * 2 - 1)
    directions = -outward + u[:, None] * right
    return np.tile(DISTANCE * outward, (pixels, 1)), directions / np.linalg.norm(directions, axis=1, keepdims=True)


INSPECTED = (28, 29)  # number of the test camera and of its pixel


def inspected_ray() -> tuple[np.ndarray, np.ndarray]:
    """Origin and direction, both (2,), of the ray along which the trained field is returned."""
    camera, pixel = INSPECTED
    origins, directions = camera_rays(float(test_angles()[camera]))
    return origins[pixel], directions[pixel]


def trace(origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """True colours (n, 3) of rays (n, 2): that of the nearest disc, else the background."""
    colours, nearest = np.tile(BACKGROUND, (len(origins), 1)), np.full(len(origins), np.inf)
    for disc in DISCS:
        offset = origins - (disc.x, disc.y)
        along = np.einsum("nd,nd->n", offset, directions)
        root = along**2 - np.einsum("nd,nd->n", offset, offset) + disc.radius**2
        depth = -along - np.sqrt(np.maximum(root, 0))
        hit = (root > 0) & (depth > 0) & (depth < nearest)
        nearest[hit] = depth[hit]
        colours[hit] = disc.colour
    return colours


def photographs(angles: np.ndarray) -> np.ndarray:
    """True pictures, (angles, pixels, 3): each pixel is the mean over its width, as in a real camera."""
    pictures = [trace(*camera_rays(angle, PIXELS * SUBPIXELS)) for angle in angles]
    return np.array(pictures).reshape(len(angles), PIXELS, SUBPIXELS, 3).mean(axis=2)


def encode(x: torch.Tensor, frequencies: int) -> torch.Tensor:
    """x itself, then sin and cos of 2^k π x for k < frequencies: (…, d) to (…, d (1 + 2 frequencies))."""
    waves = [wave(2.0**k * math.pi * x) for k in range(frequencies) for wave in (torch.sin, torch.cos)]
    return torch.cat([x, *waves], dim=-1)


class Field(nn.Module):
    """Points (…, 2) to densities (…) and colours (…, 3)."""

    def __init__(self, frequencies: int):
        super().__init__()
        self.frequencies = frequencies
        sizes = [2 * (1 + 2 * frequencies), *[WIDTH] * LAYERS]
        hidden = zip(sizes[:-1], sizes[1:], strict=True)
        self.trunk = nn.Sequential(*(part for shape in hidden for part in (nn.Linear(*shape), nn.ReLU())))
        self.density = nn.Linear(WIDTH, 1)
        self.colour = nn.Sequential(nn.Linear(WIDTH, WIDTH // 2), nn.ReLU(), nn.Linear(WIDTH // 2, 3))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.trunk(encode(x, self.frequencies))
        return nn.functional.softplus(self.density(features)[..., 0]), torch.sigmoid(self.colour(features))


def composite(density: torch.Tensor, widths: torch.Tensor | float, colours: torch.Tensor) -> torch.Tensor:
    """Pixels (n, 3) of rays with densities (n, bins) and colours (n, bins, 3) in front of the background."""
    passed = torch.exp(-torch.cumsum(density * widths, dim=1))
    before = torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], dim=1)
    return ((before - passed)[..., None] * colours).sum(dim=1) + passed[:, -1:] * torch.tensor(BACKGROUND)


def render(field: Field, origins: torch.Tensor, directions: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Pixels (n, 3) of rays (n, 2) with one position in each of the equal bins, `t` (n, bins)."""
    density, colours = field(origins[:, None] + t[..., None] * directions[:, None])
    return composite(density, (FAR - NEAR) / t.shape[1], colours)


def positions(rays: int, generator: torch.Generator | None) -> torch.Tensor:
    """Stratified positions (rays, BINS), or the middles of the bins without a generator."""
    inside = torch.full((rays, BINS), 0.5) if generator is None else torch.rand((rays, BINS), generator=generator)
    return NEAR + (FAR - NEAR) * (torch.arange(BINS) + inside) / BINS


def psnr(predicted: np.ndarray, truth: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((predicted - truth) ** 2)))


def _tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.tensor(array, dtype=torch.float32) for array in arrays]


def _all_rays(angles: np.ndarray) -> list[torch.Tensor]:
    origins, directions = zip(*(camera_rays(angle) for angle in angles), strict=True)
    return _tensors(np.concatenate(origins), np.concatenate(directions))


@torch.no_grad()
def _views(field: Field, angles: np.ndarray) -> np.ndarray:
    origins, directions = _all_rays(angles)
    pixels = render(field, origins, directions, positions(len(origins), None))
    return pixels.numpy().reshape(len(angles), PIXELS, 3)


@torch.no_grad()
def _map(field: Field) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.meshgrid(grid(), grid(), indexing="ij")
    (points,) = _tensors(np.stack([x, y], axis=-1))
    density, colours = field(points)
    return density.numpy(), colours.numpy()


def train(cameras: int, frequencies: int, moments: tuple[int, ...] = MOMENTS) -> Result:
    """Train one field for `moments[-1]` steps; what comes back is described at the top of the module."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    field = Field(frequencies)
    optimizer = torch.optim.Adam(field.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1 ** (1 / max(moments[-1], 1)))
    angles, held_out = training_angles(cameras), test_angles()
    seen, truth = photographs(angles), photographs(held_out)
    origins, directions = _all_rays(angles)
    (targets,) = _tensors(seen.reshape(-1, 3))

    density, views, train_psnr, losses = [], [], [], []
    for step in range(moments[-1] + 1):
        if step in moments:
            density.append(_map(field)[0])
            views.append(_views(field, held_out))
            train_psnr.append(psnr(_views(field, angles), seen))
        if step == moments[-1]:
            break
        batch = torch.randint(len(origins), (RAYS,), generator=generator)
        pixels = render(field, origins[batch], directions[batch], positions(RAYS, generator))
        loss = ((pixels - targets[batch]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())

    t = np.linspace(NEAR, FAR, 385)
    origin, direction = inspected_ray()
    (points,) = _tensors(origin + t[:, None] * direction)
    with torch.no_grad():
        ray_density, ray_colours = field(points)
    return {
        "steps": np.array(moments),
        "density": np.array(density, dtype=np.float16),
        "colours": _bytes(_map(field)[1]),
        "views": _bytes(np.array(views)),
        "truth": truth.astype(np.float32),
        "test_angles": held_out,
        "train_angles": angles,
        "train_psnr": np.array(train_psnr),
        "test_psnr": np.array([psnr(view, truth) for view in views]),
        "losses": np.array(losses, dtype=np.float32),
        "ray_positions": t,
        "ray_density": ray_density.numpy(),
        "ray_colours": ray_colours.numpy(),
    }


def _bytes(picture: np.ndarray) -> np.ndarray:
    """Kept in 256 levels, which is all a drawing shows."""
    return np.round(255 * picture).astype(np.uint8)


@recorded
def flatland(cameras: int, frequencies: int) -> Result:
    """See the top of the module."""
    return train(cameras, frequencies)
