"""Attention against PyTorch, masks against their definitions."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import attention as att


def gaussian(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def qkv(T_q=4, T_k=6):
    return gaussian(2, 3, T_q, 5, seed=1), gaussian(2, 3, T_k, 5, seed=2), gaussian(2, 3, T_k, 7, seed=3)


MASKS = {"none": None, "causal": att.causal_mask(4, past=2), "padding": att.padding_mask([3, 6], 6)[:, None]}


@pytest.mark.parametrize("kind", MASKS)
def test_attention_and_its_gradients_are_those_of_pytorch(kind):
    arrays, mask, Y_bar = qkv(), MASKS[kind], gaussian(2, 3, 4, 7, seed=4)
    Y, A = att.attention(*arrays, mask)
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    expected = F.scaled_dot_product_attention(*tensors, attn_mask=None if mask is None else torch.tensor(mask))
    expected.backward(torch.tensor(Y_bar))
    np.testing.assert_allclose(Y, expected.detach(), atol=1e-12)
    np.testing.assert_allclose(A.sum(axis=-1), 1)
    for bar, tensor in zip(att.attention_backward(Y_bar, *arrays, A), tensors, strict=True):
        np.testing.assert_allclose(bar, tensor.grad, atol=1e-12)


def test_a_query_without_keys_and_a_numeric_mask_are_refused():
    mask = att.causal_mask(4, past=2).copy()
    mask[1] = False
    with pytest.raises(ValueError, match="nowhere"):
        att.attention(*qkv(), mask)
    with pytest.raises(TypeError, match="Boolean"):
        att.attention(*qkv(), np.zeros((4, 6)))


def test_masks_by_definition():
    T, past, prefix = 5, 2, 3
    for i in range(T):
        for j in range(T):
            assert att.causal_mask(T)[i, j] == (j <= i)
            assert att.prefix_mask(T, prefix)[i, j] == (j <= i or j < prefix)
        for j in range(past + T):
            assert att.causal_mask(T, past)[i, j] == (j <= past + i)
    np.testing.assert_array_equal(att.padding_mask([2, 0], 3), [[[True, True, False]], [[False, False, False]]])


def test_heads_split_and_merge():
    X = gaussian(2, 4, 6)
    heads = att.split_heads(X, 3)
    np.testing.assert_array_equal(heads[:, 1], X[..., 2:4])
    np.testing.assert_array_equal(att.merge_heads(heads), X)
    with pytest.raises(ValueError, match="do not divide"):
        att.split_heads(X, 4)
    with pytest.raises(ValueError, match="do not divide"):
        att.MultiHeadAttention(6, 4, np.random.default_rng(0))


def pair(d=12, heads=3):
    """Our layer with random biases, and PyTorch's with the same parameters."""
    rng = np.random.default_rng(0)
    own = att.MultiHeadAttention(d, heads, rng)
    own.parameters |= {f"b_{name}": rng.standard_normal(d) for name in own.PROJECTIONS}
    p = own.parameters
    theirs = torch.nn.MultiheadAttention(d, heads, batch_first=True, dtype=torch.float64)
    state = {
        "in_proj_weight": np.concatenate([p["W_Q"].T, p["W_K"].T, p["W_V"].T]),
        "in_proj_bias": np.concatenate([p["b_Q"], p["b_K"], p["b_V"]]),
        "out_proj.weight": p["W_O"].T,
        "out_proj.bias": p["b_O"],
    }
    theirs.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    return own, theirs


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_multi_head_is_that_of_pytorch(cross, masked):
    own, theirs = pair()
    X, context = gaussian(2, 4, 12, seed=5), gaussian(2, 6, 12, seed=6) if cross else None
    T_k = 6 if cross else 4
    mask = att.padding_mask([3, 4], T_k) if masked else None
    x = torch.tensor(X, requires_grad=True)
    c = torch.tensor(context, requires_grad=True) if cross else x
    hidden = None if mask is None else ~torch.tensor(mask[:, 0])
    expected, weights = theirs(x, c, c, key_padding_mask=hidden, average_attn_weights=False)
    np.testing.assert_allclose(own.forward(X, context, mask), expected.detach(), atol=1e-12)
    np.testing.assert_allclose(own.weights, weights.detach(), atol=1e-12)

    Y_bar = gaussian(2, 4, 12, seed=7)
    expected.backward(torch.tensor(Y_bar))
    X_bar, context_bar = own.backward(Y_bar)
    np.testing.assert_allclose(X_bar, x.grad, atol=1e-12)
    if cross:
        np.testing.assert_allclose(context_bar, c.grad, atol=1e-12)
    else:
        assert context_bar is None
    g = own.gradients
    joint = np.concatenate([g["W_Q"].T, g["W_K"].T, g["W_V"].T])
    np.testing.assert_allclose(joint, theirs.in_proj_weight.grad, atol=1e-11)
    np.testing.assert_allclose(g["W_O"].T, theirs.out_proj.weight.grad, atol=1e-11)
    np.testing.assert_allclose(np.concatenate([g["b_Q"], g["b_K"], g["b_V"]]), theirs.in_proj_bias.grad, atol=1e-11)
    np.testing.assert_allclose(g["b_O"], theirs.out_proj.bias.grad, atol=1e-11)


def test_backward_comes_after_forward():
    with pytest.raises(RuntimeError, match="forward"):
        att.MultiHeadAttention(4, 2, np.random.default_rng(0)).backward(gaussian(1, 3, 4))


def test_causal_outputs_do_not_see_the_future():
    own, _ = pair()
    X = gaussian(1, 6, 12)
    changed = X.copy()
    changed[:, 3] += 1
    before, after = (own.forward(rows, mask=att.causal_mask(6)) for rows in (X, changed))
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert (np.abs(before - after)[:, 3:].max(axis=-1) > 1e-3).all()
