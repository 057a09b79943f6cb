"""Figures of ticket-02: what each regulariser does to a fit, computed on small problems where it can be seen whole."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_diabetes, make_moons
from torch.nn import functional as F

from scripts.dl import regularization as reg
from scripts.figures import figure
from scripts.figures.digits import CLASSES, digits
from scripts.figures.numbers import number, ticks
from scripts.figures.style import WIDTH, Theme, pyplot

PIXELS, HIDDEN, SEEDS = 64, 256, 3


@dataclass(frozen=True)
class Recipe:
    """How a 64-256-256-10 ReLU network is trained on digits with AdamW."""

    train: int = 200
    label_noise: float = 0.0
    pixel_noise: float = 0.0
    epochs: int = 100
    batch: int = 25
    dropout: float = 0.0
    decay: float = 0.0
    smoothing: float = 0.0


@dataclass(frozen=True, eq=False)
class Run:
    """What was measured after each epoch of `epochs`: arrays (checks, seeds), then test predictions at the end."""

    epochs: np.ndarray
    test_accuracy: np.ndarray
    test_loss: np.ndarray
    train_loss: np.ndarray  # on the labels as given, in evaluation mode, without smoothing
    memorised: np.ndarray  # share of wrongly labelled training images answered with their wrong label
    confidence: np.ndarray  # (seeds, 597), the largest probability
    correct: np.ndarray  # (seeds, 597), bool


class _Networks:
    """`SEEDS` independent networks held in stacked weights, so that one step trains all of them."""

    def __init__(self, generator: torch.Generator):
        self.generator, self.parameters = generator, []
        for d_in, d_out in ((PIXELS, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, CLASSES)):
            for shape in ((SEEDS, d_in, d_out), (SEEDS, 1, d_out)):
                start = (torch.rand(shape, generator=generator) * 2 - 1) / d_in**0.5
                self.parameters.append(start.requires_grad_())

    def logits(self, x: torch.Tensor, dropout: float = 0.0) -> torch.Tensor:
        last = len(self.parameters) // 2 - 1
        for layer in range(last + 1):
            x = torch.baddbmm(self.parameters[2 * layer + 1], x, self.parameters[2 * layer])
            if layer < last:
                x = torch.relu(x)
                if dropout:
                    x = x * (torch.rand(x.shape, generator=self.generator) > dropout) / (1 - dropout)
        return x


@cache
def trained(recipe: Recipe) -> Run:
    """Train `SEEDS` networks, each on its own split of the digits, AdamW with learning rate 0.001."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    splits = [digits(recipe.train, recipe.label_noise, seed) for seed in range(SEEDS)]
    X, X_test = (torch.tensor(np.stack(a), dtype=torch.float32)
                 for a in ([s.X_train for s in splits], [s.X_test for s in splits]))  # fmt: skip
    y, y_clean, y_test = (torch.tensor(np.stack(a))
                          for a in ([s.y_train for s in splits], [s.y_train_clean for s in splits],
                                    [s.y_test for s in splits]))  # fmt: skip
    X = X + recipe.pixel_noise * torch.randn(X.shape, generator=generator)
    X_test = X_test + recipe.pixel_noise * torch.randn(X_test.shape, generator=generator)
    networks = _Networks(generator)
    optimizer = torch.optim.AdamW(networks.parameters, lr=1e-3, weight_decay=recipe.decay)

    checks = []
    for epoch in range(1, recipe.epochs + 1):
        order = torch.argsort(torch.rand(SEEDS, recipe.train, generator=generator), dim=1)
        for chosen in order.split(recipe.batch, dim=1):
            x = X.gather(1, chosen[..., None].expand(-1, -1, PIXELS))
            logits = networks.logits(x, recipe.dropout)
            given = y.gather(1, chosen)
            loss = F.cross_entropy(logits.flatten(0, 1), given.flatten(), label_smoothing=recipe.smoothing)
            optimizer.zero_grad()
            (SEEDS * loss).backward()  # the mean over the batch of each network
            optimizer.step()
        if epoch % 2 == 0 or epoch == 1:
            with torch.no_grad():
                test, train = networks.logits(X_test), networks.logits(X)
                wrong = y != y_clean
                checks.append((
                    epoch,
                    (test.argmax(-1) == y_test).double().mean(1).numpy(),
                    F.cross_entropy(test.transpose(1, 2), y_test, reduction="none").mean(1).numpy(),
                    F.cross_entropy(train.transpose(1, 2), y, reduction="none").mean(1).numpy(),
                    (((train.argmax(-1) == y) & wrong).sum(1) / wrong.sum(1).clamp(min=1)).numpy(),
                ))  # fmt: skip
    epochs, accuracy, test_loss, train_loss, memorised = (np.array(a) for a in zip(*checks, strict=True))
    confidence, predicted = torch.softmax(test, -1).max(-1)
    correct = (predicted == y_test).numpy()
    return Run(epochs, accuracy, test_loss, train_loss, memorised, confidence.numpy(), correct)


