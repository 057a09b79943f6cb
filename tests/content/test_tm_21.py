"""The page on audio augmentation: what it prints and what its figures say."""

import math

import numpy as np
import pytest
import torch

from scripts.clips import CLIPS, encoding
from scripts.clips import tm_21 as clips
from scripts.dl import audio_augmentation as aug
from scripts.dl import mel
from scripts.experiments import noisy_ctc as experiment
from scripts.figures import tm_21
from tests.content.page import DOCS, assert_said, printed

RATE = tm_21.RATE


@pytest.fixture(scope="module")
def page():
    return printed("theory-minimum/21-audio-augmentation.md")


# Noise


@pytest.mark.parametrize("snr", [0.0, 5.0, 10.0])
def test_achieved_snr(snr):
    assert aug.snr(tm_21.original(), tm_21.noisy(snr)) == pytest.approx(snr, abs=1e-9)


def test_decibels_are_of_power(page):
    x, n = np.ones(100), np.random.default_rng(0).standard_normal(100)
    scaled = aug.add_noise(x, n, 10) - x
    assert np.mean(x**2) / np.mean(scaled**2) == pytest.approx(10)
    assert_said(page, math.sqrt(10), 10**-0.25, digits=2)
    loud = aug.add_noise(x, n, 20) - x
    assert np.sqrt(np.mean(x**2) / np.mean(loud**2)) == pytest.approx(10)


def test_scaling_the_sum_keeps_the_ratio():
    x, y = tm_21.original(), tm_21.noisy(0.0)
    assert aug.snr(0.3 * x, 0.3 * y) == pytest.approx(0, abs=1e-9)


# A room


def test_convolution_with_an_impulse_is_the_identity():
    x = tm_21.original()
    np.testing.assert_allclose(aug.reverberate(x, np.array([1.0, 0, 0])), x, atol=1e-12)


def test_room(page):
    distance = np.linalg.norm(np.subtract(tm_21.SOURCE, tm_21.MICROPHONE))
    assert_said(page, distance, digits=2)
    assert_said(page, distance / aug.SOUND * 1000, digits=0)
    for reflection in (tm_21.REFLECTION, 0.6):
        assert_said(page, aug.reverberation_time(tm_21.room(reflection), RATE), digits=2)
    decay = aug.energy_decay(tm_21.room())
    assert decay[round(0.3 * RATE)] == pytest.approx(-40, abs=3)


def test_sabine(page):
    x, y, z = tm_21.ROOM
    estimate = 0.161 * x * y * z / (2 * (x * y + y * z + x * z) * (1 - tm_21.REFLECTION**2))
    assert_said(page, estimate, digits=2)


def test_room_fills_the_pauses():
    pause = slice(round(0.27 * RATE), round(0.31 * RATE))
    dry, wet = tm_21.sounds()["original"][pause], tm_21.sounds()["room"][pause]
    assert np.std(wet) > 20 * np.std(dry) + 1e-3


# Speed, stretch, pitch


def test_speed_stretch_and_pitch(page):
    found = tm_21.steady()
    rates = {name: tm_21.fundamental(x) for name, x in found.items()}
    lengths = {name: len(x) / RATE for name, x in found.items()}
    pitch = next(name for name in found if "тон" in name)
    assert rates["скорость 1,1"] == pytest.approx(137.5, abs=0.5)
    assert rates[pitch] == pytest.approx(137.5, abs=0.5)
    assert rates["растяжение 1,1"] == pytest.approx(125, abs=0.5)
    assert_said(page, rates["скорость 1,1"], rates["растяжение 1,1"], digits=1)
    assert lengths["скорость 1,1"] == pytest.approx(0.6 / 1.1, abs=1e-3)
    assert lengths["растяжение 1,1"] == pytest.approx(0.6 / 1.1, abs=1e-3)
    assert lengths[pitch] == 0.6
    assert_said(page, 0.6 / 1.1, digits=2)
    assert_said(page, 12 * math.log2(1.1), digits=2)


