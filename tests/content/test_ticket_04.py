"""Every number and every claim of ticket-04 that can be computed is computed here."""

import math

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from scripts.dl import schedules
from scripts.dl.gradcheck import numerical_gradient
from scripts.dl.optimizers import SGD, AdaGrad, Adam, AdamW, newton_schulz
from scripts.figures import ticket_04 as page

KAPPA = 100.0


def steps_needed(rate, accuracy=1e-6):
    return math.log(1 / accuracy) / -math.log(rate)


def first_below(values, threshold):
    """The first step at which a value is below the threshold, or None."""
    below = np.flatnonzero(np.asarray(values) < threshold)
    return int(below[0]) if len(below) else None


# Landscape


def test_leaving_a_saddle():
    assert math.ceil(steps_needed(1 / 1.01)) == 1389


# Gradient descent


@pytest.mark.parametrize(("share", "converges"), [(0.98, True), (1.02, False)])
def test_descent_is_stable_below_two_over_the_largest_curvature(share, converges):
    w = np.array([1.0, 1.0])
    sgd, curvatures = SGD([w], share * 2 / 100), np.array([1.0, 100.0])
    for _ in range(400):
        sgd.step([curvatures * w])
    assert (abs(w[1].item()) < 1e-3) is converges


def test_best_step_of_descent():
    def worst(eta):
        return max(abs(1 - eta * h) for h in np.linspace(1, KAPPA, 500))

    etas = np.linspace(0.001, 0.02, 2000)
    best = etas[np.argmin([worst(eta) for eta in etas])]
    assert best == pytest.approx(2 / (KAPPA + 1), rel=1e-3)
    assert worst(2 / (KAPPA + 1)) == pytest.approx((KAPPA - 1) / (KAPPA + 1))


def test_numbers_of_steps_named_in_the_text():
    root = math.sqrt(KAPPA)
    assert round(steps_needed((KAPPA - 1) / (KAPPA + 1))) == 691
    assert round(steps_needed((root - 1) / (root + 1))) == 69
    assert round(steps_needed(1 - 1 / root)) == 131
    assert KAPPA / 2 * math.log(1e6) == pytest.approx(691, abs=0.5)


def smooth(x):
    """A convex 1-smooth function that is not quadratic, its minimum 0 at 0; gradient beside it."""
    return np.sum(np.sqrt(1 + x**2) - 1), x / np.sqrt(1 + x**2)


def test_descent_lemma_and_the_three_rates():
    h_max, rng = 1.0, np.random.default_rng(0)
    x = start = 5 * rng.standard_normal(4)
    values, squares = [smooth(x)[0]], []
    for k in range(1, 200):
        value, gradient = smooth(x)
        squares.append(gradient @ gradient)
        x = x - gradient / h_max
        new = smooth(x)[0]
        assert new <= value - squares[-1] / (2 * h_max) + 1e-12
        assert new <= h_max * (start @ start) / (2 * k)
        assert new <= h_max / 2 * ((x + gradient / h_max) @ (x + gradient / h_max) - x @ x) + 1e-12
        assert min(squares) <= 2 * h_max * values[0] / k
        values.append(new)
    for _ in range(100):
        x, y = rng.standard_normal((2, 4)) * 3
        (fx, gx), (fy, _) = smooth(x), smooth(y)
        assert fy <= fx + gx @ (y - x) + h_max / 2 * np.sum((y - x) ** 2) + 1e-12


def test_polyak_lojasiewicz_without_convexity():
    """x² + 3 sin² x: not convex, PL holds, and the error falls geometrically."""
    xs = np.linspace(-10, 10, 100_001)
    f, slope = xs**2 + 3 * np.sin(xs) ** 2, 2 * xs + 3 * np.sin(2 * xs)
    assert (2 + 6 * np.cos(2 * xs)).min() < 0
    h_max = 8.0
    c = (0.5 * slope**2 / np.maximum(f, 1e-300))[np.abs(xs) > 1e-9].min()
    assert c > 0.15
    x, value = 9.0, 81 + 3 * math.sin(9) ** 2
    for _ in range(50):
        x -= (2 * x + 3 * math.sin(2 * x)) / h_max
        new = x**2 + 3 * math.sin(x) ** 2
        assert new <= (1 - c / h_max) * value + 1e-15
        value = new


