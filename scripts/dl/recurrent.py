"""Recurrent cells – Elman's RNN, LSTM, GRU – forward and by backpropagation through time (BPTT).

A sequence is an array `(T, B, d)`: steps, objects of the batch, features. The state of a cell is a tuple of arrays
`(B, H)`: `(h,)` for RNN and GRU, `(h, c)` for LSTM; its first member is the output. All weights are those of PyTorch
in its order of gates (LSTM: i, f, g, o; GRU: r, z, n), stacked by rows: `W_x` is (gates · H, d), `W_h` (gates · H, H),
`b` (gates · H,). Where PyTorch adds two biases, here there is one; GRU alone needs another, `b_hn` (H,), which the
reset gate multiplies.

Sources: Elman, 1990; Hochreiter & Schmidhuber, 1997, and Gers et al., 2000 (the forget gate); Cho et al., 2014
(arXiv 1406.1078), in the version of Chung et al., 2014, that PyTorch computes; Werbos, 1990 (BPTT).
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from scripts.dl.activations import sigmoid

State = tuple[np.ndarray, ...]
Parameters = dict[str, np.ndarray]


class Cell(Protocol):
    """What `unroll` and `bptt` need: one step of the recurrence, and its vector–Jacobian product."""

    params: Parameters

    def initial(self, batch: int) -> State:
        """The state of zeros."""

    def step(self, x: np.ndarray, state: State) -> tuple[State, tuple]:
        """The next state, and what `step_backward` needs."""

    def step_backward(self, state_bar: State, saved: tuple) -> tuple[np.ndarray, State, Parameters]:
        """Adjoints of x (B, d), of the previous state and of the parameters from the adjoint of the next state."""


# --8<-- [start:bptt]
def unroll(cell, X, state=None):
    """Outputs (T, B, H), last state, saved values of inputs X (T, B, d)."""
    state = cell.initial(X.shape[1]) if state is None else state
    outputs, saved = [], []
    for x in X:
        state, memory = cell.step(x, state)
        outputs.append(state[0])
        saved.append(memory)
    return np.stack(outputs), state, saved


def bptt(cell, saved, H_bar, state_bar=None):
    """Adjoints of X, of the first state, of the parameters."""
    if state_bar is None:  # nothing after the last step
        state_bar = cell.initial(H_bar.shape[1])
    grads = {name: np.zeros_like(w) for name, w in cell.params.items()}
    X_bar = []
    for h_bar, memory in zip(H_bar[::-1], saved[::-1], strict=True):
        state_bar = (state_bar[0] + h_bar, *state_bar[1:])  # loss + future
        x_bar, state_bar, step_grads = cell.step_backward(state_bar, memory)
        X_bar.append(x_bar)
        for name in grads:  # the same weights at each step: a sum
            grads[name] += step_grads[name]
    return np.stack(X_bar[::-1]), state_bar, grads


# --8<-- [end:bptt]


class _Recurrent:
    """Weights and checks that the three cells share."""

    gates = 1
    states = 1

    def __init__(self, **params: np.ndarray) -> None:
        """Raises ValueError where the shapes of the weights do not fit together."""
        self.params: Parameters = params
        rows, self.inputs = params["W_x"].shape
        self.hidden = params["W_h"].shape[1]
        expected = self.shapes(self.inputs, self.hidden)
        if {name: w.shape for name, w in params.items()} != expected:
            raise ValueError(f"weights for d={self.inputs}, H={self.hidden} must be {expected}, not of {rows} rows")

    @classmethod
    def shapes(cls, d: int, H: int) -> dict[str, tuple[int, ...]]:
        return {"W_x": (cls.gates * H, d), "W_h": (cls.gates * H, H), "b": (cls.gates * H,)}

    @classmethod
    def random(cls, d: int, H: int, rng: np.random.Generator) -> "_Recurrent":
        """All weights uniform on ±1/√H, as PyTorch draws them (its two biases summed into one, drawn once)."""
        bound = H**-0.5
        return cls(**{name: rng.uniform(-bound, bound, shape) for name, shape in cls.shapes(d, H).items()})

    @classmethod
    def from_torch(cls, arrays: Sequence[np.ndarray]) -> "_Recurrent":
        """From weight_ih, weight_hh, bias_ih, bias_hh of nn.RNNCell, nn.LSTMCell, or of one layer of nn.RNN, …"""
        W_x, W_h, b_x, b_h = (np.asarray(a, dtype=float) for a in arrays)
        return cls(W_x=W_x, W_h=W_h, b=b_x + b_h)

    def initial(self, batch: int) -> State:
        return tuple(np.zeros((batch, self.hidden)) for _ in range(self.states))

    def count(self) -> int:
        """The number of parameters."""
        return sum(w.size for w in self.params.values())

    def _affine_backward(self, delta, x, h):
        """Adjoints of x, h and the weights of delta's pre-activation x W_xᵀ + h W_hᵀ + b."""
        grads = {"W_x": delta.T @ x, "W_h": delta.T @ h, "b": delta.sum(axis=0)}
        return delta @ self.params["W_x"], delta @ self.params["W_h"], grads


