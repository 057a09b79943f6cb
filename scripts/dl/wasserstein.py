"""Wasserstein-1 distance and the critics of Wasserstein GANs.

The distance is computed by definition, in NumPy: on the line from distribution functions, anywhere from the linear
programme of optimal transport (Villani, "Optimal Transport", 2009, ch. 5 and 6). The critics are PyTorch modules,
because the gradient penalty is a derivative of a derivative, which the autograd of this package does not take. A critic
f maps a batch (B, …) to B scores, (B,) or (B, 1); real and fake batches are of one shape, and no gradient flows into
them from the penalty.
"""

import numpy as np
import torch
from scipy.optimize import linprog

# On the line


def _distribution_functions(x, y, p, q) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sorted union of the points and both distribution functions there."""
    points = np.concatenate([x, y])
    grid, place = np.unique(points, return_inverse=True)
    p, q = (np.full(len(v), 1 / len(v)) if w is None else np.asarray(w, float) for v, w in ((x, p), (y, q)))
    for weights in (p, q):
        if np.any(weights < 0) or not np.isclose(weights.sum(), 1):
            raise ValueError("weights must be a probability distribution")
    F = np.cumsum(np.bincount(place[: len(x)], p, len(grid)))
    G = np.cumsum(np.bincount(place[len(x) :], q, len(grid)))
    return grid, F, G


def wasserstein_line(x: np.ndarray, y: np.ndarray, p=None, q=None) -> float:
    """W_1 of two distributions on the line: the area between their distribution functions.

    Points x (n,) with probabilities p (n,), points y (m,) with q (m,); None: equal probabilities. Raises ValueError
    unless p and q are distributions.
    """
    grid, F, G = _distribution_functions(x, y, p, q)
    return float(np.abs(F - G)[:-1] @ np.diff(grid))


def potential_line(x: np.ndarray, y: np.ndarray, p=None, q=None) -> tuple[np.ndarray, np.ndarray]:
    """Kantorovich's potential: points (k,) in increasing order and f there (k,), f = 0 at the first.

    Between neighbours the slope is sign(F_q - F_p), so |f'| <= 1, and E_p f - E_q f = W_1(p, q). Arguments and errors
    as in `wasserstein_line`.
    """
    grid, F, G = _distribution_functions(x, y, p, q)
    slopes = np.sign(np.where(np.isclose(F, G, rtol=0, atol=1e-12), 0.0, G - F))[:-1]
    return grid, np.concatenate([[0.0], np.cumsum(slopes * np.diff(grid))])


# Anywhere


def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Euclidean distances (n, m) of the rows of x (n, d) and y (m, d)."""
    return np.linalg.norm(x[:, None, :] - y[None, :, :], axis=-1)


def optimal_transport(cost: np.ndarray, p: np.ndarray, q: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The linear programme of optimal transport and its dual, by brute force: (value, plan (n, m), potential).

    The plan has the marginals p (n,) and q (m,) and the least mean of cost (n, m). The potential (n + m,), here for a
    cost that is a distance, is Kantorovich's f at the points of p, then at those of q. Raises ValueError when the
    programme has no solution (p and q of different mass).
    """
    n, m = cost.shape
    marginals = np.zeros((n + m, n * m))
    for i in range(n):
        marginals[i, i * m : (i + 1) * m] = 1.0
    for j in range(m):
        marginals[n + j, j::m] = 1.0
    solved = linprog(cost.ravel(), A_eq=marginals, b_eq=np.concatenate([p, q]), bounds=(0, None), method="highs")
    if not solved.success:
        raise ValueError(solved.message)
    duals = solved.eqlin.marginals
    # c-transform of the dual of q: a 1-Lipschitz function, no worse than what the solver left
    f = np.min(cost - duals[None, n:], axis=1)
    at_q = np.max(f[:, None] - cost, axis=0)
    return float(solved.fun), solved.x.reshape(n, m), np.concatenate([f, at_q])


# Critics


# --8<-- [start:penalty]
def gradient_penalty(critic, real, fake, generator=None, weight=10.0, one_sided=False):
    """weight · E (|∇f(x̂)| - 1)², x̂ uniform between real and fake, (B, …).

    Gulrajani et al. (2017), eq. 3; one-sided: Petzka et al. (2018).
    """
    shape = (len(real),) + (1,) * (real.dim() - 1)  # one ε for each object
    epsilon = torch.rand(shape, generator=generator, dtype=real.dtype)
    x_hat = (epsilon * real + (1 - epsilon) * fake).detach().requires_grad_()
    # of the sum: an object meets only its own score, if there is no BN
    (gradient,) = torch.autograd.grad(
        critic(x_hat).sum(),
        x_hat,
        create_graph=True,  # the penalty is differentiated in its turn
    )
    excess = gradient.flatten(1).norm(dim=1) - 1
    if one_sided:
        excess = excess.clamp(min=0)
    return weight * excess.square().mean()


# --8<-- [end:penalty]


# --8<-- [start:clipping]
@torch.no_grad()
def clip_weights(critic, c):
    """After each step of the critic: weights and biases into [-c, c]."""
    for w in critic.parameters():
        w.clamp_(-c, c)


# --8<-- [end:clipping]


# --8<-- [start:training]
def train(G, f, data, noise, steps, n_critic=5, batch=64, weight=10.0, lr=1e-4):
    """WGAN-GP; data(B) and noise(B) draw batches. Yields after every step of G."""
    adam_G = torch.optim.Adam(G.parameters(), lr, betas=(0.0, 0.9))
    adam_f = torch.optim.Adam(f.parameters(), lr, betas=(0.0, 0.9))
    for _ in range(steps):
        for _ in range(n_critic):
            real, fake = data(batch), G(noise(batch)).detach()
            loss = f(fake).mean() - f(real).mean()
            penalty = gradient_penalty(f, real, fake, weight=weight)
            adam_f.zero_grad()
            (loss + penalty).backward()
            adam_f.step()
        adam_G.zero_grad()
        (-f(G(noise(batch))).mean()).backward()
        adam_G.step()
        yield -loss.item()  # the estimate of the distance


# --8<-- [end:training]
