"""Every number and every claim of tm-24 that can be computed is computed here."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from scripts.dl import volume_rendering as vr
from scripts.experiments import flatland as world
from scripts.figures import tm_24
from tests.content.page import assert_said, printed

PAGE = printed("theory-minimum/24-nerf.md")
WHITE = np.ones(3)


def some_ray(bins=9, seed=0):
    """Densities, widths and colours of one ray, nothing opaque."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 2, bins), rng.uniform(0.1, 0.6, bins), rng.uniform(size=(bins, 3))


# One ray


def test_transmittance_solves_its_equation():
    t = np.linspace(0, 3, 30_001)
    density = 1 + np.sin(2 * t) ** 2
    T = vr.transmittance(density[:-1], np.diff(t))
    slope = np.gradient(T, t)[1:-1]
    np.testing.assert_allclose(slope, -density[1:-1] * T[1:-1], atol=1e-3)


def test_weights_are_the_losses_of_transmittance_and_sum_to_what_was_stopped():
    density, widths, _ = some_ray()
    T, w = vr.transmittance(density, widths), vr.weights(density, widths)
    np.testing.assert_allclose(w, T[:-1] - T[1:], atol=1e-15)
    assert w.sum() == pytest.approx(1 - T[-1])
    assert w.sum() == pytest.approx(1 - math.exp(-(density * widths).sum()))


def test_empty_ray_returns_the_background():
    _, widths, colours = some_ray()
    np.testing.assert_allclose(vr.render(np.zeros(9), widths, colours, WHITE), WHITE)


def test_opaque_first_bin_returns_its_colour():
    density, widths, colours = some_ray()
    density[0] = 1e6
    np.testing.assert_allclose(vr.render(density, widths, colours, WHITE), colours[0])


def test_splitting_a_bin_changes_nothing():
    density, widths, colours = some_ray()
    halves = [np.repeat(v, 2, axis=0) for v in (density, widths / 2, colours)]
    np.testing.assert_allclose(vr.render(*halves, WHITE), vr.render(density, widths, colours, WHITE), atol=1e-14)


def test_rectangles_depend_on_the_splitting_and_exceed_one():
    optical = 3.0
    assert optical > 1 > vr.alphas(optical, 1.0)
    half = vr.alphas(optical, 0.5)
    assert 1 - (1 - half) ** 2 == pytest.approx(vr.alphas(optical, 1.0))
    assert abs(1 - (1 - optical / 2) ** 2 - optical) > 1
    assert vr.alphas(1e-4, 1.0) == pytest.approx(1e-4, rel=1e-4)  # the first term of the series


def test_ray_at_the_board():
    density, widths = np.array([0.0, math.log(2), math.log(5)]), np.ones(3)
    colours = np.array([[0.3, 0.3, 0.3], [1.0, 0, 0], [0, 0, 1.0]])
    np.testing.assert_allclose(vr.alphas(density, widths), [0, 0.5, 0.8])
    np.testing.assert_allclose(vr.transmittance(density, widths), [1, 1, 0.5, 0.1])
    w = vr.weights(density, widths)
    np.testing.assert_allclose(w, [0, 0.5, 0.4])
    np.testing.assert_allclose(vr.render(density, widths, colours, WHITE), [0.6, 0.1, 0.5])
    assert_said(PAGE, float(vr.expected_depth(w, np.array([2.0, 3.0, 4.0]))), digits=2)


def test_gradient_compares_the_colour_with_what_is_behind():
    density, widths, colours = some_ray()
    analytic = vr.density_gradient(density, widths, colours, WHITE)
    T = vr.transmittance(density, widths)
    for i in range(len(density)):
        bump = np.eye(len(density))[i] * 1e-6
        ahead, back = (vr.render(density + sign * bump, widths, colours, WHITE) for sign in (1, -1))
        np.testing.assert_allclose(analytic[i], (ahead - back) / 2e-6, atol=1e-8)
        behind = vr.render(density[i + 1 :], widths[i + 1 :], colours[i + 1 :], WHITE)
        np.testing.assert_allclose(analytic[i], widths[i] * T[i + 1] * (colours[i] - behind), atol=1e-13)


def test_nothing_is_learnt_behind_an_opaque_bin():
    density, widths, colours = some_ray()
    density[3] = 1e4
    gradient = vr.density_gradient(density, widths, colours, WHITE)
    assert np.abs(gradient[3:]).max() < 1e-12
    assert np.abs(gradient[:3]).max() > 1e-3


def test_opaque_bin_itself_is_stuck():
    density, widths, colours = some_ray()
    density[0] = 1e4
    assert np.abs(vr.density_gradient(density, widths, colours, WHITE)[0]).max() < 1e-12


def test_endless_last_bin_takes_the_rest():
    density, widths, _ = some_ray()
    widths[-1] = 1e10
    assert vr.weights(density, widths).sum() == pytest.approx(1)
    density[-1] = 0
    assert vr.weights(density, widths).sum() < 0.99


