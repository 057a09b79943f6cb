"""Metrics of semantic and panoptic segmentation.

A confusion matrix has the true classes as rows and the predicted ones as columns, `n[c, j]` pixels of class c called j
(n_ij of Long et al., 2015, arXiv 1411.4038, section 5, where all four means below are defined). Matrices of several
images are added up *before* a metric is taken. A class that stands in neither the truth nor the answer has no IoU: its
value is NaN, and means skip it. Masks are Boolean, label maps hold integers; both are `(H, W)`.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt


# --8<-- [start:confusion]
def confusion_matrix(target, predicted, classes, ignore=255):
    """Counts (K, K): rows are true classes, columns predicted ones.

    Pixels whose true label is `ignore` are left out.
    """
    counted = target != ignore
    pairs = classes * target[counted].astype(int) + predicted[counted]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, -1)


def iou(n):
    """n_cc / (row sum + column sum - n_cc) for every class, (K,)."""
    both = np.diag(n)
    return _ratio(both, n.sum(axis=1) + n.sum(axis=0) - both)


def dice(n):
    """2 n_cc / (row sum + column sum), the F1 of the pixels, (K,)."""
    return _ratio(2 * np.diag(n), n.sum(axis=1) + n.sum(axis=0))


# --8<-- [end:confusion]


def pixel_accuracy(n: np.ndarray) -> float:
    """Share of all pixels whose class is right."""
    return float(np.trace(n) / n.sum())


def class_accuracy(n: np.ndarray) -> np.ndarray:
    """Recall of every class, (K,); NaN for a class that is not in the truth."""
    return _ratio(np.diag(n), n.sum(axis=1))


def mean_accuracy(n: np.ndarray) -> float:
    """Mean of the recalls of the classes that are in the truth."""
    return float(np.nanmean(class_accuracy(n)))


def mean_iou(n: np.ndarray) -> float:
    """Mean of `iou` over the classes that are in the truth or in the answer."""
    return float(np.nanmean(iou(n)))


def frequency_weighted_iou(n: np.ndarray) -> float:
    """Mean of `iou` weighted by the true share of pixels of each class."""
    return float(np.nansum(n.sum(axis=1) * iou(n)) / n.sum())


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


# Masks


def mask_iou(a: np.ndarray, b: np.ndarray) -> float:
    """|a ∩ b| / |a ∪ b| of two masks; NaN when both are empty."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else float("nan")


def boundary(mask: np.ndarray) -> np.ndarray:
    """Pixels of the mask with a neighbour (of four) outside it; the frame of the picture counts as outside."""
    return mask & ~binary_erosion(mask)


def boundary_f(target: np.ndarray, predicted: np.ndarray, tolerance: float) -> float:
    """F1 of the boundaries of two masks (Csurka et al., BMVC 2013): a boundary pixel is right if the other boundary
    passes within `tolerance` pixels of it. NaN when neither mask has a boundary, 0 when one has none."""
    true, found = boundary(target), boundary(predicted)
    if not true.any() and not found.any():
        return float("nan")
    if not true.any() or not found.any():
        return 0.0
    precision = np.mean(distance_transform_edt(~true)[found] <= tolerance)
    recall = np.mean(distance_transform_edt(~found)[true] <= tolerance)
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


# Panoptic quality


class PanopticQuality(NamedTuple):
    """`pq = sq * rq`: the mean IoU of matched segments times the F1 of the matching."""

    pq: float
    sq: float
    rq: float


# --8<-- [start:panoptic]
def match_segments(target, predicted):
    """IoUs of matched segments of one class, and counts of FP and FN.

    Label maps (H, W); 0 is nothing, other numbers are segments.
    """
    of_true = np.unique(target[target > 0])
    of_found = np.unique(predicted[predicted > 0])
    table = [[mask_iou(target == t, predicted == q) for q in of_found] for t in of_true]
    ious = np.reshape(table, (len(of_true), len(of_found)))
    matched = ious[ious > 0.5]  # at most one in a row and in a column
    return matched, len(of_found) - len(matched), len(of_true) - len(matched)


def panoptic_quality(matched, false_positives, false_negatives):
    """PQ, SQ, RQ of one class (Kirillov et al., 2019, eq. 1 and 2)."""
    tp = len(matched)
    units = tp + (false_positives + false_negatives) / 2
    if units == 0:
        return PanopticQuality(np.nan, np.nan, np.nan)
    sq = np.mean(matched) if tp else 0.0
    return PanopticQuality(np.sum(matched) / units, sq, tp / units)


# --8<-- [end:panoptic]
