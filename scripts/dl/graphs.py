"""Graph networks: message passing, GCN, GraphSAGE, GAT and GIN layers, readouts, 1-WL, over-smoothing.

A graph of n vertices is its adjacency matrix A (n, n): A[v, u] is 1 where u sends to v (an undirected graph is
symmetric), without loops. Rows of H (n, d) are vertices, weights stand on the right, as in attention: H W with
W (d, d'). Dense matrices, float64: the graphs of the page are small; libraries keep lists of edges.

Message passing: Gilmer et al. (arXiv 1704.01212, equations 1 and 2). GCN: Kipf, Welling (arXiv 1609.02907, equation 2).
GraphSAGE: Hamilton et al. (arXiv 1706.02216, algorithm 1). GAT: Veličković et al. (arXiv 1710.10903, equations 1 to 4).
GIN: Xu et al. (arXiv 1810.00826, equation 4.1). Readouts and colours: section 2 there.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from scripts.dl.losses import softmax

Edges = Sequence[tuple[int, int]]


# --- Graphs --------------------------------------------------------------------------------------------------------


def adjacency(n: int, edges: Edges) -> np.ndarray:
    """A (n, n) of an undirected graph.

    Raises:
        ValueError: an edge is a loop.
    """
    A = np.zeros((n, n))
    for v, u in edges:
        if v == u:
            raise ValueError(f"the edge ({v}, {u}) is a loop")
        A[v, u] = A[u, v] = 1.0
    return A


def cycle(n: int) -> np.ndarray:
    return adjacency(n, [(v, (v + 1) % n) for v in range(n)])


def path(n: int) -> np.ndarray:
    return adjacency(n, [(v, v + 1) for v in range(n - 1)])


def binary_tree(depth: int) -> np.ndarray:
    """Vertex 0 is the root, 2v + 1 and 2v + 2 the children of v; 2^(depth + 1) - 1 vertices."""
    n = 2 ** (depth + 1) - 1
    return adjacency(n, [(v, (v - 1) // 2) for v in range(1, n)])


def disjoint_union(*graphs: np.ndarray) -> np.ndarray:
    """One graph, block-diagonal: this is how a batch of graphs of different sizes is made."""
    sizes = [len(A) for A in graphs]
    ends = np.cumsum(sizes)
    union = np.zeros((ends[-1], ends[-1]))
    for A, size, end in zip(graphs, sizes, ends, strict=True):
        union[end - size : end, end - size : end] = A
    return union


def block_model(labels: np.ndarray, p_in: float, p_out: float, rng: np.random.Generator) -> np.ndarray:
    """Stochastic block model: an edge with probability `p_in` inside a class, `p_out` between two."""
    n = len(labels)
    chance = np.where(labels[:, None] == labels, p_in, p_out)
    upper = np.triu(rng.random((n, n)) < chance, 1)
    return (upper | upper.T).astype(float)


def homophily(A: np.ndarray, labels: np.ndarray) -> float:
    """The share of edges whose ends are of one class."""
    return float(A[labels[:, None] == labels].sum() / A.sum())


def triangles(A: np.ndarray) -> int:
    return round(np.trace(A @ A @ A) / 6)


# --- Layers --------------------------------------------------------------------------------------------------------


# --8<-- [start:message_passing]
def message_passing(H, edges, edge_features, message, aggregate, update):
    """One layer. H: n rows of states; edges: pairs (u, v), u sends to v.
    message(h_v, h_u, e), aggregate(list of messages), update(h_v, m)."""
    inbox = [[] for _ in H]
    for (u, v), e in zip(edges, edge_features, strict=True):
        inbox[v].append(message(H[v], H[u], e))
    new = [update(h, aggregate(m)) for h, m in zip(H, inbox, strict=True)]
    return np.stack(new)


# --8<-- [end:message_passing]


# --8<-- [start:gcn]
def normalized(A):
    """S = D̃^(-1/2) (A + I) D̃^(-1/2), D̃ the degrees with the loop."""
    A = A + np.eye(len(A))
    root = np.sqrt(A.sum(axis=1))
    return A / root[:, None] / root


def gcn(A, H, W):
    """Before the activation: S H W. H (n, d), W (d, d')."""
    return normalized(A) @ (H @ W)


# --8<-- [end:gcn]


def mean_matrix(A: np.ndarray) -> np.ndarray:
    """D^(-1) A, so that the product with H averages over neighbours; zero for a vertex without any."""
    return A / np.maximum(A.sum(axis=1, keepdims=True), 1.0)


def sage(A: np.ndarray, H: np.ndarray, W_self: np.ndarray, W_neighbours: np.ndarray) -> np.ndarray:
    """GraphSAGE with the mean, before the activation: own state and that of the neighbours have weights of their own.

    The paper's W [h_v ‖ m_v] cut into two blocks; its division by the norm of the result is left out.
    """
    return H @ W_self + mean_matrix(A) @ H @ W_neighbours


# --8<-- [start:gat]
def gat_weights(A, H, W, a_to, a_from, slope=0.2):
    """α (n, n): rows sum to 1 over neighbours and the vertex itself.
    a = [a_to, a_from], each (d',); e[v, u] = a_to·Wh_v + a_from·Wh_u."""
    Z = H @ W
    e = (Z @ a_to)[:, None] + Z @ a_from
    e = np.where(e > 0, e, slope * e)
    return softmax(np.where(A + np.eye(len(A)) > 0, e, -np.inf))


def gat(A, H, W, a_to, a_from):
    """One head before the activation: α H W."""
    return gat_weights(A, H, W, a_to, a_from) @ (H @ W)


# --8<-- [end:gat]


def gin(A: np.ndarray, H: np.ndarray, epsilon: float, mlp: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """MLP((1 + ε) h_v + Σ h_u)."""
    return mlp((1 + epsilon) * H + A @ H)


READOUTS = {"sum": np.sum, "mean": np.mean, "max": np.max}


def readout(H: np.ndarray, graph: np.ndarray, kind: str = "sum") -> np.ndarray:
    """One row per graph: `graph` (n,) tells to which one of a batch each vertex belongs.

    Raises:
        KeyError: `kind` is not sum, mean or max.
    """
    pool = READOUTS[kind]
    return np.stack([pool(H[graph == number], axis=0) for number in range(graph.max() + 1)])


def sample_neighbours(A: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """A with at most `count` random incoming edges left at each vertex (GraphSAGE, section 3.1)."""
    sampled = np.zeros_like(A)
    for v, row in enumerate(A):
        neighbours = np.flatnonzero(row)
        kept = rng.choice(neighbours, min(count, len(neighbours)), replace=False)
        sampled[v, kept] = 1.0
    return sampled


# --- What a network cannot tell apart ------------------------------------------------------------------------------


# --8<-- [start:wl]
def colour_refinement(A, colours):
    """1-WL: recolour by (own colour, multiset of neighbours' colours)
    until the number of colours stays the same. All rounds."""
    rounds = [np.asarray(colours)]
    while True:
        last = rounds[-1]
        signatures = [(last[v], tuple(sorted(last[np.flatnonzero(A[v])]))) for v in range(len(A))]
        names = {s: i for i, s in enumerate(sorted(set(signatures)))}
        rounds.append(np.array([names[s] for s in signatures]))
        if len(names) == len(set(last)):
            return rounds


# --8<-- [end:wl]


def same_for_wl(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether 1-WL, started from equal colours, ends with equal numbers of each colour in both graphs.

    Both are coloured as one graph: then equal colours have equal names.
    """
    union = disjoint_union(first, second)
    colours = colour_refinement(union, np.zeros(len(union), dtype=int))[-1]
    return Counter(colours[: len(first)].tolist()) == Counter(colours[len(first) :].tolist())


def laplacian_positions(A: np.ndarray, count: int) -> np.ndarray:
    """(n, count): eigenvectors of I - D^(-1/2) A D^(-1/2) with the smallest eigenvalues after the first.

    Signs are arbitrary (Dwivedi, Bresson, arXiv 2012.09699, section 2.3, flip them at random). Of a connected graph.
    """
    root = np.sqrt(A.sum(axis=1))
    _, vectors = np.linalg.eigh(np.eye(len(A)) - A / root[:, None] / root)
    return vectors[:, 1 : count + 1]


# --- Depth ---------------------------------------------------------------------------------------------------------


def mean_cosine(H: np.ndarray) -> float:
    """The mean cosine over all pairs of different rows."""
    unit = H / np.linalg.norm(H, axis=1, keepdims=True)
    n = len(H)
    return float((np.sum(unit @ unit.T) - n) / (n * (n - 1)))


def propagate(S: np.ndarray, X: np.ndarray, steps: int, restart: float = 0.0) -> np.ndarray:
    """H ← (1 - restart) S H + restart X, repeated.

    Without a restart S^steps X, as in SGC (arXiv 1902.07153); with one the layers of APPNP (arXiv 1810.05997, eq. 5).
    """
    H = X
    for _ in range(steps):
        H = (1 - restart) * S @ H + restart * X
    return H
