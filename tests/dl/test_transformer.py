"""Blocks and the model against PyTorch, counts against the modules themselves."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from scripts.dl import transformer as tr
from scripts.dl.attention import causal_mask, padding_mask

D, HEADS, WIDE = 12, 3, 20


def gaussian(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def shaken(block, seed=3):
    """Biases, gains and shifts away from 0 and 1, so that a forgotten one is noticed."""
    rng = np.random.default_rng(seed)
    for part in filter(None, (block.attention, block.cross)):
        part.parameters |= {f"b_{name}": rng.standard_normal(D) for name in part.PROJECTIONS}
    block.ffn |= {name: rng.standard_normal(block.ffn[name].shape) for name in ("b_1", "b_2")}
    block.norms = {name: (1 + rng.random(D), rng.standard_normal(D)) for name in block.norms}
    return block


def state_of(block):
    """Parameters under PyTorch's names."""
    norms = ("self", "cross", "ffn") if block.cross else ("self", "ffn")
    state = {"linear1.weight": block.ffn["W_1"].T, "linear1.bias": block.ffn["b_1"]}
    state |= {"linear2.weight": block.ffn["W_2"].T, "linear2.bias": block.ffn["b_2"]}
    for number, name in enumerate(norms, start=1):
        state |= {f"norm{number}.weight": block.norms[name][0], f"norm{number}.bias": block.norms[name][1]}
    for name, part in (("self_attn", block.attention), ("multihead_attn", block.cross)):
        if part is None:
            continue
        p = part.parameters
        state |= {
            f"{name}.in_proj_weight": np.concatenate([p[f"W_{letter}"].T for letter in "QKV"]),
            f"{name}.in_proj_bias": np.concatenate([p[f"b_{letter}"] for letter in "QKV"]),
            f"{name}.out_proj.weight": p["W_O"].T,
            f"{name}.out_proj.bias": p["b_O"],
        }
    return {name: torch.tensor(value) for name, value in state.items()}


@pytest.mark.parametrize("pre_ln", [True, False])
def test_encoder_block_is_that_of_pytorch(pre_ln):
    block = shaken(tr.Block(D, HEADS, np.random.default_rng(0), WIDE, pre_ln=pre_ln))
    theirs = nn.TransformerEncoderLayer(
        D, HEADS, WIDE, dropout=0, batch_first=True, norm_first=pre_ln, dtype=torch.float64
    )
    theirs.load_state_dict(state_of(block))
    theirs.train()  # no fast path
    X, mask = gaussian(2, 5, D), padding_mask([3, 5], 5)
    expected = theirs(torch.tensor(X), src_key_padding_mask=~torch.tensor(mask[:, 0]))
    np.testing.assert_allclose(block.forward(X, mask), expected.detach(), atol=1e-11)


@pytest.mark.parametrize("pre_ln", [True, False])
def test_decoder_block_is_that_of_pytorch(pre_ln):
    block = shaken(tr.Block(D, HEADS, np.random.default_rng(0), WIDE, pre_ln=pre_ln, cross=True))
    theirs = nn.TransformerDecoderLayer(
        D, HEADS, WIDE, dropout=0, batch_first=True, norm_first=pre_ln, dtype=torch.float64
    )
    theirs.load_state_dict(state_of(block))
    X, memory, seen = gaussian(2, 4, D), gaussian(2, 5, D, seed=1), padding_mask([3, 5], 5)
    expected = theirs(
        torch.tensor(X),
        torch.tensor(memory),
        tgt_mask=~torch.tensor(causal_mask(4)),
        memory_key_padding_mask=~torch.tensor(seen[:, 0]),
    )
    np.testing.assert_allclose(block.forward(X, causal_mask(4), memory, seen), expected.detach(), atol=1e-11)


def test_language_model_is_a_stack_of_pytorch_blocks():
    model = tr.LanguageModel(11, D, HEADS, 2, 6, np.random.default_rng(0))
    for number, block in enumerate(model.blocks):
        shaken(block, seed=number)
    layer = nn.TransformerEncoderLayer(D, HEADS, 4 * D, 0, batch_first=True, norm_first=True, dtype=torch.float64)
    stack = nn.TransformerEncoder(layer, 2, nn.LayerNorm(D, dtype=torch.float64), enable_nested_tensor=False)
    for block, theirs in zip(model.blocks, stack.layers, strict=True):
        theirs.load_state_dict(state_of(block))
    tokens = np.random.default_rng(1).integers(11, size=(2, 5))
    x = torch.tensor(model.embeddings[tokens] + model.positions[:5])
    logits = stack(x, mask=~torch.tensor(causal_mask(5))) @ torch.tensor(model.embeddings.T)
    np.testing.assert_allclose(model.forward(tokens), logits.detach(), atol=1e-11)
    expected = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), torch.tensor(tokens[:, 1:]).flatten())
    assert tr.next_token_loss(model.forward(tokens), tokens) == pytest.approx(expected.item())


@pytest.mark.parametrize("causal", [True, False])
def test_only_a_causal_model_hides_the_future(causal):
    mask_of = causal_mask if causal else None
    model = tr.LanguageModel(11, D, HEADS, 3, 6, np.random.default_rng(0), mask_of=mask_of)
    tokens = np.random.default_rng(1).integers(11, size=(1, 6))
    changed = tokens.copy()
    changed[0, 4] = (changed[0, 4] + 1) % 11
    gap = np.abs(model.forward(tokens) - model.forward(changed)).max(axis=-1)[0]
    assert (gap[4:] > 0).all()
    assert (gap[:4] == 0).all() if causal else (gap[:4] > 0).all()


@pytest.mark.parametrize("cross", [True, False])
def test_parameters_of_a_block_are_those_of_pytorch(cross):
    kind = nn.TransformerDecoderLayer if cross else nn.TransformerEncoderLayer
    theirs = sum(p.numel() for p in kind(D, HEADS, WIDE).parameters())
    assert sum(tr.block_parameters(D, WIDE, cross).values()) == theirs


def test_parameters_of_known_models():
    assert sum(tr.bert_parameters().values()) == 109_482_240
    assert sum(tr.bert_parameters(1024, 24).values()) == 335_141_888
    assert sum(tr.gpt2_parameters().values()) == 124_439_808
    assert sum(tr.gpt2_parameters(1600, 48).values()) == pytest.approx(1.558e9, rel=1e-3)
    assert sum(tr.encoder_decoder_parameters(512, 6, 37000).values()) == pytest.approx(63e6, rel=0.01)


def test_operations_of_a_block():
    T, d = 100, 48
    assert tr.block_flops(T, d).total == 24 * T * d**2 + 4 * T**2 * d
    assert tr.block_flops(6 * d, d).share_of_scores == 0.5
    with FlopCounterMode(display=False) as counter:
        layer = nn.TransformerEncoderLayer(d, 4, 4 * d, batch_first=True)
        layer.train()
        layer(torch.zeros(1, T, d))
    assert counter.get_total_flops() == pytest.approx(tr.block_flops(T, d).total)
