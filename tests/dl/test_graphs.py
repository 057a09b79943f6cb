"""Layers against message passing vertex by vertex, colours against definitions, spectra against the proof."""

import networkx
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import graphs

RNG = np.random.default_rng(0)
A = graphs.block_model(np.arange(12) % 3, 0.6, 0.3, np.random.default_rng(1))
H, W, W2 = RNG.standard_normal((12, 5)), RNG.standard_normal((5, 4)), RNG.standard_normal((5, 4))
TO, FROM = RNG.standard_normal(4), RNG.standard_normal(4)
P = np.eye(12)[RNG.permutation(12)]
EPSILON = 0.3
LAYERS = {
    "gcn": lambda A, H: graphs.gcn(A, H, W),
    "sage": lambda A, H: graphs.sage(A, H, W, W2),
    "gat": lambda A, H: graphs.gat(A, H, W, TO, FROM),
    "gin": lambda A, H: graphs.gin(A, H, EPSILON, lambda Z: np.tanh(Z @ W) @ W2[:4]),
}


def edges_of(A):
    return [(int(u), int(v)) for v, u in np.argwhere(A)]


def passed(message, aggregate, update):
    edges = edges_of(A)
    return graphs.message_passing(H, edges, [None] * len(edges), message, aggregate, update)


def test_gcn_is_message_passing():
    degrees = A.sum(axis=1) + 1
    rows = {id_: v for v, id_ in enumerate(map(bytes, H))}

    def degree(h):
        return degrees[rows[bytes(h)]]

    result = passed(
        lambda h_v, h_u, e: h_u @ W / np.sqrt(degree(h_v) * degree(h_u)),
        lambda inbox: sum(inbox, np.zeros(4)),
        lambda h_v, m: h_v @ W / degree(h_v) + m,
    )
    np.testing.assert_allclose(graphs.gcn(A, H, W), result, atol=1e-12)


def test_sage_is_message_passing():
    result = passed(lambda h_v, h_u, e: h_u, lambda inbox: np.mean(inbox, axis=0), lambda h_v, m: h_v @ W + m @ W2)
    np.testing.assert_allclose(graphs.sage(A, H, W, W2), result, atol=1e-12)
    joint = np.concatenate([H, graphs.mean_matrix(A) @ H], axis=1) @ np.concatenate([W, W2])
    np.testing.assert_allclose(graphs.sage(A, H, W, W2), joint, atol=1e-12)


def test_gin_is_message_passing():
    result = passed(lambda h_v, h_u, e: h_u, lambda inbox: np.sum(inbox, axis=0), lambda h, m: (1 + EPSILON) * h + m)
    np.testing.assert_allclose(graphs.gin(A, H, EPSILON, lambda Z: Z), result, atol=1e-12)


def test_gat_against_the_formula_in_torch():
    Z = torch.tensor(H @ W)
    vector = torch.tensor(np.concatenate([TO, FROM]))
    for v in range(12):
        around = np.flatnonzero(A[v] + np.eye(12)[v])
        pairs = torch.stack([torch.cat([Z[v], Z[u]]) for u in around])
        alpha = torch.softmax(F.leaky_relu(pairs @ vector, 0.2), dim=0)
        np.testing.assert_allclose(graphs.gat(A, H, W, TO, FROM)[v], (alpha @ Z[around]).numpy(), atol=1e-12)
    np.testing.assert_allclose(graphs.gat_weights(A, H, W, TO, FROM).sum(axis=1), 1)


def test_messages_carry_features_of_edges():
    edges, features = [(0, 1), (2, 1)], np.array([[2.0], [5.0]])
    result = graphs.message_passing(
        np.ones((3, 1)), edges, features, lambda h_v, h_u, e: e * h_u, lambda inbox: sum(inbox), lambda h, m: h + m
    )
    np.testing.assert_array_equal(result[:, 0], [1, 8, 1])


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_equivariant(name):
    layer = LAYERS[name]
    np.testing.assert_allclose(layer(P @ A @ P.T, P @ H), P @ layer(A, H), atol=1e-12)


