"""Positions against brute force: complex numbers, loops and tables written out by hand."""

import math

import numpy as np
import pytest
import torch

from scripts.dl import positional_encoding as pe
from scripts.dl.attention import attention, causal_mask


def test_sinusoids_one_by_one():
    table = pe.sinusoidal(np.arange(7), 6)
    for p in range(7):
        for i in range(3):
            assert table[p, 2 * i] == pytest.approx(math.sin(p / 10000 ** (2 * i / 6)))
            assert table[p, 2 * i + 1] == pytest.approx(math.cos(p / 10000 ** (2 * i / 6)))


def test_odd_width_is_refused():
    with pytest.raises(ValueError, match="odd"):
        pe.sinusoidal(np.arange(3), 5)


@pytest.mark.parametrize("offset", [1, -3, 17.5])
def test_shift_is_one_rotation_for_all_positions(offset):
    p, d = np.arange(40), 16
    M = pe.shift_matrix(offset, d)
    np.testing.assert_allclose(pe.sinusoidal(p + offset, d), pe.sinusoidal(p, d) @ M.T, atol=1e-13)
    np.testing.assert_allclose(M @ M.T, np.eye(d), atol=1e-14)
    np.testing.assert_allclose(M @ pe.shift_matrix(-offset, d), np.eye(d), atol=1e-14)


def test_kernel_is_the_scalar_product():
    d, p = 16, np.arange(30)
    table = pe.sinusoidal(p, d)
    np.testing.assert_allclose(table @ table.T, pe.sinusoidal_kernel(p - p[:, None], d), atol=1e-12)
    assert pe.sinusoidal_kernel(0, d) == d / 2


def test_offsets_of_a_query_with_a_past():
    np.testing.assert_array_equal(pe.offsets(2), [[0, 1], [-1, 0]])
    np.testing.assert_array_equal(pe.offsets(1, 4), [[-3, -2, -1, 0]])


def test_shaw_by_loops():
    rng, T, d, clip = np.random.default_rng(0), 6, 4, 2
    Q, K, V = rng.standard_normal((3, T, d))
    keys, values = rng.standard_normal((2, 2 * clip + 1, d))
    expected = np.zeros((T, d))
    for i in range(T):
        places = [clip + max(-clip, min(clip, j - i)) for j in range(i + 1)]
        e = np.array([Q[i] @ (K[j] + keys[c]) for j, c in enumerate(places)]) / math.sqrt(d)
        a = np.exp(e - e.max()) / np.exp(e - e.max()).sum()
        expected[i] = sum(a[j] * (V[j] + values[c]) for j, c in enumerate(places))
    np.testing.assert_allclose(pe.shaw_attention(Q, K, V, keys, values, causal_mask(T)), expected, atol=1e-13)
    zero = np.zeros_like(keys)
    plain, _ = attention(Q, K, V, causal_mask(T))
    np.testing.assert_allclose(pe.shaw_attention(Q, K, V, zero, zero, causal_mask(T)), plain, atol=1e-13)


def test_t5_buckets_by_hand():
    """32 buckets, 128 positions: 16 a direction, 8 of them exact, then edges at 8 · 16^(k/8)."""
    edges = [8 * 16 ** (k / 8) for k in range(8)]  # 8, 11.3, 16, 22.6, 32, 45.3, 64, 90.5
    for distance in (*range(200), 1000):
        expected = distance if distance < 8 else 7 + sum(distance >= edge - 1e-9 for edge in edges)
        assert pe.t5_bucket(-distance) == expected
        if distance:
            assert pe.t5_bucket(distance) == 16 + expected
    causal = pe.t5_bucket(-np.arange(129), causal=True)
    np.testing.assert_array_equal(causal[:16], np.arange(16))
    assert causal[128] == 31
    assert pe.t5_bucket(5, causal=True) == 0
    assert np.all(np.diff(causal) >= 0)


