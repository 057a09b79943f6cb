"""The graphs of the experiments, their splits, and a few steps of training."""

import numpy as np
import pytest
import torch

from scripts.dl import graphs
from scripts.experiments import graph_links, graph_sbm


def test_samples_have_balanced_classes_and_labels():
    data = graph_sbm.sample(0)
    assert np.bincount(data.labels).tolist() == [100, 100, 100]
    assert np.bincount(data.labels[data.known]).tolist() == [5, 5, 5]
    np.testing.assert_array_equal(data.A, graph_sbm.sample(0).A)


@pytest.mark.parametrize("share", [0.0, 0.33, 0.9])
def test_probabilities_give_the_asked_homophily_and_degree(share):
    data = graph_sbm.sample(1, *graph_sbm.probabilities(share), graph_sbm.MANY)
    assert graphs.homophily(data.A, data.labels) == pytest.approx(share, abs=0.03)
    assert data.A.sum(axis=1).mean() == pytest.approx(graph_sbm.DEGREE, abs=0.8)


def test_network_is_the_layers_of_graphs():
    data = graph_sbm.sample(0)
    X = torch.tensor(data.X, dtype=torch.float32)
    torch.manual_seed(0)
    gcn = graph_sbm.Network("gcn", 2, data.A)
    weights = [(layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in gcn.layers]
    H = data.X
    for number, (W, b) in enumerate(weights):
        H = graphs.normalized(data.A) @ (H @ W + b)
        H = np.maximum(H, 0) if number == 0 else H
    np.testing.assert_allclose(gcn(X)[0].detach().numpy(), H, atol=1e-5)
    sage = graph_sbm.Network("sage", 1, data.A)
    W, W2 = sage.layers[0].weight.detach().numpy().T, sage.others[0].weight.detach().numpy().T
    expected = graphs.sage(data.A, data.X, W, W2) + sage.layers[0].bias.detach().numpy()
    np.testing.assert_allclose(sage(X)[0].detach().numpy(), expected, atol=1e-5)


def test_a_few_steps_teach_something():
    run = graph_sbm.train("gcn", 2, graph_sbm.sample(0), 0, steps=30)
    assert run["train"] > 0.6
    assert run["hidden"].shape == (300, graph_sbm.WIDTH)


def test_hidden_edges_are_hidden():
    data = graph_links.split("blocks", 0)
    for v, u in data["hidden"]:
        assert data["all"][v, u] == 1
        assert data["seen"][v, u] == data["seen"][u, v] == 0
    assert all(data["all"][v, u] == 0 for v, u in data["apart"])
    assert data["seen"].sum() == 2 * len(data["taught"])
    assert len(data["hidden"]) == round(0.2 * data["all"].sum() / 2)


def test_auc_counts_pairs():
    assert graph_links.auc(np.array([3.0, 1.0]), np.array([1.0, 0.0])) == (1 + 1 + 0.5 + 1) / 4


def test_a_few_steps_of_link_prediction():
    data = graph_links.split("random", 0)
    assert graph_links.train(data, "all", 0, steps=5) > graph_links.train(data, "seen", 0, steps=5)
