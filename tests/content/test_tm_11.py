"""Every number and every claim of tm-11 that can be computed is computed here."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from scripts.dl import average_precision as scoring
from scripts.dl import segmentation_metrics as sm
from scripts.dl.boxes import iou
from scripts.figures import tm_11
from scripts.figures.tm_11 import DISC, SQUARE
from tests.content.page import assert_said, printed

PAGE = printed("theory-minimum/11-detection-vs-segmentation.md")
EXAMPLE = np.array([[90, 10], [5, 15]])


# Formulas and examples


def test_confusion_example():
    assert_said(PAGE, *sm.iou(EXAMPLE)[:1], sm.mean_iou(EXAMPLE), sm.pixel_accuracy(EXAMPLE), *sm.dice(EXAMPLE))
    assert sm.iou(EXAMPLE)[1] == 0.5


def test_panoptic_example():
    pq, sq, rq = sm.panoptic_quality([0.9, 0.7], 1, 2)
    assert_said(PAGE, pq, rq)
    assert sq == pytest.approx(0.8)
    assert pq == pytest.approx(1.6 / 3.5) == pytest.approx(sq * rq)
    assert rq == pytest.approx(2 * 2 / (2 * 2 + 1 + 2))  # F1


def test_average_precision_example():
    hits = np.array([True, False, True, False])
    precision, recall = scoring.precision_recall(hits, 3)
    np.testing.assert_allclose(precision, [1, 1 / 2, 2 / 3, 1 / 2])
    np.testing.assert_allclose(recall, [1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert scoring.average_precision(hits, 3) == pytest.approx(5 / 9)
    assert_said(PAGE, 5 / 9)
    by_eleven = scoring.average_precision(hits, 3, scoring.VOC07)
    assert by_eleven == pytest.approx((4 + 3 * 2 / 3) / 11)
    assert_said(PAGE, by_eleven)


def test_accumulated_iou_is_not_the_mean_over_pictures():
    assert_said(PAGE, 91 / 110, (90 / 100 + 1 / 10) / 2, digits=2)


def test_iou_from_precision_and_recall():
    n = EXAMPLE
    precision, recall = n[1, 1] / n[:, 1].sum(), n[1, 1] / n[1].sum()
    assert 1 / sm.iou(n)[1] == pytest.approx(1 / precision + 1 / recall - 1)
    assert_said(PAGE, 1 / (2 / 0.9 - 1))


def test_means_of_iou_and_dice_disagree():
    a, b = np.array([0.5, 0.5]), np.array([0.2, 0.82])
    dice_a, dice_b = 2 * a / (1 + a), 2 * b / (1 + b)
    assert b.mean() > a.mean()
    assert dice_b.mean() < dice_a.mean()
    assert_said(PAGE, b.mean(), digits=2)
    assert_said(PAGE, *dice_a, *dice_b, dice_b.mean())


def test_boxes_as_masks():
    y, x = np.mgrid[:400, :400] - 199.5
    disc = np.hypot(x, y) <= 200
    assert disc.mean() == pytest.approx(np.pi / 4, abs=0.002)
    assert_said(PAGE, np.pi / 4, digits=2)
    length, thickness, scale = 40, 4, 10
    side = (length + thickness) / np.sqrt(2) * scale
    y, x = np.mgrid[: int(side), : int(side)] + 0.5 - side / 2
    along, across = np.abs(x + y) / np.sqrt(2), np.abs(x - y) / np.sqrt(2)
    stick = (along <= length * scale / 2) & (across <= thickness * scale / 2)
    share = length * thickness / (length + thickness) ** 2 * 2
    assert stick.mean() == pytest.approx(share, abs=0.005)
    assert_said(PAGE, share, digits=2)


def test_a_square_moved_by_a_pixel():
    for n in (6, 64):
        box = np.array([[0.0, 0, n, n]])
        assert iou(box, box + [1, 0, 1, 0]).item() == pytest.approx((n - 1) / (n + 1))
        assert_said(PAGE, (n - 1) / (n + 1), digits=2)
    assert 5 / 7 < 0.75 < 63 / 65


def test_outputs_of_both_networks():
    assert round(21 * 512 * 512 / 1e6, 1) == 5.5
    positions = sum((512 // stride) ** 2 for stride in (8, 16, 32, 64, 128))
    assert positions == 5456
    assert 9 * positions == 49_104
    assert round(9 * positions * (20 + 4) / 1e6, 1) == 1.2


def test_seconds_for_a_mask():
    assert pytest.approx(80, abs=1) == 22 * 3600 / 1000


def test_a_rim_of_one_pixel():
    n = 200
    y, x = np.mgrid[: n + 4, : n + 4] - (n + 3) / 2
    disc = np.hypot(x, y) <= n / 2
    rim = disc & (np.hypot(x, y) > n / 2 - 1)
    assert rim.sum() / disc.sum() == pytest.approx(4 / n, rel=0.05)


# Average precision


def test_weak_detections_at_the_end_never_hurt():
    rng = np.random.default_rng(0)
    for _ in range(50):
        hits = rng.random(12) < 0.5
        more = np.append(hits, rng.random(20) < 0.1)
        for recalls in (None, scoring.COCO):
            before = scoring.average_precision(hits, 40, recalls)
            assert scoring.average_precision(more, 40, recalls) >= before - 1e-12


def test_average_precision_does_not_see_calibration():
    detections = [tm_11.detections(i, DISC) for i in range(10)]
    true = [tm_11.truths(i, DISC) for i in range(10)]
    squeezed = [(boxes, scores**3) for boxes, scores in detections]
    for found in (detections, squeezed):
        hits, positives = scoring.match_images(found, true, 0.5)
        assert scoring.average_precision(hits, positives) == pytest.approx(
            scoring.average_precision(*scoring.match_images(detections, true, 0.5))
        )


def test_a_duplicate_is_a_false_positive():
    box = np.array([[0.0, 0, 10, 10]])
    hits = scoring.match(np.concatenate([box, box]), box, 0.5)
    assert list(hits) == [True, False]


# Figures


def test_figure_scene():
    kinds = [kind for kind, *_ in tm_11.drawn_boxes(tm_11.SCENE)]
    assert (kinds.count("TP"), kinds.count("FP"), kinds.count("FN")) == (4, 1, 1)
    missed = next(thing for kind, thing, *_ in tm_11.drawn_boxes(tm_11.SCENE) if kind == "FN")
    assert missed == SQUARE
    false = next((thing, box) for kind, thing, box, _ in tm_11.drawn_boxes(tm_11.SCENE) if kind == "FP")
    right = [box for kind, thing, box, _ in tm_11.drawn_boxes(tm_11.SCENE) if (kind, thing) == ("TP", SQUARE)]
    assert false[0] == DISC
    assert iou(false[1][None], np.array(right)).max() > 0.8  # the same place, two classes
    counts = np.bincount(tm_11.pixel_outcome(tm_11.SCENE, DISC).ravel(), minlength=4)
    assert_said(PAGE, counts[1] / counts[1:].sum(), digits=2)
    assert counts.sum() == 40 * 64


def mean_over_classes(threshold):
    return np.mean([ap(thing, threshold) for thing in tm_11.THINGS])


def ap(thing, threshold):
    count = range(len(tm_11.scenes()))
    found, true = [tm_11.detections(i, thing) for i in count], [tm_11.truths(i, thing) for i in count]
    return scoring.average_precision(*scoring.match_images(found, true, threshold), scoring.COCO)


def test_the_threshold_of_iou_decides_the_average_precision():
    assert len(tm_11.scenes()) == 80
    assert_said(PAGE, ap(DISC, 0.5), ap(DISC, 0.75), mean_over_classes(0.5), digits=2)
    values = [mean_over_classes(threshold) for threshold in scoring.COCO_THRESHOLDS]
    assert values == sorted(values, reverse=True)
    assert_said(PAGE, np.mean(values), digits=2)


def test_mean_iou_of_the_set_and_of_the_pictures():
    matrices = tm_11.confusions()
    assert_said(PAGE, sm.mean_iou(matrices.sum(axis=0)), np.mean([sm.mean_iou(n) for n in matrices]), digits=2)


def test_figure_imbalance():
    target, answers = tm_11.rare_object()
    assert target.mean() == 0.05
    metrics = {
        name: {metric: f(sm.confusion_matrix(target, answer, 2)) for metric, f in tm_11.METRICS.items()}
        for name, answer in answers.items()
    }
    nothing, half, double = metrics.values()
    assert nothing["доля верных пикселей"] == pytest.approx(0.95)
    assert nothing["fwIoU"] == pytest.approx(0.95**2)
    assert nothing["mIoU"] == pytest.approx(0.475) == pytest.approx(0.95 / 2)
    assert nothing["средняя полнота классов"] == 0.5
    assert nothing["Dice объекта"] == 0
    assert half["Dice объекта"] == pytest.approx(2 / 3, abs=1e-9) == pytest.approx(double["Dice объекта"])
    assert_said(PAGE, half["Dice объекта"])
    assert_said(PAGE, half["средняя полнота классов"], double["средняя полнота классов"], digits=2)


@pytest.mark.parametrize("n", [6, 20, 64])
def test_boundary_f_forgives_a_pixel(n):
    y, x = np.mgrid[: n + 10, : n + 10] - (n + 9) / 2
    disc = np.hypot(x, y) <= n / 2
    moved = np.roll(disc, 1, axis=1)
    assert sm.boundary_f(disc, moved, 1.0) == 1
    assert sm.mask_iou(disc, moved) < (n - 1) / (n + 1)


def inner_band(mask, d):
    return mask & (distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1] <= d)


def test_boundary_iou_of_a_thin_object_is_plain_iou():
    y, x = np.mgrid[:200, :200] - 100
    thin, large = np.hypot(x, y) <= 4, np.hypot(x, y) <= 80
    for mask, same in ((thin, True), (large, False)):
        moved = np.roll(mask, 2, axis=1)
        bands = sm.mask_iou(inner_band(mask, 5), inner_band(moved, 5))
        assert (bands == sm.mask_iou(mask, moved)) == same
        assert bands <= sm.mask_iou(mask, moved)


def test_figure_crowd():
    for way in ("components", "boxes", "found components", "found boxes", "mended components"):
        assert_said(PAGE, tm_11.mean_pq(way), digits=2)
    truth = [len(np.unique(tm_11.instances(tm_11.CROWD, DISC, way))) for way in ("truth", "components", "boxes")]
    assert truth[0] == truth[2] == truth[1] + 1
    n = tm_11.confusions().sum(axis=0)
    confused = (n[DISC, SQUARE] + n[SQUARE, DISC]) / (n.sum() - np.trace(n))
    assert round(100 * confused) == 78
    assert "78\\,\\%" in PAGE
    classes = np.stack([scene.classes for scene in tm_11.scenes()])
    assert sm.mean_iou(sm.confusion_matrix(classes, classes, 4)) == 1.0


def test_matches_of_panoptic_quality_are_unique():
    for scene in range(20):
        for thing in tm_11.THINGS:
            true, found = (tm_11.instances(scene, thing, way) for way in ("truth", "found boxes"))
            labels = np.unique(true[true > 0]), np.unique(found[found > 0])
            table = np.array([[sm.mask_iou(true == t, found == f) for f in labels[1]] for t in labels[0]])
            if table.size:
                assert (table > 0.5).sum(axis=0).max() <= 1
                assert (table > 0.5).sum(axis=1).max() <= 1