# Wrong labels

VARIANTS = {
    "none": ("без регуляризации", "bad", {}),
    "smoothing": ("label smoothing 0,1", "extra", {"smoothing": 0.1}),
    "decay": ("weight decay 1,0", "accent", {"decay": 1.0}),
    "dropout": ("dropout 0,5", "forward", {"dropout": 0.5}),
    "both": ("dropout и weight decay", "good", {"dropout": 0.5, "decay": 1.0}),
}


def noisy(name: str) -> Run:
    """200 training images, 40 of them with a wrong label."""
    return trained(Recipe(label_noise=0.2, **VARIANTS[name][2]))


@figure
def noisy_labels(theme: Theme) -> Figure:
    drawing, (accuracy, memory) = pyplot.subplots(2, 1, figsize=(WIDTH, 6.6), sharex=True, height_ratios=(3, 2))
    for name, (label, colour, _) in VARIANTS.items():
        run, hue = noisy(name), getattr(theme, colour)
        accuracy.plot(run.epochs, run.test_accuracy.mean(1), color=hue, label=label)
        memory.plot(run.epochs, run.memorised.mean(1), color=hue)
    best = noisy("none").test_accuracy.mean(1)
    at = best.argmax()
    accuracy.plot(noisy("none").epochs[at], best[at], marker="o", markersize=7, color=theme.bad,
                  markeredgecolor=theme.background)  # fmt: skip
    accuracy.axvline(noisy("none").epochs[at], color=theme.muted, linewidth=1, linestyle=(0, (1, 3)))
    memory.axvline(noisy("none").epochs[at], color=theme.muted, linewidth=1, linestyle=(0, (1, 3)))
    memory.annotate("здесь лучше\nостановиться", (noisy("none").epochs[at] + 1.5, 0.86), color=theme.muted, va="center")
    accuracy.set(ylim=(0.6, 0.92), ylabel="точность на контроле")
    accuracy.legend(loc="lower center", ncol=2, bbox_to_anchor=(0.5, 1.0))
    memory.set(xlim=(0, 100), ylim=(0, 1.03), xlabel="эпоха", ylabel="доля заученных\nневерных меток")
    for panel in (accuracy, memory):
        panel.yaxis.set_major_formatter(ticks(1 if panel is memory else 2))
    return drawing


# Shrinkage

RATE, STEPS = 0.01, 400  # of the descent shown by dots; 1/(η τ) = 0.25


@cache
def descended(curvatures: tuple[float, ...]) -> np.ndarray:
    """Share of w* reached by honest gradient descent from zero on the quadratic with these curvatures."""
    h = np.array(curvatures)
    w = np.zeros_like(h)
    for _ in range(STEPS):
        w -= RATE * h * (w - 1.0)
    return w


