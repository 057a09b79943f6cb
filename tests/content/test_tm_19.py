"""Every number and every claim of tm-19 that can be computed is computed here."""

import math

import numpy as np
import pytest
import torch

from scripts.dl import masked_lm as mlm
from scripts.dl import transformer as tr
from scripts.experiments import templates as t
from scripts.experiments import tiny_bert as tb
from scripts.figures import tm_19
from tests.content.page import assert_said, printed

PAGE = printed("theory-minimum/19-bert.md")


def said_whole(*numbers):
    """Integers with thousands set apart by a thin space."""
    for number in numbers:
        assert f"{number:,}".replace(",", "\\,") in PAGE, number


# Sizes


def test_parameters():
    parts = tr.bert_parameters()
    total = sum(parts.values())
    assert total == 109_482_240
    said_whole(total, total + sum(mlm.head_parameters().values()))
    said_whole(sum(tr.bert_parameters(1024, 24).values()), sum(tr.bert_parameters(vocabulary=119_547).values()))
    d, d_ff = 768, 3072
    attention, ffn, norms = 4 * (d * d + d), 2 * d * d_ff + d_ff + d, 4 * d
    assert norms == 3072
    assert mlm.head_parameters()["nsp"] == 1538
    said_whole(attention, ffn, attention + ffn + norms, 12 * (attention + ffn + norms))
    said_whole((30_522 + 512 + 2) * d, d * d + d, d * d + d + 2 * d, 30_522 * d)
    assert parts["embeddings"] + parts["pooler"] + 12 * (attention + ffn + norms) + 2 * d == total
    assert mlm.head_parameters()["mlm"] == d * d + 3 * d + 30_522


def test_parameters_are_those_of_a_network():
    """The same count from PyTorch's own layers, for a small size."""
    d, layers, vocabulary, longest = 32, 3, 100, 16
    layer = torch.nn.TransformerEncoderLayer(d, 4, 4 * d)
    modules = [
        *(torch.nn.Embedding(n, d) for n in (vocabulary, longest, 2)),
        torch.nn.LayerNorm(d),
        torch.nn.TransformerEncoder(layer, layers, enable_nested_tensor=False),
        torch.nn.Linear(d, d),
    ]
    counted = sum(p.numel() for module in modules for p in module.parameters())
    assert counted == sum(tr.bert_parameters(d, layers, vocabulary, longest).values())


def test_albert():
    block = sum(tr.block_parameters(768).values())
    table = 30_000 * 128 + 128 * 768
    assert block + table + (512 + 2) * 128 + 768 * 769 == pytest.approx(12e6, rel=0.04)
    assert_said(PAGE, block / 1e6, table / 1e6, digits=1)
    assert round(12 * block / 1e6) == 85
    assert round(30_000 * 768 / 1e6) == 23


# Pre-training


def test_shares_of_all_tokens():
    tokens, rng = np.full((2000, 500), 5), np.random.default_rng(0)
    chosen = mlm.choose(tokens, (0,), rng)
    noisy = mlm.corrupt(tokens, chosen, 1, [2], rng)
    shares = [(noisy == 1).mean(), (noisy == 2).mean(), (chosen & (noisy == 5)).mean()]
    assert shares == pytest.approx([0.12, 0.015, 0.015], abs=0.001)
    assert_said(PAGE, 100 * 0.15 * 0.1, digits=1)


def test_loss_does_not_see_what_was_not_chosen():
    rng = np.random.default_rng(0)
    logits, tokens = rng.standard_normal((3, 8, 11)), rng.integers(11, size=(3, 8))
    chosen = mlm.choose(tokens, (), rng, rate=0.4)
    other = np.where(chosen[..., None], logits, rng.standard_normal(logits.shape))
    assert mlm.masked_lm_loss(other, tokens, chosen)[0] == mlm.masked_lm_loss(logits, tokens, chosen)[0]


def sees_itself(forward, T=5, d=4):
    """Whether output i depends on input i."""
    x = torch.randn(T, d, dtype=torch.float64, requires_grad=True)
    forward(x)[2].sum().backward()
    return x.grad[2].abs().max().item() > 1e-9


def test_two_layers_show_a_token_itself_though_the_diagonal_is_masked():
    torch.manual_seed(0)
    hidden = torch.where(torch.eye(5, dtype=torch.bool), -torch.inf, 0.0).to(torch.float64)
    W = [torch.randn(4, 4, dtype=torch.float64) for _ in range(2)]

    def layer(x, keys, w):  # no residual connection: the only way is through attention
        return torch.softmax(keys @ w @ keys.T + hidden, dim=1) @ x

    x0 = torch.randn(5, 4, dtype=torch.float64)
    assert not sees_itself(lambda x: layer(x, x0, W[0]))
    assert sees_itself(lambda x: layer(layer(x, x0, W[0]), x0, W[1]))


