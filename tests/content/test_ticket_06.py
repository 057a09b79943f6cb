"""Every number and every claim of ticket-06 that can be computed is computed here."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.dl import average_precision as ap
from scripts.dl import boxes as box
from scripts.dl import structured_dropout as structured
from scripts.dl import transposed_convolution as up
from scripts.dl.focal_loss import focal_loss, prior_bias
from scripts.dl.segmentation_losses import soft_dice
from scripts.dl.segmentation_metrics import confusion_matrix, mean_iou, pixel_accuracy
from scripts.experiments import detector as det
from scripts.experiments import unet_skips as skips
from scripts.figures import ticket_06 as figures
from tests.content.page import assert_said, printed


@pytest.fixture(scope="module")
def page():
    return printed("tickets/06-detection-segmentation.md")


# Boxes


def test_iou_and_giou_by_hand(page):
    one, other = np.array([[0.0, 0, 10, 10]]), np.array([[5.0, 5, 15, 15]])
    assert box.intersection(one, other).item() == 25
    assert box.iou(one, other).item() == pytest.approx(1 / 7)
    assert_said(page, box.giou(one, other).item(), digits=4)
    assert box.giou(one, np.array([[20.0, 0, 30, 10]])).item() == pytest.approx(-1 / 3)


def test_round_trip_of_the_encoding():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (20, 2))
    boxes, anchors = (np.concatenate([corners, corners + rng.uniform(1, 40, (20, 2))], axis=1) for _ in range(2))
    np.testing.assert_allclose(box.decode(box.encode(boxes, anchors), anchors), boxes, atol=1e-12)


def test_figure_sliding():
    found, apart = figures.overlaps(), figures.SHIFTS > 10
    assert np.all(found["iou"][apart] == 0)
    for name in ("giou", "diou"):
        assert np.all(np.diff(found[name]) < 0)
    np.testing.assert_allclose(found["giou"][~apart], found["iou"][~apart])


# Counts of candidates


def test_anchors_of_the_rpn():
    height, width = 600 // 2**4, 1000 // 2**4  # four poolings that round down
    assert (height, width) == (37, 62)
    anchors = box.anchor_grid(height, width, 16, (128, 256, 512), (0.5, 1, 2))
    assert len(anchors) == 20_646
    assert np.sum(np.all((anchors >= 0) & (anchors <= [1000, 600, 1000, 600]), axis=1)) == 8044
    assert (512 * 7 * 7, 21 * 4, 9 * 2, 9 * 4) == (25_088, 84, 18, 36)


def test_candidates_of_one_stage_detectors():
    assert 7 * 7 * 2 == 98
    assert 2 * 5 + 20 == 30
    assert 4 * 38**2 + 6 * (19**2 + 10**2 + 5**2) + 4 * (3**2 + 1) == 8732
    cells = sum(math.ceil(600 / s) * math.ceil(1000 / s) for s in (8, 16, 32, 64, 128))
    assert 9 * cells == 113_193


def test_roi_pool_loses_four_pixels():
    assert 100 / 16 == 6.25
    assert 100 - round(100 / 16) * 16 == 4


# Focal loss


def test_share_of_easy_background(page):
    share = figures.easy_share(np.array([0.01]), gamma=0.0, alpha=0.5).item()
    assert round(100 * share) == 89
    assert round(1e5 * -math.log(0.99)) == 1005
    assert round(100 * -math.log(0.3), 1) == 120.4
    assert_said(page, -math.log(0.99), digits=5)
    assert_said(page, -math.log(0.3), digits=3)
    assert round(100 * figures.easy_share(np.array([0.01]), gamma=2.0, alpha=0.25).item(), 1) == 0.5


def test_powers_of_the_modulating_factor():
    for p, times in ((0.9, 1e2), (0.99, 1e4), (0.5, 4)):
        logit = np.array([math.log(p / (1 - p))])
        plain, focal = (focal_loss(logit, np.ones(1), gamma, 1.0)[0].item() for gamma in (0.0, 2.0))
        assert plain / focal == pytest.approx(times)


def test_hard_examples_gain_gradient():
    logits = np.array([-3.0, 1.0])
    plain, strong = (np.abs(focal_loss(logits, np.ones(2), gamma, 1.0)[1]) for gamma in (0.0, 5.0))
    assert strong[0] > plain[0]
    assert strong[1] < plain[1] / 10


def test_prior_bias(page):
    assert_said(page, prior_bias(0.01), digits=3)
    assert [round(math.log(2), 2), round(-math.log(0.99), 2)] == [0.69, 0.01]


# Detector


def test_figure_detector(page):
    found = det.detections()
    assert int(found["positives"]) == 936
    assert len(found["raw_count"]) == 200
    areas = [ap.average_precision(hits, 936) for hits in found["hits"]]
    assert areas == pytest.approx([0.98, 0.94, 0.61], abs=0.02)
    assert found["hits"][2].sum() / 936 == pytest.approx(0.76, abs=0.02)
    one, moved = np.array([[0.0, 0, 8, 8]]), np.array([[1.0, 0, 9, 8]])
    assert_said(page, box.iou(one, moved).item(), digits=2)
    assert box.iou(one, moved).item() < 0.8
    assert (len(found["raw"]), len(found["final"]), int(figures.verdicts().sum())) == (83, 7, 5)


def test_figure_thresholds():
    found = det.detections()
    by = dict(zip(det.SUPPRESSIONS, found["by_suppression"], strict=True))
    assert [by[t] for t in (0.0, 0.2, 0.3, 0.8, 1.0)] == pytest.approx([0.88, 0.98, 0.98, 0.51, 0.51], abs=0.02)
    assert max(by, key=by.get) in (0.2, 0.3)
    steps = found["by_overlap"]
    for part in (steps[:3], steps[3:6], steps[6:]):
        assert np.ptp(part) < 1e-9  # offsets are whole pixels
    assert steps.mean() == pytest.approx(0.82, abs=0.02)
    assert found["soft"].item() == pytest.approx(0.991, abs=0.003)
    assert max(by.values()) == pytest.approx(0.980, abs=0.003)
    assert found["soft"] > max(by.values())


def test_small_detector_learns():
    """The code of the experiment on few pictures: the raw hits cover the digits, NMS leaves few of them."""
    data = det.digits()
    w, b = det.fit(*det.canvases(data.X_train, 8, 0), steps=20)
    pictures, truths = det.canvases(data.X_test, 4, 1)
    raw = det.raw_hits(pictures, w, b)
    final = det.suppressed(raw, det.CHOSEN)
    assert ap.average_precision(*ap.match_images(final, truths, 0.5)) > 0.6
    assert sum(len(s) for _, s in final) < sum(len(s) for _, s in raw) / 2


def test_shown_digits_do_not_overlap_much():
    _, truths = det.canvases(det.digits().X_test, 20, 1)
    for true in truths:
        assert (box.iou(true, true) - np.eye(len(true))).max() <= 0.15


# Suppression and average precision


def test_soft_nms_of_two_people():
    assert round(math.exp(-(0.6**2) / 0.5), 2) == 0.49


def test_average_precision_by_hand(page):
    hits, positives = figures.HITS, figures.POSITIVES
    precision, recall = ap.precision_recall(hits, positives)
    np.testing.assert_allclose(precision[hits], [1, 1, 3 / 4, 4 / 7])
    np.testing.assert_allclose(recall[hits], [0.2, 0.4, 0.6, 0.8])
    for recalls in (None, ap.VOC07, ap.COCO):
        assert_said(page, ap.average_precision(hits, positives, recalls), digits=4)
    assert ap.average_precision(hits, positives) == pytest.approx(0.6643, abs=5e-5)
    assert ap.average_precision(hits, positives, ap.VOC07) == pytest.approx(0.6948, abs=5e-5)
    assert ap.average_precision(hits, positives, ap.COCO) == pytest.approx(0.6676, abs=5e-5)
    assert ap.average_precision(hits[:-1], positives) == ap.average_precision(hits, positives)


def test_boxes_with_iou_just_over_a_half():
    truths = np.array([[0.0, 0, 100, 100]])
    found = np.array([[0.0, 0, 51, 100]])
    assert box.iou(found, truths).item() == pytest.approx(0.51)
    assert [ap.average_precision(ap.match(found, truths, t), 1) for t in (0.5, 0.75)] == [1, 0]


def test_greedy_nms_loses_a_neighbour_and_soft_nms_does_not():
    pair = np.array([[0.0, 0, 40, 100], [10.0, 0, 50, 100]])
    assert box.iou(pair[:1], pair[1:]).item() == pytest.approx(0.6)
    scores = np.array([0.9, 0.8])
    assert len(box.nms(pair, scores, 0.5)) == 1
    assert box.soft_nms(pair, scores)[1] == pytest.approx(0.8 * math.exp(-0.72))


def test_a_busy_object_voc_and_coco():
    """The second detection overlaps a taken object most and a free one enough: a hit for COCO, a miss for VOC."""
    truths = np.array([[0.0, 0, 10, 10], [3.0, 0, 13, 10]])
    found = np.array([[0.0, 0, 10, 10], [1.0, 0, 11, 10]])
    overlaps = box.iou(found, truths)
    assert list(overlaps.argmax(axis=1)) == [0, 0]
    assert overlaps[1, 1] >= 0.5
    assert list(ap.match(found, truths, 0.5)) == [True, True]


# Segmentation


def test_original_unet_sizes():
    size, skipped = 572, []
    for _ in range(4):
        size -= 4  # two 3×3 convolutions without padding
        skipped.append(size)
        size //= 2
    size -= 4
    for skip in reversed(skipped):
        size *= 2
        assert skip > size  # the encoder's map is cropped
        size -= 4
    assert size == 388


def test_bilinear_masks_invent_classes():
    mask = torch.tensor([[[1.0, 3.0]]])
    assert 2.0 in F.interpolate(mask, size=3, mode="linear", align_corners=True)
    assert set(F.interpolate(mask, size=4, mode="nearest").ravel().tolist()) == {1.0, 3.0}


def test_dice_in_counts():
    rng = np.random.default_rng(0)
    p, g = (rng.integers(0, 2, 100) for _ in range(2))
    tp, fp, fn = np.sum(p * g), np.sum(p * (1 - g)), np.sum((1 - p) * g)
    loss, _ = soft_dice(p, g, epsilon=0.0)
    assert 1 - loss == pytest.approx(tp / (tp + fp / 2 + fn / 2))


def test_matrix_of_the_page():
    matrix = up.convolution_matrix(np.array([1.0, 2, 3]), 4)
    assert matrix.tolist() == [[1, 2, 3, 0], [0, 1, 2, 3]]
    assert not np.allclose(matrix.T @ matrix, np.eye(4))


def test_ways_to_double_seven():
    assert up.output_size(7, 4, stride=2, padding=1) == 14
    assert up.output_size(7, 3, stride=2, padding=1, output_padding=1) == 14
    sizes = {(n + 2 - 3) // 2 + 1 for n in (13, 14)}
    assert sizes == {7}  # both become 7 with k=3, s=2, P=1


def test_transposed_is_convolution_of_a_stuffed_input():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 1, 4, 4)), rng.standard_normal((1, 1, 3, 3))
    stuffed = np.zeros((1, 1, 7, 7))
    stuffed[..., ::2, ::2] = x
    turned = torch.tensor(w[..., ::-1, ::-1].copy())
    expected = F.conv2d(torch.tensor(stuffed), turned, padding=2)
    np.testing.assert_allclose(up.conv_transpose2d(x, w, 2), expected.numpy(), atol=1e-12)


def test_figure_checkerboard():
    sheets = figures.enlarged_ones()
    assert set(np.unique(sheets["three"][1:-1, 1:-1])) == {1, 2, 4}
    assert np.all(sheets["four"][2:-2, 2:-2] == 4)
    assert np.all(sheets["resize"] == 9)


def test_even_kernel_alternates_when_its_pairs_differ():
    kernel = np.array([1.0, 5, 2, 0])
    y = up.convolution_matrix(kernel, 14, stride=2, padding=1).T @ np.ones(7)
    inner = y[2:-2]
    assert set(inner) == {kernel[0] + kernel[2], kernel[1] + kernel[3]}


def test_dice_balances_object_and_background():
    n, m = 1000, 10
    g = np.zeros(n)
    g[:m] = 1
    _, slope = soft_dice(np.full(n, 0.5), g, epsilon=0.0)
    b = n / 2 + m
    assert -slope[:m].sum() == pytest.approx(m * (n + m) / b**2)
    assert slope[m:].sum() == pytest.approx((n - m) * m / b**2)
    assert -slope[:m].sum() / slope[m:].sum() == pytest.approx((n + m) / (n - m))


def test_dice_of_an_empty_mask():
    p = np.full(10, 0.3)
    loss, slope = soft_dice(p, np.zeros(10), epsilon=0.0)
    assert loss == 1
    assert np.all(slope == 0)
    loss, slope = soft_dice(p / 1e6, np.zeros(10), epsilon=1.0)
    assert loss < 1e-5
    assert np.all(slope > 0)


def test_accuracy_of_all_background(page):
    target = np.zeros((10, 10), dtype=int)
    target.flat[:5] = 1
    n = confusion_matrix(target, np.zeros_like(target), 2)
    assert pixel_accuracy(n) == pytest.approx(0.95)
    assert_said(page, mean_iou(n), digits=3)


def test_means_of_iou_and_dice_may_disagree(page):
    first, second = np.array([0.9, 0.3]), np.array([0.59, 0.59])
    dice = [np.mean(2 * i / (1 + i)) for i in (first, second)]
    assert first.mean() > second.mean()
    assert dice[0] < dice[1]
    assert_said(page, first.mean(), second.mean(), *dice, digits=3)


def test_figure_unet_skips():
    late, late_without = figures.quality(1, 900), figures.quality(0, 900)
    assert [late["inside"], late_without["inside"]] == pytest.approx([0.99, 0.99], abs=0.01)
    assert [late["band"], late_without["band"]] == pytest.approx([0.95, 0.86], abs=0.02)
    assert [late["miou"], late_without["miou"]] == pytest.approx([0.93, 0.89], abs=0.02)
    early = [figures.quality(kind, 300)["miou"] for kind in (1, 0)]
    assert early == pytest.approx([0.90, 0.53], abs=0.03)


def test_segmenter_learns_and_the_band_is_near_edges():
    network = skips.trained(True, steps=3)
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, skips.CLASSES, 32, 32)
    labels = np.zeros((1, 8, 8), dtype=int)
    labels[0, :, 4:] = 1
    assert skips.edge_band(labels)[0, 0].tolist() == [False] * 3 + [True] * 2 + [False] * 3


def test_without_skips_the_encoder_map_has_no_effect():
    torch.manual_seed(0)
    network = skips.UNet(skips=False).eval()
    x = torch.randn(1, 1, 32, 32)
    maps = network.encode(x)
    blind = network(x)
    network.encode = lambda _: [torch.full_like(m, 7.0) for m in maps[:-1]] + [maps[-1]]
    torch.testing.assert_close(network(x), blind)


# Regularisation


def test_parameters_of_vgg_16(page):
    widths = [3, 64, 64, 128, 128, *[256] * 3, *[512] * 6]
    convolutions = sum(9 * i * o + o for i, o in zip(widths[:-1], widths[1:], strict=True))
    dense = sum(i * o + o for i, o in ((25_088, 4096), (4096, 4096), (4096, 1000)))
    assert_said(page, convolutions / 1e6, (convolutions + dense) / 1e6, digits=1)


def test_independent_noise_is_averaged_by_the_kernel():
    rng, p, a = np.random.default_rng(0), 0.5, 2.0
    w = np.full(9, 1 / 9)
    single = a * (rng.random((200_000, 9)) >= p) / (1 - p) @ w
    common = a * (rng.random((200_000, 1)) >= p) / (1 - p) * w.sum()
    assert single.var() == pytest.approx(p / (1 - p) * a**2 * np.sum(w**2), rel=0.02)
    assert common.var() == pytest.approx(p / (1 - p) * a**2 * w.sum() ** 2, rel=0.02)
    assert common.var() / single.var() == pytest.approx(9, rel=0.03)


def test_figure_averaged_noise(page):
    assert [figures.noise_left(1, window) for window in (1, 3, 7)] == pytest.approx([1, 1 / 9, 1 / 49])
    assert_said(page, figures.noise_left(1, 7), figures.noise_left(7, 7), digits=2)
    # The formula against masks: means over the middle window of maps of ones.
    rng, block, window, side = np.random.default_rng(0), 3, 5, 11
    gamma = 1 - (1 - figures.SHARE) ** (1 / block**2)
    seeds = rng.random((40_000, side + block - 1, side + block - 1)) < gamma
    views = np.lib.stride_tricks.sliding_window_view(seeds, (block, block), axis=(1, 2))
    mask = ~views.any(axis=(3, 4))
    means = mask[:, 3 : 3 + window, 3 : 3 + window].mean(axis=(1, 2)) / (1 - figures.SHARE)
    left = means.var() / (figures.SHARE / (1 - figures.SHARE))
    assert left == pytest.approx(figures.noise_left(block, window), rel=0.05)


def test_dropout2d_of_an_unbatched_map_drops_rows():
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match="3D input"):
        dropped = torch.nn.Dropout2d(0.5)(torch.ones(4, 6, 5)) == 0
    assert torch.equal(dropped.any(dim=2), dropped.all(dim=2))  # rows are whole
    assert (dropped.any(dim=1) & ~dropped.all(dim=1)).any()  # channels are not


def test_branches_of_stochastic_depth(page):
    kept = np.sum(1 - structured.linear_schedule(54, 0.5))
    assert kept == pytest.approx(54 - 55 / 2 * 0.5)
    assert_said(page, kept, digits=2)


def test_norm_of_a_convolution_and_of_its_kernel():
    ones = torch.ones(1, 1, 3, 3)
    assert torch.linalg.matrix_norm(ones.reshape(1, 9), 2).item() == pytest.approx(3)
    assert F.conv2d(torch.ones(1, 1, 8, 8), ones).unique().tolist() == [9]
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal(3)
    matrix = up.convolution_matrix(kernel, 40, padding=1)
    assert np.linalg.norm(matrix, 2) <= math.sqrt(3) * np.linalg.norm(kernel)  # k places of a row read one value


def test_dropblock_of_the_page(page):
    assert_said(page, structured.seed_rate(0.1, 7, 28, 28), digits=5)
    assert_said(page, structured.realised_share(0.1, 7, 28, 28), digits=3)


def test_figure_structured_dropout(page):
    found = skips.leak(figures.LEAK_STEPS)
    shares = {name: found[name].item() for name in found if found[name].ndim == 0}
    expected = {
        "own_dropout": 0.59, "own_channels": 0.0, "own_blocks": 0.23, "all_channels": 0.68, "all_blocks": 0.68,
        "all_shared": 0.32,
    }  # fmt: skip
    for name, value in expected.items():
        assert shares[name] == pytest.approx(value, abs=0.03)
    assert shares["all_dropout"] > shares["all_channels"]
    assert found["correlation"][1] == pytest.approx(0.57, abs=0.02)
    assert abs(found["correlation"][5]) < 0.05


def test_guessing_sees_structure_only_where_it_is():
    """Smooth maps are guessed from neighbours, white noise is not."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((60, 2, 12, 12))
    smooth = np.stack([noise[..., i : i + 8, j : j + 8] for i in range(5) for j in range(5)]).mean(axis=0)
    kept = rng.random(smooth.shape) > 0.25
    assert skips.guessed(smooth, kept, "own") > 0.7
    assert abs(skips.guessed(noise[..., :8, :8], kept, "own")) < 0.1


def test_orthogonality_beyond_the_dimension_is_impossible():
    rng = np.random.default_rng(0)
    w = rng.standard_normal((5, 3, 1, 1))
    W = w.reshape(5, 3).T
    assert np.linalg.matrix_rank(W.T @ W) < 5
    loss, slope = structured.soft_orthogonality(w, 0.5)
    np.testing.assert_allclose(slope.reshape(5, 3).T, 4 * 0.5 * W @ (W.T @ W - np.eye(5)))
    assert loss > 0


def test_steps_of_a_map_without_late_strides():
    assert (32 // 8) ** 2 == 16
