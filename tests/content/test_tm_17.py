"""Every number and every claim of tm-17 that can be computed is computed here."""

import numpy as np
import pytest

from scripts.dl import kv_cache as kv
from scripts.dl.attention import attention, causal_mask
from scripts.dl.positional_encoding import rotate
from scripts.experiments import decoding_time
from scripts.figures import tm_17
from tests.content.page import assert_said, printed


@pytest.fixture(scope="module")
def page():
    return printed("theory-minimum/17-kv-cache.md")


# The idea


@pytest.mark.parametrize("T", [1, 5, 9])
def test_the_last_row_needs_one_query(T):
    Q, K, V = np.random.default_rng(0).standard_normal((3, T, 4))
    full, _ = attention(Q, K, V, causal_mask(T))
    last, _ = attention(Q[-1:], K, V)
    np.testing.assert_allclose(last, full[-1:], atol=1e-14)


def test_cached_model_equals_the_full_one(page):
    """Several layers in float64, as the follow-up says; float32 would differ in the last digits."""
    rng = np.random.default_rng(0)
    layers = [kv.GroupedQueryAttention(16, 4, 2, rng) for _ in range(4)]
    caches, X = [kv.KVCache() for _ in layers], rng.standard_normal((1, 20, 16))

    def run(x, caches):
        for layer, cache in zip(layers, caches, strict=True):
            x = x + layer.forward(x, cache)
        return x

    steps = [run(X[:, t : t + 1], caches) for t in range(20)]
    error = np.abs(np.concatenate(steps, axis=1) - run(X, [None] * 4)).max()
    assert error < 1e-13
    assert "$10^{-13}$" in page


def test_figure_changed_keys():
    assert np.all(tm_17.changes(causal=True) == 0)
    free = tm_17.changes(causal=False)
    assert np.all(free[0] == 0)
    assert np.all(free[1:] > 0.01)
    assert free[1].mean() == pytest.approx(0.14, abs=0.005)
    assert free[3].mean() == pytest.approx(0.49, abs=0.015)


def test_a_mask_with_a_past():
    """New queries see the past and, among themselves, no future."""
    np.testing.assert_array_equal(causal_mask(2, past=1), [[True, True, False], [True, True, True]])


# Operations


def test_a_step_is_t_times_cheaper():
    for t, d in ((1, 8), (77, 256), (1024, 768)):
        assert kv.step_without_cache(t, d) == t * kv.step_with_cache(t, d)


def test_whole_generation(page):
    T, d = 1024, 768
    ours, naive = (kv.generation(step, T, d) for step in (kv.step_with_cache, kv.step_without_cache))
    assert round(naive / ours) == 530
    assert "$530$" in page
    assert ours == pytest.approx(24 * T * d**2 + 2 * T**2 * d, rel=1e-3)
    assert naive == pytest.approx(12 * T**2 * d**2 + 4 / 3 * T**3 * d, rel=2e-3)


def test_weights_of_a_block():
    d = 64
    assert 24 * d**2 == 2 * (4 * d**2 + 8 * d**2)


def test_figure_per_token():
    found = tm_17.times()
    at = dict(zip(found["positions"], range(len(found["positions"])), strict=True))
    assert kv.step_without_cache(512, tm_17.TIMED_D) == 512 * kv.step_with_cache(512, tm_17.TIMED_D)
    assert 80 < found["recomputed"][at[512]] / found["cached"][at[512]] < 125  # «примерно в сто», of the record
    assert found["cached"][at[512]] / found["cached"][at[1]] == pytest.approx(1.5, abs=0.1)
    assert found["recomputed"][at[1]] == pytest.approx(0.1, abs=0.05)
    assert found["recomputed"][at[512]] == pytest.approx(15, abs=0.5)


