"""The ways of a picture into a language model: shapes, what is left alone, what is a target."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import vision_language as vl


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_llava_input_and_labels(rng):
    words, Z, W, b = (rng.standard_normal(shape) for shape in ((5, 4), (3, 6), (6, 4), 4))
    sequence = vl.llava_input(words, Z, W, b, place=1)
    np.testing.assert_array_equal(sequence[[0, 4, 7]], words[[0, 1, 4]])
    np.testing.assert_allclose(sequence[2], Z[1] @ W + b)
    tokens, is_answer = np.array([7, 8, 9, 5, 6]), np.array([False, False, False, True, True])
    labels = vl.llava_labels(tokens, is_answer, visual=3, place=1)
    # positions: word 0, three visual, words 1 … 4; word 2 predicts the first word of the answer
    np.testing.assert_array_equal(labels, [-100, -100, -100, -100, -100, 5, 6, -100])


def test_ignored_labels_have_no_gradient(rng):
    logits = torch.tensor(rng.standard_normal((8, 10)), requires_grad=True)
    labels = torch.tensor(vl.llava_labels(np.array([7, 8, 9, 5, 6]), np.array([0, 0, 0, 1, 1], bool), 3, 1))
    F.cross_entropy(logits, labels).backward()
    assert torch.nonzero(logits.grad.abs().sum(dim=1)).ravel().tolist() == [5, 6]


def test_a_closed_gate_leaves_the_language_model_alone(rng):
    X, H_v = rng.standard_normal((6, 8)), rng.standard_normal((10, 8))
    np.testing.assert_array_equal(vl.gated_cross_attention(X, H_v, 0.0), X)
    assert np.abs(vl.gated_cross_attention(X, H_v, 0.5) - X).max() > 0.05


def test_a_word_sees_the_last_picture_only(rng):
    mask = vl.last_picture_mask([1, 1, 2, 3], each=2)
    np.testing.assert_array_equal(mask.argmax(axis=1), [0, 0, 2, 4])
    np.testing.assert_array_equal(mask.sum(axis=1), [2, 2, 2, 2])
    X, H_v = rng.standard_normal((4, 8)), rng.standard_normal((6, 8))
    other = H_v.copy()
    other[:2] += 1
    moved = np.abs(vl.gated_cross_attention(X, other, 1.0, mask) - vl.gated_cross_attention(X, H_v, 1.0, mask))
    np.testing.assert_array_equal(moved.max(axis=1) > 1e-9, [True, True, False, False])


@pytest.mark.parametrize("count", [16, 256, 2880])
def test_resampler_gives_the_same_number_of_vectors(rng, count):
    latents, Z = rng.standard_normal((64, 8)), rng.standard_normal((count, 8))
    found = vl.resample(latents, Z)
    assert found.shape == (64, 8)
    np.testing.assert_allclose(vl.resample(latents, Z[rng.permutation(count)]), found)  # order must come with positions


def test_sizes():
    assert vl.VICUNA_7B.matrices + 2 * 32_000 * 4096 == pytest.approx(6.738e9, rel=1e-3)  # with embeddings and head
    assert vl.cache_of(1) == 512 * 1024
    assert [vl.tiled_tokens(*grid) for grid in ((1, 2), (2, 2))] == [1728, 2880]
    flops = vl.prefill_flops(10)
    assert flops["linear"] == 20 * vl.VICUNA_7B.matrices
    assert flops["attention"] == 32 * 4 * 100 * 4096
