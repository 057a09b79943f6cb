"""The stack at initialisation."""

import numpy as np
import pytest

from scripts.experiments import norm_placement as place


@pytest.mark.parametrize("kind", ["pre", "post"])
def test_outputs_of_blocks_keep_or_grow_in_size(kind):
    found = place.at_initialization(kind, layers=4, seeds=1)
    assert found["gradient"].shape == found["size"].shape == (4,)
    if kind == "post":
        np.testing.assert_allclose(found["size"], 1, atol=1e-3)
    else:
        assert (np.diff(found["size"]) > 0).all()
