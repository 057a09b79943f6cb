import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scripts.dl import skip_gram as sg
from scripts.dl.gradcheck import numerical_gradient


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_softmax_loss_equals_torch(rng):
    v, U = rng.standard_normal(4), rng.standard_normal((7, 4))
    tv, tU = torch.tensor(v, requires_grad=True), torch.tensor(U, requires_grad=True)
    expected = F.cross_entropy((tU @ tv)[None], torch.tensor([2]))
    expected.backward()
    loss, v_bar, U_bar = sg.softmax_loss(v, U, 2)
    assert loss == pytest.approx(expected.item())
    np.testing.assert_allclose(v_bar, tv.grad, atol=1e-13)
    np.testing.assert_allclose(U_bar, tU.grad, atol=1e-13)


def test_negative_sampling_equals_torch(rng):
    v, u, negatives = rng.standard_normal(4), rng.standard_normal(4), rng.standard_normal((5, 4))
    negatives[3] = negatives[1]  # the same word drawn twice counts twice
    tv, tu, tn = (torch.tensor(x, requires_grad=True) for x in (v, u, negatives))
    expected = -F.logsigmoid(tu @ tv) - F.logsigmoid(-tn @ tv).sum()
    expected.backward()
    loss, *bars = sg.negative_sampling_loss(v, u, negatives)
    assert loss == pytest.approx(expected.item())
    for bar, tensor in zip(bars, (tv, tu, tn), strict=True):
        np.testing.assert_allclose(bar, tensor.grad, atol=1e-13)


def test_negative_sampling_does_not_overflow():
    loss, *_ = sg.negative_sampling_loss(np.array([1e3]), np.array([-1.0]), np.array([[1.0]]))
    assert loss == pytest.approx(2e3)


def test_cbow_loss(rng):
    context, U = rng.standard_normal((6, 4)), rng.standard_normal((7, 4))
    _, context_bar, U_bar = sg.cbow_loss(context, U, 1)
    numeric = numerical_gradient(lambda x: sg.cbow_loss(x, U, 1)[0], context)
    np.testing.assert_allclose(context_bar, numeric, atol=1e-8)
    numeric = numerical_gradient(lambda x: sg.cbow_loss(context, x, 1)[0], U)
    np.testing.assert_allclose(U_bar, numeric, atol=1e-8)


@pytest.mark.parametrize("size", [2, 3, 10, 33])
def test_hierarchical_softmax_is_a_distribution(rng, size):
    paths = sg.huffman_paths(rng.integers(1, 100, size))
    nodes, v = rng.standard_normal((size - 1, 5)), rng.standard_normal(5)
    assert sum(sg.hierarchical_probability(v, nodes, path) for path in paths) == pytest.approx(1, abs=1e-12)


def test_huffman_code_is_optimal_for_powers_of_two():
    counts = np.array([8, 4, 2, 1, 1])
    assert [len(path.nodes) for path in sg.huffman_paths(counts)] == [1, 2, 3, 4, 4]
    assert all(path.nodes[0] == 3 for path in sg.huffman_paths(counts))  # the root
    with pytest.raises(ValueError, match="two words"):
        sg.huffman_paths(np.array([3]))


def test_hierarchical_loss(rng):
    paths = sg.huffman_paths(np.array([5, 3, 2, 2, 1]))
    nodes, v = rng.standard_normal((4, 3)), rng.standard_normal(3)
    for path in paths:
        loss, v_bar, rows_bar = sg.hierarchical_loss(v, nodes, path)
        assert loss == pytest.approx(-np.log(sg.hierarchical_probability(v, nodes, path)))
        numeric = numerical_gradient(lambda x, path=path: sg.hierarchical_loss(x, nodes, path)[0], v)
        np.testing.assert_allclose(v_bar, numeric, atol=1e-8)
        numeric = numerical_gradient(lambda x, path=path: sg.hierarchical_loss(v, x, path)[0], nodes)
        np.testing.assert_allclose(rows_bar, numeric[path.nodes], atol=1e-8)


