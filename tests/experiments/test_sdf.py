"""The contours, their distance, and a few steps of training."""

import numpy as np
import pytest

from scripts.dl.signed_distance import ball
from scripts.experiments import sdf


@pytest.mark.parametrize("petals", [0.0, 0.18])
def test_normals_are_orthogonal_to_the_contour_and_point_out(petals):
    points, normals = sdf.contour(petals, 2000)
    tangents = np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)
    assert np.abs(np.sum(tangents * normals, axis=1)).max() < 1e-5
    assert np.allclose(np.linalg.norm(normals, axis=1), 1)
    outside = np.linalg.norm(points + 1e-3 * normals, axis=1)
    assert np.all(outside > sdf.radius(np.arctan2(*(points + 1e-3 * normals).T[::-1]), petals))


def test_exact_distance_of_the_circle():
    assert np.allclose(sdf.exact(0.0), ball(sdf.grid(), 0.5), atol=1e-4)


def test_a_few_steps_already_help():
    losses = sdf.train(0.18, sdf.EIKONAL, steps=80)["losses"]
    assert losses[-10:].mean() < 0.6 * losses[:10].mean()
