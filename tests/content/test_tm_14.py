"""Every number and every claim of tm-14 that can be computed is computed here."""

import re

import numpy as np
import pytest
import torch

from scripts.dl import attention_scores as att
from scripts.experiments import reversal
from scripts.figures import tm_14
from tests.content.page import assert_said, printed

PAGE = printed("theory-minimum/14-lstm-rnn-seq2seq-attention.md")


def percent(value):
    return round(100 * value)


def random_attention(T=6, U=3, n=5, m=4, seed=0):
    rng = np.random.default_rng(seed)
    H, S = rng.standard_normal((T, n)), rng.standard_normal((U, m))
    W_s, W_h, v = rng.standard_normal((7, m)), rng.standard_normal((7, n)), rng.standard_normal(7)
    return S, H, W_s, W_h, v


# Formulas


def test_weights_are_a_distribution_over_the_source_and_contexts_lie_in_the_hull():
    S, H, *weights = random_attention()
    C, alpha = att.attend(att.additive_scores(S, H, *weights), H)
    assert alpha.sum(axis=1) == pytest.approx(1)
    assert not np.allclose(alpha.sum(axis=0), 1)  # nothing is promised about columns
    # a convex combination: for every direction no further than the furthest state
    directions = np.random.default_rng(1).standard_normal((200, H.shape[1]))
    assert np.all((C @ directions.T).max(axis=0) <= (H @ directions.T).max(axis=0) + 1e-12)


def test_masked_padding_gets_nothing():
    S, H, *weights = random_attention()
    mask = np.arange(6) < 4
    _, alpha = att.attend(att.additive_scores(S, H, *weights), H, np.broadcast_to(mask, (3, 6)))
    assert np.all(alpha[:, 4:] == 0)
    assert alpha.sum(axis=1) == pytest.approx(1)


def test_gradient_of_the_score_is_that_of_the_page():
    S, H, *weights = random_attention()
    C, alpha = att.attend(att.additive_scores(S, H, *weights), H)
    C_bar = np.random.default_rng(2).standard_normal(C.shape)
    E_bar, H_bar = att.attend_backward(C_bar, alpha, H)
    for u, j in np.ndindex(alpha.shape):
        assert E_bar[u, j] == pytest.approx(alpha[u, j] * (H[j] - C[u]) @ C_bar[u])
    assert H_bar == pytest.approx(alpha.T @ C_bar)  # the direct path
    assert E_bar.sum(axis=1) == pytest.approx(0)


def test_score_of_the_page_grows_where_the_state_is_useful():
    S, H, *weights = random_attention()
    E = att.additive_scores(S, H, *weights)
    C, alpha = att.attend(E, H)
    C_bar = np.random.default_rng(2).standard_normal(C.shape)
    E_bar, _ = att.attend_backward(C_bar, alpha, H)
    moved, _ = att.attend(E - 1e-3 * E_bar, H)
    assert np.sum(C_bar * (moved - C)) < 0


def test_additive_score_is_bounded_and_dot_grows_with_the_width():
    rng = np.random.default_rng(0)
    S, H, W_s, W_h, v = random_attention()
    assert np.abs(att.additive_scores(100 * S, 100 * H, W_s, W_h, v)).max() <= np.abs(v).sum()
    variances = [att.dot_scores(rng.standard_normal((200, n)), rng.standard_normal((200, n))).var() for n in (16, 256)]
    assert variances == pytest.approx([16, 256], rel=0.2)


def test_general_score_of_two_projections_has_rank_of_the_projection():
    rng = np.random.default_rng(0)
    W_q, W_k = rng.standard_normal((2, 5)), rng.standard_normal((2, 6))
    s, h = rng.standard_normal(5), rng.standard_normal(6)
    assert (W_q @ s) @ (W_k @ h) == pytest.approx(s @ (W_q.T @ W_k) @ h)
    assert np.linalg.matrix_rank(W_q.T @ W_k) == 2


def test_without_recurrence_the_context_ignores_the_order():
    S, H, *weights = random_attention()
    order = np.random.default_rng(3).permutation(len(H))
    C, _ = att.attend(att.additive_scores(S, H, *weights), H)
    shuffled, _ = att.attend(att.additive_scores(S, H[order], *weights), H[order])
    assert shuffled == pytest.approx(C)


def test_example_of_the_board():
    H, s = np.array([[1.0, 0], [0, 1], [1, 1]]), np.array([[2.0, 1]])
    E = att.dot_scores(s, H)
    assert E[0].tolist() == [2, 1, 3]
    C, alpha = att.attend(E, H)
    assert_said(PAGE, *alpha[0], *C[0])
    assert_said(PAGE, *np.exp(E[0]), digits=2)
    gaps = np.linalg.norm(H - C, axis=1)
    assert gaps.argmin() == 2


def test_half_a_gate_after_fifty_steps():
    assert f"{0.5**50:.0e}" == "9e-16"
    assert r"0{,}5^{50}\approx9\cdot10^{-16}" in PAGE


def test_reversal_of_the_source_in_numbers_of_the_paper():
    assert "25{,}9\\to30{,}6" in PAGE
    assert 4 * 1000 * 2 == 8000  # layers, cells, c and h


# Figures


