import math
from collections import Counter

import numpy as np
import pytest

from scripts.dl import unigram_lm as lm

P = {"м": 0.2, "а": 0.3, "ма": 0.25, "ам": 0.05, "мам": 0.1, "мама": 0.1}


def random_pieces(rng, alphabet="абв", longest=3):
    pieces = set(alphabet)
    for _ in range(12):
        pieces.add("".join(rng.choice(list(alphabet), rng.integers(2, longest + 1))))
    return dict(zip(sorted(pieces), rng.dirichlet(np.ones(len(pieces))), strict=True))


def probability(pieces, p):
    return math.prod(p[piece] for piece in pieces)


@pytest.mark.parametrize("seed", range(5))
def test_viterbi_forward_and_counts_equal_brute_force(seed):
    rng = np.random.default_rng(seed)
    p = random_pieces(rng)
    word = "".join(rng.choice(list("абв"), 7))
    everything = list(lm.segmentations(word, p))
    best, log_probability = lm.viterbi(word, p)
    assert probability(best, p) == pytest.approx(max(probability(s, p) for s in everything))
    assert log_probability == pytest.approx(math.log(probability(best, p)))
    total = sum(probability(s, p) for s in everything)
    assert lm.forward(word, p)[-1] == pytest.approx(total)
    assert lm.backward(word, p)[0] == pytest.approx(total)
    expected, log_likelihood = lm.expected_counts({word: 3}, p)
    brute = Counter()
    for s in everything:
        for piece in s:
            brute[piece] += 3 * probability(s, p) / total
    assert log_likelihood == pytest.approx(3 * math.log(total))
    for piece in p:
        assert expected[piece] == pytest.approx(brute[piece], abs=1e-12)


def test_a_full_vocabulary_has_all_cuts():
    p = {"абвг"[i:j]: 0.1 for i in range(4) for j in range(i + 1, 5)}
    assert len(list(lm.segmentations("абвг", p))) == 2**3


def test_em_does_not_lower_the_likelihood():
    words = {"мама": 3, "мамам": 1, "ам": 4}
    p, before = dict(P), -math.inf
    for _ in range(20):
        p, now = lm.em_step(words, p)
        assert now >= before - 1e-12
        assert sum(p.values()) == pytest.approx(1)
        before = now


def test_loss_of_a_piece():
    found = lm.losses({"мама": 1}, P)
    total = lm.forward("мама", P)[-1]
    assert found["мама"] == pytest.approx(0.1 / total * (math.log(0.1) - math.log(0.0625)))
    assert found["м"] == math.inf


def test_training_keeps_letters_and_size():
    words = {"мама": 3, "мыла": 2, "раму": 2, "мамы": 1}
    p = lm.train(words, 9)
    assert len(p) == 9
    assert set("мамылру") <= set(p)
    assert sum(p.values()) == pytest.approx(1, abs=1e-6)
    assert all(lm.viterbi(word, p)[0] for word in words)
    with pytest.raises(ValueError, match="letters"):
        lm.train(words, 3)


@pytest.mark.parametrize("sharpness", [1.0, 0.3])
def test_samples_follow_the_probabilities(sharpness):
    rng = np.random.default_rng(0)
    everything = ["·".join(s) for s in lm.segmentations("мама", P)]
    weights = np.array([probability(s.split("·"), P) ** sharpness for s in everything])
    weights /= weights.sum()
    drawn = Counter("·".join(lm.sample("мама", P, rng, sharpness)) for _ in range(4000))
    for name, weight in zip(everything, weights, strict=True):
        assert drawn[name] / 4000 == pytest.approx(weight, abs=0.03)


def test_measures():
    text = "мама мыла раму"
    assert lm.bits_per_byte(-26 * math.log(2), text) == pytest.approx(1)
    assert lm.perplexity(-4 * math.log(7), 4) == pytest.approx(7)
    assert lm.total_log_probability(["ма", "ма"], P) == pytest.approx(math.log(0.0625))
