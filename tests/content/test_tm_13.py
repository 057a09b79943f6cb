"""Every number and every claim of tm-13 that can be computed is computed here."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from scripts.dl import glove
from scripts.dl import skip_gram as sg
from scripts.experiments import glove as ex
from scripts.figures import tm_13
from tests.content.page import assert_said, printed

PAGE = printed("theory-minimum/13-glove-vs-word2vec.md")


# Formulas


def test_weights():
    assert glove.weight(100) == 1
    assert_said(PAGE, glove.weight(1), glove.weight(10))
    x = np.logspace(-12, -1, 12)
    vanishing = glove.weight(x) * np.log(x) ** 2
    assert np.all(np.diff(vanishing) > 0)
    assert vanishing[0] < 1e-7


def test_ratios_of_the_paper_up_to_its_rounding():
    table = {8.9: (1.9e-4, 2.2e-5), 0.085: (6.6e-5, 7.8e-4), 1.36: (3.0e-3, 2.2e-3), 0.96: (1.7e-5, 1.8e-5)}
    for ratio, (ice, steam) in table.items():
        assert ice / steam == pytest.approx(ratio, rel=0.04)
    assert min(3.0e-3 / 1.7e-5, 2.2e-3 / 1.8e-5) > 100
    assert_said(PAGE, math.log(8.9 / 0.085), digits=2)


def full_rank(n=7):
    """Counts without zeros and GloVe parameters of width n found by an optimiser, not by hand."""
    rng = np.random.default_rng(0)
    X = rng.exponential(20, (n, n)) + 0.5
    X = X + X.T
    start = glove.initial(n, n, rng)
    shapes = {name: value.shape for name, value in start.items()}

    def unpack(theta):
        sizes = np.cumsum([math.prod(shape) for shape in shapes.values()])[:-1]
        parts = np.split(theta, sizes)
        return {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}

    def objective(theta):
        loss, gradients = glove.loss_and_gradients(unpack(theta), X)
        return loss, np.concatenate([gradients[name].ravel() for name in shapes])

    theta = np.concatenate([value.ravel() for value in start.values()])
    options = {"ftol": 1e-18, "gtol": 1e-10, "maxiter": 5000, "maxfun": 10000}
    found = minimize(objective, theta, jac=True, method="L-BFGS-B", options=options)
    return X, unpack(found.x), found.fun


def test_full_rank_fit_has_no_loss_and_keeps_the_ratios():
    X, p, loss = full_rank()
    assert loss < 1e-12
    W, C = p["W"], p["W_tilde"]
    i, j, k, m = 1, 4, 2, 5
    assert (W[i] - W[j]) @ C[k] + p["b"][i] - p["b"][j] == pytest.approx(np.log(X[i, k] / X[j, k]), abs=1e-5)
    P = X / X.sum(axis=1, keepdims=True)
    shift = (np.log(X.sum(axis=1)) - p["b"])[[i, j]]
    assert (W[i] - W[j]) @ C[k] == pytest.approx(np.log(P[i, k] / P[j, k]) + shift[0] - shift[1], abs=1e-5)
    contrast = np.log(P[i, k] / P[j, k]) - np.log(P[i, m] / P[j, m])
    assert (W[i] - W[j]) @ (C[k] - C[m]) == pytest.approx(contrast, abs=1e-5)


def test_fixed_biases_leave_pmi():
    X, _, _ = full_rank()
    rest = np.log(X) - np.log(X.sum(axis=1))[:, None] - (np.log(X.sum(axis=0)) - np.log(X.sum()))
    np.testing.assert_allclose(rest, sg.pmi(X), atol=1e-12)


def test_vectors_are_not_unique():
    _, p, _ = full_rank()
    rng = np.random.default_rng(1)
    A, c = rng.standard_normal((7, 7)), rng.standard_normal(7)
    turned = p | {"W": p["W"] @ A.T, "W_tilde": p["W_tilde"] @ np.linalg.inv(A)}
    np.testing.assert_allclose(glove.scores(turned), glove.scores(p), atol=1e-9)
    shifted = p | {"W_tilde": p["W_tilde"] + c, "b": p["b"] - p["W"] @ c}
    np.testing.assert_allclose(glove.scores(shifted), glove.scores(p), atol=1e-9)


def test_skip_gram_is_a_weighted_cross_entropy_of_rows():
    X, _, _ = full_rank()
    Q = np.random.default_rng(2).dirichlet(np.ones(7), 7)
    rows = X.sum(axis=1)
    P = X / rows[:, None]
    entropies = -(P * np.log(Q)).sum(axis=1)
    assert -(X * np.log(Q)).sum() == pytest.approx(rows @ entropies)


def test_sgns_is_weighted_least_squares_near_its_optimum():
    X, _, _ = full_rank()
    k = 5
    N = k * np.outer(X.sum(axis=1), X.sum(axis=0)) / X.sum()
    best = sg.sgns_optimum(X, k)
    lowest, _ = sg.sgns_objective(best, X, k)
    step = 1e-3 * np.random.default_rng(3).standard_normal(X.shape)
    rise = sg.sgns_objective(best + step, X, k)[0] - lowest
    assert rise == pytest.approx(0.5 * (X * N / (X + N) * step**2).sum(), rel=1e-2)
    assert np.all(X * N / (X + N) / np.minimum(X, N) <= 1)


def test_unseen_pairs_pull_down_in_sgns_only():
    X = np.array([[0.0, 3.0], [3.0, 1.0]])
    scores = np.zeros((2, 2))
    _, pull = sg.sgns_objective(scores, X, 5)
    N = 5 * 3 * 3 / 7
    assert pull[0, 0] == pytest.approx(N * 0.5)
    p = {"W": np.ones((2, 1)), "W_tilde": np.ones((2, 1)), "b": np.zeros(2), "b_tilde": np.zeros(2)}
    _, gradients = glove.loss_and_gradients(p, np.array([[0.0, 1.0], [1.0, 1.0]]))
    _, other = glove.loss_and_gradients(p | {"b": np.array([9.0, 0.0])}, np.array([[0.0, 0.0], [1.0, 1.0]]))
    assert gradients["b"][0] != 0
    assert other["b"][0] == 0


def test_window_of_word2vec():
    m = 5
    rng = np.random.default_rng(0)
    reach = rng.integers(1, m + 1, 200_000)
    for r in range(1, m + 1):
        assert np.mean(reach >= r) == pytest.approx((m - r + 1) / m, abs=0.01)
    assert_said(PAGE, 4 / 5, 3 / 5, 2 / 5, 1 / 5, digits=1)
    assert_said(PAGE, 1 / 3, 1 / 4, digits=2)


def test_descent_keeps_the_difference_of_gram_matrices():
    X, _, _ = full_rank()
    p = glove.initial(len(X), 3, np.random.default_rng(5))
    _, g = glove.loss_and_gradients(p, X)
    change = {name: g[name].T @ p[name] + p[name].T @ g[name] for name in ("W", "W_tilde")}
    np.testing.assert_allclose(change["W"], change["W_tilde"], rtol=1e-9)


def test_squares_of_all_cells_cost_two_gram_matrices():
    W, C = np.random.default_rng(6).standard_normal((2, 9, 4))
    assert ((W @ C.T) ** 2).sum() == pytest.approx(np.trace(W.T @ W @ C.T @ C))


def test_size():
    vocabulary, d = 4e5, 300
    assert vocabulary**2 == pytest.approx(1.6e11)
    assert_said(PAGE, 2 * vocabulary * (d + 1) / 1e6, digits=1)


def test_growth_of_the_cells():
    """A law A r^-1.25 cut where the count falls to one: cells against the sum of counts."""
    cells, corpus = [], []
    for A in (1e6, 1e7):
        M = int(A ** (1 / 1.25))
        cells.append(M)
        corpus.append(A * (np.arange(1, M + 1) ** -1.25).sum())
    assert np.log(cells[1] / cells[0]) / np.log(corpus[1] / corpus[0]) == pytest.approx(0.8, abs=0.02)
    assert_said(PAGE, 1 / 1.25, digits=1)


def test_marginals_take_two_dimensions():
    a, b = np.random.default_rng(7).standard_normal((2, 8))
    assert np.linalg.matrix_rank(a[:, None] + b) == 2


# Figures


def share_of_pairs_in_large_cells():
    """Of the pairs that a window of random width sees, in the cells whose count of GloVe exceeds 100."""
    tokens, X, m = ex.tokens(), ex.counts(), ex.WINDOW
    large = np.pad(X > 100, (0, 1))
    seen, total = 0.0, 0.0
    for r in range(1, m + 1):
        left, right = tokens[:-r], tokens[r:]
        inside = (left < ex.WORDS) & (right < ex.WORDS)
        share = (m - r + 1) / m
        seen += share * large[left, right][inside].sum()
        total += share * inside.sum()
    return seen / total


def test_figure_weights():
    X = ex.counts()
    found = tm_13.shares(X)
    assert X.max() == pytest.approx(2168, abs=1)
    assert X[X > 0].min() == pytest.approx(0.2)
    assert_said(PAGE, 100 * found["cells"][-1], digits=1)
    assert_said(PAGE, 100 * found["counts"][-1], 100 * found["weights"][-1], digits=0)
    assert 100 * share_of_pairs_in_large_cells() == pytest.approx(100 * found["counts"][-1], abs=0.5)
    novel = tm_13.novel_counts()
    assert novel.max() < 100
    assert_said(PAGE, 100 * tm_13.shares(novel)["cells"][0], digits=0)
    assert ex.SEGMENTS * ex.LENGTH == 75_000


def test_figure_scatter():
    assert len(tm_13.fits()["glove"][0]) == 55157
    assert_said(PAGE, *(tm_13.correlation(model, above) for model in ("glove", "sgns") for above in (0, 10)), digits=2)
    b = ex.learned("glove", ex.SEGMENTS)["b"]
    assert_said(PAGE, np.corrcoef(b, np.log(ex.counts().sum(axis=1)))[0, 1], digits=2)


def test_figure_truth():
    for segments in (ex.SEGMENTS, 4 * ex.SEGMENTS):
        by_glove, by_sgns = (tm_13.errors(model, segments)[:, 1] for model in ("glove", "sgns"))
        assert_said(PAGE, by_glove[0], abs(by_sgns[0]), digits=2)
        assert np.all(np.diff(by_glove[:5]) < 0)
        assert np.abs(by_sgns).max() < 0.1
        assert np.abs(by_glove[5:]).max() < 0.06
        assert np.isnan(tm_13.errors("counts", segments)[0]).all()
