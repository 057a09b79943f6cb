"""Class vectors from seen captions and from pictures, on towers that are exactly compositional or hardly trained."""

import numpy as np

from scripts.experiments import clip_composition as cc
from scripts.experiments import tiny_clip as tc


def test_composition_of_sums_gives_the_unseen_sums():
    colours, shapes = np.eye(8)[:4], np.eye(8)[4:]
    captions = np.stack([colours[colour] + shapes[shape] for colour, shape in tc.PAIRS])
    spoiled = captions.copy()
    spoiled[list(tc.UNSEEN)] = -7.0  # may not be looked at
    found = cc.composed(spoiled)
    assert np.array_equal((found @ captions.T).argmax(axis=1), np.arange(16))


def test_comparison_of_hardly_trained_towers():
    model = tc.train(steps=30)
    found = cc.compare(model, 0)
    assert found["captions_seen"] == tc.zero_shot(model)["seen"]
    assert set(found) >= {"captions_unseen", "composed_unseen", "pictures_unseen"}
    assert all(0 <= value <= 1 for name, value in found.items() if name != "nearest")
