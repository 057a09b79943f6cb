"""Figures of ticket-07: what neighbours tell about letters and words, and how words are cut into tokens."""

from functools import cache
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from scripts.dl import skip_gram as sg
from scripts.experiments import sgns, tokenizers
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

# --- Letters ---------------------------------------------------------------------------------------------------------

VOWELS = "аеиоуыэюя"
NUDGES = {"т": 0.18, "м": -0.18, "р": 0.22, "х": -0.2}  # letters that would lie on each other


@cache
def letter_map() -> np.ndarray:
    """Two coordinates of every letter, (29, 2): left singular vectors of the PMI matrix times the singular values."""
    left, values, _ = np.linalg.svd(sg.pmi(sgns.letter_counts()))
    signs = np.sign(left[sgns.ALPHABET.index("о"), :2])  # the sign of a singular vector is arbitrary
    return left[:, :2] * values[:2] * signs


@figure
def letters(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.4))
    points = letter_map()
    kinds = (("гласные", "forward"), ("согласные", "backward"), ("мягкий знак", "accent"))
    for label, colour in kinds:
        panel.plot([], [], "o", color=getattr(theme, colour), label=label)
    for letter, (x, y) in zip(sgns.ALPHABET, points, strict=True):
        kind = 2 if letter == "ь" else 0 if letter in VOWELS else 1
        look = {"color": getattr(theme, kinds[kind][1]), "fontsize": 12, "weight": "bold"}
        panel.text(x, y + NUDGES.get(letter, 0), letter, ha="center", va="center", **look)
    panel.axvline(0, color=theme.muted, linewidth=0.8, linestyle="--")
    low, high = points.min(axis=0), points.max(axis=0)
    panel.set(xlim=(low[0] - 0.4, high[0] + 0.4), ylim=(low[1] - 0.5, high[1] + 0.5))
    panel.set(xlabel="первая координата", ylabel="вторая координата")
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(ticks())
    panel.legend(loc="upper left")
    return drawing


# --- He and she ------------------------------------------------------------------------------------------------------


@cache
def word_vectors() -> dict[str, np.ndarray]:
    """The centre vector of every word of the built corpus."""
    return dict(zip(sgns.VOCABULARY, sgns.relations(0)["V"].astype(float), strict=True))


@cache
def plane() -> np.ndarray:
    """The people on their two main components, (6 pairs, 2 genders, 2)."""
    people = np.array([[word_vectors()[word] for word in pair] for pair in sgns.PAIRS])
    flat = people.reshape(-1, sgns.DIMENSION)
    centred = flat - flat.mean(axis=0)
    _, _, right = np.linalg.svd(centred, full_matrices=False)
    components = right[:2] * np.sign(right[:2] @ (people[0, 1] - people[0, 0]))[:, None]
    return (centred @ components.T).reshape(len(sgns.PAIRS), 2, 2)


@cache
def analogies() -> tuple[int, int]:
    """How many of the 30 analogies «he : she = another he : ?» are right, without the three words and with them."""
    vectors, index = sgns.relations(0)["V"].astype(float), {word: i for i, word in enumerate(sgns.VOCABULARY)}
    right = []
    for exclude in (True, False):
        asked = [
            (sg.analogy(vectors, *(index[word] for word in (*pair, other[0])), exclude=exclude), index[other[1]])
            for pair in sgns.PAIRS
            for other in sgns.PAIRS
            if pair != other
        ]
        right.append(sum(found == wanted for found, wanted in asked))
    return right[0], right[1]


COMPARED = (("тёплый", "холодный"), ("король", "королева"), ("король", "отец"), ("король", "трон"), ("король", "дождь"))


@cache
def closeness() -> np.ndarray:
    """Cosines of the compared pairs, (5,)."""
    vectors = word_vectors()
    return np.array([sg.cosines(vectors[a][None], vectors[b])[0] for a, b in COMPARED])


def _apart(heights: np.ndarray, gap: float) -> np.ndarray:
    """The same heights in the same order, moved until no two are nearer than `gap`."""
    order, moved = np.argsort(heights), heights.astype(float).copy()
    for _ in range(200):
        for low, high in pairwise(order):
            lack = gap - (moved[high] - moved[low])
            if lack > 0:
                moved[low] -= lack / 2
                moved[high] += lack / 2
    return moved


