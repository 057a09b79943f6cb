"""Figures of tm-13: what GloVe weighs, what it and skip-gram fit, and what they say of pairs that never met."""

import re
from functools import cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scripts.dl import glove as dl_glove
from scripts.dl import skip_gram as sg
from scripts.experiments import glove as ex
from scripts.experiments.texts import chapters
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

# --- Weights -------------------------------------------------------------------------------------------------------

EDGES = (0.0, 0.5, 1.0, 3.0, 10.0, 30.0, 100.0, np.inf)
LABELS = ("≤0,5", "0,5–1", "1–3", "3–10", "10–30", "30–100", ">100")


@cache
def novel_counts() -> np.ndarray:
    """Co-occurrences of all words of two chapters of a novel, window 5, each chapter apart."""
    texts = [re.findall(r"[а-яё]+(?:-[а-яё]+)*", chapter.lower()) for chapter in chapters("tolstoy.ru")]
    index = {word: i for i, word in enumerate(dict.fromkeys(word for text in texts for word in text))}
    return sum(
        dl_glove.cooccurrences(np.array([index[word] for word in text]), len(index), ex.WINDOW) for text in texts
    )


def shares(X: np.ndarray) -> dict[str, np.ndarray]:
    """Per class of counts: its share of the nonzero cells, of the sum of f, of the sum of counts; (classes,) each."""
    x = X[X > 0]
    place = np.searchsorted(EDGES, x, side="left") - 1

    def by_class(values: np.ndarray) -> np.ndarray:
        sums = np.bincount(place, values, minlength=len(LABELS))
        return sums / sums.sum()

    return {"cells": by_class(np.ones_like(x)), "weights": by_class(dl_glove.weight(x)), "counts": by_class(x)}


@figure
def weights(theme: Theme) -> Figure:
    drawing, (top, *bars) = pyplot.subplots(3, 1, figsize=(WIDTH, 7.0), height_ratios=(3, 2.6, 2.6))
    x = np.linspace(0, 160, 400)
    top.plot(x, dl_glove.weight(x), color=theme.forward, label="$f(x)$ при $\\alpha=3/4$")
    top.plot(
        x, dl_glove.weight(x, alpha=1.0), color=theme.muted, linewidth=1.2, linestyle="--", label="при $\\alpha=1$"
    )
    for count, side in ((1, (30, -2)), (10, (-12, 38)), (100, (-4, -14))):
        top.plot(count, dl_glove.weight(count), "o", color=theme.backward, markersize=5)
        top.annotate(f"$f({count})$ = {number(dl_glove.weight(count), 3 if count < 100 else 0)}",
                     (count, dl_glove.weight(count)), xytext=side, textcoords="offset points",
                     arrowprops={"arrowstyle": "-", "color": theme.muted, "linewidth": 0.8})  # fmt: skip
    top.set(xlabel="счёт пары $x$", ylabel="вес в потерях", ylim=(0, 1.12))
    top.legend(loc="lower right")
    top.yaxis.set_major_formatter(ticks())
    sources = (("две главы «Анны Карениной»", novel_counts()), ("порождённый корпус", ex.counts()))
    for panel, (title, X) in zip(bars, sources, strict=True):
        _bars(panel, shares(X), theme)
        panel.set_title(title, fontweight="normal")
    bars[0].legend(loc="upper right")
    bars[1].set_xlabel("счёт пары")
    return drawing


def _bars(panel: Axes, found: dict[str, np.ndarray], theme: Theme) -> None:
    series = (
        ("cells", "доля ячеек", theme.muted),
        ("weights", "доля суммы $f$ (GloVe)", theme.forward),
        ("counts", "доля пар корпуса (Word2Vec)", theme.backward),
    )
    for shift, (name, label, colour) in enumerate(series):
        panel.bar(np.arange(len(LABELS)) + 0.27 * (shift - 1), found[name], width=0.25, color=colour, label=label)
    panel.set_xticks(np.arange(len(LABELS)), LABELS)
    panel.set(ylabel="доля", ylim=(0, 1.05 * max(values.max() for values in found.values())))
    panel.grid(axis="x", visible=False)
    panel.yaxis.set_major_formatter(ticks())


# --- Fits ----------------------------------------------------------------------------------------------------------

SHOWN = 1200  # points of a cloud


