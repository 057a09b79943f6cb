"""Connectionist temporal classification: the loss, its gradient, decoding.

`log_p` is (T, K), rows are frames, log-probabilities of the K symbols; symbol 0 is the blank, labels are 1 … K - 1.
The states of the lattice are the extended labels ∅ y_1 ∅ … y_U ∅, 2U + 1 of them. All is computed in logarithms.

Source: Graves et al., ICML 2006, sections 3 and 4 (here β excludes the frame t, as in Graves' later texts; in that
paper it includes it). Prefix beam search: Hannun et al., 2014 (arXiv 1408.2873).
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from math import comb

import numpy as np
from scipy.special import logsumexp

BLANK = 0
NEVER = -np.inf
LanguageModel = Callable[[tuple[int, ...], int], float]  # (prefix, next label) -> log-probability


# --8<-- [start:collapse]
def collapse(path):
    """B: merge what repeats, then drop the blanks."""
    merged = [k for i, k in enumerate(path) if i == 0 or k != path[i - 1]]
    return tuple(int(k) for k in merged if k != BLANK)


# --8<-- [end:collapse]


def extended(labels):
    """y' = ∅ y_1 ∅ y_2 … y_U ∅, of length 2U + 1."""
    y = np.full(2 * len(labels) + 1, BLANK)
    y[1::2] = labels
    return y


# --8<-- [start:forward]
def may_skip(y):
    """Where s - 2 -> s is allowed: y'_s is no blank and not y'_{s-2}."""
    allowed = (y != BLANK) & (y != np.roll(y, 2))
    allowed[:2] = False
    return allowed


def forward(log_p, labels):
    """log α (T, 2U+1): all beginnings of paths that are in s at t."""
    y = extended(labels)
    alpha = np.full((len(log_p), len(y)), NEVER)
    alpha[0, :2] = log_p[0, y[:2]]
    for t in range(1, len(log_p)):
        stay, step = alpha[t - 1], delayed(alpha[t - 1], 1)
        skip = np.where(may_skip(y), delayed(alpha[t - 1], 2), NEVER)
        arrivals = np.logaddexp(np.logaddexp(stay, step), skip)
        alpha[t] = log_p[t, y] + arrivals
    return alpha


# --8<-- [end:forward]


def delayed(row: np.ndarray, by: int) -> np.ndarray:
    """row[s - by] at s, minus infinity where there is none."""
    return np.concatenate([np.full(by, NEVER), row])[: len(row)]


# --8<-- [start:backward]
def backward(log_p, labels):
    """log β (T, 2U+1): all continuations after frame t, itself excluded."""
    y = extended(labels)
    beta = np.full((len(log_p), len(y)), NEVER)
    beta[-1, -2:] = 0.0
    for t in range(len(log_p) - 2, -1, -1):
        onward = log_p[t + 1, y] + beta[t + 1]
        skip = np.where(may_skip(y), onward, NEVER)
        stay, step, skip = onward, advanced(onward, 1), advanced(skip, 2)
        beta[t] = np.logaddexp(np.logaddexp(stay, step), skip)
    return beta


# --8<-- [end:backward]


def advanced(row: np.ndarray, by: int) -> np.ndarray:
    """row[s + by] at s, minus infinity where there is none."""
    return np.concatenate([row, np.full(by, NEVER)])[by:]


def log_likelihood(log_p: np.ndarray, labels: Sequence[int]) -> float:
    """log p(y | x); minus infinity if T is too short for the labels."""
    return float(logsumexp(forward(log_p, labels)[-1, -2:]))


def posterior(log_p: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    """(T, 2U+1): the share of p(y | x) that belongs to paths in state s at frame t; rows add up to 1.

    Raises:
        ValueError: no path of T frames gives these labels.
    """
    total = log_likelihood(log_p, labels)
    if total == NEVER:
        raise ValueError(f"{len(log_p)} frames cannot hold these {len(labels)} labels")
    return np.exp(forward(log_p, labels) + backward(log_p, labels) - total)


# --8<-- [start:gradient]
def loss_and_gradient(logits, labels):
    """-log p(y | x) and its gradient (T, K) by the logits."""
    log_p = logits - logsumexp(logits, axis=1, keepdims=True)
    share, expected = posterior(log_p, labels), np.zeros_like(log_p)
    for s, k in enumerate(extended(labels)):
        expected[:, k] += share[:, s]
    return -log_likelihood(log_p, labels), np.exp(log_p) - expected


# --8<-- [end:gradient]


def best_alignment(log_p: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    """(T,) states of the most probable path that gives `labels` (forced alignment, the maximum instead of the sum)."""
    y = extended(labels)
    score = np.full(len(y), NEVER)
    score[:2] = log_p[0, y[:2]]
    came = []
    for t in range(1, len(log_p)):
        skip = np.where(may_skip(y), delayed(score, 2), NEVER)
        arrivals = np.stack([score, delayed(score, 1), skip])
        came.append(arrivals.argmax(axis=0))
        score = log_p[t, y] + arrivals.max(axis=0)
    last = max(range(max(len(y) - 2, 0), len(y)), key=lambda s: score[s])
    states = [last]
    for back in reversed(came):
        states.append(states[-1] - back[states[-1]])
    return np.array(states[::-1])


def repeats(labels: Sequence[int]) -> int:
    """r: how many labels equal the one before them."""
    return sum(a == b for a, b in zip(labels, labels[1:], strict=False))


def alignment_count(T: int, labels: Sequence[int]) -> int:
    """How many paths of T frames collapse to `labels`: C(T + U - r, 2U)."""
    U = len(labels)
    return comb(T + U - repeats(labels), 2 * U)


def greedy(log_p: np.ndarray) -> tuple[int, ...]:
    """The labels of the best path: the most probable symbol of each frame, collapsed."""
    return collapse(log_p.argmax(axis=1))


# --8<-- [start:beam]
def prefix_beam_search(log_p, beam, lm=None, weight=0.0, bonus=0.0):
    """Best first: y and log p(y|x) + weight log p_LM(y) + bonus |y|."""
    ends = {(): (0.0, NEVER)}  # prefix -> log p ending in a blank, or not
    told = {(): 0.0}  # prefix -> what the language model says of it
    for frame in log_p:
        found = defaultdict(lambda: (NEVER, NEVER))
        for prefix, (blank, label) in ends.items():
            both = np.logaddexp(blank, label)
            add(found, prefix, blank=both + frame[BLANK])
            for k in range(1, len(frame)):
                again = prefix[-1:] == (k,)
                if again:  # without a blank between them it is one label
                    add(found, prefix, label=label + frame[k])
                longer = (*prefix, k)
                if longer not in told:
                    gain = weight * lm(prefix, k) if lm else 0.0
                    told[longer] = told[prefix] + gain + bonus
                came = blank if again else both
                add(found, longer, label=came + frame[k])
        score = {y: np.logaddexp(*p) + told[y] for y, p in found.items()}
        kept = sorted(score, key=score.get, reverse=True)[:beam]
        ends = {y: found[y] for y in kept}
    return [(y, float(score[y])) for y in kept]


# --8<-- [end:beam]


def add(found: dict[tuple[int, ...], tuple[float, float]], prefix: tuple[int, ...], blank=NEVER, label=NEVER) -> None:
    """Add probability to the paths of `prefix` that end in a blank or in a label."""
    old = found[prefix]
    found[prefix] = float(np.logaddexp(old[0], blank)), float(np.logaddexp(old[1], label))
