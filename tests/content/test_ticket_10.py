"""Every number and every claim of ticket-10 that can be computed is computed here; nothing is trained."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import ctc, transducer
from scripts.dl.speech import VOWELS, tone
from scripts.dl.stft import frame_count, hann, stft
from scripts.dl.word_errors import word_errors
from scripts.experiments import vowel_ctc as vowels
from scripts.experiments import vowel_models as models
from scripts.figures import ticket_10 as page
from tests.content.page import assert_said, printed

NOTE = printed("tickets/10-audio-asr.md")
LABELS = page.labels()


# Waveform and spectrum


def test_aliasing():
    np.testing.assert_allclose(tone(9000, 0.01, 16_000), -tone(7000, 0.01, 16_000), atol=1e-9)


def test_the_sweep_is_reflected():
    S = np.abs(stft(page.sweep(), hann(256), 128))
    heard = S.argmax(axis=1) * page.SWEEP_RATE / 256
    seconds = np.arange(len(S)) * 128 / page.SWEEP_RATE
    meant = 200 + (page.SWEEP_TOP - 200) * seconds / page.SWEEP_SECONDS
    inside = (seconds > 0.1) & (seconds < 2.9)
    folded = np.where(meant > 4000, 8000 - meant, meant)
    assert np.abs(heard - folded)[inside].max() < 80
    assert seconds[heard.argmax()] == pytest.approx(1.5, abs=0.03)


def test_without_the_filter_decimation_folds_the_spectrum():
    n = np.arange(1600)
    kept = np.cos(2 * np.pi * 6000 * n / 16_000)[::2]
    np.testing.assert_allclose(kept, np.cos(2 * np.pi * 2000 * np.arange(800) / 8000), atol=1e-9)


def test_sixteen_bits():
    assert 20 * math.log10(2**16) == pytest.approx(96, abs=0.5)


def test_frames_and_bins():
    second = np.zeros(16_000)
    assert stft(second, hann(400), 160, 512).shape == (101, 257)
    assert stft(second, hann(400), 160, 512, center=False).shape == (98, 257)
    assert frame_count(480_000, 400, 160) - 1 == 3000
    assert (round(0.025 * 16_000), round(0.01 * 16_000)) == (400, 160)


def lobe(window):
    """First zero of the spectrum in Hz at 16 kHz, and the largest side lobe in dB."""
    S = np.abs(np.fft.rfft(window, 1 << 16))
    edge = np.argmax(np.diff(S) > 0)
    return edge / (1 << 16) * 16_000, 20 * np.log10(S[edge:].max() / S[0])


def test_leakage():
    (box_zero, box_side), (hann_zero, hann_side) = lobe(np.ones(400)), lobe(hann(400))
    assert 2 * hann_zero == pytest.approx(160, abs=1)
    assert hann_zero == pytest.approx(2 * box_zero, rel=0.01)
    assert round(box_side) == -13
    assert round(hann_side) == -31


def test_zero_padding_adds_no_resolution():
    """Two tones 60 Hz apart: one hump with 25 ms whatever the FFT, two with 100 ms."""

    def humps(N, n_fft):
        n = np.arange(N)
        x = np.cos(2 * np.pi * 1000 * n / 16_000) + np.cos(2 * np.pi * 1060 * n / 16_000 + 1.0)
        S = np.abs(np.fft.rfft(x * hann(N), n_fft))
        middle = S[1:-1]
        return np.sum((middle > S[:-2]) & (middle > S[2:]) & (middle > 0.3 * S.max()))

    assert humps(400, 1024) == humps(400, 16_384) == 1
    assert humps(1600, 16_384) == 2


@pytest.mark.parametrize("name", ["hann", "gauss"])
def test_uncertainty(name):
    t = np.linspace(-1, 1, 20_001)
    dt = t[1] - t[0]
    w = 0.5 + 0.5 * np.cos(np.pi * t / 0.5) * 1.0 if name == "hann" else np.exp(-(t**2) / (2 * 0.05**2))
    w = np.where(np.abs(t) <= 0.5, w, 0.0)
    energy, slope = w**2 / np.sum(w**2), np.gradient(w, dt)
    sigma_t = math.sqrt(np.sum(t**2 * energy))
    sigma_f = math.sqrt(np.sum(slope**2) / np.sum(w**2)) / (2 * np.pi)
    assert sigma_t * sigma_f >= (1 - 1e-3) / (4 * np.pi)
    if name == "gauss":
        assert sigma_t * sigma_f == pytest.approx(1 / (4 * np.pi), rel=1e-3)


def test_short_windows_show_pulses_and_long_ones_harmonics():
    steady = slice(int(0.02 / 0.003), int(0.12 / 0.003))  # inside the first vowel
    short = page.spectrogram(0.005)[steady, 8]
    assert np.ptp(short) > 10
    long = page.spectrogram(0.1)[5, 4:40]
    assert np.ptp(long) > 15
    gap = [
        page.spectrogram(w)[round(0.32 / max(page.STEP, w / 5))].max() - page.spectrogram(w).max() for w in (0.005, 0.1)
    ]
    assert gap[0] < -60 < gap[1]


def test_word_errors():
    assert word_errors("да", "ну да конечно да").rate == 3


# CTC


def test_too_short_an_input():
    """What the page says of PyTorch: infinite loss, NaN gradient, zeros with zero_infinity."""
    for zero in (False, True):
        logits = torch.zeros(2, 1, 3, requires_grad=True)
        loss = F.ctc_loss(
            logits.log_softmax(-1), torch.tensor([[1, 1]]), torch.tensor([2]), torch.tensor([2]), zero_infinity=zero
        )
        loss.backward()
        assert loss.item() == (0 if zero else math.inf)
        assert torch.equal(logits.grad, torch.zeros_like(logits)) if zero else logits.grad.isnan().any()


def test_formants():
    for letter in "аи":
        for value in VOWELS[letter][:2]:
            assert f"${value:.0f}$" in NOTE


def test_collapse():
    letters = {"а": 1, "у": 2, "∅": 0}
    assert ctc.collapse([letters[k] for k in "аа∅ауу"]) == (1, 1, 2)
    assert ctc.collapse((1, 0, 1)) == (1, 1)


@pytest.mark.parametrize(("labels", "count"), [((1, 2), 70), ((1, 1), 35), ((1, 2, 1), 84)])
def test_counts(labels, count):
    assert ctc.alignment_count(6, labels) == count
    assert str(count) in NOTE


def test_counts_of_the_phrase():
    assert len(page.outputs(0)) == 34
    assert ctc.alignment_count(34, LABELS) == 38_608_020
    assert transducer.path_count(34, 4) == 66_045
    assert transducer.path_count(4, 3) == 20


def test_board_example():
    assert [ctc.alignment_count(T, (1, 1)) for T in (3, 4)] == [1, 5]
    log_p = np.log(np.random.default_rng(0).dirichlet(np.ones(3), 3))
    assert ctc.log_likelihood(log_p, (1, 1)) == pytest.approx(log_p[0, 1] + log_p[1, 0] + log_p[2, 1])
    loss, slope = ctc.loss_and_gradient(log_p, (1, 1))
    np.testing.assert_allclose(slope, np.exp(log_p) - np.eye(3)[[1, 0, 1]], atol=1e-12)  # one path: cross-entropy


def test_hand_example():
    log_p = np.log(page.TWO_FRAMES)
    alpha = np.exp(ctc.forward(log_p, (1,)))
    np.testing.assert_allclose(alpha, [[0.6, 0.4, 0], [0.36, 0.4, 0.24]])
    assert np.exp(ctc.log_likelihood(log_p, (1,))) == pytest.approx(0.64)
    assert ctc.greedy(log_p) == ()
    assert ctc.prefix_beam_search(log_p, 3)[0][0] == (1,)
    beam = {y: np.exp(score) for y, score in ctc.prefix_beam_search(log_p, 10)}
    assert beam == pytest.approx({(): 0.36, (1,): 0.64, (1, 1): 0})
    found = {path: p for path, p, _ in page.leaves()}
    assert found == pytest.approx({"∅∅": 0.36, "∅а": 0.24, "а∅": 0.24, "аа": 0.16})


def test_lattice_of_the_phrase():
    log_p = page.outputs(vowels.EPOCHS)
    total = ctc.log_likelihood(log_p, LABELS)
    assert_said(NOTE, np.exp(total))
    states, y = ctc.best_alignment(log_p, LABELS), ctc.extended(LABELS)
    best = sum(log_p[t, y[s]] for t, s in enumerate(states))
    assert_said(NOTE, np.exp(best - total) * 100, digits=0)
    assert np.bincount(states).tolist()[1::2] == [2, 2, 2, 2]
    share = ctc.posterior(log_p, LABELS)
    np.testing.assert_allclose(share.sum(axis=1), 1, atol=1e-9)
    assert share[:, 4].max() > 1 - 1e-4  # the blank between the two «а»
    assert np.flatnonzero(states == 1).tolist() == [0, 1]  # «и» is named at once, and lasts 0.16 s
    assert vowels.sample().spans[0, 1] == pytest.approx(0.16)


def test_force_at_the_plateau():
    """Descent on «а» raises the middle of the vowel and lowers its sides; on «у» the blank still grows."""
    _, slope = ctc.loss_and_gradient(page.outputs(page.PLATEAU), LABELS)
    a, u, i = (vowels.encode(letter)[0] for letter in "ауи")
    for start, end in vowels.sample().spans[1:3]:
        inside = np.flatnonzero((page.moments() >= start) & (page.moments() < end))
        push = -slope[inside, a]
        assert push.max() > 0.03
        assert push[0] < 0 > push[-1]
        assert 0 < push.argmax() < len(push) - 1
    assert -slope[25:33, u].max() < 0 < -slope[25:33, 0].max()
    assert 0 < -slope[2:5, i].mean() < 0.03 < slope[:8, i].max()


def test_uniform_outputs_favour_the_blank():
    share = ctc.posterior(np.full((34, 6), -np.log(6)), LABELS)
    blank = share[:, 0::2].sum() / 34
    assert blank == pytest.approx((1 + 5 * 29 / 9) / 34)
    assert_said(NOTE, blank, share[:, 1].sum() / 34)
    _, slope = ctc.loss_and_gradient(np.zeros((34, 6)), LABELS)
    assert_said(NOTE, -slope[:, 0].mean())
    assert (slope[:, 0] < 0).all()
    assert slope[:, vowels.encode("и")[0]].mean() > 0 < slope[:, vowels.encode("у")[0]].mean()


def test_learning():
    found = vowels.learning()
    assert (found["blanks"][1 : page.PLATEAU + 1] == 1).all()
    assert (found["error"][1 : page.PLATEAU + 1] == 1).all()
    assert_said(NOTE, found["error"][5], found["error"][10], digits=2)
    assert_said(NOTE, found["error"][-1])
    assert_said(NOTE, 100 * found["blanks"][-1], digits=0)


def test_a_beam_finds_what_greedy_misses():
    log_p = page.outputs(page.BROKEN)
    assert vowels.decode(ctc.greedy(log_p)) == "аа"
    best, score = ctc.prefix_beam_search(log_p, 50)[0]
    assert vowels.decode(best) == "иаау"
    assert_said(NOTE, np.exp(score), np.exp(ctc.log_likelihood(log_p, vowels.encode("аа"))))


def test_order_of_collapse_makes_doubles():
    """Deleting first can never give a doubled letter."""

    def wrong(path):
        kept = [k for k in path if k]
        return tuple(k for i, k in enumerate(kept) if i == 0 or k != kept[i - 1])

    assert not any(wrong(path)[:2] == (1, 1) for path in product(range(3), repeat=5))
    assert wrong((1, 0, 1)) == (1,)


# RNN-T


def test_transducer_of_the_phrase():
    log_p = page.transducer_outputs()
    assert_said(NOTE, np.exp(transducer.log_likelihood(log_p, LABELS)))
    nodes = transducer.best_alignment(log_p, LABELS)
    assert len(nodes) == 34 + 4
    third = next(t for t, u in nodes if u == 3)
    end, start = vowels.sample().spans[1, 1], vowels.sample().spans[2, 0]
    assert end < third * vowels.FRAME < start
    share = transducer.posterior(log_p, LABELS)
    diagonals = [sum(share[t, n - t] for t in range(34) if 0 <= n - t <= 4) for n in range(38)]
    np.testing.assert_allclose(diagonals, 1, atol=1e-9)


def test_two_texts_of_one_sound():
    """CTC spreads over the halves, RNN-T does not."""
    grid = np.linspace(0, 1, 21)
    best = max(a * c * b * g for a, c, b, g in product(grid, repeat=4) if a + c <= 1 + 1e-12 and b + g <= 1 + 1e-12)
    assert best == pytest.approx(1 / 16)
    p = np.full((2, 5), 1e-300)
    p[0, [1, 3]] = p[1, [2, 4]] = 0.5
    for text in ((1, 2), (3, 4), (1, 4), (3, 2)):
        assert np.exp(ctc.log_likelihood(np.log(p), text)) == pytest.approx(0.25)
    for first, second in ((1, 2), (3, 4)):
        lattice = np.full((2, 3, 5), 1e-300)
        lattice[0, 0, [1, 3]] = 0.5
        lattice[0, 1, 0], lattice[1, 1, second], lattice[1, 2, 0] = 1, 1, 1
        assert np.exp(transducer.log_likelihood(np.log(lattice), (first, second))) == pytest.approx(0.5)


def test_board_example_of_the_transducer():
    log_p = np.log(np.broadcast_to([0.6, 0.4], (2, 2, 2)))
    np.testing.assert_allclose(np.exp(transducer.forward(log_p, (1,))), [[1, 0.4], [0.6, 0.48]])
    assert_said(NOTE, np.exp(transducer.log_likelihood(log_p, (1,))), 0.4 * 0.6**2)
    assert transducer.path_count(2, 1) == 2


def test_gradient_of_the_transducer_by_its_arcs():
    """The sum of the shares of the arcs is the share of the node; unreachable nodes have no gradient."""
    log_p = page.transducer_outputs()
    _, slope = transducer.loss_and_gradient(log_p, LABELS)
    share = transducer.posterior(log_p, LABELS)
    arcs = share[..., None] * np.exp(log_p) - slope
    np.testing.assert_allclose(arcs.sum(axis=-1), share, atol=1e-9)
    assert np.abs(slope[share < 1e-12]).max() < 1e-9


def test_one_label_of_memory_loses_doubles():
    found = models.transducer("one")
    substitutions, deletions, insertions = found["kinds"]
    assert substitutions == insertions == 0
    for value in (deletions, found["labels"], found["doubles"], found["apart"]):
        assert f"${value}$" in NOTE


def test_gradient_of_the_expected_errors():
    """d/d log p_i of the mean over the best n is p_i (w_i - mean)."""
    log_p, w, h = np.log([0.3, 0.1, 0.05]), np.array([2.0, 0.0, 3.0]), 1e-6

    def mean(log_p):
        p = np.exp(log_p)
        return p @ w / p.sum()

    share = np.exp(log_p) / np.exp(log_p).sum()
    numeric = [(mean(log_p + h * e) - mean(log_p - h * e)) / (2 * h) for e in np.eye(3)]
    np.testing.assert_allclose(numeric, share * (w - mean(log_p)), atol=1e-8)


def test_memory():
    assert transducer.logit_bytes(8, 500, 99, 1024) / 2**30 == pytest.approx(1.5, abs=0.05)


# Short and long


def test_lengths():
    each = page.length_errors()
    assert_said(NOTE, *(100 * each.mean(axis=1)).ravel(), digits=1)
    assert (each[0] < 0.03).all()  # CTC, each of the trainings
    assert (each[1, :, 1] > 5 * each[1, :, 0]).all()
    assert_said(NOTE, np.mean([100 * models.attention(seed)["lengths"] for seed in range(page.SEEDS)]), digits=0)
    found = models.attention(0)
    for text in (vowels.decode(found["long_right"]), vowels.decode(found["long_labels"])):
        assert f"«{text}»" in NOTE
    assert len(found["long_right"]) == 16
    assert len(found["long_weights"]) == 8
    assert len(vowels.long_corpus()[0][0]) / vowels.RATE == pytest.approx(2.7, abs=0.01)
    assert vowels.decode(found["labels"]) == page.TEXT


def test_augmented_sounds():
    x = page.augmented()["phrase"]
    assert len(x) / vowels.RATE == pytest.approx(0.66)
    noise = page.augmented()["noise"] - x
    assert 10 * np.log10(np.mean(x**2) / np.mean(noise**2)) == pytest.approx(10, abs=0.01)
    assert len(x) / len(page.augmented()["speed"]) == pytest.approx(1.1, rel=1e-3)
    gap = slice(round(0.31 * vowels.RATE), round(0.345 * vowels.RATE))
    assert np.abs(x[gap]).max() == 0
    assert np.abs(page.augmented()["room"][gap]).max() > 0.05
