"""Why the tiny CLIP misses combinations that it never saw: three ways to give the classes to the same trained towers.

A picture of a combination is compared with 16 unit vectors of classes. They are its captions, as in zero-shot; or
captions put together from those of seen combinations, so that no caption is new; or mean vectors of a few pictures, so
that no caption is needed.

    composition(0)   accuracy on "seen" and "unseen" combinations of "captions", "composed" and "pictures"; "nearest",
                     the cosine of the mean picture of an unseen combination with the nearest one of another shape of
                     its colour, mean over the four

PyTorch, because the towers of `tiny_clip` are trained; float32 on one thread.
"""

import numpy as np

from scripts.experiments import tiny_clip as tc
from scripts.experiments.recorded import recorded

EXAMPLES = 20  # pictures of a class for its mean


def unit(X: np.ndarray) -> np.ndarray:
    return X / np.linalg.norm(X, axis=-1, keepdims=True)


def composed(captions: np.ndarray) -> np.ndarray:
    """(16, d) from the seen rows of `captions`: mean of the colour + mean of the shape - mean of all."""
    seen = np.array(tc.SEEN)
    found = [
        captions[seen[seen // 4 == c // 4]].mean(axis=0) + captions[seen[seen % 4 == c % 4]].mean(axis=0)
        for c in range(16)
    ]
    return unit(np.stack(found) - captions[seen].mean(axis=0))


def picture_means(model: tc.Clip, seed: int) -> np.ndarray:
    """(16, d), mean vectors of EXAMPLES pictures of each class that are not among the test pictures."""
    labels = np.repeat(np.arange(16), EXAMPLES)
    vectors = tc.image_vectors(model, tc.pictures(labels, np.random.default_rng([seed, 3]))).numpy()
    return unit(vectors.reshape(16, EXAMPLES, -1).mean(axis=1))


def compare(model: tc.Clip, seed: int) -> dict[str, float]:
    x, labels = tc.test_pictures(seed)
    u, known = tc.image_vectors(model, x).numpy(), np.isin(labels, tc.SEEN)
    captions, means = tc.class_vectors(model).numpy(), picture_means(model, seed)
    found = {}
    for name, classes in (("captions", captions), ("composed", composed(captions)), ("pictures", means)):
        right = (u @ classes.T).argmax(axis=1) == labels
        found |= {f"{name}_seen": right[known].mean(), f"{name}_unseen": right[~known].mean()}
    cosines = means @ means.T - 2 * np.eye(16)
    nearest = [cosines[c, 4 * (c // 4) : 4 * (c // 4) + 4].max() for c in tc.UNSEEN]
    return found | {"nearest": float(np.mean(nearest))}


@recorded
def composition(seed: int = 0) -> dict[str, object]:
    return compare(tc.train(seed=seed), seed)
