"""Decoding against enumeration of all sequences."""

from itertools import product

import numpy as np
import pytest

from scripts.dl.decoding import Hypothesis, beam_search, greedy, nucleus, sample, temperature, top_k

END, LONGEST, VOCABULARY = 0, 4, 3


def model(seed):
    """A random table of conditionals: every prefix has its own; at the last step only the end is possible."""
    cache = {}

    def next_log_probs(prefix):
        if len(prefix) == LONGEST - 1:
            return np.log(np.array([1.0, 1e-300, 1e-300]))
        if prefix not in cache:
            rng = np.random.default_rng([seed, len(prefix), *prefix])
            cache[prefix] = np.log(rng.dirichlet(np.ones(VOCABULARY)))
        return cache[prefix]

    return next_log_probs


def log_prob(next_log_probs, tokens):
    return sum(float(next_log_probs(tokens[:t])[token]) for t, token in enumerate(tokens))


def finished(next_log_probs):
    """All sequences that end with END for the first time, best first."""
    bodies = (body for n in range(LONGEST) for body in product(range(1, VOCABULARY), repeat=n))
    found = [(*body, END) for body in bodies]
    return sorted((Hypothesis(y, log_prob(next_log_probs, y)) for y in found), key=lambda h: h.log_prob, reverse=True)


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_of_one_is_greedy(seed):
    (only,) = beam_search(model(seed), END, LONGEST, beam=1)
    assert only == greedy(model(seed), END, LONGEST)


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_of_everything_finds_the_most_probable(seed):
    wide = beam_search(model(seed), END, LONGEST, beam=3**LONGEST)
    best = finished(model(seed))[0]
    assert wide[0].tokens == best.tokens
    assert wide[0].log_prob == pytest.approx(best.log_prob)
    total = sum(np.exp(h.log_prob) for h in finished(model(seed)))
    assert total == pytest.approx(1)


@pytest.mark.parametrize("seed", range(5))
def test_log_probs_are_sums_of_conditionals(seed):
    for h in beam_search(model(seed), END, LONGEST, beam=2):
        assert h.log_prob == pytest.approx(log_prob(model(seed), h.tokens))


def test_length_normalisation_changes_the_order():
    short, long = Hypothesis((1, 0), -2.0), Hypothesis((1, 1, 1, 1, 0), -4.0)
    assert short.score(0) > long.score(0)
    assert short.score(1) < long.score(1)
    assert long.score(1) == pytest.approx(-0.8)


def test_an_unfinished_hypothesis_is_returned_when_nothing_ends():
    def never(_):
        return np.log(np.array([1e-9, 1 - 1e-9]))

    (only,) = beam_search(never, END, 3, beam=1)
    assert only.tokens == (1, 1, 1)


def test_an_empty_beam_is_refused():
    with pytest.raises(ValueError, match="beam"):
        beam_search(model(0), END, LONGEST, beam=0)


def test_temperature():
    logits = np.array([2.0, 1.0, -1.0])
    np.testing.assert_allclose(temperature(logits, 1.0), np.exp(logits) / np.exp(logits).sum())
    np.testing.assert_allclose(temperature(logits, 1e-2), [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(temperature(logits, 1e6), np.full(3, 1 / 3), atol=1e-5)
    assert np.isfinite(temperature(1e4 * logits, 1.0)).all()
    with pytest.raises(ValueError, match="positive"):
        temperature(logits, 0.0)


def test_truncations():
    probs = np.array([0.1, 0.5, 0.15, 0.25])
    np.testing.assert_allclose(top_k(probs, 2), [0, 2 / 3, 0, 1 / 3])
    np.testing.assert_allclose(nucleus(probs, 0.5), [0, 1, 0, 0])
    np.testing.assert_allclose(nucleus(probs, 0.6), [0, 2 / 3, 0, 1 / 3])
    np.testing.assert_allclose(nucleus(probs, 1.0), probs)
    for call in (lambda: top_k(probs, 0), lambda: nucleus(probs, 0.0)):
        with pytest.raises(ValueError, match="no token"):
            call()


def test_samples_follow_the_model_and_stay_in_the_truncation():
    rng, count = np.random.default_rng(0), 3000
    drawn = [sample(model(1), END, LONGEST, rng) for _ in range(count)]
    for h in finished(model(1))[:4]:
        share = sum(d.tokens == h.tokens for d in drawn) / count
        p = np.exp(h.log_prob)
        assert abs(share - p) < 5 * np.sqrt(p * (1 - p) / count)
    narrow = {sample(model(1), END, LONGEST, rng, lambda p: top_k(p, 1)).tokens for _ in range(20)}
    assert narrow == {greedy(model(1), END, LONGEST).tokens}
