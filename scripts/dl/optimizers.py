"""First-order optimisers, each as its update rule for one parameter tensor.

`SomeOptimizer(parameters, lr, …)` keeps references to the arrays; `.step(gradients)` changes them in place, gradients
in the same order and shapes. `.lr` may be reassigned between steps: that is all a schedule does. `.t` counts the steps
taken. Conventions (what epsilon is added to, where weight decay enters, the order of operations) are those of
`torch.optim`, against which the tests compare; where a paper differs, the docstring says so.
"""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

Arrays = Sequence[np.ndarray]


class Optimizer:
    """Common part: checks, the step counter and the state.

    `slots` names the running tensors an optimiser keeps beside each parameter; all start at zero and have the
    parameter's shape. Raises TypeError unless parameters are floating-point arrays, ValueError unless lr >= 0.
    """

    slots: tuple[str, ...] = ()

    def __init__(self, parameters: Arrays, lr: float):
        self.parameters = list(parameters)
        for w in self.parameters:
            if not isinstance(w, np.ndarray) or not np.issubdtype(w.dtype, np.floating):
                raise TypeError("parameters must be arrays of floating-point numbers: they are changed in place")
        if not lr >= 0:
            raise ValueError(f"the learning rate must not be negative: {lr}")
        self.lr = lr
        self.t = 0
        self.state = [SimpleNamespace(**{s: np.zeros_like(w) for s in self.slots}) for w in self.parameters]

    def step(self, gradients: Arrays) -> None:
        """One update of all parameters. Raises ValueError when a gradient's shape is not that of its parameter."""
        pairs = list(zip(self.parameters, gradients, strict=True))
        for w, g in pairs:
            if np.shape(g) != w.shape:
                raise ValueError(f"a gradient of shape {np.shape(g)} for a parameter of shape {w.shape}")
        self.t += 1
        for (w, g), s in zip(pairs, self.state, strict=True):
            self.update(w, g, s)

    def update(self, w: np.ndarray, g: np.ndarray, s: SimpleNamespace) -> None:
        raise NotImplementedError

    def state_numbers(self) -> int:
        """How many numbers of state are kept for one parameter."""
        return len(self.slots)


def _check_fraction(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name} must lie in [0, 1): {value}")


class SGD(Optimizer):
    """Stochastic gradient descent with momentum (Polyak, 1964) or Nesterov's momentum (Sutskever et al., 2013).

    The velocity sums gradients without the factor 1 - momentum, as in PyTorch, so the step grows 1 / (1 - momentum)
    times along a constant gradient. `weight_decay` is added to the gradient: for SGD that is the L2 penalty.
    """

    def __init__(
        self,
        parameters: Arrays,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ):
        _check_fraction(momentum=momentum)
        if nesterov and not momentum:
            raise ValueError("Nesterov's step needs a momentum")
        self.slots = ("v",) if momentum else ()
        super().__init__(parameters, lr)
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay

    # --8<-- [start:sgd]
    def update(self, w, g, s):
        """One parameter tensor w, its gradient g, its state s."""
        g = g + self.weight_decay * w
        if self.momentum:
            s.v = self.momentum * s.v + g  # no factor 1 - momentum
            g = g + self.momentum * s.v if self.nesterov else s.v
        w -= self.lr * g

    # --8<-- [end:sgd]


class AdaGrad(Optimizer):
    """AdaGrad, diagonal form (Duchi, Hazan & Singer, 2011): divide by the root of the sum of squared gradients."""

    slots = ("s",)

    def __init__(self, parameters: Arrays, lr: float = 1e-2, eps: float = 1e-10):
        super().__init__(parameters, lr)
        self.eps = eps

    # --8<-- [start:adagrad]
    def update(self, w, g, s):
        s.s += g**2  # only grows, so the step only shrinks
        w -= self.lr * g / (np.sqrt(s.s) + self.eps)

    # --8<-- [end:adagrad]


class RMSProp(Optimizer):
    """RMSProp (Tieleman & Hinton, 2012, lecture 6.5): a moving average of squares in place of AdaGrad's sum.

    As in PyTorch: no bias correction, epsilon outside the root, `alpha` the share of the past (0.99 there).
    """

    def __init__(
        self, parameters: Arrays, lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8, momentum: float = 0.0
    ):
        _check_fraction(alpha=alpha, momentum=momentum)
        self.slots = ("s", "v") if momentum else ("s",)
        super().__init__(parameters, lr)
        self.alpha, self.eps, self.momentum = alpha, eps, momentum

    # --8<-- [start:rmsprop]
    def update(self, w, g, s):
        s.s = self.alpha * s.s + (1 - self.alpha) * g**2
        step = g / (np.sqrt(s.s) + self.eps)
        if self.momentum:
            step = s.v = self.momentum * s.v + step
        w -= self.lr * step

    # --8<-- [end:rmsprop]


