"""Figures of tm-11: one network with a detector and a segmenter on the same scenes, and what each metric sees of it."""

from functools import cache

import numpy as np
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.ndimage import label as connected_components

from scripts.dl import average_precision as scoring
from scripts.dl import segmentation_metrics as sm
from scripts.experiments import two_heads as experiment
from scripts.experiments.two_heads import CLASSES, DISC, SQUARE, THINGS, Scene
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

NAMES = {DISC: "круг", SQUARE: "квадрат"}
SHOWN_SCORE = 0.3  # detections below are not drawn and not used to split instances


@cache
def scenes() -> list[Scene]:
    return experiment.test_scenes()


def detections(scene: int, thing: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (n, 4) and scores (n,) of one class in one test scene, best first."""
    found = experiment.two_heads()
    chosen = np.flatnonzero((found["number"] == scene) & (found["label"] == thing))
    chosen = chosen[np.argsort(-found["score"][chosen], kind="stable")]
    return found["box"][chosen].astype(float), found["score"][chosen].astype(float)


def truths(scene: int, thing: int) -> np.ndarray:
    return scenes()[scene].boxes[scenes()[scene].labels == thing]


@cache
def confusions() -> np.ndarray:
    """Confusion matrices of the test scenes, (80, 4, 4)."""
    found = experiment.two_heads()["classes"]
    return np.array([
        sm.confusion_matrix(one.classes, answer, CLASSES) for one, answer in zip(scenes(), found, strict=True)
    ])  # fmt: skip


# --- One scene -----------------------------------------------------------------------------------------------------

SCENE = 43


def drawn_boxes(scene: int) -> list[tuple[str, int, np.ndarray, float]]:
    """Boxes of a scene at IoU 0.5: kind ("TP", "FP", "FN"), class, box, score (NaN for FN)."""
    drawn = []
    for thing in THINGS:
        boxes, scores = detections(scene, thing)
        boxes, scores = boxes[scores >= SHOWN_SCORE], scores[scores >= SHOWN_SCORE]
        right = scoring.match(boxes, truths(scene, thing), 0.5)
        drawn += [
            ("TP" if ok else "FP", thing, box, score) for ok, box, score in zip(right, boxes, scores, strict=True)
        ]
        missed = [true for true in truths(scene, thing) if not scoring.match(boxes, true[None], 0.5).any()]
        drawn += [("FN", thing, true, float("nan")) for true in missed]
    return drawn


def _bare(panel) -> None:
    panel.set(xticks=[], yticks=[])
    panel.grid(visible=False)
    for spine in panel.spines.values():
        spine.set_visible(False)


def _class_colours(theme: Theme) -> ListedColormap:
    return ListedColormap([theme.surface, theme.grid, theme.forward, theme.accent])


@figure
def scene(theme: Theme) -> Figure:
    drawing, (top, middle, bottom) = pyplot.subplots(3, 1, figsize=(WIDTH, 10.2))
    one, answer = scenes()[SCENE], experiment.two_heads()["classes"][SCENE]
    extent = (0, experiment.WIDTH, experiment.HEIGHT, 0)
    top.imshow(one.picture, cmap="gray", vmin=-0.1, vmax=1.2, extent=extent, interpolation="nearest")
    # On a dark picture in both themes: fixed light hues
    hues = {"TP": "#4fc9a1", "FP": "#f2777a", "FN": "#e3b341"}
    drawn = drawn_boxes(SCENE)
    for kind, thing, box, score in drawn:
        x1, y1, x2, y2 = box
        style = "--" if kind == "FN" else "-"
        wide = 4.5 if kind == "FP" else 1.8  # so that it shows under a right box of the same place
        top.add_patch(
            Rectangle(
                (x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=hues[kind], linewidth=wide, linestyle=style,
                zorder=1.5 if kind == "FP" else 2,
            )
        )  # fmt: skip
        shared = sum(np.allclose(box, other) for _, _, other, _ in drawn) > 1  # one place, two classes
        name, above = f"{kind}: {NAMES[thing]}", kind == "TP"
        if kind != "FN":
            name += ("\n" if shared else " ") + number(score, 2)
        if shared:
            place, vertical = (x2 + 0.7, y1 if above else y2), "top" if above else "bottom"
        else:
            place, vertical = (x1, y1 - 0.4 if above else y2 + 0.4), "bottom" if above else "top"
        top.annotate(name, place, color=hues[kind], fontsize=9, zorder=3, va=vertical,
                     bbox={"facecolor": "black", "alpha": 0.6, "pad": 0.5, "linewidth": 0})  # fmt: skip
    top.set(xlim=(0, experiment.WIDTH), ylim=(experiment.HEIGHT, 0))
    top.set_title("Детектор: рамки, классы, уверенности")
    middle.imshow(answer, cmap=_class_colours(theme), vmin=0, vmax=3, extent=extent, interpolation="nearest")
    middle.set_title("Сегментатор: класс каждого пикселя")
    outcome = pixel_outcome(SCENE, DISC)
    kinds = (("TN", theme.surface), ("TP", theme.good), ("FP", theme.bad), ("FN", theme.accent))
    bottom.imshow(outcome, cmap=ListedColormap([colour for _, colour in kinds]), vmin=0, vmax=3, extent=extent,
                  interpolation="nearest")  # fmt: skip
    counts = np.bincount(outcome.ravel(), minlength=4)
    union = counts[1:].sum()
    bottom.set_title(f"Пиксели класса «круг»: IoU {counts[1]}/{union} = {number(counts[1] / union, 2)}")
    for panel, legend in (
        (middle, (("небо", theme.surface), ("земля", theme.grid), ("круг", theme.forward), ("квадрат", theme.accent))),
        (bottom, tuple((f"{name} {count}", hue) for (name, hue), count in zip(kinds, counts, strict=True))),
    ):
        handles = [Rectangle((0, 0), 1, 1, facecolor=hue, edgecolor=theme.muted, linewidth=0.5) for _, hue in legend]
        panel.legend(handles, [name for name, _ in legend], loc="upper center", bbox_to_anchor=(0.5, 0.0), ncol=4,
                     handlelength=1.0, columnspacing=1.4)  # fmt: skip
    for panel in (top, middle, bottom):
        _bare(panel)
    return drawing


def pixel_outcome(scene: int, label: int) -> np.ndarray:
    """0 for TN, 1 for TP, 2 for FP, 3 for FN, pixel by pixel."""
    true, found = scenes()[scene].classes == label, experiment.two_heads()["classes"][scene] == label
    return np.where(true & found, 1, np.where(found, 2, np.where(true, 3, 0)))


# --- A rare class --------------------------------------------------------------------------------------------------

METRICS = {
    "доля верных пикселей": sm.pixel_accuracy,
    "средняя полнота классов": sm.mean_accuracy,
    "fwIoU": sm.frequency_weighted_iou,
    "mIoU": sm.mean_iou,
    "Dice объекта": lambda n: float(sm.dice(n)[1]),
}


@cache
def rare_object() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A mask with 5 % of object (an ellipse on 100×100) and three answers: nothing, half of it, a rim too much."""
    y, x = np.mgrid[:100, :100] - 49.5
    distance = np.hypot(x / 1.6, y)
    order = np.argsort(distance.ravel(), kind="stable")
    target, wide = np.zeros(100 * 100, dtype=int), np.zeros(100 * 100, dtype=int)
    target[order[:500]] = 1
    wide[order[:1000]] = 1  # as much again, all around
    target, wide = target.reshape(100, 100), wide.reshape(100, 100)
    return target, {"всё – фон": 0 * target, "левая половина объекта": target * (x < 0), "вдвое больше объекта": wide}


@figure
def imbalance(theme: Theme) -> Figure:
    drawing = pyplot.figure(figsize=(WIDTH, 5.0))
    grid = drawing.add_gridspec(2, 3, height_ratios=(1, 1.2))
    target, answers = rare_object()
    colours = ListedColormap([theme.surface, theme.good, theme.bad, theme.accent])
    hues, markers = (theme.bad, theme.forward, theme.extra), "so^"
    panel = drawing.add_subplot(grid[1, :])
    places = np.arange(len(METRICS))[::-1]
    for column, (name, answer) in enumerate(answers.items()):
        picture = drawing.add_subplot(grid[0, column])
        outcome = np.where(target * answer, 1, np.where(answer, 2, np.where(target, 3, 0)))
        picture.imshow(outcome, cmap=colours, vmin=0, vmax=3, interpolation="nearest")
        picture.set_title(name.replace(" объекта", "\nобъекта"), fontsize=9.5, color=hues[column])
        _bare(picture)
        n = sm.confusion_matrix(target, answer, 2)
        values = [metric(n) for metric in METRICS.values()]
        panel.plot(values, places + 0.22 * (1 - column), markers[column], color=hues[column], markersize=7)
    panel.set_yticks(places, METRICS)
    panel.set(xlim=(-0.03, 1.03), ylim=(-0.6, len(METRICS) - 0.4), xlabel="значение")
    panel.xaxis.set_major_formatter(ticks())
    kinds = (("TN", theme.surface), ("TP", theme.good), ("FP", theme.bad), ("FN", theme.accent))
    handles = [Rectangle((0, 0), 1, 1, facecolor=hue, edgecolor=theme.muted, linewidth=0.5) for _, hue in kinds]
    panel.legend(handles, [name for name, _ in kinds], title="пиксели объекта на масках:", loc="lower center",
                 bbox_to_anchor=(0.5, 1.0), ncol=4, handlelength=1.0, columnspacing=1.4)  # fmt: skip
    return drawing


# --- Instances -----------------------------------------------------------------------------------------------------

CROWD = 8
SMALLEST = 12  # pixels of an instance


def instances_by_components(classes: np.ndarray, thing: int) -> np.ndarray:
    """Every connected piece of the class of at least 12 pixels is an instance, (40, 64) of 0, 1, …"""
    pieces, _ = connected_components(classes == thing)
    large = np.bincount(pieces.ravel()) >= SMALLEST
    return np.where(large[pieces], pieces, 0)


def instances_by_boxes(classes: np.ndarray, thing: int, boxes: np.ndarray) -> np.ndarray:
    """Every pixel of the class goes to the box that contains it and whose centre is nearest in units of its sides."""
    y, x = np.mgrid[: classes.shape[0], : classes.shape[1]] + 0.5
    best, owner = np.full(classes.shape, 1.0), np.zeros(classes.shape, dtype=int)
    for index, (x1, y1, x2, y2) in enumerate(boxes, start=1):
        away = np.maximum(np.abs(x - (x1 + x2) / 2) / ((x2 - x1) / 2), np.abs(y - (y1 + y2) / 2) / ((y2 - y1) / 2))
        nearer = (away < best) & (classes == thing)
        owner[nearer], best[nearer] = index, away[nearer]
    return owner


def instances(scene: int, thing: int, way: str) -> np.ndarray:
    """Instances of one class. `way` is "truth"; "components" or "boxes", the true map of classes split into connected
    pieces or by the true boxes; "found components" or "found boxes", the same with what the network answered; "mended
    components", where pixels rightly called a thing are given their true class."""
    one, found = scenes()[scene], way.startswith("found")
    if way == "truth":
        return np.where(one.classes == thing, one.instances, 0).astype(int)
    answer = experiment.two_heads()["classes"][scene]
    classes = answer if found else one.classes
    if way == "mended components":
        classes = np.where(np.isin(answer, THINGS) & np.isin(one.classes, THINGS), one.classes, answer)
    if way.endswith("components"):
        return instances_by_components(classes, thing)
    boxes, scores = detections(scene, thing)
    return instances_by_boxes(classes, thing, boxes[scores >= SHOWN_SCORE] if found else truths(scene, thing))


@cache
def panoptic(way: str) -> dict[int, sm.PanopticQuality]:
    """Quality of each thing over all scenes; stuff does not depend on the way and is left out."""
    qualities = {}
    for thing in THINGS:
        matched, fp, fn = [], 0, 0
        for i in range(len(scenes())):
            more, extra, missed = sm.match_segments(instances(i, thing, "truth"), instances(i, thing, way))
            matched, fp, fn = [*matched, *more], fp + extra, fn + missed
        qualities[thing] = sm.panoptic_quality(matched, fp, fn)
    return qualities


def mean_pq(way: str) -> float:
    return float(np.mean([quality.pq for quality in panoptic(way).values()]))


@figure
def crowd(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 2, figsize=(WIDTH, 4.6))
    palette = [theme.forward, theme.backward, theme.good, theme.extra, theme.accent, theme.bad]
    surface = np.array(to_rgb(theme.surface))

    def coloured(way: str) -> np.ndarray:
        """A piece has the colour of the true instance that takes most of it."""
        sheet = np.tile(surface, (experiment.HEIGHT, experiment.WIDTH, 1))
        for thing in THINGS:
            segments = instances(CROWD, thing, way)
            for segment in np.unique(segments[segments > 0]):
                true = np.bincount(scenes()[CROWD].instances[segments == segment]).argmax()
                sheet[segments == segment] = to_rgb(palette[(true - 1) % len(palette)])
        return sheet

    panels[0, 0].imshow(scenes()[CROWD].classes, cmap=_class_colours(theme), vmin=0, vmax=3, interpolation="nearest")
    panels[0, 0].set_title("карта классов\nбез ошибок, mIoU 1", fontweight="normal")
    for panel, way, name in (
        (panels[0, 1], "truth", "экземпляры\nна самом деле"),
        (panels[1, 0], "components", f"связные куски\nPQ {number(mean_pq('components'), 2)} (80 сцен)"),
        (panels[1, 1], "boxes", f"карта и верные рамки\nPQ {number(mean_pq('boxes'), 2)} (80 сцен)"),
    ):
        panel.imshow(coloured(way), interpolation="nearest")
        panel.set_title(name, fontweight="normal")
    for panel in panels.flat:
        _bare(panel)
    return drawing