def test_loss_curves_of_the_figure():
    curves = {rate: page.training_curve("sgd", "he", rate, 0, page.CURVE_EPOCHS) for rate in page.CURVES}
    assert np.all(np.diff(curves[0.003]) < 0)
    assert curves[0.003][-1] > 1.2
    assert curves[0.05][-1] == pytest.approx(0.1, abs=0.06)
    assert curves[0.6][1:].min() > 0.9
    assert curves[0.6].max() > 2.5
    assert curves[1.5][-1] == pytest.approx(math.log(10), abs=0.02)


def test_too_large_a_step_kills_the_network():
    """The run of the last curve again, to look inside: hidden layers that are zero on every digit."""
    X, Y = page._training_set()
    rng = np.random.default_rng(0)
    net = page.MLP(page.WIDTHS, page.RELU, page.INITIALIZERS["he"], rng)
    sgd = SGD([*net.weights, *net.biases], 1.5)
    with np.errstate(all="ignore"):
        for _ in range(3):
            order = rng.permutation(len(X))
            for start in range(0, len(X) - page.BATCH + 1, page.BATCH):
                chosen = order[start : start + page.BATCH]
                sgd.step(page._loss_and_gradients(net, X[chosen], Y[chosen])[1])
    outputs = net.forward(X)
    active = [float((z > 0).mean()) for z in net.preactivations[:-1]]
    assert min(active) == 0
    assert np.ptp(outputs, axis=0).max() < 1e-9  # the same answer to every digit
    assert np.abs(page.softmax_cross_entropy(outputs, Y)[0] - math.log(10)) < 0.05


# Noise


def test_variance_of_a_batch_gradient():
    rng = np.random.default_rng(0)
    gradients = rng.standard_normal(60)
    variance, size = gradients.var(), 12
    independent = [rng.choice(gradients, size).mean() for _ in range(40_000)]
    shuffled = [rng.permutation(gradients)[:size].mean() for _ in range(40_000)]
    assert np.mean(independent) == pytest.approx(gradients.mean(), abs=0.01)
    assert np.var(independent) == pytest.approx(variance / size, rel=0.04)
    assert np.var(shuffled) == pytest.approx(variance / size * (60 - size) / 59, rel=0.04)


@pytest.mark.parametrize(("name", "eta", "floor"), [("large", 0.4, 0.25), ("small", 0.1, 0.0526)])
def test_noise_floor(name, eta, floor):
    assert page.noise_floor_of(eta) == pytest.approx(floor, abs=5e-5)
    assert np.mean(page.noise_run(name)[100:]) == pytest.approx(floor, rel=0.04)
    assert 0.5 * page.noise_floor_of(1e-3) == pytest.approx(1e-3 / 4, rel=1e-3)


def test_interpolation_has_no_noise_floor():
    rng = np.random.default_rng(0)
    X, target = rng.standard_normal((20, 8)), rng.standard_normal(8)
    y, noise = X @ target, rng.standard_normal(20)
    errors = {}
    for name, labels in (("interpolates", y), ("cannot", y + noise)):
        w, best = np.zeros(8), np.linalg.lstsq(X, labels, rcond=None)[0]
        sgd = SGD([w], 0.05)
        for _ in range(6000):
            i = rng.integers(20)
            sgd.step([(X[i] @ w - labels[i]) * X[i]])
        errors[name] = np.linalg.norm(w - best)
    assert errors["interpolates"] < 1e-10
    assert errors["cannot"] > 0.05


def test_step_of_one_over_t_averages_the_noise():
    h, noise = 2.0, np.random.default_rng(0).standard_normal(50)
    w = np.array([7.0])
    sgd = SGD([w], 0.0)
    for t, xi in enumerate(noise, 1):
        sgd.lr = 1 / (h * t)
        sgd.step([h * w + xi])
        np.testing.assert_allclose(w, -np.sum(noise[:t]) / (h * t), atol=1e-12)


def test_convex_bound_of_sgd_is_least_at_the_named_step():
    R, G, k = 3.0, 2.0, 100
    etas = np.geomspace(1e-3, 1e1, 100_001)
    bound = R**2 / (2 * etas * k) + etas * G**2 / 2
    assert etas[bound.argmin()] == pytest.approx(R / (G * math.sqrt(k)), rel=1e-3)
    assert bound.min() == pytest.approx(R * G / math.sqrt(k))


@pytest.mark.parametrize(
    ("rate", "power"),
    [(lambda t: 0.5 / math.sqrt(t), -0.5), (lambda t: 0.25 / t, -0.5), (lambda t: 1 / t, -1.0)],
)
def test_second_condition_of_robbins_and_monro_is_not_necessary(rate, power):
    """Variance on ½w² under decaying steps: 1/√t converges too, and 1/t with a small constant is as slow."""
    variance, seen = 9.0, {}
    for t in range(1, 100_001):
        variance = (1 - rate(t)) ** 2 * variance + rate(t) ** 2
        seen[t] = variance
    assert math.log10(seen[100_000] / seen[10_000]) == pytest.approx(power, abs=0.01)