def test_cached_step_of_the_measured_block_is_exact():
    torch = decoding_time.torch
    torch.manual_seed(0)
    block = decoding_time.Block(32, 4)
    X = torch.randn(6, 32)
    projected = decoding_time.F.layer_norm(X, (32,)) @ block.weights["QKV"].T
    _, K, V = projected.view(6, 3, 4, -1).permute(1, 2, 0, 3)
    step = block.forward(X[-1:], (K[:, :-1], V[:, :-1]))
    torch.testing.assert_close(step, block.forward(X)[-1:], atol=1e-5, rtol=1e-5)
    assert decoding_time.measure(8, 2, (1, 3))["cached"].shape == (2,)


# Memory and time


@pytest.mark.parametrize(
    ("shape", "each", "whole", "said"),
    [
        ((32, 32, 128), 512 * 2**10, 2 * 2**30, ("$512$ КиБ", "$2$ ГиБ")),
        ((32, 8, 128), 128 * 2**10, 2**29, ("$128$ КиБ", "$0{,}5$ ГиБ")),
        ((80, 8, 128), 320 * 2**10, 1.25 * 2**30, ("$320$ КиБ", "$1{,}25$ ГиБ")),
        ((80, 64, 128), 2.5 * 2**20, 10 * 2**30, ("$2{,}5$ МиБ", "$10$ ГиБ")),
    ],
)
def test_memory_table(page, shape, each, whole, said):
    assert kv.cache_bytes(*shape) == each
    assert kv.cache_bytes(*shape, tokens=4096) == whole
    assert all(text in page for text in said)


def test_the_first_line_by_hand():
    assert 2 * 32 * 32 * 128 * 2 == 524_288


def test_weights_of_llama_3_8b():
    """Its published shape: tables of 128 256 tokens at both ends, GQA, a gated FFN of 14 336."""
    d, narrow, d_ff, layers = 4096, 8 * 128, 14_336, 32
    block = 2 * d * d + 2 * d * narrow + 3 * d * d_ff + 2 * d
    assert 2 * 128_256 * d + layers * block + d == pytest.approx(tm_17.MODEL_WEIGHTS, rel=1e-3)


def test_figure_memory(page):
    assert_said(page, tm_17.room() / 2**30, digits=1)
    most = [tm_17.room() / tm_17.per_token_bytes(heads) for heads in (32, 8, 1)]
    assert [round(tokens / 1000) for tokens in most[:2]] == [122, 488]
    assert most[1] == pytest.approx(4 * most[0])
    assert most[2] > 2**20
    equal = 2 * tm_17.MODEL_WEIGHTS / tm_17.per_token_bytes(8)  # tokens whose cache weighs as much as the weights
    assert equal == pytest.approx(122_500, abs=100)
    assert round(equal / 8192) == 15


def test_intensities(page):
    assert pytest.approx(153, abs=0.5) == tm_17.SPEED / tm_17.BANDWIDTH
    bound = 153
    for batch in (bound - 5, bound + 5):
        weights, _ = kv.step_seconds(1e9, 0, 1, batch, tm_17.BANDWIDTH, tm_17.SPEED)
        assert (weights > 2e9 / tm_17.BANDWIDTH) is (batch > bound)


def test_figure_batch(page):
    for heads, fits, tokens in ((32, 14, 380), (8, 59, 1535), (1, 476, 8777)):
        assert tm_17.fitting_batch(heads) == fits
        assert fits / sum(tm_17.step(heads, fits)) == pytest.approx(tokens, abs=0.6)
        assert f"${tokens}$" in page
    assert_said(page, *(1000 * sum(tm_17.step(heads, 1)) for heads in (1, 32)), digits=1)


def test_more_sequences_than_the_bound_add_nothing_to_mqa():
    speeds = [batch / sum(tm_17.step(1, batch)) for batch in (154, 476)]
    assert speeds[0] == pytest.approx(speeds[1], rel=0.001)


