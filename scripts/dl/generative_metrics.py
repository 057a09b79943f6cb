"""Metrics of generated samples, on features or class probabilities that some trained network has already computed.

Rows are objects: features (n, d), probabilities (n, K).
"""

import numpy as np


def inception_score(probabilities: np.ndarray) -> float:
    """exp E KL(p(y | x) || p(y)), p(y) the mean of the rows (Salimans et al., 2016, arXiv 1606.03498): 1 to K."""
    marginal = probabilities.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(probabilities > 0, probabilities * (np.log(probabilities) - np.log(marginal)), 0.0)
    return float(np.exp(terms.sum(axis=1).mean()))


# --8<-- [start:frechet]
def frechet_distance(mu_r, sigma_r, mu_g, sigma_g):
    """Squared W2 of N(mu_r, sigma_r) and N(mu_g, sigma_g).

    Means (d,), covariances (d, d). With R the symmetric root of sigma_r,
    sigma_r sigma_g has the eigenvalues of R sigma_g R, which are >= 0.
    """
    scales, axes = np.linalg.eigh(sigma_r)
    R = axes * np.sqrt(np.maximum(scales, 0)) @ axes.T
    eigenvalues = np.linalg.eigvalsh(R @ sigma_g @ R)
    trace = np.sum(np.sqrt(np.maximum(eigenvalues, 0)))
    shift = np.sum((mu_r - mu_g) ** 2)
    return float(shift + np.trace(sigma_r + sigma_g) - 2 * trace)


def fid(real, generated):
    """Frechet distance of Gaussians fitted to features (n, d)."""
    fits = [(x.mean(axis=0), np.cov(x.T)) for x in (real, generated)]
    return frechet_distance(*fits[0], *fits[1])
    # --8<-- [end:frechet]


def kid(real: np.ndarray, generated: np.ndarray) -> float:
    """Unbiased squared MMD with the kernel (x·y / d + 1)^3 (Bińkowski et al., 2018, arXiv 1801.01401); may be < 0."""
    n, m, d = len(real), len(generated), real.shape[1]
    within_real, within_generated = ((x @ x.T / d + 1) ** 3 for x in (real, generated))
    between = (real @ generated.T / d + 1) ** 3
    return float(
        (within_real.sum() - np.trace(within_real)) / (n * (n - 1))
        + (within_generated.sum() - np.trace(within_generated)) / (m * (m - 1))
        - 2 * between.mean()
    )


def precision_recall(real: np.ndarray, generated: np.ndarray, k: int = 3) -> tuple[float, float]:
    """Share of generated objects inside the estimated support of the data, and of data inside that of the generator.

    A support is the union of balls about the sample's points, each reaching its k-th nearest neighbour
    (Kynkäänniemi et al., 2019, arXiv 1904.06991).
    """
    return _inside(generated, real, k), _inside(real, generated, k)


def _inside(points: np.ndarray, sample: np.ndarray, k: int) -> float:
    own = np.linalg.norm(sample[:, None] - sample[None], axis=2)
    radii = np.sort(own, axis=1)[:, k]  # the nearest is the point itself
    distances = np.linalg.norm(points[:, None] - sample[None], axis=2)
    return float(np.mean((distances <= radii).any(axis=1)))