def test_slowly_falling_step_follows_its_floor():
    variance = 9.0
    for t in range(1, 100_001):
        eta = 0.5 / math.sqrt(t)
        variance = (1 - eta) ** 2 * variance + eta**2
    assert variance == pytest.approx(eta / 2, rel=0.01)


def test_decayed_step_lowers_the_floor():
    assert page.decayed_rate(50) == pytest.approx(0.4)
    assert page.noise_run("decayed")[-1] == pytest.approx(0.006, abs=0.001)


@pytest.mark.parametrize(("eta", "mu"), [(0.01, 0.9), (0.4, 0.5), (0.1, 0.0)])
def test_noise_floor_of_the_heavy_ball(eta, mu):
    """The formula of the follow-up against the exact stationary covariance of (w, previous w)."""
    h, a = 1.0, 1 + mu - eta
    step = np.array([[a, -mu], [1.0, 0.0]])
    noise = np.array([[eta**2, 0.0], [0.0, 0.0]])
    covariance = np.linalg.solve(np.eye(4) - np.kron(step, step), noise.ravel())
    assert page.noise_floor_of(eta, mu, h) == pytest.approx(covariance[0], rel=1e-9)
    small = 1e-4
    assert page.noise_floor_of(small * (1 - mu), mu) == pytest.approx(page.noise_floor_of(small), rel=1e-3)


# Momentum


def test_roots_of_the_heavy_ball():
    method = page.METHODS["heavy-ball"]
    assert math.sqrt(method.mu) == pytest.approx(9 / 11)
    assert method.eta == pytest.approx(4 / 121)
    for h in (1.5, 7.0, 40.0, 99.0):
        assert page.mode_radius(method, h) == pytest.approx(9 / 11, abs=1e-9)
    for h in (1.0, 100.0):
        assert (1 + method.mu - method.eta * h) ** 2 == pytest.approx(4 * method.mu)
    assert page.mode_radius(method, 130.0) > 9 / 11


@pytest.mark.parametrize(("factor", "stable"), [(0.999, True), (1.001, False)])
def test_heavy_ball_is_stable_up_to_twice_one_plus_mu(factor, stable):
    mu = 0.9
    assert (page.mode_radius(page.Linear(factor * 2 * (1 + mu), mu), 1.0) < 1) is stable


def test_radii_of_the_figure():
    assert page.mode_radius(page.METHODS["gd-best"], 1.0) == pytest.approx(99 / 101)
    assert page.mode_radius(page.METHODS["nesterov"], 1.0) == pytest.approx(0.9, abs=1e-6)
    assert max(page.radii("nesterov")[1]) == pytest.approx(0.9, abs=1e-6)
    assert page.mode_radius(page.METHODS["nesterov"], 100.0) == pytest.approx(0.0, abs=1e-9)


def test_two_forms_of_nesterov():
    rng = np.random.default_rng(0)
    H = np.diag([1.0, 30.0])
    eta, mu = 0.02, 0.8
    w, u = rng.standard_normal(2), np.zeros(2)
    ahead = w.copy()
    sgd = SGD([ahead], eta, momentum=mu, nesterov=True)
    for _ in range(50):
        u = mu * u - eta * (H @ (w + mu * u))
        w = w + u
        sgd.step([H @ ahead])
        np.testing.assert_allclose(ahead, w + mu * u, atol=1e-12)


def test_heavy_ball_of_lessard_cycles():
    def slope(x):
        return 25 * x if x < 1 else x + 24 if x < 2 else 25 * x - 24

    assert pytest.approx(1 / 9) == 4 / (5 + 1) ** 2
    ends = {}
    for name, eta, mu in (("ball", 1 / 9, 4 / 9), ("descent", 2 / 26, 0.0)):
        x = np.array([3.3])
        sgd, path = SGD([x], eta, momentum=mu), []
        for _ in range(600):
            sgd.step([np.array([slope(x[0])])])
            path.append(x[0])
        ends[name] = path[-3:]
    assert sorted(ends["ball"]) == pytest.approx([-1.802, 0.647, 2.116], abs=5e-4)
    cycle = ends["ball"]
    start = int(np.argmax(cycle))
    assert [cycle[(start + k) % 3] for k in range(3)] == pytest.approx([2.116, 0.647, -1.802], abs=5e-4)
    assert abs(ends["descent"][-1]) < 1e-9


