"""Every number and every claim of tm-28 that can be computed is computed here."""

import math
from collections import Counter

import numpy as np
import pytest

from scripts.dl import graphs
from scripts.experiments import graph_links, graph_sbm
from scripts.figures import tm_28
from tests.content.page import assert_said, printed

PAGE = printed("theory-minimum/28-gnn.md")
CYCLE, TRIANGLES = graphs.cycle(6), graphs.disjoint_union(graphs.cycle(3), graphs.cycle(3))
RNG = np.random.default_rng(0)


def depth_of(kind, depth, share="test"):
    return graph_sbm.by_depth()[f"{kind}_{share}"][graph_sbm.DEPTHS.index(depth)].mean()


# The layer


def test_proof_of_equivariance_step_by_step():
    A = graphs.block_model(np.zeros(9), 0.4, 0, RNG)
    H, W, P = RNG.standard_normal((9, 4)), RNG.standard_normal((4, 3)), np.eye(9)[RNG.permutation(9)]
    S = graphs.normalized(A)
    np.testing.assert_allclose(graphs.normalized(P @ A @ P.T), P @ S @ P.T, atol=1e-12)
    np.testing.assert_allclose((P @ S @ P.T) @ (P @ H) @ W, P @ (S @ H @ W), atol=1e-12)
    np.testing.assert_allclose((P @ H).sum(axis=0), H.sum(axis=0), atol=1e-12)


def test_figure_messages():
    states = tm_28.hand_states()
    assert states[1][0] == pytest.approx(1 / 3)
    assert states[1][2] == pytest.approx(1 / math.sqrt(12))
    assert_said(PAGE, states[1][2], states[3][4], states[2][3], digits=2)
    distances = np.array([0, 1, 1, 2, 3, 4, 4])
    for steps, state in zip(tm_28.HAND_STEPS, states, strict=True):
        np.testing.assert_array_equal(state > 0, distances <= steps)


def test_cost_of_a_layer_on_cora():
    n, edges, d, width = 2708, 5429, 1433, 16
    assert round(2 * n * d * width / 1e6) == 124
    assert round(2 * (2 * edges + n) * width / 1e6, 1) == 0.4
    assert 2 * (2 * edges + n) * d > 50 * 2 * (2 * edges + n) * width  # so first the weights, then the graph


def test_static_attention_ranks_neighbours_alike():
    A = np.ones((6, 6)) - np.eye(6)
    H, W = RNG.standard_normal((6, 4)), RNG.standard_normal((4, 3))
    to, from_ = RNG.standard_normal((2, 3))
    alpha = graphs.gat_weights(A, H, W, to, from_)
    order = np.argsort(H @ W @ from_)
    assert all((np.argsort(row) == order).all() for row in alpha)


def test_gcn_on_pixels_blurs():
    """In the middle of a grid all nine (here five) weights are equal: a blur."""
    side = 5
    number = np.arange(side * side).reshape(side, side)
    edges = [*zip(number[:, :-1].ravel(), number[:, 1:].ravel(), strict=True),
             *zip(number[:-1].ravel(), number[1:].ravel(), strict=True)]  # fmt: skip
    S = graphs.normalized(graphs.adjacency(side * side, edges))
    middle = S[12]
    np.testing.assert_allclose(middle[middle > 0], 1 / 5)


# Leaking links


def test_figure_leak():
    found = graph_links.leakage()
    means = {name: runs.mean() for name, runs in found.items()}
    assert_said(PAGE, *means.values(), digits=2)
    assert means["random_seen"] == pytest.approx(0.5, abs=0.03)
    assert means["random_all"] > 0.7
    assert means["blocks_all"] > means["blocks_seen"] + 0.1 > 0.7
    assert all(len(runs) == 10 for runs in found.values())
    assert graph_links.HIDDEN_SHARE == 0.2


# Expressivity


def some_network(A, layer):
    H = np.ones((len(A), 3))
    for _ in range(4):
        H = np.tanh(layer(A, H))
    return H


@pytest.mark.parametrize("kind", ["gcn", "sage", "gat", "gin"])
def test_no_layer_tells_a_ring_from_two_triangles(kind):
    rng = np.random.default_rng(3)
    W, W2, to, from_ = rng.standard_normal((3, 3)), rng.standard_normal((3, 3)), *rng.standard_normal((2, 3))
    layer = {
        "gcn": lambda A, H: graphs.gcn(A, H, W),
        "sage": lambda A, H: graphs.sage(A, H, W, W2),
        "gat": lambda A, H: graphs.gat(A, H, W, to, from_),
        "gin": lambda A, H: graphs.gin(A, H, 0.1, lambda Z: np.tanh(Z @ W) @ W2),
    }[kind]
    zeros = np.zeros(6, dtype=int)
    first, second = some_network(CYCLE, layer), some_network(TRIANGLES, layer)
    np.testing.assert_allclose(graphs.readout(first, zeros), graphs.readout(second, zeros), atol=1e-12)
    assert np.ptp(first, axis=0).max() < 1e-12


