"""Attention through a few summaries: exact where it must be, and its rank."""

import numpy as np
import pytest

from scripts.dl import low_rank_attention as low
from scripts.dl.attention import attention


def qkv(T=12, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((T, 4)), rng.standard_normal((T, 4)), rng.standard_normal((T, 3))


def test_linformer_with_all_rows_is_attention():
    Q, K, V = qkv()
    eye = np.eye(12)
    np.testing.assert_allclose(low.linformer(Q, K, V, eye, eye), attention(Q, K, V)[0], atol=1e-12)
    E = np.random.default_rng(1).standard_normal((3, 12))
    expected, A = attention(Q, E @ K, E @ V)
    assert A.shape == (12, 3)
    np.testing.assert_allclose(low.linformer(Q, K, V, E, E), expected, atol=1e-12)


def test_linformer_mixes_the_future_into_the_past():
    Q, K, V = qkv()
    E = np.random.default_rng(1).standard_normal((3, 12))
    changed = K.copy()
    changed[-1] += 1
    assert np.abs(low.linformer(Q, changed, V, E, E)[0] - low.linformer(Q, K, V, E, E)[0]).max() > 1e-3


def test_nystrom_with_all_landmarks_is_attention():
    Q, K, V = qkv()
    np.testing.assert_allclose(low.nystrom_attention(Q, K, V, 12), attention(Q, K, V)[0], atol=1e-6)
    few = low.nystrom_attention(Q, K, np.eye(12), 3)
    assert np.linalg.matrix_rank(few, tol=1e-8) <= 3
    with pytest.raises(ValueError, match="divide"):
        low.nystrom_attention(Q, K, V, 5)


def test_latents():
    _, K, V = qkv()
    assert low.latent_attention(np.ones((2, 4)), K, V).shape == (2, 3)


def test_best_rank():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((9, 9))
    U, s, W = np.linalg.svd(A)
    for rank in (0, 3, 8):
        best = (U[:, :rank] * s[:rank]) @ W[:rank]
        error = np.linalg.norm(A - best) / np.linalg.norm(A)
        assert low.best_rank_error(A, rank) == pytest.approx(error)
        assert low.rank_for(A, error + 1e-9) == rank
    assert low.best_rank_error(np.eye(10), 5) == pytest.approx(np.sqrt(0.5))
    assert low.rank_for(np.eye(10), 0.1) == 10
