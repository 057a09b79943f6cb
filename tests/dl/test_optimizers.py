"""Own optimisers against torch.optim, step by step, and the properties their pages name."""

import numpy as np
import pytest
import torch

from scripts.dl import optimizers
from scripts.dl.optimizers import (
    LAMB,
    SGD,
    Adadelta,
    AdaGrad,
    Adam,
    AdamW,
    Lion,
    Muon,
    NAdam,
    RAdam,
    RMSProp,
    WeightAverage,
    newton_schulz,
)

SHAPES = [(4, 3), (4,), (2, 3, 2)]
STEPS = 60

# Own factory, PyTorch's factory; both take the list of parameters.
PAIRS = {
    "sgd": (lambda p: SGD(p, 0.1), lambda p: torch.optim.SGD(p, lr=0.1)),
    "sgd-l2": (lambda p: SGD(p, 0.1, weight_decay=0.3), lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.3)),
    "momentum": (
        lambda p: SGD(p, 0.05, momentum=0.9, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.1),
    ),
    "nesterov": (
        lambda p: SGD(p, 0.05, momentum=0.9, nesterov=True),
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    ),
    "adagrad": (lambda p: AdaGrad(p, 0.1), lambda p: torch.optim.Adagrad(p, lr=0.1)),
    "rmsprop": (lambda p: RMSProp(p, 0.01, 0.9), lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9)),
    "rmsprop-momentum": (
        lambda p: RMSProp(p, 0.01, momentum=0.9),
        lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9),
    ),
    "adadelta": (lambda p: Adadelta(p), lambda p: torch.optim.Adadelta(p)),
    "adam": (lambda p: Adam(p, 0.01), lambda p: torch.optim.Adam(p, lr=0.01)),
    "adam-l2": (
        lambda p: Adam(p, 0.01, weight_decay=0.1),
        lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
    ),
    "amsgrad": (
        lambda p: Adam(p, 0.01, betas=(0.8, 0.9), amsgrad=True),
        lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.9), amsgrad=True),
    ),
    "adamw": (
        lambda p: AdamW(p, 0.01, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    ),
    "adamw-amsgrad": (
        lambda p: AdamW(p, 0.01, weight_decay=0.1, amsgrad=True),
        lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1, amsgrad=True),
    ),
    "nadam": (lambda p: NAdam(p), lambda p: torch.optim.NAdam(p)),
    "radam": (lambda p: RAdam(p, 0.01), lambda p: torch.optim.RAdam(p, lr=0.01)),
}


