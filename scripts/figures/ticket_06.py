"""Figures of ticket-06: overlaps of boxes, a small detector, focal loss, upsampling, skips, structured dropout."""

from functools import cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from scripts.dl import average_precision as ap
from scripts.dl import boxes as box
from scripts.dl import transposed_convolution as up
from scripts.dl.focal_loss import focal_loss
from scripts.dl.segmentation_metrics import confusion_matrix, mean_iou
from scripts.experiments import detector as det
from scripts.experiments import unet_skips as skips
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

# --- Overlaps ------------------------------------------------------------------------------------------------------

SHIFTS = np.linspace(0, 30, 301)


@cache
def overlaps() -> dict[str, np.ndarray]:
    """IoU, GIoU and DIoU of a box 10×10 with itself moved to the right by `SHIFTS`."""
    still = np.array([[0.0, 0, 10, 10]])
    moved = still + SHIFTS[:, None] * np.array([1, 0, 1, 0])
    return {name: getattr(box, name)(still, moved)[0] for name in ("iou", "giou", "diou")}


@figure
def sliding(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.4))
    lines = (
        ("iou", "IoU", "bad", "-", 4.0),
        ("giou", "GIoU", "good", "-", 1.8),
        ("diou", "DIoU", "forward", "--", 1.8),
    )
    for name, label, colour, style, width in lines:
        panel.plot(SHIFTS, overlaps()[name], style, color=getattr(theme, colour), linewidth=width, label=label)
    panel.axvline(10, color=theme.muted, linewidth=1, linestyle=":")
    panel.annotate("дальше рамки\nне пересекаются", (10.5, 0.72), color=theme.muted, fontsize=9)
    panel.set(xlabel="сдвиг рамки 10×10 вправо, пикселей", ylabel="мера перекрытия", ylim=(-0.75, 1.05), xlim=(0, 30))
    panel.yaxis.set_major_formatter(ticks())
    panel.legend(loc="upper right")
    return drawing


# --- The detector --------------------------------------------------------------------------------------------------


def _canvas(panel: Axes, theme: Theme) -> None:
    found = det.detections()
    panel.imshow(found["picture"], cmap="gray", vmin=-0.6, vmax=1.6, extent=(0, det.CANVAS, det.CANVAS, 0))
    panel.set(xticks=[], yticks=[])
    panel.grid(visible=False)
    for spine in panel.spines.values():
        spine.set_visible(False)


def _frame(panel: Axes, corners: np.ndarray, **style: object) -> None:
    x1, y1, x2, y2 = corners
    panel.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, **style))


@cache
def verdicts() -> np.ndarray:
    """Which detections of the shown canvas are hits at IoU 0.5, best first, as after NMS."""
    found = det.detections()
    return ap.match(found["final"], found["truths"], 0.5)


# Colours for drawing on a grey photograph, the same in both themes.
ON_PHOTO = {"raw": "#56b4e9", "hit": "#3ddc97", "miss": "#ff6b6b", "truth": "#f5d547"}


