"""The built sentences, a few steps of training, and the exact optimum on letters."""

import numpy as np
import pytest

from scripts.dl import skip_gram as sg
from scripts.experiments import sgns


def test_sentences_hold_the_relation():
    corpus = np.array(sgns.VOCABULARY)[sgns.sentences(300, np.random.default_rng(0))]
    assert corpus.shape == (300, 5)
    side = {pair[gender]: gender for pair in sgns.PAIRS for gender in (0, 1)}
    people = [sentence for sentence in corpus if sentence[2] in side]
    assert 200 < len(people) < 290
    for sentence in people:
        assert {sentence[1], sentence[3]} <= set(sgns.GENDERED[side[sentence[2]]])
    assert len(set(sgns.VOCABULARY)) == len(sgns.VOCABULARY)


def test_pairs_of_many_sentences_are_those_of_each():
    corpus = sgns.sentences(3, np.random.default_rng(0))
    together = sorted(map(tuple, sgns.all_pairs(corpus).tolist()))
    apart = sorted(pair for s in corpus for pair in map(tuple, sg.pairs(s, sgns.WINDOW).tolist()))
    assert together == apart


def test_training_lowers_the_loss():
    rng = np.random.default_rng(0)
    pairs = sgns.all_pairs(sgns.sentences(300, rng))
    size = len(sgns.VOCABULARY)
    counts, noise = sg.count_matrix(pairs, size), sg.noise_distribution(np.bincount(pairs[:, 1], minlength=size))
    V, U = sgns.train(pairs, size, 5, rng)
    trained, _ = sg.sgns_objective(V @ U.T, counts, sgns.NEGATIVES, noise)
    assert trained < 0.97 * sg.sgns_objective(np.zeros((size, size)), counts, sgns.NEGATIVES, noise)[0]


def test_full_rank_reaches_shifted_pmi():
    counts = np.random.default_rng(0).integers(1, 30, (6, 6)).astype(float)
    V, U, _ = sgns.fit(counts, 6, 5)
    np.testing.assert_allclose(V @ U.T, sg.pmi(counts) - np.log(5), atol=1e-3)


def test_letters():
    counts = sgns.letter_counts()
    assert counts.shape == (29, 29)
    np.testing.assert_array_equal(counts, counts.T)
    assert counts.min() == sgns.SMOOTHING
    assert len(set(sgns.ALPHABET)) == 29


@pytest.mark.parametrize("letter", "фщъ")
def test_rare_letters_are_left_out(letter):
    text = " ".join(sgns.chapters("tolstoy.ru")).lower()
    assert text.count(letter) < 20
    assert all(text.count(kept) >= 20 for kept in sgns.ALPHABET)