class Adadelta(Optimizer):
    """Adadelta (Zeiler, 2012, arXiv 1212.5701): the step has the units of the weights, so `lr` is 1 by default."""

    slots = ("s", "d")

    def __init__(self, parameters: Arrays, lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6):
        _check_fraction(rho=rho)
        super().__init__(parameters, lr)
        self.rho, self.eps = rho, eps

    def update(self, w: np.ndarray, g: np.ndarray, s: SimpleNamespace) -> None:
        s.s = self.rho * s.s + (1 - self.rho) * g**2
        step = np.sqrt(s.d + self.eps) / np.sqrt(s.s + self.eps) * g
        s.d = self.rho * s.d + (1 - self.rho) * step**2
        w -= self.lr * step


class Adam(Optimizer):
    """Adam (Kingma & Ba, 2015, arXiv 1412.6980, algorithm 1); `weight_decay` here is the L2 penalty in the gradient.

    `correct=False` leaves out the bias correction. `amsgrad` divides by the largest v so far (Reddi et al., 2018,
    arXiv 1904.09237, algorithm 2); as in PyTorch the correction stays, while the paper has none.
    """

    decoupled = False

    def __init__(
        self,
        parameters: Arrays,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        correct: bool = True,
    ):
        _check_fraction(beta1=betas[0], beta2=betas[1])
        self.slots = ("m", "v", "v_max") if amsgrad else ("m", "v")
        super().__init__(parameters, lr)
        self.beta1, self.beta2 = betas
        self.eps, self.weight_decay = eps, weight_decay
        self.amsgrad, self.correct = amsgrad, correct

    # --8<-- [start:adam]
    def update(self, w, g, s):
        """One step; self.t is 1 at the first of them."""
        if self.decoupled:
            w *= 1 - self.lr * self.weight_decay  # AdamW: past m and v
        else:
            g = g + self.weight_decay * w  # L2: goes into m and v
        s.m = self.beta1 * s.m + (1 - self.beta1) * g
        s.v = self.beta2 * s.v + (1 - self.beta2) * g**2
        m, v = s.m, s.v
        if self.amsgrad:
            v = s.v_max = np.maximum(s.v_max, v)
        if self.correct:
            m = m / (1 - self.beta1**self.t)
            v = v / (1 - self.beta2**self.t)
        w -= self.lr * m / (np.sqrt(v) + self.eps)

    # --8<-- [end:adam]


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019, arXiv 1711.05101, algorithm 2), PyTorch's form:
    the decay is multiplied by the learning rate. The default decay is PyTorch's 0.01."""

    decoupled = True

    def __init__(
        self,
        parameters: Arrays,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ):
        super().__init__(parameters, lr, betas, eps, weight_decay, amsgrad)


class NAdam(Optimizer):
    """NAdam (Dozat, 2016): Adam whose momentum looks ahead; PyTorch's form with the momentum schedule `decay`."""

    slots = ("m", "v")

    def __init__(
        self,
        parameters: Arrays,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        decay: float = 4e-3,
    ):
        _check_fraction(beta1=betas[0], beta2=betas[1])
        super().__init__(parameters, lr)
        self.beta1, self.beta2 = betas
        self.eps, self.decay = eps, decay
        self._product = 1.0

    def _momentum(self, t: int) -> float:
        return self.beta1 * (1 - 0.5 * 0.96 ** (t * self.decay))

    def step(self, gradients: Arrays) -> None:
        previous = self._product
        self._product *= self._momentum(self.t + 1)
        try:
            super().step(gradients)
        except ValueError:
            self._product = previous
            raise

    def update(self, w: np.ndarray, g: np.ndarray, s: SimpleNamespace) -> None:
        now, following = self._momentum(self.t), self._momentum(self.t + 1)
        s.m = self.beta1 * s.m + (1 - self.beta1) * g
        s.v = self.beta2 * s.v + (1 - self.beta2) * g**2
        m = (1 - now) / (1 - self._product) * g + following / (1 - self._product * following) * s.m
        w -= self.lr * m / (np.sqrt(s.v / (1 - self.beta2**self.t)) + self.eps)


class RAdam(Optimizer):
    """RAdam (Liu et al., 2020, arXiv 1908.03265, algorithm 2): momentum alone until the variance of 1 / sqrt(v) exists,
    then Adam with a rectifying factor, which acts as a built-in warm-up."""

    slots = ("m", "v")

    def __init__(
        self, parameters: Arrays, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ):
        _check_fraction(beta1=betas[0], beta2=betas[1])
        super().__init__(parameters, lr)
        self.beta1, self.beta2 = betas
        self.eps = eps

    def rectification(self, t: int) -> float | None:
        """The factor r_t of step t >= 1, or None while the step is not adaptive."""
        limit = 2 / (1 - self.beta2) - 1
        length = limit - 2 * t * self.beta2**t / (1 - self.beta2**t)
        if length <= 5:
            return None
        ratio = (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)
        return float(np.sqrt(ratio))

    def update(self, w: np.ndarray, g: np.ndarray, s: SimpleNamespace) -> None:
        s.m = self.beta1 * s.m + (1 - self.beta1) * g
        s.v = self.beta2 * s.v + (1 - self.beta2) * g**2
        step = s.m / (1 - self.beta1**self.t)
        factor = self.rectification(self.t)
        if factor is not None:
            step = step * factor * np.sqrt(1 - self.beta2**self.t) / (np.sqrt(s.v) + self.eps)
        w -= self.lr * step


