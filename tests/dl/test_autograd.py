import re
from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.dl import autograd
from scripts.dl.autograd import Tensor, topological_order

ROWS = np.array([2, 0, 2, 2])

# name -> the same formula for our tensors and for PyTorch's, on x (4, 3), y (4, 3) > 0, v (3,), W (5, 3), s (4, 1)
FORMULAS = {
    "add": lambda x, y, v, W, s: (x + y) * y,
    "sub": lambda x, y, v, W, s: (1.0 - x - y) * x,
    "mul": lambda x, y, v, W, s: x * y * x,
    "div": lambda x, y, v, W, s: x / y + 2.0 / y,
    "pow": lambda x, y, v, W, s: x**3 + y**-0.5,
    "neg": lambda x, y, v, W, s: -x * y,
    "broadcast a row": lambda x, y, v, W, s: (x + v) * v,
    "broadcast a column": lambda x, y, v, W, s: (x * s - s) * y,
    "broadcast a row against a column": lambda x, y, v, W, s: v * s + v,
    "matmul": lambda x, y, v, W, s: (x @ W.T) ** 2,
    "tanh": lambda x, y, v, W, s: x.tanh() * y,
    "sigmoid": lambda x, y, v, W, s: x.sigmoid() * y,
    "relu": lambda x, y, v, W, s: x.relu() * y,
    "exp, log": lambda x, y, v, W, s: x.exp() * y.log(),
    "sum": lambda x, y, v, W, s: x.sum() * y,
    "mean": lambda x, y, v, W, s: x.mean() * y * y.mean(),
    "reshape": lambda x, y, v, W, s: x.reshape(3, 4) * y.reshape(3, 4) * s.reshape(4),
    "slice": lambda x, y, v, W, s: x[1:3] * y[:2] * x[0],
    "gather with repeats": lambda x, y, v, W, s: W[ROWS] * x * v[ROWS % 3].sum(),
}


def leaves(seed=0):
    rng = np.random.default_rng(seed)
    positive = rng.uniform(0.5, 2, size=(4, 3))
    return [rng.normal(size=(4, 3)), positive, rng.normal(size=3), rng.normal(size=(5, 3)), rng.normal(size=(4, 1))]


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_operation_agrees_with_pytorch(name):
    ours = [Tensor(value) for value in leaves()]
    theirs = [torch.tensor(value, requires_grad=True) for value in leaves()]
    result, expected = (FORMULAS[name](*tensors).sum() for tensors in (ours, theirs))
    result.backward()
    expected.backward()
    np.testing.assert_allclose(result.data, expected.item(), rtol=1e-13)
    for mine, torchs in zip(ours, theirs, strict=True):
        wanted = np.zeros(mine.shape) if torchs.grad is None else torchs.grad.numpy()
        assert mine.grad.shape == mine.shape
        np.testing.assert_allclose(mine.grad, wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("axis", [0, 1, (0, 1), -1])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_reductions_along_axes(axis, keepdims, reduction):
    value = leaves()[0]
    ours, theirs = Tensor(value), torch.tensor(value, requires_grad=True)
    (getattr(ours, reduction)(axis, keepdims) ** 2).sum().backward()
    (getattr(theirs, reduction)(axis, keepdims) ** 2).sum().backward()
    np.testing.assert_allclose(ours.grad, theirs.grad.numpy(), rtol=1e-13)


def test_batched_matmul_broadcasts_like_pytorch():
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, 4, 3)), rng.normal(size=(3, 5))
    ours, theirs = [Tensor(a), Tensor(b)], [torch.tensor(v, requires_grad=True) for v in (a, b)]
    ((ours[0] @ ours[1]) ** 2).sum().backward()
    ((theirs[0] @ theirs[1]) ** 2).sum().backward()
    for mine, torchs in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.grad, torchs.grad.numpy(), rtol=1e-12)


def test_contributions_of_all_consumers_are_summed():
    x = Tensor(3.0)
    (x * x + x).backward()
    assert x.grad == 7.0


def test_a_node_is_visited_after_all_its_consumers():
    # The long path reaches x later than the short one; a naive depth-first walk would pass x's adjoint on too early.
    x = Tensor(2.0)
    y = x * 3.0
    z = y * y * y + y
    z.backward()
    assert x.grad == 3 * (3 * 6.0**2 + 1)
    order = topological_order(z)
    assert len(order) == len(set(order))
    assert all(order.index(operand) < order.index(node) for node in order for operand, _ in node.parents)


def test_repeated_backward_accumulates_in_every_node():
    x = Tensor(2.0)
    y = x * x
    z = y * 5.0
    z.backward()
    z.backward()
    assert (x.grad, y.grad, z.grad) == (40.0, 10.0, 2.0)


def test_deep_graphs_do_not_hit_the_recursion_limit():
    x = Tensor(1.0)
    y = x
    for _ in range(5000):
        y = y + 1.0
    y.backward()
    assert x.grad == 1.0


def test_an_array_on_the_left():
    x = Tensor(np.ones(3))
    result = np.array([1.0, 2.0, 3.0]) * x
    assert isinstance(result, Tensor)
    result.sum().backward()
    assert x.grad.tolist() == [1.0, 2.0, 3.0]


def test_misuse_is_refused():
    with pytest.raises(ValueError, match="scalar"):
        Tensor(np.ones(2)).backward()
    with pytest.raises(ValueError, match="matrices"):
        Tensor(np.ones(2)) @ Tensor(np.ones((2, 2)))


def test_the_core_shown_on_the_page_fits_in_sixty_lines():
    source = Path(autograd.__file__).read_text(encoding="utf-8")
    core = source.split("# --8<-- [start:core]\n")[1].split("# --8<-- [end:core]")[0]
    lines = [line for line in core.splitlines() if line.strip() and not re.match(r"\s*# --8<--", line)]
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 76
