"""Figures of ticket-05: what a convolution is and sees, what classical networks cost, and what transfer gives."""

from functools import cache

import numpy as np
import torch
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator
from sklearn.datasets import load_sample_image

from scripts.dl import architectures
from scripts.dl.convolution import conv2d, toeplitz
from scripts.dl.pooling import avg_pool2d, max_blur_pool2d, max_pool2d
from scripts.dl.receptive_field import Layer, averaging_profile
from scripts.experiments import transfer as experiment
from scripts.experiments import transfer_converged
from scripts.figures import figure
from scripts.figures.digits import digits
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot


@cache
def picture(side: int) -> np.ndarray:
    """A grey square of a photograph of a pagoda, halved by averaging: (side, side), brightness within [0, 1]."""
    grey = load_sample_image("china.jpg").mean(axis=2) / 255
    return grey[100 : 100 + 2 * side, 200 : 200 + 2 * side].reshape(side, 2, side, 2).mean(axis=(1, 3))


def _bare(panel) -> None:
    """A picture rather than a plot: no ticks, no grid."""
    panel.set_xticks([])
    panel.set_yticks([])
    panel.grid(visible=False)


# --- Convolution as a matrix ---------------------------------------------------------------------------------------

SIDE = 6
KERNEL = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)


@cache
def matrices() -> dict[str, np.ndarray]:
    """The layer's matrix for a picture 6×6 and a kernel 3×3 with weights 1…9."""
    size = (SIDE, SIDE)
    return {
        "$s=1$, $P=0$": toeplitz(KERNEL, size),
        "$s=1$, $P=1$": toeplitz(KERNEL, size, padding=1),
        "$s=2$, $P=1$": toeplitz(KERNEL, size, stride=2, padding=1),
    }


@figure
def convolution_matrix(theme: Theme) -> Figure:
    found = matrices()
    drawing, panels = pyplot.subplots(
        3, 1, figsize=(WIDTH, 8.0), height_ratios=[len(m) for m in found.values()], layout="constrained"
    )
    for panel, (name, matrix) in zip(panels, found.items(), strict=True):
        shown = np.where(matrix == 0, np.nan, matrix)
        panel.set_facecolor(theme.surface)
        mesh = panel.pcolormesh(shown, cmap=theme.sequential, vmin=0, vmax=9.5, edgecolors="none", rasterized=True)
        for line in range(0, matrix.shape[1] + 1, SIDE):
            panel.axvline(line, color=theme.muted, linewidth=0.5)
        for line in range(0, len(matrix) + 1, round(np.sqrt(len(matrix)))):
            panel.axhline(line, color=theme.muted, linewidth=0.5)
        panel.invert_yaxis()
        panel.set_aspect("equal")
        panel.set_title(f"{name}: матрица {len(matrix)}×{matrix.shape[1]}")
        panel.set_ylabel("выход")
        _bare(panel)
    panels[-1].set_xlabel("пиксели картинки 6×6, строка за строкой")
    bar = drawing.colorbar(mesh, ax=panels, location="bottom", shrink=0.6, aspect=30, pad=0.02, ticks=range(1, 10))
    bar.set_label("номер веса ядра 3×3")
    bar.outline.set_visible(False)
    return drawing


# --- Shifts --------------------------------------------------------------------------------------------------------

SHIFTS = range(9)


def _wrapped(x: np.ndarray) -> np.ndarray:
    return np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="wrap")


def shifted(y: np.ndarray, by: float) -> np.ndarray:
    """Maps moved to the right by any number of pixels, edges joined: multiplied by a phase in Fourier space."""
    phase = np.exp(-2j * np.pi * by * np.fft.fftfreq(y.shape[-1]))
    return np.fft.ifft(np.fft.fft(y, axis=-1) * phase, axis=-1).real


def _maps(x: np.ndarray) -> np.ndarray:
    """Eight random filters 3×3 and ReLU."""
    weights = np.random.default_rng(0).standard_normal((8, 1, 3, 3)) / 3
    return np.maximum(conv2d(_wrapped(x), weights), 0)


