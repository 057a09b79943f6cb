"""Masks against their definitions, the banded computation against a masked full one."""

import numpy as np
import pytest

from scripts.dl import sparse_attention as sparse
from scripts.dl.attention import attention


def test_masks_pair_by_pair():
    T = 12
    masks = sparse.window_mask(T, 2), sparse.window_mask(T, 2, causal=True), sparse.strided_mask(T, 4)
    fixed, blocks, glob = sparse.fixed_mask(T, 4), sparse.block_mask(T, 4), sparse.global_mask(T, 2, 1)
    for i in range(T):
        for j in range(T):
            assert masks[0][i, j] == (abs(i - j) <= 2)
            assert masks[1][i, j] == (0 <= i - j <= 2)
            assert masks[2][i, j] == (j <= i and (i - j < 4 or (i - j) % 4 == 0))
            assert fixed[i, j] == (j <= i and (i // 4 == j // 4 or j in (3, 7, 11)))
            assert blocks[i, j] == (i // 4 == j // 4)
            assert glob[i, j] == (abs(i - j) <= 2 or i == 0 or j == 0)


def test_bigbird_is_a_global_mask_and_random_keys():
    mask = sparse.bigbird_mask(30, 2, 2, 3, np.random.default_rng(0))
    base = sparse.global_mask(30, 2, 2)
    assert mask[base].all()
    extra = (mask & ~base).sum(axis=1)
    assert extra[:2].tolist() == [0, 0]
    assert np.all(extra[2:] == 3)


@pytest.mark.parametrize("radius", [0, 1, 5])
def test_pairs_and_density_of_a_window(radius):
    mask = sparse.window_mask(16, radius)
    assert mask.sum() == sparse.window_pairs(16, radius)
    assert sparse.density(mask) == mask.sum() / 256


def test_reach():
    mask = sparse.window_mask(20, 2, causal=True)
    gap = np.arange(20)[:, None] - np.arange(20)
    np.testing.assert_array_equal(sparse.reach(mask, 3), (gap >= 0) & (gap <= 6))
    assert sparse.reach(sparse.global_mask(20, 1, 1), 2).all()  # any pair meets in the global token
    causal = gap >= 0
    np.testing.assert_array_equal(sparse.reach(sparse.strided_mask(25, 5), 2), np.tri(25, dtype=bool))
    np.testing.assert_array_equal(sparse.reach(sparse.fixed_mask(20, 4), 2), causal)


def test_banded_window_is_the_masked_attention():
    rng = np.random.default_rng(0)
    Q, K, V = rng.standard_normal((2, 24, 5)), rng.standard_normal((2, 24, 5)), rng.standard_normal((2, 24, 3))
    for radius in (1, 4, 8):
        expected, _ = attention(Q[0], K[0], V[0], sparse.window_mask(24, radius))
        np.testing.assert_allclose(sparse.window_attention(Q[0], K[0], V[0], radius), expected, atol=1e-12)
    with pytest.raises(ValueError, match="divide"):
        sparse.window_attention(Q[0], K[0], V[0], 5)


def test_hash_keeps_directions_together():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 8))
    R = rng.standard_normal((4, 8, 3))
    assert sparse.hash_buckets(X, R[0]).max() < 6
    np.testing.assert_array_equal(sparse.hash_buckets(X, R[0]), sparse.hash_buckets(7 * X, R[0]))
    opposite = (sparse.hash_buckets(X, R[0]) + 3) % 6
    np.testing.assert_array_equal(sparse.hash_buckets(-X, R[0]), opposite)
    one, four = sparse.hash_mask(X, R[:1]), sparse.hash_mask(X, R)
    assert np.all(four[one])
    assert four.sum() > one.sum()
    assert np.diag(one).all()
