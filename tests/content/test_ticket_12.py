"""Every number and every claim of ticket-12 that can be computed is computed here."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from scripts.dl import fourier_features as ff
from scripts.dl import volume_rendering as vr
from scripts.experiments import flatland as flat
from scripts.experiments import fourier_image as photo
from scripts.experiments import sdf
from scripts.figures import ticket_12
from tests.content.page import assert_said, printed

PAGE = printed("tickets/12-nerf.md")


# Implicit representations


def test_voxels_take_gigabytes():
    assert_said(PAGE, 512**3 * 4 * 4 / 1e9, digits=1)
    assert 2**8 == 256


def test_marching_cubes_interpolation():
    f0, f1 = -0.3, 0.5
    t = f0 / (f0 - f1)
    assert (1 - t) * f0 + t * f1 == pytest.approx(0)


def test_figure_distance():
    errors = ticket_12.distance_errors()
    assert errors["with"] == pytest.approx(0.014, abs=0.004)
    assert errors["without"] == pytest.approx(0.076, abs=0.02)
    assert errors["circle"] == pytest.approx(0.009, abs=0.003)
    assert_said(PAGE, errors["with"], errors["without"], errors["circle"])
    points, radii, met = ticket_12.walk()
    assert met
    assert len(points) - 1 == 13
    assert radii[1:8].min() < 0.07 < radii[8]  # short beside the petal, then longer again
    assert radii[-1] < 1e-3


@pytest.mark.parametrize("weight", [sdf.EIKONAL, 0.0])
def test_the_contour_is_found_with_and_without_the_eikonal_term(weight):
    inside, found = ticket_12.exact_distance(ticket_12.PETALS) < 0, sdf.sdf(ticket_12.PETALS, weight)["field"] < 0
    assert np.mean(inside == found) > 0.99


def test_unit_slope_alone_does_not_make_a_distance():
    """Zero at 0 and 4 and slope ±1 everywhere, like the distance min(x, 4 - x), and yet another function."""
    x = np.linspace(0, 4, 401)
    saw = np.interp(x, [0, 1, 1.5, 2.5, 4], [0, 1, 0.5, 1.5, 0])
    assert np.abs(np.diff(saw)) == pytest.approx(0.01)
    assert np.all(saw <= np.minimum(x, 4 - x) + 1e-12)
    assert saw[200] < 2


# Spectral bias


def test_residuals_decay_by_mode():
    rng = np.random.default_rng(0)
    factor = rng.standard_normal((4, 4))
    K, r = factor @ factor.T, rng.standard_normal(4)
    values, vectors = np.linalg.eigh(K)
    predicted = vectors @ (np.exp(-values * 0.5) * (vectors.T @ r))
    for _ in range(20_000):
        r = r - 0.5 / 20_000 * K @ r
    assert r == pytest.approx(predicted, abs=1e-3)


def test_spectrum_of_the_figure():
    spectra = ticket_12.spectra()
    low, high = spectra["$L=1$"][32], spectra["$L=7$"][32]
    assert_said(PAGE, low, digits=5)
    assert_said(PAGE, high, digits=3)
    assert round(high / low) == 135
    assert "в 135 раз" in PAGE
    peaks = spectra["$L=7$"][[1, 2, 4, 8, 16, 32, 64]]
    assert peaks.min() > 0.85 * peaks.max()
    assert spectra["$L=7$"][48] < 0.3 * peaks.min()  # the comb
    smooth = spectra["$s=10$"][1:65]
    assert np.all(np.diff(smooth) < 0)
    for values in spectra.values():
        assert values[0] + 2 * values[1:-1].sum() + values[-1] == pytest.approx(1)
    assert_said(PAGE, spectra["$L=1$"][1], digits=2)
    assert spectra["$L=1$"][128] == pytest.approx(1e-5, rel=0.3)


def test_photograph_of_the_figure():
    found = ticket_12.photo_psnr()
    hidden = dict(zip(ticket_12.SCALES, found[:, 1], strict=True))
    for scale, value in ((0, 18.6), (1, 22.8), (3, 25.0), (10, 24.7), (40, 9.2)):
        assert hidden[scale] == pytest.approx(value, abs=0.5)
    assert_said(PAGE, *(hidden[scale] for scale in (0, 1, 3, 10, 40)), found[-1, 0], digits=1)
    assert np.all(np.diff(found[:, 0]) > 0)


def test_kernel_between_neighbouring_pixels():
    step = 1 / photo.SIDE
    assert_said(PAGE, *(float(ff.random_kernel(step, s)) for s in (10, 40)), digits=2)
    widths = [photo.SIDE / (2 * math.pi * s) for s in (10, 40)]
    assert_said(PAGE, *widths, digits=1)
    assert float(ff.random_kernel(1 / (2 * math.pi * 7), 7)) == pytest.approx(math.exp(-0.5))


@pytest.mark.parametrize("scale", [0.3, 1.0])
def test_random_feature_kernel_monte_carlo(scale):
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-0.4, 0.4, (2, 3))
    B = ff.gaussian_frequencies(100_000, 3, scale, rng)
    found = ff.random_features(x, B) @ ff.random_features(y, B) / len(B)
    assert found == pytest.approx(float(ff.random_kernel(np.linalg.norm(x - y), scale)), abs=0.015)


def test_derivative_of_a_sine_is_a_shifted_sine_and_its_variance_a_half():
    t = np.linspace(0, 2 * np.pi, 1000, endpoint=False)
    assert np.allclose(np.cos(t), np.sin(t + np.pi / 2))
    assert np.sin(t).var() == pytest.approx(0.5)
    n, omega = 256, 30
    assert omega**2 * n * (6 / n / omega**2 / 3) * 0.5 == pytest.approx(1)


# NeRF


class Nerf(torch.nn.Module):
    """The layers of the paper, as in its code; `raw` appends the coordinates themselves to γ."""

    def __init__(self, raw: bool):
        super().__init__()
        point, direction = (3 * (raw + 2 * count) for count in (10, 4))
        sizes = [(point, 256), *[(256, 256)] * 4, (256 + point, 256), *[(256, 256)] * 2]
        self.trunk = torch.nn.ModuleList(torch.nn.Linear(*size) for size in sizes)
        self.density, self.features = torch.nn.Linear(256, 1), torch.nn.Linear(256, 256)
        self.view, self.colour = torch.nn.Linear(256 + direction, 128), torch.nn.Linear(128, 3)

    def count(self) -> int:
        return sum(p.numel() for p in self.parameters())


def test_parameters_of_nerf():
    nerf = Nerf(raw=True)
    assert nerf.count() == 595_844
    assert Nerf(raw=False).count() == 593_924
    for number in (nerf.count(), 593_924, 16_384, 65_792, 81_920, 36_352):
        assert f"{number:,}".replace(",", r"\,") in PAGE
    sizes = [sum(p.numel() for p in layer.parameters()) for layer in nerf.trunk]
    assert sorted(sizes) == sorted([16_384, 81_920, *[65_792] * 6])
    assert sum(p.numel() for p in nerf.view.parameters()) == 36_352
    assert sum(p.numel() for p in nerf.colour.parameters()) == 387
    assert sum(p.numel() for p in nerf.density.parameters()) == 257
    assert ff.octaves(np.zeros(3), 10, keep_input=True).size == 63
    assert ff.octaves(np.zeros(3), 4, keep_input=True).size == 27
    assert_said(PAGE, 2 * 4 * nerf.count() / 1e6, digits=1)


def test_cost_of_a_frame():
    nerf, queries = Nerf(raw=True), 800 * 800 * (64 + 192)
    assert round(queries / 1e6) == 164
    weights = sum(p.numel() for p in nerf.parameters() if p.ndim == 2)
    assert round(2 * weights * queries / 1e12) == 194
    assert "164 млн" in PAGE
    assert round(4096 * (64 + 192) / 1e6, 1) == 1  # "about a million" in a batch
    assert "194 TFLOP" in PAGE


def test_ray_of_a_pixel_projects_back_to_the_pixel():
    K = np.array([[500.0, 0, 400], [0, 500, 300], [0, 0, 1]])
    angle = 0.4
    R = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    o, pixel = np.array([1.0, 2, 3]), np.array([123.0, 456, 1])
    point = o + 2.5 * R @ np.linalg.inv(K) @ pixel
    seen = K @ R.T @ (point - o)
    assert seen / seen[2] == pytest.approx(pixel)


# Volume rendering


def density(t):
    return 2 + np.sin(5 * t)


def transmittance(t):
    return math.exp(-quad(density, 0, t)[0])


def test_transmittance_solves_its_equation():
    for t in (0.3, 1.1):
        slope = (transmittance(t + 1e-4) - transmittance(t - 1e-4)) / 2e-4
        assert slope == pytest.approx(-density(t) * transmittance(t), rel=1e-6)


def test_stopping_distance_is_a_distribution():
    total = quad(lambda t: transmittance(t) * density(t), 0, 1.5)[0]
    assert total == pytest.approx(1 - transmittance(1.5), abs=1e-8)
    rng = np.random.default_rng(0)
    step, alive, stops = 0.005, np.ones(20_000, dtype=bool), []
    for k in range(300):  # walk through the fog, meeting a particle with probability σ dt
        hit = alive & (rng.random(20_000) < density((k + 0.5) * step) * step)
        stops.extend([(k + 0.5) * step] * int(hit.sum()))
        alive &= ~hit
    mean = quad(lambda t: t * transmittance(t) * density(t), 0, 1.5)[0] / total
    assert np.mean(stops) == pytest.approx(mean, abs=0.015)
    assert alive.mean() == pytest.approx(transmittance(1.5), abs=0.01)


def random_ray(seed=0):
    rng = np.random.default_rng(seed)
    return rng.exponential(2, 8), rng.uniform(0.05, 0.5, 8), rng.random((8, 3)), rng.random(3)


def test_weights_telescope():
    density, widths, *_ = random_ray()
    T, w = vr.transmittance(density, widths), vr.weights(density, widths)
    assert np.allclose(w, T[:-1] - T[1:], atol=1e-14)
    assert w.sum() == pytest.approx(1 - np.exp(-np.sum(density * widths)))
    assert np.allclose(T[1:], np.cumprod(1 - vr.alphas(density, widths)), atol=1e-14)


def test_the_bin_is_integrated_exactly():
    sigma, delta, before = 1.7, 0.6, 0.4
    found = quad(lambda s: before * math.exp(-sigma * s) * sigma, 0, delta)[0]
    assert found == pytest.approx(before * (1 - math.exp(-sigma * delta)))


def test_splitting_a_segment_changes_nothing():
    density, widths, colours, background = random_ray()
    parts = np.repeat(density, 2), np.concatenate([[0.3 * d, 0.7 * d] for d in widths]), np.repeat(colours, 2, axis=0)
    whole = vr.render(density, widths, colours, background)
    assert np.allclose(vr.render(*parts, background), whole, atol=1e-13)


def test_example_by_hand():
    density, widths, brightness = np.array([0.0, 1, 3]), np.full(3, 0.5), np.array([1, 1, 0.2])
    alpha, T, w = vr.alphas(density, widths), vr.transmittance(density, widths), vr.weights(density, widths)
    assert_said(PAGE, *alpha[1:], T[2], T[3], *w[1:])
    assert T[3] == pytest.approx(math.exp(-2))
    pixel = vr.render(density, widths, brightness[:, None], np.zeros(1))[0]
    assert_said(PAGE, pixel)
    assert pixel == pytest.approx(0.488, abs=5e-4)


def test_density_gradient_formula():
    density, widths, colours, background = random_ray(1)
    for i in range(len(density)):
        shift = 1e-6 * np.eye(len(density))[i]
        slope = vr.render(density + shift, widths, colours, background)
        slope = (slope - vr.render(density - shift, widths, colours, background)) / 2e-6
        assert np.allclose(vr.density_gradient(density, widths, colours, background)[i], slope, atol=1e-8)


def test_density_gradient_compares_with_the_view_from_behind():
    density, widths, colours, background = random_ray(2)
    T = vr.transmittance(density, widths)
    slopes = vr.density_gradient(density, widths, colours, background)
    for i in range(len(density)):
        rest = slice(i + 1, None)
        behind = vr.render(density[rest], widths[rest], colours[rest], background)
        assert np.allclose(slopes[i], widths[i] * T[i + 1] * (colours[i] - behind), atol=1e-13)


def test_nothing_is_learned_behind_a_wall():
    density, widths, colours, background = random_ray()
    density[3] = 1e4
    slopes = vr.density_gradient(density, widths, colours, background)
    assert np.abs(slopes[4:]).max() < 1e-12
    assert np.abs(slopes[:3]).max() > 1e-3


def test_special_rays():
    _, widths, colours, background = random_ray()
    assert np.array_equal(vr.render(np.zeros(8), widths, colours, background), background)
    density = np.array([1e5, *np.ones(7)])
    assert np.allclose(vr.render(density, widths, colours, background), colours[0])


def test_twice_smaller_scene_has_twice_the_density():
    density, widths, colours, background = random_ray()
    smaller = vr.render(2 * density, widths / 2, colours, background)
    assert np.allclose(smaller, vr.render(density, widths, colours, background), atol=1e-14)


def test_mean_depth_of_two_peaks_lies_where_nothing_is():
    t = vr.stratified(0, 4, 400, 1)[0]
    density = np.where(np.abs(t - 1) < 0.05, 7.0, 0) + np.where(np.abs(t - 3) < 0.05, 50.0, 0)
    depth = vr.expected_depth(vr.weights(density, np.full(400, 0.01)), t)
    assert 1.5 < depth < 2.5
    assert np.interp(depth, t, density) == 0


def test_figure_quadrature():
    found, bins = ticket_12.quadratures(), list(ticket_12.BINS)
    assert np.all(found["alpha, total"] <= 1)
    assert_said(PAGE, found["sum, total"][0], digits=1)
    assert_said(PAGE, found["sum, total"][-1], digits=2)
    at = bins.index(32)
    assert_said(PAGE, found["sum, error"][at], found["alpha, error"][at])
    ratio = found["sum, error"] / found["alpha, error"]
    assert 5 < ratio.min() < 6
    assert 70 < ratio.max() < 80


def test_figure_density_push():
    t, _, pushes = ticket_12.push()
    red, white = pushes["красный"], pushes["белый"]
    assert np.ptp(red[t < 2]) < 1e-12
    assert np.ptp(red[t > 2]) < 1e-12
    assert_said(PAGE, -red[0], red[-1], digits=2)
    assert np.all(white < 0)


# Sampling, training


def test_random_positions_give_a_biased_colour():
    """E exp(-X) > exp(-E X): one uniform position in one bin of a ramp of density."""
    positions = np.linspace(0, 1, 10_001)
    mean = np.mean(1 - np.exp(-6 * positions))  # density 6 t at a random t, bin of length 1
    assert mean < 1 - math.exp(-3) - 0.05


def test_figure_along_ray():
    ray = ticket_12.ray()
    w = vr.weights(ray["density"], np.full_like(ray["t"], ray["t"][1] - ray["t"][0]))
    shares = [w[ray["t"] < 2.3].sum(), w[(ray["t"] > 2.3) & (ray["t"] < 2.8)].sum(), w[ray["t"] > 2.8].sum()]
    assert [round(100 * share) for share in shares] == [59, 26, 15]
    assert "59 % веса" in PAGE
    assert "15 % веса" in PAGE
    assert ray["t"][np.argmax(ray["density"])] > 2.8
    assert len(ray["spans"]) == 2
    origin, direction = flat.inspected_ray()
    green = flat.DISCS[3]
    offset = np.array([green.x, green.y]) - origin
    gap = abs(offset[0] * direction[1] - offset[1] * direction[0]) - green.radius
    assert_said(PAGE, gap)
    both, equal = ticket_12.sampling_errors()
    assert_said(PAGE, both, equal)
    assert (ticket_12.COARSE, ticket_12.FINE) == (24, 48)


def test_figure_flat_world():
    found = ticket_12.test_psnr()
    for key, values in (
        ((16, 6), (30.7, 27.7)), ((16, 0), (18.4, 18.1)), ((3, 6), (32.8, 12.2)), ((16, 4), (27.4, 25.2)),
        ((16, 10), (27.3, 24.5)),
    ):  # fmt: skip
        assert found[key] == pytest.approx(values, abs=1.0)
    assert_said(PAGE, *found[16, 6], *found[16, 0], *found[3, 6], found[16, 4][1], found[16, 10][1], digits=1)
    parameters = sum(p.numel() for p in flat.Field(6).parameters())
    assert f"{parameters:,}".replace(",", r"\,") in PAGE
    assert flat.PIXELS == flat.BINS == 64
    assert flat.TEST_CAMERAS == 48


def test_psnr_of_a_thousandth():
    assert -10 * math.log10(0.001) == pytest.approx(30)
    predicted = np.full((4, 4), 0.5)
    assert flat.psnr(predicted + math.sqrt(0.001), predicted) == pytest.approx(30)


def test_thin_wall_on_a_ray():
    """A wall of 0.01 at a random place on a ray of length 1, and 64 stratified positions."""
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 0.99, (20_000, 1))
    t = vr.stratified(0, 1, 64, 20_000, rng)
    assert np.mean(np.any((t > start) & (t < start + 0.01), axis=1)) == pytest.approx(0.6, abs=0.02)
    assert round(128 * 64 / 192) == 43


def test_ends_of_the_cube_have_one_code():
    assert np.allclose(ff.octaves(np.array([-1.0]), 10), ff.octaves(np.array([1.0]), 10), atol=1e-12)
    assert np.allclose(ff.octave_kernel(np.array([2.0, 4.0]), 10), 1)
    # NeRF's code has no π: sin(2^k x) with period 2π tells the ends apart
    ends = ff.octaves(np.array([[-1.0], [1.0]]) / np.pi, 10)
    assert np.linalg.norm(ends[0] - ends[1]) > 1


def test_features_have_one_length():
    """So the kernel of a network over them depends on the inner product alone."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (20, 3))
    assert np.sum(ff.octaves(x, 10) ** 2, axis=1) == pytest.approx(np.full(20, 30))
    B = ff.gaussian_frequencies(50, 3, 2.0, rng)
    assert np.sum(ff.random_features(x, B) ** 2, axis=1) == pytest.approx(np.full(20, 50))


