"""Every number and every claim of tm-09 that can be computed is computed here."""

import math

import numpy as np
import pytest
import torch

from scripts.dl import residual
from scripts.experiments import residual as experiment
from scripts.figures import tm_09
from tests.content.page import assert_said, printed

PAGE = printed("theory-minimum/09-resnet.md")


def random_matrices(count, d, scale, seed=0):
    rng = np.random.default_rng(seed)
    return [scale * rng.standard_normal((d, d)) / math.sqrt(d) for _ in range(count)]


# Architecture

RESNETS = {
    "ResNet-18": ((2, 2, 2, 2), False),
    "ResNet-34": ((3, 4, 6, 3), False),
    "ResNet-50": ((3, 4, 6, 3), True),
    "ResNet-101": ((3, 4, 23, 3), True),
    "ResNet-152": ((3, 8, 36, 3), True),
}


def convolutions(name):
    """(c_in, c_out, kernel, output side, whether a projection) of all convolutions at 224×224, and the last width."""
    blocks, narrow = RESNETS[name]
    layers, width, side = [(3, 64, 7, 112, False)], 64, 56
    for stage, (count, channels) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True)):
        out = 4 * channels if narrow else channels
        for block in range(count):
            side = side // 2 if stage > 0 and block == 0 else side
            if narrow:
                layers += [(width, channels, 1, side, False), (channels, channels, 3, side, False)]
                layers += [(channels, out, 1, side, False)]
            else:
                layers += [(width, channels, 3, side, False), (channels, channels, 3, side, False)]
            if width != out:
                layers.append((width, out, 1, side, True))
            width = out
    return layers, width


@pytest.mark.parametrize("name", RESNETS)
def test_table_of_resnets(name):
    layers, width = convolutions(name)
    parameters = sum(a * b * k * k + 2 * b for a, b, k, _, _ in layers) + 1000 * width + 1000
    products = sum(a * b * k * k * side**2 for a, b, k, side, _ in layers) + 1000 * width
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| {name} |"))
    assert f"${parameters / 1e6:.1f}$".replace(".", "{,}") in row
    assert f"${products / 1e9:.1f}$".replace(".", "{,}") in row
    assert 1 + sum(not projection for *_, projection in layers) == int(name.removeprefix("ResNet-"))


def test_stride_in_the_second_convolution_of_torchvision():
    layers, width = convolutions("ResNet-50")
    products = sum(a * b * k * k * side**2 for a, b, k, side, _ in layers) + 1000 * width
    for c_in, narrow, side in ((256, 128, 28), (512, 256, 14), (1024, 512, 7)):
        products += c_in * narrow * ((2 * side) ** 2 - side**2)  # the first 1×1 now sees the whole map
    assert_said(PAGE, products / 1e9, digits=1)


def test_projections_are_few():
    count = {name: sum(projection for *_, projection in convolutions(name)[0]) for name in RESNETS}
    assert count["ResNet-34"] == 3
    assert count["ResNet-50"] == 4  # the first stage widens 64 to 256 without shrinking the map


def test_bottleneck():
    ratio = residual.basic_branch_weights(256) / residual.bottleneck_branch_weights(256, 64)
    assert round(ratio) == 17
    assert residual.basic_branch_weights(64) == 73_728
    assert residual.convolution_weights(256, 256, 1) == 65_536
    for count in ("69\\,632", "1\\,179\\,648", "73\\,728", "65\\,536"):
        assert count in PAGE