def test_alibi():
    np.testing.assert_allclose(pe.alibi_slopes(8), [2.0**-k for k in range(1, 9)])
    bias = pe.alibi_bias(5, 8)
    assert bias.shape == (8, 5, 5)
    assert bias[0, 4, 1] == -3 / 2
    assert np.all(bias[:, np.arange(5), np.arange(5)] == 0)


def test_rotation_is_multiplication_of_complex_numbers():
    rng, d = np.random.default_rng(0), 8
    X, positions = rng.standard_normal((3, 5, d)), np.array([0, 1, 7, 100, 2.5])
    z = torch.view_as_complex(torch.tensor(X).reshape(3, 5, d // 2, 2))
    angles = torch.tensor(positions)[:, None] * torch.tensor(pe.frequencies(d))
    expected = torch.view_as_real(z * torch.polar(torch.ones_like(angles), angles)).reshape(X.shape)
    np.testing.assert_allclose(pe.rotate(X, positions), expected.numpy(), atol=1e-13)
    np.testing.assert_allclose(np.linalg.norm(pe.rotate(X, positions), axis=-1), np.linalg.norm(X, axis=-1))


def test_rotary_scores_depend_on_the_offset_only():
    q, k = np.random.default_rng(0).standard_normal((2, 1, 16))

    def score(m, n):
        return (pe.rotate(q, [m]) @ pe.rotate(k, [n]).T).item()

    assert score(5, 2) == pytest.approx(score(105, 102), abs=1e-12)
    assert score(5, 2) == pytest.approx((q @ pe.rotate(k, [-3]).T).item(), abs=1e-12)
    assert abs(score(5, 2) - score(2, 5)) > 0.1  # but not on the distance alone


def test_two_ways_of_pairing_differ_by_the_order_of_columns():
    X, p = np.random.default_rng(0).standard_normal((5, 8)), np.arange(5)
    order = pe.half_order(8)
    np.testing.assert_allclose(pe.rotate(X, p)[:, order], pe.rotate_halves(X[:, order], p), atol=1e-14)
    assert np.abs(pe.rotate_halves(X, p) - pe.rotate(X, p)).max() > 0.1


def test_axial_rotation_sees_both_offsets():
    q, k = np.random.default_rng(0).standard_normal((2, 1, 16))

    def score(a, b):
        return (pe.rotate_axial(q, [a[0]], [a[1]]) @ pe.rotate_axial(k, [b[0]], [b[1]]).T).item()

    assert score((1, 2), (4, 9)) == pytest.approx(score((11, 32), (14, 39)), abs=1e-12)
    assert abs(score((1, 2), (4, 9)) - score((1, 2), (4, 8))) > 1e-3
    assert abs(score((1, 2), (4, 9)) - score((1, 2), (5, 9))) > 1e-3
    with pytest.raises(ValueError, match="multiple of 4"):
        pe.rotate_axial(np.ones((1, 6)), [0], [0])


def test_stretched_frequencies():
    d, s = 128, 8
    omega = pe.frequencies(d)
    np.testing.assert_allclose(pe.interpolated(d, s), omega / s)
    ntk = pe.ntk_aware(d, s)
    assert ntk[0] == omega[0]
    assert ntk[-1] == pytest.approx(omega[-1] / s)
    yarn = pe.yarn(d, s, 4096)
    turns = 4096 * omega / (2 * math.pi)
    np.testing.assert_allclose(yarn[turns > 32], omega[turns > 32])
    np.testing.assert_allclose(yarn[turns < 1], omega[turns < 1] / s)
    assert np.all((yarn >= omega / s - 1e-15) & (yarn <= omega + 1e-15))
    for method in (pe.interpolated, pe.ntk_aware):
        np.testing.assert_allclose(method(d, 1), omega)
    assert pe.yarn_temperature(1) == 1
    assert pe.yarn_temperature(math.e) == pytest.approx(1.1)
