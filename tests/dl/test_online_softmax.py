"""Tiles against attention written out, forward and backward."""

import numpy as np
import pytest
import torch

from scripts.dl import attention as att
from scripts.dl import online_softmax as online


def qkv(T_q=11, T_k=11, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 2, (T_q, 4)), rng.normal(0, 2, (T_k, 4)), rng.standard_normal((T_k, 3))


def test_merge_does_not_care_about_order_and_is_the_softmax():
    rng = np.random.default_rng(0)
    S, V = 50 * rng.standard_normal((2, 9)), rng.standard_normal((9, 3))

    def part(keys):
        m = S[:, keys].max(axis=1)
        P = np.exp(S[:, keys] - m[:, None])
        return m, P.sum(axis=1), P @ V[keys]

    a, b, c = part([0, 4]), part([1, 2, 3]), part([5, 6, 7, 8])
    left, right, swapped = (
        online.merge(online.merge(a, b), c),
        online.merge(a, online.merge(b, c)),
        online.merge(c, online.merge(b, a)),
    )
    for total in (left, right, swapped):
        np.testing.assert_allclose(total[2] / total[1][:, None], att.softmax(S) @ V, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("blocks", [(1, 1), (3, 4), (4, 3), (11, 2), (20, 20)])
def test_tiles_are_exact_forward_and_backward(causal, blocks):
    Q, K, V = qkv()
    Y, L = online.flash_attention(Q, K, V, *blocks, causal)
    expected, A = att.attention(Q, K, V, att.causal_mask(11) if causal else None)
    np.testing.assert_allclose(Y, expected, atol=1e-12)
    S = Q @ K.T / 2
    S = np.where(att.causal_mask(11), S, -np.inf) if causal else S
    np.testing.assert_allclose(L, torch.logsumexp(torch.tensor(S), dim=1), atol=1e-12)
    Y_bar = np.random.default_rng(1).standard_normal(Y.shape)
    bars = online.flash_backward(Y_bar, Q, K, V, Y, L, *blocks, causal)
    for bar, right in zip(bars, att.attention_backward(Y_bar, Q, K, V, A), strict=True):
        np.testing.assert_allclose(bar, right, atol=1e-11)


def test_cross_attention_and_large_scores():
    Q, K, V = qkv(5, 9)
    np.testing.assert_allclose(online.flash_attention(Q, K, V, 2, 4)[0], att.attention(Q, K, V)[0], atol=1e-12)
    Y, L = online.flash_attention(300 * Q, 300 * K, V, 2, 4)
    assert np.isfinite(Y).all()
    assert np.isfinite(L).all()
    np.testing.assert_allclose(Y, att.attention(300 * Q, 300 * K, V)[0], atol=1e-9)


def test_traffic():
    assert online.standard_traffic(10, 2) == 10 * 2 * 4 + 4 * 100
    assert online.flash_traffic(10, 2, 5) == 2 * 20 + 2 * 40
    assert online.flash_traffic(11, 2, 5) == 2 * 22 + 3 * 44
    assert online.block_size(1000, 64) == 3