def test_what_the_best_model_says_of_a_token_it_sees():
    size = 30_522
    for q in (1e-3, 1e-6):
        kept, swapped = 0.1 * q, 0.1 / size
        assert kept / (kept + swapped) == pytest.approx(q / (q + 1 / size))
        assert_said(PAGE, q / (q + 1 / size), digits=2)


def test_posterior_by_drawing():
    """A context with three likely words: among asked places that show word 2, how often is it the original?"""
    rng, p, size = np.random.default_rng(0), np.array([0.7, 0.25, 0.05]), 3
    original = rng.choice(size, 400_000, p=p)
    seen = mlm.corrupt(original, np.ones_like(original, dtype=bool), -1, np.arange(size), rng)
    shown = seen == 2
    # The seen word is right when it was kept, or when chance drew it anew.
    kept, drawn = 0.1 * p[2], 0.1 / size
    assert np.mean(original[shown] == 2) == pytest.approx((kept + drawn * p[2]) / (kept + drawn), abs=0.01)


def test_recipe():
    tokens = 256 * 512
    assert tokens * 1e6 / 3.3e9 == pytest.approx(40, abs=0.5)
    said_whole(tokens, round(0.15 * tokens))
    assert 40 / 10 == 4
    assert (512 - 128) / 512 == 0.75


def test_losses_before_training():
    size = 50
    loss, _ = mlm.masked_lm_loss(np.zeros((1, 4, size)), np.arange(4)[None], np.ones((1, 4), dtype=bool))
    assert loss == pytest.approx(math.log(size))
    assert_said(PAGE, math.log(30_522), math.log(2), digits=2)


def test_masked_tokens_are_independent():
    joint = np.diag([0.5, 0.5])  # New York or Los Angeles
    product = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    assert product[0, 1] == 0.25


# Fine-tuning


def test_adam_without_correction():
    steps = np.arange(1, 2000)
    too_long = (1 - 0.9**steps) / np.sqrt(1 - 0.999**steps)
    assert too_long[0] == pytest.approx(0.1 / math.sqrt(0.001))
    assert_said(PAGE, too_long[0], too_long.max(), digits=1)
    assert steps[too_long.argmax()] == 12


def test_span_of_an_answer():
    """Two softmaxes: the best admissible pair, not the two best ends."""
    start, end = np.array([0.0, 3.0, 1.0]), np.array([2.5, 0.5, 2.0])
    scores = np.where(np.triu(np.ones((3, 3), dtype=bool)), start[:, None] + end, -np.inf)
    assert start.argmax() > end.argmax()
    assert np.unravel_index(scores.argmax(), scores.shape) == (1, 2)


def test_pairs_of_sentences():
    n = 10_000
    said_whole(n * (n - 1) // 2)


# Figures


def test_figure_contexts():
    mass = tm_19.mass()
    for shares in mass.values():
        assert shares.sum() == pytest.approx(1, abs=1e-5)
    assert_said(PAGE, mass["left"][0], mass["left"][1], mass["right"][0], mass["both"][0], digits=2)
    assert mass["right"][:3:2].sum() > 0.95
    assert 0.5 < mass["none"][4] < 0.7
    p = t.CHOSEN * t.TO_MASK
    assert math.comb(5, 4) * p**4 * (1 - p) + p**5 < 0.001
    assert t.WIDTH == 32


def test_figure_masking():
    for whole_words in (False, True):
        found = tm_19.kinds(whole_words)
        assert found.shape == (len(tm_19.PIECES), 26)
        assert (found[[0, -1]] == tm_19.UNTOUCHED).all()
        counts = np.bincount(found.ravel(), minlength=4)
        assert counts[tm_19.MASKED] > counts[tm_19.SWAPPED] + counts[tm_19.KEPT]
        assert counts.min() > 0
    chosen = tm_19.kinds(True) != tm_19.UNTOUCHED
    for i, piece in enumerate(tm_19.PIECES):
        if piece.startswith("##"):
            np.testing.assert_array_equal(chosen[i], chosen[i - 1])


def test_figure_fine_tuning():
    tuned, scratch = (tm_19.accuracies(start).mean(axis=1) for start in ("fine-tuned", "scratch"))
    assert tb.LABELS == (16, 64, 256, 1024, 4096)
    assert_said(PAGE, tuned[1], tuned[2], scratch[1], scratch[2], digits=2)
    assert tuned[3] == pytest.approx(0.98, abs=0.01)
    assert scratch[3] == pytest.approx(0.98, abs=0.01)
    assert tb.STARTS["scratch"].steps == 3 * tb.STARTS["fine-tuned"].steps
    words, cls = (tm_19.accuracies(reads).mean(axis=1) for reads in ("words", "cls"))
    assert_said(PAGE, words[2], words[4], cls[2], cls[4], digits=2)
    assert scratch[2] < words[2] < tuned[2]
    rng = np.random.default_rng(0)
    world = set(t.sentences(t.SENTENCES, rng))
    assert len(world) == 384
    assert 1 - (1 - 1 / len(world)) ** (1024 / 2) == pytest.approx(0.75, abs=0.02)