@cache
def shift_errors() -> dict[str, np.ndarray]:
    """Relative error of "shift, then layer" against "layer, then shift" for every shift of the photograph."""
    x = (picture(128) - picture(128).mean())[None, None]
    layers = {
        "без прореживания": (_maps, 1),
        "каждый второй": (lambda x: _maps(x)[:, :, ::2, ::2], 2),
        "max-pool": (lambda x: max_pool2d(_maps(x), 2)[0], 2),
        "average-pool": (lambda x: avg_pool2d(_maps(x), 2), 2),
        "max-blur-pool": (lambda x: max_blur_pool2d(_maps(x), 2, "wrap"), 2),
    }
    found = {}
    for name, (layer, stride) in layers.items():
        y = layer(x)
        errors = [layer(np.roll(x, by, axis=-1)) - shifted(y, by / stride) for by in SHIFTS]
        found[name] = np.array([np.linalg.norm(error) for error in errors]) / np.linalg.norm(y)
    return found


@figure
def shift_error(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.6))
    looks = {"без прореживания": ("good", "D"), "каждый второй": ("bad", "s"), "max-pool": ("backward", "o"),
             "average-pool": ("accent", "v"), "max-blur-pool": ("forward", "^")}  # fmt: skip
    for name, (colour, marker) in looks.items():
        panel.plot(SHIFTS, shift_errors()[name], color=getattr(theme, colour), marker=marker, markersize=5,
                   linewidth=1.3, label=name)  # fmt: skip
    panel.set(xlabel="сдвиг картинки, пиксели", ylabel="относительная ошибка", ylim=(-0.012, 0.26))
    panel.set_xticks(SHIFTS)
    panel.yaxis.set_major_formatter(ticks())
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=3, columnspacing=1.2, handlelength=1.6)
    return drawing


# --- Receptive field -----------------------------------------------------------------------------------------------

DEPTHS = (5, 20, 40)
NOTICEABLE = 0.0455  # of the largest gradient, the threshold of Luo et al.
RANDOM_CHANNELS, RANDOM_NETWORKS = 16, 8


@cache
def averaged_field(depth: int) -> np.ndarray:
    """Gradient of one output in the (2n+1)² inputs of its field when n layers 3×3 average."""
    profile = averaging_profile([Layer(3)] * depth)
    return np.outer(profile, profile)


@cache
def random_field(depth: int) -> np.ndarray:
    """Root mean square of that gradient over channels and networks with random weights and ReLU."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    total = torch.zeros(2 * depth + 1, 2 * depth + 1, dtype=torch.float64)
    deviation = (2 / (9 * RANDOM_CHANNELS)) ** 0.5
    for _ in range(RANDOM_NETWORKS):
        x = torch.randn(1, RANDOM_CHANNELS, 2 * depth + 1, 2 * depth + 1, dtype=torch.float64, requires_grad=True)
        y = x
        for _ in range(depth):  # without padding the map shrinks to the one output we ask about
            weights = deviation * torch.randn(RANDOM_CHANNELS, RANDOM_CHANNELS, 3, 3, dtype=torch.float64)
            y = torch.relu(torch.nn.functional.conv2d(y, weights))
        y.sum().backward()
        squares = (x.grad**2).mean(dim=(0, 1))
        total += squares / squares.sum()  # networks differ by orders of magnitude in the size of their gradients
    return (total / RANDOM_NETWORKS).sqrt().numpy()


def noticeable_share(field: np.ndarray) -> float:
    """Share of the field's pixels whose gradient exceeds the threshold."""
    return float(np.mean(field > NOTICEABLE * field.max()))


def field_deviation(field: np.ndarray) -> float:
    """Standard deviation of a field along one side, in pixels."""
    profile = field.sum(axis=0) / field.sum()
    place = np.arange(len(profile)) - (len(profile) - 1) / 2
    return float(np.sqrt(profile @ place**2))


@figure
def effective_field(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 3, figsize=(WIDTH, 4.5))
    widest = DEPTHS[-1] + 2
    rows = (("равные веса", averaged_field), ("случайные, ReLU", random_field))
    for row, (name, field_of) in zip(panels, rows, strict=True):
        for panel, depth in zip(row, DEPTHS, strict=True):
            field = field_of(depth)
            reach = depth + 0.5
            panel.imshow(field / field.max(), cmap=theme.sequential, vmin=0, vmax=1, interpolation="none",
                         extent=(-reach, reach, -reach, reach))  # fmt: skip
            panel.plot([-reach, reach, reach, -reach, -reach], [-reach, -reach, reach, reach, -reach],
                       color=theme.backward, linewidth=1.4)  # fmt: skip
            panel.set(xlim=(-widest, widest), ylim=(-widest, widest))
            panel.set_facecolor(theme.surface)
            panel.set_xlabel(f"{number(100 * noticeable_share(field), 0)} % площади")
            _bare(panel)
        row[0].set_ylabel(name)
    for panel, depth in zip(panels[0], DEPTHS, strict=True):
        panel.set_title(f"слоёв: {depth}")
    return drawing


