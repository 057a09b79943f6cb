"""Windows against full attention with the mask that they stand for."""

import numpy as np
import pytest

from scripts.dl import window_attention as wa
from scripts.dl.attention import MultiHeadAttention


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_partition_has_an_inverse_and_refuses_parts(rng):
    X = rng.standard_normal((2, 4, 6, 3))
    windows = wa.partition(X, 2)
    assert windows.shape == (2, 6, 4, 3)
    np.testing.assert_array_equal(windows[1, 1], X[1, :2, 2:4].reshape(4, 3))
    np.testing.assert_array_equal(wa.merge(windows, 4, 6), X)
    with pytest.raises(ValueError, match="whole windows"):
        wa.partition(X, 4)


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_windows_are_attention_with_a_mask(rng, shift):
    h, w, M, C = 8, 12, 4, 6
    X, layer = rng.standard_normal((2, h, w, C)), MultiHeadAttention(C, 2, rng)
    found = wa.window_attention(X, lambda tokens, mask: layer.forward(tokens, mask=mask), M, shift)
    # Borders of the shifted grid: the first and the last windows are narrower, nothing wraps round.
    row, column = (np.array([sum(i >= b for b in range(shift or M, n, M)) for i in range(n)]) for n in (h, w))
    name = (row[:, None] * w + column).ravel()
    full = layer.forward(X.reshape(2, h * w, C), mask=name[:, None] == name)
    np.testing.assert_allclose(found, full.reshape(X.shape), atol=1e-12)


def test_a_change_stays_in_its_window_until_the_shift(rng):
    X, layer = rng.standard_normal((1, 8, 8, 4)), MultiHeadAttention(4, 1, rng)

    def two_layers(Z, shifts):
        for shift in shifts:
            Z = wa.window_attention(Z, lambda tokens, mask: layer.forward(tokens, mask=mask), 4, shift)
        return Z

    changed = X.copy()
    changed[0, 0, 3] += 1
    reached = {
        shifts: (np.abs(two_layers(changed, shifts) - two_layers(X, shifts)) > 1e-9).any(axis=-1)[0]
        for shifts in ((0, 0), (0, 2))
    }
    assert not reached[0, 0][:, 4:].any()
    assert reached[0, 2][:, 4:6].any()


def test_cost_at_the_first_stage_of_swin():
    assert wa.global_multiply_adds(56, 56, 96) == 2_003_828_736
    assert wa.window_multiply_adds(56, 56, 96, 7) == 145_108_992
