"""Figures of tm-03: what dropout does to a fit, to training, to the units, and what its random passes say."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from scipy import ndimage

from scripts.dl import initialization
from scripts.dl.activations import RELU
from scripts.dl.dropout import DropoutMLP, all_masks, geometric_mean, uncertainty
from scripts.dl.losses import softmax, softmax_cross_entropy
from scripts.dl.optimizers import Adam
from scripts.figures import figure
from scripts.figures.digits import CLASSES, digits
from scripts.figures.numbers import ticks
from scripts.figures.style import WIDTH, Theme, pyplot
from scripts.figures.ticket_02 import Recipe, Run, trained

TRAIN, BATCH, EPOCHS, HIDDEN, RATE = 400, 25, 60, 256, 1e-3  # of the NumPy networks below


# The drop probability

PROBABILITIES = (0.0, 0.2, 0.5, 0.7, 0.8, 0.9, 0.95)


def noisy(p: float) -> Run:
    """The experiment of ticket-02 (200 digits, 40 of them with a wrong label) with another drop probability."""
    return trained(Recipe(label_noise=0.2, dropout=p))


@figure
def dropout_rate(theme: Theme) -> Figure:
    drawing, (accuracy, loss) = pyplot.subplots(2, 1, figsize=(WIDTH, 5.6), sharex=True)
    runs = [noisy(p) for p in PROBABILITIES]
    final = np.array([run.test_accuracy[-1] for run in runs])
    accuracy.plot(PROBABILITIES, final.mean(1), "o-", color=theme.good, markersize=5, label="точность на контроле")
    accuracy.fill_between(PROBABILITIES, final.min(1), final.max(1), color=theme.good, alpha=0.2, linewidth=0)
    accuracy.plot(PROBABILITIES, [run.memorised[-1].mean() for run in runs], "s--", color=theme.bad, markersize=4.5,
                  label="доля заученных неверных меток")  # fmt: skip
    accuracy.set(ylim=(0, 1.04), ylabel="доля")
    accuracy.legend(loc="lower left")
    for values, colour, label in (
        ([run.train_loss[-1].mean() for run in runs], "forward", "обучение"),
        ([run.test_loss[-1].mean() for run in runs], "backward", "контроль"),
    ):
        loss.semilogy(PROBABILITIES, values, "o-", color=getattr(theme, colour), markersize=5, label=label)
    loss.axhline(np.log(CLASSES), color=theme.muted, linewidth=1, linestyle=(0, (1, 3)))
    loss.annotate("ответ наугад", (0.005, 2.7), color=theme.muted)
    loss.set(ylim=(0.015, 4.2), xlabel="вероятность обнуления $p$", ylabel="кросс-энтропия\nбез масок")
    loss.legend(loc="lower right")
    loss.yaxis.set_major_formatter(ticks())
    loss.yaxis.set_minor_locator(NullLocator())
    accuracy.yaxis.set_major_formatter(ticks(1))
    loss.xaxis.set_major_formatter(ticks(1))
    return drawing


# Training


@dataclass(frozen=True, eq=False)
class History:
    """Losses after every epoch, each (EPOCHS,): `masked` is the mean over the epoch's batches with masks on, as a
    training log shows it; `train` and `test` are taken without masks. `accuracy` is that on the test set."""

    network: DropoutMLP
    masked: np.ndarray
    train: np.ndarray
    test: np.ndarray
    accuracy: np.ndarray


@cache
def trained_network(p: float, epochs: int = EPOCHS) -> History:
    """64-256-256-10 ReLU network on 400 clean digits, Adam with learning rate 0.001, batches of 25."""
    data, rng = digits(TRAIN), np.random.default_rng(0)
    labels, test_labels = np.eye(CLASSES)[data.y_train], np.eye(CLASSES)[data.y_test]
    sizes = [data.X_train.shape[1], HIDDEN, HIDDEN, CLASSES]
    network = DropoutMLP(sizes, RELU, initialization.he_normal, rng, p, np.random.default_rng(100))
    optimizer = Adam(network.weights + network.biases, RATE)
    rows = []
    for _ in range(epochs):
        network.training, masked = True, []
        for chosen in rng.permutation(TRAIN).reshape(-1, BATCH):
            loss, grad_logits = softmax_cross_entropy(network.forward(data.X_train[chosen]), labels[chosen])
            grads = network.backward(grad_logits)
            optimizer.step(grads.weights + grads.biases)
            masked.append(loss)
        network.training = False
        train, _ = softmax_cross_entropy(network.forward(data.X_train), labels)
        logits = network.forward(data.X_test)
        test, _ = softmax_cross_entropy(logits, test_labels)
        rows.append((np.mean(masked), train, test, np.mean(logits.argmax(1) == data.y_test)))
    return History(network, *np.array(rows).T)


@figure
def curves(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 4.3))
    epochs = np.arange(1, EPOCHS + 1)
    for p, colour, label in ((0.0, "bad", "без dropout"), (0.5, "good", "$p=0{,}5$")):
        history, hue = trained_network(p), getattr(theme, colour)
        panel.semilogy(epochs, history.test, color=hue, label=f"{label}, контроль")
        panel.semilogy(epochs, history.train, color=hue, linestyle="--", label=f"{label}, обучение")
        if p:
            panel.semilogy(epochs, history.masked, color=hue, linestyle=(0, (1, 1.5)), label=f"{label}, с масками")
    panel.set(xlim=(1, EPOCHS), ylim=(7e-4, 4), xlabel="эпоха", ylabel="кросс-энтропия")
    panel.yaxis.set_major_locator(LogLocator())
    panel.yaxis.set_major_formatter(ticks())
    panel.yaxis.set_minor_locator(NullLocator())
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
    return drawing


@cache
def gradient_noise(masks: bool) -> tuple[float, float]:
    """Of the gradient over random batches of 25, at one point of training: total variance, squared norm of its mean.

    Both estimates are unbiased: the mean over the draws still carries their variance over their number, subtracted
    here. The point is the network with p = 0.5 after five epochs; `masks` says whether dropout is on.
    """
    network, data = trained_network(0.5, epochs=5).network, digits(TRAIN)
    labels, rng = np.eye(CLASSES)[data.y_train], np.random.default_rng(1)
    network.training = masks
    total, squares, draws = 0.0, 0.0, 300
    for _ in range(draws):
        chosen = rng.permutation(TRAIN)[:BATCH]
        _, grad_logits = softmax_cross_entropy(network.forward(data.X_train[chosen]), labels[chosen])
        gradient = np.concatenate([g.ravel() for g in network.backward(grad_logits).weights])
        total, squares = total + gradient, squares + gradient**2
    network.training = False
    mean = total / draws
    variance = float(np.sum(squares / draws - mean**2)) * draws / (draws - 1)
    return variance, float(mean @ mean) - variance / draws


# Removing units

SHARES = np.arange(0, 10) / 10


@cache
def accuracy_without_units(p: float) -> np.ndarray:
    """Test accuracy of the network trained with p when a share of its hidden units is removed: (10, 3), three draws.

    The rest is divided by the share kept, as in training.
    """
    network, data = trained_network(p).network, digits(TRAIN)
    kept = network.p, network.noise
    network.training, network.noise = True, np.random.default_rng(7)
    table = np.empty((len(SHARES), 3))
    for row, share in enumerate(SHARES):
        network.p = share
        for column in range(table.shape[1]):
            table[row, column] = np.mean(network.forward(data.X_test).argmax(1) == data.y_test)
    network.training = False
    network.p, network.noise = kept
    return table


@figure
def removal(theme: Theme) -> Figure:
    drawing, panel = pyplot.subplots(figsize=(WIDTH, 3.7))
    for p, colour, label in ((0.5, "good", "обучена с $p=0{,}5$"), (0.0, "bad", "обучена без dropout")):
        panel.plot(SHARES, accuracy_without_units(p).mean(1), "o-", markersize=5, color=getattr(theme, colour),
                   label=label)  # fmt: skip
    panel.axhline(1 / CLASSES, color=theme.muted, linewidth=1, linestyle=(0, (1, 3)))
    panel.annotate("наугад", (0.01, 0.04), color=theme.muted)
    panel.set(ylim=(0, 1.03), xlabel="доля выключенных нейронов", ylabel="точность на контроле")
    panel.xaxis.set_major_formatter(ticks(1))
    panel.yaxis.set_major_formatter(ticks(1))
    panel.legend(loc="lower left", bbox_to_anchor=(0.0, 0.12))
    return drawing


# All subnetworks

UNITS, SHOWN = 12, 100


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Probabilities (100, 10): of the whole network and of two averages over all 4096 of its subnetworks."""

    scaled: np.ndarray
    geometric: np.ndarray
    arithmetic: np.ndarray


