"""The small data set of the experiments: scikit-learn's 1797 handwritten digits of 8×8 pixels, split and spoiled."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from sklearn.datasets import load_digits

POOL, CLASSES = 1200, 10  # images that may be trained on (the other 597 are always the test set); classes


@dataclass(frozen=True, eq=False)
class Split:
    """Rows are images. `y_train` may hold wrong labels, `y_train_clean` never does. All arrays are read-only."""

    X_train: np.ndarray  # (train, 64), float64, pixels in [0, 1]
    y_train: np.ndarray  # (train,), int64
    y_train_clean: np.ndarray  # (train,), int64
    X_test: np.ndarray  # (597, 64)
    y_test: np.ndarray  # (597,), always clean


@cache
def digits(train: int | None = None, label_noise: float = 0.0, seed: int = 0) -> Split:
    """Split the digits at random by `seed` into 597 test images and `train` (at most and by default 1200) others.

    Exactly the share `label_noise` of training labels (rounded to a whole number of images) is replaced by a wrong
    class, drawn uniformly from the other nine. For one seed smaller training sets are the beginnings of larger ones,
    the test set does not depend on `train`, and the images do not depend on `label_noise`.
    """
    count = POOL if train is None else train
    if not 1 <= count <= POOL:
        raise ValueError(f"train must be between 1 and {POOL}, not {count}")
    if not 0.0 <= label_noise <= 1.0:
        raise ValueError(f"label_noise must be between 0 and 1, not {label_noise}")
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(images))
    chosen, held_out = order[:count], order[POOL:]
    clean = labels[chosen].astype(np.int64)
    split = Split(
        X_train=images[chosen] / 16.0,
        y_train=_spoil(clean, label_noise, np.random.default_rng([seed, 1])),
        y_train_clean=clean,
        X_test=images[held_out] / 16.0,
        y_test=labels[held_out].astype(np.int64),
    )
    for array in vars(split).values():
        array.flags.writeable = False
    return split


def _spoil(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    spoiled = labels.copy()
    wrong = rng.choice(len(labels), size=round(share * len(labels)), replace=False)
    spoiled[wrong] = (spoiled[wrong] + rng.integers(1, CLASSES, size=len(wrong))) % CLASSES
    return spoiled
