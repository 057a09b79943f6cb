"""The flat world and its renderer, without the long training."""

import numpy as np
import torch

from scripts.dl import volume_rendering
from scripts.experiments import flatland


def test_composite_is_the_rendering_of_the_library():
    rng = np.random.default_rng(0)
    density, widths, colours = rng.exponential(1, (4, 9)), rng.random((4, 9)), rng.random((4, 9, 3))
    ours = flatland.composite(*(torch.tensor(array) for array in (density, widths, colours)))
    expected = volume_rendering.render(density, widths, colours, np.array(flatland.BACKGROUND))
    assert np.allclose(ours.numpy(), expected, atol=1e-12)


def test_an_empty_ray_shows_the_background_and_a_wall_its_own_colour():
    colours = torch.rand((1, 4, 3), generator=torch.Generator().manual_seed(0))
    assert flatland.composite(torch.zeros((1, 4)), 0.5, colours)[0].tolist() == list(flatland.BACKGROUND)
    wall = torch.tensor([[1e4, 3.0, 0.0, 1.0]])
    assert torch.allclose(flatland.composite(wall, 0.5, colours)[0], colours[0, 0])


def test_trace_sees_the_nearest_disc():
    first, second = flatland.DISCS[0], flatland.DISCS[4]
    through = np.array([second.x - first.x, second.y - first.y])
    through /= np.linalg.norm(through)
    origins = np.array([first.x, first.y]) + np.array([[-3.0], [3.0]]) * through
    directions = np.array([through, -through])
    colours = flatland.trace(origins, directions)
    assert colours[0].tolist() == list(first.colour)
    assert colours[1].tolist() != list(first.colour)
    assert flatland.trace(origins[:1], -directions[:1])[0].tolist() == list(flatland.BACKGROUND)


def test_the_scene_lies_between_near_and_far_and_in_view():
    for disc in flatland.DISCS:
        reach = np.hypot(disc.x, disc.y) + disc.radius
        assert flatland.DISTANCE - reach > flatland.NEAR
        assert flatland.DISTANCE + reach < flatland.FAR
        assert reach / np.sqrt(flatland.DISTANCE**2 - reach**2) < flatland.HALF_VIEW
    white = np.array(flatland.BACKGROUND)
    pictures = flatland.photographs(flatland.test_angles())
    assert np.all(pictures[:, [0, -1]] == white)
    assert pictures.min() >= 0


def test_test_cameras_are_none_of_the_training_cameras():
    apart = flatland.test_angles()[:, None] - flatland.training_angles(16)
    assert np.abs(np.exp(1j * apart) - 1).min() > 0.05


def test_encode_appends_octaves_to_the_coordinates():
    x = torch.tensor([[0.25, -0.5]])
    code = flatland.encode(x, 2)
    assert code.shape == (1, 10)
    assert code[0, :2].tolist() == x[0].tolist()
    assert torch.allclose(code[0, 6:8], torch.sin(2 * torch.pi * x[0]), atol=1e-6)


def test_a_few_steps_already_help():
    found = flatland.train(4, 3, moments=(0, 8))
    assert found["train_psnr"][1] > found["train_psnr"][0]
    assert found["density"].shape == (2, flatland.GRID, flatland.GRID)
    assert found["views"].shape == (2, *found["truth"].shape)
    assert np.all(found["density"] >= 0)
