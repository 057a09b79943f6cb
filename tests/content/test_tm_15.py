"""Every number and every claim of tm-15 that can be computed is computed here."""

import math

import numpy as np
import pytest
import torch

from scripts.dl.recurrent import GRU, LSTM, RNN, unroll
from scripts.experiments import counting
from scripts.figures import tm_15
from tests.content.page import assert_said, printed

PAGE = printed("theory-minimum/15-gru-vs-lstm.md")
D, H = 3, 5


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def spelled(count):
    return f"{count:,}".replace(",", r"\,")


def blocks(cell, names):
    """W, U and b of a cell by the letters of the page."""
    params = (np.split(cell.params[name], len(names)) for name in ("W_x", "W_h", "b"))
    return {name: triple for name, *triple in zip(names, *params, strict=True)}


@pytest.fixture
def gru():
    return GRU.random(D, H, np.random.default_rng(0))


@pytest.fixture
def lstm():
    return LSTM.random(D, H, np.random.default_rng(1))


# Cells


@pytest.mark.parametrize(("kind", "cell"), [("LSTMCell", LSTM), ("GRUCell", GRU)])
def test_cells_are_those_of_pytorch(kind, cell):
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind)(D, H).double()
    ours = cell.from_torch([w.detach().numpy() for w in theirs.parameters()])
    x = np.random.default_rng(0).standard_normal((2, D))
    state = tuple(np.random.default_rng(1).standard_normal((2, H)) for _ in range(2 if cell is LSTM else 1))
    tensors = tuple(torch.tensor(s) for s in state)
    expected = theirs(torch.tensor(x), tensors if cell is LSTM else tensors[0])
    expected = expected if cell is LSTM else (expected,)
    for found, tensor in zip(ours.step(x, state)[0], expected, strict=True):
        np.testing.assert_allclose(found, tensor.detach(), atol=1e-12)


def gru_step(gru, x, h):
    """r, z, q, n and the new h by the formulas of the page."""
    p, b_hn = blocks(gru, "rzn"), gru.params["b_hn"]
    gate = {k: sigmoid(p[k][0] @ x + p[k][1] @ h + p[k][2]) for k in "rz"}
    q = p["n"][1] @ h + b_hn
    n = np.tanh(p["n"][0] @ x + p["n"][2] + gate["r"] * q)
    return gate["r"], gate["z"], q, n, (1 - gate["z"]) * n + gate["z"] * h


def numeric(function, at, step=1e-6):
    columns = [(function(at + e) - function(at - e)) / (2 * step) for e in step * np.eye(len(at))]
    return np.stack(columns, axis=1)


def test_gru_by_the_formulas_of_the_page_and_its_jacobian(gru):
    rng = np.random.default_rng(2)
    x, h = rng.standard_normal(D), rng.standard_normal(H)
    r, z, q, n, new = gru_step(gru, x, h)
    assert gru.step(x[None], (h[None],))[0][0][0] == pytest.approx(new)
    p = blocks(gru, "rzn")
    U_r, U_z, U_n = (p[k][1] for k in "rzn")
    M = np.diag(r) @ U_n + np.diag(q * r * (1 - r)) @ U_r
    J = np.diag(z) + np.diag((h - n) * z * (1 - z)) @ U_z + np.diag((1 - z) * (1 - n**2)) @ M
    assert numeric(lambda at: gru_step(gru, x, at)[-1], h) == pytest.approx(J, abs=1e-8)
    # the backward pass of the page is its transpose
    h_bar = rng.standard_normal(H)
    delta_z, delta_n = h_bar * (h - n) * z * (1 - z), h_bar * (1 - z) * (1 - n**2)
    delta_r = delta_n * q * r * (1 - r)
    back = z * h_bar + U_z.T @ delta_z + U_r.T @ delta_r + U_n.T @ (r * delta_n)
    assert back == pytest.approx(J.T @ h_bar)
    _, (found,), grads = gru.step_backward((h_bar[None],), gru.step(x[None], (h[None],))[1])
    assert found[0] == pytest.approx(back)
    deltas = np.concatenate([delta_r, delta_z, r * delta_n])
    assert grads["W_h"] == pytest.approx(np.outer(deltas, h))