def test_formants_move_with_speed_and_not_with_stretch():
    found = tm_21.steady()
    f, P = tm_21.harmonics(found["исходная"])

    def misfit(name, moved):
        tops, levels = tm_21.harmonics(found[name])
        return np.abs(levels - np.interp(tops, moved * f, P))[1:12].mean()

    pitch = next(name for name in found if "тон" in name)
    for name, right, wrong in (("скорость 1,1", 1.1, 1.0), ("растяжение 1,1", 1.0, 1.1), (pitch, 1.1, 1.0)):
        assert misfit(name, right) < 1.5
        assert misfit(name, right) < misfit(name, wrong) / 2


# SpecAugment


def test_share_hidden_by_the_policy(page):
    S = np.random.default_rng(0).standard_normal((1000, 80))
    rng = np.random.default_rng(1)
    drawn = np.mean([(aug.spec_augment(S, rng) != S).mean() for _ in range(400)])
    estimate = 1 - (1 - 13.5 / 80) ** 2 * (1 - 50 / 1000) ** 2
    assert drawn == pytest.approx(0.37, abs=0.02)
    assert_said(page, estimate, 0.37, digits=2)


def test_masks_of_the_panel(page):
    hidden = tm_21.masked() != tm_21.visible(tm_21.original())
    assert_said(page, 100 * hidden.mean(), digits=0)
    assert hidden.all(axis=0).sum() <= tm_21.MASKS["m_F"] * tm_21.MASKS["F"]
    assert hidden.all(axis=1).sum() <= tm_21.MASKS["m_T"] * tm_21.MASKS["T_m"]


def test_vtlp_lowers_or_raises_all_formants():
    f = np.array([700.0, 2250.0])
    assert np.all(aug.vtlp_frequency(f, 1.1, RATE) == 1.1 * f)


# What log-mel does not notice


def test_sign_and_gain_are_no_augmentation_of_normalised_log_mel():
    x = np.random.default_rng(0).standard_normal(RATE)
    S = mel.normalize(mel.log_mel(x))
    np.testing.assert_allclose(mel.normalize(mel.log_mel(-x)), S, atol=1e-9)
    np.testing.assert_allclose(mel.normalize(mel.log_mel(aug.gain(x, 12))), S, atol=1e-6)
    noisy = aug.add_noise(x, np.random.default_rng(1).standard_normal(RATE), 10)
    assert np.abs(mel.normalize(mel.log_mel(noisy)) - S).max() > 0.5


def test_noise_is_added_to_powers_and_not_to_logarithms():
    x, n = tm_21.original(), np.random.default_rng(1).standard_normal(len(tm_21.original()))
    noisy = aug.add_noise(x, n, 5)
    c = np.std(noisy - x) / np.std(n)
    S_x, S_n = mel.log_mel(x), mel.log_mel(n)
    both = mel.log_mel(noisy)
    powers = np.abs(np.log(np.exp(S_x) + c**2 * np.exp(S_n)) - both).mean()
    logarithms = np.abs(S_x + S_n - both).mean()
    assert powers < 0.3 < 1 < logarithms


def test_too_few_frames_for_ctc():
    frames, labels = torch.zeros(22, 1, 30).log_softmax(-1), torch.arange(1, 25)[None]
    lengths = (torch.tensor([22]), torch.tensor([24]))
    loss = torch.nn.functional.ctc_loss
    assert loss(frames, labels, *lengths).isinf()
    assert loss(frames, labels, *lengths, zero_infinity=True) == 0


def test_frames_of_ctc_after_speed():
    def frames(seconds):
        return int(round(seconds * 1000) / 40)

    assert frames(1.0) == 25 >= 24
    assert frames(1 / 1.1) == 22 < 24


# The recogniser


def test_recogniser(page):
    found = tm_21.label_errors()
    snrs = ["clean", *experiment.SNRS]
    five, zero = snrs.index(5.0), snrs.index(0.0)
    white = {policy: table[:, 0].mean(axis=0) for policy, table in found.items()}
    pink = {policy: table[:, 1].mean(axis=0) for policy, table in found.items()}
    assert_said(page, *(white[policy][five] for policy in experiment.POLICIES), digits=2)
    assert_said(page, pink["clean"][zero], pink["noise"][zero], pink["clean"][five], pink["masks"][five], digits=2)
    assert white["masks"][five] == pytest.approx(white["clean"][five], abs=0.02)
    losses = {
        policy: np.mean([experiment.robustness(policy, seed)["loss"][-1] for seed in range(tm_21.SEEDS)])
        for policy in experiment.POLICIES
    }
    assert_said(page, losses["both"], losses["noise"], digits=2)


