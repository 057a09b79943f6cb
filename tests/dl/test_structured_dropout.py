"""Structured dropout by simulation, its shares, and orthogonality against autograd."""

import numpy as np
import pytest
import torch

from scripts.dl import structured_dropout as s


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_spatial_dropout_takes_whole_channels(rng):
    out, mask = s.spatial_dropout(np.ones((50, 40, 3, 4)), 0.3, rng)
    assert set(np.unique(out)) == {0.0, 1 / 0.7}
    assert np.all(out == out[..., :1, :1])
    assert np.mean(mask == 0) == pytest.approx(0.3, abs=0.03)


def test_seed_rate_of_the_paper():
    assert s.seed_rate(0.1, 7, 28, 28) == pytest.approx(0.1 / 49 * 784 / 484)
    assert s.seed_rate(0.1, 1, 28, 28) == pytest.approx(0.1)  # ordinary dropout
    assert s.seed_rate(0.1, 28, 28, 28) == pytest.approx(0.1)  # whole channels


@pytest.mark.parametrize("block", [1, 3, 7, 28])
def test_share_that_is_really_dropped(rng, block):
    a = np.ones((400, 2, 28, 28))
    out, mask = s.drop_block(a, 0.1, block, rng)
    expected = s.realised_share(0.1, block, 28, 28)
    assert np.mean(mask == 0) == pytest.approx(expected, abs=0.02 if block == 28 else 0.004)
    assert out.mean() == pytest.approx(1.0)
    assert expected <= 0.1 + 1e-12


def test_every_dropped_place_lies_in_a_dropped_block(rng):
    _, mask = s.drop_block(np.ones((20, 1, 12, 12)), 0.2, 3, rng)
    dropped = mask[:, 0] == 0
    whole = np.lib.stride_tricks.sliding_window_view(dropped, (3, 3), axis=(1, 2)).all(axis=(3, 4))
    covered = np.zeros_like(dropped)
    for i in range(3):
        for j in range(3):
            covered[:, i : i + 10, j : j + 10] |= whole
    assert np.array_equal(covered, dropped)


def test_dropblock_without_dropping_is_the_identity(rng):
    a = rng.standard_normal((2, 3, 8, 8))
    np.testing.assert_array_equal(s.drop_block(a, 0.0, 3, rng)[0], a)


def test_stochastic_depth_keeps_the_mean_and_drops_whole_objects(rng):
    x = np.zeros((20_000, 2, 1, 1))
    y = s.stochastic_depth(x, lambda v: v + 3.0, 0.4, rng)
    assert y.mean() == pytest.approx(3.0, abs=0.05)
    assert set(np.unique(np.round(y, 9))) == {0.0, 5.0}
    assert np.all(y[:, 0] == y[:, 1])


def test_linear_schedule():
    np.testing.assert_allclose(s.linear_schedule(4, 0.5), [0.125, 0.25, 0.375, 0.5])
    assert s.linear_schedule(54, 0.5).sum() == pytest.approx(54 * 0.5 * 55 / 108)


def test_orthogonality_and_its_gradient(rng):
    w = rng.standard_normal((4, 3, 2, 2))
    tensor = torch.tensor(w, requires_grad=True)
    W = tensor.reshape(4, -1).T
    expected = 0.3 * torch.sum((W.T @ W - torch.eye(4, dtype=torch.float64)) ** 2)
    expected.backward()
    loss, slope = s.soft_orthogonality(w, 0.3)
    assert loss == pytest.approx(expected.item())
    np.testing.assert_allclose(slope, tensor.grad.numpy())
    q = np.linalg.qr(rng.standard_normal((12, 4)))[0].T.reshape(4, 3, 2, 2)
    assert s.soft_orthogonality(q, 1.0)[0] == pytest.approx(0, abs=1e-20)