def test_lstm_backward_by_the_formulas_of_the_page(lstm):
    rng = np.random.default_rng(3)
    x, h, c = rng.standard_normal(D), rng.standard_normal(H), rng.standard_normal(H)
    h_bar, c_bar = rng.standard_normal(H), rng.standard_normal(H)
    p = blocks(lstm, "ifgo")
    a = {k: p[k][0] @ x + p[k][1] @ h + p[k][2] for k in "ifgo"}
    i, f, o, g = sigmoid(a["i"]), sigmoid(a["f"]), sigmoid(a["o"]), np.tanh(a["g"])
    new_c = f * c + i * g
    total = c_bar + h_bar * o * (1 - np.tanh(new_c) ** 2)
    delta = {
        "o": h_bar * np.tanh(new_c) * o * (1 - o), "f": total * c * f * (1 - f), "i": total * g * i * (1 - i),
        "g": total * i * (1 - g**2),
    }  # fmt: skip
    saved = lstm.step(x[None], (h[None], c[None]))[1]
    _, (h_back, c_back), grads = lstm.step_backward((h_bar[None], c_bar[None]), saved)
    assert c_back[0] == pytest.approx(f * total)
    assert h_back[0] == pytest.approx(sum(p[k][1].T @ delta[k] for k in "ifgo"))
    assert grads["b"] == pytest.approx(np.concatenate([delta[k] for k in "ifgo"]))
    straight = numeric(lambda at: lstm.step(x[None], (h[None], at[None]))[0][1][0], c)
    assert straight == pytest.approx(np.diag(f), abs=1e-8)


def test_an_open_gate_makes_the_whole_jacobian_of_gru_nearly_the_identity(gru, lstm):
    rng = np.random.default_rng(4)
    x, h, c = rng.standard_normal(D), rng.uniform(-1, 1, H), rng.standard_normal(H)
    gru.params["b"][H : 2 * H] = 12.0
    J = numeric(lambda at: gru_step(gru, x, at)[-1], h)
    assert pytest.approx(np.eye(H), abs=1e-3) == J
    lstm.params["b"][H : 2 * H] = 12.0
    through_h = numeric(lambda at: lstm.step(x[None], (at[None], c[None]))[0][1][0], h)
    assert np.abs(through_h).max() > 0.01


def test_one_step_in_numbers():
    assert_said(PAGE, 0.9 * 0.8 - 0.1 * 1, digits=2)
    assert f"{0.9 * 0.8 - 1:.2f}" == "-0.28"
    assert "$-0{,}28$" in PAGE


def test_conventions(gru):
    x, h = np.ones(D), np.linspace(-0.5, 0.5, H)
    r, z, q, n, new = gru_step(gru, x, h)
    flipped = GRU(**{name: value.copy() for name, value in gru.params.items()})
    for name in ("W_x", "W_h", "b"):
        flipped.params[name][H : 2 * H] *= -1
    _, other, *_ = gru_step(flipped, x, h)
    assert (1 - other) * h + other * n == pytest.approx(new)  # Chung's z
    # the place of r: equal for equal components and b_hn = 0, else not
    W_n, U_n, b_n = blocks(gru, "rzn")["n"]
    for gate in (np.ones(H), np.full(H, 0.3)):
        assert U_n @ (gate * h) == pytest.approx(gate * (U_n @ h))
    assert not np.allclose(U_n @ (r * h), r * (U_n @ h))
    # r = 1, z = 0 is the plain network; r = 0 does not see the past
    gru.params["b"][:H], gru.params["b"][H : 2 * H] = 50.0, -50.0
    plain = np.tanh(W_n @ x + b_n + U_n @ h + gru.params["b_hn"])
    assert gru_step(gru, x, h)[-1] == pytest.approx(plain)
    gru.params["b"][:H] = -50.0
    assert gru_step(gru, x, h)[-1] == pytest.approx(np.tanh(W_n @ x + b_n))


