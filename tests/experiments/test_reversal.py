"""The strings, the attention of the trained network against the formulas, and a few steps of training."""

import numpy as np
import pytest
import torch

from scripts.dl import attention_scores as att
from scripts.experiments import reversal


def test_target_is_the_string_backwards_and_an_end_mark():
    source, target = reversal.strings(5, 7, torch.Generator().manual_seed(0))
    assert torch.equal(target[:, :7], source.flip(1))
    assert torch.all(target[:, 7] == reversal.END)


@pytest.mark.parametrize("score", ["additive", "general", "dot"])
def test_weights_are_those_of_the_formulas(score):
    torch.manual_seed(0)
    network = reversal.Seq2Seq(score, "before", 8)
    state, encoded = torch.randn(3, 8), torch.randn(3, 5, 8)
    S, H = state[:, None].double().numpy(), encoded.double().numpy()
    arrays = {name: w.detach().double().numpy() for name, w in network.named_parameters()}
    if score == "additive":
        weights = arrays["of_decoder.weight"], arrays["of_encoder.weight"], arrays["v.weight"][0]
        E = att.additive_scores(S, H, *weights)
    elif score == "general":
        E = att.general_scores(S, H, arrays["of_encoder.weight"])
    else:
        E = att.dot_scores(S, H)
    expected = att.attend(E, H)[1][:, 0]
    np.testing.assert_allclose(network.weights(state, encoded).detach(), expected, atol=1e-6)


def test_greedy_decoding_feeds_its_own_letters():
    torch.manual_seed(0)
    network = reversal.Seq2Seq("additive", "after", 8)
    source, _ = reversal.strings(4, 5, torch.Generator().manual_seed(0))
    logits, alpha = network(source, 6)
    again, _ = network(source, 6, forced=logits.argmax(dim=-1))
    torch.testing.assert_close(again, logits)
    assert alpha.shape == (4, 6, 5)


def test_a_few_steps_already_help():
    losses = reversal.train("general", "after", 16, 0, steps=40)["losses"]
    assert losses[-5:].mean() < 0.98 * losses[:5].mean()
