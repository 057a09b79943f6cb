"""Every number and every claim of tm-22 that can be computed is computed here."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import wasserstein_distance

from scripts.dl import gan
from scripts.experiments import frozen_discriminator, gan_ring
from scripts.figures import tm_22
from tests.content.page import assert_said, printed

PAGE = printed("theory-minimum/22-gan-mode-collapse.md")


def some_distributions(count=2, size=7):
    rng = np.random.default_rng(0)
    return [rng.dirichlet(np.ones(size)) for _ in range(count)]


# Theory


def test_optimal_discriminator_is_the_pointwise_maximum():
    grid = np.linspace(1e-4, 1 - 1e-4, 9999)
    p, q = some_distributions()
    best = gan.optimal_discriminator(p, q)
    for a, b, D in zip(p, q, best, strict=True):
        assert grid[np.argmax(a * np.log(grid) + b * np.log(1 - grid))] == pytest.approx(D, abs=1e-4)
        assert a / D == pytest.approx(b / (1 - D))
        assert -a / D**2 - b / (1 - D) ** 2 < 0


def test_value_at_the_optimal_discriminator():
    p, q = some_distributions()
    middle = (p + q) / 2
    value = gan.value(gan.optimal_discriminator(p, q), p, q)
    assert value == pytest.approx(-math.log(4) + 2 * gan.jensen_shannon(p, q))
    halves = gan.kullback_leibler(p, middle) + gan.kullback_leibler(q, middle)
    assert value == pytest.approx(-2 * math.log(2) + halves)
    assert gan.value(gan.optimal_discriminator(p, p), p, p) == pytest.approx(-math.log(4))


def test_saturation():
    slopes = []
    for loss in (gan.saturating_g, gan.non_saturating_g):
        s = torch.tensor([-8.0], dtype=torch.float64, requires_grad=True)
        loss(s).backward()
        slopes.append(s.grad.item())
    assert slopes == pytest.approx([-3.4e-4, -0.9997], rel=0.02)
    assert_said(PAGE, slopes[1], digits=4)
    assert "-3{,}4\\cdot10^{-4}" in PAGE


def test_simultaneous_steps_leave_the_saddle():
    x, y = 1.0, 0.0
    for _ in range(50):
        x, y = x - 0.1 * y, y + 0.1 * x
    assert math.hypot(x, y) > 1.2


def test_two_modes_on_the_board():
    """A pure answer is never stable, the even mixture is."""
    data, pure, even = np.array([0.5, 0.5]), np.array([1.0, 0.0]), np.array([0.5, 0.5])
    np.testing.assert_allclose(gan.optimal_discriminator(data, pure), [1 / 3, 1])
    np.testing.assert_allclose(gan.optimal_discriminator(data, pure[::-1]), [1, 1 / 3])
    np.testing.assert_allclose(gan.optimal_discriminator(data, even), 0.5)


def test_values_of_both_orders_are_equal_on_distributions():
    """(1/2, p_d) is a saddle point, so max_D min_G V = min_G max_D V = -log 4; no D guarantees itself more."""
    rng = np.random.default_rng(0)
    p, half = some_distributions(1)[0], np.full(7, 0.5)

    def worst(D):
        return np.sum(p * np.log(D)) + np.log(1 - D.max())  # the generator stands where D is largest

    assert gan.value(half, p, p) == pytest.approx(-math.log(4))
    for _ in range(300):
        D, q = rng.uniform(0.01, 0.99, 7), rng.dirichlet(np.ones(7))
        assert gan.value(D, p, p) <= -math.log(4)
        assert gan.value(half, p, q) == pytest.approx(-math.log(4))  # any p_g will do against D = 1/2
        assert worst(D) <= -math.log(4)
    assert worst(half) == pytest.approx(-math.log(4))


def test_values_differ_when_the_generator_may_not_mix():
    data, points = np.array([0.5, 0.5]), np.eye(2)
    first = min(gan.value(gan.optimal_discriminator(data, q), data, q) for q in points)
    assert first == pytest.approx(math.log(1 / 3) / 2 + math.log(2 / 3))
    grid = np.linspace(0.01, 0.99, 99)
    second = max(min(gan.value(np.array([a, b]), data, q) for q in points) for a in grid for b in grid)
    assert second == pytest.approx(-math.log(4))
    assert_said(PAGE, -first, -second, digits=3)


def test_answer_to_a_fixed_discriminator_is_a_point():
    D, rng = np.random.default_rng(1).uniform(0.1, 0.9, 7), np.random.default_rng(0)
    for h in (-np.log(D), np.log(1 - D)):
        assert h.argmin() == D.argmax()
        assert all(h @ rng.dirichlet(np.ones(7)) >= h.min() for _ in range(100))


def test_pairs_make_a_point_the_worst_answer():
    """A discriminator that remembers all the points a generator stood at, of K modes visited equally."""
    K, rng = 4, np.random.default_rng(0)
    assert gan.optimal_discriminator(np.full(K, 1 / K), np.full(K, 1 / K)) == pytest.approx(0.5)  # one by one
    D = gan.optimal_discriminator(np.full((K, K), 1 / K**2), np.eye(K) / K)
    assert np.diag(D) == pytest.approx(1 / (K + 1))
    assert D[~np.eye(K, dtype=bool)] == pytest.approx(1)
    h, point, even = -np.log(D), np.eye(K)[0], np.full(K, 1 / K)
    answers = [q @ h @ q for q in rng.dirichlet(np.ones(K), 100)]
    assert even @ h @ even < min(answers)
    assert max(answers) < point @ h @ point
    last = gan.optimal_discriminator(np.full((K, K), 1 / K**2), np.outer(point, point))
    assert last[1, 1] == 1  # one that remembers the last mode only welcomes a point in another


def test_mixture_of_the_past_tends_to_the_data():
    """A generator that is always a point, against D* for the mixture of all its past."""
    data = some_distributions(1)[0]
    past = np.eye(7)[0]
    for t in range(1, 3001):
        favourite = gan.optimal_discriminator(data, past).argmax()
        past += (np.eye(7)[favourite] - past) / (t + 1)
    np.testing.assert_allclose(past, data, atol=0.01)


def test_lost_mode_costs_its_share_times_the_distance():
    lost, r, rng = 0.3, 2.0, np.random.default_rng(0)
    kept = rng.uniform(0, 1, 50)
    weights = np.r_[np.full(50, (1 - lost) / 50), lost]
    assert wasserstein_distance(np.r_[kept, 1 + r], kept, weights) >= lost * r


# The ring


def test_coverage_of_a_synthetic_collapsed_sample():
    rng, centres = np.random.default_rng(0), gan.ring_centres()
    everything = gan.sample_mixture(4000, centres, gan_ring.STD, rng)
    assert gan.modes_covered(gan.mode_counts(everything, centres, gan_ring.REACH)) == 8
    one = centres[3] + gan_ring.STD * rng.standard_normal((4000, 2))
    counts = gan.mode_counts(one, centres, gan_ring.REACH)
    assert gan.modes_covered(counts) == 1
    assert counts[3] > 0.97 * 4000
    assert counts.sum() == 4000
    six = gan.sample_mixture(4000, centres[:6], gan_ring.STD, rng)
    assert gan.modes_covered(gan.mode_counts(six, centres, gan_ring.REACH)) == 6
    nowhere = gan.mode_counts(np.zeros((10, 2)), centres, gan_ring.REACH)
    assert gan.modes_covered(nowhere) == 0
    assert nowhere[-1] == 10


def test_figure_ring():
    collapse = tm_22.shares("collapse", 0)[:, :8]
    assert (collapse > 0.01).sum(axis=1).max() == 1
    crowded = collapse.max(axis=1) > 0.5
    assert len(set(collapse[crowded].argmax(axis=1))) == 7
    assert "семь разных мод" in PAGE
    for seed, covered in ((1, 6), (0, 8)):
        assert [gan.modes_covered(c) for c in tm_22.run("non-saturating", seed)["counts"][-5:]] == [covered] * 5
    assert pytest.approx(3 * gan_ring.STD) == gan_ring.REACH
    assert f"${100 * tm_22.shares('non-saturating', 0)[-1, -1]:.0f}\\,\\%$" in PAGE
    assert f"у самих данных – ${100 * math.exp(-(3**2) / 2):.0f}\\,\\%$" in PAGE
    assert gan_ring.RECIPES["collapse"].generator_steps == 5
    found = tm_22.run("collapse", 0)
    for k in tm_22.PICTURES:
        assert tm_22.shares("collapse", 0)[found["rounds"] == found["frames"][k], :8].max() > 0.8


def test_losses_do_not_show_collapse():
    """Lowest where all is lost, highest where a little is."""
    late = {}
    for kind, seed in tm_22.RUNS:
        found = tm_22.run(kind, seed)
        late[kind, seed] = found["g_loss"][found["rounds"] > 500].mean()
    assert_said(PAGE, *late.values(), digits=2)
    assert late["collapse", 0] < late["non-saturating", 0] < late["non-saturating", 1]
    assert late["collapse", 0] == pytest.approx(math.log(2), abs=0.03)


# Detection


@pytest.mark.parametrize(("N", "half"), [(365, 23), (10_000, 119)])
def test_birthdays(N, half):
    n = np.arange(1, 400)
    repeats = 1 - np.cumprod(1 - (n - 1) / N)
    assert n[np.argmax(repeats >= 0.5)] == half
    assert 1.18 * math.sqrt(N) == pytest.approx(half, abs=1.1)
    assert 1 - math.exp(-(half**2) / (2 * N)) == pytest.approx(0.5, abs=0.02)
    assert math.sqrt(2 * math.log(2)) == pytest.approx(1.18, abs=0.003)
    assert f"${half}$" in PAGE


def test_unequal_chances_repeat_sooner():
    p = some_distributions(1)[0]
    assert np.sum(p**2) > 1 / len(p)
    draws = np.random.default_rng(0).choice(len(p), size=(100_000, 2), p=p)
    assert np.mean(draws[:, 0] == draws[:, 1]) == pytest.approx(np.sum(p**2), abs=0.01)


def test_half_of_the_ring_has_the_same_mean_and_covariance():
    centres, R, std = gan.ring_centres(), 2.0, 0.1
    moments = []
    for chosen in (centres, centres[::2]):
        moments.append((chosen.mean(axis=0), chosen.T @ chosen / len(chosen) + std**2 * np.eye(2)))
    (mean, covariance), (half_mean, half_covariance) = moments
    np.testing.assert_allclose(covariance, (R**2 / 2 + std**2) * np.eye(2), atol=1e-12)
    fid = np.sum((mean - half_mean) ** 2)
    fid += np.trace(covariance + half_covariance - 2 * sqrtm(covariance @ half_covariance)).real
    assert fid == pytest.approx(0, abs=1e-6)


# Mechanism and remedies


def test_figure_frozen():
    found = tm_22.still()
    last = {name: found[name][-1].astype(float) for name in ("points", "generator")}
    counts = {
        name: gan.mode_counts(points, frozen_discriminator.CENTRES, frozen_discriminator.REACH)
        for name, points in last.items()
    }
    assert counts["points"][-1] == 2
    assert counts["points"][:8].min() > 40
    assert sorted(counts["generator"])[-1] == 500
    assert_said(PAGE, last["generator"].std(axis=0).max(), digits=3)
    chosen = counts["generator"].argmax()
    view, logit = frozen_discriminator.VIEW, found["logit"].astype(float)
    x, y = np.meshgrid(view, view)
    heights = [logit[np.hypot(x - a, y - b) < 0.6].max() for a, b in frozen_discriminator.CENTRES]
    assert heights[chosen] < max(heights) - 0.1
    start = found["generator"][0].astype(float).mean(axis=0)
    assert np.hypot(*(frozen_discriminator.CENTRES - start).T).argmin() != chosen
    for mode in range(8):  # the points of one mode come together in its maximum
        own = last["points"][np.hypot(*(last["points"] - frozen_discriminator.CENTRES[mode]).T) < 0.6]
        assert own.std(axis=0).max() < 0.05


def test_training_against_a_frozen_discriminator_shrinks_the_sample():
    """The plain code, a few steps: the variance of what the generator makes falls."""
    torch.manual_seed(0)
    G = torch.nn.Linear(2, 2)

    def D(x):
        return -((x - 1) ** 2).sum(dim=1)

    frozen_discriminator.fit_generator(G, D, 150, lr=0.05)
    with torch.no_grad():
        made = G(torch.randn(200, 2))
    assert made.std(dim=0).max() < 0.1
    assert (made.mean(dim=0) - 1).abs().max() < 0.1


def test_figure_divergences():
    mean, std, value = tm_22.best_gaussian(tm_22.REVERSE)
    assert abs(mean) == pytest.approx(tm_22.CENTRE, abs=0.01)
    assert std == pytest.approx(tm_22.SPREAD, abs=0.01)
    assert value == pytest.approx(math.log(2), abs=0.001)
    mean, std, _ = tm_22.best_gaussian(tm_22.FORWARD)
    assert mean == pytest.approx(0, abs=0.01)
    assert std == pytest.approx(math.hypot(tm_22.CENTRE, tm_22.SPREAD), abs=0.05)
    assert_said(PAGE, std, tm_22.best_gaussian(tm_22.SHANNON)[1], digits=1)
    assert tm_22.best_gaussian(tm_22.SHANNON, 2.2)[0] == pytest.approx(2.2, abs=0.01)  # a little further: one mode


def test_non_saturating_gradient_is_that_of_reverse_kl_minus_two_jsd():
    """Gaussians N(0, 1) and N(theta, 1) on a grid, D frozen at the optimum."""
    x = torch.linspace(-9, 9, 4001, dtype=torch.float64)

    def cells(mean):
        return torch.softmax(-((x - mean) ** 2) / 2, dim=0)

    theta = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    data, model = cells(0.0), cells(theta)
    D = (data / (data + model)).detach()
    (loss_slope,) = torch.autograd.grad(-(model * D.log()).sum(), theta, retain_graph=True)
    middle = (data + model) / 2
    reverse = (model * (model / data).log()).sum()
    shannon = ((data * (data / middle).log()).sum() + (model * (model / middle).log()).sum()) / 2
    (slope,) = torch.autograd.grad(reverse - 2 * shannon, theta)
    assert loss_slope.item() == pytest.approx(slope.item(), abs=1e-9)
    assert (reverse - 2 * shannon).item() == pytest.approx(2 * (middle * (middle / data).log()).sum().item())


def test_figure_packing():
    assert tm_22.lost_distance(1) == pytest.approx(tm_22.tilted_distance(1)) == pytest.approx(0.2)
    assert_said(PAGE, tm_22.lost_distance(4), tm_22.tilted_distance(4), digits=2)
    assert_said(PAGE, tm_22.lost_distance(10), tm_22.tilted_distance(10), digits=2)


def test_total_variation_of_packs_by_brute_force():
    """On a grid of ten cells, all pairs and triples."""
    p, lost = np.full(10, 0.1), np.repeat([0.0, 0.125], [2, 8])
    tilted = np.repeat([0.14, 0.06], 5)
    for q, distance in ((lost, tm_22.lost_distance), (tilted, tm_22.tilted_distance)):
        for m in (1, 2, 3):
            pack_p, pack_q = p, q
            for _ in range(m - 1):
                pack_p, pack_q = np.multiply.outer(pack_p, p), np.multiply.outer(pack_q, q)
            assert np.abs(pack_p - pack_q).sum() / 2 == pytest.approx(distance(m))


def test_unrolled_gradient():
    """V = theta D - D²/2, D after k steps from 0: the whole derivative tends to that of max_D V = theta²/2."""
    theta = torch.tensor(0.7, requires_grad=True)
    found = []
    for k in (1, 50):
        D = torch.zeros(())
        for _ in range(k):
            D = D + 0.2 * (theta - D)
        (slope,) = torch.autograd.grad(theta * D - D**2 / 2, theta)
        found.append(slope.item())
    assert found[1] == pytest.approx(0.7, abs=1e-3)
    assert abs(found[0] - 0.7) > 0.1


def test_minibatch_statistic_is_the_batch_size_when_all_are_alike():
    features = torch.ones(6, 3)
    tensor = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    M = torch.einsum("na,abc->nbc", features, tensor)
    closeness = torch.exp(-(M[:, None] - M[None]).abs().sum(dim=-1)).sum(dim=1)
    torch.testing.assert_close(closeness, torch.full((6, 4), 6.0))