def test_race_in_the_valley():
    losses = {name: np.array([page.valley(w) for w in page.valley_path(name)]) for name in page.RACERS}
    reached = {name: first_below(values, 1e-6 * values[0]) for name, values in losses.items()}
    assert reached == {"gd": 346, "heavy-ball": 56, "adam": 164, "rmsprop": None}
    assert losses["heavy-ball"].max() / losses["heavy-ball"][0] == pytest.approx(7, abs=0.3)
    assert losses["rmsprop"][300:].mean() == pytest.approx(0.23, abs=0.01)
    path, _ = page.follow(page.VALLEY_RACERS["gd"], page.valley_gradient, page.VALLEY_START, 700)
    distance = np.linalg.norm(path, axis=1)
    assert first_below(distance, 1e-6 * distance[0]) == pytest.approx(691, abs=1)


# Adaptive methods and Adam


def test_races_on_the_curved_valley():
    losses = {name: np.array([page.banana(w) for w in page.banana_path(name)]) for name in page.RACERS}
    assert first_below(losses["heavy-ball"], 1e-6) == pytest.approx(769, abs=2)
    assert first_below(losses["adam"], 1e-6) == pytest.approx(1139, abs=3)
    assert first_below(losses["gd"], 1e-6) == pytest.approx(7493, abs=20)
    assert losses["rmsprop"].min() > 1e-3
    assert losses["rmsprop"][-1] == pytest.approx(0.002, abs=2e-4)
    assert losses["adam"][page.BANANA_VALUES] < 1e-8
    assert 0.1 < losses["adam"][page.BANANA_VALUES :].max() < 1
    hessian = np.array([[802, -400], [-400, 200]])
    assert np.linalg.cond(hessian) == pytest.approx(2508, abs=1)
    np.testing.assert_allclose(
        numerical_gradient(page.banana, page.BANANA_START.copy()), page.banana_gradient(page.BANANA_START), rtol=1e-6
    )


def test_adagrad_step_falls_as_the_root():
    w = np.zeros(1)
    adagrad, steps = AdaGrad([w], 0.1), []
    for _ in range(100):
        before = w.copy()
        adagrad.step([np.ones(1)])
        steps.append((before - w).item())
    np.testing.assert_allclose(steps, 0.1 / np.sqrt(np.arange(1, 101)), rtol=1e-6)


def test_first_step_of_adam():
    w, g = np.zeros(4), np.array([1e-3, -5.0, 40.0, -1e4])
    Adam([w]).step([g])
    np.testing.assert_allclose(w, -1e-3 * np.sign(g), rtol=1e-4)
    assert 0.1 / math.sqrt(0.001) == pytest.approx(3.16, abs=0.005)


def test_two_steps_of_adam_by_hand():
    w = np.zeros(1)
    adam, moves, moments = Adam([w], lr=0.1), [], []
    for g in (2.0, -1.0):
        before = w.copy()
        adam.step([np.array([g])])
        moves.append((w - before).item())
        moments.append((adam.state[0].m.item(), adam.state[0].v.item()))
    assert moments == [pytest.approx((0.2, 0.004)), pytest.approx((0.08, 0.004996))]
    assert pytest.approx((0.421, 2.499), abs=5e-4) == (0.08 / 0.19, 0.004996 / 0.001999)
    assert math.sqrt(0.004996 / 0.001999) == pytest.approx(1.581, abs=5e-4)
    assert moves == pytest.approx([-0.1, -0.0266], abs=5e-5)


def test_adam_without_memory_is_sign_descent():
    w = np.zeros(3)
    adam = Adam([w], lr=0.1, betas=(0.0, 0.0))
    for g in ([1.0, -2.0, 30.0], [-5.0, -0.1, 2.0]):
        before = w.copy()
        adam.step([np.array(g)])
        np.testing.assert_allclose(w - before, -0.1 * np.sign(g), rtol=1e-6)


def test_lengths_of_adam_steps():
    raw = page.step_sizes("constant", False)
    assert raw[0] == pytest.approx(3.16, abs=0.005)
    assert raw.max() == pytest.approx(6.57, abs=0.005)
    assert raw.argmax() + 1 == 12
    assert raw[999] > 1.2  # «лишь через тысячи шагов»
    assert raw[-1] < 1.03
    t = np.arange(1, len(raw) + 1)
    np.testing.assert_allclose(raw, (1 - 0.9**t) / np.sqrt(1 - 0.999**t), rtol=1e-6)
    np.testing.assert_allclose(page.step_sizes("constant", True), 1, rtol=1e-6)
    noise = page.step_sizes("noise", True)
    assert noise[0] == pytest.approx(1, abs=1e-6)
    assert noise[39] < 0.25
    assert noise[500:].mean() == pytest.approx(math.sqrt(0.1 / 1.9), rel=0.02)
    assert round(math.sqrt(0.1 / 1.9), 2) == 0.23
    assert page.step_sizes("noise", False)[0] == pytest.approx(3.16, abs=0.005)