@cache
def tiny_network() -> DropoutMLP:
    """64-12-12-10, trained with p = 0.5 on 400 digits for 100 epochs."""
    data, rng = digits(TRAIN), np.random.default_rng(0)
    sizes = [data.X_train.shape[1], UNITS, UNITS, CLASSES]
    network = DropoutMLP(sizes, RELU, initialization.he_normal, rng, 0.5, np.random.default_rng(1))
    optimizer, labels = Adam(network.weights + network.biases, 3e-3), np.eye(CLASSES)[data.y_train]
    for _ in range(100):
        for chosen in rng.permutation(TRAIN).reshape(-1, BATCH):
            _, grad_logits = softmax_cross_entropy(network.forward(data.X_train[chosen]), labels[chosen])
            grads = network.backward(grad_logits)
            optimizer.step(grads.weights + grads.biases)
    network.training = False
    return network


@cache
def ensemble(layer: int) -> Ensemble:
    """Average the tiny network over every mask of hidden layer `layer`, 1 or 2, the other layer whole."""
    network = tiny_network()
    (W1, W2, W3), (b1, b2, b3) = network.weights, network.biases
    X = digits(TRAIN).X_test[:SHOWN]
    scaled = softmax(network.forward(X))
    masks, weights = all_masks(UNITS, 0.5)
    first = np.maximum(X @ W1.T + b1, 0)
    if layer == 1:
        second = np.maximum((first * masks[:, None]) @ W2.T + b2, 0)
    else:
        second = np.maximum(first @ W2.T + b2, 0) * masks[:, None]
    members = softmax(second @ W3.T + b3)  # (4096, 100, 10)
    return Ensemble(scaled, geometric_mean(members, weights), np.tensordot(weights, members, axes=1))


