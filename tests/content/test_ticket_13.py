"""Every number and every claim of ticket-13 that can be computed is computed here; what was trained is read."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import patches as p
from scripts.dl import vision_language as vl
from scripts.dl import window_attention as wa
from scripts.dl.attention import attention
from scripts.experiments import tiny_clip as clip
from scripts.experiments import tiny_llava as llava
from scripts.experiments import tiny_vit as vit
from scripts.figures import ticket_13 as page
from tests.content.page import assert_said, printed

TEXT = printed("tickets/13-vit-multimodal.md")


def said_whole(*numbers: int) -> None:
    """Whole numbers stand on the page with thin spaces between thousands."""
    plain = TEXT.replace("\\,", " ")
    for number in numbers:
        assert f"{number:,}".replace(",", " ") in plain, number


# ViT


def test_tokens_and_pixels():
    assert p.token_count(224, 16) == 196
    assert p.token_count(384, 16) == 576
    pixels = 224 * 224
    assert pixels**2 == pytest.approx(2.5e9, rel=0.01)
    assert p.token_count(224, 14) == 256
    assert p.token_count(336, 14) == 576
    assert p.token_count(224, 16) == 4 * p.token_count(224, 32)
    said_whole(224 * 224)


def test_parameters_of_the_table():
    totals = [sum(p.vit_parameters(p.SIZES[name]).values()) for name in ("B/16", "L/16", "H/14")]
    assert totals == [86_567_656, 304_326_632, 632_045_800]
    said_whole(*totals)
    parts = p.vit_parameters(p.SIZES["B/16"])
    assert parts["blocks"] == 12 * (12 * 768**2 + 13 * 768)
    said_whole(parts["blocks"], parts["patch embedding"], parts["head"])
    assert (parts["positions"], parts["last norm"]) == (197 * 768, 1536)


def test_multiply_adds():
    cost = p.vit_multiply_adds(p.SIZES["B/16"])
    blocks = cost["linear"] + cost["attention"]
    assert blocks == 12 * (12 * 197 * 768**2 + 2 * 197**2 * 768)
    assert blocks / 1e9 == pytest.approx(17.4, abs=0.05)
    assert cost["patch embedding"] / 1e9 == pytest.approx(0.1, abs=0.02)
    assert sum(cost.values()) / 1e9 == pytest.approx(17.6, abs=0.05)
    assert cost["attention"] / cost["linear"] == pytest.approx(197 / (6 * 768))
    assert_said(TEXT, 197 / (6 * 768))
    equal = 6 * 768
    assert 12 * equal * 768**2 == 2 * equal**2 * 768
    assert str(equal) in TEXT


def test_patch_embedding_is_a_convolution():
    rng = np.random.default_rng(0)
    x, E = rng.standard_normal((1, 3, 32, 32)), rng.standard_normal((768, 5))
    found = F.conv2d(torch.tensor(x), torch.tensor(p.as_kernels(E, 16)), stride=16)
    np.testing.assert_allclose(p.patchify(x, 16) @ E, found.flatten(2).transpose(1, 2), atol=1e-10)


def test_principal_filters():
    _, shares = page.principal_filters()
    assert shares[:64].sum() == pytest.approx(0.98, abs=0.005)


def test_order_is_not_seen_without_positions():
    """The line of the proof: softmax(Π Q Kᵀ Πᵀ) Π V = Π A V, and the mean forgets Π."""
    rng = np.random.default_rng(0)
    Q, K, V = rng.standard_normal((3, 6, 4))
    order = rng.permutation(6)
    straight, permuted = attention(Q, K, V)[0], attention(Q[order], K[order], V[order])[0]
    np.testing.assert_allclose(permuted, straight[order])
    np.testing.assert_allclose(permuted.mean(axis=0), straight.mean(axis=0))


def test_an_untrained_vit_of_the_experiment_is_a_bag_of_patches():
    torch.manual_seed(0)
    x = torch.rand(3, 1, 8, 8)
    order = np.random.default_rng(0).permutation(16)
    mixed = torch.from_numpy(p.unpatchify(p.patchify(x.numpy(), 2)[:, order], (4, 4), 1))
    with torch.no_grad():
        bag, sees = vit.ViT(positions=False), vit.ViT(positions=True)
        torch.testing.assert_close(bag(x), bag(mixed), atol=1e-5, rtol=0)
        assert (sees(x) - sees(mixed)).abs().max() > 1e-4


# Data, resolution


def test_data_size():
    cnn, bag, cls = (vit.accuracy(name, 1200) for name in ("cnn", "vit-no-positions", "vit-cls"))
    first, last = vit.accuracy("vit", 50), vit.accuracy("vit", 1200)
    assert_said(TEXT, first["test"].mean(), vit.accuracy("cnn", 50)["test"].mean(), digits=2)
    assert_said(TEXT, last["test"].mean(), cnn["test"].mean(), cls["test"].mean(), bag["test"].mean(), digits=2)
    assert_said(TEXT, last["moved"].mean(), cnn["moved"].mean(), first["moved"].mean(), digits=2)
    assert vit.STEPS == 400
    assert_said(TEXT, *(vit.accuracy(name, 1200, vit.LONG)["test"].mean() for name in ("cnn", "vit")), digits=2)
    assert_said(TEXT, vit.accuracy("cnn-at-rate-of-vit", 1200)["test"].mean(), digits=2)
    assert str(vit.LONG) in TEXT
    behind = [vit.accuracy("cnn", n)["test"].mean() - vit.accuracy("vit", n)["test"].mean() for n in vit.SIZES]
    assert min(behind) > 0  # no overtaking here
    assert vit.accuracy("cnn", 1200, vit.LONG)["test"].mean() > vit.accuracy("vit", 1200, vit.LONG)["test"].mean()
    hasty = vit.accuracy("cnn-at-rate-of-vit", 1200)
    assert hasty["train"].mean() < 0.9  # it has not learnt, so the ViT seems to win
    assert hasty["test"].mean() < last["test"].mean()
    assert min(vit.accuracy(name, 50)["train"].min() for name in ("cnn", "vit")) == 1
    assert behind[0] > 5 * behind[-1]
    falls = {name: r["test"].mean() - r["moved"].mean() for name, r in (("cnn", cnn), ("vit", last))}
    assert falls["cnn"] < falls["vit"]


def test_the_networks_of_the_experiment_learn():
    """A few steps on fifty digits: better than chance on them."""
    x, y = vit.pictures(50, 0)[:2]
    for name in ("vit", "cnn"):
        network = vit.trained(name, 50, seed=0, steps=80)
        assert vit.share_right(network, x, y) > 0.3, name


def test_finer_grid():
    found = vit.resolution()
    for way in ("grid", "line", "random"):
        assert_said(TEXT, found[way].mean(), found[f"{way}-tuned"].mean(), digits=2)
    assert found["grid"].mean() > 3 * found["line"].mean()
    assert_said(TEXT, found["native"].mean(), digits=2)


def test_a_second_row_begins_elsewhere_on_a_finer_grid():
    assert divmod(14, 14) == (1, 0)  # row 15 of the old list, counted from one
    assert divmod(14, 24) == (0, 14)


# Swin


def test_windows():
    whole, windows = wa.global_multiply_adds(56, 56, 96), wa.window_multiply_adds(56, 56, 96, 7)
    assert (whole, windows) == (2_003_828_736, 145_108_992)
    said_whole(whole, windows)
    assert_said(TEXT, whole / windows, digits=1)
    assert 56 * 56 // 49 * 2 * 49**2 * 96 == 2 * 49 * 56 * 56 * 96


def test_reach_of_the_figure():
    one, two, shifted = (page.reach(shifts) > 0 for shifts in ((0,), (0, 0), (0, page.WINDOW // 2)))
    np.testing.assert_array_equal(one, two)
    assert one.sum() == page.WINDOW**2
    assert shifted.sum() == 4 * page.WINDOW**2


# Self-supervision


def test_visible_patches_are_four_times_cheaper():
    d = 768
    whole, visible = (12 * T * d * d + 2 * T * T * d for T in (197, 50))
    assert_said(TEXT, whole / visible, digits=1)
    assert round(196 * 0.25) + 1 == 50


def test_smooth_filling():
    ends = [page.explained(ratio) for ratio in (page.RATIOS[0], 0.75, page.RATIOS[-1])]
    for pixels, inside in ends:
        assert_said(TEXT, pixels, inside, digits=2)
    assert_said(TEXT, page.explained(0.25)[1], digits=2)
    assert (~page.hidden_pixels(0.75)[:: page.TILE, :: page.TILE]).sum() == 49


def test_smooth_filling_is_the_mean_of_neighbours():
    filled, hidden = page.smooth_fill(0.75), page.hidden_pixels(0.75)
    inner = hidden.copy()
    inner[[0, -1]] = inner[:, [0, -1]] = False
    i, j = np.nonzero(inner)
    around = (filled[i - 1, j] + filled[i + 1, j] + filled[i, j - 1] + filled[i, j + 1]) / 4
    np.testing.assert_allclose(filled[i, j], around, atol=1e-9)


# CLIP and SigLIP


def test_tiny_clip():
    found = clip.tiny_clip()
    assert_said(TEXT, found["seen"].item(), found["unseen_shape"].item(), digits=2)
    assert found["unseen_colour"] > 0.99
    cosines = clip.similarity()["after"]
    for c in clip.UNSEEN:
        same_colour = [other for other in range(16) if other // 4 == c // 4 and other != c]
        assert cosines[c, c] < max(cosines[c, other] for other in same_colour)
        assert cosines[c, c] < min(cosines[other, other] for other in same_colour)  # paler on the diagonal


def test_siglip_starts_with_no():
    assert 1 / (1 + np.exp(10)) == pytest.approx(4.5e-5, rel=0.01)


# Flamingo


def test_a_closed_gate_gets_a_gradient_and_its_attention_does_not():
    torch.manual_seed(0)
    x, H, W = torch.randn(4, 6), torch.randn(5, 6), torch.randn(6, 6, requires_grad=True)
    gate = torch.zeros((), requires_grad=True)
    inside = torch.softmax(x @ W @ H.T, dim=-1) @ H
    y_bar = torch.randn(4, 6)
    (y_bar * (x + torch.tanh(gate) * inside)).sum().backward()
    assert gate.grad.item() == pytest.approx((y_bar * inside).sum().item(), rel=1e-5)
    assert W.grad.abs().max() == 0


# LLaVA


def test_projectors():
    d_v, d = 1024, 4096
    linear, mlp = d_v * d, d_v * d + d + d * d + d
    assert_said(TEXT, linear / 1e6, mlp / 1e6, digits=1)


def test_gradient_of_the_projector():
    torch.manual_seed(0)
    Z, W = torch.randn(7, 3), torch.randn(3, 4, requires_grad=True)
    H = Z @ W
    H.retain_grad()
    (torch.tanh(H) ** 2).sum().backward()
    torch.testing.assert_close(W.grad, Z.T @ H.grad)


def test_example_of_labels():
    """Three visual tokens, «какой цвет ?», «красный .»: eight places, two targets."""
    tokens, is_answer = np.arange(5), np.array([False, False, False, True, True])
    labels = vl.llava_labels(tokens, is_answer, visual=3, place=0)
    np.testing.assert_array_equal(labels, [-100] * 5 + [3, 4, -100])


def test_tiny_llava():
    for name in ("none", "alignment", "short", "instructions", "both", "blind", "both-new"):
        assert_said(TEXT, *llava.runs(name)[:, 2:].mean(axis=0), digits=2)
    assert llava.ALIGNMENT_STEPS == llava.INSTRUCTION_STEPS == 300
    assert llava.ALIGNMENT_STEPS + llava.INSTRUCTION_STEPS == 600
    colours = llava.runs("alignment")[:, [0, 2]]
    assert colours[:, 0].min() > 0.99  # described always, answered by luck
    assert_said(TEXT, colours[:, 1].min(), digits=2)
    blind, strange = llava.runs("blind")[:, 3], llava.runs("both-new")[:, 3]
    assert strange.max() < 0.1 < 0.2 < blind.min() < blind.max() < 0.3


def test_what_the_first_stage_gives():
    both, short, long = (llava.runs(name)[:, 3] for name in ("both", "short", "instructions"))
    assert_said(TEXT, both.min(), both.max(), short.min(), short.max(), digits=2)
    assert (both > short).all()
    assert both.mean() - short.mean() > 0.2
    assert abs(both.mean() - long.mean()) < 0.03


def test_what_the_second_stage_costs():
    kept = llava.runs("both-reading")
    assert_said(TEXT, kept.mean(), kept.min(), llava.runs("none-reading").mean(), digits=2)
    assert max(llava.runs(f"{name}-reading").mean() for name in ("short", "instructions")) < kept.mean()
    assert_said(TEXT, llava.runs("answers")[:, 1].mean(), llava.runs("both")[:, 1].mean(), digits=2)


def test_the_tiny_llava_names_shapes_that_it_has_met():
    guesses = llava.runs("guesses").sum(axis=0)[list(clip.UNSEEN)]
    assert (guesses.sum(axis=1) > 0.9 * llava.SEEDS * clip.TEST_EACH).all()
    assert np.diag(guesses).sum() < 0.05 * guesses.sum()


def test_the_tiny_llava_can_be_trained():
    """A few steps of each stage: the projector alone moves in the first, the tower in none."""
    torch.manual_seed(0)
    model, rng = llava.Llava(clip.ImageTower(), llava.LanguageModel()), np.random.default_rng(0)

    def moved(stage) -> list[bool]:
        parts = (model.tower, model.projector, model.language)
        before = [[w.detach().clone() for w in part.parameters()] for part in parts]
        stage(model, 2, rng)
        after = [list(part.parameters()) for part in parts]
        return [any((a != b).any() for a, b in zip(*pair, strict=True)) for pair in zip(before, after, strict=True)]

    assert moved(llava.align) == [False, True, False]
    assert moved(llava.instruct) == [False, True, True]


# Cost


def test_cost_of_visual_tokens():
    assert vl.cache_of(1) == 2 * 32 * 4096 * 2 == 512 * 1024
    assert_said(TEXT, vl.VICUNA_7B.matrices / 1e9, digits=1)
    for tokens, mebibytes in ((32, 16), (64, 32), (256, 128), (576, 288), (2880, 1440)):
        assert vl.cache_of(tokens) == mebibytes * 2**20
    for tokens in (576, 2880):
        assert_said(TEXT, sum(vl.prefill_flops(tokens).values()) / 1e12, digits=1)
    assert_said(TEXT, vl.cache_of(2880) / 2**30, digits=1)
    assert vl.tiled_tokens(2, 2) == 2880
    assert 2 * p.token_count(336, 14) == 1152


def test_tiles_at_twice_the_side_cost_as_much_as_the_whole():
    def cost(side: int) -> float:
        return sum(p.vit_multiply_adds(p.SIZES["L/14"], side, classes=0).values())

    assert 5 * cost(336) / cost(672) == pytest.approx(1, abs=0.02)
    assert cost(1344) / 1e9 == pytest.approx(7000, rel=0.02)
    assert 17 * cost(336) / 1e9 == pytest.approx(3250, rel=0.01)
    assert p.token_count(672, 14) == 2304