def test_first_token_and_next_token(page):
    d, layers, T = 4096, 32, 8192
    blocks = layers * (2 * d * d + 2 * d * 1024 + 3 * d * 14_336)
    assert_said(page, blocks / 1e9, 2 * blocks * T / 1e14, 2 * layers * T**2 * d / 1e14, digits=2)
    assert_said(page, (2 * blocks * T + 2 * layers * T**2 * d) / tm_17.SPEED, digits=2)
    assert_said(page, 2 * tm_17.MODEL_READ / 1e9, digits=1)
    weights, cache = (1000 * seconds for seconds in tm_17.step(8, 1))
    assert_said(page, weights, cache, digits=1)
    assert round(1000 / (weights + cache)) == 127
    assert "$127$" in page
    assert kv.cache_bytes(32, 8, 128, tokens=8192) == 2**30
    assert pytest.approx(16.06e9) == 2 * tm_17.MODEL_WEIGHTS


# Reductions


def test_groups_save_projections_not_scores():
    d, h, n_kv = 64, 8, 2
    layer = kv.GroupedQueryAttention(d, h, n_kv, np.random.default_rng(0))
    assert sum(W.size for W in layer.parameters.values()) == 2 * d**2 + 2 * d**2 * n_kv // h
    assert 2 + 2 / 4 == 2.5


def test_absorbed_up_projection():
    rng = np.random.default_rng(0)
    W, q, c = rng.standard_normal((8, 3)), rng.standard_normal(8), rng.standard_normal((5, 3))
    np.testing.assert_allclose(c @ (W.T @ q), (c @ W.T) @ q, atol=1e-13)


def test_absorbed_values():
    """y^T W_O with y = W_V c for each token: the product of the two matrices is one matrix."""
    rng = np.random.default_rng(0)
    A, C, W_V, W_O = (rng.standard_normal(shape) for shape in ((2, 5), (5, 3), (8, 3), (8, 6)))
    np.testing.assert_allclose(A @ (C @ W_V.T) @ W_O, (A @ C) @ (W_V.T @ W_O), atol=1e-13)


def test_rope_stands_between_query_and_up_projection():
    """No one matrix serves all offsets: the absorbed product changes with the position of the key."""
    rng = np.random.default_rng(0)
    W, q = rng.standard_normal((8, 3)), rng.standard_normal(8)
    absorbed = [rotate(W.T, [n] * 3) @ q for n in (0, 1, 2)]
    assert np.abs(absorbed[0] - absorbed[1]).max() > 0.1
    assert np.abs(absorbed[1] - absorbed[2]).max() > 0.1


def test_deepseek_numbers():
    assert 512 + 64 == 576
    assert 2 * 128 * 128 == 32_768
    assert round(32_768 / 576) == 57
    ours, before = 576 * 60, 2 * 8 * 128 * 95
    assert (ours, before) == (34_560, 194_560)
    assert 1 - ours / before == pytest.approx(0.82, abs=0.005)
    assert 1 - ours * 6 / (before * 16) == pytest.approx(0.933, abs=0.0005)


def test_speculative_tokens(page):
    alpha, gamma = 0.8, 4
    expected = (1 - alpha ** (gamma + 1)) / (1 - alpha)
    assert expected == pytest.approx(sum(alpha**i for i in range(gamma + 1)))
    assert_said(page, expected, digits=2)
    accepted = np.random.default_rng(0).random((200_000, gamma)) < alpha
    assert (1 + accepted.cumprod(axis=1).sum(axis=1)).mean() == pytest.approx(expected, abs=0.02)


def test_channels_with_outliers_want_their_own_scale():
    """A key channel with large values spoils a scale shared by the token, not one shared by the channel."""
    keys = np.random.default_rng(0).standard_normal((64, 16))
    keys[:, 3] = 20 + keys[:, 3]

    def error(axis):
        low, high = keys.min(axis=axis, keepdims=True), keys.max(axis=axis, keepdims=True)
        step = (high - low) / 3  # two bits
        rounded = low + step * np.round((keys - low) / step)
        return np.abs(np.delete(rounded - keys, 3, axis=1)).mean()

    assert error(axis=0) < error(axis=1) / 2  # a scale a channel against a scale a token


def test_ratio_of_measured_speeds_is_printed_as_in_the_paper(page):
    for text in ("$1{,}51$", "$0{,}24$", "$0{,}28$", "$47{,}2$", "$46{,}6$", "$47{,}1$"):
        assert text in page
