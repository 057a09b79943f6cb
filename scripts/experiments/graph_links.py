"""Link prediction when the hidden edges are left in the graph that messages run along, and when they are not.

Two graphs: a stochastic block model, and one where every pair is joined with the same probability, so that nothing can
be predicted and an honest AUC is 0.5. PyTorch, float32 on one thread, because networks are trained.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from scripts.dl import graphs
from scripts.experiments.recorded import Result, recorded

VERTICES, CLASSES, FEATURES, SIGNAL = 300, 3, 16, 0.55
GRAPHS = {"blocks": (0.06, 0.012), "random": (0.028, 0.028)}  # p_in, p_out: about as many edges
HIDDEN_SHARE, WIDTH, RATE, STEPS, SEEDS = 0.2, 16, 0.01, 150, 10


def split(kind: str, seed: int) -> dict[str, np.ndarray]:
    """`all` and `seen` adjacency (n, n), features `X`; pairs (m, 2): `taught` and `hidden` edges, `apart`, as many
    pairs that are no edges."""
    rng = np.random.default_rng(seed)
    labels = np.arange(VERTICES) % CLASSES
    whole = graphs.block_model(labels, *GRAPHS[kind], rng)
    X = rng.standard_normal((VERTICES, FEATURES))
    if kind == "blocks":
        X = X + SIGNAL * rng.standard_normal((CLASSES, FEATURES))[labels]
    edges = rng.permutation(np.argwhere(np.triu(whole)))
    count = round(HIDDEN_SHARE * len(edges))
    absent = np.argwhere(np.triu(whole == 0, 1))
    return {
        "all": whole, "seen": graphs.adjacency(VERTICES, edges[count:].tolist()), "X": X, "hidden": edges[:count],
        "taught": edges[count:], "apart": rng.permutation(absent)[:count],
    }  # fmt: skip


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """The share of pairs (positive, negative) in which the positive one scores more; a tie counts a half."""
    gap = positive[:, None] - negative
    return float(np.mean((gap > 0) + 0.5 * (gap == 0)))


def train(data: dict[str, np.ndarray], messages: str, seed: int, steps: int = STEPS) -> float:
    """AUC on hidden edges of a two-layer GCN with dot products z_vᵀz_u; messages run along the graph `messages`, `seen`
    or `all`. Only the taught edges enter the loss, and new random pairs at each step as negatives."""
    torch.manual_seed(seed)
    S, X = (torch.tensor(array, dtype=torch.float32) for array in (graphs.normalized(data[messages]), data["X"]))
    first, second = nn.Linear(FEATURES, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
    optimizer = torch.optim.Adam([*first.parameters(), *second.parameters()], RATE)

    def states() -> torch.Tensor:
        return S @ second(F.relu(S @ first(X)))

    def scores(Z: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
        return (Z[pairs[:, 0]] * Z[pairs[:, 1]]).sum(dim=1)

    taught = torch.tensor(data["taught"])
    answers = torch.cat([torch.ones(len(taught)), torch.zeros(len(taught))])
    for _ in range(steps):
        pairs = torch.cat([taught, torch.randint(VERTICES, taught.shape)])
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(scores(states(), pairs), answers).backward()
        optimizer.step()
    with torch.no_grad():
        Z = states()
        found = (scores(Z, torch.tensor(data[name])).numpy() for name in ("hidden", "apart"))
        return auc(*found)


@recorded
def leakage() -> Result:
    """`<graph>_<messages>` (SEEDS,): AUC on the hidden edges."""
    torch.set_num_threads(1)
    return {
        f"{kind}_{messages}": np.array([train(split(kind, seed), messages, seed) for seed in range(SEEDS)])
        for kind in GRAPHS
        for messages in ("seen", "all")
    }
