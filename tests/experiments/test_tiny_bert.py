"""The task of fine-tuning and a few steps of it; the checkpoint is not trained here."""

import dataclasses

import numpy as np
import pytest
import torch

from scripts.experiments import templates as t
from scripts.experiments import tiny_bert as tb


def noun_and_rest(line):
    words = line.split()
    place = next(i for i, word in enumerate(words) if word in t.NOUNS)
    return words[place], words[:place] + words[place + 1 :]


def test_a_spoilt_sentence_differs_by_a_wrong_noun():
    rng, kinds = np.random.default_rng(0), []
    gender = {noun: g for *nouns, _ in t.PAIRS for g, noun in enumerate(nouns)}
    pair = {noun: i for i, (*nouns, _) in enumerate(t.PAIRS) for noun in nouns}
    for line in t.sentences(400, rng):
        (before, rest), (after, same) = noun_and_rest(line), noun_and_rest(tb.spoilt(line, rng))
        assert rest == same
        kinds.append(gender[before] != gender[after])
        assert (pair[before] != pair[after]) != kinds[-1]
    assert np.mean(kinds) == pytest.approx(0.5, abs=0.08)


def test_labels():
    tokens, labels = tb.labelled(500, seed=0)
    assert tokens.shape == (500, t.LENGTH)
    assert labels.float().mean().item() == pytest.approx(0.5, abs=0.07)
    clean, _ = tb.labelled(500, seed=0)
    assert torch.equal(tokens, clean)


def test_what_is_read():
    encoder = t.Model(causal=False).eval()
    model, (tokens, _) = tb.Classifier(encoder), tb.labelled(4, seed=0)
    H = encoder.hidden(tokens).detach()
    torch.testing.assert_close(model(tokens), model.head(H[:, 0]))
    assert all(p.requires_grad for p in model.parameters())
    np.testing.assert_allclose(tb.features(encoder, tokens, "cls"), H[:, 0], atol=1e-6)
    words = tb.features(encoder, tokens, "words")
    assert words.shape == (4, (t.LENGTH - 1) * t.WIDTH)
    np.testing.assert_allclose(words[:, t.WIDTH : 2 * t.WIDTH], H[:, 2], atol=1e-6)


def test_a_probe_leaves_the_encoder_alone():
    encoder = t.Model(causal=False).eval()
    before = [p.clone() for p in encoder.parameters()]
    assert 0.3 < tb.fit_probe(encoder, "cls", 16, seed=0) < 0.7
    assert all(torch.equal(p, q) for p, q in zip(before, encoder.parameters(), strict=True))


def test_a_few_steps_run():
    start = dataclasses.replace(tb.STARTS["scratch"], steps=5)
    assert 0.3 < tb.fine_tune(start, 16, seed=0) < 0.7
