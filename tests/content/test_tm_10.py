"""Every number and every claim of tm-10 that can be computed is computed here."""

import math

import numpy as np
import pytest
import torch

from scripts.dl import lora
from scripts.experiments import lora as experiment
from scripts.experiments import transfer
from scripts.figures import tm_10
from tests.content.page import assert_said, printed

PAGE = printed("theory-minimum/10-transfer-learning-lora.md")


def target(method, shift="rotated"):
    return experiment.adapt(method, shift)["target"].mean()


# Freezing


def test_figure_freezing():
    mean = {(mode, n): tm_10.transferred(mode, n).mean() for mode in tm_10.MODES for n in transfer.LABELS}
    assert_said(PAGE, mean["scratch", 3], mean["scratch", 100], mean["probe", 3], mean["probe", 100], digits=2)
    assert_said(PAGE, mean["lp-ft", 3], mean["lp-ft", 100], mean["two-frozen", 3], mean["two-frozen", 100], digits=2)
    for labels in transfer.LABELS:
        assert abs(mean["full", labels] - mean["two-frozen", labels]) < 0.017
        assert mean["full", labels] >= mean["two-frozen", labels] - 0.005
        assert mean["full", labels] > mean["probe", labels]
        assert mean["lp-ft", labels] > mean["full", labels] - 0.005
    assert mean["probe", 3] > mean["scratch", 3]
    assert mean["probe", 30] < mean["scratch", 30]
    assert_said(PAGE, *(tm_10.transferred(mode, 100, "inverted").mean() for mode in ("full", "scratch")), digits=2)


def test_figure_one_layer():
    values = {(part, shift): target(part, shift) for part in tm_10.PARTS for shift in tm_10.SHIFTS}
    assert_said(PAGE, *(values[part, "rotated"] for part in ("layer-1", "layer-3", "full")), digits=2)
    assert_said(PAGE, *(values[part, "relabelled"] for part in ("layer-1", "layer-3")), digits=2)
    rotated = {part: values[part, "rotated"] for part in tm_10.PARTS}
    assert rotated["layer-1"] == pytest.approx(rotated["full"], abs=0.01)
    assert min(rotated, key=rotated.get) == "layer-3"
    relabelled = {part: values[part, "relabelled"] for part in tm_10.PARTS}
    assert max(relabelled, key=relabelled.get) == "layer-3"
    assert min(relabelled, key=relabelled.get) == "layer-1"
    assert [experiment.parameters(part) for part in experiment.PARTS] == [8320, 16_512, 1290]


def test_gradient_of_the_features_follows_the_head_and_spares_unseen_directions():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((3, 6)), rng.standard_normal(3)
    R = torch.tensor(rng.standard_normal((4, 6)), requires_grad=True)
    v = torch.tensor(rng.standard_normal(4))
    error = (torch.tensor(X) @ R.T) @ v - torch.tensor(y)
    (0.5 * error**2).sum().backward()
    expected = sum(e * np.outer(v.numpy(), x) for e, x in zip(error.detach().numpy(), X, strict=True))
    np.testing.assert_allclose(R.grad.numpy(), expected, atol=1e-12)
    unseen = np.linalg.svd(X)[2][-1]  # perpendicular to all three objects
    np.testing.assert_allclose(R.grad.numpy() @ unseen, 0, atol=1e-12)


def test_frozen_batch_norm_still_changes_in_training_mode():
    layer = torch.nn.BatchNorm1d(3).requires_grad_(False)
    layer(torch.randn(8, 3, generator=torch.Generator().manual_seed(0)))
    assert layer.running_mean.abs().max() > 0
    before = layer.eval().running_mean.clone()
    layer(torch.randn(8, 3))
    assert torch.equal(layer.running_mean, before)


def test_zero_gradient_is_not_frozen_for_weight_decay():
    for grad, moves in ((None, False), (torch.zeros(2), True)):
        weight = torch.nn.Parameter(torch.ones(2))
        weight.grad = grad
        torch.optim.AdamW([weight], lr=0.1, weight_decay=0.1).step()
        assert bool((weight != 1).any()) is moves


# LoRA


def test_counts_of_the_text():
    assert lora.lora_parameters(4096, 4096, 8) == 65_536
    assert_said(PAGE, 100 * 65_536 / 4096**2, digits=2)
    assert_said(PAGE, 4096**2 / 1e6, digits=1)
    assert 96 * 2 * lora.lora_parameters(12_288, 12_288, 4) == pytest.approx(18.9e6, rel=0.01)
    assert 9e3 < 175e9 / 18.9e6 < 1.1e4
    assert round(1 - 32.5 / 43.1, 2) == 0.25  # tokens a second on a V100: Hu et al., 2021, footnote 5
    assert lora.lora_parameters(256, 256 * 9, 8) == 20_480
    assert 256 * 256 * 9 == 589_824
    assert_said(PAGE, 100 * 20_480 / 589_824, digits=1)