@figure
def offsets(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 6.2), height_ratios=(2, 1))
    for start, end in plane():
        arrow = {"arrowstyle": "-|>", "color": theme.muted, "linewidth": 1.4, "shrinkA": 4, "shrinkB": 4}
        top.annotate("", end, start, arrowprops=arrow)
    for gender, colour, side in ((0, theme.forward, "right"), (1, theme.backward, "left")):
        points, shift = plane()[:, gender], 0.35 * (2 * gender - 1)
        top.plot(*points.T, "o", color=colour, markersize=5)
        for pair, (x, y), height in zip(sgns.PAIRS, points, _apart(points[:, 1], 0.4), strict=True):
            top.plot([x, x + shift * 0.9], [y, height], color=theme.grid, linewidth=1, zorder=0)
            top.text(x + shift, height, pair[gender], color=colour, ha=side, va="center")
    top.margins(x=0.34, y=0.1)
    top.set(xlabel="первая главная компонента", ylabel="вторая")
    for axis in (top.xaxis, top.yaxis):
        axis.set_major_formatter(ticks())
    names = [f"{a} – {b}" for a, b in COMPARED]
    bottom.barh(names, closeness(), color=[theme.bad, *[theme.forward] * 4], height=0.6)
    for row, value in enumerate(closeness()):
        bottom.text(max(value, 0) + 0.02, row, number(value, 2), va="center")
    bottom.invert_yaxis()
    bottom.axvline(0, color=theme.muted, linewidth=0.8)
    bottom.set(xlim=(-0.25, 1.15), xlabel="косинус")
    bottom.xaxis.set_major_formatter(ticks())
    bottom.grid(axis="y", visible=False)
    return drawing


# --- Factorisation of PMI --------------------------------------------------------------------------------------------

RANKS, NEGATIVES, FREQUENT = (2, 8, 29), 5, 20


@cache
def shifted_pmi() -> np.ndarray:
    """What unrestricted skip-gram with negative sampling would give for the letters, (29, 29)."""
    return sg.sgns_optimum(sgns.letter_counts(), NEGATIVES)


@cache
def correlation(rank: int) -> tuple[float, float]:
    """Of the products with the shifted PMI: over all pairs of letters, and over those met at least FREQUENT times."""
    scores, often = sgns.factorization(rank, NEGATIVES)["scores"], sgns.letter_counts() > FREQUENT
    everywhere = np.corrcoef(scores.ravel(), shifted_pmi().ravel())[0, 1]
    return float(everywhere), float(np.corrcoef(scores[often], shifted_pmi()[often])[0, 1])


@figure
def factorization(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(1, 3, figsize=(WIDTH, 2.75), sharex=True, sharey=True)
    often = sgns.letter_counts() > FREQUENT
    edge = (-7.5, 2.5)
    for rank, panel in zip(RANKS, panels, strict=True):
        scores = sgns.factorization(rank, NEGATIVES)["scores"]
        for chosen, colour, size in ((~often, theme.muted, 3), (often, theme.forward, 6)):
            panel.scatter(shifted_pmi()[chosen], scores[chosen], s=size, color=colour, linewidths=0, rasterized=True)
        panel.plot(edge, edge, color=theme.backward, linewidth=1)
        panel.set_title(f"$d={rank}$")
        panel.set(xlim=edge, ylim=edge)
        panel.set_xticks([-6, -3, 0])
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter(ticks())
    panels[0].set_ylabel("$v_c^\\top u_o$")
    panels[1].set_xlabel("$\\mathrm{PMI}(c,o)-\\log 5$")
    return drawing


# --- Frequencies -----------------------------------------------------------------------------------------------------

WORDS = 100_000


@cache
def zipf() -> np.ndarray:
    """Shares of the words of a corpus that follows Zipf's law exactly, (WORDS,)."""
    weights = 1 / np.arange(1, WORDS + 1)
    return weights / weights.sum()


@cache
def kept_share(threshold: float) -> float:
    """Which part of the corpus subsampling leaves."""
    return float((zipf() * sg.keep_probability(zipf(), threshold)).sum())


@figure
def frequencies(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 5.4), sharex=True)
    ranks = np.unique(np.geomspace(1, WORDS, 120).astype(int))
    share = zipf()[ranks - 1]
    for threshold, colour, label in ((1e-3, "good", "$t=10^{-3}$"), (1e-5, "forward", "$t=10^{-5}$")):
        top.plot(ranks, 100 * sg.keep_probability(share, threshold), color=getattr(theme, colour), label=label)
    top.set(xscale="log", ylabel="оставляем вхождений, %", ylim=(0, 108))
    top.legend(loc="upper left")
    for power, colour, line, label in (
        (1, "backward", "-", "частота, степень 1"), (0.75, "forward", "-", "степень ¾"), (0, "muted", "--", "поровну"),
    ):  # fmt: skip
        noise = sg.noise_distribution(zipf(), power)[ranks - 1]
        bottom.plot(ranks, noise, color=getattr(theme, colour), linestyle=line, label=label)
    bottom.set(xscale="log", yscale="log", xlabel="ранг слова", ylabel="вероятность быть\nотрицательным")
    bottom.legend(loc="lower left")
    top.yaxis.set_major_formatter(ticks())
    for panel in (top, bottom):
        panel.minorticks_off()
    return drawing