def test_adam_with_a_large_epsilon_is_momentum():
    adam_w, sgd_w = np.ones(2), np.ones(2)
    adam = Adam([adam_w], lr=1.0, eps=1e6, correct=False)
    sgd = SGD([sgd_w], lr=0.1 / 1e6, momentum=0.9)  # EMA: (1 - beta1) of the sum
    for _ in range(30):
        adam.step([adam_w * np.array([1.0, 3.0])])
        sgd.step([sgd_w * np.array([1.0, 3.0])])
    np.testing.assert_allclose(adam_w, sgd_w, rtol=1e-9)


def test_adam_depends_on_the_axes():
    counts = []
    for degrees in (0, 30, 45):
        angle = np.deg2rad(degrees)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        H, w = turn @ np.diag([1.0, 100.0]) @ turn.T, turn @ np.array([10.0, 1.0])
        adam, t = Adam([w], 0.3), 0
        while 0.5 * w @ H @ w >= 1e-4:
            adam.step([H @ w])
            t += 1
        counts.append(t)
    assert counts == pytest.approx([122, 164, 198], abs=1)


def test_step_of_adam_may_be_longer_than_the_rate():
    """After long zeros the correction is over, and a lasting gradient repeats the curve without a correction."""
    w = np.zeros(1)
    adam, sizes = Adam([w], lr=1.0), []
    for t in range(20_020):
        before = w.copy()
        adam.step([np.array([float(t >= 20_000)])])
        sizes.append((before - w).item())
    assert sizes[20_000] == pytest.approx(3.16, abs=0.005)
    assert max(sizes) == pytest.approx(6.57, abs=0.005)
    assert np.argmax(sizes[20_000:]) + 1 == 12


def test_outlier_without_clipping():
    rng, count = np.random.default_rng(0), 4000
    w = np.zeros(count)
    adam = Adam([w], lr=1.0)
    for _ in range(6000):
        adam.step([rng.standard_normal(count)])
    start, sizes = w.copy(), []
    for t in range(301):
        before = w.copy()
        adam.step([rng.standard_normal(count) if t else np.full(count, 100.0)])
        sizes.append(np.sqrt(np.mean((w - before) ** 2)))
    assert 0.1 * 100 / math.sqrt(1 + 0.001 * 100**2) == pytest.approx(3.0, abs=0.02)
    assert sizes[0] == pytest.approx(3.0, abs=0.03)
    assert np.mean(start - w) == pytest.approx(30, abs=1)
    assert np.mean(sizes[60:110]) == pytest.approx(0.07, abs=0.005)
    assert np.mean(sizes[250:]) < 0.1  # hundreds of steps later still far from 0.23


def test_zero_gradient_and_no_gradient_differ_in_torch():
    moved = {}
    for none in (True, False):
        w = torch.nn.Parameter(torch.ones(1))
        adamw = torch.optim.AdamW([w], lr=0.1, weight_decay=0.5)
        for _ in range(5):
            w.grad = torch.ones(1)
            adamw.step()
        before = w.item()
        adamw.zero_grad() if none else adamw.zero_grad(set_to_none=False)
        adamw.step()
        moved[none] = abs(w.item() - before)
    assert moved[True] == 0
    assert moved[False] > 0.05


def test_defaults_named_in_the_answer_are_those_of_torch():
    defaults = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))]).defaults
    assert (defaults["lr"], *defaults["betas"], defaults["eps"]) == (1e-3, 0.9, 0.999, 1e-8)


def test_zero_gradient_still_moves_a_weight_of_adam():
    w = np.zeros(1)
    adam = Adam([w], lr=0.1)
    for _ in range(50):
        adam.step([np.ones(1)])
    before = w.copy()
    adam.step([np.zeros(1)])
    assert abs(w - before).item() > 0.05