@pytest.fixture(autouse=True)
def double_precision():
    """PyTorch keeps NAdam's running product in the default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def parameters(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in SHAPES]


def gradient(weights, rng):
    """A noisy gradient of a curved function, of very different scales: order and scale mistakes show."""
    return [(np.sin(w) + 0.3 * w + rng.standard_normal(w.shape)) * 10.0**k for k, w in enumerate(weights, -1)]


@pytest.mark.parametrize("name", PAIRS)
def test_trajectory_is_that_of_torch(name):
    ours, theirs = parameters(), [torch.nn.Parameter(torch.from_numpy(w)) for w in parameters()]
    own, reference = PAIRS[name][0](ours), PAIRS[name][1](theirs)
    rng, rng_torch = np.random.default_rng(1), np.random.default_rng(1)
    for _ in range(STEPS):
        own.step(gradient(ours, rng))
        for parameter, g in zip(theirs, gradient([w.detach().numpy() for w in theirs], rng_torch), strict=True):
            parameter.grad = torch.from_numpy(g)
        reference.step()
        for w, parameter in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(w, parameter.detach().numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_rate_may_be_changed_between_steps(name):
    ours, theirs = parameters(), [torch.nn.Parameter(torch.from_numpy(w)) for w in parameters()]
    own, reference = PAIRS[name][0](ours), PAIRS[name][1](theirs)
    rng, rng_torch = np.random.default_rng(1), np.random.default_rng(1)
    for t in range(10):
        own.lr = reference.param_groups[0]["lr"] = 0.02 / (1 + t)
        own.step(gradient(ours, rng))
        for parameter, g in zip(theirs, gradient([w.detach().numpy() for w in theirs], rng_torch), strict=True):
            parameter.grad = torch.from_numpy(g)
        reference.step()
    for w, parameter in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(w, parameter.detach().numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_first_step_of_adam_is_the_sign(size):
    w, g = np.zeros(5), size * np.array([1.0, -2.0, 0.5, -0.1, 3.0])
    Adam([w], lr=0.01).step([g])
    np.testing.assert_allclose(w, -0.01 * np.sign(g), rtol=1e-3)


def test_first_step_without_correction_is_3_16_times_larger():
    corrected, raw, g = np.zeros(3), np.zeros(3), np.array([1.0, -5.0, 30.0])
    Adam([corrected], lr=0.01).step([g])
    Adam([raw], lr=0.01, correct=False).step([g])
    np.testing.assert_allclose(raw / corrected, 0.1 / np.sqrt(0.001), rtol=1e-5)
    assert round(0.1 / np.sqrt(0.001), 2) == 3.16


def test_adam_does_not_notice_the_scale_of_the_loss():
    trajectories = []
    for scale in (1.0, 1e4):
        weights, rng = parameters(), np.random.default_rng(1)
        adam = Adam(weights, 0.01)
        for _ in range(30):
            adam.step([scale * g for g in gradient(weights, rng)])
        trajectories.append(weights)
    for a, b in zip(*trajectories, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_bias_correction_gives_the_mean_of_a_constant_gradient():
    w, g = np.zeros(2), np.array([3.0, -0.2])
    adam = Adam([w])
    for t in range(1, 6):
        adam.step([g])
        np.testing.assert_allclose(adam.state[0].m, (1 - 0.9**t) * g, rtol=1e-12)
        np.testing.assert_allclose(adam.state[0].v, (1 - 0.999**t) * g**2, rtol=1e-10)


def test_decay_of_sgd_is_the_l2_penalty_and_of_adam_is_not():
    def run(make):
        weights, rng = parameters(), np.random.default_rng(1)
        optimizer = make(weights)
        for _ in range(20):
            optimizer.step(gradient(weights, rng))
        return weights

    def shrinking(optimizer, lam):
        step = optimizer.step

        def both(gradients):
            before = [w.copy() for w in optimizer.parameters]
            step(gradients)
            for w, old in zip(optimizer.parameters, before, strict=True):
                w -= optimizer.lr * lam * old

        optimizer.step = both
        return optimizer

    l2 = run(lambda p: SGD(p, 0.1, weight_decay=0.2))
    decoupled = run(lambda p: shrinking(SGD(p, 0.1), 0.2))
    for a, b in zip(l2, decoupled, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    l2 = run(lambda p: Adam(p, 0.1, weight_decay=0.2))
    decoupled = run(lambda p: AdamW(p, 0.1, weight_decay=0.2))
    assert max(np.abs(a - b).max() for a, b in zip(l2, decoupled, strict=True)) > 0.05


def test_adamw_without_a_gradient_only_shrinks():
    w = np.array([2.0, -1.0])
    AdamW([w], lr=0.1, weight_decay=0.5).step([np.zeros(2)])
    np.testing.assert_allclose(w, [1.9, -0.95])


def test_effective_step_of_momentum():
    w = np.zeros(1)
    sgd = SGD([w], 0.1, momentum=0.9)
    for _ in range(400):
        before = w.copy()
        sgd.step([np.ones(1)])
    assert (before - w).item() == pytest.approx(0.1 / (1 - 0.9))


def test_radam_starts_without_adapting():
    radam = RAdam([np.zeros(1)])
    assert [radam.rectification(t) is None for t in (1, 5, 6)] == [True, True, False]
    assert radam.rectification(6) < 0.1
    assert radam.rectification(100_000) == pytest.approx(1.0, abs=1e-3)


def test_lion_steps_by_signs_and_decays():
    w = np.array([1.0, -1.0, 0.5])
    lion = Lion([w], lr=0.01, weight_decay=0.1)
    lion.step([np.array([5.0, -1e-6, 0.0])])
    np.testing.assert_allclose(w, [1 - 0.011, -1 + 0.011, 0.5 - 0.0005])
    np.testing.assert_allclose(lion.state[0].m, [0.05, -1e-8, 0.0])


def test_lamb_step_is_as_long_as_the_rate_times_the_weights():
    w = np.array([[3.0, 4.0], [0.0, 0.0]])
    before = w.copy()
    LAMB([w], lr=0.01).step([np.array([[1e-3, -2.0], [7.0, 0.5]])])
    assert np.linalg.norm(w - before) == pytest.approx(0.01 * 5.0)


def test_lamb_leaves_zero_weights_to_adam():
    lamb, adam, g = np.zeros(3), np.zeros(3), np.array([1.0, -2.0, 3.0])
    LAMB([lamb], 0.01, eps=1e-8).step([g])
    Adam([adam], 0.01).step([g])
    np.testing.assert_allclose(lamb, adam)


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (8, 8)])
def test_newton_schulz_levels_the_singular_values(shape):
    matrix = np.random.default_rng(0).standard_normal(shape)
    left, singular, right = np.linalg.svd(matrix, full_matrices=False)
    result = newton_schulz(matrix)
    levelled = left.T @ result @ right.T
    assert result.shape == shape
    assert singular[0] / singular[-1] > 1.5
    np.testing.assert_allclose(levelled - np.diag(np.diag(levelled)), 0, atol=1e-10)
    assert np.all((np.diag(levelled) > 0.65) & (np.diag(levelled) < 1.25))


def test_muon_steps_by_the_orthogonal_factor_and_takes_matrices_only():
    w, g = np.zeros((4, 6)), np.random.default_rng(0).standard_normal((4, 6))
    Muon([w], lr=0.1).step([g])
    np.testing.assert_allclose(w, -0.1 * newton_schulz(g), atol=1e-6)
    with pytest.raises(ValueError, match="matrices"):
        Muon([np.zeros(3)])


@pytest.mark.parametrize(
    ("make", "numbers"),
    [
        (lambda p: SGD(p, 0.1), 0),
        (lambda p: SGD(p, 0.1, momentum=0.9), 1),
        (AdaGrad, 1),
        (RMSProp, 1),
        (Adadelta, 2),
        (Adam, 2),
        (AdamW, 2),
        (lambda p: Adam(p, amsgrad=True), 3),
        (NAdam, 2),
        (RAdam, 2),
        (Lion, 1),
        (LAMB, 2),
    ],
)
def test_memory_of_the_state(make, numbers):
    optimizer = make(parameters())
    assert optimizer.state_numbers() == numbers
    kept = sum(array.size for state in optimizer.state for array in vars(state).values())
    assert kept == numbers * sum(w.size for w in optimizer.parameters)


def test_parameters_change_in_place_and_gradients_do_not():
    for make in optimizers.OPTIMIZERS.values():
        weights = [np.ones((2, 3))]
        gradients = [np.full((2, 3), 0.5)]
        optimizer = make(weights, lr=0.1)
        assert optimizer.step(gradients) is None
        assert optimizer.parameters[0] is weights[0]
        assert not np.array_equal(weights[0], np.ones((2, 3)))
        assert np.array_equal(gradients[0], np.full((2, 3), 0.5))
        assert optimizer.t == 1


def test_averages_of_weights():
    w = np.array([0.0])
    ema, swa = WeightAverage([w], decay=0.9), WeightAverage([w])
    for value in (1.0, 2.0, 3.0):
        w[:] = value
        ema.update()
        swa.update()
    assert swa.average[0].item() == pytest.approx(1.5)
    assert ema.average[0].item() == pytest.approx(0.1 * (0.81 * 1 + 0.9 * 2 + 3))
    assert w.item() == 3.0


def test_mistakes_are_refused():
    with pytest.raises(TypeError, match="floating"):
        SGD([np.zeros(2, dtype=int)], 0.1)
    with pytest.raises(ValueError, match="negative"):
        SGD([np.zeros(2)], -0.1)
    with pytest.raises(ValueError, match="momentum"):
        SGD([np.zeros(2)], 0.1, momentum=1.0)
    with pytest.raises(ValueError, match="Nesterov"):
        SGD([np.zeros(2)], 0.1, nesterov=True)
    with pytest.raises(ValueError, match="beta2"):
        Adam([np.zeros(2)], betas=(0.9, 1.5))
    optimizer = Adam([np.zeros(2)])
    with pytest.raises(ValueError, match="shape"):
        optimizer.step([np.zeros(3)])
    with pytest.raises(ValueError, match="longer|shorter"):
        optimizer.step([])
    assert optimizer.t == 0
    nadam, clean = NAdam([np.zeros(2)]), NAdam([np.zeros(2)])
    with pytest.raises(ValueError, match="shape"):
        nadam.step([np.zeros(3)])
    for each in (nadam, clean):
        each.step([np.ones(2)])
    assert np.array_equal(nadam.parameters[0], clean.parameters[0])
