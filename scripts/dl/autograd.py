"""Reverse-mode automatic differentiation on arrays, small enough to read in one sitting.

A `Tensor` is a node of the graph: its value, its adjoint and, for each operand, the vector-Jacobian product (VJP) that
carries the node's adjoint back to that operand. `backward` walks the nodes in reverse topological order and sums what
arrives (Linnainmaa 1976; Baydin et al. 2018, arXiv 1502.05767, section 3.2). The rest of the file is a table of VJPs.
"""

import numpy as np

from scripts.dl import activations


# --8<-- [start:core]
# --8<-- [start:order]
def topological_order(root):
    """All nodes under `root`, operands before their consumers."""
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        node, operands_done = stack.pop()
        if operands_done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((operand, False) for operand, _ in node.parents)
    return order


# --8<-- [end:order]


# --8<-- [start:tensor]
class Tensor:
    """A value, its adjoint, and the way back to its operands."""

    def __init__(self, data, parents=()):
        self.data = np.asarray(data, dtype=np.float64)
        self.grad = np.zeros_like(self.data)
        self.parents = parents  # pairs (operand, vjp)

    def backward(self):
        """Add the gradient of this scalar to `.grad` of every node."""
        if self.data.size != 1:
            raise ValueError("backward starts from a scalar")
        adjoint = {self: np.ones_like(self.data)}
        for node in reversed(topological_order(self)):
            bar = adjoint.pop(node)  # all consumers are done
            node.grad = node.grad + bar
            for operand, vjp in node.parents:  # contributions add up
                adjoint[operand] = adjoint.get(operand, 0.0) + vjp(bar)

    # --8<-- [end:tensor]

    # --8<-- [start:operations]
    def __add__(self, other):
        x, y = self, as_tensor(other)
        to_x = (x, lambda bar: unbroadcast(bar, x.shape))
        to_y = (y, lambda bar: unbroadcast(bar, y.shape))
        return Tensor(x.data + y.data, (to_x, to_y))

    def __mul__(self, other):
        x, y = self, as_tensor(other)
        to_x = (x, lambda bar: unbroadcast(bar * y.data, x.shape))
        to_y = (y, lambda bar: unbroadcast(bar * x.data, y.shape))
        return Tensor(x.data * y.data, (to_x, to_y))

    def tanh(self):
        a = np.tanh(self.data)
        return Tensor(a, [(self, lambda bar: bar * (1.0 - a**2))])

    # --8<-- [end:operations]
    # --8<-- [end:core]

    # Without this, `array + tensor` would build an array of tensors instead of calling `__radd__`.
    __array_ufunc__ = None
    __radd__ = __add__
    __rmul__ = __mul__

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def T(self) -> "Tensor":
        return Tensor(self.data.T, [(self, lambda bar: bar.T)])

    def __neg__(self) -> "Tensor":
        return self * -1.0

    def __sub__(self, other) -> "Tensor":
        return self + -as_tensor(other)

    def __rsub__(self, other) -> "Tensor":
        return as_tensor(other) - self

    def __truediv__(self, other) -> "Tensor":
        return self * as_tensor(other) ** -1.0

    def __rtruediv__(self, other) -> "Tensor":
        return as_tensor(other) / self

    def __pow__(self, exponent: float) -> "Tensor":
        """`exponent` is a constant."""
        return Tensor(self.data**exponent, [(self, lambda bar: bar * exponent * self.data ** (exponent - 1.0))])

    def __matmul__(self, other) -> "Tensor":
        """Matrix product of the last two axes; leading axes broadcast. Both operands need at least two axes."""
        other = as_tensor(other)
        if self.data.ndim < 2 or other.data.ndim < 2:
            raise ValueError(f"matmul needs matrices, got shapes {self.shape} and {other.shape}")
        return Tensor(self.data @ other.data, [
            (self, lambda bar: unbroadcast(bar @ other.data.swapaxes(-1, -2), self.shape)),
            (other, lambda bar: unbroadcast(self.data.swapaxes(-1, -2) @ bar, other.shape))])  # fmt: skip

    def exp(self) -> "Tensor":
        value = np.exp(self.data)
        return Tensor(value, [(self, lambda bar: bar * value)])

    def log(self) -> "Tensor":
        return Tensor(np.log(self.data), [(self, lambda bar: bar / self.data)])

    def sigmoid(self) -> "Tensor":
        value = activations.sigmoid(self.data)
        return Tensor(value, [(self, lambda bar: bar * activations.SIGMOID.derivative(self.data))])

    def relu(self) -> "Tensor":
        return Tensor(np.maximum(self.data, 0.0), [(self, lambda bar: bar * (self.data > 0))])

    def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> "Tensor":
        """The adjoint of a sum is a broadcast."""

        def vjp(bar: np.ndarray) -> np.ndarray:
            if axis is not None and not keepdims:
                bar = np.expand_dims(bar, axis)
            return np.broadcast_to(bar, self.shape)

        return Tensor(self.data.sum(axis=axis, keepdims=keepdims), [(self, vjp)])

    def mean(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> "Tensor":
        total = self.sum(axis, keepdims)
        return total * (total.data.size / self.data.size)

    def reshape(self, *shape: int) -> "Tensor":
        return Tensor(self.data.reshape(*shape), [(self, lambda bar: bar.reshape(self.shape))])

    def __getitem__(self, index) -> "Tensor":
        """Slices and integer arrays. The adjoint of a gather is a scatter-add: rows taken twice receive twice."""

        def vjp(bar: np.ndarray) -> np.ndarray:
            scattered = np.zeros_like(self.data)
            np.add.at(scattered, index, bar)
            return scattered

        return Tensor(self.data[index], [(self, vjp)])

    def __repr__(self) -> str:
        return f"Tensor({self.data!r})"


def as_tensor(value) -> Tensor:
    """`value` itself if it is a tensor, otherwise a constant leaf."""
    return value if isinstance(value, Tensor) else Tensor(value)


def unbroadcast(bar: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum `bar` over the axes along which an operand of `shape` was broadcast: the adjoint of broadcasting."""
    bar = bar.sum(axis=tuple(range(bar.ndim - len(shape))))
    stretched = tuple(axis for axis, size in enumerate(shape) if size == 1 and bar.shape[axis] != 1)
    return bar.sum(axis=stretched, keepdims=True)
