"""Every number and every claim of tm-18 that can be computed is computed here."""

import math

import numpy as np
import pytest
import torch

from scripts.dl import positional_encoding as pe
from scripts.dl.attention import attention, causal_mask
from scripts.dl.losses import softmax
from scripts.experiments import positions
from scripts.experiments.recorded import reading_only
from scripts.figures import tm_18
from tests.content.page import assert_said, printed


@pytest.fixture(scope="module")
def page():
    return printed("theory-minimum/18-positional-encoding.md")


@pytest.fixture(autouse=True)
def _only_read():
    with reading_only():
        yield


# How it works


def head(X, mask=None):
    rng = np.random.default_rng(7)
    W_Q, W_K, W_V = rng.standard_normal((3, X.shape[1], 4))
    return attention(X @ W_Q, X @ W_K, X @ W_V, mask)[0]


def test_attention_is_equivariant_and_the_causal_mask_is_not():
    rng = np.random.default_rng(0)
    X, order = rng.standard_normal((6, 8)), np.array([3, 0, 5, 1, 4, 2])
    np.testing.assert_allclose(head(X[order]), head(X)[order], atol=1e-13)
    assert np.abs(head(X[order], causal_mask(6)) - head(X, causal_mask(6))[order]).max() > 0.1
    placed = X + pe.sinusoidal(np.arange(6), 8)
    moved = X[order] + pe.sinusoidal(np.arange(6), 8)
    assert np.abs(head(moved) - head(placed)[order]).max() > 0.1


def test_four_terms_and_those_of_transformer_xl():
    rng = np.random.default_rng(0)
    W_Q, W_K = rng.standard_normal((2, 6, 3))
    x_u, x_v, p_u, p_v = rng.standard_normal((4, 6))
    A = W_Q @ W_K.T
    q, k = W_Q.T @ (x_u + p_u), W_K.T @ (x_v + p_v)
    terms = [left @ A @ right for left in (x_u, p_u) for right in (x_v, p_v)]
    assert q @ k == pytest.approx(sum(terms))


def test_a_decoder_without_positions_can_count():
    """Equal scores and a value of one at the first token alone: 1/p."""
    T = 7
    Y, _ = attention(np.zeros((T, 2)), np.zeros((T, 2)), np.eye(T)[:, :1], causal_mask(T))
    np.testing.assert_allclose(Y[:, 0], 1 / np.arange(1, T + 1))


def test_layer_of_pytorch_adds_no_positions():
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    X, order = torch.randn(1, 6, 16), torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(layer(X[:, order]), layer(X)[:, order])


def test_bias_of_the_distance_alone_cannot_tell_the_reversed_text():
    X = np.random.default_rng(0).standard_normal((6, 8))

    def symmetric(X):
        scores = X @ X.T - 0.5 * np.abs(pe.offsets(len(X)))
        return softmax(scores) @ X

    np.testing.assert_allclose(symmetric(X[::-1]), symmetric(X)[::-1], atol=1e-12)


# Sinusoids


def test_first_position_by_hand(page):
    code = pe.sinusoidal([1], 4)[0]
    assert_said(page, *code, digits=2)


def test_shift_matrix_and_scalar_product():
    d, p = 64, np.arange(50)
    table = pe.sinusoidal(p, d)
    for shift in (1, 3, -5):
        np.testing.assert_allclose(pe.sinusoidal(p + shift, d), table @ pe.shift_matrix(shift, d).T, atol=1e-13)
    i, j = 11, 34
    assert table[i] @ table[j] == pytest.approx(np.cos(pe.frequencies(d) * (i - j)).sum(), abs=1e-12)
    np.testing.assert_allclose((table**2).sum(axis=1), d / 2)


def test_a_head_can_look_three_back():
    table, M = pe.sinusoidal(np.arange(40), 64), pe.shift_matrix(3, 64)
    np.testing.assert_array_equal((table @ M @ table.T).argmax(axis=1)[3:], np.arange(37))


