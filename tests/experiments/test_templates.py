"""The sentences, the corruption, and a few steps of training."""

import numpy as np
import pytest
import torch

from scripts.experiments import templates as t


def test_sentences_agree_in_gender_and_suit_the_verb():
    gender = {form: g for pair in (*t.ADJECTIVES, *((m, f) for m, f, _ in t.PAIRS)) for g, form in enumerate(pair)}
    verbs = {noun: verbs for *nouns, verbs in t.PAIRS for noun in nouns}
    orders = set()
    for line in t.sentences(500, np.random.default_rng(0)):
        words = line.split()
        orders.add(words[0] in t.NOUNS)
        noun, adjective, verb = (words[i] for i in ((0, 1, 4) if words[0] in t.NOUNS else (1, 4, 0)))
        assert gender[noun] == gender[adjective]
        assert verb in verbs[noun]
        assert words[2:4] == ["потому", "что"] or words[3] == "что"
    assert orders == {True, False}
    assert len(set(t.WORDS)) == len(t.WORDS)


def test_corruption_chooses_fifteen_per_cent_and_spares_the_rest():
    torch.manual_seed(0)
    tokens = t.corpus(20_000, seed=0)
    noisy, chosen = t.corrupt(tokens)
    words = tokens != t.CLS
    assert not chosen[~words].any()
    assert (noisy == tokens)[~chosen].all()
    assert chosen[words].float().mean().item() == pytest.approx(0.15, abs=0.005)
    assert (noisy == t.MASK)[chosen].float().mean().item() == pytest.approx(0.8, abs=0.01)
    kept = (noisy == tokens)[chosen].float().mean().item()
    assert kept == pytest.approx(0.1 + 0.1 / (len(t.WORDS) - len(t.SPECIAL)), abs=0.01)


@pytest.mark.parametrize("causal", [True, False])
def test_a_few_steps_already_help_and_the_mask_is_what_it_says(causal):
    model, losses = t.train(causal, steps=60)
    assert losses[-10:].mean() < 0.8 * losses[:10].mean()
    one, other = (t.encode([line]) for line in (t.EXAMPLE, t.RIVAL))
    with torch.no_grad():
        moved = (model(one) - model(other)).abs().amax(dim=-1)[0]
    assert (moved[t.NOUN :] > 0).all()
    assert (moved[: t.NOUN] < 1e-6).all() == causal


def test_sentence_probability_is_the_product_of_the_steps():
    model, _ = t.train(True, steps=1)
    words = t.EXAMPLE.split()
    steps = [np.log(t.probabilities(model, t.EXAMPLE, place)[t.INDEX[words[place - 1]]]) for place in range(1, 6)]
    assert t.log_probability(model, t.EXAMPLE) == pytest.approx(sum(steps), rel=1e-4)
