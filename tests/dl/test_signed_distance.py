"""Distances against brute force, the eikonal equation, and rays against geometry."""

import numpy as np
import pytest

from scripts.dl import signed_distance as sd

SQUARE = np.array([[1.0, 1], [-1, 1], [-1, -1], [1, -1]])
CORNER = np.array([[0.0, 0], [2, 0], [2, 1], [1, 1], [1, 2], [0, 2]])


def points(count=300):
    return np.random.default_rng(0).uniform(-2.5, 2.5, (count, 2))


def test_a_square_is_a_box_and_a_polygon():
    assert np.allclose(sd.polygon(points(), SQUARE), sd.box(points(), np.array([1.0, 1.0])), atol=1e-12)


def test_polygon_against_a_dense_contour():
    t = np.linspace(0, 1, 400, endpoint=False)[:, None]
    contour = np.concatenate([a + t * (b - a) for a, b in zip(CORNER, np.roll(CORNER, -1, axis=0), strict=True)])
    nearest = np.linalg.norm(points()[:, None] - contour, axis=-1).min(axis=1)
    assert np.allclose(np.abs(sd.polygon(points(), CORNER)), nearest, atol=5e-3)
    x, y = points().T
    inside = (x > 0) & (y > 0) & (x < 2) & (y < 2) & ~((x > 1) & (y > 1))
    assert np.array_equal(sd.polygon(points(), CORNER) < 0, inside)


@pytest.mark.parametrize("f", [lambda x: sd.ball(x, 0.7), lambda x: sd.polygon(x, CORNER)])
def test_eikonal_equation_holds_almost_everywhere(f):
    slopes = np.linalg.norm(sd.gradient(f, points(), 1e-6), axis=-1)
    assert np.mean(np.abs(slopes - 1) < 1e-6) > 0.99


def test_gradient_of_a_ball_is_the_normal():
    assert np.allclose(sd.gradient(lambda x: sd.ball(x, 0.5), np.array([[0.3, 0.4]])), [[0.6, 0.8]], atol=1e-9)


def test_sphere_tracing_meets_the_ball_where_the_ray_does():
    t, met = sd.sphere_trace(lambda x: sd.ball(x, 1.0), np.array([-3.0, 0.5]), np.array([1.0, 0.0]), far=10)
    assert met
    assert t[-1] == pytest.approx(3 - np.sqrt(0.75), abs=1e-3)
    assert np.all(np.diff(t) > 0)


def test_sphere_tracing_never_jumps_over_the_surface():
    wall = np.array([[0.0, -2], [0.01, -2], [0.01, 2], [0, 2]])
    t, met = sd.sphere_trace(lambda x: sd.polygon(x, wall), np.array([-1.0, 0.3]), np.array([1.0, 0.0]), far=10)
    assert met
    assert t[-1] == pytest.approx(1, abs=1e-3)


def test_sphere_tracing_misses():
    t, met = sd.sphere_trace(lambda x: sd.ball(x, 1.0), np.array([-3.0, 1.5]), np.array([1.0, 0.0]), far=6)
    assert not met
    assert t[-1] > 6