def test_memory_of_seven_billion():
    d, inner, layers, vocabulary = 4096, 11_008, 32, 32_000
    linear = layers * (4 * d * d + 3 * d * inner)
    model = 2 * vocabulary * d + linear + layers * 2 * d + d
    adapter = layers * (4 * lora.lora_parameters(d, d, 8) + 3 * lora.lora_parameters(inner, d, 8))
    assert_said(PAGE, model / 1e9, digits=2)
    assert_said(PAGE, adapter / 1e6, (2 * model + 16 * adapter) / 1e9, digits=1)
    assert_said(PAGE, 16 * model / 1e9, digits=0)
    bits = 4 + 8 / 64 + 32 / (64 * 256)  # NF4, doubly quantised scales: Dettmers et al., 2023, section 3
    assert_said(PAGE, bits, digits=2)
    assert 4 + 32 / 64 == 4.5
    assert_said(PAGE, (bits / 8 * linear + 2 * (model - linear) + 16 * adapter) / 1e9, digits=1)
    assert_said(PAGE, 25.6e6 * 16 / 1e9, digits=1)


def test_first_step_is_a_projected_step():
    rng = np.random.default_rng(0)
    d_out, d_in, r, s, rate = 5, 40, 4, 2.0, 0.1
    G, sigma = rng.standard_normal((d_out, d_in)), 0.3
    total = np.zeros_like(G)
    for _ in range(4000):
        A = sigma * rng.standard_normal((r, d_in))
        B = -rate * s * G @ A.T
        total += s * B @ A
        assert np.linalg.matrix_rank(s * B @ A) <= r
    np.testing.assert_allclose(total / 4000, -rate * s**2 * r * sigma**2 * G, atol=0.02)


def test_mean_first_step_of_adam_does_not_depend_on_the_rank():
    rng = np.random.default_rng(0)
    d, alpha, draws = 60, 8, 150
    G = rng.standard_normal((20, d))
    along = G / np.linalg.norm(G, axis=1, keepdims=True)
    for r in (1, 4, 16):
        total = np.zeros_like(G)
        for _ in range(draws):
            A = rng.standard_normal((r, d)) / math.sqrt(d)
            total += alpha / r * np.sign(G @ A.T) @ A
        expected = alpha * math.sqrt(2 / math.pi / d)
        assert np.mean(np.sum(total / draws * along, axis=1)) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(("d", "r", "alpha", "printed_"), [(4096, 8, 16, 0.088), (128, 4, 8, 0.35)])
def test_first_step_of_adam(d, r, alpha, printed_):
    estimate = alpha / math.sqrt(r) / math.sqrt(d)
    assert estimate == pytest.approx(printed_, rel=0.02)
    rng = np.random.default_rng(0)
    A, G = rng.standard_normal((r, d)) / math.sqrt(d), rng.standard_normal((300, d))
    step = alpha / r * np.sign(G @ A.T) @ A
    assert np.sqrt(np.mean(step**2)) == pytest.approx(estimate, rel=0.1)


def test_freedom_of_the_product():
    rng = np.random.default_rng(0)
    d_out, d_in, r = 5, 7, 2
    A, B = rng.standard_normal((r, d_in)), rng.standard_normal((d_out, r))
    M = rng.standard_normal((r, r))
    np.testing.assert_allclose((B @ M) @ (np.linalg.inv(M) @ A), B @ A)
    columns = [np.outer(unit, A[k]) for k in range(r) for unit in np.eye(d_out)]
    columns += [np.outer(B[:, k], unit) for k in range(r) for unit in np.eye(d_in)]
    jacobian = np.stack([column.ravel() for column in columns])
    assert np.linalg.matrix_rank(jacobian) == r * (d_in + d_out) - r**2
    assert_said(PAGE, 10 * 128 / (10 + 128), digits=1)
    assert lora.lora_parameters(10, 128, 8) < 10 * 128 < lora.lora_parameters(10, 128, 10)


def test_weight_decay_of_both_factors_is_the_sum_of_singular_values():
    rng = np.random.default_rng(0)
    product = rng.standard_normal((6, 3)) @ rng.standard_normal((3, 9))
    U, singular, Vt = np.linalg.svd(product, full_matrices=False)
    B, A = U * np.sqrt(singular), np.sqrt(singular)[:, None] * Vt
    np.testing.assert_allclose(B @ A, product)
    assert 0.5 * (np.sum(A**2) + np.sum(B**2)) == pytest.approx(singular.sum())
    M = np.eye(len(singular)) + 0.3 * rng.standard_normal((len(singular),) * 2)
    assert 0.5 * (np.sum((np.linalg.inv(M) @ A) ** 2) + np.sum((B @ M) ** 2)) > singular.sum()


