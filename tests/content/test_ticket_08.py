"""Every number and every claim of ticket-08 that can be computed is computed here."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from scripts.dl import decoding, recurrent
from scripts.dl.activations import sigmoid
from scripts.dl.decoding import Hypothesis
from scripts.dl.linear_recurrence import parallel, sequential
from scripts.dl.recurrent import GRU, LSTM, RNN, bptt, unroll
from scripts.experiments import brackets, copy_task, gradient_lag, reversal
from scripts.figures import ticket_08 as page
from tests.content.page import assert_said, printed

TEXT = printed("tickets/08-rnn.md")


def said(*texts):
    """Each text stands on the page as it is."""
    for text in texts:
        assert text in TEXT, text


# The network and its backward pass


def test_perplexity_of_guessing_and_of_certainty():
    for vocabulary in (10, 50_000):
        losses = np.full(7, -math.log(1 / vocabulary))
        assert math.exp(losses.mean()) == pytest.approx(vocabulary)
    assert math.exp(-math.log(1.0)) == 1


def test_recursion_of_the_page_is_the_gradient():
    """δ_t from q̄_t and δ_{t+1}, and the four sums, against autograd; softmax with cross-entropy gives p - y."""
    rng = np.random.default_rng(0)
    T, d, H, m = 6, 3, 4, 5
    shapes = {"xh": (H, d), "hh": (H, H), "b": (H,), "hq": (m, H), "bq": (m,)}
    w = {name: torch.tensor(0.5 * rng.standard_normal(s), requires_grad=True) for name, s in shapes.items()}
    x, y = rng.standard_normal((T, d)), rng.integers(m, size=T)
    inputs = torch.tensor(x, requires_grad=True)
    h, states, logits = torch.zeros(H, dtype=torch.float64), [], []
    for t in range(T):
        h = torch.tanh(w["xh"] @ inputs[t] + w["hh"] @ h + w["b"])
        states.append(h)
        logits.append(w["hq"] @ h + w["bq"])
    nn.functional.cross_entropy(torch.stack(logits), torch.tensor(y), reduction="sum").backward()

    hs = torch.stack(states).detach().numpy()
    q_bar = torch.softmax(torch.stack(logits), dim=1).detach().numpy() - np.eye(m)[y]
    W_hh, W_hq = w["hh"].detach().numpy(), w["hq"].detach().numpy()
    delta = np.zeros((T + 1, H))
    for t in reversed(range(T)):
        delta[t] = (1 - hs[t] ** 2) * (W_hq.T @ q_bar[t] + W_hh.T @ delta[t + 1])
    previous = np.vstack([np.zeros(H), hs[:-1]])
    for name, ours in {
        "hh": delta[:T].T @ previous,
        "xh": delta[:T].T @ x,
        "hq": q_bar.T @ hs,
        "b": delta.sum(axis=0),
        "bq": q_bar.sum(axis=0),
    }.items():
        np.testing.assert_allclose(ours, w[name].grad.numpy(), atol=1e-12)
    np.testing.assert_allclose(delta[:T] @ w["xh"].detach().numpy(), inputs.grad.numpy(), atol=1e-12)


def test_hand_example():
    hand = page.hand_example()
    assert_said(TEXT, *hand["slope"][1:], hand["h"][2], hand["u"].item())
    assert_said(TEXT.replace("{-}", "-"), *np.abs(hand["delta"]))
    assert hand["terms"].sum() == pytest.approx(hand["u"])
    assert hand["terms"][2] == pytest.approx(-0.267, abs=5e-4)
    assert hand["terms"][0] == 0
    assert hand["w"] == pytest.approx(hand["delta"][0])

    def loss(u):
        h = 0.0
        for x in page.HAND_INPUTS:
            h = math.tanh(page.HAND_W * x + u * h)
        return 0.5 * (h - 1) ** 2

    step = 1e-6
    assert (loss(0.8 + step) - loss(0.8 - step)) / (2 * step) == pytest.approx(hand["u"], rel=1e-8)


def test_truncation_keeps_the_state_and_loses_the_far_terms():
    u = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    h = torch.zeros((), dtype=torch.float64)
    for t, x in enumerate(page.HAND_INPUTS):
        h = h.detach() if t == 2 else h
        h = torch.tanh(x + u * h)
    assert h.item() == pytest.approx(page.hand_example()["h"][2])
    (0.5 * (h - 1) ** 2).backward()
    assert u.grad.item() == pytest.approx(page.hand_example()["terms"][2])


def test_forward_mode_gives_the_same_gradient():
    """RTRL of the follow-up on the example with one unit."""
    h = sensitivity = 0.0
    for x in page.HAND_INPUTS:
        new = math.tanh(x + 0.8 * h)
        sensitivity = (1 - new**2) * (0.8 * sensitivity + h)
        h = new
    assert (h - 1) * sensitivity == pytest.approx(page.hand_example()["u"])


def test_costs():
    d = H = 512
    rnn = H * (d + H + 2)
    assert [rnn, 3 * rnn, 4 * rnn] == [525_312, 1_575_936, 2_101_248]
    for kind, expected in ((nn.RNN, rnn), (nn.GRU, 3 * rnn), (nn.LSTM, 4 * rnn)):
        assert sum(p.numel() for p in kind(d, H, device="meta").parameters()) == expected
    assert 4 * H * (d + H + 1) == 2_099_200
    said(r"525\,312", r"1\,575\,936", r"2\,101\,248", r"2\,099\,200")


# Vanishing and exploding


def test_norm_of_the_product_is_bounded():
    rng = np.random.default_rng(0)
    for gain in (0.8, 2.0):
        W = rng.standard_normal((6, 6))
        W *= gain / np.linalg.norm(W, 2)
        for phi_prime, gamma in ((lambda h: 1 - h**2, 1.0), (lambda h: h * (1 - h), 0.25)):
            product = np.eye(6)
            for k in range(1, 9):
                h = rng.uniform(0, 1, 6)
                product = np.diag(phi_prime(h)) @ W @ product
                assert np.linalg.norm(product, 2) <= (gamma * gain) ** k + 1e-12


def test_curves_of_the_jacobians():
    assert_said(TEXT, 2.7, 1.4, digits=1)
    for gain, expected in ((0.9, 2.7e-5), (1.1, 1.4e4)):
        assert gain**100 == pytest.approx(expected, rel=0.02)
    last = {gain: page.jacobian_norms(gain)[-1] for gain in page.TANH_GAINS}
    assert last[0.9] < 1e-20
    assert math.log10(last[1.1]) == pytest.approx(-16, abs=0.5)
    assert last[1.5] < 1e-4
    assert last[3.0] > 1e10
    assert page.jacobian_norms(0.9)[0] <= 0.9 + 1e-12
    assert page.jacobian_norms(1.1, 0.01)[-1] == pytest.approx(6, rel=0.1)


def test_gradients_by_lag():
    names = [name for name, *_ in page.LAG_SERIES] + ["gru", "rnn-orthogonal"]
    median = {name: np.median(gradient_lag.lags(name)["norms"], axis=0) for name in names}
    for name, mantissa, exponent in (
        ("rnn", 3, -13), ("lstm", 2, -11), ("lstm-1", 7, -5), ("gru", 7, -11), ("rnn-orthogonal", 2, -3),
    ):  # fmt: skip
        assert median[name][50] == pytest.approx(mantissa * 10.0**exponent, rel=0.25)
        said(rf"${mantissa}\cdot10^{{{exponent}}}$")
    assert_said(TEXT, median["lstm-3"][50], median["lstm-3"][99], digits=2)
    assert median["gru"][50] < 1e-8 < 1e-3 < median["gru-3"][50]
    assert median["lstm-chrono"][99] > 1e-3
    assert median["rnn-orthogonal"][99] < 1e-4


def test_default_weights_have_a_spectral_radius_below_one():
    H = 400
    W = RNN.random(1, H, np.random.default_rng(0)).params["W_h"]
    assert W.var() == pytest.approx(1 / (3 * H), rel=0.02)
    assert np.abs(np.linalg.eigvals(W)).max() == pytest.approx(3**-0.5, rel=0.08)
    assert_said(TEXT, 3**-0.5, digits=2)
    assert math.log10(0.58**50) == pytest.approx(-12, abs=0.3)


def test_a_cheap_run_of_the_lags():
    rng = np.random.default_rng(0)
    norms = gradient_lag.input_gradients(gradient_lag.make("gru-3", rng), rng.standard_normal((5, 2, 8)))
    assert norms.shape == (5,)
    assert norms.min() > 0


# Cells


def small_lstm(seed=0):
    rng = np.random.default_rng(seed)
    cell = LSTM.random(3, 4, rng)
    return cell, rng


def test_memory_of_the_lstm_has_a_diagonal_jacobian():
    cell, rng = small_lstm()
    x, h, c = rng.standard_normal((1, 3)), rng.standard_normal((1, 4)), rng.standard_normal((1, 4))
    f = cell.gate_values(x, (h, c))["f"][0]

    def after(c):
        return cell.step(x, (h, c))[0][1][0]

    jacobian = np.stack([(after(c + 1e-6 * e) - after(c - 1e-6 * e)) / 2e-6 for e in np.eye(4)], axis=1)
    np.testing.assert_allclose(jacobian, np.diag(f), atol=1e-9)


def test_full_jacobian_of_the_lstm():
    cell, rng = small_lstm(1)
    x, c = rng.standard_normal((1, 3)), 2 * rng.standard_normal((1, 4))
    o = sigmoid(rng.standard_normal((1, 4)))

    def after(c):
        return cell.step(x, (o * np.tanh(c), c))[0][1][0]

    jacobian = np.stack([(after(c + 1e-6 * e) - after(c - 1e-6 * e)) / 2e-6 for e in np.eye(4)], axis=1)
    gate = {name: value[0] for name, value in cell.gate_values(x, (o * np.tanh(c), c)).items()}
    i, f, g = gate["i"], gate["f"], gate["g"]
    U = dict(zip("ifgo", np.split(cell.params["W_h"], 4), strict=True))
    M = np.diag(c[0] * f * (1 - f)) @ U["f"] + np.diag(g * i * (1 - i)) @ U["i"] + np.diag(i * (1 - g**2)) @ U["g"]
    expected = np.diag(f) + M @ np.diag((o * (1 - np.tanh(c) ** 2))[0])
    np.testing.assert_allclose(jacobian, expected, atol=1e-8)


def test_one_step_by_hand():
    c = 0.9 * 2 + 0.5 * 0.8
    assert c == pytest.approx(2.2)
    assert_said(TEXT, 0.6 * math.tanh(c))


def test_forget_gate_numbers():
    assert_said(TEXT, sigmoid(1.0).item(), sigmoid(3.0).item())
    assert sigmoid(math.log(99)).item() == pytest.approx(0.99)
    half_life = {f: math.log(0.5) / math.log(f) for f in (0.5, 0.9, 0.99)}
    assert round(half_life[0.99]) == 69
    assert_said(TEXT, half_life[0.9], digits=1)
    assert half_life[0.5] == 1
    biases = recurrent.forget_bias_chrono(100, 500, np.random.default_rng(0))
    assert sigmoid(biases).max() <= 0.99


def test_default_forget_gate_is_half_open():
    cell, rng = LSTM.random(8, 64, np.random.default_rng(0)), np.random.default_rng(1)
    state, gates = cell.initial(16), []
    for x in rng.standard_normal((30, 16, 8)):
        gates.append(cell.gate_values(x, state)["f"].mean())
        state, _ = cell.step(x, state)
    assert np.mean(gates) == pytest.approx(0.5, abs=0.05)


def test_gru_state_stays_inside_the_unit_interval():
    cell = GRU.random(2, 8, np.random.default_rng(0))
    cell.params["W_x"] *= 50
    H, _, _ = unroll(cell, np.random.default_rng(1).standard_normal((200, 4, 2)))
    assert np.abs(H).max() <= 1


def test_gru_is_a_leaky_mixture_with_a_diagonal_path():
    cell = GRU.random(2, 3, np.random.default_rng(0), keep_bias=60.0)
    h = np.array([[0.3, -0.2, 0.9]])
    (new,), _ = cell.step(np.ones((1, 2)), (h,))
    np.testing.assert_allclose(new, h)


def test_an_lstm_can_count():
    """f = i = 1 and g = ±1: c is the number of a's minus the number of b's."""
    big = 100.0
    W_x = np.zeros((4, 2))
    W_x[2] = big, -big
    cell = LSTM(W_x=W_x, W_h=np.zeros((4, 1)), b=np.array([big, big, 0.0, big]))
    text = "a" * 300 + "b" * 120
    X = np.eye(2)[["ab".index(letter) for letter in text]][:, None]
    _, (_, c), _ = unroll(cell, X)
    assert c.item() == pytest.approx(180)


# Trained networks


def test_table_of_the_copying_task():
    rows = dict(zip([name for name, _ in page.COPY_ROWS], page.copy_accuracy(), strict=True))
    assert np.all(rows["lstm"] < 0.5)
    assert np.all(rows["lstm"][:2] < rows["rnn"][:2])
    for name in ("lstm-3", "lstm-3-closed", "rnn-orthogonal"):
        assert np.all(rows[name][:3] > 0.95)
    for partial in ("lstm-3-closed", "lstm-5"):
        assert rows["lstm-3"][3] < 0.25 < rows[partial][3] < 0.9
    assert np.all(rows["lstm-5-closed"] > 0.95)
    kept = sigmoid(3.0) ** 40, sigmoid(3.0) ** 80, sigmoid(5.0) ** 80
    assert_said(TEXT, *kept, digits=2)
    assert np.all(rows["lstm-chrono"] > 0.95)
    assert np.all(rows["gru-3"] > 0.95)
    assert copy_task.SYMBOLS == 8
    assert copy_task.STEPS == 300
    said("0,125", "после 300 шагов Adam, $H=48$, среднее трёх запусков")


def test_half_open_input_gate_fills_the_cell():
    """Mean |c| before training, after a delay of 80."""
    filled = {}
    for name in ("lstm-3", "lstm-3-closed"):
        torch.manual_seed(0)
        network = copy_task.make(name, 80)
        X, _ = copy_task.draw(200, 80, torch.Generator().manual_seed(0))
        with torch.no_grad():
            filled[name] = network(X)[1][1].abs().mean().item()
    assert filled["lstm-3"] == pytest.approx(1.6, abs=0.1)
    assert filled["lstm-3-closed"] == pytest.approx(0.1, abs=0.03)
    said("$1{,}6$, а с $b_i=-3$ только")


def test_a_cheap_run_of_the_copying_task():
    losses, right = copy_task.train("lstm-chrono", 4, 0, 40)
    assert losses[-1] < losses[0]
    assert 0 <= right <= 1


def test_counter_inside_the_lstm():
    run = brackets.counter()
    unit = run["unit"].item()
    assert_said(TEXT, run["correlation"][unit])
    assert run["accuracy"] > 0.999
    nests = dict(zip(brackets.NESTS.tolist(), run["nests"].tolist(), strict=True))
    assert all(nests[n] == 1 for n in (1, 2, 4, 8))
    assert nests[12] < 1
    written = run["i"] * run["g"]
    letters = np.array(list(brackets.SHOWN))
    assert np.all(np.abs(written[letters == "("] - 0.9) < 0.1)
    assert np.all(np.abs(written[letters == ")"] + 0.85) < 0.12)
    assert np.all(np.abs(written[letters == "x"]) < 0.15)
    inside = page.shown_depths() >= 2
    assert run["f"][inside].min() > 0.9
    assert run["f"].min() == pytest.approx(0.37, abs=0.01)
    opens = int(np.argmin(run["f"]))
    assert letters[opens] == "("
    assert page.shown_depths()[opens] == 1
    assert np.corrcoef(run["c"], page.shown_depths())[0, 1] > 0.97


def test_a_cheap_run_of_the_brackets():
    cell, weights, _ = brackets.train(3, seed=0)
    seen = brackets.watch(cell, brackets.encode("(x)"))
    assert seen["c"].shape == (3, 1, brackets.HIDDEN)
    assert weights.shape == (brackets.HIDDEN,)


def test_reversal_with_and_without_attention():
    lengths = list(reversal.LENGTHS)
    twelve, longest = lengths.index(12), lengths.index(24)
    share = {
        (score, how): np.mean([reversal.reversal(score, read, 64, seed)[how] for seed in range(reversal.SEEDS)], axis=0)
        for score, read in (("none", "before"), ("general", "after"))
        for how in ("greedy", "forced")
    }
    none, attention, forced = (
        share[key][twelve] for key in (("none", "greedy"), ("general", "greedy"), ("none", "forced"))
    )
    flat = " ".join(TEXT.split())
    assert f"верны {round(100 * none)} % букв, с вниманием (general) {round(100 * attention)} %" in flat
    assert f"верны {round(100 * forced)} % вместо {round(100 * none)} %" in flat
    assert f"и с вниманием верны лишь {round(100 * share['general', 'greedy'][longest])} %" in flat
    assert reversal.TRAINED == (4, 12)
    assert reversal.WIDTH == 64


# Wiring and batches


def test_backward_direction_sees_the_future_and_the_forward_one_does_not():
    rng = np.random.default_rng(0)
    cells = [GRU.random(2, 3, rng), GRU.random(2, 3, rng)]
    X = rng.standard_normal((5, 1, 2))
    changed = X.copy()
    changed[3] += 1
    before, after = (recurrent.bidirectional(*cells, sequence, [5]) for sequence in (X, changed))
    np.testing.assert_array_equal(before[:3, :, :3], after[:3, :, :3])
    assert np.abs(before[:3, :, 3:] - after[:3, :, 3:]).min() > 0


def test_forget_bias_is_the_sum_of_two():
    """The follow-up's code, and that ones in both give two."""
    torch.manual_seed(0)
    H = 5
    lstm = nn.LSTM(3, H).double()
    with torch.no_grad():
        lstm.bias_ih_l0[H : 2 * H] = 1.0
        lstm.bias_hh_l0[H : 2 * H] = 0.0
    cell = LSTM.from_torch([w.detach().numpy() for w in lstm.parameters()])
    np.testing.assert_array_equal(cell.params["b"][H : 2 * H], 1.0)
    X = torch.randn(4, 2, 3, dtype=torch.float64)
    np.testing.assert_allclose(unroll(cell, X.numpy())[0], lstm(X)[0].detach().numpy(), atol=1e-12)
    np.testing.assert_array_equal(cell.gate_values(np.zeros((1, 3)), cell.initial(1))["f"], sigmoid(np.ones((1, H))))