@figure
def subnetworks(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(1, 2, figsize=(WIDTH, 3.75), sharey=True)
    for panel, layer, title in zip(panels, (2, 1), ("маска у выхода", "маска слоем ниже"), strict=True):
        result = ensemble(layer)
        panel.plot([0, 1], [0, 1], color=theme.muted, linewidth=0.8)
        for mean, colour, marker, label in (
            (result.arithmetic, "accent", "x", "арифметическое"),
            (result.geometric, "forward", ".", "геометрическое"),
        ):
            panel.plot(mean.ravel(), result.scaled.ravel(), marker, markersize=4, markeredgewidth=0.8,
                       color=getattr(theme, colour), label=label, rasterized=True)  # fmt: skip
        panel.set_title(title)
        panel.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", xlabel="среднее по 4096 подсетям")
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_ticks([0, 0.5, 1])
            axis.set_major_formatter(ticks())
    panels[0].set_ylabel("вся сеть, один проход")
    drawing.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncol=2, handletextpad=0.2)
    return drawing


# Uncertainty of a rotated digit

ANGLES = np.arange(0, 181, 15)
PASSES = 200


@dataclass(frozen=True, eq=False)
class Rotation:
    """A digit turned by ANGLES, and 200 random passes over each picture."""

    images: np.ndarray  # (13, 8, 8)
    total: np.ndarray  # (13,), entropy of the mean answer
    mutual: np.ndarray  # (13,), disagreement of the subnetworks
    answer: np.ndarray  # (13,), class of the mean answer
    probability: np.ndarray  # (13,), its probability


def random_passes(X: np.ndarray, passes: int) -> np.ndarray:
    """Probabilities (passes, B, 10) of the network trained with p = 0.5 with its masks left on."""
    network = trained_network(0.5).network
    network.training, network.noise = True, np.random.default_rng(11)
    members = np.stack([softmax(network.forward(X)) for _ in range(passes)])
    network.training = False
    return members


@cache
def rotation() -> Rotation:
    data = digits(TRAIN)
    one = data.X_test[np.flatnonzero(data.y_test == 1)[0]].reshape(8, 8)
    images = np.stack([np.clip(ndimage.rotate(one, angle, reshape=False, order=1), 0, 1) for angle in ANGLES])
    members = random_passes(images.reshape(len(images), -1), PASSES)
    total, _, mutual = uncertainty(members)
    mean = members.mean(axis=0)
    return Rotation(images, total, mutual, mean.argmax(1), mean.max(1))


@figure
def mc_dropout(theme: Theme) -> Figure:
    result = rotation()
    drawing, axes = pyplot.subplot_mosaic(
        [[f"image{i}" for i in range(len(ANGLES))], ["curve"] * len(ANGLES)],
        figsize=(WIDTH, 4.3), height_ratios=(1, 5), gridspec_kw={"wspace": 0.0},
    )  # fmt: skip
    for i, image in enumerate(result.images):
        picture = axes[f"image{i}"]
        picture.imshow(image, cmap="gray_r" if theme.name == "light" else "gray", vmin=0, vmax=1)
        right = result.answer[i] == 1
        picture.set_title(str(result.answer[i]), loc="center", color=theme.good if right else theme.bad)
        picture.set(xticks=[], yticks=[])
        picture.grid(visible=False)
    curve = axes["curve"]
    curve.plot(ANGLES, result.total, "o-", markersize=4.5, color=theme.forward, label="энтропия среднего ответа")
    curve.plot(ANGLES, result.mutual, "s--", markersize=4, color=theme.backward, label="разногласие подсетей")
    curve.set(xlim=(-7.5, 187.5), ylim=(0, 1.7), xticks=ANGLES[::2], yticks=[0, 0.5, 1, 1.5],
              xlabel="угол поворота единицы, градусы", ylabel="наты")  # fmt: skip
    curve.yaxis.set_major_formatter(ticks(1))
    curve.legend(loc="upper right")
    return drawing


# Variance shift


@cache
def variance_shift(p: float) -> tuple[float, float]:
    """Var(z) without masks over Var(z) with them, after a linear layer on ReLU units: simulated, and predicted.

    256 units with inputs from N(0, 1), He weights to 256 outputs, 4000 objects; the ratio is of variances averaged over
    the outputs. The prediction is (1 - 1/π) / (1 - 1/π + p/(1-p)).
    """
    rng = np.random.default_rng(0)
    a = np.maximum(rng.standard_normal((4000, HIDDEN)), 0)
    W = initialization.he_normal(HIDDEN, HIDDEN, rng)
    masked = a * (rng.random(a.shape) >= p) / (1 - p)
    spread = 1 - 1 / np.pi
    return (
        float(np.var(a @ W.T, axis=0).mean() / np.var(masked @ W.T, axis=0).mean()),
        spread / (spread + p / (1 - p)),
    )
