"""Focal loss of binary classification (Lin et al., 2017, arXiv 1708.02002).

p is the sigmoid of the logit, p_t the probability given to the true answer, alpha_t is alpha for objects and
1 - alpha for background.
"""

import math

import numpy as np


# --8<-- [start:focal]
def focal_loss(logits, targets, gamma=2.0, alpha=0.25):
    """-alpha_t (1 - p_t)^gamma log p_t and its derivative in the logit.

    Both of the shape of logits; targets are 0 or 1.
    """
    sign = 2.0 * targets - 1.0
    log_p = -np.logaddexp(0.0, -sign * logits)  # log p_t without overflow
    p, wrong = np.exp(log_p), -np.expm1(log_p)  # p_t and 1 - p_t
    weight = np.where(targets == 1, alpha, 1.0 - alpha)
    loss = -weight * wrong**gamma * log_p
    slope = weight * wrong**gamma * (gamma * p * log_p - wrong)
    return loss, sign * slope


# --8<-- [end:focal]


def prior_bias(prior: float) -> float:
    """Bias of the last layer at which an untrained detector answers `prior` everywhere (section 4.1 of the paper)."""
    return -math.log((1 - prior) / prior)
