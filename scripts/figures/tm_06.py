"""Figures of tm-06: where batch normalisation breaks, and which numbers each normalisation averages."""

from functools import cache

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits

from scripts.dl import initialization as init
from scripts.dl import normalization as norm
from scripts.dl.losses import softmax
from scripts.figures import figure
from scripts.figures.digits import CLASSES, digits
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot
from scripts.figures.tm_04 import PIXELS, Networks, accuracies, train

SIZES = [PIXELS, 64, 64, CLASSES]
GROUPS = 8


# --- Error against the batch ---------------------------------------------------------------------------------------

BATCHES = (2, 4, 8, 16, 32, 64, 128)
SEEDS, EPOCHS, RATE_PER_OBJECT = 5, 6, 0.1 / 32


@threadpool_limits.wrap(limits=1)  # tiny matrices: threads would only get in each other's way
def trained(kind: str, batch: int, seeds: int = SEEDS, epochs: int = EPOCHS) -> Networks:
    """Some epochs of SGD, learning rate proportional to the batch, so that all batches move about equally far."""
    networks = Networks(SIZES, kind, init.he_normal, range(seeds), GROUPS)
    train(networks, RATE_PER_OBJECT * batch, batch, epochs)
    return networks


@cache
def errors(kind: str) -> dict[str, np.ndarray]:
    """Test errors (batches, seeds): `running` with the layers' own statistics, `exact` after BN's running statistics
    are replaced by those of the whole training set, layer by layer."""
    running, exact = [], []
    for batch in BATCHES:
        networks = trained(kind, batch)
        running.append(1 - accuracies(networks))
        if kind == "batch":
            networks.forward(digits().X_train, momentum=1.0)
        exact.append(1 - accuracies(networks))
    return {"running": np.array(running), "exact": np.array(exact)}


@figure
def batch_size(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.9))
    lines = (
        ("batch", "running", "BN", "bad", "-", "o"),
        ("batch", "exact", "BN, точная статистика", "accent", "--", "s"),
        ("group", "running", f"GN, {GROUPS} групп", "good", "-", "^"),
    )
    for kind, name, label, colour, line, marker in lines:
        result, hue = errors(kind)[name], getattr(theme, colour)
        panel.fill_between(BATCHES, result.min(axis=1), result.max(axis=1), color=hue, alpha=0.15, linewidth=0)
        panel.plot(BATCHES, np.median(result, axis=1), color=hue, linestyle=line, marker=marker, markersize=5,
                   label=label)  # fmt: skip
    panel.set(xscale="log", yscale="log", xlabel="размер батча", ylabel="доля ошибок на контроле", ylim=(0.013, 0.45))
    panel.set_xticks(BATCHES)
    panel.set_yticks([0.02, 0.05, 0.1, 0.2, 0.4])
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(ticks())
        axis.minorticks_off()
    panel.legend(loc="upper right")
    return drawing


@cache
def two_object_gains() -> np.ndarray:
    """Slope of BN's output in half the difference of the two objects, at the first hidden layer before training:
    eps / (v + eps)^(3/2) over all features and 600 pairs of digits."""
    weights = init.he_normal(64, PIXELS, np.random.default_rng(0))
    z = digits().X_train @ weights.T
    variance = ((z[0::2] - z[1::2]) / 2) ** 2
    return norm.EPS / (variance + norm.EPS) ** 1.5


# --- Neighbours in the batch ---------------------------------------------------------------------------------------

COMPANIES, MEETINGS = (2, 4, 8, 16, 32, 64), 200
PERMUTATIONS = 20


@cache
def _network() -> Networks:
    """One BN network trained with batches of 32."""
    return trained("batch", 32, seeds=1)


@cache
def alone() -> np.ndarray:
    """Class probabilities of the test digits in evaluation mode, (597, 10)."""
    return softmax(_network().forward(digits().X_test, training=False)[0])


def _in_company(chosen: np.ndarray) -> np.ndarray:
    """Probabilities in training mode, (k, m, 10), of the test digits with numbers `chosen` (k, m), batch by batch."""
    logits = [_network().forward(digits().X_test[batch], momentum=0.0)[0] for batch in chosen]
    return softmax(np.array(logits))


