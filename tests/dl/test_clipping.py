"""Clipping against torch.nn.utils, and what each kind keeps of the gradient."""

import numpy as np
import pytest
import torch

from scripts.dl import clipping

SHAPES = [(5, 4), (5,), (3, 2, 2, 2)]


def gradients(scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    return [scale * rng.standard_normal(shape) for shape in SHAPES]


def flat(arrays):
    return np.concatenate([a.ravel() for a in arrays])


def torch_parameters(grads):
    parameters = [torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in grads]
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.grad = torch.from_numpy(grad.copy())
    return parameters


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_global_norm_clipping_is_that_of_torch(scale):
    grads = gradients(scale)
    parameters = torch_parameters(grads)
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm=1.0)
    clipped, our_norm = clipping.clip_by_global_norm(grads, 1.0)
    assert our_norm == pytest.approx(norm.item(), rel=1e-14)
    # PyTorch divides by norm + 1e-6, we by the norm.
    for ours, parameter in zip(clipped, parameters, strict=True):
        assert np.allclose(ours, parameter.grad.numpy(), rtol=2e-6 / min(our_norm, 1.0), atol=0)


@pytest.mark.parametrize("c", [0.01, 1.0, 3.0])
def test_a_long_gradient_gets_norm_c_and_keeps_its_direction(c):
    grads = gradients(10.0)
    clipped, norm = clipping.clip_by_global_norm(grads, c)
    assert norm == pytest.approx(np.linalg.norm(flat(grads)), rel=1e-14)
    assert clipping.global_norm(clipped) == pytest.approx(c, rel=1e-14)
    assert flat(clipped) @ flat(grads) / (c * norm) == pytest.approx(1.0, abs=1e-14)


def test_a_short_gradient_is_left_alone():
    grads = gradients(1e-2)
    clipped, _ = clipping.clip_by_global_norm(grads, 1.0)
    assert all(np.array_equal(ours, grad) for ours, grad in zip(clipped, grads, strict=True))
    zeros, norm = clipping.clip_by_global_norm([np.zeros(3)], 1.0)
    assert norm == 0.0
    assert np.array_equal(zeros[0], np.zeros(3))


def test_the_norm_is_taken_over_all_tensors_together():
    clipped, norm = clipping.clip_by_global_norm([np.array([3.0]), np.array([[4.0]])], 1.0)
    assert norm == 5.0
    assert [g.item() for g in clipped] == pytest.approx([0.6, 0.8])


def test_inputs_stay_as_they_were():
    grads = gradients(10.0)
    before = [g.copy() for g in grads]
    clipping.clip_by_global_norm(grads, 1.0)
    clipping.clip_by_value(grads, 0.1)
    clipping.adaptive_clip(grads, before, 0.01)
    assert all(np.array_equal(g, b) for g, b in zip(grads, before, strict=True))


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_non_finite_gradient_is_refused(broken):
    with pytest.raises(FloatingPointError):
        clipping.clip_by_global_norm([np.array([1.0, broken])], 1.0)


@pytest.mark.parametrize("c", [0.0, -1.0, np.nan])
def test_a_threshold_must_be_positive(c):
    for call in (
        lambda: clipping.clip_by_global_norm(gradients(), c),
        lambda: clipping.clip_by_value(gradients(), c),
        lambda: clipping.adaptive_clip(gradients(), gradients(), c),
    ):
        with pytest.raises(ValueError, match="positive"):
            call()


def test_value_clipping_is_that_of_torch_and_turns_the_gradient():
    grads = gradients(2.0)
    parameters = torch_parameters(grads)
    torch.nn.utils.clip_grad_value_(parameters, 0.5)
    clipped = clipping.clip_by_value(grads, 0.5)
    for ours, parameter in zip(clipped, parameters, strict=True):
        assert np.array_equal(ours, parameter.grad.numpy())
    a, b = flat(grads), flat(clipped)
    assert a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) < 0.97


def test_adaptive_clipping_bounds_each_unit_by_its_own_weights():
    weights = [np.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]]), np.array([0.6, 0.8])]
    grads = [np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]), np.array([0.0, 0.05])]
    matrix, vector = clipping.adaptive_clip(grads, weights, c=0.1)
    # Norms 5, 0.5 and 0 (raised to eps = 1e-3) allow 0.5, 0.05 and 1e-4; the vector of norm 1 allows 0.1.
    assert matrix[:, 0] == pytest.approx([0.5, 0.05, 1e-4])
    assert np.array_equal(matrix[:, 1], np.zeros(3))
    assert np.array_equal(vector, grads[1])


def test_adaptive_clipping_takes_a_filter_as_a_unit():
    weights, grads = gradients(1.0, seed=1)[2:], gradients(1.0, seed=2)[2:]
    (clipped,) = clipping.adaptive_clip(grads, weights, c=0.01)
    for i in range(3):
        assert np.linalg.norm(clipped[i]) == pytest.approx(0.01 * np.linalg.norm(weights[0][i]), rel=1e-12)


def test_adaptive_clipping_rejects_shapes_that_do_not_match():
    with pytest.raises(ValueError, match="shape"):
        clipping.adaptive_clip([np.zeros((2, 3))], [np.zeros((3, 2))], 0.1)
    with pytest.raises(ValueError, match="longer|shorter"):
        clipping.adaptive_clip([np.zeros(2)], [], 0.1)
    assert np.array_equal(clipping.adaptive_clip([np.zeros((2, 3))], [np.ones((2, 3))], 0.1)[0], np.zeros((2, 3)))
