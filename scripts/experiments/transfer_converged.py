"""What remains of the experiment `transfer` when training is not stopped after 200 steps.

    probe(labels)       logistic regression, trained to its minimum, on the features of the source network: "training"
                        and "accuracy", (3, 5), on the labelled and on unseen pictures of the digits 6–9; rows are the
                        inverse strengths C of its L2 penalty in the order of INVERSE_PENALTIES, columns are seeds
    inverted(steps)     100 labels a class and inverted contrast: "training" and "accuracy", (2, 5), rows are training
                        from scratch and fine-tuning of the whole network, at the rates of `transfer`

Networks, digits and seeds are those of `transfer`.
"""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from scripts.experiments import transfer
from scripts.experiments.recorded import recorded

INVERSE_PENALTIES = (0.1, 1.0, 100.0)
MODES = ("scratch", "full")


def _seed(seed: int, labels: int, domain: str) -> tuple[torch.Tensor, ...]:
    """Labelled and unseen pictures of the target digits: x, y, unseen x, unseen y."""
    canvas, y = transfer.labelled(seed, labels)
    unseen, unseen_y = transfer.unseen(seed, transfer.TARGET_CLASSES)
    return transfer.normalised(canvas, domain), y, transfer.normalised(unseen, domain), unseen_y


@recorded
def probe(labels: int) -> dict[str, object]:
    found = {name: np.zeros((len(INVERSE_PENALTIES), transfer.SEEDS)) for name in ("training", "accuracy")}
    for seed in range(transfer.SEEDS):
        x, y, unseen_x, unseen_y = _seed(seed, labels, "same")
        body = transfer.pretrain(seed)[: transfer.HEAD]
        with torch.no_grad():
            features, unseen_features = (body(pictures).flatten(1).numpy() for pictures in (x, unseen_x))
        for row, C in enumerate(INVERSE_PENALTIES):
            head = LogisticRegression(C=C, max_iter=20_000).fit(features, y)
            found["training"][row, seed] = head.score(features, y)
            found["accuracy"][row, seed] = head.score(unseen_features, unseen_y)
    return found


@recorded
def inverted(steps: int) -> dict[str, object]:
    found = {name: np.zeros((len(MODES), transfer.SEEDS)) for name in ("training", "accuracy")}
    for seed in range(transfer.SEEDS):
        model = transfer.pretrain(seed)
        x, y, unseen_x, unseen_y = _seed(seed, 100, "inverted")
        for row, mode in enumerate(MODES):
            torch.manual_seed(100 + seed)
            new = transfer.adapted(mode, model, x, y, steps)
            found["training"][row, seed] = transfer.accuracy(new, x, y)
            found["accuracy"][row, seed] = transfer.accuracy(new, unseen_x, unseen_y)
    return found
