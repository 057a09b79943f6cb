"""Low-rank adaptation against autograd, torch's convolutions and the plain layer."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import lora


def layer(rank=3, alpha=5.0, d_out=4, d_in=6, trained=True):
    rng = np.random.default_rng(0)
    made = lora.LoRALinear(rng.standard_normal((d_out, d_in)), rng.standard_normal(d_out), rank, alpha, rng)
    if trained:
        made.B = rng.standard_normal(made.B.shape)
    return made, rng


def test_against_autograd():
    made, rng = layer()
    x, bar = rng.standard_normal((7, 6)), rng.standard_normal((7, 4))
    leaves = [torch.tensor(v, requires_grad=True) for v in (x, made.A, made.B)]
    W = torch.tensor(made.W0) + 5.0 / 3 * leaves[2] @ leaves[1]
    W.retain_grad()
    y = F.linear(leaves[0], W, torch.tensor(made.b))
    y.backward(torch.tensor(bar))
    np.testing.assert_allclose(made.forward(x), y.detach().numpy(), atol=1e-12)
    for ours, theirs in zip(made.backward(bar), leaves, strict=True):
        np.testing.assert_allclose(ours, theirs.grad.numpy(), atol=1e-12)
    G = W.grad.numpy()  # the gradient that is never formed
    _, bar_A, bar_B = made.backward(bar)
    np.testing.assert_allclose(bar_B, 5 / 3 * G @ made.A.T, atol=1e-12)
    np.testing.assert_allclose(bar_A, 5 / 3 * made.B.T @ G, atol=1e-12)


def test_merged_is_the_same_layer():
    made, rng = layer()
    x = rng.standard_normal((7, 6))
    np.testing.assert_allclose(x @ made.merged().T + made.b, made.forward(x), atol=1e-12)


def test_starts_at_the_pretrained_layer_and_moves_B_only():
    made, rng = layer(trained=False)
    x, bar = rng.standard_normal((7, 6)), rng.standard_normal((7, 4))
    np.testing.assert_array_equal(made.merged(), made.W0)
    np.testing.assert_array_equal(made.forward(x), x @ made.W0.T + made.b)
    _, bar_A, bar_B = made.backward(bar)
    assert not bar_A.any()
    assert bar_B.any()


@pytest.mark.parametrize("rank", [0, 5])
def test_rank_must_fit(rank):
    with pytest.raises(ValueError, match="does not fit"):
        layer(rank=rank)


def test_counts():
    assert lora.lora_parameters(4096, 4096, 8) == 65_536
    made, _ = layer()
    assert lora.lora_parameters(4, 6, 3) == made.A.size + made.B.size


def test_convolution_update_is_two_convolutions():
    rng = np.random.default_rng(0)
    r, c_in, c_out, k = 2, 3, 5, 3
    A, B = rng.standard_normal((r, c_in * k * k)), rng.standard_normal((c_out, r))
    x = torch.tensor(rng.standard_normal((2, c_in, 8, 8)))
    once = F.conv2d(x, torch.tensor(lora.convolution_update(A, B, 0.5, k)), padding=1)
    low = F.conv2d(x, torch.tensor(A.reshape(r, c_in, k, k)), padding=1)
    twice = 0.5 * F.conv2d(low, torch.tensor(B[:, :, None, None]))
    torch.testing.assert_close(once, twice)


def test_truncated_is_the_nearest_of_its_rank():
    rng = np.random.default_rng(0)
    M = rng.standard_normal((6, 8))
    near = lora.truncated(M, 2)
    assert np.linalg.matrix_rank(near) == 2
    singular = np.linalg.svd(M, compute_uv=False)
    assert np.linalg.norm(M - near) == pytest.approx(np.sqrt(np.sum(singular[2:] ** 2)))
    np.testing.assert_allclose(lora.truncated(M, 6), M, atol=1e-12)
    assert not lora.truncated(M, 0).any()