def test_ring_and_triangles_for_wl_and_for_the_laplacian():
    assert graphs.same_for_wl(CYCLE, TRIANGLES)
    assert (graphs.triangles(CYCLE), graphs.triangles(TRIANGLES)) == (0, 2)
    zeros = [np.sum(np.linalg.eigvalsh(np.diag(A.sum(axis=1)) - A) < 1e-9) for A in (CYCLE, TRIANGLES)]
    assert zeros == [1, 2]


def test_figure_colours():
    first, second = tm_28.told_apart_pair()
    assert sorted(first.sum(axis=1)) == sorted(second.sum(axis=1))
    assert not graphs.same_for_wl(first, second)
    rounds = tm_28.colourings()["trees"]
    assert Counter(rounds[1][:6].tolist()) == Counter(rounds[1][6:].tolist())
    assert [len(set(rounds[2][half])) for half in (slice(6), slice(6, 12))] == [5, 4]
    assert len(set(tm_28.colourings()["cycles"][-1])) == 1


def test_equal_colours_have_equal_states():
    """The theorem, after each round, for a GIN with random weights on a random graph."""
    rng = np.random.default_rng(4)
    A = graphs.block_model(np.zeros(20), 0.12, 0, rng)
    W = rng.standard_normal((2, 2))
    H = np.ones((20, 2))
    for colours in graphs.colour_refinement(A, np.zeros(20, dtype=int)):
        for colour in set(colours):
            assert np.ptp(H[colours == colour], axis=0).max() < 1e-9
        H = np.tanh(graphs.gin(A, H, 0.2, lambda Z: Z @ W))


def test_gcn_may_be_one_round_ahead_of_the_test():
    """Weights of GCN hold degrees of neighbours: the theorem is true of it once degrees are among the colours."""
    A = graphs.path(5)
    state = graphs.gcn(A, np.ones((5, 1)), np.eye(1))[:, 0]
    first_round = graphs.colour_refinement(A, np.zeros(5, dtype=int))[1]
    assert first_round[1] == first_round[2]
    assert state[1] == pytest.approx(2 / 3 + 1 / math.sqrt(6))
    assert state[2] == pytest.approx(1)
    assert_said(PAGE, state[1], digits=2)
    rng = np.random.default_rng(7)
    A = graphs.block_model(np.zeros(20), 0.12, 0, rng)
    H = np.ones((20, 2))
    for colours in graphs.colour_refinement(A, A.sum(axis=1).astype(int)):
        for colour in set(colours):
            assert np.ptp(H[colours == colour], axis=0).max() < 1e-9
        H = np.tanh(graphs.gcn(A, H, rng.standard_normal((2, 2))))


def test_any_message_passing_is_equivariant():
    """The general scheme, with features of edges; the order of messages changes with the numbering."""
    rng = np.random.default_rng(8)
    A = graphs.block_model(np.zeros(9), 0.5, 0, rng)
    H, of_edges, order = rng.standard_normal((9, 2)), rng.standard_normal((9, 9, 2)), rng.permutation(9)

    def layer(A, H, of_edges):
        pairs = [(int(u), int(v)) for v, u in np.argwhere(A)]
        return graphs.message_passing(
            H, pairs, [of_edges[v, u] for u, v in pairs],
            lambda h_v, h_u, e: np.tanh(h_v + h_u * e),
            lambda inbox: np.max([np.zeros(2), *inbox], axis=0),
            lambda h, m: h * m + m,
        )  # fmt: skip

    moved = layer(A[np.ix_(order, order)], H[order], of_edges[np.ix_(order, order)])
    np.testing.assert_allclose(moved, layer(A, H, of_edges)[order], atol=1e-12)


def test_multisets_of_the_table():
    a, b = RNG.standard_normal((2, 3))
    sets = np.array([a, b]), np.array([a, a, b, b]), np.array([a, b, b])
    sums, means, largest = ([pool(rows, axis=0) for rows in sets] for pool in (np.sum, np.mean, np.max))
    np.testing.assert_allclose(sums, [a + b, 2 * a + 2 * b, a + 2 * b])
    np.testing.assert_allclose(means, [(a + b) / 2, (a + b) / 2, (a + 2 * b) / 3])
    np.testing.assert_allclose(largest, [np.maximum(a, b)] * 3)


def test_numbers_in_base_k_recover_a_multiset():
    K, kinds = 4, 3
    codes = [K ** -(kind + 1.0) for kind in range(kinds)]
    counts = np.array(np.meshgrid(*[range(K)] * kinds)).reshape(kinds, -1)
    sums = codes @ counts
    assert len(set(sums.tolist())) == K**kinds


