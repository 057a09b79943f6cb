"""Generation with a cache against the full causal pass; counts against loops."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import kv_cache as kv
from scripts.dl.attention import attention, causal_mask


def stack(kv_heads, layers=3, d=16, heads=4):
    rng = np.random.default_rng(0)
    return [kv.GroupedQueryAttention(d, heads, kv_heads, rng) for _ in range(layers)]


def run(layers, X, caches=None):
    for i, layer in enumerate(layers):
        X = X + np.tanh(layer.forward(X, caches[i] if caches else None))
    return X


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("prompt", [0, 1, 5])
def test_cached_generation_is_the_full_pass(kv_heads, prompt):
    layers, X = stack(kv_heads), np.random.default_rng(1).standard_normal((2, 9, 16))
    full = run(layers, X)
    caches = [kv.KVCache() for _ in layers]
    parts = [run(layers, X[:, :prompt], caches)] if prompt else []  # prefill
    parts += [run(layers, X[:, t : t + 1], caches) for t in range(prompt, 9)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), full, atol=1e-13)
    assert {cache.length for cache in caches} == {9}
    assert caches[0].K.shape == caches[0].V.shape == (2, kv_heads, 9, 4)


def test_chunked_prefill_is_exact_too():
    layers, X = stack(2), np.random.default_rng(1).standard_normal((1, 10, 16))
    caches = [kv.KVCache() for _ in layers]
    parts = [run(layers, chunk, caches) for chunk in np.split(X, [4, 7], axis=1)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), run(layers, X), atol=1e-13)


@pytest.mark.parametrize("kv_heads", [1, 2, 8])
def test_grouped_attention_is_that_of_torch(kv_heads):
    rng = np.random.default_rng(0)
    Q = rng.standard_normal((2, 8, 5, 6))
    K, V = rng.standard_normal((2, 2, kv_heads, 5, 6))
    expected = F.scaled_dot_product_attention(
        *(torch.tensor(M) for M in (Q, K, V)), attn_mask=torch.tensor(causal_mask(5)), enable_gqa=True
    )
    np.testing.assert_allclose(kv.grouped_attention(Q, K, V, causal_mask(5)), expected.numpy(), atol=1e-13)


def test_groups_are_repeated_heads():
    rng = np.random.default_rng(0)
    Q, K, V = rng.standard_normal((8, 5, 6)), rng.standard_normal((2, 5, 6)), rng.standard_normal((2, 5, 6))
    repeated, _ = attention(Q, np.repeat(K, 4, axis=0), np.repeat(V, 4, axis=0))
    np.testing.assert_allclose(kv.grouped_attention(Q, K, V), repeated, atol=1e-13)


def test_heads_must_divide():
    with pytest.raises(ValueError, match="divide"):
        kv.GroupedQueryAttention(16, 4, 3, np.random.default_rng(0))


def test_cache_bytes_are_those_of_the_arrays():
    layers, caches = stack(2), [kv.KVCache() for _ in range(3)]
    run(layers, np.ones((5, 7, 16)), caches)
    held = sum(cache.K.nbytes + cache.V.nbytes for cache in caches)
    assert held == kv.cache_bytes(layers=3, kv_heads=2, d_k=4, tokens=7, batch=5, each=8)


def test_operations_by_counting():
    T, d = 6, 8

    def matmul(m, n, k):
        return 2 * m * n * k

    def block(rows, keys):
        projections = 4 * matmul(rows, d, d)
        scores = matmul(rows, keys, d) + matmul(rows, d, keys)
        return projections + scores + matmul(rows, 4 * d, d) + matmul(rows, d, 4 * d)

    assert kv.generation(kv.step_with_cache, T, d) == sum(block(1, t) for t in range(1, T + 1))
    assert kv.generation(kv.step_without_cache, T, d) == sum(block(t, t) for t in range(1, T + 1))


def test_seconds_of_a_step():
    weights, cache = kv.step_seconds(weights=10, cache=6, group=1, batch=4, bandwidth=1, speed=100)
    assert (weights, cache) == (20, 24)  # both wait for memory
    weights, cache = kv.step_seconds(weights=10, cache=6, group=8, batch=200, bandwidth=1, speed=4)
    assert (weights, cache) == (1000, 2400)  # both for arithmetic
