"""Every number and every claim of tm-27 that can be computed is computed here."""

import math

import numpy as np
import pytest
import torch

from scripts.dl import contrastive as ct
from scripts.dl.activations import sigmoid
from scripts.dl.losses import softmax
from scripts.experiments import tiny_clip as tc
from scripts.experiments.clip_composition import composition
from scripts.figures import tm_27
from tests.content.page import assert_said, printed

PAGE = printed("theory-minimum/27-clip.md")


def units(B=6, d=4, seed=0):
    return (ct.normalize(X) for X in np.random.default_rng(seed).standard_normal((2, B, d)))


def simplex(B):
    """B unit vectors with all cosines -1 / (B - 1), the farthest apart."""
    return ct.normalize(np.eye(B) - 1 / B)


# Loss and gradient


def test_gradient_in_the_cosines():
    B, tau, rng = 6, 0.2, np.random.default_rng(0)
    S = torch.tensor(rng.uniform(-1, 1, (B, B)), requires_grad=True)
    loss = -(torch.log_softmax(S / tau, 1).diag() + torch.log_softmax(S / tau, 0).diag()).mean() / 2
    loss.backward()
    p, q = softmax(S.detach().numpy() / tau), softmax(S.detach().numpy().T / tau).T
    np.testing.assert_allclose(S.grad, (p + q - 2 * np.eye(B)) / (2 * B * tau), atol=1e-12)
    np.testing.assert_allclose((p - np.eye(B)).sum(axis=1), 0, atol=1e-12)
    (t_bar,) = torch.autograd.grad(_loss_of_t(S.detach(), t := torch.tensor(math.log(5.0), requires_grad=True)), t)
    assert t_bar.item() == pytest.approx((S.detach() * S.grad).sum().item(), rel=1e-5)


def _loss_of_t(S, t):
    logits = t.exp() * S
    return -(torch.log_softmax(logits, 1).diag() + torch.log_softmax(logits, 0).diag()).mean() / 2


def test_derivative_in_t_is_negative_when_all_pairs_win():
    U, _ = units()
    *_, t_bar = ct.clip_loss(U, U, 1.0)
    assert t_bar < 0


def test_equal_cosines_give_the_logarithm_of_the_batch():
    U = np.tile(ct.normalize(np.ones((1, 4))), (7, 1))
    assert ct.clip_loss(U, U, math.log(1 / 0.07))[0] == pytest.approx(math.log(7))


def test_example_of_two_pairs():
    S = np.array([[0.3, 0.1], [0.2, 0.25]])
    for digits, values in ((3, [sigmoid(np.array(z)) for z in (2.0, 0.5, 1.0, 1.5)]),):
        assert_said(PAGE, *values, digits=digits)
    for tau in (0.1, 1):
        loss = (ct.info_nce(S / tau) + ct.info_nce(S.T / tau)) / 2
        assert_said(PAGE, loss, digits=3)


def test_initial_temperature():
    assert_said(PAGE, math.log(1 / 0.07), digits=3)
    assert_said(PAGE, 1 / 0.07, digits=1)
    assert round(math.exp(100 * 0.05)) == 148


# Temperature


@pytest.mark.parametrize("tau", [0.07, 0.3, 1.0])
def test_least_loss_of_unit_vectors(tau):
    for B in (5, 48):
        least = math.log1p((B - 1) * math.exp(-B / ((B - 1) * tau)))
        assert ct.clip_loss(simplex(B), simplex(B), -math.log(tau))[0] == pytest.approx(least)
        assert math.log(B) - least <= 1 / tau
        for seed in range(5):
            U, V = units(B, 4, seed)
            for pair in ((U, V), (U, U)):
                assert ct.clip_loss(*pair, -math.log(tau))[0] >= least


def test_mean_margin_is_minus_a_covariance():
    U, V = units()
    S, B = U @ V.T, 6
    margin = np.mean([(S[i].sum() - S[i, i]) / (B - 1) - S[i, i] for i in range(B)])
    mu, nu = U.mean(axis=0), V.mean(axis=0)
    assert margin == pytest.approx(-np.sum((U - mu) * (V - nu)) / (B - 1))
    assert np.sum((U - mu) ** 2) <= B


def test_least_loss_at_the_batch_of_clip():
    B = 32_768
    assert_said(PAGE, math.log1p((B - 1) * math.exp(-B / (B - 1))), math.log(B), digits=2)
    assert math.log1p((B - 1) * math.exp(-B / ((B - 1) * 0.07))) < 0.03


def test_figure_temperatures():
    runs = {name: tm_27.result(name) for name in tm_27.TEMPERATURES}
    assert_said(PAGE, runs["learned"]["loss"][-100:].mean(), runs["learned"]["right"].item(), digits=2)
    assert_said(PAGE, runs["learned"]["best_wrong"].item(), runs["0.01"]["right"].item(), digits=2)
    assert_said(PAGE, runs["0.01"]["best_wrong"].item(), digits=2)
    assert runs["0.01"]["right"] - runs["0.01"]["best_wrong"] == pytest.approx(0.02, abs=0.005)
    assert runs["learned"]["scale"] == pytest.approx(15, abs=0.5)
    assert runs["1"]["right"] > 0.99 and runs["1"]["best_wrong"] > 0.99
    assert runs["1"]["seen_colour"] == 1 and runs["1"]["seen_shape"] < 0.5
    assert runs["1"]["loss"][-100:].mean() == pytest.approx(3.1, abs=0.05)
    # four points at the corners of a tetrahedron: two wrong captions of the own colour, nine of the others
    assert runs["1"]["wrong"] == pytest.approx((2 - 9 / 3) / 11, abs=0.01)
    fixed = tc.tiny_clip("0.07")
    assert fixed["loss"][-100:].mean() == pytest.approx(runs["learned"]["loss"][-100:].mean(), abs=0.02)
    for run in runs.values():
        assert run["loss"][-100:].mean() > tm_27.floor()
    assert_said(PAGE, runs["0.01"]["gap"].item(), runs["learned"]["gap"].item(), digits=2)


