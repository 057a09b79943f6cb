"""Figures of tm-07: what PyTorch's autograd records, in which order it walks, and what it keeps in memory."""

from dataclasses import dataclass
from functools import cache

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

from scripts.dl.torch_examples import incoming_edges
from scripts.figures import figure
from scripts.figures.numbers import number
from scripts.figures.schemes import arrow
from scripts.figures.style import WIDTH, Theme, pyplot

torch.set_num_threads(1)
SMALL = 8.5

# 1. The graph of a two-layer network, found by walking next_functions; the order is that of a real backward.

BATCH, INPUTS, HIDDEN = 5, 3, 4


@dataclass(frozen=True)
class Recorded:
    """One node: its class, shapes of saved tensors and of the parameter (if a leaf), and the traces of one backward."""

    name: str
    saved: dict[str, tuple[int, ...]]
    parameter: str
    edges_in: int
    order: int
    gradient: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    nodes: list[Recorded]  # in the order in which the engine called them
    edges: list[tuple[int, int]]  # positions in `nodes`, from consumer to operand


def network_loss() -> tuple[torch.Tensor, dict[str, torch.nn.Parameter]]:
    """tanh(X W1' + b1) = H, then cross-entropy of H W2' + b2 + H with 4 classes; and the parameters by name."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"W^1": (HIDDEN, INPUTS), "b^1": (HIDDEN,), "W^2": (HIDDEN, HIDDEN), "b^2": (HIDDEN,)}
    parameters = {n: torch.nn.Parameter(torch.randn(s, generator=generator)) for n, s in shapes.items()}
    W1, b1, W2, b2 = parameters.values()
    X = torch.randn((BATCH, INPUTS), generator=generator)
    hidden = torch.tanh(torch.nn.functional.linear(X, W1, b1))
    logits = torch.nn.functional.linear(hidden, W2, b2) + hidden
    return torch.nn.functional.cross_entropy(logits, torch.arange(BATCH) % HIDDEN), parameters


@cache
def network_graph() -> Graph:
    loss, parameters = network_loss()
    names = {id(parameter): name for name, parameter in parameters.items()}
    waits = incoming_edges(loss.grad_fn)
    nodes = [loss.grad_fn, *waits]
    saved = {node: _saved_shapes(node) for node in nodes}
    called: list[tuple[object, tuple[int, ...]]] = []
    for node in nodes:
        node.register_prehook(lambda grads, node=node: called.append((node, tuple(grads[0].shape))))
    loss.backward()
    order = [node for node, _ in called]
    recorded = [
        Recorded(
            node.name().rpartition("::")[2], saved[node], names.get(id(getattr(node, "variable", None)), ""),
            waits[node], position, shape,
        )
        for position, (node, shape) in enumerate(called)
    ]  # fmt: skip
    edges = [
        (order.index(node), order.index(child))
        for node in order
        for child, _ in node.next_functions
        if child is not None
    ]
    return Graph(recorded, edges)


def _saved_shapes(node) -> dict[str, tuple[int, ...]]:
    values = {name.removeprefix("_saved_"): getattr(node, name) for name in dir(node) if name.startswith("_saved_")}
    return {name: tuple(value.shape) for name, value in values.items() if isinstance(value, torch.Tensor)}


# Where the nodes stand, in the order of the calls: column (0 the trunk, 1 and 2 to its right), row from the top.
NODE_PLACES = ((0, 0), (0, 1), (0, 2), (0, 3), (1, 2.5), (1, 3.5), (2, 3.5), (0, 4.5), (0, 5.5), (1, 5), (1, 6), (2, 6))
COLUMN_X, ROW_HEIGHT, BOX = (1.08, 2.96, 4.8), 0.84, (1.5, 0.6)


@figure
def node_graph(theme: Theme) -> Figure:
    graph = network_graph()
    height = 6 * ROW_HEIGHT + 0.9
    drawing = pyplot.figure(figsize=(WIDTH, height), layout="none")
    axes = drawing.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, height))
    axes.axis("off")
    places = [(COLUMN_X[column], height - 0.45 - row * ROW_HEIGHT) for column, row in NODE_PLACES]
    for node, place in zip(graph.nodes, places, strict=True):
        _node(axes, node, place, theme)
    for consumer, operand in graph.edges:
        skip = graph.nodes[consumer].name == "AddBackward0" and graph.nodes[operand].name == "TanhBackward0"
        _edge(axes, places[consumer], places[operand], theme, bend=skip)
    notes = (
        ("номер – порядок вызова", theme.muted),
        ("сохранённые тензоры", theme.forward),
        ("форма пришедшей сопряжённой", theme.backward),
    )
    for line, (text, colour) in enumerate(notes):
        axes.text(2.55, height - 0.3 - 0.24 * line, text, color=colour, fontsize=SMALL + 0.5, va="center")
    axes.text(
        COLUMN_X[0] + 0.1, places[7][1] + 0.62, "ждёт двух\nвкладов", color=theme.bad, fontsize=SMALL, va="center"
    )  # fmt: skip
    return drawing


def _node(axes: Axes, node: Recorded, place: tuple[float, float], theme: Theme) -> None:
    x, y = place
    leaf = bool(node.parameter)
    axes.add_patch(
        FancyBboxPatch(
            (x - BOX[0] / 2, y - BOX[1] / 2), *BOX, boxstyle="round,pad=0,rounding_size=0.07", zorder=2,
            facecolor=theme.background if leaf else theme.surface, edgecolor=theme.good if leaf else theme.muted,
            linewidth=1.4 if leaf else 0.8,
        )
    )  # fmt: skip
    style = {"fontsize": SMALL, "va": "center", "ha": "center", "zorder": 3}
    axes.text(x, y + 0.18, node.name.removesuffix("0").removesuffix("Backward"), color=theme.ink, **style)
    saved = ", ".join(f"{name} {_shape(shape)}" for name, shape in node.saved.items() if name != "total_weight")
    second = rf"${node.parameter}$.grad += …" if leaf else saved or "ничего не хранит"
    colour = theme.good if leaf else theme.forward if saved else theme.muted
    axes.text(x, y, second, color=colour, **style)
    axes.text(x, y - 0.18, _shape(node.gradient), color=theme.backward, **style)
    corner = {"fontsize": SMALL, "va": "center", "ha": "left", "zorder": 3, "color": theme.muted}
    axes.text(x - BOX[0] / 2 + 0.06, y + 0.18, str(node.order + 1), **corner)


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) if shape else "скаляр"


def _edge(axes: Axes, start: tuple[float, float], end: tuple[float, float], theme: Theme, bend: bool) -> None:
    if bend:  # the shortcut goes round the nodes between
        begin, finish = (start[0] - BOX[0] / 2, start[1]), (end[0] - BOX[0] / 2, end[1])
    elif start[0] != end[0]:
        begin, finish = (start[0] + BOX[0] / 2, start[1]), (end[0] - BOX[0] / 2, end[1])
    else:
        begin, finish = (start[0], start[1] - BOX[1] / 2), (end[0], end[1] + BOX[1] / 2)
    style = "arc3,rad=0.2" if bend else "arc3"
    axes.add_patch(
        FancyArrowPatch(
            begin, finish, arrowstyle="-|>", mutation_scale=8, color=theme.backward, linewidth=1.0, shrinkA=0,
            shrinkB=0, connectionstyle=style, zorder=1,
        )
    )  # fmt: skip


# 2. What is alive in memory during a forward and a backward, tensor by tensor.

DEPTH, SIDE, ROWS = 16, 64, 256  # layers, their width, objects
SEGMENT = 4  # layers between two checkpoints


class LiveBytes(TorchDispatchMode):
    """Follows every storage made inside it and writes down, after each operation, how many bytes are still alive."""

    def __init__(self, parameters: list[torch.Tensor] = ()):
        super().__init__()
        self.parameters = list(parameters)
        self.ignored = {p.untyped_storage()._cdata for p in self.parameters}
        self.alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.activations: list[int] = []
        self.gradients: list[int] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and (storage := tensor.untyped_storage())._cdata not in self.ignored:
                self.alive.setdefault(storage._cdata, (StorageWeakRef(storage), storage.nbytes()))
        self.write_down()
        return result

    def write_down(self) -> None:
        self.alive = {key: (ref, size) for key, (ref, size) in self.alive.items() if not ref.expired()}
        gradients = sum(p.grad.untyped_storage().nbytes() for p in self.parameters if p.grad is not None)
        self.gradients.append(gradients)
        self.activations.append(sum(size for _, size in self.alive.values()) - gradients)


@dataclass(frozen=True)
class Memory:
    """Bytes alive after each operation; `forward` is the number of operations of the forward pass."""

    activations: list[int]
    gradients: list[int]
    forward: int


@cache
def memory(checkpointed: bool) -> Memory:
    """A chain of 16 tanh layers of 64 units on 256 objects in float32, with or without a checkpoint every 4 layers."""
    torch.manual_seed(0)
    layers = [torch.nn.Sequential(torch.nn.Linear(SIDE, SIDE), torch.nn.Tanh()) for _ in range(DEPTH)]
    segments = [torch.nn.Sequential(*layers[start : start + SEGMENT]) for start in range(0, DEPTH, SEGMENT)]
    parameters = [parameter for segment in segments for parameter in segment.parameters()]
    hidden = torch.randn(ROWS, SIDE)
    with LiveBytes(parameters) as live:
        for segment in segments:
            hidden = checkpoint(segment, hidden, use_reentrant=False) if checkpointed else segment(hidden)
        loss = hidden.square().mean()
        del hidden
        live.write_down()
        forward = len(live.activations)
        loss.backward()
        live.write_down()
    return Memory(live.activations, live.gradients, forward)


@figure
def live_memory(theme: Theme) -> Figure:
    drawing, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 5.6), sharex=True, sharey=True)
    for panel, checkpointed in zip(panels, (False, True), strict=True):
        data = memory(checkpointed)
        kilobytes = [size / 1024 for size in data.activations]
        panel.fill_between(range(len(kilobytes)), kilobytes, color=theme.forward, alpha=0.25, linewidth=0, step="post")
        panel.step(range(len(kilobytes)), kilobytes, where="post", color=theme.forward, linewidth=1.3)
        gradients = [size / 1024 for size in data.gradients]
        panel.step(range(len(gradients)), gradients, where="post", color=theme.backward, linewidth=1.5)
        panel.axvline(data.forward - 0.5, color=theme.muted, linewidth=0.9, linestyle="--")
        panel.set_title("checkpoint через каждые 4 слоя" if checkpointed else "обычный проход", weight="normal")
        panel.set_ylabel("живых тензоров, КиБ")
        panel.set_ylim(0, 1400)
        panel.set_xlim(0, len(memory(True).activations))
    end = memory(False).forward
    style = {"fontsize": SMALL + 0.5, "va": "center"}
    panels[0].text(end - 5, 1310, "прямой", color=theme.muted, ha="right", **style)
    panels[0].text(end + 12, 1310, "обратный", color=theme.muted, **style)
    panels[0].text(175, 900, "активации и временные тензоры", color=theme.forward, **style)
    panels[0].text(272, 225, ".grad параметров", color=theme.backward, **style)
    panels[1].set_xlabel("номер операции ядра")
    return drawing


# 3. The gradient as a graph: tanh(w x), its slope g in x, and the backward pass of g.


@dataclass(frozen=True)
class SecondOrder:
    """Values of y, g and dg/dw; the nodes of the graph of g with the adjoints they got, and which were in that of y."""

    y: float
    g: float
    slope_in_w: float
    names: list[str]
    adjoints: list[float]
    old: list[bool]
    edges: list[tuple[int, int]]


@cache
def second_order() -> SecondOrder:
    w = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    x = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    y = torch.tanh(w * x)
    first = {y.grad_fn, *incoming_edges(y.grad_fn)}
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    called: list[tuple[object, float]] = []
    nodes = [g.grad_fn, *incoming_edges(g.grad_fn)]
    for node in nodes:
        node.register_prehook(lambda grads, node=node: called.append((node, grads[0].item())))
    g.backward()
    order = [node for node, _ in called]
    leaves = {id(w): "w", id(x): "x"}
    names = [leaves.get(id(getattr(n, "variable", None)), n.name()) for n in order]
    edges = [(order.index(n), order.index(c)) for n in order for c, _ in n.next_functions if c is not None]
    return SecondOrder(
        y.item(), g.item(), w.grad.item(), names, [value for _, value in called], [n in first for n in order], edges
    )


def nodes_of_derivatives(orders: int = 8) -> list[int]:
    """Sizes of the graphs of tanh and of its derivatives, each got by a backward pass through the one before."""
    x = torch.tensor(0.5, requires_grad=True)
    tensor, sizes = torch.tanh(x), []
    for _ in range(orders):
        sizes.append(1 + len(incoming_edges(tensor.grad_fn)))
        (tensor,) = torch.autograd.grad(tensor, x, create_graph=True)
    return sizes


@figure
def double_graph(theme: Theme) -> Figure:
    data = second_order()
    height = 4.35
    drawing = pyplot.figure(figsize=(WIDTH, height), layout="none")
    axes = drawing.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, height))
    axes.axis("off")
    labels = {
        "MulBackward0": r"$g=\bar z\,w$", "TanhBackwardBackward0": r"$\bar z=\bar y\,(1-y^2)$",
        "TanhBackward0": r"$y=\tanh z$", "w": "$w$", "x": "$x$",
    }  # fmt: skip
    places = _second_places(data)
    for (name, value, old), place in zip(zip(data.names, data.adjoints, data.old, strict=True), places, strict=True):
        formula = r"$z=wx$" if name == "MulBackward0" and old else labels[name]
        colour = theme.forward if old else theme.backward
        _box(axes, place, name if len(name) > 1 else "AccumulateGrad", formula, number(value, 3), colour, theme)
    for consumer, operand in data.edges:
        _arrow(axes, places[consumer], places[operand], theme)
    axes.text(0.15, 4.15, "записано прямым проходом", color=theme.forward, fontsize=SMALL + 0.5, va="center")
    axes.text(WIDTH - 0.15, 4.15, "записано обратным (create_graph)", color=theme.backward, fontsize=SMALL + 0.5,
              va="center", ha="right")  # fmt: skip
    return drawing


def _second_places(data: SecondOrder) -> list[tuple[float, float]]:
    places = {"TanhBackwardBackward0": (3.95, 2.45), "TanhBackward0": (1.2, 2.45), "w": (3.95, 0.4), "x": (1.2, 0.4)}
    mul = {False: (3.95, 3.45), True: (1.2, 1.42)}
    return [places.get(name) or mul[old] for name, old in zip(data.names, data.old, strict=True)]


def _box(
    axes: Axes, place: tuple[float, float], name: str, formula: str, value: str, colour: str, theme: Theme
) -> None:
    x, y = place
    axes.add_patch(
        FancyBboxPatch(
            (x - 1.05, y - 0.33), 2.1, 0.66, boxstyle="round,pad=0,rounding_size=0.07", zorder=2, linewidth=1.2,
            facecolor=theme.surface, edgecolor=colour,
        )
    )  # fmt: skip
    axes.text(x, y + 0.17, name, ha="center", va="center", fontsize=SMALL, zorder=3)
    axes.text(x - 0.95, y - 0.14, formula, ha="left", va="center", fontsize=SMALL + 1, color=colour, zorder=3)
    axes.text(x + 0.95, y - 0.14, value, ha="right", va="center", fontsize=SMALL + 1, color=theme.bad, zorder=3)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], theme: Theme) -> None:
    if start[1] == end[1]:
        sign = 1 if end[0] > start[0] else -1
        begin, finish, bend = (start[0] + sign * 1.05, start[1]), (end[0] - sign * 1.05, end[1]), 0.0
    elif start[0] == end[0] and abs(start[1] - end[1]) > 1.5:
        begin, finish, bend = (start[0] + 1.05, start[1]), (end[0] + 1.05, end[1]), -0.25
    else:
        shift = 0.0 if start[0] == end[0] else -0.9 if end[0] > start[0] else 0.9
        begin, finish, bend = (start[0] - shift / 3, start[1] - 0.33), (end[0] + shift, end[1] + 0.33), 0.0
    arrow(axes, begin, finish, theme.muted, bend=bend)