def test_wavelengths(page):
    assert 2 * math.pi / pe.frequencies(64)[0] == pytest.approx(2 * math.pi)
    for base, printed_length in ((1e4, 54_410), (5e5, 2.56e6)):
        longest = 2 * math.pi / pe.frequencies(128, base)[-1]
        assert longest == pytest.approx(2 * math.pi * base ** (126 / 128))
        assert longest == pytest.approx(printed_length, rel=1e-3)
    assert "$54\\,410$" in page
    assert "$2{,}56$" in page


def test_one_sine_is_not_enough():
    """No number c has sin(p + 1) = c sin p for all p."""
    p = np.arange(1, 4)
    ratios = np.sin(p + 1) / np.sin(p)
    assert np.ptp(ratios) > 0.5


# Relative positions


def test_shaw_needs_no_tensor_of_vectors():
    rng, T, clip, d = np.random.default_rng(0), 7, 2, 4
    Q, table = rng.standard_normal((T, d)), rng.standard_normal((2 * clip + 1, d))
    index = np.clip(pe.offsets(T), -clip, clip) + clip
    cheap = np.take_along_axis(Q @ table.T, index, axis=1)
    np.testing.assert_allclose(cheap, np.einsum("id,ijd->ij", Q, table[index]), atol=1e-13)


def test_buckets_of_t5():
    distance = np.arange(129)
    causal, both = pe.t5_bucket(-distance, causal=True), pe.t5_bucket(-distance)
    np.testing.assert_array_equal(causal[:17], np.arange(17))
    assert causal[-1] == 31
    assert pe.t5_bucket(-5000, causal=True) == 31
    np.testing.assert_array_equal(both[:9], np.arange(9))
    assert both[-1] == 15
    assert len(set(both.tolist())) == 16


def test_slopes_of_alibi(page):
    np.testing.assert_allclose(pe.alibi_slopes(8), 0.5 ** np.arange(1, 9))
    halves = math.log(2) / pe.alibi_slopes(8)
    assert_said(page, *halves[:3], digits=1)
    assert round(halves[-1]) == 177
    assert math.exp(-0.5 * 20) == math.exp(-10)
    single = np.exp(pe.alibi_bias(9, 8))[:, -1]
    assert np.all(np.diff(single, axis=1) > 0)  # nearer is always better: no peak at an exact offset


# Rotary positions


def test_rotary_scores_are_relative_but_not_symmetric():
    q, k = np.random.default_rng(0).standard_normal((2, 1, 16))

    def score(m, n):
        return (pe.rotate(q, [m]) @ pe.rotate(k, [n]).T).item()

    assert score(5, 2) == pytest.approx(score(105, 102), abs=1e-12)
    assert abs(score(5, 2) - score(2, 5)) > 0.1


def test_matrix_of_rope_in_the_formulas():
    """Block (cos, -sin; sin, cos); R_mᵀ R_n = R_{n-m}."""
    R = [pe.rotate(np.eye(6), [m] * 6).T for m in range(6)]  # columns are the turned unit vectors
    angle = pe.frequencies(6)[1] * 4
    expected = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    np.testing.assert_allclose(R[4][2:4, 2:4], expected)
    np.testing.assert_allclose(R[2].T @ R[5], R[3], atol=1e-14)
    np.testing.assert_allclose(R[5], R[2] @ R[3], atol=1e-14)


def test_figure_rotation(page):
    products = [q @ k for k, q in tm_18.turned_pairs()]
    assert products[0] == pytest.approx(products[1])
    assert_said(page, products[0], digits=2)
    (n, m), (further_n, further_m) = tm_18.PAIR_PLACES
    assert further_n - n == further_m - m == 6
    assert pytest.approx(1.8) == 6 * tm_18.PAIR_OMEGA