# Zero-shot


def test_figure_matrices():
    runs = [tc.tiny_clip(), tc.tiny_clip("learned", 1), tc.tiny_clip("learned", 2)]
    assert_said(PAGE, *(run["seen"].item() for run in runs), digits=2)
    assert all(run["unseen"] < 0.02 and run["unseen_colour"] == 1 for run in runs)
    assert_said(PAGE, runs[0]["unseen"].item(), 1 / 16, digits=2)
    found = tc.similarity()
    assert np.abs(found["before"]).max() < 0.35
    for c in tc.SEEN:
        assert found["after"][c, c] > 0.6
    for c in tc.UNSEEN:
        block = slice(4 * (c // 4), 4 * (c // 4) + 4)
        assert found["after"][c, block].argmax() != c % 4


def test_what_new_combinations_lack():
    runs = [composition(), composition(1), composition(2)]
    assert_said(PAGE, *(run["composed_unseen"].item() for run in runs), digits=2)
    assert_said(PAGE, *(run["pictures_unseen"].item() for run in runs), digits=2)
    assert_said(PAGE, runs[0]["pictures_seen"].item(), runs[0]["nearest"].item(), digits=2)
    for run in runs:
        assert run["captions_unseen"] < 0.02 and run["composed_unseen"] < 0.11
        assert run["pictures_unseen"] > 0.5 and run["nearest"] > 0.9


def test_softmax_over_two_captions_is_sure_of_a_small_difference():
    assert sigmoid(np.array(100 * 0.046)) == pytest.approx(0.99, abs=0.001)
    neither = np.array([[1.0, 0.0]])
    captions = np.array([[0.25, math.sqrt(1 - 0.25**2)], [0.204, math.sqrt(1 - 0.204**2)]])
    assert round(ct.zero_shot(neither, captions, math.log(100))[0, 0], 2) == 0.99


# Information


def test_floor_of_duplicates():
    assert_said(PAGE, ct.duplicate_floor(tc.BATCH, len(tc.SEEN)), digits=2)
    U = ct.normalize(np.repeat(np.eye(3), 2, axis=0))
    assert ct.clip_loss(U, U, math.log(100))[0] == pytest.approx(math.log(2), abs=1e-6)


def test_bound_of_gaussians():
    truth = ct.gaussian_information(0.9)
    assert truth == pytest.approx(0.830, abs=5e-4)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1000, 64, 1))
    Y = 0.9 * X + math.sqrt(0.19) * rng.standard_normal(X.shape)
    bound = ct.information_bound(ct.gaussian_log_ratio(X, Y, 0.9))
    assert bound == pytest.approx(0.808, abs=0.02)
    assert bound < truth


def test_figure_bound():
    found = tm_27.bounds()
    for values, dimension in zip(found, tm_27.DIMENSIONS, strict=True):
        truth = ct.gaussian_information(tm_27.RHO, dimension)
        assert np.all(values <= np.minimum(truth, np.log(tm_27.SIZES)) + 0.05)
        assert np.all(np.diff(values) > 0)
    assert_said(PAGE, ct.gaussian_information(0.9), ct.gaussian_information(0.9, 10), digits=2)
    assert_said(PAGE, found[0][list(tm_27.SIZES).index(64)], math.log(1024), digits=2)
    assert_said(PAGE, found[2][-1], digits=1)
    assert_said(PAGE, math.log(32_768), digits=1)


# Modality gap, SigLIP


def test_common_shift_does_not_change_the_rows():
    U, V = units()
    c = np.array([0.3, -0.1, 0.2, 0.5])
    np.testing.assert_allclose(softmax(U @ (V + c).T / 0.1), softmax(U @ V.T / 0.1))
    assert not np.allclose(softmax((V + c) @ U.T / 0.1), softmax(V @ U.T / 0.1))


def test_shift_orthogonal_to_the_pictures_changes_no_cosine():
    U, V = units(B=3, d=6)
    c = np.linalg.svd(U)[2][-1]
    np.testing.assert_allclose(U @ (V + c).T, U @ V.T, atol=1e-12)


def test_figure_clouds():
    found = tc.clouds()
    for when, apart in (("before", True), ("after", False)):
        pictures, captions = found[f"pictures_{when}"], found[f"captions_{when}"]
        spread = max(np.linalg.norm(X - X.mean(axis=0), axis=1).mean() for X in (pictures, captions))
        assert (np.linalg.norm(pictures.mean(axis=0) - captions.mean(axis=0)) > spread) == apart
    assert round(100 * found["share_after"].item()) == 54


def test_start_of_siglip():
    B = 32_768
    assert B * math.log(2) == pytest.approx(22_700, abs=20)
    assert math.log1p(math.exp(-10)) == pytest.approx(4.5e-5, abs=1e-6)
    assert_said(PAGE, B * math.exp(-10), digits=1)
    assert math.log1p(math.exp(10)) == pytest.approx(10, abs=1e-3)


def test_prompts_are_averaged_into_one_row():
    prompts = ct.normalize(np.random.default_rng(0).standard_normal((3, 80, 5)))
    assert ct.class_weights(prompts).shape == (3, 5)


def test_distance_and_cosine_agree():
    U, V = units()
    np.testing.assert_allclose(((U - V) ** 2).sum(axis=1), 2 - 2 * np.sum(U * V, axis=1))