@figure
def shrinkage(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.3))
    x = np.logspace(-2, 2, 400)
    one = np.ones_like(x)
    panel.semilogx(x, reg.l2_solution(x, one, 1.0), color=theme.forward, label=r"L2: $x/(1+x)$")
    panel.semilogx(x, 1 - np.exp(-x), color=theme.good, label=r"ранняя остановка: $1-e^{-x}$")
    dots = np.logspace(-2, 1.9, 27)
    decay = 1 / (RATE * STEPS)
    panel.semilogx(dots, descended(tuple(dots * decay)), "o", markersize=4.5, color=theme.good,
                   label=f"градиентный спуск, {STEPS} шагов")  # fmt: skip
    panel.semilogx(x, reg.l1_solution(x, one, 1.0), color=theme.backward, label=r"L1 при $w^*=1$")
    panel.axhline(0.5, color=theme.muted, linewidth=1.2, linestyle="--", label="dropout 0,5, любая кривизна")
    at = x[np.argmax(1 - np.exp(-x) - x / (1 + x))]
    low, high = at / (1 + at), 1 - np.exp(-at)
    panel.plot([at, at], [low, high], color=theme.ink, linewidth=2.2)
    panel.annotate(number(high - low, 2), (at * 1.1, 0.872), va="center", color=theme.ink)
    panel.set(xlim=(0.01, 100), ylim=(-0.02, 1.03), xlabel=r"кривизна в единицах штрафа, $x=h/\lambda$")
    panel.set_ylabel(r"остаётся от веса, $\tilde w/w^*$")
    panel.yaxis.set_major_formatter(ticks(1))
    panel.xaxis.set_major_formatter(ticks())
    panel.legend(loc="lower center", ncol=2, bbox_to_anchor=(0.5, 1.0))
    return drawing


# Geometry: a quadratic in the plane

HESSIAN = np.array([[1.0, 0.55], [0.55, 0.6]])
MINIMUM = np.array([1.25, -0.25])
TOUCHING = 0.35  # the λ at which the balls are drawn


def plane_loss(w: np.ndarray) -> np.ndarray:
    """1/2 (w - w*)ᵀ H (w - w*) on points w (…, 2)."""
    shift = w - MINIMUM
    return 0.5 * np.einsum("...i,ij,...j->...", shift, HESSIAN, shift)


def plane_gradient(w: np.ndarray) -> np.ndarray:
    return HESSIAN @ (w - MINIMUM)


@cache
def plane_solution(norm: str, decay: float) -> tuple[float, float]:
    """Minimum of the quadratic with an L1 or L2 penalty of strength `decay`."""
    if norm == "L2":
        w = np.linalg.solve(HESSIAN + decay * np.eye(2), HESSIAN @ MINIMUM)
    else:
        w = reg.proximal_gradient(plane_gradient, np.zeros(2), eta=0.7, decay=decay, steps=400)
    return float(w[0]), float(w[1])