def test_figure_depth():
    of = {layers: i for i, layers in enumerate(experiment.DEPTHS)}
    median = {kind: np.median(tm_09.accuracies(kind, "train"), axis=1) for kind in tm_09.KINDS}
    assert_said(PAGE, median["plain"][of[20]], median["plain-bn"][of[20]], digits=2)
    assert_said(PAGE, median["plain"][of[30]], median["plain-bn"][of[30]], median["plain-bn"][of[60]], digits=2)
    assert median["plain"][of[60]] < 0.3
    assert all(median[kind][of[4]] > 0.98 for kind in tm_09.KINDS)
    assert median["residual"][of[20]] > 0.95
    assert [experiment.depth("residual", layers)["finite"].sum() for layers in (20, 30, 40, 60)] == [5, 1, 0, 0]
    for kind in ("residual-bn", "scaled", "zero"):
        assert median[kind].min() >= 0.98
        assert np.median(tm_09.accuracies(kind, "test"), axis=1).min() >= 0.96


def test_experiment_learns_at_all():
    """The training behind the records, in a moment: a shallow residual network, one epoch."""
    network, losses = experiment.train("residual-bn", 4, seeds=1, epochs=1)
    assert losses[-3:].mean() < 0.7 * losses[0].item()
    X, y, _, _ = experiment._data()
    assert experiment.accuracies(network, X, y).item() > 0.6


def test_zero_branch_starts_as_the_stem_and_the_head():
    X = experiment._data()[0][:7][None]
    network = experiment.Network("zero", 6, seeds=1)
    states = network.trunk(X)
    assert all(torch.equal(state, states[0]) for state in states)


@pytest.mark.parametrize(("kind", "smallest", "largest"), [("plain", 0.6, 1.3), ("plain-bn", 235, 310)])
def test_norm_of_the_gradient_of_plain_networks_at_the_start(kind, smallest, largest):
    """Norm at the stem over the norm at the top, of 30 layers."""
    X, y, _, _ = experiment._data()
    network = experiment.Network(kind, 30)
    states = network.trunk(X[:256].expand(experiment.SEEDS, -1, -1), training=True)
    for state in (states[0], states[-1]):
        state.retain_grad()
    logits = network.classify(states[-1], training=True)
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), y[:256].repeat(experiment.SEEDS)).backward()
    bottom, top = (state.grad.flatten(1).norm(dim=1) for state in (states[0], states[-1]))
    assert smallest < (bottom / top).min()
    assert (bottom / top).max() < largest


# Gradients


def test_unrolled_sum_and_both_forms_of_the_gradient():
    rng = np.random.default_rng(0)
    chain = [residual.PreActivationBlock(rng.standard_normal((6, 5)), rng.standard_normal((5, 6))) for _ in range(4)]
    states = [rng.standard_normal((3, 5))]
    for block in chain:
        states.append(block.forward(states[-1]))
    branches = [after - before for before, after in zip(states, states[1:], strict=False)]
    np.testing.assert_allclose(states[-1], states[1] + sum(branches[1:]), rtol=1e-12)

    bars = [rng.standard_normal((3, 5))]
    for block in reversed(chain):
        bars.insert(0, block.backward(bars[0])[0])
    through = sum(block.branch_backward(bar) for block, bar in zip(chain, bars[1:], strict=True))
    np.testing.assert_allclose(bars[0], bars[-1] + through, rtol=1e-10)


def test_jacobian_of_linear_blocks_is_the_product():
    d, matrices = 4, random_matrices(5, 4, 0.5)
    x = torch.randn(d, dtype=torch.float64)

    def network(x):
        for W in matrices:
            x = x + torch.tensor(W) @ x
        return x

    product = np.eye(d)
    for W in matrices:
        product = (np.eye(d) + W) @ product
    np.testing.assert_allclose(torch.autograd.functional.jacobian(network, x).numpy(), product, atol=1e-13)


def test_singular_values_of_identity_plus_a_small_matrix():
    for q in (0.1, 0.5, 0.9):
        (J,) = random_matrices(1, 30, 1.0)
        J *= q / np.linalg.norm(J, 2)
        singular = np.linalg.svd(np.eye(30) + J, compute_uv=False)
        assert 1 - q <= singular.min() <= singular.max() <= 1 + q
    assert np.linalg.norm(np.eye(3) - 0.5 * np.eye(3), 2) == 0.5  # a contraction, shortcut or not


