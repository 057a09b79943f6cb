"""Time of one gradient, by backpropagation and by finite differences: measured once, drawn from the record.

A clock gives other digits each time, but a drawing has to come out the same; so `ticket_01.gradient_cost` draws
RECORDED. `python -m scripts.figures.gradient_times` measures anew and prints what to put there.
"""

import time
from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

from scripts.dl.activations import TANH
from scripts.dl.initialization import xavier_normal
from scripts.dl.losses import softmax_cross_entropy
from scripts.dl.mlp import MLP, Gradients

HIDDEN_WIDTHS = (13, 40, 133, 400, 1333)
BATCH = 256
TIMED_COORDINATES = 200

# CPU seconds of one thread, for each number of parameters.
RECORDED = {
    "sizes": (985, 3010, 9985, 30010, 99985),
    "backprop": (8.9e-05, 0.000146, 0.000827, 0.00189, 0.00819),
    "differences": (0.052, 0.24, 3.85, 14.5, 371),
}


def measure() -> dict[str, tuple[float, ...]]:
    """CPU seconds of one thread for a gradient of a 64-h-10 network on 256 objects, both ways, for each width h.

    Finite differences perturb every parameter once (|theta| + 1 forward passes); beyond 200 parameters only 200
    randomly chosen ones are timed and the time is scaled up.
    """
    X = np.random.default_rng(0).random((BATCH, 64))
    Y = np.eye(10)[np.arange(BATCH) % 10]
    sizes, backprop, differences = [], [], []
    with threadpool_limits(1):
        for width in HIDDEN_WIDTHS:
            network = MLP((64, width, 10), TANH, xavier_normal, np.random.default_rng(0))
            sizes.append(parameter_count(network))
            backprop.append(_least_time(lambda net=network: _gradient(net, X, Y), repeats=15))
            forwards = min(sizes[-1], TIMED_COORDINATES)
            seconds = _least_time(lambda net=network, n=forwards: _differences(net, X, Y, n), repeats=1)
            differences.append(seconds * (sizes[-1] + 1) / (forwards + 1))
    return {"sizes": tuple(sizes), "backprop": tuple(backprop), "differences": tuple(differences)}


def parameter_count(network: MLP) -> int:
    return sum(array.size for array in network.weights + network.biases)


def _gradient(network: MLP, X: np.ndarray, Y: np.ndarray) -> Gradients:
    return network.backward(softmax_cross_entropy(network.forward(X), Y)[1])


def _differences(network: MLP, X: np.ndarray, Y: np.ndarray, coordinates: int, h: float = 1.5e-8) -> np.ndarray:
    """Forward differences in the first `coordinates` parameters of a random order."""
    base, _ = softmax_cross_entropy(network.forward(X), Y)
    places = [(array, i) for array in network.weights + network.biases for i in np.ndindex(array.shape)]
    chosen = np.random.default_rng(0).permutation(len(places))[:coordinates]
    result = np.empty(coordinates)
    for k, (array, i) in enumerate(places[index] for index in chosen):
        kept = array[i]
        array[i] = kept + h
        result[k] = (softmax_cross_entropy(network.forward(X), Y)[0] - base) / h
        array[i] = kept
    return result


def _least_time(function: Callable[[], object], repeats: int) -> float:
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


if __name__ == "__main__":
    for name, values in measure().items():
        print(f'    "{name}": ({", ".join(f"{value:.3g}" if value < 900 else f"{value:.0f}" for value in values)}),')