@figure
def balls(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(1, 2, figsize=(WIDTH, 3.1), sharey=True)
    grid = np.stack(np.meshgrid(np.linspace(-0.9, 1.7, 200), np.linspace(-1.0, 1.3, 200)), axis=-1)
    for panel, norm in zip(panels, ("L1", "L2"), strict=True):
        touch = np.array(plane_solution(norm, TOUCHING))
        here = plane_loss(touch)
        panel.contour(grid[..., 0], grid[..., 1], plane_loss(grid), levels=np.array([0.1, 0.45, 1.0, 2.2]) * here,
                      colors=theme.grid, linewidths=1)  # fmt: skip
        panel.contour(grid[..., 0], grid[..., 1], plane_loss(grid), levels=[here], colors=theme.muted, linewidths=1.4)
        angle = np.linspace(0, 2 * np.pi, 401)
        circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        radius = np.abs(touch).sum() if norm == "L1" else np.linalg.norm(touch)
        sizes = np.abs(circle).sum(1) if norm == "L1" else np.ones(len(circle))
        ball = radius * circle / sizes[:, None]
        panel.fill(*ball.T, color=theme.forward, alpha=0.22, linewidth=0)
        panel.plot(*ball.T, color=theme.forward, linewidth=1.4)
        path = np.array([plane_solution(norm, decay) for decay in np.concatenate([[0], np.logspace(-2.5, 1.6, 60)])])
        panel.plot(*path.T, color=theme.backward, linewidth=2.2)
        panel.plot(*touch, "o", color=theme.backward, markersize=7, markeredgecolor=theme.background)
        panel.plot(*MINIMUM, "*", color=theme.ink, markersize=11, markeredgecolor=theme.background)
        panel.annotate("$w^*$", MINIMUM + [0.04, 0.1], color=theme.ink,
                       bbox={"facecolor": theme.background, "edgecolor": "none", "pad": 0.6})  # fmt: skip
        panel.axhline(0, color=theme.muted, linewidth=0.7)
        panel.axvline(0, color=theme.muted, linewidth=0.7)
        panel.set(xlim=(-0.9, 1.7), ylim=(-1.0, 1.3), aspect="equal", xticks=[], yticks=[], xlabel="$w_1$", title=norm)
        panel.grid(visible=False)
    panels[0].set_ylabel("$w_2$")
    return drawing


# Paths on real data

DECAYS = np.logspace(np.log10(0.65), -3, 60)


@cache
def diabetes() -> tuple[np.ndarray, np.ndarray]:
    """442 patients: ten features (442, 10) and the progression (442,), all of mean 0 and variance 1."""
    X, y = load_diabetes(return_X_y=True)
    return (X - X.mean(0)) / X.std(0), (y - y.mean()) / y.std()


@cache
def coefficient_paths(norm: str) -> np.ndarray:
    """Minima of ||y - X w||²/(2N) plus the penalty for every λ of `DECAYS`, (60, 10)."""
    X, y = diabetes()
    gram, target = X.T @ X / len(y), X.T @ y / len(y)
    if norm == "L2":
        return np.array([np.linalg.solve(gram + decay * np.eye(len(gram)), target) for decay in DECAYS])
    eta, w, path = 1 / np.linalg.eigvalsh(gram)[-1], np.zeros(len(gram)), []
    for decay in DECAYS:
        w = reg.proximal_gradient(lambda v: gram @ v - target, w, eta, decay, steps=1500)
        path.append(w)
    return np.array(path)


@figure
def paths(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 5.8), sharex=True, sharey=True)
    named = {2: ("bmi", "backward"), 8: ("s5", "forward"), 3: ("bp", "good"), 4: ("s1", "bad"), 5: ("s2", "extra")}
    for panel, norm in zip(panels, ("L1", "L2"), strict=True):
        for feature, path in enumerate(coefficient_paths(norm).T):
            name, colour = named.get(feature, ("прочие" if feature == 0 else None, "muted"))
            panel.semilogx(DECAYS, path, color=getattr(theme, colour), linewidth=1.8 if feature in named else 1.1,
                           label=name)  # fmt: skip
        panel.axhline(0, color=theme.muted, linewidth=0.8)
        panel.set_ylabel(f"веса, {norm}")
        panel.yaxis.set_major_formatter(ticks(1))
    panels[1].set_xlabel(r"сила штрафа $\lambda$")
    panels[1].set_xlim(DECAYS[-1], DECAYS[0])
    panels[1].xaxis.set_major_formatter(ticks())
    handles, labels = panels[0].get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: labels[i] == "прочие")
    panels[0].legend([handles[i] for i in order], [labels[i] for i in order], ncol=6, loc="lower center",
                     bbox_to_anchor=(0.5, 1.0), columnspacing=1.2, handlelength=1.4)  # fmt: skip
    return drawing


# Confidence

BLURRED = {"train": 1000, "pixel_noise": 0.35, "epochs": 60, "batch": 50}


def blurred(smoothing: float) -> Run:
    """1000 clean labels, but pixels so noisy that classes overlap."""
    return trained(Recipe(smoothing=smoothing, **BLURRED))


def calibration_error(run: Run) -> float:
    """Expected calibration error in ten equal bins of confidence (Guo et al., 2017)."""
    confidence, correct = run.confidence.ravel(), run.correct.ravel()
    bins = np.minimum((confidence * 10).astype(int), 9)
    gaps = [abs(confidence[bins == b].sum() - correct[bins == b].sum()) for b in range(10)]
    return float(sum(gaps) / len(confidence))