def test_lengths():
    def said(name, quantity, length):
        return percent(tm_14.mean_at(name, quantity, length))

    assert abs(said("none", "greedy", 12) - 50) <= 2
    assert abs(said("none", "exact", 12) - 5) <= 2
    assert abs(said("additive", "greedy", 12) - 99) <= 1
    assert abs(said("additive", "exact", 12) - 97) <= 2
    assert abs(said("wide", "greedy", 12) - 78) <= 2
    assert abs(said("none", "forced", 12) - 77) <= 2
    assert abs(said("general", "greedy", 24) - 45) <= 3
    for figure in (r"50\,\%", r"5\,\%", r"78\,\%", r"45\,\%", r"77\,\%"):
        assert figure in PAGE
    assert_said(
        PAGE, 100 * tm_14.mean_at("additive", "forced", 12), 100 * tm_14.mean_at("additive", "greedy", 12), digits=1
    )
    best = max(tm_14.NETWORKS, key=lambda name: tm_14.mean_at(name, "greedy", 24))
    assert best == "general"
    for name in tm_14.NETWORKS:
        assert tm_14.mean_at(name, "greedy", 24) < 0.6 * tm_14.mean_at(name, "greedy", 12) + 0.1


def test_doubling_the_width_buys_two_or_three_letters():
    def at(name, length):
        return np.interp(length, reversal.LENGTHS, tm_14.measured(name, "greedy").mean(axis=0))

    for length in (8, 10, 12):
        assert at("wide", length + 2) >= at("none", length) - 0.01
        assert at("wide", length + 4) < at("none", length)


def test_parameters_of_the_networks():
    counts = {}
    for name, (score, width) in tm_14.NETWORKS.items():
        network = reversal.Seq2Seq(score, reversal.KINDS[score], width)
        counts[name] = sum(p.numel() for p in network.parameters())
    assert counts["wide"] > 3 * max(counts["additive"], counts["general"])
    for name in ("additive", "wide"):
        assert f"{counts[name]:,}".replace(",", r"\,") in PAGE


def test_alignment():
    # with the new state the letter that is due is read, with the old one its right neighbour, whatever the score
    said = {"general": (0, 95), "additive after": (0, 83), "general before": (1, 96), "additive": (1, 89)}
    for name, (column, share) in said.items():
        weights = tm_14.on_diagonals(name)
        assert abs(percent(weights[:, column].mean()) - share) <= 2, name
        assert weights[:, column].min() > 0.8  # in all three runs
        assert weights[:, 1 - column].max() < 0.08
    assert all(text in PAGE for text in (r"95\,\%", r"83\,\%", r"$2$ и $4\,\%$", r"$96$ и $89\,\%$"))
    assert abs(percent(tm_14.on_diagonals("general before")[:, 0].mean()) - 2) <= 1
    assert abs(percent(tm_14.on_diagonals("additive")[:, 0].mean()) - 4) <= 1
    for name, _ in tm_14.MAPS:
        source, answer = tm_14.run(name, 0)["strings"]
        assert np.array_equal(answer, source[::-1])
        alpha = tm_14.run(name, 0)["alpha"]
        assert alpha.sum(axis=1) == pytest.approx(1, abs=1e-5)
        assert alpha[0].argmax() == len(source) - 1  # the first step reads the last state in all of them


@pytest.mark.parametrize("name", ["general", "additive", "general before", "additive after"])
@pytest.mark.parametrize("seed", range(reversal.SEEDS))
def test_the_place_is_sought_by_its_letter(name, seed):
    """Far from the place that is read, repetitions of its letter get more than other letters."""
    alpha, source = tm_14.run(name, seed)["alpha"], tm_14.run(name, seed)["strings"][0]
    shift = 1 if name in ("additive", "general before") else 0
    same, other = [], []
    for u in range(1, reversal.SHOWN):
        place = reversal.SHOWN - 1 - u + shift
        for j in range(reversal.SHOWN):
            if abs(j - place) > 1:
                (same if source[j] == source[place] else other).append(alpha[u, j])
    assert np.mean(same) > 3 * np.mean(other)


def test_reach():
    none, additive, general = (tm_14.measured(name, "reach") for name in ("none", "additive", "general"))
    assert none[:, 0].mean() == pytest.approx(7e-10, rel=0.2)
    assert additive[:, 0].mean() == pytest.approx(2.7e-3, rel=0.1)
    assert general[:, 0].mean() == pytest.approx(2.6e-3, rel=0.1)
    assert none[:, -1].min() > additive[:, -1].max()  # near words are seen better
    slopes = np.diff(np.log(none.mean(axis=0)))[:30]
    assert slopes.std() < 0.1 * slopes.mean()  # a straight line
    assert np.ptp(np.log(general.mean(axis=0)[:34])) < 0.1  # a level one


def test_untrained_weights_are_nearly_equal():
    torch.manual_seed(0)
    network = reversal.Seq2Seq("additive", "before", reversal.WIDTH)
    source, target = reversal.strings(8, reversal.REACH, torch.Generator().manual_seed(2))
    alpha = network(source, 1, target[:, :1])[1].detach()
    assert alpha.min() * reversal.REACH > 0.8
    assert alpha.max() * reversal.REACH < 1.2


def test_weights_of_the_scheme():
    assert tm_14.one_step().sum() == pytest.approx(1)
    assert sum(round(float(weight), 2) for weight in tm_14.one_step()) == pytest.approx(1)


def test_names_of_the_sections_that_others_link():
    ids = set(re.findall(r"\{#([\w-]+)\}", PAGE))
    assert {"attention", "bottleneck", "rnn", "lstm", "seq2seq-attention"} <= ids
