"""A Wengert list (tape) of scalars, and both sweeps over it.

The list keeps, for every elementary operation v_i = phi_i(v_j, ...), its value and its local derivatives
d phi_i / d v_j (Wengert 1964; Griewank and Walther 2008, chapter 3). The tangent sweep reads it downwards, the adjoint
sweep upwards. Values may be floats, duals (`hessian_vector`) or variables of another tape (`gradient_program`).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from scripts.dl.forward_mode import Dual, as_dual, reciprocal


# --8<-- [start:tape]
@dataclass
class Line:
    """v_i = phi(v_j, ...): its value and d phi / d v_j."""

    operation: str
    value: object
    operands: tuple = ()  # indices j
    partials: tuple = ()


class Variable:
    """A place on the tape; arithmetic on it writes new lines."""

    def __init__(self, tape, *line):
        self.tape, self.index, self.value = tape, len(tape), line[1]
        tape.append(Line(*line))

    def __mul__(self, other):
        if not self.shares_tape(other):
            return self.scale(other)  # by a constant
        x, y = self.value, other.value
        places = self.index, other.index
        return Variable(self.tape, "product", x * y, places, (y, x))

    # --8<-- [end:tape]

    def scale(self, constant) -> "Variable":
        """Multiply by something that is not on this tape; a multiplication by one writes no line."""
        if isinstance(constant, float) and constant == 1.0:
            return self
        return Variable(self.tape, "scale", self.value * constant, (self.index,), (constant,))

    def __add__(self, other) -> "Variable":
        if not self.shares_tape(other):
            if isinstance(other, float) and other == 0.0:
                return self
            return Variable(self.tape, "shift", self.value + other, (self.index,), (1.0,))
        return Variable(self.tape, "sum", self.value + other.value, (self.index, other.index), (1.0, 1.0))

    def __sub__(self, other) -> "Variable":
        if not self.shares_tape(other):
            return self + -1.0 * other
        return Variable(self.tape, "sum", self.value - other.value, (self.index, other.index), (1.0, -1.0))

    def __rsub__(self, other) -> "Variable":
        return Variable(self.tape, "shift", other - self.value, (self.index,), (-1.0,))

    def __truediv__(self, other) -> "Variable":
        return self * reciprocal(other)

    def __rtruediv__(self, other) -> "Variable":
        return reciprocal(self) * other

    def apply(self, f: Callable, slope: Callable) -> "Variable":
        return Variable(self.tape, "function", f(self.value), (self.index,), (slope(self.value),))

    def shares_tape(self, other) -> bool:
        """Whether `other` is a variable of this tape; anything else is a constant to it."""
        return isinstance(other, Variable) and other.tape is self.tape

    __array_ufunc__ = None
    __radd__ = __add__
    __rmul__ = __mul__

    def __gt__(self, other) -> bool:
        return self.value > (other.value if isinstance(other, Variable) else other)

    def __lt__(self, other) -> bool:
        return self.value < (other.value if isinstance(other, Variable) else other)


def record(f: Callable, x: Sequence) -> tuple[list[Line], list[Variable]]:
    """The tape of f at x (its first len(x) lines are the inputs) and the outputs."""
    tape: list[Line] = []
    outputs = f([Variable(tape, "input", value) for value in x])
    return tape, [outputs] if isinstance(outputs, Variable) else list(outputs)


# --8<-- [start:sweeps]
def tangents(tape, seeds):
    """Downwards: dot v_i = seed_i + sum_j dphi_i/dv_j * dot v_j."""
    dots = []
    for i, line in enumerate(tape):
        dots.append(seeds.get(i, 0.0))
        for j, partial in zip(line.operands, line.partials, strict=True):
            dots[i] = dots[i] + partial * dots[j]
    return dots


def adjoints(tape, seeds):
    """Upwards: bar v_j = seed_j + sum_i bar v_i * dphi_i/dv_j."""
    bars = [seeds.get(i, 0.0) for i in range(len(tape))]
    for i in reversed(range(len(tape))):
        line = tape[i]
        for j, partial in zip(line.operands, line.partials, strict=True):
            bars[j] = bars[j] + partial * bars[i]
    return bars


# --8<-- [end:sweeps]


def gradient(f: Callable, x: Sequence) -> list:
    """The n partial derivatives of f: R^n -> R in one adjoint sweep."""
    tape, (output,) = record(f, x)
    return adjoints(tape, {output.index: 1.0})[: len(x)]


def jacobian_reverse(f: Callable, x: Sequence) -> np.ndarray:
    """The m by n Jacobian, a row a sweep: m sweeps over one tape."""
    tape, outputs = record(f, x)
    return np.array([adjoints(tape, {output.index: 1.0})[: len(x)] for output in outputs])


# --8<-- [start:hvp]
def hessian_vector(f, x, v):
    """H v, forward over reverse: the adjoint sweep on dual numbers."""
    tape, (y,) = record(f, [Dual(a, b) for a, b in zip(x, v, strict=True)])
    bars = adjoints(tape, {y.index: Dual(1.0)})
    return [as_dual(bar).tangent for bar in bars[: len(x)]]


def hessian_vector_reverse(f, x, v):
    """H v, reverse over reverse: the gradient of g(x)^T v."""

    def product(x):
        return sum(g * b for g, b in zip(gradient(f, x), v, strict=True))

    return gradient(product, x)


# --8<-- [end:hvp]


def gradient_program(f: Callable, x: Sequence[float]) -> tuple[list[Line], list[Variable]]:
    """The program that computes value and gradient of f, itself as a tape, and the n entries of the gradient."""
    tape: list[Line] = []
    return tape, gradient(f, [Variable(tape, "input", value) for value in x])


def derivative_program(f: Callable, x: float) -> tuple[list[Line], object]:
    """f'(x) of f: R -> R by the sum, product and chain rules, as a textbook writes it: a tape and its last entry.

    That is the tangent sweep on variables of another tape. Read as a formula it has the size of the symbolic
    derivative, (u v)' = u' v + u v' with nothing shared.
    """
    tape: list[Line] = []
    inner, (output,) = record(f, [Variable(tape, "input", x)])
    return tape, tangents(inner, {0: 1.0})[output.index]


@dataclass(frozen=True)
class Operations:
    """Scalar operations: of the program, of its local derivatives, of one tangent and of one adjoint sweep."""

    value: int
    slopes: int
    tangent: int
    adjoint: int

    @property
    def gradient(self) -> int:
        """The program and one adjoint sweep."""
        return self.value + self.slopes + self.adjoint

    @property
    def jvp(self) -> int:
        return self.value + self.slopes + self.tangent


# kind -> operations of the program, of its slopes, of a tangent step, and multiplications of an adjoint step. An
# elementary function and its derivative count as one operation each; nobody multiplies by ±1.
COSTS = {
    "input": (0, 0, 0, 0),
    "sum": (1, 0, 1, 0),
    "shift": (1, 0, 0, 0),
    "scale": (1, 0, 1, 1),
    "product": (1, 0, 3, 2),
    "function": (1, 1, 1, 1),
}


def operations(tape: Sequence[Line]) -> Operations:
    """Count what running `tape` and sweeping it once each way takes.

    In the adjoint sweep a line with c consumers takes c - 1 additions: the first contribution is only stored.
    """
    value, slopes, tangent, multiplications = (sum(COSTS[line.operation][part] for line in tape) for part in range(4))
    consumers = Counter(j for line in tape for j in line.operands)
    additions = sum(count - 1 for count in consumers.values())
    return Operations(value, slopes, tangent, multiplications + additions)


def expression_sizes(tape: Sequence[Line], output: int) -> tuple[int, int]:
    """Nodes of `output` as a graph, and as the formula written out, where shared parts are repeated."""
    written = [0] * len(tape)
    for i, line in enumerate(tape):
        written[i] = 1 + sum(written[j] for j in line.operands)
    needed, stack = set(), [output]
    while stack:
        i = stack.pop()
        if i not in needed:
            needed.add(i)
            stack.extend(tape[i].operands)
    return len(needed), written[output]
