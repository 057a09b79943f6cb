"""Average precision by hand, against scikit-learn where they agree, and the rules of matching."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from scripts.dl import average_precision as ap

HITS = np.array([1, 1, 0, 1, 0, 0, 1, 0], dtype=bool)


def test_eight_detections_by_hand():
    precision, recall = ap.precision_recall(HITS, 5)
    np.testing.assert_allclose(precision, [1, 1, 2 / 3, 3 / 4, 3 / 5, 1 / 2, 4 / 7, 1 / 2])
    np.testing.assert_allclose(recall, [0.2, 0.4, 0.4, 0.6, 0.6, 0.6, 0.8, 0.8])
    assert ap.average_precision(HITS, 5) == pytest.approx((1 + 1 + 3 / 4 + 4 / 7) / 5)
    assert ap.average_precision(HITS, 5, ap.VOC07) == pytest.approx((5 * 1 + 2 * 0.75 + 2 * 4 / 7) / 11)
    assert ap.average_precision(HITS, 5, ap.COCO) == pytest.approx((41 + 20 * 0.75 + 20 * 4 / 7) / 101)


def test_curve_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    hits, scores = rng.random(50) < 0.5, -np.arange(50.0)
    precision, recall, _ = precision_recall_curve(hits, scores)
    mine = ap.precision_recall(hits, hits.sum())
    np.testing.assert_allclose(mine[0], precision[-2::-1])
    np.testing.assert_allclose(mine[1], recall[-2::-1])


def test_envelope_never_rises_and_covers():
    precision, _ = ap.precision_recall(HITS, 5)
    best = ap.envelope(precision)
    assert np.all(np.diff(best) <= 0)
    assert np.all(best >= precision)


def test_extremes():
    assert ap.average_precision(np.ones(4, dtype=bool), 4) == 1
    assert ap.average_precision(np.zeros(4, dtype=bool), 4) == 0
    assert ap.average_precision(np.zeros(0, dtype=bool), 4) == 0
    assert ap.average_precision(np.ones(4, dtype=bool), 4, ap.COCO) == 1
    # false detections after the last hit cost nothing
    assert ap.average_precision(np.append(HITS, [False] * 9), 5) == ap.average_precision(HITS, 5)


def test_only_the_order_of_scores_matters():
    boxes = np.array([[0.0, 0, 10, 10], [20.0, 0, 30, 10], [50.0, 0, 60, 10]])
    scores, truths = np.array([0.9, 0.2, 0.5]), boxes[:2]
    hits, positives = ap.match_images([(boxes, scores)], [truths], 0.5)
    assert hits.tolist() == [True, False, True]
    assert positives == 2
    again, _ = ap.match_images([(boxes, scores**3 / 7)], [truths], 0.5)
    assert again.tolist() == hits.tolist()


def test_duplicate_is_a_miss_and_images_share_one_order():
    box = np.array([[0.0, 0, 10, 10]])
    pair = np.concatenate([box, box + [0, 1, 0, 1]])
    hits, positives = ap.match_images([(pair, np.array([0.9, 0.6])), (box, np.array([0.7]))], [box, box], 0.5)
    assert hits.tolist() == [True, True, False]
    assert positives == 2


def test_taken_box_leaves_the_second_best():
    truths = np.array([[0.0, 0, 10, 10], [0.0, 2, 10, 12]])
    boxes = np.array([[0.0, 0, 10, 10], [0.0, 0.5, 10, 10.5]])
    assert ap.match(boxes, truths, 0.5).tolist() == [True, True]
    assert ap.match(boxes, truths, 0.8).tolist() == [True, False]


def test_nothing_to_find():
    assert ap.match(np.array([[0.0, 0, 1, 1]]), np.zeros((0, 4)), 0.5).tolist() == [False]