def test_parameters():
    counts = {kind: sum(p.numel() for p in getattr(torch.nn, kind)(512, 512).parameters()) for kind in ("LSTM", "GRU")}
    for kind, gates in (("LSTM", 4), ("GRU", 3)):
        assert counts[kind] == gates * 512 * (512 + 512 + 2)
        assert spelled(counts[kind]) in PAGE
    assert counts["LSTM"] * 3 == counts["GRU"] * 4
    ours = {cell: cell.random(512, 512, np.random.default_rng(0)).count() for cell in (RNN, LSTM)}
    assert ours[LSTM] == 4 * ours[RNN] == 2_099_200
    for count in (512 * 1024, 512 * 1026, ours[LSTM]):
        assert spelled(count) in PAGE

    def gru_of(width):
        return 3 * width * (512 + width + 2)

    assert gru_of(618) <= counts["LSTM"] < gru_of(619)
    assert "618" in PAGE
    # matrix FLOPs of a step: a multiply-add is 2, one for each weight
    for kind, flops in (("LSTM", 8), ("GRU", 6)):
        weights = getattr(torch.nn, kind)(D, H, bias=False).parameters()
        assert 2 * sum(w.numel() for w in weights) == flops * H * (D + H)
        assert f"${flops}H(d+H)$" in PAGE


def test_the_second_block_of_biases_of_pytorch_keeps_the_memory():
    for kind in (torch.nn.LSTM, torch.nn.GRU):
        layer = kind(D, H).double()
        with torch.no_grad():
            for weights in layer.parameters():
                weights.zero_()
            layer.bias_ih_l0[H : 2 * H] = 1
            state = torch.full((1, 1, H), 0.5).double()
            before = (torch.zeros_like(state), state) if kind is torch.nn.LSTM else state
            after = layer(torch.zeros(1, 1, D).double(), before)[1]
        after = after[1] if kind is torch.nn.LSTM else after
        assert after.numpy() == pytest.approx(0.5 * sigmoid(1))


# Memory


def test_half_lives():
    assert_said(PAGE, math.log(0.5) / math.log(0.9), digits=1)
    assert round(math.log(0.5) / math.log(0.99)) == 69
    assert_said(PAGE, sigmoid(1), digits=2)
    f = 2 ** (-1 / 69)
    assert round(f, 2) == 0.99
    assert_said(PAGE, math.log(f / (1 - f)), digits=1)
    assert round(0.25 / (0.99 * 0.01)) == 25
    assert tm_15.kept(0.5, 20) < 1e-6 < tm_15.kept(0.5, 19)
    assert tm_15.kept(0.99, 100) > 1 / 3


def test_gates_start_at_a_half():
    torch.manual_seed(0)
    cell = GRU.from_torch([w.detach().numpy() for w in torch.nn.GRUCell(64, 64).parameters()])
    h = unroll(cell, np.random.default_rng(0).standard_normal((20, 1, 64)))[0][-1][0]
    _, z, *_ = gru_step(cell, np.zeros(64), h)
    assert z.mean() == pytest.approx(0.5, abs=0.02)


# Counting


def test_states_of_gru_are_bounded_and_cells_of_lstm_count(gru, lstm):
    X = 10 * np.random.default_rng(0).standard_normal((300, 8, D))
    assert np.abs(unroll(gru, X)[0]).max() <= 1
    state = lstm.initial(8)
    for t, x in enumerate(X, start=1):
        state, _ = lstm.step(x, state)
        assert np.abs(state[1]).max() <= t
    lstm.params["W_x"][:], lstm.params["W_h"][:] = 0, 0
    lstm.params["b"][:] = 50.0  # f = i = 1, g = 1
    (_, c) = unroll(lstm, np.zeros((300, 1, D)))[1]
    assert c == pytest.approx(300)