def test_one_number_at_the_board():
    assert 20 * math.log10(0.05) == pytest.approx(-26, abs=0.05)
    assert_said(PAGE, 1.05**20, digits=2)
    assert 20 * math.log10(0.5) == pytest.approx(-6, abs=0.05)
    assert_said(PAGE, 1.5**20, digits=0)
    assert (1 - 0.5) ** 20 == 0.5**20


def test_scaled_shortcut_scales_the_clean_term():
    c, n = 0.5, 6
    matrices = random_matrices(n, 4, 0.3)
    top = np.random.default_rng(0).standard_normal(4)
    bar = top
    for W in reversed(matrices):
        bar = c * bar + W.T @ bar
    parts = residual.path_gradients([lambda v, W=W: W.T @ v / c for W in matrices], c**n * top)
    np.testing.assert_allclose(parts.sum(axis=0), bar, atol=1e-13)
    np.testing.assert_allclose(parts[0], c**n * top)


@pytest.mark.parametrize("pre_activation", [True, False])
def test_zero_gamma_makes_the_identity_only_before_activation(pre_activation):
    torch.manual_seed(0)
    x = torch.randn(6, 3, 5, 5)
    norms, convolutions = [torch.nn.BatchNorm2d(3) for _ in range(2)], [
        torch.nn.Conv2d(3, 3, 3, padding=1, bias=False) for _ in range(2)
    ]  # fmt: skip
    torch.nn.init.zeros_(norms[1].weight)
    if pre_activation:
        inner = convolutions[0](torch.relu(norms[0](x)))
        y = x + convolutions[1](torch.relu(norms[1](inner)))
        torch.testing.assert_close(y, x, rtol=0, atol=0)
    else:
        inner = torch.relu(norms[0](convolutions[0](x)))
        y = torch.relu(x + norms[1](convolutions[1](inner)))
        torch.testing.assert_close(y, torch.relu(x), rtol=0, atol=0)


@pytest.mark.parametrize("pre_activation", [True, False])
def test_zero_gamma_before_a_relu_is_dead(pre_activation):
    """The pre-activation branch gets no gradient at all; that of the original block begins with its last gamma."""
    torch.manual_seed(0)
    x = torch.randn(6, 3, 5, 5)
    norms = [torch.nn.BatchNorm2d(3) for _ in range(2)]
    convolutions = [torch.nn.Conv2d(3, 3, 3, padding=1, bias=False) for _ in range(2)]
    torch.nn.init.zeros_(norms[1].weight)
    if pre_activation:
        inner = convolutions[0](torch.relu(norms[0](x)))
        y = x + convolutions[1](torch.relu(norms[1](inner)))
    else:
        inner = torch.relu(norms[0](convolutions[0](x)))
        y = torch.relu(x + norms[1](convolutions[1](inner)))
    (y * torch.randn_like(y)).sum().backward()
    branch = [parameter for layer in (*norms, *convolutions) for parameter in layer.parameters()]
    assert any(parameter.grad.any() for parameter in branch) != pre_activation
    assert norms[1].weight.grad.any() != pre_activation


# Growth


