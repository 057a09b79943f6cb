"""Every number and every claim of ticket-11 that can be computed is computed here."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch.nn.functional import softplus

from scripts.dl import games, wasserstein
from scripts.dl.f_divergences import divergence
from scripts.dl.gan import (
    LOSSES,
    jensen_shannon,
    kullback_leibler,
    mode_counts,
    modes_covered,
    optimal_discriminator,
    sample_mixture,
    value,
)
from scripts.dl.generative_metrics import frechet_distance, inception_score, precision_recall
from scripts.experiments import gan_ring, gan_ring_checks
from scripts.figures import ticket_11 as figures
from tests.content.page import assert_said, printed

PAGE = printed("tickets/11-gan.md")
SEEDS = (0, 1, 2)


def densities(seed=0, count=50):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(count)), rng.dirichlet(np.ones(count))


# The game


def test_value_is_minus_twice_the_cross_entropy():
    real, fake = torch.randn(2, 500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.cat([torch.ones(500), torch.zeros(500)]).double()
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(torch.cat([real, fake]), labels)
    V = -softplus(-real).mean() - softplus(fake).mean()
    assert V.item() == pytest.approx(-2 * entropy.item())


def test_gradient_reaches_the_generator_through_the_discriminator():
    """The chain rule of the section: Jacobian of G transposed, times the gradient in x."""
    theta = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64, requires_grad=True)
    w, z = torch.tensor([1.0, -2.0], dtype=torch.float64), torch.tensor([0.7, -1.1], dtype=torch.float64)

    def G(t):
        return torch.stack([t[0] * z[0] + t[1], t[2] * z[1] ** 2])

    def loss(x):
        return -softplus(w @ x)

    loss(G(theta)).backward()
    x = G(theta).detach().requires_grad_()
    loss(x).backward()
    jacobian = torch.autograd.functional.jacobian(G, theta.detach())
    torch.testing.assert_close(theta.grad, jacobian.T @ x.grad)


def test_value_of_the_best_discriminator():
    for seed in range(5):
        p, q = densities(seed)
        best = optimal_discriminator(p, q)
        assert value(best, p, q) == pytest.approx(-math.log(4) + 2 * jensen_shannon(p, q), abs=1e-12)
        assert -math.log(4) <= value(best, p, q) <= 0
        np.testing.assert_allclose(np.log(best / (1 - best)), np.log(p / q), atol=1e-10)
    assert value(np.full(50, 0.5), p, p) == pytest.approx(-math.log(4))
    assert_said(PAGE, -1.386, 1.386)


def test_value_of_the_best_discriminator_on_a_grid():
    x = np.linspace(-15, 15, 6001)
    p, q = norm.pdf(x), 0.5 * norm.pdf(x, 1, 0.7) + 0.5 * norm.pdf(x, -2, 1.5)
    p, q = p / p.sum(), q / q.sum()
    gap = value(optimal_discriminator(p, q), p, q) + math.log(4) - 2 * jensen_shannon(p, q)
    assert abs(gap) < 1e-10


def test_example_on_three_points():
    p, q = np.array([0.5, 0.5, 0]), np.array([0.25, 0.25, 0.5])
    best = optimal_discriminator(p, q)
    np.testing.assert_allclose(best, [2 / 3, 2 / 3, 0])
    assert value(best, p, q) == pytest.approx(math.log(2 / 3) + 0.5 * math.log(1 / 3))
    assert_said(PAGE, value(best, p, q), 2 * jensen_shannon(p, q))


def test_value_is_convex_in_the_model():
    p, q = densities(0)
    _, other = densities(1)

    def best_value(model):
        return value(optimal_discriminator(p, model), p, model)

    for share in (0.2, 0.5, 0.9):
        mixed = best_value(share * q + (1 - share) * other)
        assert mixed <= share * best_value(q) + (1 - share) * best_value(other)


# Saturation


def test_pull_on_a_logit_of_minus_eight():
    s = torch.tensor([-8.0], dtype=torch.float64, requires_grad=True)
    pulls = {}
    for name in ("saturating", "non-saturating"):
        (slope,) = torch.autograd.grad(LOSSES[name][1](s), s)
        pulls[name] = -slope.item()
    assert_said(PAGE, pulls["saturating"], digits=5)
    assert_said(PAGE, pulls["non-saturating"], digits=4)
    assert pulls["non-saturating"] / pulls["saturating"] == pytest.approx(math.exp(8))


def test_parallel_segments():
    """By brute force: the plan between discretised segments, and both KL by the masses of the two supports."""
    y, theta = np.linspace(0, 1, 12), 0.7
    real, fake = (np.stack([np.full(12, x), y], axis=1) for x in (0.0, theta))
    weights = np.full(12, 1 / 12)
    cost, _, _ = wasserstein.optimal_transport(wasserstein.distances(real, fake), weights, weights)
    assert cost == pytest.approx(theta)
    p, q = np.concatenate([weights, np.zeros(12)]), np.concatenate([np.zeros(12), weights])
    assert jensen_shannon(p, q) == pytest.approx(math.log(2))
    assert kullback_leibler(p, q) == math.inf
    f = -np.concatenate([real, fake])[:, 0]
    assert f[:12].mean() - f[12:].mean() == pytest.approx(theta)


def test_segments_shifted_along_themselves():
    cells = 1000
    p, q = np.zeros(1300), np.zeros(1300)
    p[:cells], q[300:] = 1 / cells, 1 / cells
    assert jensen_shannon(p, q) == pytest.approx(0.3 * math.log(2))
    x = (np.arange(1300) + 0.5) / cells
    assert wasserstein.wasserstein_line(x, x, p, q) == pytest.approx(0.3)
    assert_said(PAGE, 0.3 * math.log(2))


def test_gaussians_that_move_apart():
    curves = figures.apart()
    at = {m: int(np.searchsorted(figures.SHIFTS, m)) for m in (6, 8)}
    assert_said(PAGE, curves["jsd-slope"][at[6]])
    assert_said(PAGE, curves["jsd-slope"][at[8]], digits=4)
    assert curves["non-saturating-slope"][at[8]] == pytest.approx(8, abs=0.01)
    assert curves["jsd"][-1] == pytest.approx(math.log(2), abs=2e-4)
    some = 41
    data, model = figures.on_line(0), figures.on_line(figures.SHIFTS[some])
    direct = kullback_leibler(model, data) - 2 * jensen_shannon(data, model)
    assert curves["non-saturating"][some] == pytest.approx(direct, abs=1e-9)
    points = figures.LINE[::40]
    weights = [norm.pdf(points, m) / norm.pdf(points, m).sum() for m in (0, 3)]
    assert wasserstein.wasserstein_line(points, points, *weights) == pytest.approx(3, abs=1e-3)


def softened(theta):
    """Both sides of the identity for data N(1, 1.5²) and generator N(theta, 1): the gradients in theta at a fixed D*
    and of the divergences, by autograd on a grid. Returns (loss, divergence) gradients for both losses."""
    x = torch.linspace(-14, 16, 30001, dtype=torch.float64)
    step = x[1] - x[0]

    def model(t):
        return torch.exp(-((x - t) ** 2) / 2) / math.sqrt(2 * math.pi)

    data = torch.exp(-(((x - 1) / 1.5) ** 2) / 2) / (1.5 * math.sqrt(2 * math.pi))
    t = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    q = model(t)
    logit = (data.log() - q.log()).detach()
    middle = (data + q) / 2
    jsd = step * ((data * (data / middle).log()).sum() + (q * (q / middle).log()).sum()) / 2
    kl = step * (q * (q.log() - data.log())).sum()
    soft = 2 * step * (middle * (middle / data).log()).sum()
    quantities = {
        "saturating": -step * (q * softplus(logit)).sum(),
        "non-saturating": step * (q * softplus(-logit)).sum(),
        "2 jsd": 2 * jsd,
        "kl - 2 jsd": kl - 2 * jsd,
        "soft": soft,
    }
    return {name: torch.autograd.grad(v, t, retain_graph=True)[0].item() for name, v in quantities.items()}


@pytest.mark.parametrize("theta", [-1.0, 0.0, 2.5])
def test_what_the_generator_follows(theta):
    slopes = softened(theta)
    assert slopes["saturating"] == pytest.approx(slopes["2 jsd"], abs=1e-9)
    assert slopes["non-saturating"] == pytest.approx(slopes["kl - 2 jsd"], abs=1e-9)
    assert slopes["non-saturating"] == pytest.approx(slopes["soft"], abs=1e-9)
    assert abs(slopes["non-saturating"] - slopes["2 jsd"]) > 1e-2  # not the same thing


def test_table_of_forgotten_modes_and_rubbish():
    measures = {
        "forward": lambda p, q: kullback_leibler(p, q),
        "jsd": lambda p, q: 2 * jensen_shannon(p, q),
        "reverse": lambda p, q: kullback_leibler(q, p),
        "soft": lambda p, q: 2 * kullback_leibler((p + q) / 2, p),
    }
    both, one = np.array([0.5, 0.5]), np.array([1.0, 0.0])
    forgot = {name: measure(both, one) for name, measure in measures.items()}
    rubbish = {name: measure(one, both) for name, measure in measures.items()}
    assert forgot == pytest.approx(
        {"forward": math.inf, "jsd": 0.4315, "reverse": math.log(2), "soft": 0.2616}, abs=5e-5
    )
    assert rubbish == pytest.approx(
        {"forward": math.log(2), "jsd": 0.4315, "reverse": math.inf, "soft": math.inf}, abs=5e-5
    )
    assert_said(PAGE, 0.43, 0.69, 0.26, digits=2)


def test_one_gaussian_for_two():
    fits = {name: figures.fit(name) for name in figures.CRITERIA}
    assert_said(PAGE, *(fits[name][1] for name in figures.CRITERIA), digits=2)
    assert all(abs(fits[name][0]) < 0.5 for name in ("forward", "jsd"))
    assert all(abs(fits[name][0] + figures.SEPARATION) < 0.05 for name in ("non-saturating", "reverse"))
    x = figures.FIT_LINE
    density = 0.6 * norm.pdf(x, -2.5, 0.6) + 0.4 * norm.pdf(x, 2.5, 0.6)
    density = density / density.sum()
    one, wide = (figures.CRITERIA["jsd"](density, figures.gaussian(*v)) for v in ((-2.5, math.log(0.6)), (-0.5, 0.9)))
    assert one < wide


# Dynamics


def test_bilinear_game():
    points = games.play(games.simultaneous, games.bilinear_field, (1.0, 0.0), 0.1, 100)
    growth = np.linalg.norm(points[-1])
    assert growth == pytest.approx(math.sqrt(1.01) ** 100)
    assert_said(PAGE, growth, digits=4)
    radii = {name: np.linalg.norm(figures.bilinear(name), axis=1) for name in figures.PLAYERS}
    assert radii["simultaneous"][100] == pytest.approx(growth)
    assert np.abs(radii["alternating"] - 1).max() < 0.03
    assert radii["extragradient"][100] == pytest.approx((1 - 0.01 + 0.0001) ** 50)
    assert_said(PAGE, radii["extragradient"][100], digits=2)


@pytest.mark.parametrize("eta", [0.05, 0.5, 1.5])
def test_eigenvalues_of_the_three_ways_to_play(eta):
    def matrix(step):
        return np.stack([step(games.bilinear_field, e, eta) for e in np.eye(2)], axis=1)

    np.testing.assert_allclose(np.abs(np.linalg.eigvals(matrix(games.simultaneous))), math.hypot(1, eta))
    np.testing.assert_allclose(np.abs(np.linalg.eigvals(matrix(games.alternating))), 1)
    expected = math.sqrt(1 - eta**2 + eta**4)
    np.testing.assert_allclose(np.abs(np.linalg.eigvals(matrix(games.extragradient))), expected)
    assert (expected < 1) is (eta < 1)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 4.0])
def test_eigenvalues_of_the_dirac_gan(gamma):
    h, origin = 1e-6, np.zeros(2)
    columns = [(games.dirac_field(origin + h * e, gamma) - games.dirac_field(origin - h * e, gamma)) for e in np.eye(2)]
    jacobian = np.stack(columns, axis=1) / (2 * h)
    np.testing.assert_allclose(jacobian, [[0, 0.5], [-0.5, -gamma]], atol=1e-9)
    expected = (-gamma + np.array([1, -1]) * np.sqrt(complex(gamma**2 - 1))) / 2
    np.testing.assert_allclose(np.sort_complex(np.linalg.eigvals(jacobian)), np.sort_complex(expected), atol=1e-4)


def test_friction_brings_the_dirac_gan_home():
    late = {gamma: np.abs(figures.dirac(gamma)[100:, 0]).max() for gamma in figures.PENALTIES}
    assert late[0.0] > 0.9
    assert late[0.3] < 0.1
    assert late[1.0] < 0.01
    assert late[4.0] > late[0.3]


def with_momentum(mu, alternating, eta=0.1, steps=100):
    position, speed = np.array([1.0, 0.0]), np.zeros(2)
    for _ in range(steps):
        speed[0] = mu * speed[0] - eta * position[1]
        seen = position[0] + alternating * speed[0]
        speed[1] = mu * speed[1] + eta * seen
        position = position + speed
    return np.linalg.norm(position)


def test_momentum_makes_it_worse():
    for mu in (0.0, 0.5, -0.3):
        root = np.abs(np.roots([1, -(1 + mu + 0.1j), mu])).max()
        growth = with_momentum(mu, alternating=False, steps=101) / with_momentum(mu, alternating=False)
        assert growth == pytest.approx(root, rel=1e-3)
    assert_said(PAGE, *(with_momentum(mu, alternating=False) for mu in (0.0, -0.3)), digits=2)
    assert with_momentum(0.5, alternating=False) == pytest.approx(79, abs=0.5)
    assert with_momentum(0.0, alternating=True) < 1.03
    assert with_momentum(0.5, alternating=True) == pytest.approx(21, abs=0.5)
    assert_said(PAGE, with_momentum(-0.3, alternating=True), digits=2)


def test_average_of_the_circle():
    mean = np.linalg.norm(figures.bilinear("alternating")[1:].mean(axis=0))
    assert_said(PAGE, mean, digits=2)


# The ring


def final_counts(kind, seed):
    """Of the last ten snapshots together."""
    return gan_ring.ring(kind, seed)["counts"][-10:].sum(axis=0)


@pytest.mark.parametrize(
    ("kind", "modes", "shares"),
    [
        ("non-saturating", (8, 6, 8), (75, 68, 49)),
        ("saturating", (8, 8, 8), (92, 90, 90)),
        ("wgan-gp", (8, 8, 8), (85, 85, 84)),
    ],
)
def test_table_of_the_ring(kind, modes, shares):
    counts = [final_counts(kind, seed) for seed in SEEDS]
    assert tuple(modes_covered(c) for c in counts) == modes
    assert tuple(round(100 * (1 - c[-1] / c.sum())) for c in counts) == shares
    assert f"{', '.join(map(str, modes))} | {', '.join(map(str, shares))} |" in PAGE
    recipe = gan_ring.RECIPES[kind]
    assert recipe.rounds == (1500 if kind == "wgan-gp" else 2000)
    assert (recipe.discriminator_steps, recipe.generator_steps) == ((5, 1) if kind == "wgan-gp" else (1, 1))


def test_longer_training_does_not_even_the_modes():
    late = [gan_ring_checks.counts("longer", seed)["counts"] for seed in SEEDS]
    assert all(len(counts) == 400 for counts in late)
    assert [modes_covered(counts[-10:].sum(axis=0)) for counts in late] == [8, 5, 7]
    found = [figures.overlap(counts[-10:]).mean() for counts in late]
    rivals = [figures.overlap(gan_ring.ring("saturating", seed)["counts"][-10:]).mean() for seed in SEEDS]
    assert found[0] > min(rivals) > 0.85
    assert max(found[1:]) < 0.5


def test_the_usual_weight_of_the_penalty_is_too_much_for_the_ring():
    counts = gan_ring_checks.counts("penalty-10", 0)["counts"]
    assert len(counts) == 150
    last = counts[-10:].sum(axis=0)
    assert 1 - last[-1] / last.sum() == pytest.approx(0.06, abs=0.005)


def test_reach_of_a_mode():
    share = 1 - math.exp(-((gan_ring.REACH / gan_ring.STD) ** 2) / 2)
    assert_said(PAGE, 100 * share, digits=1)


def test_collapse_was_provoked_and_travels():
    counts = gan_ring.ring("collapse", 0)["counts"]
    assert len(counts) == 150
    assert max(modes_covered(c) for c in counts) == 1
    crowded = counts[:, :-1].max(axis=1) > 500
    assert crowded.sum() == 51
    assert len(set(counts[crowded, :-1].argmax(axis=1))) == 7
    recipe = gan_ring.RECIPES["collapse"]
    assert (recipe.discriminator_steps, recipe.generator_steps, recipe.rounds) == (1, 5, 1500)


def test_every_row_of_the_figure_is_what_it_says():
    for kind, moments, _ in figures.STORY:
        run = gan_ring.ring(kind, 0)
        assert set(moments) <= set(run["frames"])
    run = gan_ring.ring("collapse", 0)
    crowded = [run["counts"][list(run["rounds"]).index(m)][:-1] for m in figures.STORY[1][1]]
    assert all(c.max() > 500 for c in crowded)
    assert len({int(c.argmax()) for c in crowded}) == 3


def test_losses_of_the_ring_say_little():
    run = gan_ring.ring("non-saturating", 0)
    found = figures.overlap(run["counts"])
    early, late = slice(0, 125), slice(150, None)
    assert found[early].mean() == pytest.approx(0.08, abs=0.005)
    assert found[-10:].mean() == pytest.approx(0.75, abs=0.02)
    for part in (early, late):
        assert run["d_loss"][part].mean() == pytest.approx(1.2, abs=0.1)
        assert run["g_loss"][part].mean() == pytest.approx(0.9, abs=0.06)


def test_critic_estimate_follows_the_distance():
    run = gan_ring.ring("wgan-gp", 0)
    estimate = np.array([-run["d_loss"][f // 10 - 3 : f // 10 + 2].mean() for f in run["frames"]])
    assert np.all(np.diff(estimate) < 0)
    assert run["distance"][0] > 2 * run["distance"][-1] - 0.05
    assert estimate[0] / run["distance"][0] == pytest.approx(1.25, abs=0.01)
    assert_said(PAGE, estimate[-1], *run["distance"][-2:], run["floor"].item(), digits=2)


def test_overlap_and_coverage():
    centres = gan_ring.CENTRES
    one = mode_counts(centres[[2]].repeat(80, axis=0), centres, 0.3)
    assert figures.overlap(one) == pytest.approx(1 / 8)
    assert modes_covered(one) == 1
    all_modes = mode_counts(sample_mixture(8000, centres, 0.1, np.random.default_rng(0)), centres, 0.3)
    assert figures.overlap(all_modes) > 0.95


def test_a_few_rounds_of_the_experiment():
    recipe = gan_ring.Recipe("wasserstein", 10, discriminator_steps=1, penalty=gan_ring.penalty, batch=16)
    found = gan_ring.watch(0, recipe, frame=10)
    assert found["points"].shape == (1, 300, 2)
    assert found["field"].shape == (1, 41, 41)
    assert found["counts"].shape == (1, 9)
    assert found["counts"].sum() == 1000
    assert set(found) == set(gan_ring.ring("wgan-gp", 0))


def test_exact_matching_against_the_linear_programme():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((10, 2)), rng.standard_normal((10, 2)) + 1
    weights = np.full(10, 0.1)
    cost, _, _ = wasserstein.optimal_transport(wasserstein.distances(x, y), weights, weights)
    assert gan_ring.matched_distance(x, y) == pytest.approx(cost)


# Wasserstein


def test_weak_duality_and_the_same_noise_plan():
    rng = np.random.default_rng(0)
    x, y, weights = rng.standard_normal((8, 2)), rng.standard_normal((8, 2)) + 1, np.full(8, 1 / 8)
    cost, plan, potential = wasserstein.optimal_transport(wasserstein.distances(x, y), weights, weights)
    direction = rng.standard_normal(2)
    direction /= np.linalg.norm(direction)
    lipschitz = (lambda v: v @ direction, lambda v: np.linalg.norm(v, axis=1), lambda v: np.sin(v[:, 0]))
    for f in lipschitz:
        assert f(x).mean() - f(y).mean() <= cost + 1e-12
    assert potential[:8].mean() - potential[8:].mean() == pytest.approx(cost)
    assert np.linalg.norm(x - y, axis=1).mean() >= cost  # pairing by index is a plan too
    assert plan.sum() == pytest.approx(1)


def test_distance_by_hand():
    p, q = np.array([0.5, 0.5, 0]), np.array([0.25, 0.25, 0.5])
    near, far = np.array([0.0, 1, 2]), np.array([0.0, 1, 10])
    assert wasserstein.wasserstein_line(near, near, p, q) == pytest.approx(3 / 4)
    assert_said(PAGE, wasserstein.wasserstein_line(far, far, p, q), digits=2)


def test_best_critic_at_one_point_bounds_the_distance_from_below():
    """The function Phi of the section: below W1 everywhere, equal at its own theta."""
    x = np.linspace(-25, 25, 20_001)
    cell = x[1] - x[0]

    def distance(theta):
        return np.sum(np.abs(norm.cdf(x, 1, 2) - norm.cdf(x, theta, 1 + theta))) * cell

    slope = np.sign(norm.cdf(x) - norm.cdf(x, 1, 2))  # of the best critic at theta = 0

    def phi(theta):
        return np.sum(slope * (norm.cdf(x, theta, 1 + theta) - norm.cdf(x, 1, 2))) * cell

    assert phi(0.0) == pytest.approx(distance(0.0))
    for theta in (-0.5, -0.1, 0.3, 0.9, 2.0):
        assert phi(theta) <= distance(theta) + 1e-9


def test_gradient_of_the_distance_is_that_of_the_critic():
    """Data N(1, 2²), generator G(z) = theta + (1 + theta) z: the slope of f* is sign(F_g - F_d)."""
    x = np.linspace(-25, 25, 200_001)

    def distance(theta):
        return np.trapezoid(np.abs(norm.cdf(x, 1, 2) - norm.cdf(x, theta, 1 + theta)), x)

    h = 1e-5
    numerical = (distance(h) - distance(-h)) / (2 * h)
    z = norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    slope = np.sign(norm.cdf(z) - norm.cdf(z, 1, 2))  # of f*, at G(z) for theta = 0
    assert numerical == pytest.approx(-np.mean(slope * (1 + z)), abs=1e-3)


def test_discriminator_and_critic_of_the_figure():
    curves = figures.judges()
    at = int(np.abs(figures.VIEW).argmin())
    x = figures.VIEW[at]  # the logit is 6 x - 18, its slope 6
    assert curves["saturating"][at] == pytest.approx(6 / (1 + math.exp(18 - 6 * x)))
    assert 6 / (1 + math.exp(18)) == pytest.approx(9.1e-8, abs=5e-10)
    assert curves["non-saturating"][at] == pytest.approx(6, abs=1e-4)
    np.testing.assert_allclose(curves["wasserstein"][5:-5], 1, atol=1e-6)


def test_scaled_critic_scales_the_value():
    x, y = np.array([0.0, 1.0, 3.0]), np.array([4.0, 4.5, 5.0])
    points, potential = wasserstein.potential_line(x, y)
    f = np.interp(x, points, potential).mean() - np.interp(y, points, potential).mean()
    assert 3 * f == pytest.approx(3 * wasserstein.wasserstein_line(x, y))


# f-divergences


def test_least_squares_and_pearson():
    p, q = densities()
    a, b, c = -1.0, 1.0, 0.0
    D = np.linspace(-3, 3, 601)
    best = (b * p + a * q) / (p + q)
    losses = 0.5 * p[:, None] * (D - b) ** 2 + 0.5 * q[:, None] * (D - a) ** 2
    np.testing.assert_allclose(D[losses.argmin(axis=1)], best, atol=0.006)
    cost = 0.5 * np.sum((p + q) * (best - c) ** 2)
    pearson = np.sum((2 * q - (p + q)) ** 2 / (p + q))
    assert cost == pytest.approx(pearson / 2)
    assert pearson == pytest.approx(divergence("pearson", 2 * q, p + q))


def test_hinge_and_total_variation():
    p, q = densities()
    s = np.linspace(-3, 3, 601)
    losses = p[:, None] * np.maximum(0, 1 - s) + q[:, None] * np.maximum(0, 1 + s)
    np.testing.assert_allclose(s[losses.argmin(axis=1)], np.sign(p - q), atol=1e-9)
    assert losses.min(axis=1).sum() == pytest.approx(2 - 2 * divergence("total-variation", p, q))


def test_spectral_normalisation_bounds_the_slope():
    torch.manual_seed(0)
    layers = [torch.nn.Linear(5, 20), torch.nn.Linear(20, 20), torch.nn.Linear(20, 1)]
    for layer in layers:
        layer.weight.data /= torch.linalg.matrix_norm(layer.weight.data, 2)

    def s(x):
        x = torch.relu(layers[0](x))
        return layers[2](torch.nn.functional.leaky_relu(layers[1](x), 0.2))

    x = torch.randn(500, 5, requires_grad=True)
    (slope,) = torch.autograd.grad(s(x).sum(), x)
    assert slope.norm(dim=1).max() <= 1 + 1e-5


def test_spectral_norm_of_a_kernel_is_not_that_of_the_convolution():
    torch.manual_seed(0)
    kernel = torch.nn.Conv2d(8, 8, 3, bias=False).weight.detach()
    kernel = kernel / torch.linalg.matrix_norm(kernel.reshape(8, -1), 2)
    x = torch.randn(1, 8, 16, 16)
    for _ in range(200):
        y = torch.nn.functional.conv2d(x / x.norm(), kernel, padding=1)
        x = torch.nn.functional.conv_transpose2d(y, kernel, padding=1)
    assert_said(PAGE, y.norm().item(), digits=2)
    assert y.norm() <= 3


def test_spectral_norm_of_pytorch_unfolds_the_kernel_and_rests_in_eval():
    torch.manual_seed(0)
    layer = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Conv2d(2, 3, 3), n_power_iterations=100)
    u = layer.parametrizations.weight[0]._u
    layer(torch.randn(1, 2, 5, 5))
    assert torch.linalg.matrix_norm(layer.weight.reshape(3, -1), 2).item() == pytest.approx(1, abs=1e-4)
    layer.eval()
    before = u.clone()
    layer(torch.randn(1, 2, 5, 5))
    torch.testing.assert_close(u, before)


def test_noisy_perfect_discriminator_gives_a_cauchy_gradient():
    """On generated objects D* and its gradient vanish: the slope of -log D is a ratio of two independent noises."""
    rng = np.random.default_rng(0)
    ratio = rng.standard_normal(200_000) / rng.standard_normal(200_000)
    assert np.quantile(ratio, [0.25, 0.75]) == pytest.approx([-1, 1], abs=0.02)
    assert np.mean(np.abs(ratio) > 100) == pytest.approx(2 / (100 * math.pi), rel=0.1)


def test_power_iteration_finds_the_norm():
    W = np.random.default_rng(0).standard_normal((6, 4))
    u = np.ones(6)
    for _ in range(200):
        v = W.T @ u
        v /= np.linalg.norm(v)
        u = W @ v
        u /= np.linalg.norm(u)
    assert u @ W @ v == pytest.approx(np.linalg.norm(W, 2))


def test_two_sided_smoothing_rewards_emptiness():
    D, alpha, beta = np.linspace(0.001, 0.999, 999), 0.9, 0.1
    for p, q in ((0.0, 1.0), (0.3, 0.2), (1.0, 0.0)):
        gain = p * (alpha * np.log(D) + (1 - alpha) * np.log(1 - D)) + q * (
            beta * np.log(D) + (1 - beta) * np.log(1 - D)
        )
        assert D[gain.argmax()] == pytest.approx((alpha * p + beta * q) / (p + q), abs=0.002)


# Metrics


def test_fid_on_the_line():
    distance = frechet_distance(np.zeros(1), np.eye(1), np.array([1.5]), np.array([[0.64]]))
    assert distance == pytest.approx(2.29)
    assert_said(PAGE, distance, digits=2)
    quantiles = (np.arange(20_000) + 0.5) / 20_000
    moved = norm.ppf(quantiles) - norm.ppf(quantiles, 1.5, 0.8)
    assert np.mean(moved**2) == pytest.approx(2.29, abs=1e-3)


def test_fid_of_a_distribution_with_itself():
    for d in figures.FEATURES:
        expected = [figures.expected_bias(d, n) for n in figures.SIZES]
        np.testing.assert_allclose(figures.biases(d), expected, rtol=0.2)
    measured = dict(zip(figures.SIZES, figures.biases(64), strict=True))
    assert_said(PAGE, measured[100], digits=1)
    assert_said(PAGE, measured[1000], measured[10_000], figures.expected_bias(64, 1000), digits=2)


def test_inception_score_is_fooled():
    one_picture_a_class = np.eye(10)
    assert inception_score(one_picture_a_class) == pytest.approx(10)
    assert inception_score(np.tile(one_picture_a_class[:1], (10, 1))) == pytest.approx(1)


def test_precision_and_recall_of_the_ring():
    rng = np.random.default_rng(0)
    real = sample_mixture(400, gan_ring.CENTRES, gan_ring.STD, rng)
    one_mode = sample_mixture(400, gan_ring.CENTRES[:1], gan_ring.STD, rng)
    precision, recall = precision_recall(real, one_mode)
    assert precision > 0.8
    assert recall < 0.2


def test_likelihood_of_a_mixture_with_rubbish():
    assert math.log(100) == pytest.approx(4.6, abs=0.01)
    assert_said(PAGE, math.log(100), digits=1)
