"""Classes of the vertices of a random graph from few labels: graph networks by depth, and by how alike neighbours are.

The graph is a stochastic block model, the features are noisy marks of the class. PyTorch, float32 on one thread,
because networks are trained; the matrix of propagation comes from `scripts/dl/graphs.py`.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from scripts.dl import graphs
from scripts.experiments.recorded import Result, recorded

VERTICES, CLASSES, FEATURES, SIGNAL = 300, 3, 16, 0.55
P_IN, P_OUT = 0.06, 0.012
LABELLED = 5  # of each class, in the experiment on depth
WIDTH, RATE, DECAY, STEPS, LATE, SEEDS = 16, 0.01, 5e-4, 200, 1000, 5
DEPTHS = (1, 2, 3, 4, 6, 8, 12, 16)
SHOWN = {"mlp": ("mlp", 2), "two": ("gcn", 2), "eight": ("gcn", 8)}  # whose hidden states are kept
DEGREE, HOMOPHILIES, MANY = 12.0, (0.0, 0.1, 0.2, 0.33, 0.5, 0.7, 0.9), 40


class Sample(NamedTuple):
    A: np.ndarray  # (300, 300)
    X: np.ndarray  # (300, 16)
    labels: np.ndarray  # (300,), classes 0 to 2
    known: np.ndarray  # (300,) bool: whose labels are taught


def sample(seed: int, p_in: float = P_IN, p_out: float = P_OUT, labelled: int = LABELLED) -> Sample:
    """A graph, its features and which labels are known (`labelled` of each class)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(VERTICES) % CLASSES
    A = graphs.block_model(labels, p_in, p_out, rng)
    X = SIGNAL * rng.standard_normal((CLASSES, FEATURES))[labels] + rng.standard_normal((VERTICES, FEATURES))
    known = np.zeros(VERTICES, dtype=bool)
    for label in range(CLASSES):
        known[rng.choice(np.flatnonzero(labels == label), labelled, replace=False)] = True
    return Sample(A, X, labels, known)


class Network(nn.Module):
    """`depth` layers, the last gives logits.

    mlp: relu(H W). gcn: relu(S H W). residual: H + relu(S H W) in the middle layers. sage: relu(H W + M H W') with M
    the mean over neighbours.
    """

    def __init__(self, kind: str, depth: int, A: np.ndarray):
        super().__init__()
        self.kind = kind
        matrix = graphs.mean_matrix(A) if kind == "sage" else graphs.normalized(A)
        self.S = torch.tensor(matrix, dtype=torch.float32)
        sizes = [FEATURES, *[WIDTH] * (depth - 1), CLASSES]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False))
        self.others = nn.ModuleList(
            nn.Linear(a, b, bias=False) for a, b in zip(sizes, sizes[1:], strict=False) if kind == "sage"
        )

    def layer(self, number: int, H: torch.Tensor) -> torch.Tensor:
        linear = self.layers[number]
        if self.kind == "mlp":
            return linear(H)
        if self.kind == "sage":
            return linear(H) + self.others[number](self.S @ H)
        return self.S @ linear(H)

    def forward(self, X: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (n, 3) and the states before the last layer."""
        H = X
        for number in range(len(self.layers) - 1):
            new = F.relu(self.layer(number, H))
            H = H + new if self.kind == "residual" and number > 0 else new
        return self.layer(len(self.layers) - 1, H), H


def train(kind: str, depth: int, data: Sample, seed: int, steps: int = STEPS) -> dict[str, np.ndarray]:
    """Shares of right answers on known (`train`) and other (`test`) labels, `hidden` states (n, ·), their `cosine`."""
    torch.manual_seed(seed)
    network = Network(kind, depth, data.A)
    X, y, known = (torch.tensor(data.X, dtype=torch.float32), torch.tensor(data.labels), torch.tensor(data.known))
    optimizer = torch.optim.Adam(network.parameters(), RATE, weight_decay=DECAY)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(network(X)[0][known], y[known]).backward()
        optimizer.step()
    with torch.no_grad():
        logits, hidden = network(X)
    right = (logits.argmax(dim=1) == y).numpy()
    H = hidden.numpy().astype(float)
    nonzero = H[np.linalg.norm(H, axis=1) > 0]
    cosine = graphs.mean_cosine(nonzero) if len(nonzero) > 1 else 1.0
    return {"train": right[data.known].mean(), "test": right[~data.known].mean(), "hidden": H, "cosine": cosine}


def plane(H: np.ndarray) -> np.ndarray:
    """The two principal components of the rows, with unit spread of the first."""
    centred = H - H.mean(axis=0)
    U, s, _ = np.linalg.svd(centred.astype(float), full_matrices=False)
    return (U[:, :2] * s[:2] / (s[0] + 1e-12) * np.sqrt(len(H))).astype(np.float32)


@recorded
def by_depth() -> Result:
    """For mlp, gcn and residual of DEPTHS layers `<kind>_train`, `<kind>_test`, `<kind>_cosine` (depths, SEEDS), each
    seed a graph of its own; `late_train` and `late_test` (SEEDS,): gcn of 8 layers after LATE steps; `shown_<name>`
    (300, 2): hidden states of the first seed."""
    torch.set_num_threads(1)
    found = {}
    for kind in ("mlp", "gcn", "residual"):
        runs = [[train(kind, depth, sample(seed), seed) for seed in range(SEEDS)] for depth in DEPTHS]
        for value in ("train", "test", "cosine"):
            found[f"{kind}_{value}"] = np.array([[run[value] for run in row] for row in runs])
        for name, (shown, depth) in SHOWN.items():
            if shown == kind:
                found[f"shown_{name}"] = plane(runs[DEPTHS.index(depth)][0]["hidden"])
    late = [train("gcn", 8, sample(seed), seed, LATE) for seed in range(SEEDS)]
    for value in ("train", "test"):
        found[f"late_{value}"] = np.array([run[value] for run in late])
    return found


def probabilities(share: float) -> tuple[float, float]:
    """p_in and p_out with mean degree DEGREE and `share` of the edges inside a class (in expectation)."""
    inside = VERTICES / CLASSES - 1
    outside = VERTICES - VERTICES / CLASSES
    return DEGREE * share / inside, DEGREE * (1 - share) / outside


@recorded
def by_homophily() -> Result:
    """Test accuracies (HOMOPHILIES, SEEDS) of two-layer `mlp`, `gcn` and `sage`, MANY labels of each class."""
    torch.set_num_threads(1)
    found = {}
    for kind in ("mlp", "gcn", "sage"):
        found[kind] = np.array(
            [
                [train(kind, 2, sample(seed, *probabilities(share), MANY), seed)["test"] for seed in range(SEEDS)]
                for share in HOMOPHILIES
            ]
        )
    return found
