"""Boxes against counting of pixels, brute force and torch."""

import numpy as np
import pytest

from scripts.dl import boxes as b
from scripts.dl.gradcheck import numerical_gradient


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def whole_boxes(rng, n, side=30):
    corner = rng.integers(0, side - 1, (n, 2))
    opposite = np.minimum(corner + rng.integers(1, side, (n, 2)), side)
    return np.concatenate([corner, opposite], axis=1).astype(float)


def painted(box, side=30):
    picture = np.zeros((side, side), dtype=bool)
    x1, y1, x2, y2 = box.astype(int)
    picture[y1:y2, x1:x2] = True
    return picture


def test_iou_and_giou_count_pixels(rng):
    first, second = whole_boxes(rng, 12), whole_boxes(rng, 9)
    overlaps, general = b.iou(first, second), b.giou(first, second)
    for i, p in enumerate(map(painted, first)):
        for j, q in enumerate(map(painted, second)):
            union = np.count_nonzero(p | q)
            corner = np.minimum(first[i, :2], second[j, :2])
            opposite = np.maximum(first[i, 2:], second[j, 2:])
            around = np.count_nonzero(painted(np.concatenate([corner, opposite])))
            expected = np.count_nonzero(p & q) / union
            assert overlaps[i, j] == pytest.approx(expected)
            assert general[i, j] == pytest.approx(expected - (around - union) / around)


def test_overlaps_by_hand():
    one, other = np.array([[0.0, 0, 10, 10]]), np.array([[5.0, 5, 15, 15]])
    assert b.iou(one, other).item() == pytest.approx(1 / 7)
    assert b.giou(one, other).item() == pytest.approx(1 / 7 - 50 / 225)
    assert b.diou(one, other).item() == pytest.approx(1 / 7 - 50 / 450)
    assert b.ciou(one, other).item() == pytest.approx(b.diou(one, other).item())  # equal proportions
    assert b.giou(one, np.array([[20.0, 0, 30, 10]])).item() == pytest.approx(-1 / 3)


def test_bounds_and_scale(rng):
    first, second = whole_boxes(rng, 40), whole_boxes(rng, 40)
    for overlap in (b.iou, b.giou, b.diou, b.ciou):
        np.testing.assert_allclose(overlap(first, second), overlap(7 * first, 7 * second))
        np.testing.assert_allclose(np.diag(overlap(first, first)), 1)
    assert np.all(b.giou(first, second) <= b.iou(first, second) + 1e-12)
    assert b.giou(first, second).min() > -1
    assert np.all(b.ciou(first, second) <= b.diou(first, second) + 1e-12)


def test_giou_pulls_disjoint_boxes_and_iou_does_not():
    target = np.array([[20.0, 3, 30, 13]])

    box = np.array([0.0, 0, 10, 10])
    assert np.all(numerical_gradient(lambda x: b.iou(x[None], target).item(), box) == 0)
    slope = numerical_gradient(lambda x: b.giou(x[None], target).item(), box)
    assert slope[0] + slope[2] > 0  # moving right helps
    assert slope[1] + slope[3] > 0  # and down


def test_giou_is_no_better_than_iou_for_a_box_inside_another():
    outer, inner = np.array([[0.0, 0, 10, 10]]), np.array([[1.0, 1, 4, 5], [3.0, 3, 6, 7]])
    np.testing.assert_allclose(b.giou(outer, inner), b.iou(outer, inner))
    assert b.diou(outer, inner)[0, 1] > b.diou(outer, inner)[0, 0]


def test_encode_and_decode_are_inverse(rng):
    boxes, anchors = whole_boxes(rng, 50), whole_boxes(rng, 50)
    np.testing.assert_allclose(b.decode(b.encode(boxes, anchors), anchors), boxes, atol=1e-12)
    np.testing.assert_allclose(b.encode(anchors, anchors), 0, atol=1e-12)
    np.testing.assert_allclose(b.encode(boxes, anchors), b.encode(9 * boxes, 9 * anchors))


def test_grid_of_anchors():
    grid = b.anchor_grid(40, 60, 16, (128, 256, 512), (0.5, 1, 2))
    assert grid.shape == (21_600, 4)
    assert b.area(grid[:9]) == pytest.approx(np.repeat([128.0**2, 256**2, 512**2], 3))
    np.testing.assert_allclose(grid[1], [8 - 64, 8 - 64, 8 + 64, 8 + 64])
    sides = grid[0, 2:] - grid[0, :2]
    assert sides[1] / sides[0] == pytest.approx(0.5)


def test_labels_of_anchors():
    truths = np.array([[0.0, 0, 10, 10], [50.0, 50, 54, 60]])
    anchors = np.array([[0.0, 0, 10, 10], [0.0, 0, 10, 20], [40.0, 0, 50, 10], [48.0, 50, 58, 60], [0.0, 0, 8, 10]])
    labels, nearest = b.label_anchors(anchors, truths)
    # exact; half; no overlap; the best of the narrow box though IoU is only 0.4; 0.8
    assert labels.tolist() == [1, -1, 0, 1, 1]
    assert nearest[[0, 3, 4]].tolist() == [0, 1, 0]


def test_rescued_anchor_learns_the_box_it_was_rescued_for():
    truths = np.array([[0.0, 0, 10, 10], [8.0, 0, 12, 10]])
    anchors = np.array([[0.0, 0, 12, 10]])
    labels, nearest = b.label_anchors(anchors, truths)
    assert labels.item() == 1
    assert nearest.item() == 0
    anchors = np.array([[0.0, 0, 12, 10], [0.0, 0, 10, 10]])
    labels, nearest = b.label_anchors(anchors, truths)
    assert labels.tolist() == [1, 1]
    assert nearest.tolist() == [1, 0]


def brute_force_nms(boxes, scores, threshold):
    kept = []
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if all(b.iou(boxes[[i]], boxes[[j]]).item() <= threshold for j in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.0])
def test_nms(rng, threshold):
    boxes, scores = whole_boxes(rng, 60), rng.random(60)
    assert b.nms(boxes, scores, threshold).tolist() == brute_force_nms(boxes, scores, threshold)


def test_nms_of_nothing():
    assert b.nms(np.zeros((0, 4)), np.zeros(0), 0.5).tolist() == []
    assert b.nms_by_class(np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=int), 0.5).tolist() == []


def test_classes_do_not_suppress_each_other():
    boxes = np.array([[0.0, 0, 10, 10], [0.0, 1, 10, 11], [0.0, 0, 10, 9]])
    assert b.nms_by_class(boxes, np.array([0.5, 0.9, 0.8]), np.array([0, 1, 1]), 0.5).tolist() == [1, 0]


def test_soft_nms_lowers_neighbours_only():
    boxes = np.array([[0.0, 0, 10, 10], [0.0, 1, 10, 11], [40.0, 0, 50, 10]])
    given = np.array([0.9, 0.8, 0.7])
    scores = b.soft_nms(boxes, given)
    overlap = 90 / 110
    np.testing.assert_allclose(scores, [0.9, 0.8 * np.exp(-(overlap**2) / 0.5), 0.7])
    assert given.tolist() == [0.9, 0.8, 0.7]
