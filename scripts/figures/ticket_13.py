"""Figures of ticket-13: patches and their principal filters, data against prior, positions on a finer grid, windows,
masking, the tiny CLIP and the tiny LLaVA, what visual tokens cost."""

from functools import cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from scipy.ndimage import zoom
from scipy.sparse import coo_array, diags_array
from scipy.sparse.linalg import spsolve
from sklearn.datasets import load_sample_image
from threadpoolctl import threadpool_limits

from scripts.dl import patches as p
from scripts.dl import vision_language as vl
from scripts.dl import window_attention as wa
from scripts.experiments import tiny_clip as clip
from scripts.experiments import tiny_llava as llava
from scripts.experiments import tiny_vit as vit
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

SMALL = 8.5

# --- Patches -------------------------------------------------------------------------------------------------------

PATCH, SHOWN, FILTERS = 16, 112, 28


@cache
def photo(side: int = 224) -> np.ndarray:
    """(side, side, 3) in [0, 1]: the middle of scikit-learn's picture of a temple."""
    whole = load_sample_image("china.jpg").astype(float) / 255
    left = (whole.shape[1] - whole.shape[0]) // 2
    square = whole[:, left : left + whole.shape[0]]
    scale = side / len(square)
    return np.clip(zoom(square, (scale, scale, 1), order=1), 0, 1)


@cache
@threadpool_limits.wrap(limits=1)
def principal_filters() -> tuple[np.ndarray, np.ndarray]:
    """Principal axes of patches 16×16×3 (768, 768), rows from the largest, and their shares of the variance.

    The patches are 8000, cut at random from the two pictures of scikit-learn.
    """
    rng = np.random.default_rng(0)
    cut = []
    for name in ("china.jpg", "flower.jpg"):
        whole = load_sample_image(name).astype(float) / 255
        corners = rng.integers(0, np.array(whole.shape[:2]) - PATCH, size=(4000, 2))
        cut += [whole[i : i + PATCH, j : j + PATCH].transpose(2, 0, 1).ravel() for i, j in corners]
    X = np.array(cut) - np.mean(cut, axis=0)
    sizes, axes = np.linalg.eigh(X.T @ X)
    return axes.T[::-1], sizes[::-1] / sizes.sum()


def _picture(axes: Axes, pixels: np.ndarray) -> None:
    """Drawn as it is; 64 levels of brightness, as PNG keeps them in less room."""
    axes.imshow((255 / 63 * (63 * pixels).round()).astype(np.uint8), interpolation="none")
    axes.axis("off")