def test_sensitivity_to_the_rate():
    default = {name: page.final_losses(name, "default") for name in page.TRAINERS}
    he = {name: page.final_losses(name, "he") for name in page.TRAINERS}
    assert default["sgd"].min() == pytest.approx(1.7, abs=0.1)
    assert np.all(np.delete(default["sgd"], 7) > 2.2)
    assert default["momentum"].min() == pytest.approx(0.42, abs=0.05)
    assert page.RATES[int(default["momentum"].argmin())] == pytest.approx(0.1)
    assert default["adam"].min() == pytest.approx(0.14, abs=0.03)
    assert page.RATES[int(default["adam"].argmin())] == pytest.approx(0.01)
    trained = [rate for rate, loss in zip(page.RATES, default["adam"], strict=True) if loss < 0.6]
    assert trained == pytest.approx([1e-3, 10**-2.5, 1e-2, 10**-1.5])
    assert {name: page.RATES[int(losses.argmin())] for name, losses in he.items()} == pytest.approx(
        {"sgd": 0.1, "momentum": 10**-1.5, "adam": 0.01}
    )
    assert max(losses.min() for losses in he.values()) < 0.25
    assert np.all(he["adam"][6:] > 1)  # above its threshold Adam breaks too
    steps = len(page.digits().X_train) // page.BATCH * page.EPOCHS
    assert steps == 108


def reddi(beta2, amsgrad=False, steps=600):
    """Points of Adam or AMSGrad on Reddi's linear losses over [-1, 1]: slopes 3, -1, -1 in turn, eta_t ∝ 1/√t."""
    x = np.zeros(1)
    adam, points = Adam([x], betas=(0.0, beta2), amsgrad=amsgrad), []
    for t in range(1, steps + 1):
        adam.lr = 0.5 / math.sqrt(t)
        adam.step([np.array([3.0 if t % 3 == 1 else -1.0])])
        np.clip(x, -1, 1, out=x)
        points.append(x.item())
    return np.array(points)


def test_reddi_sequence():
    beta2 = 1 / (1 + 3**2)
    assert beta2 == 0.1
    assert reddi(beta2)[-1] == pytest.approx(1.0, abs=0.03)
    assert reddi(beta2, amsgrad=True)[-1] == pytest.approx(-1.0, abs=0.03)


def test_cycle_of_reddi():
    v, steps, averages = 1.0, [], []
    for g in (3.0, -1.0, -1.0) * 20:
        v = 0.1 * v + 0.9 * g**2
        steps.append(-g / math.sqrt(v))
        averages.append(v)
    assert averages[-3:] == pytest.approx([8.21, 1.72, 1.07], abs=0.005)
    assert steps[-3:] == pytest.approx([-1.05, 0.76, 0.97], abs=0.005)
    assert sum(steps[-3:]) > 0.6


@pytest.mark.parametrize("beta2", [0.5, 0.9, 0.99, 0.999])
def test_longer_memory_saves_adam_on_this_problem(beta2):
    assert reddi(beta2, steps=6000)[-1] < -0.95


# Decay


def test_decay_of_the_figure():
    for scale, expected in zip(page.NOISE_SCALES, (0.07, 0.74, 0.97), strict=True):
        assert page.decayed_weights(False, scale)[-1] == pytest.approx(expected, abs=0.005)
        assert page.decayed_weights(True, scale)[-1] == pytest.approx(0.74, abs=0.005)
    assert pytest.approx(math.exp(-0.3), rel=1e-4) == (1 - 1e-4) ** 3000
    np.testing.assert_allclose(page.decayed_weights(True, 0.1), page.decayed_weights(True, 10.0), atol=1e-4)


def test_l2_in_adam_decays_by_the_rate_over_the_noise():
    assert page.decayed_weights(False, 10.0)[-1] == pytest.approx(math.exp(-0.3 / 10), abs=0.01)
    assert [round(math.exp(-0.3 / s), 2) for s in page.NOISE_SCALES] == [0.05, 0.74, 0.97]


def test_memory_of_adamw_weights():
    """A weight is a sum of its steps, each forgotten as exp(-eta lambda age)."""
    assert pytest.approx(10_000) == 1 / (1e-3 * 0.1)
    w = np.array([1.0])
    adamw = AdamW([w], lr=1e-3, weight_decay=0.1)
    for _ in range(10_000):
        adamw.step([np.zeros(1)])
    assert w.item() == pytest.approx(math.exp(-1), rel=1e-3)


def test_l2_of_momentum_decays_faster_by_the_effective_step():
    w = np.ones(1)
    sgd = SGD([w], 1e-4, momentum=0.9, weight_decay=0.1)
    for _ in range(3000):
        sgd.step([np.zeros(1)])
    assert w.item() == pytest.approx(math.exp(-3000 * 1e-4 * 0.1 / (1 - 0.9)), rel=0.01)


