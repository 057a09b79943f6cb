"""Metrics of segmentation against counting by hand, scikit-learn, and each other."""

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from scripts.dl import segmentation_metrics as sm

EXAMPLE = np.array([[90, 10], [5, 15]])


def label_maps(seed=0, classes=4, shape=(13, 17)):
    rng = np.random.default_rng(seed)
    return rng.integers(0, classes, shape), rng.integers(0, classes, shape)


def test_confusion_matrix_is_that_of_scikit_learn():
    target, predicted = label_maps()
    expected = sk.confusion_matrix(target.ravel(), predicted.ravel(), labels=range(4))
    np.testing.assert_array_equal(sm.confusion_matrix(target, predicted, 4), expected)


def test_ignored_pixels_are_left_out_of_every_count():
    target, predicted = label_maps()
    void = np.zeros(target.shape, dtype=bool)
    void[3:6] = True
    expected = sm.confusion_matrix(target[~void], predicted[~void], 4)
    np.testing.assert_array_equal(sm.confusion_matrix(np.where(void, 255, target), predicted, 4), expected)
    unsigned = np.where(void, 255, target).astype(np.uint8)  # as in a picture file; 4 * 255 would not fit
    np.testing.assert_array_equal(sm.confusion_matrix(unsigned, predicted.astype(np.uint8), 4), expected)


@pytest.mark.parametrize("seed", range(3))
def test_iou_dice_and_recall_are_those_of_scikit_learn(seed):
    target, predicted = label_maps(seed)
    n = sm.confusion_matrix(target, predicted, 4)
    flat = target.ravel(), predicted.ravel()
    np.testing.assert_allclose(sm.iou(n), sk.jaccard_score(*flat, average=None))
    np.testing.assert_allclose(sm.dice(n), sk.f1_score(*flat, average=None))
    np.testing.assert_allclose(sm.class_accuracy(n), sk.recall_score(*flat, average=None))
    assert sm.mean_accuracy(n) == pytest.approx(sk.balanced_accuracy_score(*flat))
    assert sm.frequency_weighted_iou(n) == pytest.approx(sk.jaccard_score(*flat, average="weighted"))
    assert sm.pixel_accuracy(n) == pytest.approx(np.mean(target == predicted))


def test_example_by_hand():
    np.testing.assert_allclose(sm.iou(EXAMPLE), [90 / 105, 15 / 30])
    np.testing.assert_allclose(sm.dice(EXAMPLE), [180 / 195, 30 / 45])
    assert sm.mean_iou(EXAMPLE) == pytest.approx((90 / 105 + 0.5) / 2)
    assert sm.frequency_weighted_iou(EXAMPLE) == pytest.approx((100 * 90 / 105 + 20 * 0.5) / 120)
    assert sm.mean_accuracy(EXAMPLE) == pytest.approx((0.9 + 0.75) / 2)


def test_dice_is_a_function_of_iou():
    n = sm.confusion_matrix(*label_maps(5), 4)
    np.testing.assert_allclose(sm.dice(n), 2 * sm.iou(n) / (1 + sm.iou(n)))


def test_absent_classes_are_skipped():
    n = np.zeros((3, 3), dtype=int)
    n[:2, :2] = EXAMPLE
    assert math.isnan(sm.iou(n)[2])
    assert sm.mean_iou(n) == sm.mean_iou(EXAMPLE)
    n[0, 2] = 1  # one false pixel of the third class: now it counts, as zero
    assert sm.iou(n)[2] == 0
    assert sm.mean_iou(n) < sm.mean_iou(EXAMPLE) * 0.7
    assert math.isnan(sm.class_accuracy(n)[2])


def test_mask_iou_is_the_iou_of_the_confusion_matrix():
    target, predicted = label_maps(1, classes=2)
    n = sm.confusion_matrix(target, predicted, 2)
    assert sm.mask_iou(target == 1, predicted == 1) == pytest.approx(sm.iou(n)[1])
    empty = np.zeros((3, 3), dtype=bool)
    assert math.isnan(sm.mask_iou(empty, empty))
    assert sm.mask_iou(empty, ~empty) == 0.0