def test_levels_of_a_gru_counter():
    steps = np.arange(1, 60)
    assert np.diff(tm_15.gru_counter(0.9, np.arange(60))) == pytest.approx(0.1 * 0.9 ** (steps - 1))
    grid = np.linspace(0.001, 0.999, 9999)
    for N in (5, 37):
        assert grid[((1 - grid) * grid ** (N - 1)).argmax()] == pytest.approx(1 - 1 / N, abs=1e-3)
    last = {N: (1 - 1 / N) ** (N - 1) / N for N in (37, 38)}
    assert last[37] >= 0.01 > last[38]
    assert last[37] == pytest.approx(1 / (math.e * 37), rel=0.02)
    assert "$37$" in PAGE and 2 / 0.01 == 200
    assert np.float32(2**24) + np.float32(1) == np.float32(2**24)
    assert np.float32(2**24 - 1) + np.float32(1) == 2**24
    assert spelled(2**24) in PAGE
    assert torch.sigmoid(torch.tensor(17.0)) > 0.9999999
    assert torch.sigmoid(torch.tensor(16.0)) < 1
    assert torch.sigmoid(torch.tensor(17.5)) == 1


def test_gru_tells_a_thousand_from_its_neighbours_in_float32():
    z, h, levels = np.float32(0.999), np.float32(0), []
    for _ in range(1002):
        levels.append(h)
        h = z * h + (1 - z)
    gaps = np.diff(levels)
    assert gaps.min() > 3e-4
    assert gaps[999] == pytest.approx(0.001 * 0.999**999, rel=0.01)
    assert f"{0.001 * 0.999**999:.1e}" == "3.7e-04" and r"3{,}7\cdot10^{-4}" in PAGE


def test_a_gru_that_starts_outside_the_segment_stays_within_its_start(gru):
    h = np.full((1, H), 3.0)
    for x in np.random.default_rng(0).standard_normal((50, 1, D)):
        ((h,), _) = gru.step(x, (h,))
        assert np.abs(h).max() <= 3


def test_coupled_gates_of_lstm_are_bounded_by_one():
    rng, c = np.random.default_rng(0), np.zeros(4)
    for _ in range(1000):
        f, g = rng.uniform(size=4), rng.uniform(-1, 1, 4)
        c = f * c + (1 - f) * g
        assert np.abs(c).max() <= 1


def test_limits_of_the_figure():
    lstm, gru, rnn = (tm_15.limits(kind) for kind in counting.KINDS)
    assert (min(lstm), max(lstm)) == (31, 48)
    assert (min(gru), max(gru)) == (22, 23)
    assert (min(rnn), max(rnn)) == (2, 28)
    assert sum(n > max(gru) for n in rnn) == 2
    assert sum(n < counting.TRAINED for n in rnn) == 2
    assert "$31$–$48$" in PAGE


def test_trajectories_of_the_figure():
    cells = counting.counting("LSTM", tm_15.shown_seed("LSTM"))["states"]
    line, back = cells[: counting.SHOWN, 3], cells[counting.SHOWN :, 3]  # the fourth colour
    t = np.arange(counting.SHOWN)
    assert np.corrcoef(t, line)[0, 1] < -0.999
    assert np.corrcoef(t, back)[0, 1] > 0.999
    up, down = np.abs(np.diff(line)).mean(), np.diff(cells[counting.SHOWN - 1 :, 3]).mean()
    assert_said(PAGE, up, down, digits=2)
    states = counting.counting("GRU", tm_15.shown_seed("GRU"))["states"]
    assert np.abs(states).max() <= 1
    early, late = np.abs(np.diff(states[:10], axis=0)).max(), np.abs(np.diff(states[20:30], axis=0)).max()
    assert late < 0.1 * early
    slowed = np.abs(states[29] - states[24]) / np.abs(states[9] - states[4]).clip(1e-6)
    assert (slowed[1:] < 0.75).all()  # the first is at -1 from the fifth letter


def test_gates_of_the_figure():
    lstm, gru = (tm_15.gate_means(kind) for kind in ("LSTM", "GRU"))
    assert (lstm["a"] > 0.9).all(axis=1).sum() == 13
    assert len(lstm["a"]) == 16
    assert (lstm["b"] > 0.9).all(axis=1).sum() >= 8
    for phase in "ab":
        assert gru[phase].sum(axis=1) == pytest.approx(1, abs=1e-5)
