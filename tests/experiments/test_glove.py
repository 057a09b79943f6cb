"""The generated corpus and the two objectives, a few steps of each."""

import numpy as np
import pytest

from scripts.dl import glove as dl_glove
from scripts.dl import skip_gram as sg
from scripts.experiments import glove


def test_corpus_has_the_probabilities_it_is_made_of():
    X = glove.counts(500)
    np.testing.assert_array_equal(X, X.T)
    per_segment = 2 * sum((glove.LENGTH - r) / r for r in range(1, glove.WINDOW + 1))
    assert X.sum() == pytest.approx(500 * per_segment)
    shares, truth = X.sum(axis=1) / X.sum(), glove.word_probabilities().mean(axis=1)
    assert np.corrcoef(shares, truth)[0, 1] > 0.98


def test_true_pmi_is_what_large_counts_tend_to():
    X = glove.counts(glove.SEGMENTS)
    often = X > 100
    assert np.abs(sg.pmi(X) - glove.true_pmi())[often].mean() < 0.07


@pytest.mark.parametrize("model", ["glove", "sgns"])
def test_a_few_steps_already_help(model):
    X = glove.counts(200)

    def loss(p):
        if model == "sgns":
            return sg.sgns_objective(p["W"] @ p["W_tilde"].T, X, glove.NEGATIVES)[0]
        return dl_glove.loss_and_gradients(p, X)[0]

    before, after = (loss(glove.train(model, X, steps)) for steps in (0, 20))
    assert after < 0.8 * before