@figure
def patches(theme: Theme) -> Figure:
    drawing, (upper, lower) = pyplot.subplots(2, 1, figsize=(WIDTH, 6.5), height_ratios=(1.15, 1))
    tiles = p.patchify(photo(SHOWN).transpose(2, 0, 1)[None], SHOWN // 14)[0]
    side, gap = SHOWN // 14, 2
    canvas = np.ones((14 * (side + gap) - gap, 14 * (side + gap) - gap, 4))
    canvas[..., 3] = 0
    for number_, tile in enumerate(tiles):
        row, column = (side + gap) * (number_ // 14), (side + gap) * (number_ % 14)
        canvas[row : row + side, column : column + side, :3] = tile.reshape(3, side, side).transpose(1, 2, 0)
        canvas[row : row + side, column : column + side, 3] = 1
    _picture(upper, canvas)
    upper.set_title("196 патчей: строка за строкой")
    axes, _ = principal_filters()
    board = np.zeros((4 * 18 - 2, 7 * 18 - 2, 4))
    for number_, axis in enumerate(axes[:FILTERS]):
        row, column = 18 * (number_ // 7), 18 * (number_ % 7)
        shown = axis.reshape(3, PATCH, PATCH).transpose(1, 2, 0)
        board[row : row + PATCH, column : column + PATCH, :3] = 0.5 + shown / (2 * np.abs(shown).max())
        board[row : row + PATCH, column : column + PATCH, 3] = 1
    _picture(lower, board)
    lower.set_title("28 главных осей патчей 16×16×3")
    return drawing


# --- Data against prior --------------------------------------------------------------------------------------------


@figure
def data_size(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 5.8), sharex=True)
    lines = (("cnn", "свёрточная", "forward", "o", "-"), ("vit", "ViT", "backward", "s", "--"))
    for panel, what in zip(panels, ("test", "moved"), strict=True):
        for name, label, colour, marker, line in lines:
            runs = np.array([vit.accuracy(name, size)[what] for size in vit.SIZES])
            shade = getattr(theme, colour)
            panel.plot(vit.SIZES, runs.mean(axis=1), color=shade, marker=marker, linestyle=line, markersize=5,
                       label=label)  # fmt: skip
            panel.fill_between(vit.SIZES, runs.min(axis=1), runs.max(axis=1), color=shade, alpha=0.15, linewidth=0)
        bag = vit.accuracy("vit-no-positions", 1200)[what]
        panel.plot([1200], [bag.mean()], color=theme.bad, marker="X", markersize=8, linestyle="none",
                   label="ViT без позиций")  # fmt: skip
        panel.set(xscale="log", ylabel="верных ответов", ylim=(0, 1.02))
        panel.yaxis.set_major_formatter(ticks())
    panels[0].set_title("Контрольные цифры")
    panels[1].set_title("Они же, сдвинутые на пиксель")
    panels[1].set_xticks(vit.SIZES, vit.SIZES)
    panels[1].minorticks_off()
    panels[1].set_xlabel("обучающих картинок")
    panels[0].legend(loc="lower right", ncol=1)
    return drawing


# --- Another resolution --------------------------------------------------------------------------------------------


@figure
def finer_grid(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.3))
    found = vit.resolution()
    rows = (("grid", "бикубически по сетке"), ("line", "линейно по списку"), ("random", "случайные заново"))
    for place, (name, _) in enumerate(rows):
        for shift, suffix, colour, label in (
            (-0.19, "", "backward", "сразу"),
            (0.19, "-tuned", "good", f"после {vit.FINER_STEPS} шагов"),
        ):
            runs = found[name + suffix]
            panel.barh(
                place + shift, runs.mean(), 0.36, color=getattr(theme, colour), label=label if not place else None
            )
            panel.plot(runs, np.full(len(runs), place + shift), "|", color=theme.ink, markersize=9)
            panel.text(1.0, place + shift, number(runs.mean(), 2), va="center", fontsize=SMALL)
    native = found["native"].mean()
    panel.axvline(native, color=theme.muted, linestyle=":", linewidth=1.4)
    panel.text(native - 0.01, 2.62, f"8×8: {number(native, 2)}", ha="right", color=theme.muted, fontsize=SMALL)
    panel.set_yticks(range(3), [label for _, label in rows])
    panel.set(xlabel="верных ответов на цифрах 12×12", xlim=(0, 1.08), ylim=(2.8, -0.5))
    panel.xaxis.set_major_formatter(ticks())
    panel.grid(visible=False, axis="y")
    panel.legend(loc="lower left", bbox_to_anchor=(0, 1), ncol=2)
    return drawing


# --- Windows -------------------------------------------------------------------------------------------------------

MAP, WINDOW, PROBE = 16, 4, (6, 6)


def reach(shifts: tuple[int, ...]) -> np.ndarray:
    """(MAP, MAP): share of each position in the position PROBE after layers that average inside their windows."""

    def mean(tokens: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        T = tokens.shape[1]
        seen = np.ones((1, T, T), dtype=bool) if mask is None else mask
        return (seen / seen.sum(axis=-1, keepdims=True)) @ tokens

    X = np.eye(MAP * MAP).reshape(1, MAP, MAP, MAP * MAP)
    for shift in shifts:
        X = wa.window_attention(X, mean, WINDOW, shift)
    return X[0, PROBE[0], PROBE[1]].reshape(MAP, MAP)


@figure
def windows(theme: Theme) -> Figure:
    drawing = pyplot.figure(figsize=(WIDTH, 5.6))
    grid = drawing.add_gridspec(2, 3, height_ratios=(1, 1.35))
    half = WINDOW // 2
    cases = (("слой: окно", (0,)), ("два без сдвига", (0, 0)), ("два со сдвигом", (0, half)))
    for place, (title, shifts) in enumerate(cases):
        panel = drawing.add_subplot(grid[0, place])
        panel.imshow(reach(shifts) > 0, cmap=ListedColormap([theme.surface, theme.forward]), vmin=0, vmax=1)
        panel.plot(PROBE[1], PROBE[0], "o", color=theme.backward, markersize=5)
        for border in range(WINDOW, MAP, WINDOW):
            panel.axhline(border - 0.5, color=theme.muted, linewidth=0.7)
            panel.axvline(border - 0.5, color=theme.muted, linewidth=0.7)
        panel.set_title(title, fontsize=9)
        panel.set_xticks([])
        panel.set_yticks([])
        panel.grid(visible=False)
    panel = drawing.add_subplot(grid[1, :])
    sides = np.arange(14, 225, 14)
    panel.plot(sides, [wa.global_multiply_adds(s, s, 96) / 1e9 for s in sides], color=theme.bad, label="все со всеми")
    panel.plot(sides, [wa.window_multiply_adds(s, s, 96, 7) / 1e9 for s in sides], color=theme.good, linestyle="--",
               label="окна 7×7")  # fmt: skip
    panel.plot([56, 56], [wa.window_multiply_adds(56, 56, 96, 7) / 1e9, wa.global_multiply_adds(56, 56, 96) / 1e9],
               color=theme.muted, marker="o", markersize=4, linestyle=":")  # fmt: skip
    ratio = wa.global_multiply_adds(56, 56, 96) / wa.window_multiply_adds(56, 56, 96, 7)
    panel.annotate(f"×{number(ratio, 1)}", (56, 0.5), xytext=(6, 0), textcoords="offset points")
    panel.set(yscale="log", xlabel="сторона карты признаков", ylabel="млрд умножений")
    panel.set_yticks([0.01, 0.1, 1, 10, 100, 1000])
    panel.yaxis.set_major_formatter(ticks())
    panel.minorticks_off()
    panel.legend(loc="upper left")
    return drawing


# --- Masking -------------------------------------------------------------------------------------------------------

RATIOS, MASKS = (0.1, 0.25, 0.5, 0.75, 0.9), 2
TILE = SHOWN // 14


def hidden_pixels(ratio: float, seed: int = 0) -> np.ndarray:
    """(SHOWN, SHOWN), True in the patches that are masked; 14×14 patches."""
    mask = np.zeros(196, dtype=bool)
    mask[np.random.default_rng(seed).permutation(196)[: round(196 * ratio)]] = True
    return np.kron(mask.reshape(14, 14), np.ones((TILE, TILE))).astype(bool)


@cache
@threadpool_limits.wrap(limits=1)
def smooth_fill(ratio: float, seed: int = 0) -> np.ndarray:
    """The photo with masked pixels filled as smoothly as can be: each is the mean of its neighbours."""
    hidden, pixels = hidden_pixels(ratio, seed).ravel(), photo(SHOWN).reshape(-1, 3)
    index = np.arange(SHOWN * SHOWN).reshape(SHOWN, SHOWN)
    one, other = np.concatenate(
        [np.stack([index[:-1].ravel(), index[1:].ravel()]), np.stack([index[:, :-1].ravel(), index[:, 1:].ravel()])],
        axis=1,
    )
    beside = coo_array((np.ones(len(one)), (one, other)), shape=(index.size, index.size)).tocsr()
    beside = beside + beside.T
    laplacian = diags_array(beside.sum(axis=1)) - beside
    filled = pixels.copy()
    filled[hidden] = spsolve(laplacian[hidden][:, hidden].tocsc(), beside[hidden][:, ~hidden] @ pixels[~hidden])
    return filled.reshape(SHOWN, SHOWN, 3)


@cache
def explained(ratio: float) -> tuple[float, float]:
    """R² of the smooth filling on masked pixels, and on what is left of them without the mean of each patch."""
    found = []
    for seed in range(MASKS):
        hidden = hidden_pixels(ratio, seed)[::TILE, ::TILE].ravel()
        true, guess = (
            p.patchify(image.transpose(2, 0, 1)[None], TILE)[0, hidden].reshape(-1, 3, TILE * TILE)
            for image in (photo(SHOWN), smooth_fill(ratio, seed))
        )
        overall = 1 - np.sum((guess - true) ** 2) / np.sum((true - true.mean(axis=(0, 2), keepdims=True)) ** 2)
        true, guess = (part - part.mean(axis=2, keepdims=True) for part in (true, guess))
        found.append((overall, 1 - np.sum((guess - true) ** 2) / np.sum(true**2)))
    return tuple(np.mean(found, axis=0))


@figure
def masking(theme: Theme) -> Figure:
    drawing = pyplot.figure(figsize=(WIDTH, 5.4))
    grid = drawing.add_gridspec(2, 2, height_ratios=(1.25, 1))
    visible = np.concatenate([photo(SHOWN), ~hidden_pixels(0.75)[..., None]], axis=2)
    visible[visible[..., 3] == 0] = 0
    for place, (title, pixels) in enumerate((("Видно 49 из 196", visible), ("Гладкое заполнение", smooth_fill(0.75)))):
        panel = drawing.add_subplot(grid[0, place])
        _picture(panel, np.clip(pixels, 0, 1))
        panel.set_title(title)
    panel = drawing.add_subplot(grid[1, :])
    shares = np.array([explained(ratio) for ratio in RATIOS])
    for column, label, colour, line in ((0, "пиксели", "forward", "-"), (1, "без среднего патча", "backward", "--")):
        panel.plot([100 * ratio for ratio in RATIOS], shares[:, column], marker="o", color=getattr(theme, colour),
                   linestyle=line, label=label)  # fmt: skip
    panel.axvline(75, color=theme.muted, linestyle=":", linewidth=1.4)
    panel.set(xlabel="скрыто патчей, %", ylabel="$R^2$ на скрытом", ylim=(0, 1))
    panel.yaxis.set_major_formatter(ticks())
    panel.legend(loc="center left")
    return drawing


# --- Tiny CLIP -----------------------------------------------------------------------------------------------------

MARKS = "●■▲✚"


@figure
def similarity(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 5.4))
    drawn = panel.imshow(clip.similarity()["after"], cmap=theme.diverging, vmin=-1, vmax=1)
    for c in clip.UNSEEN:
        panel.add_patch(pyplot.Rectangle((c - 0.5, c - 0.5), 1, 1, fill=False, edgecolor="#16181d", linewidth=2.2))
    for border in (3.5, 7.5, 11.5):
        panel.axhline(border, color=theme.background, linewidth=2)
        panel.axvline(border, color=theme.background, linewidth=2)
    panel.set_xticks(range(16), list(MARKS * 4), fontfamily="DejaVu Sans")
    panel.set_yticks(range(16), list(MARKS * 4), fontfamily="DejaVu Sans")
    for place, colour in enumerate(("красн.", "зелён.", "синий", "жёлт.")):
        panel.text(4 * place + 1.5, 16.9, colour, ha="center", va="center", fontsize=9)
        panel.text(-1.9, 4 * place + 1.5, colour, ha="center", va="center", fontsize=9, rotation=90)
    panel.set_xlabel("подпись", labelpad=18)
    panel.set_ylabel("картинка", labelpad=18)
    panel.grid(visible=False)
    panel.tick_params(length=0)
    bar = drawing.colorbar(drawn, ax=panel, shrink=0.8)
    bar.set_ticks([-1, -0.5, 0, 0.5, 1])
    bar.ax.yaxis.set_major_formatter(ticks())
    bar.set_label("косинус")
    return drawing


# --- Tiny LLaVA ----------------------------------------------------------------------------------------------------

PATHS = (
    ("none", "без обучения"),
    ("alignment", "стадия 1"),
    ("short", "стадия 2 (300)"),
    ("instructions", "стадия 2 (600)"),
    ("both", "обе (300 + 300)"),
    ("blind", "обе, чужие\nкартинки"),
    ("both-new", "обе, новые\nсочетания"),
)


@figure
def tiny_llava(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 6.7), height_ratios=(1.7, 1))
    for place, (name, _) in enumerate(PATHS):
        for shift, index, colour, label in ((-0.19, 2, "accent", "цвет"), (0.19, 3, "forward", "форма")):
            runs = llava.runs(name)[:, index]
            mean, height = runs.mean(), place + shift
            panels[0].barh(height, mean, 0.36, color=getattr(theme, colour), label=label if not place else None)
            panels[0].plot(runs, np.full(len(runs), height), "|", color=theme.ink, markersize=8)
            panels[0].text(1.04, height, number(mean, 2), va="center", fontsize=SMALL)
    panels[0].axvline(0.25, color=theme.muted, linestyle=":", linewidth=1.4)
    panels[0].set_yticks(range(len(PATHS)), [label for _, label in PATHS])
    panels[0].set(xlabel="верных ответов на вопросы", xlim=(0, 1.13), ylim=(len(PATHS) - 0.5, -0.5))
    panels[0].xaxis.set_major_formatter(ticks())
    panels[0].grid(visible=False, axis="y")
    panels[0].legend(loc="lower left", bbox_to_anchor=(0, 1), ncol=2)
    counts, pictures = llava.runs("guesses").sum(axis=0)[list(clip.UNSEEN)], llava.SEEDS * clip.TEST_EACH
    panels[1].imshow(counts, cmap=theme.sequential, vmin=0, vmax=pictures, aspect="auto")
    for i in range(4):
        for j in range(4):
            bright = (counts[i, j] > pictures / 2) == (theme.name == "dark")
            colour = "#16181d" if bright else "#fdfcf8"
            panels[1].text(j, i, int(counts[i, j]), ha="center", va="center", color=colour)
    names = [f"{clip.COLOURS[c // 4]} {clip.SHAPES[c % 4]}" for c in clip.UNSEEN]
    panels[1].set_yticks(range(4), names)
    panels[1].set_xticks(range(4), clip.SHAPES)
    panels[1].set_xlabel("названная форма (обе стадии)")
    panels[1].set_title(f"Новые сочетания: {pictures} картинок в строке")
    panels[1].grid(visible=False)
    return drawing


