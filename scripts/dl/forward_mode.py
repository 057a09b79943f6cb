"""Forward-mode automatic differentiation with dual numbers.

A dual number a + b eps, eps^2 = 0, carries a value and its tangent (derivative along one direction) through a program
(Wengert 1964; Baydin et al. 2018, arXiv 1502.05767, section 3.1). Values may be floats, complex numbers or anything
else with arithmetic, another `Dual` included: that is how second derivatives are taken. The functions `sin`, `exp`, …
accept floats, duals and the variables of `scripts.dl.wengert` alike.

There is one eps for all, so nested derivatives of *open* functions confuse their perturbations (Siskind and Pearlmutter
2005); real systems give each derivative a tag of its own.
"""

from collections.abc import Callable, Sequence

import numpy as np


# --8<-- [start:dual]
class Dual:
    """value + tangent * eps, where eps * eps = 0."""

    def __init__(self, value, tangent=0.0):
        self.value, self.tangent = value, tangent

    def __add__(self, other):
        y = as_dual(other)
        return Dual(self.value + y.value, self.tangent + y.tangent)

    def __mul__(self, other):
        y = as_dual(other)
        tangent = self.tangent * y.value + self.value * y.tangent
        return Dual(self.value * y.value, tangent)

    def apply(self, f, derivative):
        """f(a + b eps) = f(a) + f'(a) b eps."""
        slope = derivative(self.value)
        return Dual(f(self.value), slope * self.tangent)

    # --8<-- [end:dual]

    # Without this, `number * dual` with a NumPy number would not reach `__rmul__`.
    __array_ufunc__ = None
    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> "Dual":
        return self * -1.0

    def __sub__(self, other) -> "Dual":
        return self + -as_dual(other)

    def __rsub__(self, other) -> "Dual":
        return as_dual(other) - self

    def __truediv__(self, other) -> "Dual":
        return self * reciprocal(as_dual(other))

    def __rtruediv__(self, other) -> "Dual":
        return as_dual(other) / self

    def __gt__(self, other) -> bool:
        """Comparisons look at values alone, so that `if` takes the branch of the plain program."""
        return self.value > as_dual(other).value

    def __lt__(self, other) -> bool:
        return self.value < as_dual(other).value

    def __repr__(self) -> str:
        return f"Dual({self.value!r}, {self.tangent!r})"


def as_dual(value) -> Dual:
    """`value` itself if it is a dual, otherwise a constant: tangent 0."""
    return value if isinstance(value, Dual) else Dual(value)


# --8<-- [start:jvp]
def jvp(f, x, v):
    """f(x) and J v: one pass, x and v are lists of n numbers."""
    inputs = [Dual(a, b) for a, b in zip(x, v, strict=True)]
    outputs = [as_dual(y) for y in f(inputs)]
    return [y.value for y in outputs], [y.tangent for y in outputs]


def jacobian_forward(f, x):
    """The m by n Jacobian, a column a pass: n passes."""
    columns = [jvp(f, x, unit)[1] for unit in np.eye(len(x))]
    return np.array(columns).T


# --8<-- [end:jvp]


def derivative(f: Callable, x):
    """f'(x) of a function of one number; nest it for higher derivatives (see the module about eps)."""
    return as_dual(f(Dual(x, 1.0))).tangent


def second_derivative(f: Callable, x: Sequence[float], u: Sequence[float], v: Sequence[float]) -> float:
    """u^T H v of f: R^n -> R by duals of duals: the coefficient of eps1 eps2."""
    inputs = [Dual(Dual(a, b), Dual(c, 0.0)) for a, b, c in zip(x, u, v, strict=True)]
    return as_dual(as_dual(f(inputs)).tangent).tangent


def primitive(f: Callable, slope: Callable) -> Callable:
    """A function of one number that also differentiates itself: `slope` is its derivative, made of primitives."""

    def function(x):
        return x.apply(function, slope) if hasattr(x, "apply") else f(x)

    return function


sin = primitive(np.sin, lambda x: cos(x))
cos = primitive(np.cos, lambda x: -1.0 * sin(x))
exp = primitive(np.exp, lambda x: exp(x))
log = primitive(np.log, lambda x: reciprocal(x))
tanh = primitive(np.tanh, lambda x: 1.0 - tanh(x) * tanh(x))
sqrt = primitive(np.sqrt, lambda x: 0.5 * reciprocal(sqrt(x)))
relu = primitive(lambda x: x if x > 0 else 0.0 * x, lambda x: 1.0 if x > 0 else 0.0)
reciprocal = primitive(lambda x: 1.0 / x, lambda x: -1.0 * reciprocal(x) * reciprocal(x))