# --- Filters -------------------------------------------------------------------------------------------------------

SOBEL = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])


def gabor(side: int = 11, angle: float = np.pi / 2, wave: float = 5.0, width: float = 2.5) -> np.ndarray:
    """A cosine under a Gaussian, its mean removed; `angle` is that of the wave vector."""
    rows, columns = np.mgrid[:side, :side] - side // 2
    along = columns * np.cos(angle) + rows * np.sin(angle)
    kernel = np.exp(-(rows**2 + columns**2) / (2 * width**2)) * np.cos(2 * np.pi * along / wave)
    return kernel - kernel.mean()


@cache
def canvas() -> np.ndarray:
    """A test digit 8 in the middle of a canvas without noise, (16, 16)."""
    data = digits(seed=0)
    eight = data.X_test[data.y_test == 8][0].reshape(experiment.DIGIT, experiment.DIGIT)
    return experiment.DARK + experiment.LIGHT * np.pad(eight, (experiment.SIDE - experiment.DIGIT) // 2)


@cache
def learned_maps() -> np.ndarray:
    """Responses of the learned filters to the canvas, before ReLU: (12, 16, 16)."""
    seen = (canvas() - experiment.MEAN) / experiment.STD
    return conv2d(seen[None, None], experiment.source()["filters"][:, None].astype(float), padding=2)[0]


def _filter_order() -> np.ndarray:
    """The learned filters from the strongest to the weakest."""
    return np.argsort(-np.linalg.norm(experiment.source()["filters"], axis=(1, 2)), kind="stable")


@figure
def filters(theme: Theme) -> Figure:
    drawing = pyplot.figure(figsize=(WIDTH, 6.9))
    top, middle, bottom = drawing.subfigures(3, 1, height_ratios=(2.15, 2.3, 2.15))
    photo = picture(96)
    responses = {
        "снимок": photo,
        "Собель": np.abs(conv2d(photo[None, None], SOBEL[None, None])[0, 0]),
        "Габор": np.abs(conv2d(photo[None, None], gabor()[None, None])[0, 0]),
    }
    for panel, (name, image) in zip(top.subplots(1, 3), responses.items(), strict=True):
        panel.imshow(image, cmap="gray", vmin=0, vmax=np.quantile(image, 0.995), interpolation="none")
        panel.set_title(name)
        _bare(panel)
    learned, order = experiment.source()["filters"], _filter_order()
    middle.suptitle("фильтры $5\\times5$ первого слоя сети, учившей цифры", fontsize=10, fontweight="bold")
    for panel, index in zip(middle.subplots(2, 6).flat, order, strict=True):
        kernel = learned[index]
        norm = TwoSlopeNorm(0.0, -np.abs(kernel).max(), np.abs(kernel).max())
        panel.imshow(kernel, cmap=theme.diverging, norm=norm, interpolation="none")
        _bare(panel)
    panels = bottom.subplots(1, 4)
    panels[0].imshow(canvas(), cmap="gray", interpolation="none")
    panels[0].set_title("вход")
    for rank, panel in enumerate(panels[1:]):
        image = learned_maps()[order[rank]]
        norm = TwoSlopeNorm(0.0, -np.abs(image).max(), np.abs(image).max())
        panel.imshow(image, cmap=theme.diverging, norm=norm, interpolation="none")
        panel.set_title(f"фильтр {rank + 1}")
    for panel in panels:
        _bare(panel)
    return drawing


# --- Costs ---------------------------------------------------------------------------------------------------------

COMPARED = ("AlexNet", "VGG-16", "GoogLeNet", "ResNet-50", "MobileNet v2")


@cache
def table(name: str) -> architectures.Table:
    return architectures.NETWORKS[name]()


def split(name: str, field: str) -> tuple[float, float]:
    """Sums over convolutions (with their normalisations) and over linear layers."""
    return table(name).total(field, ("conv", "norm")), table(name).total(field, ("fc",))


@figure
def cost_split(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 4.6))
    quantities = (("parameters", 1e6, "параметры, млн", 1), ("multiply_adds", 1e9, "умножений-сложений, млрд", 2))
    places = np.arange(len(COMPARED))[::-1]
    for panel, (field, unit, label, decimals) in zip(panels, quantities, strict=True):
        parts = np.array([split(name, field) for name in COMPARED]) / unit
        panel.barh(places, parts[:, 0], color=theme.forward, label="свёртки")
        panel.barh(places, parts[:, 1], left=parts[:, 0], color=theme.backward, label="полносвязные слои")
        for place, total in zip(places, parts.sum(axis=1), strict=True):
            panel.annotate(number(total, decimals), (total, place), xytext=(4, 0), textcoords="offset points",
                           va="center")  # fmt: skip
        panel.set_yticks(places, COMPARED)
        panel.set_xlim(0, parts.sum(axis=1).max() * 1.13)
        panel.set_xlabel(label)
        panel.xaxis.set_major_formatter(ticks())
        panel.grid(axis="y", visible=False)
    panels[0].legend(loc="lower right")
    return drawing


