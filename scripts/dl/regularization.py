"""Regularisation methods: penalties and their closed forms, early stopping, noise, smoothed and mixed labels, SAM.

Two settings recur. A *diagonal quadratic* is the loss 1/2 Σ h_i (w_i - w*_i)² with curvatures h (n,) ≥ 0 and the
unregularised minimum w* (n,); the penalties are λ/2 ||w||² and λ ||w||_1 (Goodfellow, Bengio & Courville, "Deep
Learning", § 7.1 and 7.8). *Least squares* is the sum ||y - X w||² over N rows of X (N, n). Nothing is changed in place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

Gradient = Callable[[np.ndarray], np.ndarray]

# Penalties on a quadratic


def l2_solution(h: np.ndarray, w_star: np.ndarray, decay: float) -> np.ndarray:
    """Minimum of the diagonal quadratic plus `decay`/2 ||w||²: every coordinate times h / (h + decay)."""
    _at_least_zero(decay=decay)
    return np.divide(h, h + decay, out=np.zeros_like(w_star), where=h + decay > 0) * w_star


# --8<-- [start:soft-threshold]
def soft_threshold(u, threshold):
    """The w that minimises (w - u)² / 2 + threshold |w|, elementwise."""
    return np.sign(u) * np.maximum(np.abs(u) - threshold, 0.0)


def proximal_gradient(gradient, w, eta, decay, steps):
    """Minimise a smooth loss plus decay ||w||_1 (ISTA)."""
    for _ in range(steps):
        w = soft_threshold(w - eta * gradient(w), eta * decay)
    return w


# --8<-- [end:soft-threshold]


def l1_solution(h: np.ndarray, w_star: np.ndarray, decay: float) -> np.ndarray:
    """Minimum of the diagonal quadratic (all h > 0) plus `decay` ||w||_1."""
    _at_least_zero(decay=decay)
    return soft_threshold(w_star, decay / h)


def elastic_net_solution(h: np.ndarray, w_star: np.ndarray, l1: float, l2: float) -> np.ndarray:
    """Minimum of the diagonal quadratic plus `l1` ||w||_1 + `l2`/2 ||w||²: soft threshold, then shrinkage."""
    _at_least_zero(l1=l1, l2=l2)
    return soft_threshold(h * w_star, l1) / (h + l2)


def subgradient_descent(gradient: Gradient, w: np.ndarray, eta: float, decay: float, steps: int) -> np.ndarray:
    """What plain SGD does with an L1 penalty: w ← w - η (g + λ sign w). It hops around zero instead of reaching it."""
    for _ in range(steps):
        w = w - eta * (gradient(w) + decay * np.sign(w))
    return w


def project_max_norm(weights: np.ndarray, c: float) -> np.ndarray:
    """Rows of `weights` (d_out, d_in), the inputs of one unit each, cut to Euclidean norm at most c."""
    if not c > 0:
        raise ValueError(f"the largest norm must be positive: {c}")
    norms = np.linalg.norm(weights, axis=1, keepdims=True)
    return weights * np.minimum(1.0, c / np.maximum(norms, np.finfo(float).tiny))


# Early stopping


def early_stopping_solution(h: np.ndarray, w_star: np.ndarray, eta: float, steps: int) -> np.ndarray:
    """Gradient descent on the diagonal quadratic from zero, after `steps` steps: (1 - (1 - η h)^τ) w*."""
    return (1.0 - (1.0 - eta * h) ** steps) * w_star


def matching_decay(h: np.ndarray, eta: float, steps: int) -> np.ndarray:
    """The decay for which L2 shrinks a coordinate of curvature h > 0 exactly as `steps` steps do; 1/(η τ) as h → 0."""
    kept = (1.0 - eta * h) ** steps
    return h * kept / (1.0 - kept)


# --8<-- [start:early-stopping]
@dataclass
class EarlyStopping:
    """Remember the best model; stop after `patience` checks without one.

    `min_delta` is the smallest drop of the loss that counts.
    """

    patience: int
    min_delta: float = 0.0
    best_loss: float = float("inf")
    best_parameters: list = field(default_factory=list)
    bad_checks: int = 0

    def stop(self, validation_loss, parameters):
        if validation_loss < self.best_loss - self.min_delta:
            self.best_loss, self.bad_checks = validation_loss, 0
            self.best_parameters = [p.copy() for p in parameters]
        else:
            self.bad_checks += 1
        return self.bad_checks >= self.patience


# --8<-- [end:early-stopping]

# Noise on the inputs of least squares


def dropout_ridge(X: np.ndarray, y: np.ndarray, p: float) -> np.ndarray:
    """Minimum over w of E ||y - X̃ w||² for inverted dropout of the inputs with drop probability p.

    The expectation is ||y - X w||² + p/(1-p) Σ_j w_j² Σ_i x_ij², so this is ridge with its own strength per feature
    (Srivastava et al., JMLR 15, 2014, § 9.1; Wager et al., 2013).
    """
    if not 0 <= p < 1:
        raise ValueError(f"the drop probability must be in [0, 1): {p}")
    gram = X.T @ X
    return np.linalg.solve(gram + p / (1 - p) * np.diag(np.diag(gram)), X.T @ y)


def dropout_penalty(X: np.ndarray, w: np.ndarray, p: float) -> float:
    """p/(1-p) Σ_j w_j² Σ_i x_ij², what inverted dropout adds on average to ||y - X w||²."""
    return float(p / (1 - p) * np.sum(X**2 @ w**2))


def noise_ridge(X: np.ndarray, y: np.ndarray, sigma: float) -> np.ndarray:
    """Minimum over w of E ||y - (X + noise) w||² for independent noise of variance σ² in every entry of X."""
    samples, features = X.shape
    return np.linalg.solve(X.T @ X + samples * sigma**2 * np.eye(features), X.T @ y)


def minimum_norm(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The shortest of all w that minimise ||y - X w||: the limit of gradient descent from zero."""
    return np.linalg.pinv(X) @ y


