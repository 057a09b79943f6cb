"""Figures of tm-25: cost and share of attention against the side of a picture, whom an output hears, patch sizes."""

from functools import cache

import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from scripts.dl import vision_cost as cost
from scripts.experiments import patch_size as ps
from scripts.figures import figure
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

# --- Cost ----------------------------------------------------------------------------------------------------------

SIDES = np.arange(224, 1345, 224)  # whole windows of Swin and whole patches of 16


@cache
def costs() -> dict[str, np.ndarray]:
    """Multiply-adds of one picture in units of 10⁹, (len(SIDES),)."""
    models = {
        "vit": cost.vit,
        "small": lambda side: cost.vit(side, cost.SMALL),
        "windows": cost.vit_with_windows,
        "swin": cost.swin,
        "resnet": cost.resnet,
    }
    return {name: np.array([model(int(side)) for side in SIDES]) / 1e9 for name, model in models.items()}


@cache
def memory() -> dict[str, np.ndarray]:
    """MiB in fp16, (len(SIDES),): attention matrices of one layer, and the largest map of ResNet-50."""
    tokens = (SIDES // 16) ** 2 + 1
    found = {
        "vit": [cost.map_bytes(int(T), cost.BASE.heads) for T in tokens],
        "small": [cost.map_bytes(int(T), cost.SMALL.heads) for T in tokens],
        "swin": [cost.swin_map_bytes(int(side)) for side in SIDES],
        "resnet": [cost.resnet_map_bytes(int(side)) for side in SIDES],
    }
    return {name: np.array(values) / 2**20 for name, values in found.items()}


@figure
def side(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 6.4), sharex=True)
    lines = (
        ("vit", "ViT-B/16", "bad", "-", "o"),
        ("windows", "ViT-B/16, окна 14×14 и 4 полных слоя", "extra", ":", "D"),
        ("small", "ViT-S/16", "backward", "--", "s"),
        ("swin", "Swin-T", "forward", "-.", "^"),
        ("resnet", "ResNet-50", "good", "-", "v"),
    )
    for name, label, colour, line, marker in lines:
        style = {"color": getattr(theme, colour), "linestyle": line, "marker": marker, "markersize": 5}
        top.plot(SIDES, costs()[name], label=label, **style)
        if name in memory():
            bottom.plot(SIDES, memory()[name], **style)
    for panel in (top, bottom):
        panel.set(xscale="log", yscale="log")
        panel.set_xticks(SIDES, SIDES)
        panel.minorticks_off()
        panel.yaxis.set_major_formatter(ticks())
    top.set_ylabel("умножений на картинку, млрд")
    top.set_yticks([3, 10, 30, 100, 300, 1000])
    top.set_ylim(2.5, 2200)
    top.legend(loc="lower left", bbox_to_anchor=(-0.1, 1.0), ncol=2, columnspacing=1.0)
    bottom.set(xlabel="сторона картинки, пикселей", ylabel="веса внимания слоя, МиБ")
    bottom.set_yticks([1, 10, 100, 1000])
    bottom.annotate("у ResNet-50 – самая большая карта", (1344, 0.42), color=theme.good, fontsize=9, ha="right")
    return drawing


# --- Share of attention ----------------------------------------------------------------------------------------------

WIDTHS = {"S": 384, "B": 768, "L": 1024}  # of the tokens of ViT-S/16, B/16 and L/16
FINE_SIDES = np.arange(224, 2049, 16)


@cache
def shares() -> dict[str, np.ndarray]:
    """Part of a block's multiply-adds that is attention, (len(FINE_SIDES),): N / (N + 6d)."""
    tokens = (FINE_SIDES // 16) ** 2
    return {name: tokens / (tokens + 6 * d) for name, d in WIDTHS.items()}


@figure
def share(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 5.4), sharex=True, height_ratios=(3, 2))
    looks = {"S": ("backward", "--"), "B": ("bad", "-"), "L": ("forward", "-.")}
    for name, part in shares().items():
        colour, line = getattr(theme, looks[name][0]), looks[name][1]
        top.plot(FINE_SIDES, 100 * part, color=colour, linestyle=line, label=f"{name}/16, $d={WIDTHS[name]}$")
        bottom.plot(FINE_SIDES, 4 * (1 - part) + 16 * part, color=colour, linestyle=line)
        half = 16 * np.sqrt(6 * WIDTHS[name])
        top.plot(half, 50, "o", color=colour, markersize=6)
        below = name == "L"  # above there is the curve of B
        top.annotate(number(round(half)), (half, 50), xytext=(5, -13) if below else (-5, 5), color=colour,
                     textcoords="offset points", ha="left" if below else "right")  # fmt: skip
    top.axhline(50, color=theme.muted, linewidth=0.9, linestyle=":")
    top.set(ylabel="доля внимания, %", ylim=(0, 100))
    top.legend(loc="lower right")
    for height in (4, 16):
        bottom.axhline(height, color=theme.muted, linewidth=0.9, linestyle=":")
    bottom.set(xlabel="сторона картинки, пикселей", ylabel="рост цены\nпри удвоении", ylim=(2, 18))
    bottom.set_yticks([4, 8, 12, 16])
    bottom.set_xticks([224, 512, 768, 1024, 1280, 1536, 1792, 2048])
    return drawing


# --- Whom an output hears --------------------------------------------------------------------------------------------