@cache
def vgg_layers() -> dict[str, np.ndarray]:
    """By trained layer of VGG-16: numbers in its output, parameters and multiply-adds, (16,) each."""
    rows = [row for row in table("VGG-16").rows if row.kind in ("conv", "fc")]
    return {
        "activations": np.array([np.prod(row.shape) for row in rows]),
        "parameters": np.array([row.parameters for row in rows]),
        "multiply_adds": np.array([row.multiply_adds for row in rows]),
        "is_conv": np.array([row.kind == "conv" for row in rows]),
    }


@figure
def vgg_budget(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(3, 1, figsize=(WIDTH, 5.6), sharex=True)
    layers = vgg_layers()
    quantities = (("activations", 1e6, "активаций,\nмлн"), ("parameters", 1e6, "параметров,\nмлн"),
                  ("multiply_adds", 1e9, "умножений-\nсложений, млрд"))  # fmt: skip
    numbers = np.arange(1, 17)
    colours = [theme.forward if conv else theme.backward for conv in layers["is_conv"]]
    for panel, (field, unit, label) in zip(panels, quantities, strict=True):
        panel.bar(numbers, layers[field] / unit, color=colours, width=0.75)
        panel.set_ylabel(label)
        panel.yaxis.set_major_formatter(ticks())
        panel.grid(axis="x", visible=False)
    panels[0].bar([0], [0], color=theme.forward, label="свёртки")
    panels[0].bar([0], [0], color=theme.backward, label="полносвязные")
    panels[0].legend(loc="upper right")
    panels[-1].set_xlim(0.3, 16.7)
    panels[-1].set_xticks(numbers)
    panels[-1].set_xlabel("слой VGG-16 по порядку")
    return drawing


# Top-1 accuracy on ImageNet that torchvision publishes with its weights (IMAGENET1K_V1; for ResNet-50 also V2).
TOP1 = {
    "AlexNet": 56.522, "VGG-16": 71.592, "GoogLeNet": 69.778, "ResNet-18": 69.758, "ResNet-50": 76.130,
    "ResNeXt-50": 77.618, "DenseNet-121": 74.434, "MobileNet v2": 71.878, "EfficientNet-B0": 77.692,
    "ConvNeXt-T": 82.520,
}  # fmt: skip
RESNET50_V2 = 80.858


@figure
def accuracy_and_cost(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.6))
    beside = {"AlexNet": (13, 0, "left"), "VGG-16": (0, -32, "center"), "GoogLeNet": (-2, -15, "center"),
              "ResNet-18": (9, 2, "left"), "ResNet-50": (10, -4, "left"), "ResNeXt-50": (11, 4, "left"),
              "DenseNet-121": (0, -17, "center"), "MobileNet v2": (0, -16, "center"),
              "EfficientNet-B0": (0, 9, "center"), "ConvNeXt-T": (0, 11, "center")}  # fmt: skip
    for name, accuracy in TOP1.items():
        cost, size = (table(name).total(field) for field in ("multiply_adds", "parameters"))
        panel.scatter(cost / 1e9, accuracy, s=size / 1e6 * 6, color=theme.forward, alpha=0.55, linewidths=0)
        right, up, side = beside[name]
        panel.annotate(name, (cost / 1e9, accuracy), xytext=(right, up), textcoords="offset points", ha=side,
                       va="center" if up in (0, 2, 4, -4) else "baseline", fontsize=9)  # fmt: skip
    cost = table("ResNet-50").total("multiply_adds") / 1e9
    panel.annotate("", (0.93 * cost, RESNET50_V2), (0.93 * cost, TOP1["ResNet-50"]),
                   arrowprops={"arrowstyle": "->", "color": theme.backward, "linewidth": 1.4,
                               "connectionstyle": "arc3,rad=-0.45"})  # fmt: skip
    panel.scatter(cost, RESNET50_V2, s=table("ResNet-50").total("parameters") / 1e6 * 6, color=theme.backward,
                  alpha=0.55, linewidths=0)  # fmt: skip
    panel.annotate("та же сеть,\nдругое обучение", (cost, RESNET50_V2), xytext=(12, -4), textcoords="offset points",
                   va="center", color=theme.backward, fontsize=9)  # fmt: skip
    panel.set(xscale="log", xlim=(0.16, 32), ylim=(54, 86), xlabel="умножений-сложений на картинку, млрд",
              ylabel="top-1 на ImageNet, %")  # fmt: skip
    panel.set_xticks([0.3, 1, 3, 10, 30])
    panel.xaxis.set_major_formatter(ticks())
    panel.xaxis.set_minor_locator(NullLocator())
    return drawing


