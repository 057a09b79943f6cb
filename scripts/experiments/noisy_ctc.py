"""Does augmentation make the vowel recogniser of ticket-10 hold out in noise?

One network, one training set, four policies; every epoch draws the noise and the masks anew. The test phrases are new
and are spoiled by white noise (the kind that training adds) and by pink noise (which no policy has heard).
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from torch import nn

from scripts.dl.audio_augmentation import add_noise, pink_noise, spec_augment
from scripts.experiments.recorded import recorded
from scripts.experiments.vowel_ctc import TESTED, TRAINING, Example, corpus, features, label_error, train

POLICIES = ("clean", "noise", "masks", "both")
EPOCHS = 45  # the augmented networks learn later than the 16 epochs of ticket-10
LOWEST, HIGHEST = 0.0, 30.0  # dB of the noise in training, uniform
SNRS = (30.0, 20.0, 15.0, 10.0, 5.0, 0.0)  # dB in the test
NOISES = ("white", "pink")
MASKS = {"F": 8, "m_F": 2, "T_m": 5, "m_T": 2}  # of 40 bands; 5 frames are 50 ms, a vowel lasts 80 ms or more

Augmentation = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def augmentation(policy: str) -> Augmentation | None:
    """What makes the features (T, 40) of a phrase in one epoch; None: always the same."""

    def augmented(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if policy in ("noise", "both"):
            x = add_noise(x, rng.standard_normal(len(x)), rng.uniform(LOWEST, HIGHEST))
        S = features(x)
        return spec_augment(S, rng, **MASKS) if policy in ("masks", "both") else S

    return None if policy == "clean" else augmented


def spoiled(tests: list[Example], noise: str, snr: float) -> list[Example]:
    """Features of the test phrases with noise of this kind; the same noise for every model."""
    rng = np.random.default_rng(round(snr))
    make = pink_noise if noise == "pink" else lambda length, rng: rng.standard_normal(length)
    return [(features(add_noise(x, make(len(x), rng), snr)), y) for x, y in tests]


def label_errors(model: nn.Module, tests: list[Example]) -> np.ndarray:
    """(noises, 1 + SNRs) label errors; the first column is without added noise."""
    undisturbed = label_error(model, [(features(x), y) for x, y in tests])
    return np.array(
        [[undisturbed, *(label_error(model, spoiled(tests, noise, snr)) for snr in SNRS)] for noise in NOISES]
    )


@cache
def speech() -> tuple[list[Example], list[Example]]:
    """Phrases to learn from and phrases of the test."""
    return corpus(TRAINING, 0), corpus(TESTED, 1)


@recorded
def robustness(policy: str, seed: int) -> dict[str, object]:
    """`label_error` (noises, 1 + SNRs) after training with the policy, and the mean `loss` of each epoch."""
    losses, (training, tests) = [], speech()
    model = train(training, EPOCHS, seed, augmentation(policy), lambda _, loss: losses.append(loss))
    found = label_errors(model, tests)
    return {"label_error": found.astype(np.float32), "loss": np.array(losses[1:], np.float32)}