@figure
def detector(theme: Theme) -> Figure:
    found = det.detections()
    drawing = pyplot.figure(figsize=(WIDTH, 6.6))
    grid = drawing.add_gridspec(2, 2, height_ratios=(1, 1.25))
    left, right = (drawing.add_subplot(grid[0, column]) for column in range(2))
    below = drawing.add_subplot(grid[1, :])
    for panel in (left, right):
        _canvas(panel, theme)
    for corners in found["raw"]:
        _frame(left, corners, edgecolor=ON_PHOTO["raw"], linewidth=0.8, alpha=0.6)
    left.set_title(f"до подавления: {len(found['raw'])} окон")
    for corners in found["truths"]:
        _frame(right, corners, edgecolor=ON_PHOTO["truth"], linewidth=1.2, linestyle=":")
    for corners, score, hit in zip(found["final"], found["final_scores"], verdicts(), strict=True):
        colour = ON_PHOTO["hit" if hit else "miss"]
        _frame(right, corners, edgecolor=colour, linewidth=1.6)
        nearest = found["truths"][box.iou(corners[None], found["truths"])[0].argmax()]
        height = corners[3] + 2.6 if corners[1] > nearest[1] else corners[1] - 0.4  # on the side without a neighbour
        right.annotate(number(score, 2), (corners[0], height), color=colour, fontsize=9, weight="bold")
    right.set_title(f"после: {len(found['final'])}")
    lines = zip(det.CURVES, found["hits"], ("good", "forward", "bad"), strict=True)
    for threshold, hits, colour in lines:
        precision, recall = ap.precision_recall(hits, int(found["positives"]))
        area = ap.average_precision(hits, int(found["positives"]))
        hue = getattr(theme, colour)
        label = f"IoU ≥ {number(threshold)}: AP = {number(area, 2)}"
        best = ap.envelope(precision)
        below.plot(recall, precision, color=hue, linewidth=0.9, alpha=0.6)
        below.step(np.append(recall, recall[-1]), np.append(best, 0), where="pre", color=hue, label=label)
    below.set(xlabel="полнота", ylabel="точность", xlim=(0, 1.02), ylim=(0, 1.05))
    below.legend(loc="lower left")
    for axis in (below.xaxis, below.yaxis):
        axis.set_major_formatter(ticks())
    return drawing


@figure
def thresholds(theme: Theme) -> Figure:
    found = det.detections()
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 5.2))
    top.plot(det.SUPPRESSIONS, found["by_suppression"], "o-", color=theme.forward, markersize=5, label="обычное NMS")
    top.axhline(found["soft"], color=theme.good, linestyle="--", label="Soft-NMS, $\\sigma=0{,}5$")
    top.set(xlabel="порог NMS по IoU", ylabel="AP при IoU ≥ 0,5", ylim=(0.45, 1.03))
    top.legend(loc="lower left")
    bottom.step(
        ap.COCO_THRESHOLDS, found["by_overlap"], "o", where="mid", color=theme.forward, markersize=5, linestyle="-"
    )
    mean = np.mean(found["by_overlap"])
    bottom.axhline(mean, color=theme.backward, linestyle="--", label=f"среднее по порогам: {number(mean, 2)}")
    bottom.set(xlabel="порог IoU, с которого детекция верна", ylabel="AP", ylim=(0.45, 1.03))
    bottom.legend(loc="lower left")
    for panel in (top, bottom):
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter(ticks())
    return drawing


# --- Average precision by hand -------------------------------------------------------------------------------------

HITS = np.array([1, 1, 0, 1, 0, 0, 1, 0], dtype=bool)
POSITIVES = 5


@figure
def by_hand(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.9))
    precision, recall = ap.precision_recall(HITS, POSITIVES)
    best = ap.envelope(precision)
    panel.fill_between(
        np.append(0, recall), np.append(best[0], best), step="pre", color=theme.good, alpha=0.15, linewidth=0
    )
    panel.step(np.append(np.append(0, recall), recall[-1]), np.append(np.append(best[0], best), 0), where="pre",
               color=theme.good, label="огибающая")  # fmt: skip
    panel.plot(recall, precision, color=theme.muted, linewidth=1, label="кривая")
    for hit, colour, label in ((True, "forward", "верная"), (False, "bad", "ложная")):
        chosen = hit == HITS
        panel.plot(recall[chosen], precision[chosen], "o" if hit else "X", color=getattr(theme, colour), markersize=8,
                   label=label)  # fmt: skip
    places = {1: (0, 8), 2: (0, 8), 3: (-11, -3), 4: (9, 3), 5: (10, -3), 6: (-10, -8), 7: (9, 3), 8: (10, -4)}
    for rank, offset in places.items():
        panel.annotate(str(rank), (recall[rank - 1], precision[rank - 1]), offset, textcoords="offset points",
                       ha="center", fontsize=9)  # fmt: skip
    panel.plot(ap.VOC07, np.append(best, 0)[np.searchsorted(recall, ap.VOC07 - 1e-12)], "|", color=theme.accent,
               markersize=13, markeredgewidth=2, label="11 точек VOC07")  # fmt: skip
    panel.set(xlabel="полнота", ylabel="точность", xlim=(-0.03, 1.03), ylim=(-0.06, 1.12))
    panel.legend(loc="lower left", bbox_to_anchor=(0.0, 0.05))
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(ticks())
    return drawing