def test_second_round_goes_where_the_weights_are():
    edges = np.linspace(2, 6, 65)
    weights = np.zeros(64)
    weights[[20, 40]] = 0.6, 0.2
    more = vr.refine(edges, weights, 128)
    assert np.sum((more > edges[20]) & (more < edges[21])) == 96
    assert len(np.concatenate([edges[:-1], more])) == 192


# Pictures and networks


def test_middle_of_the_picture_looks_forward():
    H, W, f = 4, 6, 5.0

    def direction(u, v):
        return np.array([(u - W / 2) / f, -(v - H / 2) / f, -1])

    np.testing.assert_allclose(direction(W / 2, H / 2), [0, 0, -1])
    assert direction(W, H / 2)[0] > 0 > direction(W / 2, H)[1]


def test_psnr_of_the_table():
    assert_said(PAGE, 10 ** (-31.01 / 20))
    assert_said(PAGE, 31.01 - 27.78, digits=1)


def test_highest_frequency_tells_near_points_apart():
    turn = 2**9 * math.pi * 0.001
    assert_said(PAGE, turn, digits=1)
    assert turn == pytest.approx(math.pi / 2, rel=0.03)


def encoding(p, octaves):
    turns = math.pi * 2.0 ** np.arange(octaves) * p
    return np.concatenate([np.sin(turns), np.cos(turns)])


def test_kernel_of_the_encoding_depends_on_the_difference():
    for octaves in (4, 10):
        for p, q in ((0.3, 0.1), (-0.5, 0.77)):
            expected = np.cos(2.0 ** np.arange(octaves) * math.pi * (p - q)).sum()
            assert encoding(p, octaves) @ encoding(q, octaves) == pytest.approx(expected)
    near = [encoding(0.01, n) @ encoding(0, n) / n for n in (4, 6, 10)]
    assert near == sorted(near, reverse=True)


def test_encoding_repeats_after_two():
    np.testing.assert_allclose(encoding(0.3, 10), encoding(2.3, 10), atol=1e-9)
    assert np.abs(encoding(0.3, 10) - encoding(1.3, 10)).max() > 0.5


class Nerf(nn.Module):
    """The network of the paper with `seen` numbers of the point and `gaze` of the direction."""

    def __init__(self, seen: int, gaze: int):
        super().__init__()
        sizes = [seen, 256, 256, 256, 256, 256 + seen, 256, 256]
        self.trunk = nn.ModuleList(nn.Linear(size, 256) for size in sizes)
        self.density, self.features = nn.Linear(256, 1), nn.Linear(256, 256)
        self.hidden, self.colour = nn.Linear(256 + gaze, 128), nn.Linear(128, 3)

    def forward(self, x, d):
        a = x
        for number, layer in enumerate(self.trunk):
            a = torch.relu(layer(torch.cat([x, a], dim=-1) if number == 5 else a))
        mixed = torch.cat([self.features(a), d], dim=-1)
        return torch.relu(self.density(a)), torch.sigmoid(self.colour(torch.relu(self.hidden(mixed))))


def test_cost_of_the_network_and_of_a_frame():
    sizes = [sum(p.numel() for p in Nerf(*inputs).parameters()) for inputs in ((63, 27), (60, 24))]
    assert sizes == [595_844, 593_924]
    assert all(f"{n // 1000}\\,{n % 1000}" in PAGE for n in sizes)
    assert_said(PAGE, 2 * 4 * sizes[0] / 1e6, digits=1)
    layers = [m for m in Nerf(63, 27).modules() if isinstance(m, nn.Linear)]
    flops = 2 * sum(layer.weight.numel() for layer in layers)
    assert_said(PAGE, flops / 1e6, digits=2)
    queries = 800 * 800 * (64 + 192)
    assert round(queries / 1e6) == 164
    assert round(queries * flops / 1e12) == 194
    step = 3 * 4096 * 256 * flops
    assert_said(PAGE, step / 1e12, digits=1)
    assert 300_000 * step == pytest.approx(1e18, rel=0.2)


def test_sizes_of_the_inputs():
    assert (3 * 2 * 10, 3 * 2 * 4) == (60, 24)
    x = torch.zeros(1, 2)
    assert world.encode(x, 6).shape[-1] == 2 + 2 * 2 * 6


def test_how_often_a_pixel_is_seen():
    rays = 100 * 800 * 800
    assert (rays, rays / 4096) == (64_000_000, 15_625)
    assert round(300_000 / 15_625) == 19


def test_direction_cannot_reach_the_density():
    net = Nerf(60, 24)
    x, d = torch.randn(5, 60), torch.randn(5, 24, requires_grad=True)
    density, colour = net(x, d)
    (gradient,) = torch.autograd.grad(colour.sum(), d, retain_graph=True)
    assert gradient.abs().max() > 0
    assert torch.autograd.grad(density.sum(), d, allow_unused=True) == (None,)


def test_empty_scene_under_relu_does_not_learn():
    raw = torch.full((6,), -1.0, requires_grad=True)
    for positive, learns in ((torch.relu, False), (nn.functional.softplus, True)):
        pixel = world.composite(positive(raw)[None], 0.1, torch.full((1, 6, 3), 0.2))
        (gradient,) = torch.autograd.grad(((pixel - 0.5) ** 2).sum(), raw)
        assert bool(gradient.abs().max() > 0) is learns


