"""The distance by definition against scipy and duality, the critics against autograd and finite differences."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from scripts.dl import wasserstein as w1


def some_line(rng, n=7, m=5):
    return rng.normal(size=n), rng.normal(1.0, 2.0, size=m), rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))


@pytest.mark.parametrize("seed", range(5))
def test_line_equals_scipy_the_potential_and_the_linear_programme(seed):
    x, y, p, q = some_line(np.random.default_rng(seed))
    value = w1.wasserstein_line(x, y, p, q)
    assert value == pytest.approx(stats.wasserstein_distance(x, y, p, q), abs=1e-12)
    grid, f = w1.potential_line(x, y, p, q)
    at = dict(zip(grid, f, strict=True))
    dual = sum(a * at[v] for v, a in zip(x, p, strict=True)) - sum(b * at[v] for v, b in zip(y, q, strict=True))
    assert dual == pytest.approx(value, abs=1e-12)
    assert np.abs(np.diff(f)).max() <= np.diff(grid)[np.abs(np.diff(f)).argmax()] + 1e-12
    primal, _, _ = w1.optimal_transport(np.abs(x[:, None] - y), p, q)
    assert primal == pytest.approx(value, abs=1e-9)


def test_equal_samples_are_coupled_in_order():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=50), rng.exponential(size=50)
    assert w1.wasserstein_line(x, y) == pytest.approx(np.abs(np.sort(x) - np.sort(y)).mean())
    assert w1.wasserstein_line(x, x) == 0
    np.testing.assert_array_equal(w1.potential_line(x, x)[1], 0)


def test_shared_points_and_bad_weights():
    assert w1.wasserstein_line([0.0, 1.0], [1.0, 2.0]) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="probability"):
        w1.wasserstein_line([0.0, 1.0], [2.0], p=[0.5, 0.6])


def test_linear_programme_in_the_plane_meets_its_dual():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(6, 2)), rng.normal(1.0, 1.0, size=(8, 2))
    p, q = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(8))
    cost = w1.distances(x, y)
    value, plan, f = w1.optimal_transport(cost, p, q)
    np.testing.assert_allclose(plan.sum(axis=1), p, atol=1e-9)
    np.testing.assert_allclose(plan.sum(axis=0), q, atol=1e-9)
    assert np.sum(plan * cost) == pytest.approx(value)
    assert f[:6] @ p - f[6:] @ q == pytest.approx(value)
    points = np.concatenate([x, y])
    assert np.all(np.abs(f[:, None] - f) <= w1.distances(points, points) + 1e-9)
    used = plan > 1e-9  # complementary slackness: the potential falls by the whole distance along the plan
    np.testing.assert_allclose((f[:6, None] - f[6:])[used], cost[used], atol=1e-9)


def test_unequal_mass_has_no_plan():
    with pytest.raises(ValueError, match="infeasible"):
        w1.optimal_transport(np.ones((2, 2)), np.array([0.5, 0.5]), np.array([0.5, 0.7]))


def seeded_critic(*widths, activation=nn.Tanh):
    torch.manual_seed(0)
    layers = [part for a, b in zip(widths, widths[1:], strict=False) for part in (nn.Linear(a, b), activation())]
    return nn.Sequential(*layers[:-1]).double()


def batches(*shape):
    rng = torch.Generator().manual_seed(1)
    return (torch.randn(shape, generator=rng, dtype=torch.float64) for _ in range(2))


@pytest.mark.parametrize("one_sided", [False, True])
def test_penalty_by_its_formula(one_sided):
    critic, (real, fake) = seeded_critic(3, 16, 1), batches(5, 3)
    with torch.no_grad():
        critic[2].weight *= 6
    epsilon = torch.rand((5, 1), generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    expected = []
    for x in epsilon * real + (1 - epsilon) * fake:
        x = x.clone().requires_grad_(True)
        critic(x).backward()
        excess = x.grad.norm().item() - 1
        expected.append(max(excess, 0) ** 2 if one_sided else excess**2)
    got = w1.gradient_penalty(critic, real, fake, torch.Generator().manual_seed(7), 3.0, one_sided)
    assert got.item() == pytest.approx(3 * np.mean(expected))
    assert np.count_nonzero(expected) > 1


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
def test_double_backward_against_finite_differences(activation):
    """Also for ReLU, whose second derivative in x is zero: the mixed one, in x and w, is not."""
    critic, (real, fake) = seeded_critic(2, 8, 8, 1, activation=activation), batches(6, 2)

    def penalty():
        return w1.gradient_penalty(critic, real, fake, torch.Generator().manual_seed(7))

    gradients = torch.autograd.grad(penalty(), list(critic.parameters()), allow_unused=True)
    rng, h = np.random.default_rng(0), 1e-6
    for parameter, gradient in zip(critic.parameters(), gradients, strict=True):
        flat = parameter.data.view(-1)
        for i in rng.choice(len(flat), min(3, len(flat)), replace=False):
            values = []
            for step in (h, -2 * h):
                flat[i] += step
                values.append(penalty().item())
            flat[i] += h
            numeric = (values[0] - values[1]) / (2 * h)
            analytic = 0.0 if gradient is None else gradient.view(-1)[i].item()
            assert analytic == pytest.approx(numeric, rel=1e-5, abs=1e-7)


def test_penalty_of_images_and_of_a_constant_critic():
    real, fake = batches(4, 3, 5, 5)
    critic = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(18, 1)).double()
    assert w1.gradient_penalty(critic, real, fake).item() > 0
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.zero_()
    penalty = w1.gradient_penalty(critic, real, fake)
    assert penalty.item() == pytest.approx(10.0)
    penalty.backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in critic.parameters())


def test_clipping_touches_weights_only():
    critic = seeded_critic(2, 8, 1)
    (critic(torch.ones(1, 2).double()).sum() * 100).backward()
    gradients = [p.grad.clone() for p in critic.parameters()]
    w1.clip_weights(critic, 0.01)
    assert max(p.abs().max().item() for p in critic.parameters()) == 0.01
    assert all(torch.equal(p.grad, g) for p, g in zip(critic.parameters(), gradients, strict=True))


def test_training_moves_the_generator_to_the_data():
    torch.manual_seed(0)
    G = nn.Linear(1, 1)
    f = nn.Sequential(nn.Linear(1, 16), nn.ReLU(), nn.Linear(16, 1))
    with torch.no_grad():
        G.weight.fill_(1.0), G.bias.fill_(0.0)

    def data(B):
        return torch.randn(B, 1) + 3

    def noise(B):
        return torch.randn(B, 1)

    estimates = list(w1.train(G, f, data, noise, steps=60, n_critic=3, batch=32, lr=5e-2))
    assert abs(G.bias.item() - 3) < 1
    assert np.mean(estimates[-10:]) < 0.5 * max(estimates)