# --- Cost of visual tokens -----------------------------------------------------------------------------------------

COUNTS = (
    (32, "Q-Former"),
    (64, "ресэмплер Flamingo"),
    (256, "LLaVA, 224"),
    (576, "LLaVA-1.5, 336"),
    (2880, "AnyRes, 2×2 + 1"),
)


@figure
def token_cost(theme: Theme) -> Figure:
    drawing, (upper, lower) = pyplot.subplots(2, 1, figsize=(WIDTH, 6.0), height_ratios=(1.2, 1))
    tiles = np.arange(1, 5)
    size = p.SIZES["L/14"]

    def billions(side: int) -> float:
        return sum(p.vit_multiply_adds(size, side, classes=0).values()) / 1e9

    upper.plot(336 * tiles, [billions(336 * n) for n in tiles], color=theme.bad, marker="o", label="вся картинка сразу")
    upper.plot(336 * tiles, [billions(336) * (n * n + (n > 1)) for n in tiles], color=theme.good, marker="s",
               linestyle="--", label="плитки 336 и общий вид")  # fmt: skip
    upper.set(xlabel="сторона картинки", ylabel="млрд умножений")
    upper.set_title("Кодировщик ViT-L/14")
    upper.set_xticks(336 * tiles)
    upper.legend(loc="upper left")
    for place, (count, _) in enumerate(COUNTS):
        cache_size = vl.cache_of(count) / 2**20
        work = sum(vl.prefill_flops(count).values()) / 1e12
        lower.barh(place, cache_size, 0.6, color=theme.forward)
        lower.text(cache_size + 20, place, f"{number(round(cache_size))} МиБ; {number(work, 1)} TFLOP", va="center",
                   fontsize=SMALL)  # fmt: skip
    lower.set_yticks(range(len(COUNTS)), [f"{count}: {label}" for count, label in COUNTS])
    lower.set(xlabel="KV-кэш визуальных токенов, МиБ", xlim=(0, 2150), ylim=(len(COUNTS) - 0.5, -0.5))
    lower.set_title("Vicuna-7B: память и чтение")
    lower.grid(visible=False, axis="y")
    return drawing