# --- Merges ----------------------------------------------------------------------------------------------------------

FILLS = ("forward", "backward", "good", "extra", "accent")


@figure
def merges(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 5.6), height_ratios=(1, 1.15))
    record = tokenizers.growth()
    top.plot(record["length"] / 1000, color=theme.forward)
    for stage in tokenizers.STAGES:
        top.plot(stage, record["length"][stage] / 1000, "o", color=theme.backward, markersize=5)
    top.set(xlabel="выучено слияний", ylabel="тысяч токенов в тексте", ylim=(0, 10.5))
    top.xaxis.set_major_formatter(ticks())
    top.yaxis.set_major_formatter(ticks())
    for row, cut in enumerate(record["unseen"]):
        x = 0.0
        for i, token in enumerate(str(cut).split("·")):
            colour = getattr(theme, FILLS[i % len(FILLS)])
            shape = {
                "boxstyle": "round,pad=0,rounding_size=0.15",
                "facecolor": colour,
                "alpha": 0.22,
                "edgecolor": "none",
            }
            box = FancyBboxPatch((x + 0.06, row - 0.33), len(token) - 0.12, 0.66, **shape)
            bottom.add_patch(box)
            for letter in token:
                bottom.text(x + 0.5, row, letter, ha="center", va="center", fontsize=11)
                x += 1
    bottom.set(xlim=(-0.2, 18.2), ylim=(len(tokenizers.STAGES) - 0.5, -0.5))
    bottom.set_yticks(range(len(tokenizers.STAGES)), tokenizers.STAGES)
    bottom.set_ylabel("слияний")
    bottom.set_xticks([])
    bottom.grid(visible=False)
    for spine in bottom.spines.values():
        spine.set_visible(False)
    return drawing


# --- Vocabulary and languages ----------------------------------------------------------------------------------------


@cache
def mean_word() -> float:
    """Letters in a word of the chapter on which the tokenisers are tried: their fertility without any merges."""
    return tokenizers.mean_length(tokenizers.word_counts(tokenizers.TEST), list)


@figure
def vocabulary(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.4))
    panel.axhline(mean_word(), color=theme.muted, linestyle="--", linewidth=1.2, label="побуквенно")
    ways = (("WordPiece", "extra", "^"), ("Unigram", "good", "s"), ("BPE", "forward", "o"))
    by_name = dict(zip(("BPE", "WordPiece", "Unigram"), tokenizers.algorithms()["fertility"], strict=True))
    for name, colour, marker in ways:
        line = {"color": getattr(theme, colour), "marker": marker, "markersize": 5, "label": name}
        panel.plot(tokenizers.SIZES, by_name[name], **line)
    panel.set(xscale="log", xlabel="токенов в словаре", ylabel="токенов на слово", ylim=(1, 5.6))
    panel.set_xticks(tokenizers.SIZES)
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(ticks())
    panel.minorticks_off()
    panel.legend(loc="lower left")
    return drawing


@figure
def languages(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.6))
    names = ("символы", "байты", "токены: учились\nна английском", "токены: учились\nна обоих")
    places, thick = np.arange(len(names)), 0.36
    rows = tokenizers.languages()["per_word"]
    for row, (label, colour) in enumerate((("русский", "backward"), ("английский", "forward"))):
        y = places + (row - 0.5) * thick
        panel.barh(y, rows[row], height=thick, color=getattr(theme, colour), label=label)
        for place, value in zip(y, rows[row], strict=True):
            panel.text(value + 0.12, place, number(value, 1), va="center", fontsize=9)
    panel.set_yticks(places, names)
    panel.invert_yaxis()
    panel.set(xlabel="на одно слово", xlim=(0, 12))
    panel.xaxis.set_major_formatter(ticks())
    panel.grid(axis="y", visible=False)
    panel.legend(loc="lower right")
    return drawing
