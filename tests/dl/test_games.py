import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid

from scripts.dl import games


@pytest.mark.parametrize("gamma", [0.0, 0.7])
def test_fields_against_autograd(gamma):
    point = np.array([0.8, -1.3])
    theta, psi = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in point)
    value = logsigmoid(torch.zeros((), dtype=torch.float64)) + logsigmoid(-theta * psi)
    value.backward()
    penalty = gamma * point[1]
    np.testing.assert_allclose(
        games.dirac_field(point, gamma), [-theta.grad.item(), psi.grad.item() - penalty], atol=1e-12
    )
    x, y = (torch.tensor(v, requires_grad=True) for v in point)
    (x * y).backward()
    np.testing.assert_allclose(games.bilinear_field(point), [-x.grad.item(), y.grad.item()])


def test_steps_on_the_bilinear_game():
    start, eta = np.array([0.6, -0.8]), 0.1
    x, y = start
    np.testing.assert_allclose(games.simultaneous(games.bilinear_field, start, eta), [x - eta * y, y + eta * x])
    new = x - eta * y
    np.testing.assert_allclose(games.alternating(games.bilinear_field, start, eta), [new, y + eta * new])
    ahead = games.extragradient(games.bilinear_field, start, eta)
    np.testing.assert_allclose(ahead, [x - eta * (y + eta * x), y + eta * (x - eta * y)])


def test_play_keeps_every_point():
    points = games.play(games.simultaneous, games.bilinear_field, (1.0, 0.0), 0.1, 7)
    assert points.shape == (8, 2)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), np.sqrt(1.01) ** np.arange(8))
