"""The sequences, the keys that an induction head needs, and a few steps of training."""

import numpy as np
import torch

from scripts.experiments import induction as ind


def test_sequences_repeat_a_word_of_distinct_symbols():
    tokens, periods = ind.sequences(300, np.random.default_rng(0))
    assert set(periods) == set(range(ind.SHORTEST, ind.LONGEST + 1))
    for line, period in zip(tokens, periods, strict=True):
        assert len(set(line)) == period
        assert (line[period:] == line[:-period]).all()


def test_induction_key_is_followed_by_nothing_but_the_answer():
    tokens, periods = ind.sequences(50, np.random.default_rng(0))
    keys, known = ind.induction_keys(periods), ind.predictable(periods)
    assert (keys[:, :-1].sum(axis=-1) == known).all()
    line, query, key = np.nonzero(keys[:, :-1])
    assert (tokens[line, key] == tokens[line, query + 1]).all()
    assert (tokens[line, key - 1] == tokens[line, query]).all()


def test_a_few_steps_already_help_and_weights_are_causal():
    model, history = ind.train(2, steps=60)
    assert history[-5:].mean() < 0.9 * history[:5].mean()
    tokens, _ = ind.sequences(3, np.random.default_rng(1))
    with torch.no_grad():
        _, maps = model(torch.tensor(tokens))
    for weights in maps:
        assert weights.shape == (3, ind.HEADS, ind.LENGTH, ind.LENGTH)
        assert (weights.triu(1) == 0).all()


def test_prefix_losses_are_those_of_one_causal_pass():
    tokens, _ = ind.sequences(5, np.random.default_rng(1))
    for without, same in (("", True), ("mask", False)):
        torch.manual_seed(0)
        model = ind.Model(2, without)
        with torch.no_grad():
            at_once = ind._losses(model(torch.tensor(tokens))[0], torch.tensor(tokens)).numpy()
        assert np.allclose(at_once, ind.prefix_losses(model, tokens), atol=1e-4) == same
