"""The ViT of the patch sizes: its shapes, its attention, a few steps."""

import torch
from torch.nn import functional as F

from scripts.experiments import patch_size as ps
from scripts.figures.digits import digits


def test_shapes_and_count_of_tokens():
    x = ps.images(digits().X_test[:3])
    for patch in ps.SIZES:
        model = ps.ViT(patch)
        assert model.tokens(x).shape == (3, (8 // patch) ** 2, ps.WIDTH)
        assert model(x).shape == (3, 10)


def test_multiply_adds_of_one_token():
    assert ps.multiply_adds(8) == 64 * 32 + 3 * (12 * 32**2 + 2 * 32)


def test_a_few_steps_teach_something():
    data = digits(seed=0)
    x, y = ps.images(data.X_test), torch.tensor(data.y_test)
    losses = []
    for model in (ps.train(4, 0, steps=0), ps.train(4, 0, steps=40)):
        with torch.no_grad():
            losses.append(F.cross_entropy(model(x), y).item())
    assert losses[1] < losses[0] - 0.3
    assert ps.accuracy(model, data.X_test, data.y_test) > 0.3