# --- Focal loss ----------------------------------------------------------------------------------------------------

EASY, HARD = 100_000, 100  # easy negatives and hard objects of one picture
HARD_P = 0.3  # probability of the true class at a hard object


def easy_share(p_object: np.ndarray, gamma: float, alpha: float) -> np.ndarray:
    """Share of the loss that comes from `EASY` negatives, each with the probability `p_object` of being an object."""
    logits = np.log(p_object / (1 - p_object))
    easy = EASY * focal_loss(logits, np.zeros_like(logits), gamma, alpha)[0]
    hard_logit = np.array([np.log(HARD_P / (1 - HARD_P))])
    hard = HARD * focal_loss(hard_logit, np.ones(1), gamma, alpha)[0]
    return easy / (easy + hard)


@figure
def focal(theme: Theme) -> Figure:
    drawing, (top, middle, bottom) = pyplot.subplots(3, 1, figsize=(WIDTH, 7.4))
    p = np.linspace(0.005, 0.995, 400)
    logits = np.linspace(-6, 6, 400)
    shares = np.geomspace(1e-4, 0.3, 200)
    for gamma, colour, style in ((0.0, "bad", "-"), (1.0, "accent", "--"), (2.0, "good", "-"), (5.0, "forward", "-.")):
        hue = getattr(theme, colour)
        label = "0 (кросс-энтропия)" if gamma == 0 else number(gamma)
        loss, _ = focal_loss(np.log(p / (1 - p)), np.ones_like(p), gamma, alpha=1.0)
        _, slope = focal_loss(logits, np.ones_like(logits), gamma, alpha=1.0)
        top.plot(p, loss, style, color=hue, label=f"$\\gamma={label}$" if gamma else "$\\gamma=0$, кросс-энтропия")
        middle.plot(logits, np.abs(slope), style, color=hue)
        bottom.plot(shares, easy_share(shares, gamma, 0.5), style, color=hue)
    top.set(xlabel="вероятность верного ответа $p_t$", ylabel="потери", ylim=(0, 4))
    top.legend(loc="upper right")
    middle.set(xlabel="логит верного ответа", ylabel="модуль\nпроизводной")
    bottom.set(
        xscale="log", xlabel="вероятность объекта у лёгкого фона", ylabel="доля фона\nв потерях", ylim=(-0.03, 1.03)
    )
    bottom.set_xticks([1e-4, 1e-3, 1e-2, 1e-1])
    for axis in (top.xaxis, top.yaxis, middle.yaxis, bottom.xaxis, bottom.yaxis):
        axis.set_major_formatter(ticks())
    return drawing


# --- Upsampling ----------------------------------------------------------------------------------------------------

SMALL = 4


@cache
def enlarged_ones() -> dict[str, np.ndarray]:
    """A map of ones 4×4 enlarged twice with kernels of ones, in three ways."""
    ones = np.ones((1, 1, SMALL, SMALL))
    padded = np.pad(up.nearest(ones, 2), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    smooth = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3)).sum(axis=(4, 5))
    return {
        "three": up.conv_transpose2d(ones, np.ones((1, 1, 3, 3)), 2)[0, 0],
        "four": up.conv_transpose2d(ones, np.ones((1, 1, 4, 4)), 2)[0, 0],
        "resize": smooth[0, 0],
    }


