"""Figures of tm-10: what to freeze, and full fine-tuning beside low-rank adaptation."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scripts.experiments import lora, transfer
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

MODES = {
    "scratch": ("с нуля", "bad", "o"),
    "probe": ("только голова", "accent", "s"),
    "two-frozen": ("две свёртки заморожены", "extra", "v"),
    "full": ("обучается всё", "forward", "^"),
    "lp-ft": ("сначала голова, потом всё", "good", "D"),
}


def transferred(mode: str, labels: int, domain: str = "same") -> np.ndarray:
    """Accuracies on the target classes, (seeds,)."""
    arguments = (labels,) if domain == "same" else (labels, domain)
    return transfer.transfer(*arguments)["accuracy"][transfer.MODES.index(mode)]


@figure
def freezing(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.3))
    for mode, (label, colour, marker) in MODES.items():
        means = [transferred(mode, labels).mean() for labels in transfer.LABELS]
        panel.plot(transfer.LABELS, means, color=getattr(theme, colour), marker=marker, markersize=5, label=label)
    panel.set(xscale="log", xlabel="размеченных картинок на класс", ylabel="доля верных на контроле", ylim=(0.3, 0.92))
    panel.set_xticks(transfer.LABELS)
    panel.xaxis.set_major_formatter(ticks())
    panel.xaxis.minorticks_off()
    panel.yaxis.set_major_formatter(ticks(1))
    panel.legend(loc="lower right")
    return drawing


PARTS = {"layer-1": "первый слой", "layer-2": "второй слой", "layer-3": "последний слой", "full": "все слои"}
SHIFTS = {"rotated": "вход повёрнут на 30°", "relabelled": "классы переименованы"}


@figure
def one_layer(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 4.4), sharex=True)
    for panel, (shift, title) in zip(panels, SHIFTS.items(), strict=True):
        results = [lora.adapt(method, shift)["target"] for method in PARTS]
        means = [result.mean() for result in results]
        best = int(np.argmax(means))
        for row, result in enumerate(results):
            hue = theme.good if row == best else theme.forward
            panel.plot([result.min(), result.max()], [row, row], color=hue, linewidth=4, alpha=0.4)
            panel.plot(means[row], row, color=hue, marker="o", markersize=8)
            panel.annotate(number(means[row], 2), (1.0, row), va="center", ha="left", annotation_clip=False)
        panel.set_yticks(range(len(PARTS)), list(PARTS.values()))
        panel.set_ylim(len(PARTS) - 0.5, -0.5)
        panel.grid(visible=False, axis="y")
        panel.set_title(title)
    panels[1].set(xlim=(0.75, 0.995), xlabel="доля верных на контроле, обучается только названное")
    panels[1].xaxis.set_major_formatter(ticks(2))
    return drawing


LORA = [f"lora-{rank}" for rank in lora.RANKS]
SOURCE_BEFORE = 0.969  # accuracy of the pretrained networks on the source task; a test measures it


@figure
def capacity(theme: Theme) -> Figure:
    drawing, (learned, kept) = pyplot.subplots(2, 1, figsize=(WIDTH, 6.0), sharex=True)
    _methods(learned, theme, "target")
    _methods(kept, theme, "source")
    before = lora.adapt("full", "rotated")["before"].mean()
    learned.axhline(before, color=theme.muted, linestyle=":", linewidth=1.2)
    learned.annotate("до дообучения", (500, before + 0.01), color=theme.muted, fontsize=9)
    learned.set(ylabel="новая задача", ylim=(0.42, 1.0))
    kept.axhline(SOURCE_BEFORE, color=theme.muted, linestyle=":", linewidth=1.2)
    kept.annotate("до дообучения", (500, SOURCE_BEFORE - 0.01), va="top", color=theme.muted, fontsize=9)
    kept.set(ylabel="старая задача", ylim=(0.42, 1.0), xscale="log", xlim=(450, 36_000),
             xlabel="обучаемых чисел")  # fmt: skip
    kept.set_xticks([1000, 10_000], ["1000", "10 000"])
    learned.legend(loc="center right", bbox_to_anchor=(1.0, 0.42))
    learned.yaxis.set_major_formatter(ticks(1))
    kept.yaxis.set_major_formatter(ticks(1))
    return drawing


def _methods(panel: Axes, theme: Theme, which: str) -> None:
    def point(method: str) -> tuple[int, float]:
        return lora.parameters(method), lora.adapt(method, "rotated")[which].mean()

    def spread(method: str, colour: str) -> None:
        found = lora.adapt(method, "rotated")[which]
        panel.vlines(lora.parameters(method), found.min(), found.max(), color=colour, alpha=0.4, linewidth=3)

    panel.plot(*zip(*map(point, LORA), strict=True), color=theme.good, marker="o", markersize=5, label="LoRA")
    for rank, method in zip(lora.RANKS, LORA, strict=True):
        spread(method, theme.good)
        top = lora.parameters(method), lora.adapt(method, "rotated")[which].max()
        panel.annotate(f"$r={rank}$", top, xytext=(0, 4), textcoords="offset points", ha="center",
                       fontsize=9, color=theme.good)  # fmt: skip
    for method, label, colour, marker in (
        ("layer-3", "последний слой", "accent", "s"),
        ("layer-1", "первый слой", "extra", "v"),
        ("full", "все веса", "forward", "^"),
    ):
        spread(method, getattr(theme, colour))
        panel.plot(*point(method), color=getattr(theme, colour), marker=marker, markersize=7, linestyle="", label=label)


def energy(name: str) -> np.ndarray:
    """Share of the sum of squares of singular values in the first k, k = 1 …, averaged over networks."""
    squares = lora.spectrum()[name] ** 2
    return (np.cumsum(squares, axis=1) / squares.sum(axis=1, keepdims=True)).mean(axis=0)


@figure
def spectrum(theme: Theme) -> Figure:
    drawing, (shares, cut) = pyplot.subplots(2, 1, figsize=(WIDTH, 6.0), sharex=True)
    for layer, line in ((1, "-"), (2, "--")):
        for name, label, colour in (("weight", "веса", "muted"), ("update", "их изменение", "good")):
            curve = energy(f"{name}-{layer}")
            shares.plot(np.arange(1, len(curve) + 1), curve, color=getattr(theme, colour), linestyle=line,
                        label=f"{label}, слой {layer}")  # fmt: skip
    shares.set(ylabel="доля суммы квадратов", ylim=(0, 1.03))
    shares.legend(loc="lower right")
    found = lora.spectrum()
    cut.plot(lora.TRUNCATIONS, found["truncated"].mean(axis=0), color=theme.forward, marker="o", markersize=5)
    cut.fill_between(lora.TRUNCATIONS, found["truncated"].min(axis=0), found["truncated"].max(axis=0),
                     color=theme.forward, alpha=0.2, linewidth=0)  # fmt: skip
    cut.axhline(found["whole"].mean(), color=theme.muted, linestyle=":", linewidth=1.2)
    cut.annotate(
        "без обрезки", (31.5, found["whole"].mean() - 0.02), ha="right", va="top", color=theme.muted, fontsize=9
    )
    cut.set(xlabel="ранг", ylabel="доля верных на контроле", xlim=(0, 32), ylim=(0.4, 1.0))
    for panel in (shares, cut):
        panel.yaxis.set_major_formatter(ticks(1))
    return drawing
