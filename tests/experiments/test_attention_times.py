"""What is timed computes what it should."""

import numpy as np
import pytest

from scripts.dl.attention import attention
from scripts.dl.linear_attention import linear_attention
from scripts.dl.sparse_attention import window_attention
from scripts.experiments import attention_times as times

WRITTEN_OUT = {
    "full": lambda Q, K, V: attention(Q, K, V)[0],
    "tiles": lambda Q, K, V: attention(Q, K, V)[0],
    "window": lambda Q, K, V: window_attention(Q, K, V, times.RADIUS),
    "linear": linear_attention,
}


@pytest.mark.parametrize("name", times.METHODS)
def test_methods_are_those_written_out(name):
    arrays = times.inputs(256)
    expected = WRITTEN_OUT[name](*(X.double().numpy() for X in arrays))
    np.testing.assert_allclose(times.METHODS[name](*arrays).numpy(), expected, atol=2e-6)
