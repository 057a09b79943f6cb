"""The scenes of the network with two heads, what it is taught, and a few steps of its training."""

import numpy as np
import torch

from scripts.experiments import two_heads as th


def some_scenes(count=20):
    rng = np.random.default_rng(3)
    return [th.scene(rng) for _ in range(count)]


def test_boxes_bound_the_visible_part_of_their_instance():
    for one in some_scenes():
        assert len(one.boxes) == len(one.labels) == one.instances.max()
        for number, (box, label) in enumerate(zip(one.boxes.astype(int), one.labels, strict=True), start=1):
            mask = one.instances == number
            x1, y1, x2, y2 = box
            assert mask[y1:y2, x1:x2].sum() == mask.sum() > 0
            assert mask[y1].any() and mask[y2 - 1].any() and mask[:, x1].any() and mask[:, x2 - 1].any()
            assert (one.classes[mask] == label).all()
        assert (one.classes[one.instances == 0] < th.DISC).all()


def test_targets_lie_in_the_cell_of_the_centre():
    scenes = some_scenes(4)
    heat, sides, taught = th.targets(scenes)
    for i, one in enumerate(scenes):
        for (x1, y1, x2, y2), label in zip(one.boxes, one.labels, strict=True):
            row, column = int((y1 + y2) / 2 / th.STRIDE), int((x1 + x2) / 2 / th.STRIDE)
            assert heat[i, th.THINGS.index(label), row, column] == 1
            assert taught[i, row, column]
    assert heat.max() <= 1
    assert torch.all(sides[:, 0][taught] + sides[:, 2][taught] > 0)


def test_a_few_steps_teach_something():
    scenes = some_scenes(8)
    trained = th.train(steps=12)
    torch.manual_seed(0)
    with torch.no_grad():
        assert th.loss_of(trained, scenes) < th.loss_of(th.TwoHeads(), scenes) - 0.1


def test_answers_are_classes_and_boxes_with_scores():
    scenes = some_scenes(3)
    torch.manual_seed(0)
    network = th.TwoHeads()
    with torch.no_grad():
        network.detector.bias[: len(th.THINGS)] = 0.0  # so that some peaks pass the threshold
    found = th.answers(network, scenes)
    assert found["classes"].shape == (3, th.HEIGHT, th.WIDTH)
    assert len(found["box"]) == len(found["score"]) == len(found["label"]) == len(found["number"]) > 0
    assert (found["score"] > 0.05).all()
    x1, y1, x2, y2 = found["box"].T
    assert (x2 > x1).all() and (y2 > y1).all()
    assert set(found["label"]) <= set(th.THINGS)
