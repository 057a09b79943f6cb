"""Learning-rate schedules: functions of the step number.

Each function here returns `eta(t) -> float`, the learning rate of step t = 0, 1, 2, …; assign it to `optimizer.lr`
before that step. `total` is the number of steps T the schedule is stretched over; past its end a schedule keeps its
last value unless said otherwise.
"""

import math
from collections.abc import Callable

Schedule = Callable[[int], float]


def _check(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive: {value}")


def constant(lr: float) -> Schedule:
    """The same rate at every step."""
    return lambda t: lr


def step_decay(lr: float, every: int, gamma: float = 0.1) -> Schedule:
    """Multiply by `gamma` after every `every` steps (PyTorch's StepLR)."""
    _check(every=every)
    return lambda t: lr * gamma ** (t // every)


def exponential(lr: float, gamma: float) -> Schedule:
    """lr · gamma^t."""
    return lambda t: lr * gamma**t


def inverse(lr: float, scale: float) -> Schedule:
    """lr / (1 + t / scale): sums to infinity while its squares do not (Robbins & Monro, 1951)."""
    _check(scale=scale)
    return lambda t: lr / (1 + t / scale)


def linear(lr: float, total: int, lr_min: float = 0.0) -> Schedule:
    """A straight line from `lr` at t = 0 down to `lr_min` at t = total."""
    _check(total=total)
    return lambda t: lr + (lr_min - lr) * min(t / total, 1.0)


# --8<-- [start:cosine]
def cosine(lr, total, lr_min=0.0):
    """Half a cosine wave from lr at t = 0 to lr_min at t = total."""
    _check(total=total)

    def eta(t):
        phase = math.pi * min(t / total, 1.0)
        return lr_min + 0.5 * (lr - lr_min) * (1 + math.cos(phase))

    return eta


def with_warmup(schedule, steps):
    """Grow linearly over `steps` steps, then follow the schedule."""

    def eta(t):
        if t < steps:
            return schedule(0) * (t + 1) / (steps + 1)
        return schedule(t - steps)

    return eta


# --8<-- [end:cosine]


def cosine_restarts(lr: float, period: int, multiplier: int = 1, lr_min: float = 0.0) -> Schedule:
    """SGDR (Loshchilov & Hutter, 2017, arXiv 1608.03983, eq. 5): cosines, each `multiplier` times longer."""
    _check(period=period, multiplier=multiplier)

    def eta(t: int) -> float:
        length = period
        while t >= length:
            t -= length
            length *= multiplier
        return lr_min + 0.5 * (lr - lr_min) * (1 + math.cos(math.pi * t / length))

    return eta


def one_cycle(
    lr: float, total: int, rise: float = 0.3, start_ratio: float = 1 / 25, final_ratio: float = 1e-4 / 25
) -> Schedule:
    """One rise to `lr` and one descent far below the start, both cosine (Smith & Topin, 2017, arXiv 1708.07120).

    Starts at `lr * start_ratio`, peaks at step rise · total - 1 and ends at `lr * final_ratio` at step total - 1, as
    PyTorch's OneCycleLR with its defaults. Raises ValueError when the rise or the descent has no step.
    """
    peak, last = rise * total - 1, total - 1
    if not 0 < peak < last:
        raise ValueError(f"a rise of {rise} of {total} steps leaves no room")

    def between(start: float, end: float, share: float) -> float:
        return end + 0.5 * (start - end) * (1 + math.cos(math.pi * share))

    def eta(t: int) -> float:
        if t <= peak:
            return between(lr * start_ratio, lr, t / peak)
        return between(lr, lr * final_ratio, min((t - peak) / (last - peak), 1.0))

    return eta


def wsd(lr: float, total: int, warmup: int, decay: int, lr_min: float = 0.0) -> Schedule:
    """Warm-up, stable plateau, linear decay over the last `decay` steps (Hu et al., 2024, arXiv 2404.06395)."""
    if warmup + decay > total:
        raise ValueError(f"{warmup} + {decay} steps do not fit into {total}")
    return lambda t: (
        lr * (t + 1) / (warmup + 1)
        if t < warmup
        else lr
        if t < total - decay
        else lr + (lr_min - lr) * min((t - (total - decay)) / max(decay, 1), 1.0)
    )


def noam(d_model: int, warmup: int, factor: float = 1.0) -> Schedule:
    """Rate of the first Transformer (Vaswani et al., 2017, eq. 3): a linear rise, then 1 / sqrt(t).

    The paper counts steps from one, hence t + 1.
    """
    _check(d_model=d_model, warmup=warmup)
    return lambda t: factor * d_model**-0.5 * min((t + 1) ** -0.5, (t + 1) * warmup**-1.5)