@pytest.mark.parametrize("kind", graphs.READOUTS)
def test_readouts_are_invariant_and_graphs_of_a_batch_do_not_mix(kind):
    zeros = np.zeros(12, dtype=int)
    np.testing.assert_allclose(graphs.readout(P @ H, zeros, kind), graphs.readout(H, zeros, kind), atol=1e-12)
    small, features = graphs.cycle(5), RNG.standard_normal((5, 5))
    batch = graphs.gcn(graphs.disjoint_union(A, small), np.concatenate([H, features]), W)
    pooled = graphs.readout(batch, np.repeat([0, 1], [12, 5]), kind)
    for row, (graph, states) in zip(pooled, ((A, H), (small, features)), strict=True):
        alone = graphs.gcn(graph, states, W)
        np.testing.assert_allclose(row, graphs.readout(alone, np.zeros(len(graph), dtype=int), kind)[0], atol=1e-12)


def test_small_graphs():
    assert graphs.cycle(6).sum() == 12
    assert graphs.path(4).sum() == 6
    tree = graphs.binary_tree(3)
    assert len(tree) == 15
    assert tree.sum() == 28
    assert tree[0].sum() == 2
    with pytest.raises(ValueError, match="loop"):
        graphs.adjacency(2, [(1, 1)])
    reference = networkx.from_numpy_array(A)
    assert graphs.triangles(A) == sum(networkx.triangles(reference).values()) // 3


def test_block_model_has_the_densities_it_was_asked_for():
    labels = np.arange(600) % 3
    graph = graphs.block_model(labels, 0.2, 0.05, np.random.default_rng(0))
    same = labels[:, None] == labels
    np.fill_diagonal(same, False)
    np.testing.assert_array_equal(graph, graph.T)
    assert np.trace(graph) == 0
    assert graph[same].mean() == pytest.approx(0.2, abs=0.01)
    assert graph[labels[:, None] != labels].mean() == pytest.approx(0.05, abs=0.005)
    assert graphs.homophily(graph, labels) == pytest.approx(0.2 / (0.2 + 2 * 0.05), abs=0.02)


def test_sampling_keeps_edges_and_limits_degrees():
    sampled = graphs.sample_neighbours(A, 3, np.random.default_rng(0))
    assert np.all(sampled <= A)
    np.testing.assert_array_equal(sampled.sum(axis=1), np.minimum(A.sum(axis=1), 3))
    np.testing.assert_array_equal(graphs.sample_neighbours(A, 12, np.random.default_rng(0)), A)


def test_the_mean_over_a_sample_is_unbiased():
    v = int(np.argmax(A.sum(axis=1)))
    rng = np.random.default_rng(0)
    means = [graphs.mean_matrix(graphs.sample_neighbours(A, 2, rng))[v] @ H for _ in range(2000)]
    np.testing.assert_allclose(np.mean(means, axis=0), graphs.mean_matrix(A)[v] @ H, atol=0.1)


@pytest.mark.filterwarnings("ignore:The hashes produced:UserWarning")
def test_colours_agree_with_networkx():
    rng = np.random.default_rng(2)
    for _ in range(20):
        first, second = (graphs.block_model(np.zeros(7), 0.4, 0, rng) for _ in range(2))
        hashes = {
            networkx.weisfeiler_lehman_graph_hash(networkx.from_numpy_array(graph), iterations=8)
            for graph in (first, second)
        }
        assert graphs.same_for_wl(first, second) == (len(hashes) == 1)
        shuffled = np.eye(7)[rng.permutation(7)]
        assert graphs.same_for_wl(first, shuffled @ first @ shuffled.T)


def test_colours_refine():
    rounds = graphs.colour_refinement(graphs.path(5), np.zeros(5, dtype=int))
    assert [len(set(colours)) for colours in rounds] == [1, 2, 3, 3]
    last = rounds[-1]
    assert last[0] == last[4]
    assert last[1] == last[3]


def test_laplacian_positions():
    positions = graphs.laplacian_positions(graphs.path(8), 2)
    np.testing.assert_allclose(positions.T @ positions, np.eye(2), atol=1e-12)
    assert np.sum(np.diff(np.sign(positions[:, 0])) != 0) == 1  # the slowest wave changes its sign once


def test_propagation():
    S = graphs.normalized(A)
    np.testing.assert_allclose(graphs.propagate(S, H, 3), S @ S @ S @ H)
    limit = 0.1 * np.linalg.solve(np.eye(12) - 0.9 * S, H)
    np.testing.assert_allclose(graphs.propagate(S, H, 400, 0.1), limit, atol=1e-12)


def test_mean_cosine():
    rows = RNG.standard_normal((6, 3))
    pairs = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for i, a in enumerate(rows) for b in rows[:i]]
    assert graphs.mean_cosine(rows) == pytest.approx(np.mean(pairs))
