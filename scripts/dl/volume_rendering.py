"""Volume rendering along rays: emission and absorption, no scattering (Max, 1995; NeRF, arXiv 2003.08934, eqs. 1–6).

A ray is cut into N bins of `widths` δ (units of length), each with a constant `density` σ ≥ 0 (1 / length) and a
constant colour. Arrays are `(…, N)` with any number of rays in front; colours are `(…, N, C)`, a background is
`(…, C)`. The first bin is the nearest to the camera.
"""

import numpy as np


# --8<-- [start:render]
def alphas(density, widths):
    """Probability that light from behind stops in bin i: 1 - exp(-σ δ)."""
    return -np.expm1(-density * widths)


def transmittance(density, widths):
    """(…, N + 1): the share of light that passes all bins before i.

    The last number is the share that reaches the background.
    """
    passed = np.cumsum(density * widths, axis=-1)
    return np.exp(-np.insert(passed, 0, 0.0, axis=-1))


def weights(density, widths):
    """Share of bin i in the colour of the pixel: T_i α_i."""
    before = transmittance(density, widths)[..., :-1]
    return before * alphas(density, widths)


def render(density, widths, colours, background):
    """Colour of the pixel, (…, C)."""
    w = weights(density, widths)
    passed = transmittance(density, widths)[..., -1:]
    return np.einsum("...n,...nc->...c", w, colours) + passed * background


# --8<-- [end:render]


# --8<-- [start:gradient]
def density_gradient(density, widths, colours, background):
    """∂(colour of the pixel) / ∂σ_i, (…, N, C).

    Bin i adds its own colour and hides what is behind it.
    """
    T = transmittance(density, widths)[..., None]
    shares = weights(density, widths)[..., None] * colours
    from_i = np.cumsum(shares[..., ::-1, :], axis=-2)[..., ::-1, :]
    behind = from_i - shares + T[..., -1:, :] * np.expand_dims(background, -2)
    return widths[..., None] * (T[..., 1:, :] * colours - behind)


# --8<-- [end:gradient]


def expected_depth(weights: np.ndarray, positions: np.ndarray, normalise: bool = True) -> np.ndarray:
    """Σ w t, `(…)`; normalised, Σ w t / Σ w, which is the mean depth of the light that was stopped at all.

    A ray that meets nothing has no depth: NaN when normalised, 0 otherwise.
    """
    total = np.sum(weights * positions, axis=-1)
    if not normalise:
        return total
    stopped = np.sum(weights, axis=-1)
    return np.divide(total, stopped, out=np.full(np.shape(stopped), np.nan), where=stopped > 0)


# --8<-- [start:sampling]
def stratified(near, far, bins, rays, rng=None):
    """One position in each of `bins` equal bins, (rays, bins).

    Uniform in the bin, or its middle without `rng` (for evaluation).
    """
    shape = (rays, bins)
    inside = np.full(shape, 0.5) if rng is None else rng.random(shape)
    return near + (far - near) * (np.arange(bins) + inside) / bins


def inverse_cdf(edges, weights, levels):
    """Positions where the CDF of the histogram reaches `levels`.

    edges (…, N + 1), weights (…, N), levels (…, M) from [0, 1):
    leading shapes alike.
    """
    total = weights.sum(axis=-1, keepdims=True)
    if not np.all(total > 0):
        raise ValueError("a ray without weight has no distribution")
    cdf = np.insert(np.cumsum(weights / total, axis=-1), 0, 0.0, axis=-1)
    above = levels[..., None, :] >= cdf[..., 1:-1, None]
    i = above.sum(axis=-2)  # the bin of each level
    low, high = (np.take_along_axis(cdf, j, -1) for j in (i, i + 1))
    left, right = (np.take_along_axis(edges, j, -1) for j in (i, i + 1))
    share = (levels - low) / np.maximum(high - low, 1e-300)
    return left + np.clip(share, 0, 1) * (right - left)


# --8<-- [end:sampling]


def spacings(positions: np.ndarray, last: float) -> np.ndarray:
    """δ_i = t_{i+1} - t_i of sorted `positions` `(…, N)`; the last bin is `last` long (NeRF's code: 1e10).

    Raises ValueError when the positions are not sorted.
    """
    widths = np.diff(positions, axis=-1)
    if np.any(widths < 0):
        raise ValueError("positions along a ray must not decrease")
    return np.concatenate([widths, np.full_like(positions[..., :1], last)], axis=-1)


def refine(edges: np.ndarray, weights: np.ndarray, bins: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """`bins` more positions where the weights are, `(…, bins)`, sorted: a stratified draw through the inverse CDF.

    NeRF, section 5.2. Without `rng` the levels are the middles of `bins` equal parts of [0, 1].
    """
    shape = (*weights.shape[:-1], bins)
    inside = np.full(shape, 0.5) if rng is None else rng.random(shape)
    return inverse_cdf(edges, weights, (np.arange(bins) + inside) / bins)