def test_boundary_is_one_pixel_wide_and_inside():
    square = np.zeros((9, 9), dtype=bool)
    square[2:7, 2:7] = True
    rim = square.copy()
    rim[3:6, 3:6] = False
    np.testing.assert_array_equal(sm.boundary(square), rim)
    everything = np.ones((4, 5), dtype=bool)
    assert sm.boundary(everything).sum() == 2 * (4 + 5) - 4


def brute_boundary_f(a, b, tolerance):
    p, q = np.argwhere(sm.boundary(a)), np.argwhere(sm.boundary(b))
    distance = np.linalg.norm(p[:, None] - q[None], axis=-1)
    recall, precision = (distance.min(1) <= tolerance).mean(), (distance.min(0) <= tolerance).mean()
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("tolerance", [0, 1, 1.5, 3])
def test_boundary_f_is_the_nearest_neighbour_count(tolerance):
    y, x = np.mgrid[:40, :50]
    disc, ellipse = (y - 20) ** 2 + (x - 24) ** 2 < 150, (y - 21) ** 2 + ((x - 26) / 1.3) ** 2 < 140
    assert sm.boundary_f(disc, ellipse, tolerance) == pytest.approx(brute_boundary_f(disc, ellipse, tolerance))
    assert sm.boundary_f(disc, disc, 0) == 1.0


def test_boundary_f_of_empty_and_distant_masks():
    empty, dot = np.zeros((20, 20), dtype=bool), np.zeros((20, 20), dtype=bool)
    dot[2, 2] = True
    assert math.isnan(sm.boundary_f(empty, empty, 1))
    assert sm.boundary_f(dot, empty, 1) == 0.0
    assert sm.boundary_f(dot, np.roll(dot, 10, axis=1), 1) == 0.0


def test_panoptic_quality_by_hand():
    pq, sq, rq = sm.panoptic_quality([0.9, 0.7], 1, 2)
    assert (pq, sq, rq) == pytest.approx((1.6 / 3.5, 0.8, 2 / 3.5))
    assert pq == pytest.approx(sq * rq)
    assert sm.panoptic_quality([], 1, 0) == (0.0, 0.0, 0.0)
    assert all(math.isnan(value) for value in sm.panoptic_quality([], 0, 0))
    assert sm.panoptic_quality([1.0, 1.0], 0, 0) == (1.0, 1.0, 1.0)


def random_segments(rng, side=24, count=6):
    segments = np.zeros((side, side), dtype=int)
    for label in range(1, count + 1):
        y, x = rng.integers(0, side - 4, 2)
        segments[y : y + rng.integers(3, 12), x : x + rng.integers(3, 12)] = label
    return segments


def test_matches_above_one_half_are_unique():
    rng = np.random.default_rng(0)
    for _ in range(50):
        target = random_segments(rng)
        predicted = np.where(rng.random(target.shape) < 0.25, random_segments(rng), target)
        matched, fp, fn = sm.match_segments(target, predicted)
        ious = np.array([[sm.mask_iou(target == t, predicted == p) for p in range(1, 7)] for t in range(1, 7)])
        for axis in (0, 1):
            assert ((np.nan_to_num(ious) > 0.5).sum(axis=axis) <= 1).all()
        assert len(matched) + fn == len(np.unique(target)) - 1
        assert len(matched) + fp == len(np.unique(predicted)) - 1


def test_no_segments_at_all():
    empty, one = np.zeros((4, 4), dtype=int), np.eye(4, dtype=int)
    for target, predicted, counts in ((empty, empty, (0, 0)), (one, empty, (0, 1)), (empty, one, (1, 0))):
        matched, *rest = sm.match_segments(target, predicted)
        assert len(matched) == 0
        assert tuple(rest) == counts
