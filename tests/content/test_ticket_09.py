"""Every number and every claim of ticket-09 that can be computed is computed here."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import decoding
from scripts.dl import transformer as tr
from scripts.dl.attention import MultiHeadAttention, attention, causal_mask
from scripts.dl.gradcheck import numerical_gradient
from scripts.dl.losses import softmax
from scripts.dl.schedules import noam
from scripts.experiments import induction, norm_placement, templates
from scripts.figures import ticket_09
from tests.content.page import assert_said, printed

PAGE = printed("tickets/09-transformers.md")


def said(number):
    """A whole number stands on the page with thin spaces between the thousands."""
    text = f"{number:,}".replace(",", r"\,")
    assert text in PAGE, text


# Attention


def test_example_at_the_board():
    scores = np.array([4.0, 0, 2])
    weights = softmax(scores / math.sqrt(4))
    assert_said(PAGE, *weights, digits=3)
    K = np.array([[4.0, 0, 0, 0], [0, 1, 0, 0], [2, 0, 1, 0]])
    Y, A = attention(np.array([[1.0, 0, 0, 0]]), K, np.array([[1.0, 0], [0, 1], [1, 1]]))
    np.testing.assert_allclose(A[0], weights)
    assert_said(PAGE, *Y[0], digits=3)
    assert_said(PAGE, *softmax(scores[:2] / 2), digits=3)
    assert_said(PAGE, math.e**2, math.e, digits=2)


def test_gradient_of_the_softmax_row():
    rng = np.random.default_rng(0)
    logits, upstream = rng.standard_normal(5), rng.standard_normal(5)
    a = softmax(logits)
    expected = numerical_gradient(lambda s: float(softmax(s) @ upstream), logits)
    np.testing.assert_allclose(a * (upstream - a @ upstream), expected, atol=1e-8)
    np.testing.assert_allclose((np.diag(a) - np.outer(a, a)) @ upstream, expected, atol=1e-8)


def test_variance_of_the_scores_and_figure_scaling():
    found, at = ticket_09.saturation(), dict(zip(ticket_09.WIDTHS, range(5), strict=True))
    np.testing.assert_allclose(found["raw"]["variance"], ticket_09.WIDTHS, rtol=0.1)
    largest = {name: found[name]["largest"] for name in ticket_09.DIVISORS}
    jacobian = {name: found[name]["jacobian"] for name in ticket_09.DIVISORS}
    assert_said(PAGE, largest["none"][at[64]], largest["root"][at[64]], largest["none"][at[256]], digits=2)
    assert_said(PAGE, largest["none"][at[1]], digits=2)
    assert_said(PAGE, largest["width"][at[256]], 1 / 32, digits=3)
    assert_said(PAGE, jacobian["none"][at[64]], jacobian["root"][at[64]], digits=2)
    assert jacobian["none"][at[256]] < 0.1 * jacobian["root"][at[256]]
    assert jacobian["none"][at[16]] > jacobian["root"][at[16]]
    assert np.ptp(largest["root"][1:]) < 0.02


def test_equivariance_and_who_breaks_it():
    layer, rng = MultiHeadAttention(8, 2, np.random.default_rng(0)), np.random.default_rng(1)
    X, order = rng.standard_normal((1, 6, 8)), rng.permutation(6)
    np.testing.assert_allclose(layer.forward(X[:, order]), layer.forward(X)[:, order], atol=1e-12)
    mask = causal_mask(6)
    assert np.abs(layer.forward(X[:, order], mask=mask) - layer.forward(X, mask=mask)[:, order]).max() > 0.01


def test_shared_projection_makes_the_scores_symmetric():
    rng = np.random.default_rng(0)
    X, W = rng.standard_normal((5, 8)), rng.standard_normal((8, 4))
    scores = X @ W @ W.T @ X.T
    np.testing.assert_allclose(scores, scores.T)
    np.testing.assert_allclose(np.diag(scores), np.linalg.norm(X @ W, axis=1) ** 2)
    assert np.linalg.matrix_rank(scores) == 4  # not above d_k


def test_a_shift_of_the_keys_changes_nothing_and_one_of_the_values_adds_itself():
    rng = np.random.default_rng(0)
    Q, K, V, (b_K, b_V) = *(rng.standard_normal((4, 3)) for _ in range(3)), rng.standard_normal((2, 3))
    Y, A = attention(Q, K, V)
    shifted, weights = attention(Q, K + b_K, V + b_V)
    np.testing.assert_allclose(weights, A)
    np.testing.assert_allclose(shifted, Y + b_V)


def test_heads_act_through_products_of_two_matrices():
    d, heads = 8, 2
    layer, X = (
        MultiHeadAttention(d, heads, np.random.default_rng(0)),
        np.random.default_rng(1).standard_normal((1, 5, d)),
    )
    Y, width = layer.forward(X)[0], d // heads
    W_V, W_O = layer.parameters["W_V"], layer.parameters["W_O"]
    columns = [slice(j * width, (j + 1) * width) for j in range(heads)]
    merged = [W_V[:, of] @ W_O[of] for of in columns]
    np.testing.assert_allclose(sum(layer.weights[0, j] @ X[0] @ merged[j] for j in range(heads)), Y, atol=1e-12)
    assert all(np.linalg.matrix_rank(product) == width for product in merged)
    assert 2 * sum(product.size for product in merged) == 2 * heads * d * d


def test_attention_is_linear_in_the_values_only():
    rng = np.random.default_rng(0)
    Q, K, V = (rng.standard_normal((4, 3)) for _ in range(3))
    np.testing.assert_allclose(attention(Q, K, 2 * V)[0], 2 * attention(Q, K, V)[0])
    assert not np.allclose(attention(Q, 2 * K, V)[0], 2 * attention(Q, K, V)[0])


# Masks


def test_figure_masks():
    for weights, mask in ticket_09.masked_weights().values():
        np.testing.assert_allclose(weights.sum(axis=1), 1)
        assert (weights[~mask] == 0).all()
    assert ticket_09.masked_weights()["causal"][0][0, 0] == 1


def test_multiplying_weights_by_the_mask_is_not_masking():
    rng = np.random.default_rng(0)
    Q, K = rng.standard_normal((4, 3)), rng.standard_normal((4, 3))
    wrong = attention(Q, K, K)[1] * causal_mask(4)
    assert (wrong.sum(axis=1)[:-1] < 0.99).all()
    K[3] += 5  # the future
    assert np.abs(attention(Q, K, K)[1] * causal_mask(4) - wrong)[:3].max() > 1e-3


def test_masks_of_pytorch():
    rows, allowed = torch.randn(1, 3, 4), torch.tensor([[False] * 3, [True, False, False], [True] * 3])
    Y = F.scaled_dot_product_attention(rows, rows, rows, attn_mask=allowed)
    np.testing.assert_allclose(Y[0, 1], rows[0, 0], rtol=1e-5)  # True: may look
    layer = torch.nn.MultiheadAttention(4, 1, batch_first=True)
    with torch.no_grad():
        result, weights = layer(rows, rows, rows, attn_mask=~allowed)  # True: must not look
    assert weights[0, 1].tolist() == [1, 0, 0]
    assert result[0, 0].isnan().all()  # a row with no keys
    if torch.__version__.startswith("2.13"):
        assert (Y[0, 0] == 0).all()


def test_past_states_survive_a_new_token_only_under_the_causal_mask():
    tokens = np.random.default_rng(1).integers(9, size=(1, 6))
    for mask_of, same in ((causal_mask, True), (None, False)):
        model = tr.LanguageModel(9, 8, 2, 2, 6, np.random.default_rng(0), mask_of)
        before, after = model.forward(tokens[:, :5]), model.forward(tokens)[:, :5]
        assert np.allclose(before, after, atol=1e-10) == same


def test_figure_ablation():
    found = {name: induction.ablation(name) for name in ("nothing", *induction.Model.PARTS)}
    assert found["nothing"]["loss"] == pytest.approx(0.008, abs=0.001)
    assert found["positions"]["loss"] == pytest.approx(0.23, abs=0.02)
    assert found["residual"]["loss"] == pytest.approx(0.54, abs=0.03)
    assert found["mask"]["history"][-20:].mean() == pytest.approx(0.00004, abs=0.00001)
    assert found["mask"]["loss"] == pytest.approx(8.3, abs=0.1)
    for name in ("positions", "residual"):
        history = induction.ablation(name)["history"]
        assert history[-100:].mean() < 0.95 * history[-200:-100].mean()  # still going down
    assert math.log(induction.SYMBOLS) == pytest.approx(3.2, abs=0.03)
    assert_said(PAGE, 0.23, 0.54, digits=2)
    assert_said(PAGE, 0.00004, digits=5)


def test_figure_induction_heads():
    one, two = induction.heads(1), induction.heads(2)
    _, periods = induction.sequences(induction.TESTED, np.random.default_rng(1))
    known = induction.predictable(periods)
    uniform = (np.log(periods)[:, None] * known).sum() / known.sum()
    assert_said(PAGE, float(one["loss"]), uniform, two["without"][0, 1], digits=2)
    assert_said(PAGE, float(two["loss"]), two["without"][0, 0], digits=3)
    after = one["by_round"][induction.LONGEST + 1 :]
    assert 1.0 <= after.min() < 1.1
    assert 2.8 < after.max() <= 2.9
    assert (two["by_round"][induction.LONGEST + 1 :] < 0.03).all()
    for found in (one, two):
        first_round = found["by_round"][1 : induction.LONGEST]
        assert 3.1 < first_round.min() < first_round.max() < 3.7
        assert found["by_round"][induction.LONGEST] == pytest.approx(1.5, abs=0.3)
    (first, head), (second, other) = ticket_09.HEADS
    assert two["previous"][first, head] > 3 * np.delete(two["previous"].ravel(), 1).max()
    assert two["induction"][second, other] > 0.4 > two["induction"][0].max()


# Block


def test_figure_norm_place():
    post, pre = ticket_09.last_gradients("post"), ticket_09.last_gradients("pre")
    assert_said(PAGE, post[0], post[-1], pre[0], pre[-1], digits=2)
    assert post[-1] / pre[-1] == pytest.approx(6, abs=0.3)
    assert (np.diff(pre) < 0).all()
    assert pre[-1] > pre[0] / 4  # slower than 1/√n from 3 to 48 blocks
    middle = {kind: norm_placement.gradients(kind, ticket_09.DEPTH)["gradient"] for kind in ("post", "pre")}
    assert_said(PAGE, *middle["post"][[0, -1]], *middle["pre"][[0, -1]], digits=2)
    assert_said(PAGE, norm_placement.gradients("pre", 48)["size"][-1], digits=1)


def test_embeddings_tie_saves_a_third_of_gpt2():
    table = 50257 * 768
    assert table / 1e6 == pytest.approx(38.6, abs=0.05)
    assert 0.28 < table / sum(tr.gpt2_parameters().values()) < 1 / 3


def test_swiglu_keeps_the_weights():
    d = 768
    assert 3 * (8 / 3 * d) * d == pytest.approx(2 * 4 * d * d)


# Cost


def test_operations():
    T, d = 512, 768
    flops = tr.block_flops(T, d)
    linear = flops.projections + flops.ffn
    assert (flops.projections, flops.scores, flops.ffn) == (8 * T * d**2, 4 * T**2 * d, 16 * T * d**2)
    assert flops.scores / linear == pytest.approx(T / (6 * d)) == pytest.approx(0.11, abs=0.002)
    assert 6 * d == 4608
    assert 73_000 < 6 * 12288 < 74_000
    assert tr.block_flops(6 * d, d).share_of_scores == 0.5
    assert round(12 * flops.total / 1e9) == 97
    assert "$97$ млрд операций" in PAGE
    assert_said(PAGE, *(12 * part / 1e9 for part in (flops.ffn, flops.projections, flops.scores)), digits=1)


def test_parameters_of_bert_line_by_line():
    d, block = 768, tr.block_parameters(768)
    total = tr.bert_parameters()
    for number in (total["embeddings"], 2 * d, block["attention"], block["ffn"], block["norms"], total["pooler"]):
        said(number)
    assert block["ffn"] == 8 * d * d + 5 * d
    said(12 * sum(block.values()))
    said(sum(block.values()))
    said(sum(total.values()))
    assert sum(total.values()) == 109_482_240
    assert sum(tr.bert_parameters(1024, 24).values()) == pytest.approx(335e6, rel=0.001)
    said(sum(tr.gpt2_parameters().values()))
    assert_said(PAGE, *(total[name] / 1e6 for name in ("ffn", "attention", "embeddings")), digits=2)


def test_parameters_of_gpt3():
    assert_said(PAGE, 12 * 96 * 12288**2 / 1e9, digits=1)
    assert_said(PAGE, 300 / 175, digits=1)
    assert_said(PAGE, 6 * 175e9 * 300e9 / 1e23, digits=2)


def test_parameters_of_gpt1_and_of_the_first_transformer():
    gpt1 = tr.gpt2_parameters(vocabulary=40_478, longest=512)  # the final LayerNorm adds 1536
    assert sum(gpt1.values()) == pytest.approx(117e6, rel=0.01)
    base = tr.encoder_decoder_parameters(512, 6, 37_000)
    assert sum(base.values()) == pytest.approx(65e6, rel=0.04)
    big = tr.encoder_decoder_parameters(1024, 6, 37_000)
    assert sum(big.values()) == pytest.approx(213e6, rel=0.02)


def test_a_decoder_block_with_cross_attention_has_sixteen_squares():
    d = 512
    assert sum(tr.block_parameters(d, cross=True).values()) == pytest.approx(16 * d * d, rel=0.005)
    assert sum(tr.block_parameters(d).values()) == pytest.approx(12 * d * d, rel=0.005)


def test_memory_of_the_weights():
    numbers = 8 * 12 * 512**2
    assert_said(PAGE, numbers / 1e6, digits=1)
    assert round(numbers * 4 / 1e6) == 101
    assert_said(PAGE, 12 * numbers * 4 / 1e9, digits=1)
    assert (4096 / 512) ** 2 == 64


def test_threshold_with_grouped_queries():
    T, d, h, g = 100, 64, 8, 2
    projections = 2 * (2 * T * d * d) + 2 * (2 * T * d * (d * g // h))
    assert projections == 4 * T * d * d * (1 + g / h)
    T = d * (5 + g / h)
    assert 4 * T * T * d == pytest.approx(4 * T * d * d * (1 + g / h) + 16 * T * d * d)


# Recipes


def test_rate_of_the_first_transformer():
    eta = noam(512, 4000)
    rates = np.array([eta(t) for t in range(20_000)])
    assert rates.argmax() + 1 == 4000
    assert rates.max() == pytest.approx(1 / math.sqrt(4000 * 512))
    assert f"{rates.max():.1e}" == "7.0e-04"


def test_chinchilla():
    C = 6 * 70e9 * 1.4e12
    assert pytest.approx(5.9e23, rel=0.01) == C
    assert math.sqrt(C / 120) == pytest.approx(70e9)
    kept = 2**-0.076
    assert kept == pytest.approx(0.95, abs=0.003)


# Preferences


def test_optimum_of_the_penalized_reward():
    rng, beta = np.random.default_rng(0), 0.5
    reference, reward = softmax(rng.standard_normal(6)), rng.standard_normal(6)

    def value(policy):
        return policy @ reward - beta * policy @ np.log(policy / reference)

    best = reference * np.exp(reward / beta)
    best /= best.sum()
    assert all(value(best) > value(softmax(np.log(best) + 0.1 * rng.standard_normal(6))) for _ in range(100))
    assert np.ptp(reward - beta * np.log(best / reference)) < 1e-12  # c(x), the same for all answers


# Objectives


def test_figure_gap():
    for kind, words in (("causal", ("король", "королева")), ("bidirectional", ("королева",))):
        assert_said(PAGE, *(ticket_09.probability(kind, "noun", word) for word in words), digits=2)
        found = templates.gap(kind)
        assert_said(PAGE, found["noun_right"].mean(), digits=2)
        assert found["noun_right"].shape == (400,)
        feminine = sum(ticket_09.probability(kind, "adjective", form) for _, form in templates.ADJECTIVES)
        assert feminine > 0.98
        assert found["adjective_right"].mean() == pytest.approx(1 / 6, abs=0.01)


def test_a_causal_model_weighs_whole_sentences():
    odds = float(templates.gap("causal")["log_odds"])
    assert_said(PAGE, odds, digits=2)
    assert math.exp(odds) == pytest.approx(1500, rel=0.05)
    assert_said(PAGE, 1 / (1 + math.exp(-odds)), digits=3)


def test_twelve_per_cent_become_masks():
    assert pytest.approx(0.12) == templates.CHOSEN * templates.TO_MASK


# Decoding


def test_reshaped_probabilities():
    p = np.array([0.5, 0.25, 0.15, 0.1])
    assert_said(PAGE, *decoding.temperature(np.log(p), 0.5), digits=2)
    np.testing.assert_allclose(decoding.top_k(p, 2), [2 / 3, 1 / 3, 0, 0])
    assert np.count_nonzero(decoding.nucleus(p, 0.9)) == 3