class RNN(_Recurrent):
    """h_t = tanh(W_x x_t + W_h h_{t-1} + b)."""

    # --8<-- [start:rnn]
    def step(self, x, state):
        (h,) = state
        W_x, W_h, b = (self.params[name] for name in ("W_x", "W_h", "b"))
        new = np.tanh(x @ W_x.T + h @ W_h.T + b)
        return (new,), (x, h, new)

    def step_backward(self, state_bar, saved):
        (h_bar,), (x, h, new) = state_bar, saved
        delta = (1 - new**2) * h_bar
        grads = {"W_x": delta.T @ x, "W_h": delta.T @ h, "b": delta.sum(0)}
        W_x, W_h = self.params["W_x"], self.params["W_h"]
        return delta @ W_x, (delta @ W_h,), grads

    # --8<-- [end:rnn]


class LSTM(_Recurrent):
    """c_t = f ⊙ c_{t-1} + i ⊙ g, h_t = o ⊙ tanh(c_t); the gates see x_t and h_{t-1}."""

    gates = 4
    states = 2

    @classmethod
    def random(cls, d: int, H: int, rng: np.random.Generator, forget_bias: float | None = None) -> "LSTM":
        """As PyTorch; a `forget_bias` replaces the bias of the forget gate."""
        cell = super().random(d, H, rng)
        if forget_bias is not None:
            cell.params["b"][H : 2 * H] = forget_bias
        return cell

    # --8<-- [start:lstm]
    def step(self, x, state):
        h, c = state
        W_x, W_h, b = (self.params[name] for name in ("W_x", "W_h", "b"))
        i, f, g, o = np.split(x @ W_x.T + h @ W_h.T + b, 4, axis=1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        new_c = f * c + i * g
        new_h = o * np.tanh(new_c)
        return (new_h, new_c), (x, h, c, i, f, g, o, np.tanh(new_c))

    def step_backward(self, state_bar, saved):
        (h_bar, c_bar), (x, h, c, i, f, g, o, squashed) = state_bar, saved
        c_bar = c_bar + h_bar * o * (1 - squashed**2)
        i_bar, f_bar, g_bar = c_bar * g, c_bar * c, c_bar * i
        o_bar = h_bar * squashed
        deltas = (i_bar * i * (1 - i), f_bar * f * (1 - f),
                  g_bar * (1 - g**2), o_bar * o * (1 - o))  # fmt: skip
        delta = np.concatenate(deltas, axis=1)
        x_bar, h_bar, grads = self._affine_backward(delta, x, h)
        return x_bar, (h_bar, c_bar * f), grads  # c_bar * f: the carousel

    # --8<-- [end:lstm]

    def gate_values(self, x: np.ndarray, state: State) -> dict[str, np.ndarray]:
        """i, f, g, o (B, H) at one step."""
        _, (_, _, _, i, f, g, o, _) = self.step(x, state)
        return {"i": i, "f": f, "g": g, "o": o}


class GRU(_Recurrent):
    """h_t = (1 - z) ⊙ n + z ⊙ h_{t-1}, n = tanh(W_n x_t + b_n + r ⊙ (U_n h_{t-1} + b_hn)): z = 1 keeps the state.

    This is PyTorch's convention; Cho et al. apply r before the matrix, Chung et al. call 1 - z here by the name z.
    """

    gates = 3

    @classmethod
    def shapes(cls, d: int, H: int) -> dict[str, tuple[int, ...]]:
        return super().shapes(d, H) | {"b_hn": (H,)}

    @classmethod
    def random(cls, d: int, H: int, rng: np.random.Generator, keep_bias: float | None = None) -> "GRU":
        """As PyTorch; a `keep_bias` replaces the bias of the gate z."""
        cell = super().random(d, H, rng)
        if keep_bias is not None:
            cell.params["b"][H : 2 * H] = keep_bias
        return cell

    @classmethod
    def from_torch(cls, arrays: Sequence[np.ndarray]) -> "GRU":
        W_x, W_h, b_x, b_h = (np.asarray(a, dtype=float) for a in arrays)
        H = W_h.shape[1]
        return cls(W_x=W_x, W_h=W_h, b=b_x + np.where(np.arange(3 * H) < 2 * H, b_h, 0.0), b_hn=b_h[2 * H :])

    # --8<-- [start:gru]
    def step(self, x, state):
        (h,) = state
        p = self.params
        x_r, x_z, x_n = np.split(x @ p["W_x"].T + p["b"], 3, axis=1)
        h_r, h_z, h_n = np.split(h @ p["W_h"].T, 3, axis=1)
        h_n = h_n + p["b_hn"]
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        n = np.tanh(x_n + r * h_n)
        return ((1 - z) * n + z * h,), (x, h, r, z, n, h_n)

    # --8<-- [end:gru]

    def step_backward(self, state_bar: State, saved: tuple) -> tuple[np.ndarray, State, Parameters]:
        (h_bar,), (x, h, r, z, n, recurrent_n) = state_bar, saved
        delta_n = h_bar * (1 - z) * (1 - n**2)
        delta_z = h_bar * (h - n) * z * (1 - z)
        delta_r = delta_n * recurrent_n * r * (1 - r)
        delta_x = np.concatenate((delta_r, delta_z, delta_n), axis=1)
        delta_h = np.concatenate((delta_r, delta_z, delta_n * r), axis=1)
        grads = {
            "W_x": delta_x.T @ x,
            "W_h": delta_h.T @ h,
            "b": delta_x.sum(axis=0),
            "b_hn": (delta_n * r).sum(axis=0),
        }
        return delta_x @ self.params["W_x"], (delta_h @ self.params["W_h"] + h_bar * z,), grads


def reversed_within(X: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
    """Each object's first `lengths[b]` steps of X (T, B, d) in the reverse order; its padding stays where it is."""
    result = X.copy()
    for b, length in enumerate(lengths):
        result[:length, b] = X[:length, b][::-1]
    return result


def bidirectional(forward: Cell, backward: Cell, X: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
    """Outputs (T, B, 2H) of two independent cells, one reading each sequence from its end (Schuster & Paliwal, 1997).

    Beyond `lengths[b]` the outputs are those of padding and mean nothing.
    """
    left, _, _ = unroll(forward, X)
    right, _, _ = unroll(backward, reversed_within(X, lengths))
    return np.concatenate((left, reversed_within(right, lengths)), axis=2)


def forget_bias_chrono(longest: int, H: int, rng: np.random.Generator) -> np.ndarray:
    """Biases (H,) of the forget gate, log U[1, longest - 1]; those of the input gate are their negatives.

    Tallec & Ollivier, 2018 (arXiv 1804.11188, "chrono initialization"): the memory of
    the units is spread over the scales up to `longest`. Raises ValueError unless longest > 2.
    """
    if longest <= 2:
        raise ValueError(f"the longest dependency must exceed 2 steps, not {longest}")
    return np.log(rng.uniform(1, longest - 1, H))
