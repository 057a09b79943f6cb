"""The tasks of the dilation experiments, and a few steps of their training."""

import numpy as np
import pytest
import torch

from scripts.experiments import dilated as ex


@pytest.mark.parametrize(("kind", "reach"), [("plain", 9), ("dilated", 31)])
def test_a_causal_network_sees_its_receptive_field_and_nothing_else(kind, reach):
    torch.manual_seed(0)
    network = ex.CausalNetwork(ex.MEMORY_DILATIONS[kind]).double()
    x = torch.randn(1, 60, dtype=torch.float64, requires_grad=True)
    network(x)[0, 50].backward()
    seen = torch.nonzero(x.grad[0]).flatten()
    assert seen.min() >= 50 - reach + 1
    assert seen.max() == 50


def test_products_are_labelled_by_the_sign():
    x, y = ex.products(5, torch.Generator().manual_seed(0))
    for t in (ex.LAG, 40, ex.LENGTH - 1):
        np.testing.assert_array_equal(y[:, t - ex.LAG], (torch.sign(x[:, t]) == torch.sign(x[:, t - ex.LAG])).float())


def test_the_mark_decides_the_class_of_its_disc(monkeypatch):
    monkeypatch.setattr(ex, "NOISE", 0.0)
    pictures, labels = ex.discs(20, np.random.default_rng(0))
    assert set(np.unique(pictures[labels == 0])) == {0.0}
    assert set(np.unique(pictures[labels == 1])) == {0.5, 1.0}
    assert set(np.unique(pictures[labels == 2])) == {0.0, 0.5}
    assert np.sum((pictures != 0.5) & (labels > 0)) == 20 * 2 * 9


@pytest.mark.parametrize("kind", list(ex.DENSE_LAYERS))
def test_dense_networks_have_equal_parameters_and_answer_every_pixel(kind):
    network = ex.DenseNetwork(ex.DENSE_LAYERS[kind])
    assert sum(p.numel() for p in network.parameters()) == 5391
    pictures, _ = ex.discs(2, np.random.default_rng(0))
    assert ex.answers(network, pictures).shape == (2, ex.SIDE, ex.SIDE)


def test_a_few_steps_teach_something():
    result = ex.train_memory("dilated", steps=40)
    assert result["losses"].shape == (2,)
    assert np.isfinite(result["losses"]).all()
    pictures, labels = ex.discs(10, np.random.default_rng(5))
    found = ex.answers(ex.train_dense("strided", steps=60), pictures)
    assert np.mean((found > 0) == (labels > 0)) > np.mean(labels == 0) + 0.05
