import math

import numpy as np
import pytest

from scripts.dl.f_divergences import DIVERGENCES, bound, divergence
from scripts.dl.gan import jensen_shannon, kullback_leibler, optimal_discriminator, value

# total variation has no derivative at 1 and is tested apart
SMOOTH = sorted(set(DIVERGENCES) - {"total-variation"})


@pytest.fixture
def densities():
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(30)), rng.dirichlet(np.ones(30))


@pytest.mark.parametrize("name", SMOOTH)
def test_conjugate_by_brute_force(name):
    f = DIVERGENCES[name]
    u = np.geomspace(1e-6, 1e6, 2_000_001)
    for inner in (0.3, 0.9, 2.0, 7.0):
        t = f.derivative(np.array(inner))
        assert f.conjugate(t) == pytest.approx(np.max(u * t - f.f(u)), abs=1e-8)


@pytest.mark.parametrize("name", SMOOTH)
def test_derivative(name):
    f, u = DIVERGENCES[name], np.array([0.2, 1.0, 3.0])
    np.testing.assert_allclose((f.f(u + 1e-6) - f.f(u - 1e-6)) / 2e-6, f.derivative(u), atol=1e-7)


@pytest.mark.parametrize("name", SMOOTH)
def test_bound_is_exact_at_the_derivative_and_lower_elsewhere(name, densities):
    p, q = densities
    best, exact = DIVERGENCES[name].derivative(p / q), divergence(name, p, q)
    assert bound(name, best, p, q) == pytest.approx(exact, abs=1e-9)
    for seed in range(5):
        other = best - np.random.default_rng(seed).exponential(0.3, size=30)  # below: stays where f* is finite
        assert bound(name, other, p, q) < exact


def test_total_variation(densities):
    p, q = densities
    exact = np.abs(p - q).sum() / 2
    assert divergence("total-variation", p, q) == pytest.approx(exact)
    assert bound("total-variation", np.sign(p - q) / 2, p, q) == pytest.approx(exact)


def test_known_divergences(densities):
    p, q = densities
    assert divergence("kl", p, q) == pytest.approx(kullback_leibler(p, q))
    assert divergence("reverse-kl", p, q) == pytest.approx(kullback_leibler(q, p))
    assert divergence("pearson", p, q) == pytest.approx(np.sum((p - q) ** 2 / q))
    assert divergence("gan", p, q) == pytest.approx(2 * jensen_shannon(p, q) - math.log(4))
    assert divergence("gan", p, q) == pytest.approx(value(optimal_discriminator(p, q), p, q))


def test_non_saturating_divergence(densities):
    p, q = densities
    soft = divergence("non-saturating", p, q)
    assert soft == pytest.approx(kullback_leibler(q, p) - 2 * jensen_shannon(p, q))
    assert soft == pytest.approx(2 * kullback_leibler((p + q) / 2, p))
