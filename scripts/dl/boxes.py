"""Boxes of object detection: overlaps, offsets from anchors, labels of anchors, suppression of duplicates.

A box is `(x1, y1, x2, y2)` in pixels with x2 >= x1 and y2 >= y1; its width is x2 - x1, without one added. `boxes` are
arrays `(n, 4)`; an overlap of two sets is a table `(n, m)`.
"""

import numpy as np


def area(boxes: np.ndarray) -> np.ndarray:
    """Areas (n,)."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


# --8<-- [start:iou]
def intersection(a, b):
    """Areas of the intersections of boxes a (n, 4) and b (m, 4): (n, m)."""
    corner = np.maximum(a[:, None, :2], b[None, :, :2])
    opposite = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.prod(np.maximum(opposite - corner, 0), axis=2)


def iou(a, b):
    both = intersection(a, b)
    return both / (area(a)[:, None] + area(b)[None, :] - both)


def giou(a, b):
    """IoU minus the empty share of the enclosing box."""
    both = intersection(a, b)
    union = area(a)[:, None] + area(b)[None, :] - both
    enclosing = np.prod(enclosing_sides(a, b), axis=2)
    return both / union - (enclosing - union) / enclosing


# --8<-- [end:iou]


def enclosing_sides(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Width and height of the smallest box around each pair, (n, m, 2)."""
    corner = np.minimum(a[:, None, :2], b[None, :, :2])
    opposite = np.maximum(a[:, None, 2:], b[None, :, 2:])
    return opposite - corner


def diou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU minus the squared distance of centres over the squared diagonal of the enclosing box (Zheng et al., 2020,
    arXiv 1911.08287, equation 7): (n, m)."""
    distance = np.sum((_centres(a)[:, None] - _centres(b)[None, :]) ** 2, axis=2)
    return iou(a, b) - distance / np.sum(enclosing_sides(a, b) ** 2, axis=2)


def ciou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """DIoU minus a penalty for different proportions (Zheng et al., 2020, equations 8-11): (n, m)."""
    difference = np.arctan(_proportion(b))[None, :] - np.arctan(_proportion(a))[:, None]
    v = 4 / np.pi**2 * difference**2
    trade_off = np.divide(v, 1 - iou(a, b) + v, out=np.zeros_like(v), where=v > 0)
    return diou(a, b) - trade_off * v


def _centres(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _proportion(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1])


# Anchors


def anchor_grid(
    height: int, width: int, stride: int, sizes: tuple[float, ...], proportions: tuple[float, ...]
) -> np.ndarray:
    """Anchors (height * width * sizes * proportions, 4) centred on the cells of a feature map.

    An anchor of size s and proportion r (height over width) has the area s^2 (Ren et al., 2015, section 3.1.1).
    """
    shapes = np.array([(s / r**0.5, s * r**0.5) for s in sizes for r in proportions])
    rows, columns = np.mgrid[:height, :width]
    centres = (np.stack([columns, rows], axis=-1).reshape(-1, 1, 2) + 0.5) * stride
    return np.concatenate([centres - shapes / 2, centres + shapes / 2], axis=2).reshape(-1, 4)


# --8<-- [start:encode]
def encode(boxes, anchors):
    """Offsets t = (t_x, t_y, t_w, t_h), (n, 4), of boxes from anchors."""
    x, y, w, h = centre_form(boxes)
    x_a, y_a, w_a, h_a = centre_form(anchors)
    offsets = (x - x_a) / w_a, (y - y_a) / h_a, np.log(w / w_a), np.log(h / h_a)
    return np.stack(offsets, axis=1)


def decode(offsets, anchors):
    """Boxes (n, 4) from predicted offsets: the inverse of encode."""
    x_a, y_a, w_a, h_a = centre_form(anchors)
    x, y = x_a + offsets[:, 0] * w_a, y_a + offsets[:, 1] * h_a
    w, h = w_a * np.exp(offsets[:, 2]), h_a * np.exp(offsets[:, 3])
    return np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)


# --8<-- [end:encode]


def centre_form(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Centre x, centre y, width, height, each (n,)."""
    x1, y1, x2, y2 = boxes.T
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1


# --8<-- [start:labels]
def label_anchors(anchors, truths, positive=0.7, negative=0.3):
    """Labels (n,): 1 object, 0 background, -1 not used; and the number
    (n,) of the true box that overlaps the anchor most.
    """
    overlaps = iou(anchors, truths)  # (n, m)
    best, nearest = overlaps.max(axis=1), overlaps.argmax(axis=1)
    labels = np.full(len(anchors), -1)
    labels[best < negative] = 0
    labels[best >= positive] = 1
    # Every true box keeps its best anchors, however small the overlap.
    mine = (overlaps == overlaps.max(axis=0)) & (overlaps > 0)
    rescued = mine.any(axis=1)
    labels[rescued] = 1
    # Such an anchor learns the box that it was rescued for.
    nearest[rescued] = np.where(mine, overlaps, -1)[rescued].argmax(axis=1)
    return labels, nearest


# --8<-- [end:labels]


# Suppression


# --8<-- [start:nms]
def nms(boxes, scores, threshold):
    """Numbers of the boxes that survive, best first; one class."""
    order = list(np.argsort(-scores, kind="stable"))
    kept = []
    while order:
        best = order.pop(0)
        kept.append(best)
        rest = np.array(order, dtype=int)
        overlaps = iou(boxes[[best]], boxes[rest])[0]
        order = list(rest[overlaps <= threshold])
    return np.array(kept, dtype=int)


# --8<-- [end:nms]


def nms_by_class(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, threshold: float) -> np.ndarray:
    """Numbers of the boxes that survive `nms` among the boxes of their own class, best first."""
    kept = [np.flatnonzero(classes == c)[nms(boxes[classes == c], scores[classes == c], threshold)]
            for c in np.unique(classes)]  # fmt: skip
    kept = np.concatenate(kept) if kept else np.array([], dtype=int)
    return kept[np.argsort(-scores[kept], kind="stable")]


# --8<-- [start:soft-nms]
def soft_nms(boxes, scores, sigma=0.5):
    """Scores (n,) lowered by the boxes chosen before; none is deleted."""
    scores, left = scores.astype(float), np.arange(len(scores))
    while len(left):
        best = left[scores[left].argmax()]
        left = left[left != best]
        overlaps = iou(boxes[[best]], boxes[left])[0]
        scores[left] *= np.exp(-(overlaps**2) / sigma)
    return scores


# --8<-- [end:soft-nms]