@cache
def changed_answers() -> np.ndarray:
    """For every size of the batch: share of test digits whose answer differs from the one in evaluation mode."""
    answers, rng, shares = alone().argmax(axis=1), np.random.default_rng(0), []
    for size in COMPANIES:
        orders = [rng.permutation(len(answers)) for _ in range(PERMUTATIONS)]
        batches = np.concatenate([order[: len(order) // size * size].reshape(-1, size) for order in orders])
        shares.append(np.mean(_in_company(batches).argmax(axis=2) != answers[batches]))
    return np.array(shares)


@cache
def hero() -> int:
    """The test digit recognised rightly with the probability nearest to 0.9."""
    data = digits()
    return int(np.abs(alone()[np.arange(len(data.y_test)), data.y_test] - 0.9).argmin())


@cache
def meetings(size: int) -> np.ndarray:
    """Probability of the hero's right class in 200 random batches of this size, (200,)."""
    data, rng = digits(), np.random.default_rng(size)
    others = np.delete(np.arange(len(data.y_test)), hero())
    batches = np.array([[hero(), *rng.choice(others, size - 1, replace=False)] for _ in range(MEETINGS)])
    return _in_company(batches)[:, 0, data.y_test[hero()]]


@figure
def neighbours(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 5.6), sharex=True, height_ratios=(3, 2))
    places, jitter = np.arange(len(COMPANIES)), np.random.default_rng(0)
    for place, size in zip(places, COMPANIES, strict=True):
        sideways = place + jitter.uniform(-0.28, 0.28, MEETINGS)
        top.scatter(sideways, meetings(size), s=9, color=theme.forward, alpha=0.5, linewidths=0, rasterized=True)
    own = alone()[hero(), digits().y_test[hero()]]
    top.axhline(own, color=theme.backward, linewidth=1.4, linestyle="--", label="в режиме eval")
    top.scatter([], [], s=20, color=theme.forward, label="в случайном батче, режим train")
    top.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
    top.set(ylabel="вероятность\nверного класса", ylim=(-0.03, 1.03))
    bottom.bar(places, changed_answers(), width=0.6, color=theme.forward)
    for place, share in zip(places, changed_answers(), strict=True):
        bottom.annotate(f"{number(100 * share, 0)} %", (place, share + 0.015), ha="center", color=theme.ink)
    bottom.set(ylabel="доля сменивших\nответ", ylim=(0, 0.62), xlabel="размер батча")
    bottom.set_xticks(places, COMPANIES)
    bottom.grid(axis="x", visible=False)
    for panel in (top, bottom):
        panel.yaxis.set_major_formatter(ticks())
    return drawing


# --- Axes ----------------------------------------------------------------------------------------------------------

SHAPE = (4, 6, 3, 3)  # B, C, H, W
CHOSEN = (1, 2, 1, 1)
TEXT_SHAPE = (4, 6, 5)  # B, T, d
TEXT_CHOSEN = (1, 2, 3)


@cache
def supports() -> dict[str, np.ndarray]:
    """For every normalisation, the inputs on which one chosen output depends: where its gradient is not zero."""
    rng = np.random.default_rng(0)
    x, text = rng.standard_normal(SHAPE), rng.standard_normal(TEXT_SHAPE)
    bar, text_bar = np.zeros(SHAPE), np.zeros(TEXT_SHAPE)
    bar[CHOSEN], text_bar[TEXT_CHOSEN] = 1.0, 1.0
    ones, zeros = np.ones(SHAPE[1]), np.zeros(SHAPE[1])
    whole = np.ones(SHAPE[1:])
    features = np.ones(TEXT_SHAPE[2])
    by_feature = text.reshape(-1, TEXT_SHAPE[2])
    adjoints = {
        "BN": norm.batch_norm_backward(bar, norm.batch_norm(x, ones, zeros)[1])[0],
        "LN": norm.layer_norm_backward(bar, norm.layer_norm(x, whole, 0 * whole)[1])[0],
        "IN": norm.instance_norm_backward(bar, norm.instance_norm(x, ones, zeros)[1])[0],
        "GN": norm.group_norm_backward(bar, norm.group_norm(x, 2, ones, zeros)[1])[0],
        "LN, токены": norm.layer_norm_backward(text_bar, norm.layer_norm(text, features, 0 * features)[1])[0],
        "BN, токены": norm.batch_norm_backward(
            text_bar.reshape(by_feature.shape), norm.batch_norm(by_feature, features, 0 * features)[1]
        )[0].reshape(TEXT_SHAPE),
    }
    return {name: np.abs(adjoint) > 1e-12 for name, adjoint in adjoints.items()}


def _sheet(mask: np.ndarray) -> np.ndarray:
    """A mask as a picture of cells: rows are objects, columns channels (or tokens), inside a cell its numbers."""
    if mask.ndim == 3:
        mask = mask[:, :, :, None]
    rows, columns, height, width = mask.shape
    return mask.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)


@figure
def axes(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(3, 2, figsize=(WIDTH, 6.6))
    titles = {
        "BN": "BN: $B, H, W$", "LN": "LN: $C, H, W$", "IN": "IN: $H, W$", "GN": "GN, $G=2$: $C/G, H, W$",
        "LN, токены": "LN, RMSNorm: $d$", "BN, токены": "BN: $B, T$",
    }  # fmt: skip
    for panel, (name, mask) in zip(panels.flat, supports().items(), strict=True):
        text = mask.ndim == 3
        chosen = np.zeros(mask.shape, dtype=int)
        chosen[TEXT_CHOSEN if text else CHOSEN] = 1
        sheet = _sheet(mask).astype(int) + _sheet(chosen)
        colours = ListedColormap([theme.surface, theme.forward, theme.backward])
        panel.pcolormesh(sheet[::-1], cmap=colours, vmin=0, vmax=2, edgecolors=theme.background, linewidth=0.6)
        rows, columns = mask.shape[:2]
        high, wide = sheet.shape[0] // rows, sheet.shape[1] // columns
        for row in range(rows + 1):
            panel.axhline(row * high, color=theme.muted, linewidth=0.9)
        for column in range(columns + 1):
            panel.axvline(column * wide, color=theme.muted, linewidth=0.9)
        panel.set_title(titles[name])
        panel.set_xticks((np.arange(columns) + 0.5) * wide, np.arange(1, columns + 1))
        panel.set_yticks((np.arange(rows) + 0.5) * high, np.arange(rows, 0, -1))
        panel.tick_params(length=0)
        panel.grid(visible=False)
        panel.set_xlabel("токен" if text else "канал")
        panel.set_ylabel("объект")
        for spine in panel.spines.values():
            spine.set_visible(False)
    return drawing
