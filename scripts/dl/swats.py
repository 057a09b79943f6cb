"""SWATS, switching from Adam to SGD (Keskar & Socher, 2017, arXiv 1712.07628, algorithm 1).

While Adam works, each of its steps says which learning rate SGD would need; when that estimate agrees with its own
running average, SGD with momentum takes over with the average as its rate.
"""

import numpy as np

from scripts.dl.optimizers import SGD, Adam, Arrays


def _flat(arrays: Arrays) -> np.ndarray:
    return np.concatenate([np.ravel(a) for a in arrays])


# --8<-- [start:rate]
def projected_rate(p, g):
    """gamma for which the projection of -gamma g on p is p itself.

    None when p is at right angles to g or points uphill.
    """
    downhill = -(p @ g)
    return p @ p / downhill if downhill > 0 else None
    # --8<-- [end:rate]


class SWATS:
    """`parameters` are float arrays, changed in place by `.step(gradients)`; all of them switch at one moment.

    `tolerance` is relative: the switch happens when |Lambda - gamma| <= tolerance · Lambda, not before `earliest`
    steps. The paper compares the difference itself with a small constant and lets it happen from the second step; it
    also keeps negative estimates, of steps uphill, which are left out here.
    `.rates` and `.averages` are the histories of gamma_t (nan where there is none) and of its corrected average
    Lambda_t; `.switched_at` is the number of Adam steps before the switch, or None.
    """

    def __init__(
        self,
        parameters: Arrays,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        tolerance: float = 1e-3,
        earliest: int = 1,
    ):
        self.parameters = list(parameters)
        self.betas, self.tolerance, self.earliest = betas, tolerance, earliest
        self.optimizer: Adam | SGD = Adam(self.parameters, lr, betas, eps)
        self.rates: list[float] = []
        self.averages: list[float] = []
        self.switched_at: int | None = None
        self._average = self._weight = 0.0

    def step(self, gradients: Arrays) -> None:
        if self.switched_at is not None:
            self.optimizer.step(gradients)
            return
        before = _flat(self.parameters)
        self.optimizer.step(gradients)
        rate = projected_rate(_flat(self.parameters) - before, _flat(gradients))
        self._follow(rate)

    def _follow(self, rate: float | None) -> None:
        beta1, beta2 = self.betas
        if rate is not None:
            self._average = beta2 * self._average + (1 - beta2) * rate
            self._weight = beta2 * self._weight + (1 - beta2)
        corrected = self._average / self._weight if self._weight else float("nan")
        self.rates.append(float("nan") if rate is None else rate)
        self.averages.append(corrected)
        steps = len(self.rates)
        if rate is not None and steps > self.earliest and abs(corrected - rate) <= self.tolerance * corrected:
            self.switched_at = steps
            # SGD here sums gradients without the factor 1 - beta1, so the factor goes into the rate.
            self.optimizer = SGD(self.parameters, (1 - beta1) * corrected, momentum=beta1)