@figure
def confidence(theme: Theme) -> Figure:
    drawing, (accuracy, loss, histogram) = pyplot.subplots(3, 1, figsize=(WIDTH, 7.6), height_ratios=(2, 2, 2.4))
    for smoothing, label, colour in ((0.0, "обычные метки", "bad"), (0.1, "label smoothing 0,1", "good")):
        run, hue = blurred(smoothing), getattr(theme, colour)
        accuracy.plot(run.epochs, run.test_accuracy.mean(1), color=hue, label=label)
        loss.plot(run.epochs, run.test_loss.mean(1), color=hue)
        histogram.hist(run.confidence.ravel(), bins=np.linspace(0, 1, 21), color=hue, alpha=0.55,
                       weights=np.full(run.confidence.size, 1 / run.confidence.size))  # fmt: skip
        histogram.axvline(run.confidence.mean(), color=hue, linewidth=1.8, linestyle="--")
        histogram.axvline(run.correct.mean(), color=hue, linewidth=1.8)
    histogram.plot([], [], color=theme.ink, linestyle="--", label="средняя уверенность")
    histogram.plot([], [], color=theme.ink, label="доля верных ответов")
    histogram.legend(loc="upper left")
    accuracy.set(ylim=(0.6, 0.9), yticks=[0.6, 0.7, 0.8, 0.9], ylabel="точность", xlim=(0, 60), xticklabels=[])
    loss.set(ylim=(0.4, 1.25), yticks=[0.4, 0.6, 0.8, 1.0, 1.2], ylabel="кросс-энтропия", xlim=(0, 60), xlabel="эпоха")
    histogram.set(xlim=(0.1, 1), ylabel="доля объектов", xlabel="уверенность, наибольшая вероятность")
    accuracy.legend(loc="lower center", ncol=2, bbox_to_anchor=(0.5, 1.0))
    for axis in (accuracy.yaxis, loss.yaxis, histogram.yaxis, histogram.xaxis):
        axis.set_major_formatter(ticks(1))
    return drawing


# Mixed examples


@cache
def mixed_pair() -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Two digits and what the methods make of them: caption, image (8, 8), label (10,)."""
    data = digits()
    first, second = (int(np.flatnonzero(data.y_train == label)[0]) for label in (3, 8 - 1))
    images = data.X_train[[first, second]].reshape(2, 1, 8, 8)
    labels = np.eye(CLASSES)[data.y_train[[first, second]]]
    shown = [("тройка", images[0], labels[0]), ("семёрка", images[1], labels[1])]
    cut = reg.cutout(images[:1], 4, np.random.default_rng(5))
    shown.append(("Cutout", cut[0], labels[0]))
    for caption, mix, seed in (("mixup", reg.mixup, 0), ("CutMix", reg.cutmix, 0)):
        for attempt in range(100):  # a draw that really mixes, and takes the other image as partner
            blended, soft = mix(images, labels, 1.0, np.random.default_rng([seed, attempt]))
            if 0.35 < soft[0].max() < 0.7:
                break
        shown.append((caption, blended[0], soft[0]))
    return [(caption, image[0], label) for caption, image, label in shown]


@figure
def mixes(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 5, figsize=(WIDTH, 2.5), height_ratios=(2, 1))
    for column, (caption, image, label) in enumerate(mixed_pair()):
        picture, bars = panels[:, column]
        picture.imshow(image, cmap="gray_r" if theme.name == "light" else "gray", vmin=0, vmax=1)
        picture.set_title(caption, loc="center", fontweight="normal")
        picture.set(xticks=[], yticks=[])
        picture.grid(visible=False)
        bars.bar(np.arange(CLASSES), label, color=theme.good)
        bars.set(ylim=(0, 1.05), xlim=(-0.7, 9.7), xticks=[3, 7], yticks=[0, 1] if column == 0 else [])
        bars.grid(visible=False)
    panels[1, 0].set_ylabel("метка")
    return drawing


MOONS, MOONS_NOISE, ALPHA, MOONS_STEPS = 100, 0.25, 0.4, 1500


@cache
def moons(samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    return make_moons(samples, noise=MOONS_NOISE, random_state=seed)


@dataclass(frozen=True, eq=False)
class Surface:
    """Probability of class 1 on `moons_grid()`, and three numbers of the trained network."""

    probability: np.ndarray
    train_accuracy: float
    test_accuracy: float
    test_loss: float


def moons_grid() -> tuple[np.ndarray, np.ndarray]:
    return np.meshgrid(np.linspace(-1.9, 2.9, 97), np.linspace(-1.5, 2.0, 71))


@cache
def moons_network(alpha: float, seed: int) -> Surface:
    """A 2-100-100-2 ReLU network, full batch, Adam with learning rate 0.01; `alpha` 0 is training without mixup."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    X, y = moons(MOONS, 0)
    labels = np.eye(2)[y]
    network = torch.nn.Sequential(torch.nn.Linear(2, 100), torch.nn.ReLU(), torch.nn.Linear(100, 100),
                                  torch.nn.ReLU(), torch.nn.Linear(100, 2))  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(MOONS_STEPS):
        inputs, targets = reg.mixup(X, labels, alpha, rng) if alpha else (X, labels)
        loss = F.cross_entropy(network(_single(inputs)), _single(targets))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    X_test, y_test = moons(2000, 1)
    with torch.no_grad():
        test = network(_single(X_test))
        grid = network(_single(np.stack(moons_grid(), axis=-1)))
        fitted = network(_single(X)).argmax(1).numpy()
    return Surface(
        probability=torch.softmax(grid, -1)[..., 1].numpy(),
        train_accuracy=float(np.mean(fitted == y)),
        test_accuracy=float(np.mean(test.argmax(1).numpy() == y_test)),
        test_loss=F.cross_entropy(test, torch.tensor(y_test)).item(),
    )