def test_rotated_values_would_show_absolute_positions():
    rng = np.random.default_rng(0)
    V, weights = rng.standard_normal((4, 6)), rng.dirichlet(np.ones(4))
    near, far = (weights @ pe.rotate(V, start + np.arange(4)) for start in (0, 10))
    assert np.abs(near - far).max() > 0.1
    back = [pe.rotate((weights @ pe.rotate(V, s + np.arange(4)))[None], [-(s + 3)])[0] for s in (0, 10)]
    np.testing.assert_allclose(*back, atol=1e-13)


def test_rope_does_not_weaken_by_itself(page):
    d, offset = 128, np.array([2, 10, 100])
    assert_said(page, *(pe.sinusoidal_kernel(offset, d) / (d / 2)), digits=2)
    q = np.random.default_rng(0).standard_normal((4000, d))
    mean = [(q * pe.rotate(q, [s] * 4000)).sum(axis=1).mean() / d for s in offset]
    np.testing.assert_allclose(mean, pe.sinusoidal_kernel(offset, d) / (d / 2), atol=0.02)
    other = tm_18.rotary_scores()
    assert np.abs(other).argmax() != 100  # not at offset zero
    assert other.min() < -0.05 < 0.05 < other.max()


def test_positions_need_more_than_bfloat16():
    rounded = torch.tensor([256.0, 257.0, 1001.0]).bfloat16().float()
    assert rounded.tolist() == [256, 256, 1000]


def test_rotated_key_can_be_cached():
    rng = np.random.default_rng(0)
    q, K = rng.standard_normal((1, 8)), rng.standard_normal((5, 8))
    stored = np.concatenate([pe.rotate(K[t : t + 1], [t]) for t in range(5)])
    np.testing.assert_allclose(pe.rotate(q, [4]) @ stored.T, pe.rotate(q, [4]) @ pe.rotate(K, np.arange(5)).T)


# Beyond the training length


def section(values, first, last):
    """Mean over positions first … last, counted from 1."""
    places = tm_18.places()
    return values[(places >= first) & (places <= last)].mean()


@pytest.mark.parametrize(
    ("kind", "inside", "end"),
    [
        ("shaw", 1.0, 1.0),
        ("rope", 1.0, 0.70),
        ("t5", 0.98, 0.27),
        ("alibi", 0.27, 0.27),
        ("sinusoidal", 1.0, 0.08),
        ("learned", 1.0, 0.07),
        ("none", 0.23, 0.15),
    ],
)
def test_figure_three_back(kind, inside, end):
    found = tm_18.accuracy(kind)
    assert section(found, 4, 32) == pytest.approx(inside, abs=0.012)
    assert section(found, 97, 128) == pytest.approx(end, abs=0.012)
    assert pytest.approx(0.06, abs=0.003) == 1 / positions.VOCABULARY


def test_shape_of_the_curves():
    assert section(tm_18.accuracy("sinusoidal"), 33, 64) < 0.15
    assert section(tm_18.accuracy("learned"), 33, 64) < 0.10
    assert section(tm_18.accuracy("rope"), 33, 64) > 0.9
    assert section(tm_18.accuracy("rope"), 125, 128) < 0.4
    alibi = [section(tm_18.accuracy("alibi"), first, first + 31) for first in (33, 65, 97)]
    assert np.ptp(alibi) < 0.02
    t5 = [section(tm_18.accuracy("t5"), first, first + 31) for first in (33, 65, 97)]
    assert t5[0] > t5[1] > t5[2]