def test_voxels_of_the_same_fineness():
    assert_said(PAGE, 512**3 * 4 * 4 / 1e9, digits=1)


def test_sine_averaged_over_a_gaussian():
    z, weight = np.polynomial.hermite_e.hermegauss(60)
    for mu, s in ((0.4, 0.3), (1.1, 1.5)):
        mean = weight @ np.sin(mu + s * z) / weight.sum()
        assert mean == pytest.approx(math.sin(mu) * math.exp(-(s**2) / 2))


# Figures


def test_figure_training():
    result = world.flatland(*tm_24.GOOD)
    assert result["steps"].tolist() == [0, 25, 100, 400]
    assert_said(PAGE, *result["test_psnr"][[0, -1]], digits=1)
    assert np.all(np.diff(result["test_psnr"]) > 0)
    assert_said(PAGE, tm_24.BIN, digits=4)
    assert result["density"][-1][0, 0] < 0.1


def test_discs_are_uneven_but_have_no_holes():
    density = world.flatland(*tm_24.GOOD)["density"][-1].astype(float)
    x, y = np.meshgrid(world.grid(), world.grid())
    for disc in world.DISCS:
        inside = density[np.hypot(x - disc.x, y - disc.y) < 0.5 * disc.radius]
        assert inside.min() > 3
    biggest = density[np.hypot(x - world.DISCS[0].x, y - world.DISCS[0].y) < 0.8 * world.DISCS[0].radius]
    assert biggest.max() > 5 * biggest.min()


def test_held_out_camera_is_no_training_camera():
    angles = np.rad2deg(world.training_angles(16))
    gap = np.abs(angles - np.rad2deg(world.test_angles()[tm_24.HELD_OUT])).min()
    assert gap > 3
    assert (world.LAYERS, world.WIDTH, world.PIXELS) == (3, 64, 64)


def test_figure_one_ray():
    values = tm_24.ray()
    t, w, density = values["t"], values["w"], values["density"]
    cuts = (0, 2.2, 2.8, 4)
    pieces = [(t > a) & (t < b) for a, b in zip(cuts, cuts[1:], strict=False)]
    assert_said(PAGE, *(w[piece].sum() for piece in pieces), digits=2)
    assert max(range(3), key=lambda piece: density[pieces[piece]].max()) == 2
    assert_said(PAGE, float(values["depth"]), digits=2)
    assert density[np.abs(t - values["depth"]).argmin()] < 0.1


def test_pixel_of_the_inspected_ray_is_a_mixture():
    camera, pixel = world.INSPECTED
    finer = world.camera_rays(float(world.test_angles()[camera]), world.PIXELS * world.SUBPIXELS)
    within = slice(pixel * world.SUBPIXELS, (pixel + 1) * world.SUBPIXELS)
    seen = world.trace(*(part[within] for part in finer))
    green, purple = (np.all(seen == world.DISCS[number].colour, axis=1).sum() for number in (3, 4))
    assert (green, purple, world.SUBPIXELS) == (5, 11, 16)
    np.testing.assert_allclose(seen.mean(axis=0), tm_24.ray()["photograph"], atol=1e-6)


def test_what_spoils_the_flat_world():
    names = {"raw": (16, 0), "four": (16, 4), "six": tm_24.GOOD, "ten": (16, 10), "three": (3, 6)}
    runs = {name: world.flatland(*arguments) for name, arguments in names.items()}
    seen, new = ({name: run[key][-1] for name, run in runs.items()} for key in ("train_psnr", "test_psnr"))
    assert_said(PAGE, seen["raw"], seen["six"], seen["three"], digits=1)
    assert_said(PAGE, new["four"], new["six"], new["ten"], new["three"], digits=1)
    assert max(seen, key=seen.get) == "three"
    assert max(new, key=new.get) == "six"
    assert set(tm_24.SPOILED.values()) <= set(names.values())


def test_figure_direction():
    values = tm_24.best_blind()
    assert_said(PAGE, values["psnr"], digits=1)
    brightness = values["truth"][tm_24.CHOSEN].mean(axis=-1)
    assert np.nanmax(brightness) / np.nanmin(brightness) == pytest.approx(2.37, abs=0.05)
    best = np.rad2deg(tm_24.ANGLES[np.nanargmax(brightness)])
    assert best == pytest.approx(52, abs=1.5)
    blind = values["blind"][tm_24.CHOSEN]
    assert np.nanstd(blind, axis=0).max() < 1e-12  # one colour from everywhere


def test_unlit_side_has_no_highlight():
    behind = tm_24.appearance(np.deg2rad([120.0, 180.0]), tm_24.ANGLES)
    assert np.all(behind[np.isfinite(behind[..., 0])] == tm_24.COLOUR)


def test_turned_away_points_are_not_seen():
    seen = np.isfinite(tm_24.appearance(np.array([0.0, np.pi]), np.array([np.pi]))[..., 0])
    assert seen[:, 0].tolist() == [False, True]