def test_gradient_in_a_colour_is_its_weight():
    density, widths, colours, background = random_ray(3)
    shift = np.zeros_like(colours)
    shift[4] = 1
    moved = vr.render(density, widths, colours + shift, background) - vr.render(density, widths, colours, background)
    assert moved == pytest.approx(np.full(3, vr.weights(density, widths)[4]))


def test_one_decibel_and_the_mean_of_psnr():
    assert_said(PAGE, 10**-0.1, digits=2)
    assert round(100 * (1 - 10**-0.1)) == 21
    errors = np.array([0.001, 0.01])
    assert np.mean(-10 * np.log10(errors)) > -10 * np.log10(errors.mean())


# Successors


def test_expected_sine():
    mu, s = 0.7, 0.9
    draws = mu + s * np.random.default_rng(0).standard_normal(400_000)
    assert np.sin(draws).mean() == pytest.approx(math.exp(-(s**2) / 2) * math.sin(mu), abs=0.005)
    found = ff.integrated_octaves(np.array([0.3]), np.array([0.02]), 3)
    k = 2
    assert found[2 * k] == pytest.approx(math.exp(-((2**k * math.pi) ** 2) * 0.02 / 2) * math.sin(2**k * math.pi * 0.3))


def test_peak_of_the_weight_with_a_bell_and_with_neus():
    """A ray straight towards a plane at t = 1: f(t) = 1 - t, sharpness 20."""
    edges = np.linspace(0, 2, 4001)
    f, widths = 1 - edges, np.diff(edges)
    phi = 1 / (1 + np.exp(-20 * f))
    middle = (edges[1:] + edges[:-1]) / 2
    bell = 20 * np.exp(-20 * np.abs(1 - middle)) / (1 + np.exp(-20 * np.abs(1 - middle))) ** 2
    assert middle[np.argmax(vr.weights(bell, widths))] < 0.99
    alpha = np.maximum((phi[:-1] - phi[1:]) / phi[:-1], 0)
    w = np.insert(np.cumprod(1 - alpha), 0, 1.0)[:-1] * alpha
    assert np.allclose(w, (phi[:-1] - phi[1:]) / phi[0], atol=1e-12)
    assert middle[np.argmax(w)] == pytest.approx(1, abs=1e-3)


