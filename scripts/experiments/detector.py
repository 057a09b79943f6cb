"""A whole detector small enough to be seen: a linear classifier slides an 8×8 window over noisy canvases of digits.

The classifier is logistic regression on the 64 pixels of a window: digit or not. All digits have the size of the
window, so the only box of a place is the window itself: offsets are whole pixels and nothing is regressed.
"""

import numpy as np
import torch
from torch.nn import functional as F

from scripts.dl import boxes as box
from scripts.dl.average_precision import COCO_THRESHOLDS, average_precision, match_images
from scripts.experiments.recorded import recorded
from scripts.figures.digits import digits

CANVAS, WINDOW, NOISE = 40, 8, 0.3
TRAIN_CANVASES, TEST_CANVASES = 300, 200
CHOSEN = 0.3  # threshold of NMS of the curves
CONFIDENT = 0.3  # raw hits with a smaller score are not detections
SUPPRESSIONS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
DECAY = 1e-3
CURVES = (0.5, 0.7, 0.8)  # IoU at which a detection counts, for the curves of the figure
SHOWN = 25  # the canvas kept for the figure

Canvases = tuple[np.ndarray, list[np.ndarray]]  # pictures (N, 40, 40) and true boxes (m, 4) of each


def canvases(images: np.ndarray, count: int, seed: int) -> Canvases:
    """Pictures with three to six digits that may overlap a little (IoU at most 0.15), and Gaussian noise."""
    rng = np.random.default_rng(seed)
    pictures, truths = np.zeros((count, CANVAS, CANVAS)), []
    for picture in pictures:
        placed = np.zeros((0, 4))
        wanted = rng.integers(3, 7)
        while len(placed) < wanted:
            x, y = rng.integers(0, CANVAS - WINDOW + 1, 2)
            new = np.array([[x, y, x + WINDOW, y + WINDOW]], dtype=float)
            if len(placed) and box.iou(new, placed).max() > 0.15:
                continue
            digit = images[rng.integers(len(images))].reshape(WINDOW, WINDOW)
            part = picture[y : y + WINDOW, x : x + WINDOW]
            np.maximum(part, digit, out=part)
            placed = np.concatenate([placed, new])
        truths.append(placed)
    return pictures + NOISE * rng.standard_normal(pictures.shape), truths


def windows(pictures: np.ndarray) -> np.ndarray:
    """All windows, (N, places, 64), row by row."""
    views = np.lib.stride_tricks.sliding_window_view(pictures, (WINDOW, WINDOW), axis=(1, 2))
    return views.reshape(len(pictures), -1, WINDOW**2)


def places() -> np.ndarray:
    """Boxes of all windows of a canvas, (33 * 33, 4)."""
    y, x = np.mgrid[: CANVAS - WINDOW + 1, : CANVAS - WINDOW + 1].reshape(2, -1).astype(float)
    return np.stack([x, y, x + WINDOW, y + WINDOW], axis=1)


def fit(pictures: np.ndarray, truths: list[np.ndarray], steps: int) -> tuple[np.ndarray, float]:
    """Weights (64,) and bias of logistic regression.

    Windows that coincide with a digit are objects, those with IoU below 0.5 background, the others are not used. Both
    kinds weigh the same in all, though there are about 200 times as many windows of background.
    """
    best = np.concatenate([box.iou(places(), true).max(axis=1) for true in truths])
    objects, background = best == 1, best < 0.5
    weight = torch.from_numpy(0.5 * objects / objects.sum() + 0.5 * background / background.sum())
    X, y = torch.from_numpy(windows(pictures).reshape(-1, WINDOW**2)), torch.from_numpy(objects.astype(float))
    w, b = (torch.zeros(size, dtype=torch.float64, requires_grad=True) for size in (WINDOW**2, 1))
    optimizer = torch.optim.LBFGS([w, b], max_iter=steps, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = F.binary_cross_entropy_with_logits(X @ w + b, y, weight, reduction="sum") + DECAY * w.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return w.detach().numpy(), b.item()


def raw_hits(pictures: np.ndarray, w: np.ndarray, b: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Boxes and scores of all confident windows, canvas by canvas."""
    scores = 1 / (1 + np.exp(-(windows(pictures) @ w + b)))
    return [(places()[row > CONFIDENT], row[row > CONFIDENT]) for row in scores]


def suppressed(hits: list[tuple[np.ndarray, np.ndarray]], threshold: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """What NMS leaves of every canvas."""
    kept = [box.nms(boxes, scores, threshold) for boxes, scores in hits]
    return [(boxes[k], scores[k]) for (boxes, scores), k in zip(hits, kept, strict=True)]


@recorded
def detections() -> dict[str, object]:
    """Hits at several IoU thresholds, AP over thresholds of NMS and of IoU, and everything about one canvas."""
    torch.set_num_threads(1)
    data = digits()
    w, b = fit(*canvases(data.X_train, TRAIN_CANVASES, 0), steps=200)
    pictures, truths = canvases(data.X_test, TEST_CANVASES, 1)
    raw = raw_hits(pictures, w, b)

    def ap(found: list[tuple[np.ndarray, np.ndarray]], threshold: float) -> float:
        return average_precision(*match_images(found, truths, threshold))

    final = suppressed(raw, CHOSEN)
    softened = [(boxes, box.soft_nms(boxes, scores)) for boxes, scores in raw]
    return {
        "hits": np.array([match_images(final, truths, threshold)[0] for threshold in CURVES]),
        "positives": sum(map(len, truths)),
        "raw_count": np.array([len(scores) for _, scores in raw]),
        "by_suppression": [ap(suppressed(raw, threshold), 0.5) for threshold in SUPPRESSIONS],
        "by_overlap": [ap(final, threshold) for threshold in COCO_THRESHOLDS],
        "soft": ap(softened, 0.5),
        "picture": pictures[SHOWN].astype(np.float32), "truths": truths[SHOWN],
        "raw": raw[SHOWN][0], "raw_scores": raw[SHOWN][1],
        "final": final[SHOWN][0], "final_scores": final[SHOWN][1],
    }  # fmt: skip
