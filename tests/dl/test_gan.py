import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from scripts.dl import gan


@pytest.fixture
def densities():
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(40)), rng.dirichlet(np.ones(40))


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 30, 1, generator=generator, dtype=torch.float64) * 3


def test_no_other_discriminator_does_better(densities):
    p, q = densities
    best = gan.optimal_discriminator(p, q)
    rng = np.random.default_rng(1)
    for _ in range(20):
        other = np.clip(best + 0.1 * rng.standard_normal(40), 1e-6, 1 - 1e-6)
        assert gan.value(other, p, q) < gan.value(best, p, q)


def test_discriminator_outside_both_supports():
    best = gan.optimal_discriminator(np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]))
    np.testing.assert_array_equal(best, [1, 0, 0.5])


def test_divergences(densities):
    p, q = densities
    middle = (p + q) / 2
    assert gan.kullback_leibler(p, q) == pytest.approx(np.sum(p * np.log(p / q)))
    assert gan.jensen_shannon(p, q) == pytest.approx(
        0.5 * np.sum(p * np.log(p / middle)) + 0.5 * np.sum(q * np.log(q / middle))
    )
    assert gan.jensen_shannon(np.array([1.0, 0]), np.array([0, 1.0])) == pytest.approx(math.log(2))
    assert gan.kullback_leibler(np.array([1.0, 0]), np.array([0, 1.0])) == math.inf


def test_losses(logits):
    real, fake = logits
    ones, zeros = torch.ones_like(real), torch.zeros_like(fake)
    cross_entropy = F.binary_cross_entropy_with_logits
    expected = {
        "saturating": (cross_entropy(real, ones) + cross_entropy(fake, zeros), torch.log(1 - fake.sigmoid()).mean()),
        "non-saturating": (cross_entropy(real, ones) + cross_entropy(fake, zeros), cross_entropy(fake, ones)),
        "least-squares": ((F.mse_loss(real, ones) + F.mse_loss(fake, zeros)) / 2, F.mse_loss(fake, ones) / 2),
        "hinge": ((1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean(), -fake.mean()),
        "wasserstein": (fake.mean() - real.mean(), -fake.mean()),
    }
    assert expected.keys() == gan.LOSSES.keys()
    for name, (d_loss, g_loss) in gan.LOSSES.items():
        torch.testing.assert_close(d_loss(real, fake), expected[name][0])
        torch.testing.assert_close(g_loss(fake), expected[name][1])


def test_losses_are_finite_for_certain_discriminators():
    sure = torch.tensor([[500.0]])
    assert gan.standard_d(-sure, sure).item() == pytest.approx(1000)
    assert gan.non_saturating_g(-sure).item() == pytest.approx(500)


def linear(inputs, outputs, seed):
    torch.manual_seed(seed)
    return nn.Linear(inputs, outputs)


def test_each_step_trains_one_network():
    G, D = linear(3, 2, 0), linear(2, 1, 1)
    optimizers = {net: torch.optim.SGD(net.parameters(), 0.1) for net in (G, D)}
    real, z = torch.randn(8, 2), torch.randn(8, 3)

    def weights():
        return {net: [w.detach().clone() for w in net.parameters()] for net in (G, D)}

    for changed, kept, step in (
        (D, G, lambda: gan.discriminator_step(G, D, optimizers[D], gan.standard_d, real, z)),
        (G, D, lambda: gan.generator_step(G, D, optimizers[G], gan.non_saturating_g, z)),
    ):
        before = weights()
        step()
        after = weights()
        assert all(torch.equal(a, b) for a, b in zip(before[kept], after[kept], strict=True))
        assert not any(torch.equal(a, b) for a, b in zip(before[changed], after[changed], strict=True))


def test_discriminator_step_ignores_what_the_generator_left():
    """The gradient in D after G's step must not leak into D's next step."""
    real, z = torch.randn(8, 2), torch.randn(8, 3)
    results = []
    for dirty in (False, True):
        G, D = linear(3, 2, 0), linear(2, 1, 1)
        if dirty:
            gan.non_saturating_g(D(G(z))).backward()
        gan.discriminator_step(G, D, torch.optim.SGD(D.parameters(), 0.1), gan.standard_d, real, z)
        results.append(D.weight.detach().clone())
    assert torch.equal(*results)


def test_train_counts_updates_and_applies_the_penalty():
    G, D = linear(3, 2, 0), linear(2, 1, 1)
    drawn = {"real": 0, "noise": 0, "penalties": 0}

    def sample(n):
        drawn["real"] += 1
        return torch.randn(n, 2)

    def noise(n):
        drawn["noise"] += 1
        return torch.randn(n, 3)

    def penalty(critic, real, fake):
        drawn["penalties"] += 1
        return critic.weight.square().sum()

    rounds = []
    recipe = gan.Recipe("hinge", 4, discriminator_steps=3, generator_steps=2, batch=5, penalty=penalty)
    gan.train(G, D, sample, noise, recipe, rounds.append)
    assert rounds == [1, 2, 3, 4]
    assert drawn == {"real": 12, "noise": 12 + 8, "penalties": 12}


def test_a_line_learns_its_place():
    """The smallest GAN: a shift against a linear discriminator with R1, which does converge."""
    torch.manual_seed(0)

    class Shift(nn.Module):
        def __init__(self):
            super().__init__()
            self.theta = nn.Parameter(torch.zeros(1))

        def forward(self, z):
            return z + self.theta

    G, D = Shift(), nn.Linear(1, 1)

    def r1(critic, real, fake):
        return critic.weight.square().sum()

    recipe = gan.Recipe("non-saturating", 400, lr=0.05, batch=128, penalty=r1)
    gan.train(G, D, lambda n: torch.randn(n, 1) + 2, lambda n: torch.randn(n, 1), recipe, lambda done: None)
    assert G.theta.item() == pytest.approx(2, abs=0.3)


def test_ring():
    centres = gan.ring_centres()
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 2)
    np.testing.assert_allclose(np.linalg.norm(np.diff(centres, axis=0), axis=1), 4 * math.sin(math.pi / 8))
    points = gan.sample_mixture(4000, centres, 0.1, np.random.default_rng(0))
    counts = gan.mode_counts(points, centres, reach=1.0)
    assert counts[-1] == 0
    np.testing.assert_allclose(counts[:-1], 500, atol=100)
    assert (points - centres[0])[np.linalg.norm(points - centres[0], axis=1) < 1].std() == pytest.approx(0.1, abs=0.01)


def test_coverage_of_a_collapsed_sample():
    centres = gan.ring_centres()
    one = centres[3] + 0.01 * np.random.default_rng(0).standard_normal((100, 2))
    nowhere = np.zeros((20, 2))
    counts = gan.mode_counts(np.concatenate([one, nowhere]), centres, reach=0.3)
    np.testing.assert_array_equal(counts, [0, 0, 0, 100, 0, 0, 0, 0, 20])
    assert gan.modes_covered(counts) == 1
    assert gan.modes_covered(np.array([10, 9, 0, 981]), share=0.01) == 1
