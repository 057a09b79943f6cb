"""Scores by their formulas, gradients against autograd, masks."""

import numpy as np
import pytest
import torch

from scripts.dl import attention_scores as att

B, T, U, N, M, A = 2, 6, 3, 5, 4, 7


def gaussian(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.fixture
def additive():
    return {
        "S": gaussian(B, U, M, seed=1), "H": gaussian(B, T, N, seed=2), "W_s": gaussian(A, M, seed=3),
        "W_h": gaussian(A, N, seed=4), "v": gaussian(A, seed=5),
    }  # fmt: skip


def test_scores_by_formula(additive):
    S, H, W = additive["S"], additive["H"], gaussian(M, N, seed=6)
    E, general = att.additive_scores(**additive), att.general_scores(S, H, W)
    same = att.dot_scores(S, H[..., :M])
    for b, u, j in np.ndindex(B, U, T):
        inner = np.tanh(additive["W_s"] @ S[b, u] + additive["W_h"] @ H[b, j])
        assert E[b, u, j] == pytest.approx(additive["v"] @ inner)
        assert general[b, u, j] == pytest.approx(S[b, u] @ W @ H[b, j])
        assert same[b, u, j] == pytest.approx(S[b, u] @ H[b, j, :M])


def test_gradients_are_those_of_autograd(additive):
    C_bar = gaussian(B, U, N, seed=7)
    mask = np.arange(T) < np.array([4, T])[:, None, None]
    E = att.additive_scores(**additive)
    C, alpha = att.attend(E, additive["H"], mask)
    E_bar, H_bar = att.attend_backward(C_bar, alpha, additive["H"])
    bars = att.additive_backward(E_bar, **additive)
    bars["H"] = bars["H"] + H_bar

    t = {name: torch.tensor(array, requires_grad=True) for name, array in additive.items()}
    scores = torch.tanh((t["S"] @ t["W_s"].T)[:, :, None] + (t["H"] @ t["W_h"].T)[:, None]) @ t["v"]
    weights = scores.masked_fill(~torch.tensor(mask), -torch.inf).softmax(dim=-1)
    contexts = weights @ t["H"]
    contexts.backward(torch.tensor(C_bar))
    np.testing.assert_allclose(C, contexts.detach(), atol=1e-12)
    for name, tensor in t.items():
        np.testing.assert_allclose(bars[name], tensor.grad, atol=1e-12)


def test_weights_are_a_distribution_over_the_tokens(additive):
    mask = np.arange(T) < np.array([4, T])[:, None, None]
    C, alpha = att.attend(att.additive_scores(**additive), additive["H"], mask)
    np.testing.assert_allclose(alpha.sum(axis=-1), 1)
    assert np.all(alpha[0, :, 4:] == 0)  # padding
    H = additive["H"]  # in the convex hull, hence in its bounding box
    low, high = H.min(axis=1, keepdims=True), H.max(axis=1, keepdims=True)
    assert np.all((low <= C) & (high >= C))
    shorter, _ = att.attend(att.additive_scores(**additive)[:1, :, :4], H[:1, :4])
    np.testing.assert_allclose(C[:1], shorter)  # padding changes nothing


def test_bad_masks_are_refused():
    with pytest.raises(ValueError, match="without tokens"):
        att.attend(np.zeros((1, 2)), np.zeros((2, 3)), np.zeros((1, 2), dtype=bool))
    with pytest.raises(TypeError, match="Boolean"):
        att.attend(np.zeros((1, 2)), np.zeros((2, 3)), np.ones((1, 2)))