def test_figure_variance():
    assert float(2**40) == pytest.approx(1.1e12, rel=0.01)
    assert tm_09.growth("bare")["forward"][-1] == pytest.approx(1.4e12, rel=0.05)
    normalized, wanted = tm_09.growth("batch-norm"), tm_09.predicted("batch-norm")
    assert_said(PAGE, normalized["forward"][-1], digits=1)
    assert normalized["backward"][0] == pytest.approx(1180, rel=0.02)
    assert_said(PAGE, wanted["backward"][0], math.sqrt(normalized["backward"][0]), digits=0)
    assert wanted["forward"][-1] == 41
    factors = [moments[:-1] / moments[1:] for moments in (normalized["backward"], wanted["backward"])]
    excess = factors[0] / factors[1] - 1
    assert excess[0] == pytest.approx(0.16, abs=0.01)
    assert excess[:5].min() == pytest.approx(0.02, abs=0.01)
    assert abs(excess[5:]).max() < 0.04
    original = tm_09.growth("post")
    assert original["forward"][-1] == pytest.approx(35, abs=1)
    assert original["backward"][0] == pytest.approx(2400, rel=0.03)
    np.testing.assert_allclose(normalized["forward"], wanted["forward"], rtol=0.06)
    np.testing.assert_allclose(normalized["spread"], wanted["spread"], rtol=0.06)
    np.testing.assert_allclose(normalized["backward"][1:], wanted["backward"][1:], rtol=0.5)
    scaled = tm_09.growth("scaled")
    assert_said(PAGE, scaled["forward"][-1], tm_09.predicted("scaled")["forward"][-1], digits=2)
    assert tm_09.predicted("scaled")["forward"][-1] < math.e
    assert scaled["backward"][0] == pytest.approx(2.7, abs=0.2)


def test_branch_variance_and_the_power_of_depth():
    v = tm_09.BRANCH_VARIANCE
    assert_said(PAGE, v, digits=2)
    z = np.random.default_rng(0).standard_normal(1_000_000)
    assert 2 * np.maximum(z, 0).var() == pytest.approx(v, abs=0.005)
    for n in (200, 2000):
        exact = np.prod(1 + 1 / (v * (1 + v * np.arange(n))))
        approximate = (1 + v * n) ** (1 / v**2)
        assert 0.4 < exact / approximate < 0.7  # a constant factor, whatever the depth


def test_bn_branch_weighs_one_over_the_depth():
    spread = tm_09.predicted("batch-norm")["forward"]
    np.testing.assert_allclose(1 / spread[1:], 1 / (1 + np.arange(1, 41)))


def test_halved_sum_keeps_the_variance_and_kills_the_clean_path():
    rng, d, n = np.random.default_rng(0), 400, 10
    x = rng.standard_normal(d)
    start = np.mean(x**2)
    for _ in range(n):
        x = (x + rng.standard_normal((d, d)) @ x / math.sqrt(d)) / math.sqrt(2)
    assert np.mean(x**2) / start == pytest.approx(1, abs=0.4)
    assert math.sqrt(2) ** 40 == pytest.approx(2**20)
    assert float(2**20) == pytest.approx(1e6, rel=0.05)


def test_halved_sum_without_normalisation_is_the_same_network():
    rng, d, n = np.random.default_rng(0), 20, 6
    whole = halved = rng.standard_normal((3, d))
    for _ in range(n):
        block = residual.PreActivationBlock(*(rng.standard_normal((d, d)) * math.sqrt(2 / d) for _ in range(2)))
        whole, halved = block.forward(whole), block.forward(halved) / math.sqrt(2)
    np.testing.assert_allclose(halved, whole / 2 ** (n / 2), atol=1e-12)


def test_zero_last_matrix_learns_and_two_zero_matrices_do_not():
    rng = np.random.default_rng(0)
    x, bar = rng.standard_normal((4, 5)), rng.standard_normal((4, 5))
    block = residual.PreActivationBlock(rng.standard_normal((6, 5)), np.zeros((5, 6)))
    np.testing.assert_array_equal(block.forward(x), x)
    bar_x, bar_W1, bar_W2 = block.backward(bar)
    np.testing.assert_array_equal(bar_x, bar)
    assert not bar_W1.any()
    assert bar_W2.any()
    dead = residual.PreActivationBlock(np.zeros((6, 5)), np.zeros((5, 6)))
    dead.forward(x)
    assert not any(grad.any() for grad in dead.backward(bar)[1:])


# Readings