def test_frequencies():
    np.testing.assert_allclose(sg.noise_distribution([0.9, 0.09, 0.01]), [0.825, 0.147, 0.028], atol=5e-4)
    np.testing.assert_allclose(sg.noise_distribution([3, 1], 1.0), [0.75, 0.25])
    np.testing.assert_allclose(sg.keep_probability([1e-2, 1e-5, 1e-7]), [0.0316, 1, 1], atol=1e-4)
    f = 0.01
    assert sg.keep_probability_in_code(f, 1e-3) == pytest.approx((np.sqrt(f / 1e-3) + 1) * 1e-3 / f)


def test_pairs_and_counts():
    words = np.array([0, 1, 2, 0])
    found = sorted(map(tuple, sg.pairs(words, 2).tolist()))
    brute = sorted((words[i], words[j]) for i in range(4) for j in range(4) if i != j and abs(i - j) <= 2)
    assert found == brute
    assert sg.pairs(np.array([5]), 2).shape == (0, 2)
    counts = sg.count_matrix(sg.pairs(words, 2), 3)
    np.testing.assert_array_equal(counts, counts.T)
    assert counts.sum() == len(brute)


def test_pmi():
    counts = np.array([[10.0, 0.0], [5.0, 5.0]])
    expected = np.log(10 * 20 / (10 * 15))
    assert sg.pmi(counts)[0, 0] == pytest.approx(expected)
    assert sg.pmi(counts)[0, 1] == -np.inf
    assert sg.ppmi(counts)[0, 1] == 0
    independent = np.outer([1, 2, 3], [4, 5, 6])
    np.testing.assert_allclose(sg.pmi(independent), 0, atol=1e-12)


def test_low_rank(rng):
    matrix = rng.standard_normal((6, 5))
    rows, columns = sg.low_rank(matrix, 5)
    np.testing.assert_allclose(rows @ columns.T, matrix, atol=1e-12)
    rows, columns = sg.low_rank(matrix, 2)
    values = np.linalg.svd(matrix, compute_uv=False)
    assert ((rows @ columns.T - matrix) ** 2).sum() == pytest.approx((values[2:] ** 2).sum())


@pytest.mark.parametrize("noise", [None, np.array([0.5, 0.3, 0.1, 0.1])])
def test_levy_goldberg(rng, noise):
    counts, k = rng.integers(1, 50, (4, 4)).astype(float), 5
    best = sg.sgns_optimum(counts, k, noise)
    loss, gradient = sg.sgns_objective(best, counts, k, noise)
    np.testing.assert_allclose(gradient, 0, atol=1e-9)
    x = rng.standard_normal((4, 4))
    numeric = numerical_gradient(lambda scores: sg.sgns_objective(scores, counts, k, noise)[0], x)
    np.testing.assert_allclose(sg.sgns_objective(x, counts, k, noise)[1], numeric, rtol=1e-5, atol=1e-5)
    assert loss < sg.sgns_objective(x, counts, k, noise)[0]
    if noise is None:
        np.testing.assert_allclose(best, sg.pmi(counts) - np.log(k), atol=1e-12)
    else:
        by_context = counts.sum(axis=0) / counts.sum()
        np.testing.assert_allclose(best, sg.pmi(counts) - np.log(k) + np.log(by_context / noise), atol=1e-12)


def test_analogy():
    vectors = np.array([[1.0, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 1], [-1, 0, 0]])
    assert sg.analogy(vectors, 0, 1, 2) == 3
    assert sg.cosines(vectors, np.array([2.0, 0, 0]))[1] == pytest.approx(1 / np.sqrt(2))


def test_character_ngrams():
    assert set(sg.character_ngrams("где", 3, 4)) == {"<где>", "<гд", "где", "де>", "<где", "где>"}
    assert sg.character_ngrams("я", 3, 6) == ["<я>"]
    assert len(sg.character_ngrams("where", 3, 6)) == 5 + 4 + 3 + 2 + 1