@cache
def fits() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Over the nonzero cells: target, score, count. GloVe's target is log X, that of SGNS is PMI - log k."""
    X = ex.counts()
    seen = X > 0
    vectors = ex.learned("sgns", ex.SEGMENTS)
    return {
        "glove": (np.log(X[seen]), dl_glove.scores(ex.learned("glove", ex.SEGMENTS))[seen], X[seen]),
        "sgns": (
            sg.sgns_optimum(X, ex.NEGATIVES)[seen], (vectors["W"] @ vectors["W_tilde"].T)[seen], X[seen],
        ),
    }  # fmt: skip


def correlation(model: str, above: float = 0.0) -> float:
    target, score, count = fits()[model]
    return float(np.corrcoef(target[count > above], score[count > above])[0, 1])


@figure
def scatter(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 7.2))
    texts = {
        "glove": ("GloVe", r"$\log X_{ij}$", r"$w_i^\top\tilde w_j+b_i+\tilde b_j$"),
        "sgns": ("SGNS", r"$\mathrm{PMI}(i,j)-\log 5$", r"$v_i^\top u_j$"),
    }
    chosen = np.random.default_rng(0).permutation(len(fits()["glove"][0]))[:SHOWN]
    for panel, (model, (title, target_label, score_label)) in zip(panels, texts.items(), strict=True):
        target, score, count = (values[chosen] for values in fits()[model])
        order = np.argsort(count)
        cloud = panel.scatter(
            target[order], score[order], c=np.log10(count[order]), s=8, cmap=theme.sequential, linewidths=0,
            vmin=-1.7, vmax=2.5,
        )  # fmt: skip
        ends = np.array([target.min(), target.max()])
        panel.plot(ends, ends, color=theme.muted, linewidth=1, linestyle="--")
        panel.set(title=f"{title}: r = {number(correlation(model), 2)}", xlabel=target_label, ylabel=score_label)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter(ticks())
    bar = drawing.colorbar(cloud, ax=panels, location="bottom", shrink=0.7, aspect=30, label="счёт пары $X_{ij}$")
    bar.set_ticks(np.log10([0.3, 1, 3, 10, 30, 100, 300]), labels=["0,3", "1", "3", "10", "30", "100", "300"])
    bar.outline.set_visible(False)
    bar.ax.set_xlim(np.log10(0.2), None)
    return drawing


# --- Against the truth ---------------------------------------------------------------------------------------------

CLASSES = ("0", *LABELS)
MODELS = {"counts": "сами счёты", "glove": "GloVe", "sgns": "SGNS"}


def estimates(segments: int = ex.SEGMENTS) -> dict[str, np.ndarray]:
    """PMI as the counts, GloVe and SGNS put it, (n, n) each; -inf where the counts are zero."""
    return {"counts": sg.pmi(ex.counts(segments))} | {
        name: ex.estimated_pmi(name, segments) for name in ("glove", "sgns")
    }


@cache
def errors(model: str, segments: int = ex.SEGMENTS) -> np.ndarray:
    """Lower quartile, median and upper quartile of estimate minus true PMI by class of counts, (8, 3); -inf is nan."""
    error = estimates(segments)[model] - ex.true_pmi()
    place = np.searchsorted(EDGES, ex.counts(segments), side="left")  # zero counts: class 0
    rows = [np.percentile(error[place == i], (25, 50, 75), method="nearest") for i in range(len(CLASSES))]
    return np.where(np.isfinite(rows), rows, np.nan)


@figure
def truth(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 6.4), sharex=True, sharey=True)
    styles = {
        "counts": (theme.muted, "s", -0.12),
        "glove": (theme.forward, "o", 0.0),
        "sgns": (theme.backward, "^", 0.12),
    }
    places = np.arange(len(CLASSES))
    for panel, segments in zip(panels, (ex.SEGMENTS, 4 * ex.SEGMENTS), strict=True):
        panel.axhline(0, color=theme.ink, linewidth=0.8)
        for model, (colour, marker, shift) in styles.items():
            low, middle, high = errors(model, segments).T
            panel.vlines(places + shift, low, high, color=colour, linewidth=2.2, alpha=0.45)
            panel.plot(
                places + shift, middle, color=colour, marker=marker, markersize=5, linewidth=1.2, label=MODELS[model]
            )
        words = number(segments * ex.LENGTH / 1000, 0)
        panel.set_title(f"корпус в {words} тысяч слов", fontweight="normal")
        panel.set(ylabel="ошибка PMI")
        panel.grid(axis="x", visible=False)
        panel.yaxis.set_major_formatter(ticks())
    panels[0].legend(loc="upper right", ncol=3)
    panels[1].set_xticks(places, CLASSES)
    panels[1].set_xlabel("счёт пары в корпусе (0 – не встретилась ни разу)")
    return drawing