def test_experiment_is_as_the_caption_says():
    assert (positions.LAYERS, positions.WIDTH, positions.HEADS, positions.WIDTH // positions.HEADS) == (2, 64, 4, 16)
    assert (positions.STEPS, positions.BATCH, positions.VOCABULARY, positions.SEEDS) == (300, 32, 16, 3)
    assert (positions.SHORT, positions.LONG, positions.BACK, positions.CLIP) == (32, 128, 3, 16)


def test_training_code_runs():
    model = positions.train("t5", 0, steps=2)
    assert positions._accuracy(model).shape == (positions.LONG - positions.BACK,)


def test_false_peaks(page):
    looks = positions.stretched()["looks"][0].mean(axis=0)
    assert looks.sum() == pytest.approx(1, abs=1e-5)
    assert looks[[3, 122, 60]] == pytest.approx([0.23, 0.37, 0.13], abs=0.01)
    assert_said(page, 0.23, 0.37, 0.13, digits=2)
    assert {3, 60, 122} <= set(np.argsort(-looks)[:4].tolist())
    assert looks[[9, 22]].max() < 0.02  # peaks of the waves inside the training length are put down
    d_k = positions.WIDTH // positions.HEADS
    phase = pe.sinusoidal_kernel(np.arange(positions.LONG) - positions.BACK, d_k) / (d_k / 2)
    for peak in (3, 9, 22, 60, 122):
        assert phase[peak] > max(phase[peak - 1], phase[peak + 1])


def test_spread_of_rope():
    seeds = [section(values, 97, 128) for values in positions.three_back("rope")["accuracy"]]
    assert [min(seeds), max(seeds)] == pytest.approx([0.42, 0.93], abs=0.01)


def test_far_buckets_of_t5_are_never_trained():
    assert pe.t5_bucket(-31, causal=True) == 21
    for layer in positions.train("t5", 0, steps=2).attention:
        assert not layer.biases[22:].any()
        assert layer.biases[:20].any()


def test_dilution_of_softmax(page):
    for T in (32, 128):
        assert_said(page, math.exp(5) / (math.exp(5) + T - 1), digits=2)


def test_base_of_ntk():
    d, rho = 128, 8
    assert pe.ntk_aware(d, rho)[-1] == pytest.approx(pe.frequencies(d)[-1] / rho)
    assert pe.ntk_aware(d, rho)[0] == 1
    np.testing.assert_allclose(pe.ntk_aware(d, rho), pe.frequencies(d, 1e4 * rho ** (d / (d - 2))))


def test_table_of_stretching():
    d, rho, trained = 128, 8, 4096
    omega = pe.frequencies(d)
    turns = trained * omega / (2 * math.pi)
    assert (turns < 1).sum() == 18
    assert [turns[0], turns[-1]] == pytest.approx([652, 0.08], rel=0.1)
    ntk, yarn = omega / pe.ntk_aware(d, rho), omega / pe.yarn(d, rho, trained)
    np.testing.assert_allclose(omega / pe.interpolated(d, rho), rho)
    for turn, by_ntk, by_yarn in ((652, 1, 1), (32, 2.0, 1.0), (10, 2.6, 2.6), (1, 4.4, 8.0), (0.08, 8, 8)):
        pair = np.abs(np.log(turns / turn)).argmin()
        assert [ntk[pair], yarn[pair]] == pytest.approx([by_ntk, by_yarn], abs=0.05)


def test_stretched():
    found = positions.stretched()
    before, after = (dict(zip(positions.STRETCHES, found[name].mean(axis=1), strict=True)) for name in
                     ("before", "after"))  # fmt: skip
    chance = 1 / positions.VOCABULARY
    assert section(before["interpolated"], 5, 32) < chance + 0.02
    assert section(after["interpolated"], 5, 128) < chance + 0.02
    assert section(before["ntk"], 33, 64) > 0.99
    assert section(before["ntk"], 125, 128) == pytest.approx(0.86, abs=0.02)
    assert section(before["none"], 125, 128) == pytest.approx(0.30, abs=0.01)
    for method in ("none", "ntk"):
        assert section(after[method], 4, 128) > 0.995
    assert positions.BACK / (positions.LONG / positions.SHORT) == 0.75
    assert positions.TUNING == 60