def test_adamw_shrinks_by_one_minus_rate_times_decay():
    w = np.array([1.0, -2.0])
    AdamW([w], lr=0.1, weight_decay=0.3).step([np.zeros(2)])
    np.testing.assert_allclose(w, [0.97, -1.94])


# Second order


def test_newton_goes_to_the_saddle_and_descent_away():
    H, w = np.diag([2.0, -1.0]), np.array([1.0, 0.5])
    np.testing.assert_allclose(w - np.linalg.solve(H, H @ w), 0, atol=1e-12)
    assert abs((w - 0.1 * H @ w)[1]) > 0.5


def test_memory_of_newton_and_of_adam():
    assert (1e8) ** 2 * 4 / 1e15 == 40  # petabytes
    assert 7e9 * 16 / 1e9 == 112  # gigabytes
    assert 2 + 2 + 4 + 4 + 4 == 16
    assert page.Adam([np.zeros(3)]).state_numbers() * 4 + 8 == 16
    assert SGD([np.zeros(3)], 0.1, momentum=0.9).state_numbers() * 4 + 8 == 12
    assert Adam([np.zeros(3)], amsgrad=True).state_numbers() * 4 + 8 == 20


def test_muon_is_shampoo_without_memory():
    def power(matrix, exponent):
        values, vectors = np.linalg.eigh(matrix)
        return vectors @ np.diag(values**exponent) @ vectors.T

    G = np.random.default_rng(0).standard_normal((5, 5))
    left, singular, right = np.linalg.svd(G)
    shampoo = power(G @ G.T, -0.25) @ G @ power(G.T @ G, -0.25)
    np.testing.assert_allclose(shampoo, left @ right, atol=1e-8)
    singular = np.linalg.svd(newton_schulz(G), compute_uv=False)
    assert np.all((singular > 0.6) & (singular < 1.3))


# Schedules and batches


def test_schedules_of_the_figure():
    curves = page.schedule_curves()
    for name in ("cosine", "wsd", "noam"):
        assert curves[name].argmax() == pytest.approx(50, abs=1)
        assert curves[name].max() == pytest.approx(1.0)
    assert curves["cosine"][525] == pytest.approx(0.5, abs=0.01)
    eta = schedules.cosine(1.0, 100, 0.1)
    assert [eta(0), eta(50), eta(100)] == pytest.approx([1.0, 0.55, 0.1])
    restarts = np.flatnonzero(np.diff(curves["restarts"]) > 0.5) + 1
    assert restarts.tolist() == [143, 429]
    assert pytest.approx(2000) == 2 / (1 - 0.999)


def test_expected_loss_after_a_noisy_step_is_a_parabola():
    rng = np.random.default_rng(0)
    H, sigma = np.diag([1.0, 4.0]), np.diag([0.5, 2.0])
    w, batch = np.array([1.0, -1.0]), 4
    g = H @ w
    noise_scale = np.trace(H @ sigma) / (g @ H @ g)
    best = (g @ g) / (g @ H @ g) / (1 + noise_scale / batch)

    def drop(eta):
        return eta * g @ g - eta**2 / 2 * (g @ H @ g + np.trace(H @ sigma) / batch)

    noisy = g + rng.standard_normal((200_000, 2)) @ np.sqrt(sigma / batch)
    after = w - best * noisy
    measured = 0.5 * w @ H @ w - np.mean(0.5 * np.sum(after @ H * after, axis=1))
    assert measured == pytest.approx(drop(best), rel=0.01)
    assert drop(best) > max(drop(0.95 * best), drop(1.05 * best))
    infinite = 0.5 * (g @ g) ** 2 / (g @ H @ g)
    assert drop(best) == pytest.approx(infinite / (1 + noise_scale / batch))

    def gain(size):
        return 1 / (1 + noise_scale / size)

    assert gain(noise_scale) == pytest.approx(0.5)  # twice the steps …
    assert gain(noise_scale) / noise_scale == pytest.approx(0.5 * gain(1e-9) / 1e-9)  # … and twice the objects


def test_batch_scaling_of_the_figure():
    steps, rates = page.fewest_steps(), page.best_rates()
    assert steps[0] == pytest.approx(1344, rel=0.1)
    assert steps[-1] == pytest.approx(59, abs=3)
    assert 6 < steps[0] / steps[3] < 10  # eight times the batch
    assert steps[6] / steps[8] < 1.25  # from 64 on nothing is gained
    assert 4 <= rates[3] / rates[0] <= 16  # about eight times, on a grid of powers of two
    assert rates[5:] == pytest.approx([0.8] * 4)


