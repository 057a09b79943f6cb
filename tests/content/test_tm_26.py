"""Every number and every claim of tm-26 that can be computed is computed here."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import linear_attention as la
from scripts.dl import low_rank_attention as low
from scripts.dl import online_softmax as online
from scripts.dl import sparse_attention as sparse
from scripts.dl.attention import attention
from scripts.experiments.attention_times import times
from scripts.figures import tm_26
from scripts.figures.tm_16 import induction_maps
from tests.content.page import assert_said, printed

PAGE = printed("theory-minimum/26-efficient-attention.md")


def gaussian(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


# What is quadratic


def test_where_the_quadratic_part_overtakes():
    d = 768
    assert 4 * (6 * d) ** 2 * d == 24 * (6 * d) * d**2
    assert 6 * d == 4608
    assert round(100 * 512 / (6 * d)) == 11
    assert 16_384**2 * 2 == 512 * 2**20


def test_figure_times():
    found = {name: 1000 * values for name, values in times().items() if name != "lengths"}
    assert (times()["lengths"][0], times()["lengths"][-1]) == (256, 8192)
    assert_said(PAGE, found["full"][0], found["window"][0], found["linear"][0], digits=2)
    assert_said(PAGE, found["window"][-1], found["linear"][-1], digits=1)
    assert_said(PAGE, found["full"][-1], found["tiles"][-1], digits=0)
    growth = {name: values[-1] / values[-2] for name, values in found.items()}
    for name in ("full", "tiles"):
        assert growth[name] == pytest.approx(4, rel=0.2)
    for name in ("window", "linear"):
        assert growth[name] == pytest.approx(2, rel=0.2)
    assert np.all(found["tiles"][1:] < found["full"][1:])
    assert 8192**2 * 4 == 256 * 2**20


# FlashAttention


def test_online_softmax_is_softmax_in_float32():
    S = torch.tensor(gaussian(50, 200) * 3, dtype=torch.float32)
    m, total = torch.full((50,), -torch.inf), torch.zeros(50)
    for part in S.split(17, dim=1):
        new = torch.maximum(m, part.max(dim=1).values)
        total = torch.exp(m - new) * total + torch.exp(part - new[:, None]).sum(dim=1)
        m = new
    online_answer = torch.exp(S - m[:, None]) / total[:, None]
    assert (online_answer - torch.softmax(S, dim=1)).abs().max() < 1e-6


def test_example_of_two_parts():
    parts = []
    for scores, values in (((1, 3), (10, 20)), ((2, 5), (30, 40))):
        s, v = np.array(scores, dtype=float), np.array(values, dtype=float)
        m = s.max()
        parts.append((np.array([m]), np.array([np.exp(s - m).sum()]), np.array([[np.exp(s - m) @ v]])))
    m, weight, o = online.merge(*parts)
    assert m[0] == 5
    for (_, part_weight, part_o), numbers in zip(parts, ((1.135, 21.353), (1.050, 41.494)), strict=True):
        assert (part_weight[0], part_o[0, 0]) == pytest.approx(numbers, abs=5e-4)
    assert_said(PAGE, parts[0][1][0], parts[0][2][0, 0], parts[1][1][0], parts[1][2][0, 0], digits=3)
    assert_said(PAGE, math.exp(-2), weight[0], o[0, 0], digits=3)
    assert_said(PAGE, o[0, 0] / weight[0], digits=2)
    right = np.exp([1, 3, 2, 5]) @ [10, 20, 30, 40] / np.exp([1, 3, 2, 5]).sum()
    assert o[0, 0] / weight[0] == pytest.approx(right)


def test_traffic_through_slow_memory():
    M, d, T = 98_304, 64, 4096
    assert 2 * M == 192 * 1024  # bytes of fp16
    block = online.block_size(M, d)
    assert 8 * d**2 / M == pytest.approx(1 / 3)
    assert 2 * d / block == pytest.approx(1 / 3)
    assert_said(PAGE, online.standard_traffic(T, d) / online.flash_traffic(T, d, block), digits=1)


def test_recomputation_adds_a_sixth():
    assert round(100 * (14 / 12 - 1)) == 17
    assert round(100 * (75.2 / 66.6 - 1)) == 13


def test_sum_over_a_row_needs_only_the_output():
    Q, K, V, Y_bar = gaussian(4, 9, 5)
    Y, A = attention(Q, K, V)
    np.testing.assert_allclose(np.sum(A * (Y_bar @ V.T), axis=1), np.sum(Y_bar * Y, axis=1), atol=1e-12)


def test_tiles_are_the_attention_of_torch():
    Q, K, V = gaussian(3, 33, 8)
    expected = F.scaled_dot_product_attention(*(torch.tensor(X)[None] for X in (Q, K, V)), is_causal=True)[0]
    np.testing.assert_allclose(online.flash_attention(Q, K, V, 8, 16, causal=True)[0], expected, atol=1e-12)


# Sparse


def test_a_global_token_makes_any_pair_two_steps_apart():
    star = sparse.global_mask(50, 0, 1)
    assert star.sum() < 3 * 50
    assert sparse.reach(star, 2).all()
    assert not sparse.reach(star, 1).all()


def test_full_attention_finds_the_farthest_in_one_layer():
    U = gaussian(30, 5)
    U /= np.linalg.norm(U, axis=1, keepdims=True)
    farthest = ((U[:, None] - U) ** 2).sum(axis=2).argmax(axis=1)
    np.testing.assert_allclose(attention(-1e5 * U, U, U)[0], U[farthest], atol=1e-6)


def test_figure_patterns():
    printed_percent = {
        "окно": "10,6",
        "окно + глобальные": "16,5",
        "BigBird": "21",
        "причинная с шагом": "17,3",
        "блоки": "12,5",
    }
    for name, text in printed_percent.items():
        percent = round(100 * sparse.density(tm_26.masks()[name]), 1)
        assert f"{percent:g}".replace(".", ",") == text
        assert text in PAGE
    layers = {name: tm_26.layers_to_connect(mask) for name, mask in tm_26.masks().items()}
    assert layers == {
        "полное": 1, "окно": 21, "окно + глобальные": 2, "BigBird": 2, "причинная с шагом": 2, "блоки": None,
    }  # fmt: skip
    assert math.ceil((tm_26.SIZE - 1) / tm_26.RADIUS) == 21


@pytest.mark.parametrize("radius", [0, 3, 10])
def test_pairs_of_a_window(radius):
    assert sparse.window_mask(40, radius).sum() == 40 * (2 * radius + 1) - radius * (radius + 1)


def test_stride_is_best_at_the_root():
    T = 1024
    keys = {s: s + T / s for s in range(1, T)}
    assert min(keys, key=keys.get) == 32
    assert keys[32] == 64
    for s in (8, 32, 128):
        last_row = sparse.strided_mask(T, s)[-1].sum()
        assert last_row == pytest.approx(keys[s], abs=1)


def test_a_hash_finds_near_directions():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 16))
    near, far = X + 0.1 * rng.standard_normal(X.shape), rng.standard_normal(X.shape)
    R = rng.standard_normal((16, 8))
    mine = sparse.hash_buckets(X, R)
    assert np.mean(mine == sparse.hash_buckets(near, R)) > 0.7
    assert np.mean(mine == sparse.hash_buckets(far, R)) < 0.2


# Low rank


def test_a_shift_has_a_flat_spectrum():
    shift = np.eye(32, k=-1)
    np.testing.assert_allclose(np.linalg.svd(shift, compute_uv=False)[:-1], 1)
    assert low.best_rank_error(shift, 16) == pytest.approx(math.sqrt(15 / 31))


def test_figure_spectrum():
    spectra = tm_26.spectra()
    previous, induction, linear = spectra["previous"], spectra["induction"], spectra["linear"]
    assert previous[13] > 0.5
    assert previous[14] < 0.3
    assert induction[13] > 0.2
    assert induction[14] < 0.1
    assert np.sum(linear > 1e-9) == 8
    assert np.all(spectra["random"][1:] < 0.5)


def test_why_fourteen_large_singular_values():
    previous, after = induction_maps()
    places = np.arange(1, 15)
    assert np.all(previous[0:15].max(axis=1) > 0.85)
    assert np.array_equal(previous[places].argmax(axis=1), places - 1)
    assert np.all(previous[15:].max(axis=1) < 0.4)
    assert after.argmax(axis=1).max() <= 14
    assert after[:, :15].sum(axis=1).min() > 0.9


def test_nystrom_is_three_matrices_of_weights():
    Q, K, V = gaussian(3, 12, 4)
    Q_mean, K_mean = (X.reshape(3, 4, 4).mean(axis=1) for X in (Q, K))
    first, middle, last = (
        attention(Q, K_mean, K_mean)[1],
        attention(Q_mean, K_mean, K_mean)[1],
        attention(Q_mean, K, V)[1],
    )
    np.testing.assert_allclose(low.nystrom_attention(Q, K, V, 3), first @ np.linalg.pinv(middle) @ last @ V, atol=1e-10)


# Linear attention


def test_associativity():
    Q, K, V = gaussian(30, 6), gaussian(30, 6, seed=1), gaussian(30, 4, seed=2)
    np.testing.assert_allclose(la.linear_attention(Q, K, V), la.weights(Q, K) @ V, atol=1e-12)


@pytest.mark.parametrize("T", [2, 4, 6])
def test_matrix_of_exponentials_is_regular_at_any_length(T):
    q, k = np.linspace(0, 2, T), np.linspace(-1, 2, T)
    sign, _ = np.linalg.slogdet(np.exp(np.outer(q, k)))
    assert sign == 1
    assert np.linalg.matrix_rank(np.exp(np.outer(q, k)), tol=1e-12) == T


def test_performer_by_monte_carlo():
    q, k = np.array([0.5, 0.3, -0.2, 0.4]), np.array([0.6, 0.4, 0.1, 0.9])
    W = np.random.default_rng(0).standard_normal((200_000, 4))
    estimate = (la.positive_features(q[None], W) @ la.positive_features(k[None], W).T).item()
    assert estimate == pytest.approx(math.exp(q @ k), abs=5 * math.sqrt(la.positive_variance(q, k) / len(W)))


def test_relative_error_of_performer():
    q, k = gaussian(2, 5) / 2
    relative = math.sqrt(la.positive_variance(q, k)) / math.exp(q @ k)
    assert relative == pytest.approx(math.sqrt(math.expm1(np.sum((q + k) ** 2))))
    needed = {square: math.ceil(math.expm1(square) / 0.1**2) for square in (1, 4, 9, 16)}
    assert (needed[1], needed[4]) == (172, 5360)
    assert round(needed[9], -4) == 810_000
    assert needed[16] == pytest.approx(9e8, rel=0.02)
    assert 2 * 64 / math.sqrt(64) == 16


def test_positive_features_are_the_better_the_smaller_the_weight():
    q = np.array([1.2, 0.0])
    turned = [1.2 * np.array([math.cos(angle), math.sin(angle)]) for angle in np.linspace(0, math.pi, 9)]
    positive = [la.positive_variance(q, k) for k in turned]
    trigonometric = [la.trigonometric_variance(q, k) for k in turned]
    assert np.all(np.diff(positive) < 0)
    assert np.all(np.diff(trigonometric) > 0)


def test_relative_error_by_sampling():
    q, k = np.array([0.4, 0.1]), np.array([0.3, 0.6])
    features, draws, rng = 64, 4000, np.random.default_rng(0)
    estimates = []
    for _ in range(draws):
        phi = la.positive_features(np.stack([q, k]), rng.standard_normal((features, 2)))
        estimates.append(phi[0] @ phi[1] / math.exp(q @ k))
    expected = math.sqrt(math.expm1(np.sum((q + k) ** 2)) / features)
    assert np.std(estimates) == pytest.approx(expected, rel=0.1)


def test_figure_capacity():
    recalls = {name: dict(zip(tm_26.PAIRS, values, strict=True)) for name, values in tm_26.recalls().items()}
    assert min(recalls["softmax"].values()) > 0.99
    assert all(recalls["best"][n] == pytest.approx(1, abs=1e-6) for n in (4, 8, 16, 32, 64))
    for n in (128, 256, 512):
        assert recalls["best"][n] == pytest.approx(math.sqrt(64 / n), abs=0.02)
    for n in tm_26.PAIRS[1:]:
        assert recalls["sum"][n] == pytest.approx(1 / math.sqrt(1 + n / 64), abs=0.04)
    said = (recalls["best"][512], recalls["sum"][512], recalls["elu"][512], recalls["elu"][4])
    assert said == pytest.approx((0.35, 0.33, 0.06, 0.65), abs=0.006)
    delta = (recalls["delta"][16], recalls["delta"][512], recalls["sum"][16])
    assert delta == pytest.approx((0.93, 0.12, 0.90), abs=0.006)
    assert_said(PAGE, *said, *delta, digits=2)


def test_exact_recall_needs_as_many_features_as_pairs():
    phi = la.elu_plus_one(gaussian(20, 8))
    assert np.linalg.matrix_rank(phi @ phi.T) == 8
    assert np.all(phi @ phi.T > 0)  # so the weight of another key is never zero


# Latents and what is left


def test_counts():
    assert 224**2 == 50_176
    assert 50_176 / 512 == 98
    assert 4**2 == 16
    T = 9
    assert np.tri(T).sum() == T * (T + 1) / 2