def test_contraction_ends_in_a_ball_of_radius_two():
    rng = np.random.default_rng(0)
    direction = rng.standard_normal(3)
    direction /= np.linalg.norm(direction)

    def contract(x):
        r = np.linalg.norm(x)
        return x if r <= 1 else (2 - 1 / r) * x / r

    lengths = [np.linalg.norm(contract(r * direction)) for r in (0.5, 1, 1 + 1e-9, 2, 10, 1e6)]
    assert lengths == pytest.approx([0.5, 1, 1, 1.5, 1.9, 2], abs=1e-5)
    assert np.all(np.diff(lengths) > 0)


def test_covariance_of_a_splat():
    rng = np.random.default_rng(0)
    R, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    S, J, W = np.diag([0.5, 0.1, 0.01]), rng.standard_normal((2, 3)), np.linalg.qr(rng.standard_normal((3, 3)))[0]
    sigma = R @ S @ S.T @ R.T
    assert np.all(np.linalg.eigvalsh(sigma) > 0)
    draws = rng.multivariate_normal(np.zeros(3), sigma, 200_000) @ (J @ W).T
    assert np.cov(draws.T) == pytest.approx(J @ W @ sigma @ W.T @ J.T, abs=0.02)


def test_numbers_of_a_gaussian():
    assert 3 + 3 + 4 + 1 + 3 * (3 + 1) ** 2 == 59
    assert 59 * 4 == 236
    assert "236 МБ" in PAGE
    assert 3 * (3 + 1) ** 2 == 48


def test_numbers_of_the_hash_grid():
    assert 16 * 8 == 128
    assert 16 * 2 == 32
    assert round(16 * 2**19 * 2 / 1e6) == 17
    assert "17$ млн чисел" in PAGE