@figure
def checkerboard(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(1, 3, figsize=(WIDTH, 2.5))
    titles = {"three": "$k=3$, $s=2$", "four": "$k=4$, $s=2$", "resize": "ближайший\n+ свёртка 3×3"}
    for panel, (name, title) in zip(panels, titles.items(), strict=True):
        sheet = enlarged_ones()[name]
        panel.imshow(sheet, cmap=theme.sequential, vmin=0, vmax=10)
        for (i, j), value in np.ndenumerate(sheet):
            dark = (value > 5) == (theme.name == "light")
            panel.text(j, i, number(value), ha="center", va="center", fontsize=8.5,
                       color="white" if dark else "black")  # fmt: skip
        panel.set_title(title)
        panel.set(xticks=[], yticks=[])
        panel.grid(visible=False)
    return drawing


# --- Skips ---------------------------------------------------------------------------------------------------------

CASES = ((1, 300), (0, 300), (1, 900), (0, 900))  # skips or not, steps
PICTURES = (0, 1, 2)


@cache
def truth() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Test pictures (N, 32, 32), their classes, and the band of pixels near edges."""
    images, labels = skips.pictures(skips.TEST, skips.TEST_SEED)
    return images[:, 0], labels, skips.edge_band(labels)


@cache
def quality(with_skips: int, steps: int) -> dict[str, float]:
    """Mean IoU on all test pictures, accuracy in the band, away from it, and everywhere."""
    _, labels, band = truth()
    answer = skips.answers(with_skips, steps)["classes"]
    right = answer == labels
    return {
        "miou": mean_iou(confusion_matrix(labels, answer, skips.CLASSES)),
        "band": right[band].mean(), "inside": right[~band].mean(), "all": right.mean(),
    }  # fmt: skip


@figure
def unet_skips(theme: Theme) -> Figure:
    drawing = pyplot.figure(figsize=(WIDTH, 7.2))
    grid = drawing.add_gridspec(4, 4, height_ratios=(1, 1, 1, 1.5))
    images, labels, _ = truth()
    colours = ListedColormap([theme.surface, theme.forward, theme.backward])
    answers = [skips.answers(kind, 900)["classes"] for kind in (1, 0)]
    for row, picture in enumerate(PICTURES):
        sheets = (images[picture], labels[picture], *(answer[picture] for answer in answers))
        titles = ("вход", "истина", "со связями", "без связей")
        for column, (sheet, title) in enumerate(zip(sheets, titles, strict=True)):
            panel = drawing.add_subplot(grid[row, column])
            if column:
                panel.imshow(sheet, cmap=colours, vmin=0, vmax=2, interpolation="nearest")
            else:
                panel.imshow(sheet, cmap="gray", interpolation="nearest")
            panel.set(xticks=[], yticks=[])
            panel.grid(visible=False)
            if row == 0:
                panel.set_title(title, fontsize=9.5)
    below = drawing.add_subplot(grid[3, :])
    measures = (("miou", "mIoU"), ("band", "доля верных\nу границ"), ("inside", "доля верных\nвдали от границ"))
    looks = (("good", 0.45), ("bad", 0.45), ("good", 1.0), ("bad", 1.0))
    for place, ((kind, steps), (colour, alpha)) in enumerate(zip(CASES, looks, strict=True)):
        values = [quality(kind, steps)[name] for name, _ in measures]
        label = f"{'со связями' if kind else 'без связей'}, {steps} шагов"
        bars = below.bar(np.arange(3) + 0.2 * place - 0.3, values, 0.19, color=getattr(theme, colour), alpha=alpha,
                         label=label)  # fmt: skip
        below.bar_label(bars, [number(value, 2) for value in values], fontsize=8.5, padding=1)
    below.set_xticks(range(3), [label for _, label in measures])
    below.set(ylim=(0, 1.12))
    below.grid(axis="x", visible=False)
    below.yaxis.set_major_formatter(ticks())
    below.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
    return drawing


# --- Structured dropout --------------------------------------------------------------------------------------------

SHARE = 0.1  # of a map that falls out in the figure of averaged noise
WINDOWS = np.arange(1, 16, 2)


def noise_left(block: int, window: int) -> float:
    """Share of the variance of a DropBlock mask that its mean over a window x window square keeps, far from the edges.

    A place survives if none of the block² seeds whose blocks cover it is drawn; two places share seeds if they are
    closer than a block. With block 1 this is ordinary dropout: 1 / window².
    """
    lags = np.arange(1 - window, window)
    common = np.maximum(block - np.abs(lags), 0)
    pairs = window - np.abs(lags)  # of places of a row of the window at that distance
    # E[m_u m_v] / E[m]² - 1 = (1 - gamma)^(-common seeds) - 1, and (1 - gamma)^(block²) = 1 - SHARE.
    covariance = (1 - SHARE) ** (-np.outer(common, common) / block**2) - 1
    return float(pairs @ covariance @ pairs / window**4 / (SHARE / (1 - SHARE)))


@figure
def averaged_noise(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.4))
    lines = (
        (1, "Dropout", "bad", "o-"),
        (3, "DropBlock, $b=3$", "accent", "s--"),
        (7, "DropBlock, $b=7$", "good", "D-."),
    )
    for block, label, colour, style in lines:
        left = [noise_left(block, int(window)) for window in WINDOWS]
        panel.plot(WINDOWS, left, style, color=getattr(theme, colour), markersize=4, label=label)
    panel.plot(WINDOWS, np.ones(len(WINDOWS)), color=theme.forward, linewidth=2.5, label="Dropout2d")
    panel.set(
        yscale="log",
        xlabel="сторона окна усреднения, позиций",
        ylabel="оставшаяся доля\nдисперсии маски",
        ylim=(0.003, 1.6),
    )
    panel.set_xticks(WINDOWS)
    panel.set_yticks([0.01, 0.1, 1])
    panel.yaxis.set_major_formatter(ticks())
    panel.legend(loc="lower left")
    return drawing


LEAK_STEPS = 300
NAMES = {"dropout": "Dropout", "channels": "Dropout2d", "blocks": "DropBlock", "shared": "DropBlock,\nобщая маска"}


@figure
def structured_dropout(theme: Theme) -> Figure:
    found = skips.leak(LEAK_STEPS)
    drawing = pyplot.figure(figsize=(WIDTH, 8.4))
    grid = drawing.add_gridspec(4, 4, height_ratios=(1, 1, 1.25, 1.5))
    maps = found["maps"]
    for row, channel in enumerate((0, 2)):
        for column, (kind, title) in enumerate(NAMES.items()):
            panel = drawing.add_subplot(grid[row, column])
            kept = np.where(found[f"masks_{kind}"][channel], maps[channel], np.nan)
            panel.set_facecolor(theme.bad)
            panel.imshow(kept, cmap="gray", vmin=0, vmax=maps[channel].max(), interpolation="nearest")
            panel.set(xticks=[], yticks=[])
            panel.grid(visible=False)
            if row == 0:
                panel.set_title(title, fontsize=9)
    middle = drawing.add_subplot(grid[2, :])
    middle.plot(range(skips.LAGS), found["correlation"], "o-", color=theme.forward, markersize=5)
    middle.axhline(0, color=theme.muted, linewidth=0.8)
    middle.set(xlabel="расстояние, позиций", ylabel="корреляция", ylim=(-0.12, 1.05))
    below = drawing.add_subplot(grid[3, :])
    for shift, (reach, label, colour) in zip((-0.2, 0.2), (("own", "по своему каналу, 5×5", "forward"),
                                             ("all", "по всем каналам, 3×3", "backward")), strict=True):  # fmt: skip
        values = [max(float(found[f"{reach}_{kind}"]), 0) for kind in NAMES]
        bars = below.bar(np.arange(4) + shift, values, 0.38, color=getattr(theme, colour), label=label)
        below.bar_label(bars, [number(value, 2) for value in values], fontsize=9, padding=1)
    below.set_xticks(range(4), NAMES.values())
    below.set(ylabel="угаданная доля\nдисперсии $R^2$", ylim=(0, 1.0))
    below.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
    below.grid(axis="x", visible=False)
    for axis in (middle.yaxis, below.yaxis):
        axis.set_major_formatter(ticks())
    return drawing
