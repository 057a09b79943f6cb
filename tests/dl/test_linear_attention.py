"""Three forms of linear attention against each other and the T × T matrix; random features against their variances."""

import numpy as np
import pytest
import torch

from scripts.dl import linear_attention as la


def qkv(T=12, d_k=5, d_v=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((T, d_k)), rng.standard_normal((T, d_k)), rng.standard_normal((T, d_v))


def test_elu_plus_one_is_that_of_torch():
    X = np.random.default_rng(0).normal(0, 3, (6, 4))
    np.testing.assert_allclose(la.elu_plus_one(X), torch.nn.functional.elu(torch.tensor(X)) + 1, atol=1e-12)
    assert np.all(la.elu_plus_one(X) > 0)
    assert la.elu_plus_one(np.array([-2000.0, 2000.0])).tolist() == [0, 2001]


def test_associativity():
    Q, K, V = qkv()
    np.testing.assert_allclose(la.linear_attention(Q, K, V), la.weights(Q, K) @ V, atol=1e-12)
    np.testing.assert_allclose(la.weights(Q, K).sum(axis=1), 1)


@pytest.mark.parametrize("chunk", [1, 5, 12, 20])
def test_recurrence_chunks_and_masked_matrix_agree(chunk):
    Q, K, V = qkv()
    masked = la.weights(Q, K, np.tri(12)) @ V
    np.testing.assert_allclose(la.recurrent_attention(Q, K, V), masked, atol=1e-12)
    np.testing.assert_allclose(la.chunked_attention(Q, K, V, chunk), masked, atol=1e-12)
    np.testing.assert_allclose(masked[-1], la.linear_attention(Q, K, V)[-1], atol=1e-12)


@pytest.mark.parametrize("kind", ["positive", "trigonometric"])
def test_random_features_are_unbiased_with_the_variance_of_the_lemma(kind):
    rng = np.random.default_rng(0)
    features, variance = getattr(la, f"{kind}_features"), getattr(la, f"{kind}_variance")
    q, k = 0.4 * rng.standard_normal((2, 6))
    W = rng.standard_normal((400_000, 6))
    phi_q, phi_k = (np.sqrt(len(W)) * features(x[None], W)[0] for x in (q, k))
    products = phi_q * phi_k
    if kind == "trigonometric":  # cos cos + sin sin of one ω make one sample
        products = products[: len(W)] + products[len(W) :]
    assert products.mean() == pytest.approx(np.exp(q @ k), abs=6 * np.sqrt(variance(q, k) / len(W)))
    assert products.var() == pytest.approx(variance(q, k), rel=0.1)


def test_positive_features_approach_softmax_attention():
    Q, K, V = (0.5 * X for X in qkv(seed=1))
    W = la.orthogonal_gaussian(40_000, 5, np.random.default_rng(0))
    approximate = la.linear_attention(Q, K, V, lambda X: la.positive_features(X, W))
    S = np.exp(Q @ K.T)
    np.testing.assert_allclose(approximate, S @ V / S.sum(axis=1, keepdims=True), atol=0.01)


def test_orthogonal_rows_are_gaussian_and_orthogonal_in_blocks():
    rng = np.random.default_rng(0)
    W = la.orthogonal_gaussian(10, 4, rng)
    assert W.shape == (10, 4)
    for block in (W[:4], W[4:8], W[8:]):
        gram = block @ block.T
        np.testing.assert_allclose(gram - np.diag(np.diag(gram)), 0, atol=1e-12)
    many = la.orthogonal_gaussian(40_000, 4, rng)
    assert many.mean() == pytest.approx(0, abs=0.02)
    np.testing.assert_allclose(many.T @ many / len(many), np.eye(4), atol=0.05)


def test_delta_rule_rewrites_a_key_and_keeps_orthogonal_ones():
    rng = np.random.default_rng(0)
    K, V = rng.standard_normal((6, 8)), rng.standard_normal((6, 3))
    K /= np.linalg.norm(K, axis=1, keepdims=True)
    for count in range(1, 7):
        np.testing.assert_allclose(K[count - 1] @ la.delta_memory(K[:count], V[:count]), V[count - 1], atol=1e-12)
    np.testing.assert_allclose(np.eye(8)[:6] @ la.delta_memory(np.eye(8)[:6], V), V, atol=1e-12)
    twice = la.delta_memory(np.vstack([np.eye(8)[:2], np.eye(8)[:1]]), V[:3])
    np.testing.assert_allclose(twice[:2], V[[2, 1]], atol=1e-12)