def test_a_leaky_state_is_a_gru_without_reset():
    """z = 1 - α, r = 1."""
    cell = GRU.random(2, 3, np.random.default_rng(0))
    cell.params["b"][:3] = 60.0
    (h,), (_, before, r, z, n, _) = cell.step(np.ones((1, 2)), (np.full((1, 3), 0.4),))
    np.testing.assert_allclose(r, 1.0)
    np.testing.assert_allclose(h, before + (1 - z) * (n - before))


def test_last_state_is_the_one_at_the_length():
    torch.manual_seed(0)
    network = nn.LSTM(2, 3).double()
    X = torch.randn(6, 2, 2, dtype=torch.float64)
    lengths = torch.tensor([6, 4])
    X[4:, 1] = 0.0
    _, (last, _) = network(nn.utils.rnn.pack_padded_sequence(X, lengths))
    outputs, (padded, _) = network(X)
    torch.testing.assert_close(last[0, 1], outputs[3, 1])
    assert (padded[0, 1] - last[0, 1]).abs().max() > 1e-3


def test_fresh_masks_erase_memory():
    assert_said(TEXT, 0.8**20)


def test_distances_after_reversing_the_source():
    def distances(source):
        text = source + "abc"
        return [text.index(letter) - text.index(letter.upper()) for letter in "abc"]

    assert distances("ABC") == [3, 3, 3]
    assert distances("CBA") == [1, 3, 5]