def test_what_holds_in_every_run():
    found = tm_21.label_errors()
    five = 1 + experiment.SNRS.index(5.0)
    for seed in range(tm_21.SEEDS):
        white = {policy: table[seed, 0, five] for policy, table in found.items()}
        pink = {policy: table[seed, 1, five] for policy, table in found.items()}
        assert white["noise"] == min(white.values())
        assert pink["noise"] == min(pink.values())
        assert white["both"] < white["masks"] / 2
        assert pink["masks"] > 1.5 * pink["clean"]


def test_augmentations_of_the_experiment():
    x, rng = tm_21.original()[:6000], np.random.default_rng(0)
    assert experiment.augmentation("clean") is None
    plain = experiment.features(x)
    for policy in ("noise", "masks", "both"):
        S = experiment.augmentation(policy)(x, rng)
        assert S.shape == plain.shape
        assert np.abs(S - plain).max() > 0.1


# Clips

CHANGED = ["noise_10", "noise_0", "room", "telephone", "clipping", "speed", "stretch", "pitch", "masks"]


@pytest.mark.parametrize("name", ["original", *CHANGED])
def test_clips_are_within_range(name):
    sound = getattr(clips, name)()
    assert 0.3 < len(sound.samples) / sound.rate < 6
    assert np.abs(sound.samples).max() <= 0.8 + 1e-9
    assert sound.samples[0] == sound.samples[-1] * 0 == 0


def heard(name):
    """The original and the changed phrase of the decoded clip."""
    samples = encoding.read(DOCS.parent / CLIPS.output / "tm-21" / f"{name.replace('_', '-')}.mp3").samples
    length, pause = len(tm_21.original()), round(0.3 * RATE)
    return samples[:length], samples[length + pause :]


def pitch_of(x, around):
    """Hz of the voice near the beginning of the phrase, by autocorrelation."""
    part = x[1600:2600]
    lags = np.arange(int(RATE / (1.15 * around)), int(RATE / (0.87 * around)))
    return RATE / lags[np.argmax([np.dot(part[lag:], part[:-lag]) / (len(part) - lag) for lag in lags])]


@pytest.mark.parametrize("name", CHANGED)
def test_every_clip_begins_with_the_original(name):
    first, _ = heard(name)
    assert np.corrcoef(first, tm_21.original())[0, 1] > 0.99


@pytest.mark.parametrize(("name", "snr"), [("noise_10", 10), ("noise_0", 0)])
def test_noise_of_the_clips(name, snr):
    first, second = heard(name)
    assert aug.snr(first, second[: len(first)]) == pytest.approx(snr, abs=0.5)


@pytest.mark.parametrize(("name", "pitch", "tempo"), [("speed", 1.1, 1.1), ("stretch", 1, 1.1), ("pitch", 2**0.25, 1)])
def test_pitch_and_length_of_the_clips(name, pitch, tempo):
    first, second = heard(name)
    before = pitch_of(first, 134)
    assert pitch_of(second, pitch * before) == pytest.approx(pitch * before, rel=0.02)
    assert len(second) / len(first) == pytest.approx(1 / tempo, rel=0.01)


def test_masks_of_the_clip_fall_into_vowels():
    _, second = heard("masks")
    for start, end, vowel in ((0.13, 0.17, (0, 0.25)), (0.79, 0.86, (0.66, 0.91))):
        inside = slice(round(vowel[0] * RATE), round(vowel[1] * RATE))
        assert np.std(second[round(start * RATE) : round(end * RATE)]) < 0.05 * np.std(second[inside])


def test_clipping_is_as_loud():
    first, second = heard("clipping")
    assert np.std(first) == pytest.approx(np.std(second), rel=0.05)
