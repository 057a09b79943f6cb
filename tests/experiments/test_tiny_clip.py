"""Pictures and captions of the tiny CLIP, its towers, and a few steps of its training."""

import numpy as np
import torch

from scripts.dl import contrastive
from scripts.experiments import tiny_clip as tc


def test_seen_and_unseen_combinations_cover_every_word():
    assert sorted(tc.SEEN + tc.UNSEEN) == list(range(16))
    for part in (0, 1):
        assert {tc.PAIRS[c][part] for c in tc.SEEN} == {tc.PAIRS[c][part] for c in tc.UNSEEN} == set(range(4))


def test_caption_is_a_bag():
    assert tc.caption(6, 1) == "на картинке зелёный треугольник"
    assert torch.equal(tc.bag("зелёный круг"), tc.bag("круг зелёный"))
    assert tc.bag(tc.caption(6, 3)).sum() == 5


def test_shape_has_the_colour_and_lies_inside():
    for label, (colour, _) in enumerate(tc.PAIRS):
        picture = tc.picture(label, np.random.default_rng(label))
        difference = np.abs(picture - tc.GREY).max(axis=0) > 5 * tc.NOISE
        assert 5 < difference.sum() < 90
        mean = picture[:, difference].mean(axis=1)
        assert np.corrcoef(mean, tc.RGB[colour])[0, 1] > 0.9


def test_towers_give_unit_vectors_and_the_grid_16_vectors():
    torch.manual_seed(0)
    model, rng = tc.Clip(), np.random.default_rng(0)
    x = tc.pictures(np.array([0, 5, 9]), rng)
    assert model.image.grid(x).shape == (3, 16, tc.CHANNELS)
    for vectors in (model.image(x), model.text(tc.bags(np.array([0, 5, 9]), np.array([0, 1, 2])))):
        assert vectors.shape == (3, tc.WIDTH)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))


def test_loss_is_that_of_the_page():
    rng = np.random.default_rng(0)
    u, v = (contrastive.normalize(rng.standard_normal((6, 4))) for _ in range(2))
    expected, *_ = contrastive.clip_loss(u, v, 2.0)
    found = tc.clip_loss(torch.tensor(u), torch.tensor(v), torch.tensor(2.0))
    assert abs(found.item() - expected) < 1e-6


def test_a_few_steps_teach_something_and_fixed_temperature_stays():
    losses = []
    model = tc.train(steps=60, temperature=0.07, losses=losses)
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.3
    assert abs(model.t.exp().item() - 1 / 0.07) < 1e-4
    assert set(tc.zero_shot(model)) >= {"seen", "unseen", "unseen_colour", "unseen_shape"}
