import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.optimize import minimize

from scripts.dl.generative_metrics import fid, frechet_distance, inception_score, kid, precision_recall


def random_covariance(d, seed):
    root = np.random.default_rng(seed).standard_normal((d, 2 * d))
    return root @ root.T / (2 * d)


def test_frechet_distance_by_the_formula():
    a, b = random_covariance(5, 0), random_covariance(5, 1)
    mu = np.random.default_rng(2).standard_normal((2, 5))
    direct = np.sum((mu[0] - mu[1]) ** 2) + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(mu[0], a, mu[1], b) == pytest.approx(direct)
    assert frechet_distance(mu[1], b, mu[0], a) == pytest.approx(direct)
    assert frechet_distance(mu[0], a, mu[0], a) == pytest.approx(0, abs=1e-10)


def test_frechet_distance_is_the_cheapest_coupling():
    """W2² of Gaussians by definition: the largest trace of a cross-covariance C with [[A, C], [Cᵀ, B]] >= 0.

    C = A^½ K B^½ with |K| <= 1; in the plane the best K is a rotation or a reflection.
    """
    a, b = random_covariance(2, 3), random_covariance(2, 4)
    roots = sqrtm(a).real, sqrtm(b).real

    def cross(angle, flip):
        c, s = np.cos(angle[0]), np.sin(angle[0])
        return -np.trace(roots[0] @ np.array([[c, -s * flip], [s, c * flip]]) @ roots[1])

    best = max(-minimize(cross, [0.1], (flip,)).fun for flip in (1.0, -1.0))
    zero = np.zeros(2)
    assert frechet_distance(zero, a, zero, b) == pytest.approx(np.trace(a + b) - 2 * best, abs=1e-8)


def test_singular_covariances():
    flat = np.diag([1.0, 0.0])
    zero = np.zeros(2)
    assert frechet_distance(zero, flat, zero, 4 * flat) == pytest.approx(1.0)
    assert frechet_distance(zero, flat, zero, flat[::-1, ::-1]) == pytest.approx(2.0)


def test_fid_fits_gaussians():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 3)), rng.standard_normal((60, 3)) + 1
    assert fid(x, y) == pytest.approx(frechet_distance(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T)))


def test_bounds_of_the_inception_score():
    assert inception_score(np.full((20, 10), 0.1)) == pytest.approx(1)
    assert inception_score(np.tile(np.eye(10), (3, 1))) == pytest.approx(10)
    assert inception_score(np.eye(10)[np.zeros(30, dtype=int)]) == pytest.approx(1)


def test_kid_by_definition():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 3)), rng.standard_normal((5, 3))

    def kernel(a, b):
        return (a @ b / 3 + 1) ** 3

    direct = (
        np.mean([kernel(x[i], x[j]) for i in range(4) for j in range(4) if i != j])
        + np.mean([kernel(y[i], y[j]) for i in range(5) for j in range(5) if i != j])
        - 2 * np.mean([kernel(a, b) for a in x for b in y])
    )
    assert kid(x, y) == pytest.approx(direct)


def test_precision_and_recall_tell_two_failures_apart():
    rng = np.random.default_rng(0)
    real = np.concatenate([rng.standard_normal((100, 2)), rng.standard_normal((100, 2)) + 20])
    collapsed = rng.standard_normal((200, 2))  # one of the two clouds
    blurred = 30 * rng.random((200, 2)) - 5
    precision, recall = precision_recall(real, collapsed)
    assert precision > 0.9
    assert recall == pytest.approx(0.5, abs=0.05)
    assert precision_recall(real, blurred)[0] < 0.5
    assert precision_recall(real, real) == (1.0, 1.0)