# Decoding


def test_beam_beats_greedy_on_the_table():
    greedy = decoding.greedy(page.next_log_probs, page.END, page.LONGEST)
    best, kept = page.searched(page.BEAM)
    assert [page.WORDS[t] for t in greedy.tokens] == ["я", "иду", "домой", "конец"]
    assert [page.WORDS[t] for t in best.tokens] == ["мы", "дома", "конец"]
    assert_said(TEXT, math.exp(best.log_prob), math.exp(greedy.log_prob))
    assert page.searched(1)[0] == greedy
    widest = page.searched(1000)[0]
    assert widest.tokens == best.tokens
    assert all(sum(row.values()) == pytest.approx(1) for row in page.TABLE.values())
    assert len([tokens for tokens in kept if len(tokens) == 2]) == 2


def test_length_normalisation_by_numbers():
    short, long = Hypothesis((1, 0), 2 * math.log(0.3)), Hypothesis((1,) * 10, 10 * math.log(0.7))
    assert math.exp(short.log_prob) == pytest.approx(0.09)
    assert_said(TEXT, math.exp(long.log_prob), digits=3)
    assert short.score(0) > long.score(0)
    assert long.score(1) > short.score(1)
    said(r"$\log0{,}3=-1{,}204$", r"$\log0{,}7=-0{,}357$")
    assert short.score(1) == pytest.approx(-1.204, abs=5e-4)
    assert long.score(1) == pytest.approx(-0.357, abs=5e-4)