def test_dora_starts_at_the_pretrained_weight_and_turns_without_stretching():
    rng = np.random.default_rng(0)
    W0, update = rng.standard_normal((4, 6)), rng.standard_normal((4, 6))
    m = np.linalg.norm(W0, axis=1, keepdims=True)
    np.testing.assert_allclose(m * W0 / np.linalg.norm(W0, axis=1, keepdims=True), W0)
    W = m * (W0 + update) / np.linalg.norm(W0 + update, axis=1, keepdims=True)
    np.testing.assert_allclose(np.linalg.norm(W, axis=1, keepdims=True), m)


def test_best_rates_of_the_small_network():
    best = {
        name: experiment.RATES[experiment.rates(name)["accuracy"].mean(axis=1).argmax()] for name in ("full", "lora-4")
    }
    assert best["lora-4"] == 3e-3
    assert best["full"] in (3e-3, 1e-2)
    full = experiment.rates("full")["accuracy"].mean(axis=1)
    assert abs(full[experiment.RATES.index(3e-3)] - full[experiment.RATES.index(1e-2)]) < 0.01


def test_figure_spectrum():
    assert_said(PAGE, *(tm_10.energy(f"update-{layer}")[7] for layer in (1, 2)), digits=2)
    assert_said(PAGE, *(tm_10.energy(f"weight-{layer}")[7] for layer in (1, 2)), digits=2)
    found = experiment.spectrum()
    at = dict(zip(experiment.TRUNCATIONS, found["truncated"].mean(axis=0), strict=True))
    assert_said(PAGE, at[0], at[8], at[12], found["whole"].mean(), digits=2)


def test_figure_capacity():
    assert [experiment.parameters(name) for name in ("lora-1", "lora-8", "layer-3", "full")] == [
        586,
        4688,
        1290,
        26_122,
    ]
    assert_said(PAGE, target("lora-1"), target("lora-8"), target("layer-3"), target("full"), digits=2)
    assert_said(PAGE, experiment.adapt("full", "rotated")["before"].mean(), digits=2)
    source = {name: experiment.adapt(name, "rotated")["source"].mean() for name in (*tm_10.LORA, *tm_10.PARTS)}
    assert_said(PAGE, source["full"], min(source[name] for name in tm_10.LORA), digits=2)
    assert_said(PAGE, max(source[name] for name in tm_10.LORA), digits=2)
    assert 0.595 <= source["layer-3"] <= source["layer-1"] < 0.685
    rank_one = experiment.adapt("lora-1", "rotated")["source"]
    assert_said(PAGE, rank_one.min(), rank_one.max(), digits=2)
    full = experiment.adapt("full", "rotated")["source"]
    assert all(experiment.adapt(name, "rotated")["source"].min() < full.max() for name in tm_10.LORA)


def test_what_the_networks_knew_before():
    seeds = range(experiment.SEEDS)
    before = [experiment.accuracy(experiment._pretrained(n), experiment.task("source", n)[1]) for n in seeds]
    assert np.mean(before) == pytest.approx(tm_10.SOURCE_BEFORE, abs=0.004)
    assert_said(PAGE, tm_10.SOURCE_BEFORE, digits=2)


def test_relabelling_needs_a_rank_of_nine():
    P = np.roll(np.eye(10), experiment.SHIFT, axis=0)
    assert np.linalg.matrix_rank(P - np.eye(10)) == 9
    W = np.random.default_rng(0).standard_normal((10, 128))
    assert np.linalg.matrix_rank(P @ W - W) == 9
    assert_said(PAGE, target("lora-1", "relabelled"), target("lora-8", "relabelled"), digits=2)


def test_gradient_of_a_layer_has_at_most_the_rank_of_the_batch():
    rng = np.random.default_rng(0)
    assert np.linalg.matrix_rank(rng.standard_normal((3, 20)).T @ rng.standard_normal((3, 30))) == 3


def test_default_initialisation_of_a_linear_layer():
    weight = torch.nn.init.kaiming_uniform_(torch.empty(400, 300), a=math.sqrt(5))
    assert weight.var().item() == pytest.approx(1 / (3 * 300), rel=0.02)


def test_experiment_learns_at_all():
    """The training behind the records, in a moment."""
    start = experiment.pretrain(0, steps=150)
    source, rotated = experiment.task("source", 0), experiment.task("rotated", 0)
    assert experiment.accuracy(start, source[1]) > 0.8
    few = experiment.few(rotated[0], 200)
    before = experiment.accuracy(start, rotated[1])
    for method in ("full", "lora-4", "layer-1"):
        weights = experiment.adapted(method, start, few, 0, steps=80)
        assert experiment.accuracy(weights, rotated[1]) > before + 0.1
    frozen = experiment.adapted("layer-1", start, few, 0, steps=3)
    assert all(torch.equal(old, new) for old, new in zip(start[2:], frozen[2:], strict=True))