def steps_of_full_descent(rate, seed, limit):
    """Steps of full-batch descent to the target loss, or `limit` if that takes longer."""
    X, Y = page._training_set()
    net = page._small_net(np.random.default_rng(seed))
    sgd = SGD([*net.weights, *net.biases], rate)
    with threadpool_limits(1):
        for steps in range(limit):
            loss, gradients = page._loss_and_gradients(net, X, Y)
            if loss < page.TARGET:
                return steps
            sgd.step(gradients)
    return limit


def test_full_gradient_prefers_the_same_step():
    """Curvature stops the growth of the best step: 1.6 is worse than 0.8 without any noise too."""
    needed = [steps_of_full_descent(0.8, seed, 100) for seed in range(page.BATCH_SEEDS)]
    assert max(needed) < 75
    assert all(steps_of_full_descent(1.6, seed, k + 5) == k + 5 for seed, k in enumerate(needed))


def test_noise_scale_grows_as_training_goes():
    first, last = page.noise_scales()
    assert first == pytest.approx(54, abs=1)
    assert last == pytest.approx(2200, rel=0.02)


def test_noise_scale_against_one_gradient_at_a_time():
    X, Y = page._training_set()
    X, Y = X[:40], Y[:40]
    net = page._small_net(np.random.default_rng(0))
    singles = []
    for i in range(len(X)):
        _, gradients = page._loss_and_gradients(net, X[i : i + 1], Y[i : i + 1])
        singles.append(np.concatenate([g.ravel() for g in gradients]))
    mean = np.mean(singles, axis=0)
    trace = np.sum(np.var(singles, axis=0))
    assert page.gradient_noise_scale(net, X, Y) == pytest.approx(trace / (mean @ mean))


# Edge of stability


def test_sharpness_is_the_largest_eigenvalue():
    """Against an exact Hessian product of automatic differentiation."""
    task = page.FullBatch()
    rng = np.random.default_rng(1)
    value, v = task.sharpness([rng.standard_normal(w.shape) for w in task.parameters], 100)
    parameters = [torch.tensor(w, requires_grad=True) for w in task.parameters]
    a, half = torch.from_numpy(task.X.copy()), len(parameters) // 2
    for layer in range(half):
        a = a @ parameters[layer].T + parameters[half + layer]
        a = torch.tanh(a) if layer < half - 1 else a
    loss = 0.5 * ((a - torch.from_numpy(task.Y)) ** 2).sum(1).mean()
    assert loss.item() == pytest.approx(task.loss_and_gradients()[0])
    gradients = torch.autograd.grad(loss, parameters, create_graph=True)
    norm = math.sqrt(sum(float(np.sum(part**2)) for part in v))
    unit = [torch.from_numpy(part / norm) for part in v]
    product = torch.autograd.grad(sum((g * u).sum() for g, u in zip(gradients, unit, strict=True)), parameters)
    exact = sum((p * u).sum() for p, u in zip(product, unit, strict=True)).item()
    assert value == pytest.approx(exact, rel=1e-5)
    residual = math.sqrt(sum(((p - exact * u) ** 2).sum().item() for p, u in zip(product, unit, strict=True)))
    assert residual < 0.05 * exact  # an eigenvector


def test_edge_of_stability():
    for eta, mean in ((0.15, 13.5), (0.25, 8.1)):
        losses, sharpness = page.edge_run(eta)
        late = sharpness[1000 // page.EDGE_EVERY :]
        assert sharpness[0] == pytest.approx(5.9, abs=0.1)
        assert late.mean() == pytest.approx(mean, abs=0.15)
        assert late.mean() == pytest.approx(2 / eta, rel=0.03)
        assert np.sum(np.diff(losses) > 0) > 500  # not monotone
        assert losses[-1] < 0.1 * losses[0]  # and yet it falls
    assert page.edge_run(0.15)[1].max() == pytest.approx(16.7, abs=0.5)


def test_below_the_edge_and_far_beyond_it():
    losses, sharpness = page.edge_run(0.05)
    assert np.all(np.diff(losses) < 0)
    assert sharpness[-1] == pytest.approx(27, abs=0.5)
    assert losses[-1] > max(page.edge_run(eta)[0][-1] for eta in (0.15, 0.25))
    diverged = page.edge_run(1.0, 200)[0]
    assert len(diverged) - 1 == 5
    assert diverged[-1] > 1e3


def test_thresholds_of_momentum_and_adam():
    assert pytest.approx(38) == 2 * (1 + 0.9) / (1 - 0.9)
