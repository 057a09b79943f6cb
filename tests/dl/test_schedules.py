"""Schedules against torch.optim.lr_scheduler and at the points that define them."""

import math

import numpy as np
import pytest
import torch

from scripts.dl import schedules

TOTAL = 50


def torch_rates(make, steps=TOTAL, lr=0.3):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


PAIRS = {
    "step": (schedules.step_decay(0.3, 7, 0.5), lambda o: torch.optim.lr_scheduler.StepLR(o, 7, 0.5)),
    "exponential": (schedules.exponential(0.3, 0.9), lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9)),
    "cosine": (
        schedules.cosine(0.3, TOTAL, 0.01),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, TOTAL, eta_min=0.01),
    ),
    "restarts": (
        schedules.cosine_restarts(0.3, 6, 2, 0.01),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 6, 2, eta_min=0.01),
    ),
    "linear": (
        schedules.linear(0.3, 20, 0.06),
        lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.2, total_iters=20),
    ),
    "one-cycle": (schedules.one_cycle(0.3, TOTAL), lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.3, TOTAL)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PAIRS)
def test_schedule_is_that_of_torch(name):
    own, make = PAIRS[name]
    steps = TOTAL - 1 if name == "one-cycle" else TOTAL
    np.testing.assert_allclose([own(t) for t in range(steps)], torch_rates(make, steps), rtol=1e-9, atol=1e-15)


def test_cosine_at_its_defining_points():
    eta = schedules.cosine(1.0, 100, 0.2)
    assert [eta(0), eta(50), eta(100), eta(1000)] == pytest.approx([1.0, 0.6, 0.2, 0.2])


def test_warmup_rises_without_a_zero_step_and_then_follows():
    base = schedules.cosine(1.0, 100)
    eta = schedules.with_warmup(base, 9)
    assert [eta(t) for t in range(10)] == pytest.approx([0.1 * (t + 1) for t in range(10)])
    assert [eta(t) for t in (9, 59, 109)] == [base(0), base(50), base(100)]


def test_one_cycle_ends():
    eta = schedules.one_cycle(1.0, 100)
    assert [eta(0), eta(29), eta(99), eta(500)] == pytest.approx([0.04, 1.0, 4e-6, 4e-6])
    with pytest.raises(ValueError, match="room"):
        schedules.one_cycle(1.0, 2)


def test_wsd_has_three_parts():
    eta = schedules.wsd(1.0, total=100, warmup=9, decay=20)
    assert eta(0) == pytest.approx(0.1)
    assert {eta(t) for t in range(9, 80)} == {1.0}
    assert [eta(80), eta(90), eta(100), eta(101)] == pytest.approx([1.0, 0.5, 0.0, 0.0])
    with pytest.raises(ValueError, match="fit"):
        schedules.wsd(1.0, 10, 6, 6)


def test_noam_peaks_at_the_end_of_the_warmup():
    eta = schedules.noam(512, 4000)
    rates = [eta(t) for t in range(20_000)]
    assert int(np.argmax(rates)) + 1 == 4000
    assert max(rates) == pytest.approx(1 / math.sqrt(512 * 4000))


def test_inverse_schedule_meets_robbins_and_monro():
    eta = schedules.inverse(1.0, 10.0)
    rates = np.array([eta(t) for t in range(1_000_000)])
    sums, squares = np.cumsum(rates), np.cumsum(rates**2)
    assert sums[-1] - sums[99_999] == pytest.approx(10 * math.log(10), rel=1e-3)  # grows as a logarithm
    assert squares[-1] - squares[99_999] < 1e-3  # has converged


def test_constant_and_mistakes():
    assert schedules.constant(0.1)(1234) == 0.1
    for call in (
        lambda: schedules.cosine(0.1, 0),
        lambda: schedules.step_decay(0.1, 0),
        lambda: schedules.inverse(0.1, 0),
    ):
        with pytest.raises(ValueError, match="positive"):
            call()