# Beside attention, and linear recurrences


def test_flops_meet_at_two_d():
    """A layer of an LSTM with H = d, self-attention (four projections, scores, weighted sums), the FFN of width 4d."""
    d, T = 512, 1024
    assert (
        sum(w.size for name, w in LSTM.random(d, d, np.random.default_rng(0)).params.items() if name != "b") == 8 * d**2
    )

    def lstm(T):
        return 2 * T * 8 * d**2

    def attention(T):
        return 2 * T * 4 * d**2 + 2 * 2 * T**2 * d

    assert lstm(T) == 16 * T * d**2 == attention(T)
    assert attention(T) == 8 * T * d**2 + 4 * T**2 * d
    assert lstm(T - 1) > attention(T - 1)
    assert 2 * T * 2 * d * 4 * d == 16 * T * d**2
    assert all(attention(length) + 16 * length * d**2 > lstm(length) for length in (1, 100, 10_000))


def test_affine_maps_compose():
    rng = np.random.default_rng(0)
    a, u = rng.standard_normal((2, 3)), rng.standard_normal((2, 3))
    h = rng.standard_normal(3)
    np.testing.assert_allclose(a[1] * (a[0] * h + u[0]) + u[1], (a[1] * a[0]) * h + (a[1] * u[0] + u[1]))
    gates, inputs = rng.uniform(0, 1, (1024, 2)), rng.standard_normal((1024, 2))
    states, rounds = parallel(gates, inputs)
    assert rounds == 10
    np.testing.assert_allclose(states, sequential(gates, inputs), atol=1e-12)


def test_selective_step_is_a_gate():
    v = np.linspace(-5, 5, 11)
    step = np.log1p(np.exp(v))
    np.testing.assert_allclose(np.exp(-step), 1 - sigmoid(v))


def test_rnn_gradient_matches_autograd_through_the_shown_loop():
    rng = np.random.default_rng(3)
    cell = RNN.random(2, 3, rng)
    X, bar = rng.standard_normal((4, 2, 2)), rng.standard_normal((4, 2, 3))
    _, _, saved = unroll(cell, X)
    _, _, grads = bptt(cell, saved, bar)
    w = {name: torch.tensor(value, requires_grad=True) for name, value in cell.params.items()}
    h, total = torch.zeros(2, 3, dtype=torch.float64), 0.0
    for x, h_bar in zip(torch.tensor(X), torch.tensor(bar), strict=True):
        h = torch.tanh(x @ w["W_x"].T + h @ w["W_h"].T + w["b"])
        total = total + (h * h_bar).sum()
    total.backward()
    for name, grad in grads.items():
        np.testing.assert_allclose(grad, w[name].grad.numpy(), atol=1e-12)