class Lion(Optimizer):
    """Lion (Chen et al., 2023, arXiv 2302.06675, algorithm 2): the sign of a mixture of momentum and gradient."""

    slots = ("m",)

    def __init__(
        self, parameters: Arrays, lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0
    ):
        _check_fraction(beta1=betas[0], beta2=betas[1])
        super().__init__(parameters, lr)
        self.beta1, self.beta2 = betas
        self.weight_decay = weight_decay

    # --8<-- [start:lion]
    def update(self, w, g, s):
        direction = np.sign(self.beta1 * s.m + (1 - self.beta1) * g)
        s.m = self.beta2 * s.m + (1 - self.beta2) * g
        w -= self.lr * (direction + self.weight_decay * w)

    # --8<-- [end:lion]


class LAMB(Optimizer):
    """LAMB (You et al., 2020, arXiv 1904.00962, algorithm 2): Adam's step of each tensor, rescaled to the norm of its
    weights. The ratio is 1 while either norm is zero; the scaling function of the paper is the identity."""

    slots = ("m", "v")

    def __init__(
        self,
        parameters: Arrays,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ):
        _check_fraction(beta1=betas[0], beta2=betas[1])
        super().__init__(parameters, lr)
        self.beta1, self.beta2 = betas
        self.eps, self.weight_decay = eps, weight_decay

    def update(self, w: np.ndarray, g: np.ndarray, s: SimpleNamespace) -> None:
        s.m = self.beta1 * s.m + (1 - self.beta1) * g
        s.v = self.beta2 * s.v + (1 - self.beta2) * g**2
        m, v = s.m / (1 - self.beta1**self.t), s.v / (1 - self.beta2**self.t)
        step = m / (np.sqrt(v) + self.eps) + self.weight_decay * w
        weight_norm, step_norm = np.linalg.norm(w), np.linalg.norm(step)
        ratio = weight_norm / step_norm if weight_norm > 0 and step_norm > 0 else 1.0
        w -= self.lr * ratio * step


class Muon(Optimizer):
    """Muon (Jordan et al., 2024) for matrices (d_out, d_in): Nesterov momentum replaced by a nearly orthogonal matrix.

    Here the step is the plain lr times the orthogonal factor; scalings by the matrix's shape differ between
    implementations. Raises ValueError for parameters that are not matrices: vectors are trained by another optimiser.
    """

    slots = ("v",)

    def __init__(self, parameters: Arrays, lr: float = 2e-2, momentum: float = 0.95):
        _check_fraction(momentum=momentum)
        super().__init__(parameters, lr)
        if any(w.ndim != 2 for w in self.parameters):
            raise ValueError("Muon is for matrices only")
        self.momentum = momentum

    def update(self, w: np.ndarray, g: np.ndarray, s: SimpleNamespace) -> None:
        s.v = self.momentum * s.v + g
        w -= self.lr * newton_schulz(g + self.momentum * s.v)


def newton_schulz(matrix: np.ndarray, steps: int = 5) -> np.ndarray:
    """U V^T of the thin SVD of `matrix` = U S V^T, roughly: singular values land in about [0.7, 1.2], without any SVD.

    Each step applies the odd polynomial a s + b s^3 + c s^5 to the singular values (coefficients of Jordan et al.).
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    X = wide / (np.linalg.norm(wide) + 1e-7)
    for _ in range(steps):
        gram = X @ X.T
        X = a * X + (b * gram + c * gram @ gram) @ X
    return X.T if matrix.shape[0] > matrix.shape[1] else X


class WeightAverage:
    """A running average of the weights: exponential (`decay` given) or of all updates alike, as in SWA (`decay=None`).

    `average` holds copies; call `update()` after a step. SWA: Izmailov et al., 2018, arXiv 1803.05407.
    """

    def __init__(self, parameters: Arrays, decay: float | None = None):
        if decay is not None:
            _check_fraction(decay=decay)
        self.parameters = list(parameters)
        self.average = [w.copy() for w in self.parameters]
        self.decay = decay
        self.count = 1

    def update(self) -> None:
        self.count += 1
        share = 1 / self.count if self.decay is None else 1 - self.decay
        for average, w in zip(self.average, self.parameters, strict=True):
            average += share * (w - average)


OPTIMIZERS = {
    optimizer.__name__: optimizer
    for optimizer in (SGD, AdaGrad, RMSProp, Adadelta, Adam, AdamW, NAdam, RAdam, Lion, LAMB, Muon)
}
