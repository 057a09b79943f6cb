"""The vowels, and a few steps of each of the three recognisers."""

import numpy as np
import pytest
import torch

from scripts.dl import transducer
from scripts.experiments import vowel_ctc as v
from scripts.experiments import vowel_models as m


@pytest.fixture(scope="module")
def phrases():
    return v.corpus(8, seed=0)


def test_phrases(phrases):
    assert all(3 <= len(y) <= 6 for _, y in phrases)
    again = v.corpus(8, seed=0)
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(phrases, again, strict=True))
    assert v.decode(v.encode("иаау")) == "иаау"
    f = v.features(phrases[0][0])
    assert f.shape[1] == v.BANDS
    assert abs(f.mean()) < 1e-9
    assert f.std() == pytest.approx(1, abs=1e-3)


def test_padding_does_not_change_an_utterance(phrases):
    torch.manual_seed(0)
    model = v.Recogniser()
    examples = [(v.features(x), y) for x, y in phrases[:3]]
    inputs, lengths, _, _ = v.padded(examples)
    together = model(inputs, lengths).detach().numpy()
    for row, (f, _) in zip(together, examples, strict=True):
        alone = v.log_probabilities(model, f)
        np.testing.assert_allclose(row[: len(alone)], alone, atol=1e-5)


def test_batched_likelihood_of_the_transducer(phrases):
    torch.manual_seed(0)
    model = m.Transducer("one").double()
    examples = [(v.features(x), y) for x, y in phrases[:3]]
    inputs, lengths, labels, label_lengths = v.padded(examples)
    log_p = model(inputs.double(), lengths, labels)
    found = m.log_likelihood(log_p, labels, v.shortened(lengths), label_lengths)
    for i, (_, y) in enumerate(examples):
        T = v.shortened(lengths)[i]
        alone = log_p[i, :T, : len(y) + 1].detach().numpy()
        assert found[i].item() == pytest.approx(transducer.log_likelihood(alone, y))


@pytest.mark.parametrize("context", ["all", "one"])
def test_predictor_reads_what_it_says(context):
    model = m.Transducer(context)
    first, second = torch.tensor([[1, 2]]), torch.tensor([[3, 2]])
    same = torch.allclose(model.written(first)[0, -1], model.written(second)[0, -1])
    assert same is (context == "one")


@pytest.mark.parametrize(
    ("model", "loss"),
    [(v.Recogniser, v.ctc_loss), (m.Transducer, m.transducer_loss), (m.AttentionModel, m.attention_loss)],
)
def test_a_few_steps_reduce_the_loss(phrases, model, loss):
    losses = []
    v.train(phrases, 4, 0, watch=lambda _, value: losses.append(value), model=model, loss=loss)
    assert np.isnan(losses[0])
    assert losses[-1] < losses[1]


def test_augmentation_is_drawn_anew(phrases):
    seen = []

    def augmented(x, rng):
        seen.append(rng.random())
        return v.features(x)

    v.train(phrases[:2], 2, 0, augmented)
    assert len(set(seen)) == 4


def test_decoding_of_untrained_models(phrases):
    torch.manual_seed(0)
    f = v.features(phrases[0][0])
    labels, weights = m.attend(m.AttentionModel(), f)
    assert len(labels) <= m.MOST
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert all(0 < k < m.SYMBOLS for k in m.transcribe(m.Transducer(), f))