def test_figure_paths():
    shares, found = tm_09.path_shares(), experiment.dissected()
    assert shares["after"][:11].sum() == pytest.approx(0.98, abs=0.006)
    assert shares["count"][:11].sum() == pytest.approx(0.05, abs=0.002)
    assert_said(PAGE, found["whole"], digits=3)
    assert_said(PAGE, found["one"][0], found["one"][1:].min(), digits=2)
    assert found["plain"].max() < 0.12
    assert found["plain_whole"] > 0.95
    for count in (5, 12):
        assert_said(PAGE, np.median(found["several"][experiment.REMOVED.index(count)]), digits=2)
    assert shares["after"].argmax() == 4
    assert shares["after"][13:].sum() < 0.01


def test_share_of_effective_paths():
    share = sum(math.comb(54, k) for k in range(5, 18)) / 2**54
    assert_said(PAGE, 100 * share, digits=2)


def test_squares_of_orthogonal_paths_give_the_mean_of_the_square():
    """When path vectors are orthogonal, the squared norm of length k is C(n, k) q^2k."""
    n, q = 30, 0.4
    squares = np.array([math.comb(n, k) * q ** (2 * k) for k in range(n + 1)])
    assert squares @ np.arange(n + 1) / squares.sum() == pytest.approx(residual.typical_path_length(q**2, n))


def test_figure_shattered():
    for kind, value in (("shallow", 0.79), ("plain", 0.26), ("residual", 0.68)):
        assert tm_09.autocorrelation(kind)[tm_09.LAG] == pytest.approx(value, abs=0.02)
        assert_said(PAGE, value, digits=2)


def test_correlation_of_gradients_with_independent_masks():
    """One block, W with variance 2 / d, masks of two points drawn independently."""
    rng, d = np.random.default_rng(0), 64
    u = rng.standard_normal(d)
    alone, together = [], []
    for _ in range(3000):
        W = rng.standard_normal((d, d)) * math.sqrt(2 / d)
        masks = rng.random((2, d)) < 0.5
        first, second = (mask * (W.T @ u) for mask in masks)
        alone.append([first @ first, first @ second])
        first, second = u + first, u + second
        together.append([first @ first, first @ second])
    for sums, expected in ((alone, 0.5), (together, 0.75)):
        variance, covariance = np.mean(sums, axis=0)
        assert covariance / variance == pytest.approx(expected, abs=0.03)


def test_correlation_with_batch_norm_and_with_a_scaled_branch():
    def product(n):
        l = np.arange(1, n + 1)  # noqa: E741
        return np.prod((1 + 1 / (2 * l)) / (1 + 1 / l))

    assert product(4000) / product(1000) == pytest.approx(0.5, abs=0.002)  # like 1 / sqrt(n)
    for n in (1, 10, 1000):
        assert ((1 + 1 / (2 * n)) / (1 + 1 / n)) ** n >= math.exp(-0.5)


def test_critical_points_of_a_linear_residual_network():
    n, d = 4, 3
    A = [torch.tensor(J, requires_grad=True) for J in random_matrices(n, d, 0.4)]
    product = torch.eye(d, dtype=torch.float64)
    for J in A:
        product = (torch.eye(d, dtype=torch.float64) + J) @ product
    product.retain_grad()
    ((product - torch.randn(d, d, dtype=torch.float64)) ** 2).sum().backward()
    E, I = product.grad.numpy(), np.eye(d)  # noqa: E741
    for k in range(n):
        P, Q = I, I
        for J in A[k + 1 :]:
            P = (I + J.detach().numpy()) @ P
        for J in A[:k]:
            Q = (I + J.detach().numpy()) @ Q
        np.testing.assert_allclose(A[k].grad.numpy(), P.T @ E @ Q.T, atol=1e-12)
    zero = [torch.zeros(d, d, requires_grad=True) for _ in range(2)]
    ((zero[1] @ zero[0] - torch.eye(d)) ** 2).sum().backward()
    assert not any(W.grad.any() for W in zero)  # the plain network stands still at zero