def test_gat_cannot_count_equal_neighbours():
    W, to, from_ = RNG.standard_normal((2, 2)), *RNG.standard_normal((2, 2))
    star, pair = graphs.adjacency(4, [(0, 1), (0, 2), (0, 3)]), graphs.path(2)
    h = RNG.standard_normal(2)
    several, single = (graphs.gat(A, np.tile(h, (len(A), 1)), W, to, from_)[0] for A in (star, pair))
    np.testing.assert_allclose(several, single)


# Depth


def random_graph():
    return graphs.block_model(np.zeros(30), 0.15, 0, np.random.default_rng(5))


def test_spectrum_and_the_squares_that_prove_it():
    A = random_graph()
    S, loops, degrees = graphs.normalized(A), A + np.eye(30), A.sum(axis=1) + 1
    x = RNG.standard_normal(30)
    scaled = x / np.sqrt(degrees)
    for sign in (1, -1):
        squares = 0.5 * np.sum(loops * (scaled[:, None] - sign * scaled) ** 2)
        assert x @ x - sign * x @ S @ x == pytest.approx(squares)
    eigenvalues = np.linalg.eigvalsh(S)
    assert eigenvalues[-1] == pytest.approx(1)
    assert eigenvalues[0] > -1


def test_limit_of_smoothing_component_by_component():
    first, second = random_graph(), graphs.cycle(7)
    A = graphs.disjoint_union(first, second)
    assert np.linalg.matrix_rank(np.diag(first.sum(axis=1)) - first) == 29  # connected
    X = RNG.standard_normal((37, 3))
    root = np.sqrt(A.sum(axis=1) + 1)
    limit = np.zeros_like(X)
    for part in (np.arange(37) < 30, np.arange(37) >= 30):
        u = root * part / np.linalg.norm(root * part)
        limit += np.outer(u, u @ X)
    found = graphs.propagate(graphs.normalized(A), X, 500)
    np.testing.assert_allclose(found, limit, atol=1e-9)
    rows = found / root[:, None]
    assert np.ptp(rows[:30], axis=0).max() < 1e-9


def test_without_loops_a_bipartite_graph_swings():
    A = graphs.path(4)
    root = np.sqrt(A.sum(axis=1))
    bare = A / root[:, None] / root
    eigenvalues, vectors = np.linalg.eigh(bare)
    assert eigenvalues[0] == pytest.approx(-1)
    expected = root * [1, -1, 1, -1]
    assert abs(vectors[:, 0] @ expected) == pytest.approx(np.linalg.norm(expected))
    assert np.linalg.eigvalsh(graphs.normalized(A))[0] > -1


def test_laplacian_filter_of_the_paper_grows():
    A = random_graph()
    root = np.sqrt(np.maximum(A.sum(axis=1), 1))
    eigenvalues = np.linalg.eigvalsh(np.eye(30) + A / root[:, None] / root)
    assert -1e-9 < eigenvalues[0] < eigenvalues[-1] == pytest.approx(2)


def test_mean_and_symmetric_matrices_share_a_spectrum():
    loops = random_graph() + np.eye(30)
    mean = np.sort(np.linalg.eigvals(loops / loops.sum(axis=1, keepdims=True)).real)
    np.testing.assert_allclose(mean, np.linalg.eigvalsh(graphs.normalized(random_graph())), atol=1e-9)


def test_rows_of_the_symmetric_matrix_do_not_sum_to_one():
    star = graphs.normalized(graphs.adjacency(1001, [(0, ray) for ray in range(1, 1001)])).sum(axis=1)
    assert_said(PAGE, star[0], digits=0)
    assert_said(PAGE, star[1], digits=2)


def test_a_layer_with_weights_nears_the_smooth_states():
    """Oono, Suzuki: the distance shrinks at least s λ times, whatever the weights, with ReLU."""
    rng = np.random.default_rng(9)
    parts = [graphs.cycle(5), graphs.path(6), graphs.cycle(4)]
    A = graphs.disjoint_union(*parts)
    component = np.repeat(range(3), [5, 6, 4])
    root = np.sqrt(A.sum(axis=1) + 1)
    U = np.stack([root * (component == part) for part in range(3)], axis=1)
    U /= np.linalg.norm(U, axis=0)
    S = graphs.normalized(A)
    shrink = np.sort(np.abs(np.linalg.eigvalsh(S)))[-4]
    assert shrink < 1

    def distance(H):
        return np.linalg.norm(H - U @ (U.T @ H))

    for _ in range(200):
        H, W = rng.standard_normal((15, 4)), rng.standard_normal((4, 3))
        assert distance(np.maximum(S @ H @ W, 0)) <= shrink * np.linalg.norm(W, 2) * distance(H)


