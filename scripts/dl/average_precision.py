"""Average precision of one class: matching of detections with true boxes, the curve, the area under its envelope.

A detection is a hit (TP) or a miss (FP); a true box that no detection was matched with is a FN. There are no TN.
`hits` is the Boolean array of detections in the order of falling score, `positives` the number of true boxes.
"""

from collections.abc import Sequence

import numpy as np

from scripts.dl.boxes import iou

VOC07 = np.linspace(0, 1, 11)  # recalls at which VOC 2007 reads the envelope
COCO = np.linspace(0, 1, 101)
COCO_THRESHOLDS = tuple(np.arange(50, 100, 5) / 100)


# --8<-- [start:match]
def match(boxes, truths, threshold):
    """Which boxes (n, 4), given best first, are hits: (n,) of bool.

    Each takes the free true box that it overlaps most, if IoU >= threshold.
    """
    overlaps = iou(boxes, truths)
    hits = np.zeros(len(boxes), dtype=bool)
    for number, row in enumerate(overlaps):
        if row.size and row.max() >= threshold:
            hits[number] = True
            overlaps[:, row.argmax()] = -1.0  # a true box is used once
    return hits


# --8<-- [end:match]


def match_images(
    detections: Sequence[tuple[np.ndarray, np.ndarray]], truths: Sequence[np.ndarray], threshold: float
) -> tuple[np.ndarray, int]:
    """Hits of all images in the common order of scores, and the number of true boxes.

    `detections` holds boxes (n, 4) and scores (n,) of each image, `truths` its true boxes (m, 4).
    """
    hits, scores = [np.zeros(0, dtype=bool)], [np.zeros(0)]
    for (boxes, confidence), true in zip(detections, truths, strict=True):
        order = np.argsort(-confidence, kind="stable")
        hits.append(match(boxes[order], true, threshold))
        scores.append(confidence[order])
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return np.concatenate(hits)[order], sum(map(len, truths))


# --8<-- [start:curve]
def precision_recall(hits, positives):
    """Precision and recall (n,) after each of n detections."""
    found = np.cumsum(hits)
    return found / np.arange(1, len(hits) + 1), found / positives


def envelope(precision):
    """The best precision at this recall or a larger one."""
    return np.maximum.accumulate(precision[::-1])[::-1]


def average_precision(hits, positives, recalls=None):
    """Area under the envelope, or its mean at given recalls."""
    precision, recall = precision_recall(hits, positives)
    best = envelope(precision)
    if recalls is None:
        return float(np.sum(np.diff(recall, prepend=0.0) * best))
    # The first detection that reaches each recall; none reaches: 0.
    first = np.searchsorted(recall, recalls - 1e-12)
    return float(np.mean(np.append(best, 0.0)[first]))


# --8<-- [end:curve]
