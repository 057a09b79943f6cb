"""The parallel scan against the loop."""

import numpy as np
import pytest

from scripts.dl.linear_recurrence import parallel, sequential


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 13, 64, 100])
def test_scan_gives_the_states_of_the_loop(steps):
    rng = np.random.default_rng(steps)
    a, u = rng.uniform(0, 1.2, (steps, 4)), rng.standard_normal((steps, 4))
    before = a.copy(), u.copy()
    states, rounds = parallel(a, u)
    np.testing.assert_allclose(states, sequential(a, u), rtol=1e-12, atol=1e-12)
    assert rounds == int(np.ceil(np.log2(steps)))
    np.testing.assert_array_equal(before, (a, u))


def test_constant_gate_is_a_convolution():
    u = np.random.default_rng(0).standard_normal((20, 1))
    states = sequential(np.full_like(u, 0.9), u)
    kernel = 0.9 ** np.arange(20)
    np.testing.assert_allclose(states[:, 0], np.convolve(u[:, 0], kernel)[:20])