# --- Transfer ------------------------------------------------------------------------------------------------------

INVERTED = (10, 100)
MODE_LOOKS = {
    "lp-ft": ("сначала голова, потом всё", "extra", "D"),
    "full": ("вся сеть сразу", "forward", "o"),
    "two-frozen": ("две свёртки заморожены", "good", "^"),
    "probe": ("только голова", "accent", "v"),
    "scratch": ("с нуля", "bad", "s"),
}


@cache
def accuracies(domain: str = "same") -> dict[str, np.ndarray]:
    """By mode: (counts of labels, seeds)."""
    counts = experiment.LABELS if domain == "same" else INVERTED
    found = np.array(
        [experiment.transfer(count, *(() if domain == "same" else (domain,)))["accuracy"] for count in counts]
    )
    return {mode: found[:, row] for row, mode in enumerate(experiment.MODES)}


@figure
def transfer(theme: Theme) -> Figure:
    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(WIDTH, 6.4), height_ratios=(3, 2))
    for mode, (label, colour, marker) in MODE_LOOKS.items():
        found, hue = accuracies()[mode], getattr(theme, colour)
        top.plot(experiment.LABELS, found.mean(axis=1), color=hue, marker=marker, markersize=5, label=label)
    for mode in ("full", "scratch"):
        found = accuracies()[mode]
        top.fill_between(experiment.LABELS, found.min(axis=1), found.max(axis=1), linewidth=0, alpha=0.14,
                         color=getattr(theme, MODE_LOOKS[mode][1]))  # fmt: skip
    converged = transfer_converged.probe(experiment.LABELS[-1])["accuracy"].mean(axis=1).max()
    top.plot(experiment.LABELS[-1], converged, color=theme.accent, marker="v", markersize=6, fillstyle="none",
             linestyle="none", label="голова, доученная с L2")  # fmt: skip
    top.set(xscale="log", xlabel="меток на класс", ylabel="точность на контроле", ylim=(0.25, 0.95))
    top.set_xticks(experiment.LABELS)
    top.xaxis.set_major_formatter(ticks())
    top.xaxis.set_minor_formatter(NullFormatter())
    top.xaxis.set_minor_locator(NullLocator())
    top.legend(loc="lower right")
    shown = ("scratch", "probe", "two-frozen", "full", "lp-ft")
    names = ("с нуля", "голова", "две\nзаморожены", "вся сеть", "голова,\nпотом всё")
    places, width = np.arange(len(shown)), 0.27
    longer = dict(
        zip(transfer_converged.MODES, transfer_converged.inverted(1000)["accuracy"].mean(axis=1), strict=True)
    )
    groups = (
        ("контраст как у источника", "forward", {mode: accuracies()[mode][-1].mean() for mode in shown}),
        ("обратный", "backward", {mode: accuracies("inverted")[mode][-1].mean() for mode in shown}),
        ("обратный, 1000 шагов", "accent", longer),
    )
    for offset, (label, colour, means) in zip((-width, 0, width), groups, strict=True):
        at = np.array([place + offset for place, mode in zip(places, shown, strict=True) if mode in means])
        heights = [means[mode] for mode in shown if mode in means]
        bottom.bar(at, heights, width=0.93 * width, color=getattr(theme, colour), label=label)
        for place, height in zip(at, heights, strict=True):
            bottom.annotate(number(height, 2), (place, height + 0.02), ha="center", fontsize=8.5)
    bottom.set(ylabel="точность, 100 меток\nна класс", ylim=(0, 1.28))
    bottom.set_yticks([0, 0.25, 0.5, 0.75, 1])
    bottom.set_xticks(places, names)
    bottom.grid(axis="x", visible=False)
    bottom.legend(loc="upper center", ncol=3, fontsize=8.5, columnspacing=1.2, handlelength=1.4)
    for panel in (top, bottom):
        panel.yaxis.set_major_formatter(ticks())
    return drawing