def _single(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(array, dtype=torch.float32)


@figure
def mixup_moons(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 6.6), sharex=True)
    X, y = moons(MOONS, 0)
    for panel, alpha, label in zip(panels, (0.0, ALPHA), ("без mixup", f"mixup, α = {number(ALPHA)}"), strict=True):
        probability = moons_network(alpha, 0).probability
        levels = np.linspace(0, 1, 11)
        image = panel.contourf(*moons_grid(), probability, levels=levels, cmap=theme.diverging, alpha=0.8)
        panel.contour(*moons_grid(), probability, levels=[0.5], colors=theme.ink, linewidths=1.4)
        for value, colour, marker in ((0, theme.forward, "o"), (1, theme.bad, "^")):
            panel.plot(*X[y == value].T, marker, color=colour, markersize=5.5, markeredgecolor=theme.background,
                       markeredgewidth=0.7)  # fmt: skip
        panel.set_title(label)
        panel.set(xticks=[], yticks=[], ylabel="$x_2$")
        panel.grid(visible=False)
    panels[1].set_xlabel("$x_1$")
    drawing.colorbar(image, ax=panels, label="вероятность класса «треугольник»", ticks=[0, 0.5, 1], shrink=0.6,
                     format=ticks(1))  # fmt: skip
    return drawing


# Double descent

FEATURES = (20, 40, 70, 100, 130, 160, 180, 190, 200, 210, 220, 250, 300, 400, 600, 1000, 2000)
RANDOM_DECAY = 0.01
FITTED = 200


@cache
def random_features() -> dict[str, np.ndarray]:
    """Least squares on random ReLU features of 200 digits with 40 wrong labels, mean over the seeds, by width.

    `minimum_norm` and `ridge` (λ = 0.01) are test errors, `train` the training error of the former, `norm` the norm of
    its weights.
    """
    table = np.zeros((4, SEEDS, len(FEATURES)))
    for seed in range(SEEDS):
        data = digits(FITTED, 0.2, seed)
        targets = np.eye(CLASSES)[data.y_train]
        centre = data.X_train.mean(0)
        directions = np.random.default_rng(seed).standard_normal((PIXELS, max(FEATURES))) / 2
        train, test = (np.maximum((X - centre) @ directions, 0) for X in (data.X_train, data.X_test))
        for column, width in enumerate(FEATURES):
            A, T = train[:, :width] / width**0.5, test[:, :width] / width**0.5
            if width < FITTED:
                shortest = np.linalg.lstsq(A, targets, rcond=None)[0]
            else:
                shortest = A.T @ np.linalg.solve(A @ A.T, targets)
            ridge = A.T @ np.linalg.solve(A @ A.T + FITTED * RANDOM_DECAY * np.eye(FITTED), targets)
            table[:, seed, column] = (
                np.mean((T @ shortest).argmax(1) != data.y_test),
                np.mean((T @ ridge).argmax(1) != data.y_test),
                np.mean((A @ shortest).argmax(1) != data.y_train),
                np.linalg.norm(shortest),
            )
    means = table.mean(axis=1)
    return dict(zip(("minimum_norm", "ridge", "train", "norm"), means, strict=True))