GRID, CHANNELS, HEADS, DEPTHS, DRAWS = 15, 32, 4, (1, 2, 3, 4), 8


def _attend(z: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """One Pre-LN block of an untrained ViT on tokens (T, d), weights of variance 1/d."""
    d = z.shape[1]
    Q, K, V, O = torch.randn(4, d, d, generator=rng) / d**0.5  # noqa: E741
    up, down = torch.randn(d, 4 * d, generator=rng) / d**0.5, torch.randn(4 * d, d, generator=rng) / (4 * d) ** 0.5
    x = F.layer_norm(z, (d,))
    q, k, v = ((x @ W).unflatten(1, (HEADS, -1)).transpose(0, 1) for W in (Q, K, V))
    z = z + F.scaled_dot_product_attention(q, k, v).transpose(0, 1).flatten(1) @ O
    return z + F.gelu(F.layer_norm(z, (d,)) @ up) @ down


def _convolve(z: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """One residual block of a convolutional network with a kernel of 3×3 on the same grid of tokens."""
    d = z.shape[1]
    kernel, mix = torch.randn(d, d, 3, 3, generator=rng) / (9 * d) ** 0.5, torch.randn(d, d, generator=rng) / d**0.5
    x = F.layer_norm(z, (d,)).T.unflatten(1, (GRID, GRID))[None]
    return z + F.gelu(F.conv2d(x, kernel, padding=1)[0].flatten(1).T) @ mix


@cache
def fields() -> dict[str, np.ndarray]:
    """How strongly the central output depends on every token, largest 1, (len(DEPTHS), GRID, GRID): root mean square
    of the gradient of its random projections, over DRAWS untrained networks and random inputs."""
    torch.set_num_threads(1)
    found = {"vit": np.zeros((len(DEPTHS), GRID, GRID)), "cnn": np.zeros((len(DEPTHS), GRID, GRID))}
    for name, block in (("vit", _attend), ("cnn", _convolve)):
        for draw in range(DRAWS):
            rng = torch.Generator().manual_seed(draw)
            start = torch.randn(GRID**2, CHANNELS, generator=rng, requires_grad=True)
            z = start
            for row, _ in enumerate(DEPTHS):
                z = block(z, rng)
                projection = z[GRID**2 // 2] @ torch.randn(CHANNELS, generator=rng)
                (gradient,) = torch.autograd.grad(projection, start, retain_graph=True)
                found[name][row] += (gradient**2).sum(dim=1).reshape(GRID, GRID).numpy()
    return {name: np.sqrt(values / values.max(axis=(1, 2), keepdims=True)) for name, values in found.items()}


@figure
def field(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, len(DEPTHS), figsize=(WIDTH, 3.9))
    for row, (name, title) in enumerate((("vit", "ViT"), ("cnn", "свёртки 3×3"))):
        for panel, depth, values in zip(panels[row], DEPTHS, fields()[name], strict=True):
            shown = np.log10(np.where(values > 0, values, np.nan))
            picture = panel.imshow(shown, cmap=theme.sequential, vmin=-3, vmax=0, interpolation="nearest")
            panel.set_facecolor(theme.surface)
            panel.set_xticks([])
            panel.set_yticks([])
            panel.grid(visible=False)
            heard = np.count_nonzero(values) / values.size
            panel.set_xlabel(f"слышно {number(round(100 * heard))} %", fontsize=9)
            if not row:
                panel.set_title(f"слоёв: {depth}", fontsize=9.5)
        panels[row, 0].set_ylabel(title)
    bar = drawing.colorbar(picture, ax=panels, orientation="horizontal", fraction=0.05, pad=0.03, aspect=40)
    bar.set_ticks([-3, -2, -1, 0], labels=["0,001", "0,01", "0,1", "1"])
    bar.set_label("градиент относительно наибольшего")
    bar.outline.set_visible(False)
    return drawing


# --- Patch size ------------------------------------------------------------------------------------------------------


@figure
def patches(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 4.6), sharex=True, height_ratios=(3, 2))
    places = np.arange(len(ps.SIZES))
    runs = [ps.patch_size(patch) for patch in ps.SIZES]
    for name, label, colour, line, marker in (
        ("train", "обучающие", "muted", "--", "s"),
        ("accuracy", "контрольные", "forward", "-", "o"),
    ):
        values = np.stack([run[name] for run in runs])
        top.plot(places, values.mean(axis=1), color=getattr(theme, colour), linestyle=line, marker=marker,
                 markersize=5, label=label)  # fmt: skip
        for run in values.T:
            top.scatter(places, run, s=9, color=getattr(theme, colour))
    top.set(ylabel="доля верных", ylim=(0, 1.05))
    top.legend(loc="lower left")
    top.yaxis.set_major_formatter(ticks())
    heights = [run["multiply_adds"].item() / 1e6 for run in runs]
    bars = bottom.bar(places, heights, color=theme.accent, width=0.5)
    for bar, height in zip(bars, heights, strict=True):
        bottom.annotate(number(height, 2), (bar.get_x() + bar.get_width() / 2, height), xytext=(0, 3),
                        textcoords="offset points", ha="center")  # fmt: skip
    bottom.set(ylabel="умножений, млн", ylim=(0, 3.9))
    bottom.yaxis.set_major_formatter(ticks())
    names = [f"$P={patch}$\n{(ps.SIDE // patch) ** 2} ток." for patch in ps.SIZES]
    bottom.set_xticks(places, names)
    return drawing