def test_norm_of_weights_that_could_resist_smoothing():
    values = np.sort(np.abs(np.linalg.eigvalsh(graphs.normalized(graph_sbm.sample(0).A))))
    assert values[-1] == pytest.approx(1)
    assert_said(PAGE, values[-2], 1 / values[-2], digits=2)


def test_figure_smoothing():
    found = tm_28.cosines()
    assert_said(PAGE, *found["plain"][[0, 2, 4, 8]], digits=2)
    assert_said(PAGE, found["restart"][-1], digits=2)
    assert found["inside"][2] - found["outside"][2] > 0.3
    assert found["outside"][-1] > 0.99
    S = graphs.normalized(graph_sbm.sample(0).A)
    assert np.linalg.eigvalsh(S)[-2] < 0.8  # the graph is connected


def test_figure_depth():
    assert_said(PAGE, *(depth_of("gcn", depth) for depth in (1, 2, 4, 8)), depth_of("mlp", 2), digits=2)
    assert_said(PAGE, depth_of("gcn", 8, "train"), digits=2)
    assert depth_of("gcn", 2) > depth_of("gcn", 1) > depth_of("mlp", 2)
    assert depth_of("mlp", 8, "train") == 1.0
    assert depth_of("mlp", 12, "train") == pytest.approx(1 / 3, abs=0.01)
    assert depth_of("gcn", 8, "cosine") > 0.98
    for depth in graph_sbm.DEPTHS[1:]:
        assert depth_of("residual", depth) > 0.85
    assert graph_sbm.LABELLED == graph_sbm.SEEDS == 5


def test_why_the_deep_gcn_does_not_learn():
    found = graph_sbm.by_depth()
    assert_said(PAGE, depth_of("gcn", 8, "cosine"), digits=3)
    assert_said(PAGE, depth_of("gcn", 2, "cosine"), found["late_train"].mean(), found["late_test"].mean(), digits=2)
    assert depth_of("residual", 8) > 0.92
    learned = found["late_train"] == 1
    assert learned.sum() == 1
    assert_said(PAGE, found["late_test"][learned][0], digits=2)
    assert found["late_train"][~learned].max() < 0.6
    assert (graph_sbm.STEPS, graph_sbm.LATE) == (200, 1000)


def test_personal_pagerank_is_the_limit_of_returns():
    S, X = graphs.normalized(random_graph()), RNG.standard_normal((30, 2))
    limit = 0.2 * np.linalg.solve(np.eye(30) - 0.8 * S, X)
    np.testing.assert_allclose(graphs.propagate(S, X, 200, 0.2), limit, atol=1e-12)


def test_squashing_in_a_tree():
    S = graphs.normalized(graphs.binary_tree(6))
    sensitivity = np.linalg.matrix_power(S, 6)[0, -1]
    assert_said(PAGE, sensitivity, digits=4)
    assert sensitivity == pytest.approx(1 / math.sqrt(12) / math.sqrt(8) * 0.25**4)
    assert 2**6 == 64


def test_bound_on_the_jacobian():
    rng = np.random.default_rng(6)
    A = graphs.path(4)
    S, X = graphs.normalized(A), rng.standard_normal((4, 3))
    weights = [rng.standard_normal((3, 3)) for _ in range(3)]

    def output(X):
        for W in weights:
            X = np.tanh(S @ X @ W)
        return X[0]

    jacobian = np.stack([
        (output(X + 1e-6 * step) - output(X - 1e-6 * step)) / 2e-6
        for step in np.eye(12).reshape(12, 4, 3)[9:]  # the features of the last vertex
    ])  # fmt: skip
    product = math.prod(np.linalg.norm(W, 2) for W in weights)
    assert 0 < np.linalg.norm(jacobian, 2) <= product * np.linalg.matrix_power(S, 3)[0, 3]


def test_figure_homophily():
    found = graph_sbm.by_homophily()
    at = {share: number for number, share in enumerate(graph_sbm.HOMOPHILIES)}
    gcn, sage, mlp = (found[kind].mean(axis=1) for kind in ("gcn", "sage", "mlp"))
    assert_said(PAGE, gcn[at[0.33]], mlp[0], gcn[at[0.0]], digits=2)
    assert np.argmin(gcn) == at[0.33]
    assert gcn[at[0.9]] > 0.99
    assert np.all(sage > mlp - 0.03)
    assert sage[at[0.33]] == pytest.approx(mlp[0], abs=0.03)
    assert graph_sbm.MANY == 40
    # with three equal classes and edges drawn regardless of them a third of the edges stays inside
    assert graphs.homophily(np.ones((300, 300)), graph_sbm.sample(0).labels) == pytest.approx(1 / 3)