@figure
def double_descent(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.1))
    table = random_features()
    panel.semilogx(FEATURES, table["minimum_norm"], "o-", markersize=4, color=theme.bad, label="контроль, без штрафа")
    panel.semilogx(
        FEATURES,
        table["ridge"],
        "o-",
        markersize=4,
        color=theme.good,
        label=f"контроль, L2 с λ = {number(RANDOM_DECAY)}",
    )
    panel.semilogx(FEATURES, table["train"], color=theme.muted, linestyle="--", label="обучение, без штрафа")
    panel.axvline(FITTED, color=theme.muted, linewidth=1, linestyle=(0, (1, 3)))
    panel.annotate("признаков столько же,\nсколько картинок", (235, 0.8), color=theme.muted, va="center")
    panel.set(xlim=(20, 2000), ylim=(0, 0.92), xlabel="число случайных признаков", ylabel="доля ошибок")
    panel.set_xticks([20, 50, 100, 200, 500, 1000, 2000])
    panel.xaxis.set_major_formatter(ticks())
    panel.xaxis.minorticks_off()
    panel.yaxis.set_major_formatter(ticks(1))
    panel.legend(loc="lower center", ncol=2, bbox_to_anchor=(0.5, 1.0))
    return drawing


# The solution gradient descent chooses

ROW, ANSWER = np.array([2.0, 1.0]), 2.0  # one equation, two unknowns
STARTS = ((0.0, 0.0), (-0.5, 1.4))


@cache
def interpolations(method: str, start: tuple[float, float]) -> np.ndarray:
    """Trajectory (steps + 1, 2) on (2 w_1 + w_2 - 2)² / 2 by gradient descent or by Adam."""
    w = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    adam = method == "adam"
    optimizer = torch.optim.Adam([w], lr=0.02) if adam else torch.optim.SGD([w], lr=0.04)
    row = torch.tensor(ROW)
    points = [np.array(start)]
    for _ in range(2000 if adam else 400):
        optimizer.zero_grad()
        (0.5 * (row @ w - ANSWER) ** 2).backward()
        optimizer.step()
        points.append(w.detach().numpy().copy())
    return np.array(points)


@figure
def minimum_norm(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 5.2))
    line = np.array([-0.3, 1.5])
    panel.plot(line, ANSWER - ROW[0] * line, color=theme.ink, linewidth=1.4, label="все решения, потери равны нулю")
    length = np.linalg.norm(reg.minimum_norm(ROW[None], np.array([ANSWER])))
    angle = np.linspace(0, 2 * np.pi, 300)
    panel.plot(length * np.cos(angle), length * np.sin(angle), color=theme.muted, linewidth=1, linestyle=(0, (1, 3)))
    for start in STARTS:
        for method, label, colour in (("gd", "градиентный спуск", "good"), ("adam", "Adam", "bad")):
            points, hue = interpolations(method, start), getattr(theme, colour)
            panel.plot(*points.T, color=hue, label=label if start == STARTS[0] else None)
            panel.plot(*points[-1], "o", color=hue, markersize=7, markeredgecolor=theme.background)
        panel.plot(*start, "*", color=theme.ink, markersize=11, markeredgecolor=theme.background)
    panel.set(xlim=(-1.6, 2.1), ylim=(-0.95, 2.1), aspect="equal", xlabel="$w_1$", ylabel="$w_2$")
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(ticks(1))
    panel.legend(loc="lower center", ncol=2, bbox_to_anchor=(0.5, 1.0))
    return drawing