# Labels


def smooth_labels(labels_onehot: np.ndarray, smoothing: float) -> np.ndarray:
    """(1 - ε) y + ε / K of distributions y (…, K) over K classes; the true class keeps 1 - ε + ε/K."""
    if not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing must be in [0, 1]: {smoothing}")
    return (1 - smoothing) * labels_onehot + smoothing / labels_onehot.shape[-1]


def smoothing_gap(smoothing: float, classes: int) -> float:
    """Logit of the true class minus that of any other, where the smoothed loss is smallest."""
    return float(np.log1p((1 - smoothing) * classes / smoothing))


def smoothing_floor(smoothing: float, classes: int) -> float:
    """The smallest value the smoothed cross-entropy can take: the entropy of the smoothed label, in nats."""
    q = smooth_labels(np.eye(classes)[0], smoothing)
    return float(-np.sum(q * np.log(q)))


# --8<-- [start:mixup]
def mixup(X, labels_onehot, alpha, rng):
    """Mix the batch with itself in another order (Zhang et al., 2017).

    X (B, ...) and labels (B, K) are mixed with the same share mu, one
    for the whole batch.
    """
    mu = rng.beta(alpha, alpha)
    other = rng.permutation(len(X))
    mixed = mu * X + (1 - mu) * X[other]
    labels = mu * labels_onehot + (1 - mu) * labels_onehot[other]
    return mixed, labels


# --8<-- [end:mixup]


def cutmix(
    images: np.ndarray, labels_onehot: np.ndarray, alpha: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Paste one rectangle of another image of the batch (Yun et al., 2019); images (B, C, H, W), labels (B, K).

    The rectangle has sides sqrt(1 - μ) of the image's and a uniform centre, and is cut at the border; the labels are
    mixed by the share of pixels that are really left.
    """
    height, width = images.shape[-2:]
    mu = rng.beta(alpha, alpha)
    other = rng.permutation(len(images))
    rows = _interval(height, np.sqrt(1 - mu), rng)
    columns = _interval(width, np.sqrt(1 - mu), rng)
    mixed = images.copy()
    mixed[..., rows, columns] = images[other][..., rows, columns]
    kept = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
    return mixed, kept * labels_onehot + (1 - kept) * labels_onehot[other]


def cutout(images: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Zero a square of side `size` round a uniform centre of each image, cut at borders (DeVries & Taylor, 2017)."""
    height, width = images.shape[-2:]
    cut = images.copy()
    for image in cut:
        image[..., _interval(height, size / height, rng), _interval(width, size / width, rng)] = 0.0
    return cut


def _interval(length: int, share: float, rng: np.random.Generator) -> slice:
    half, centre = round(share * length) / 2, rng.integers(length) + 0.5
    return slice(max(0, int(np.floor(centre - half + 0.5))), min(length, int(np.floor(centre + half + 0.5))))


# Weights


# --8<-- [start:sam]
def sam_gradient(gradient, w, rho):
    """Gradient at the worst point nearby: two gradients a step."""
    g = gradient(w)
    norm = np.linalg.norm(g)
    if norm == 0:
        return g
    return gradient(w + rho * g / norm)


# --8<-- [end:sam]


@dataclass
class WeightAverage:
    """Exponential moving average of parameters: θ̄ ← β θ̄ + (1 - β) θ, started at the first θ it is shown."""

    beta: float
    average: list[np.ndarray] = field(default_factory=list)

    def update(self, parameters: Sequence[np.ndarray]) -> None:
        if not self.average:
            self.average = [p.copy() for p in parameters]
            return
        pairs = zip(self.average, parameters, strict=True)
        self.average = [self.beta * mean + (1 - self.beta) * p for mean, p in pairs]


def _at_least_zero(**coefficients: float) -> None:
    for name, value in coefficients.items():
        if value < 0:
            raise ValueError(f"{name} must not be negative: {value}")
