"""Track AP: against the definition on dense masks, and property by property."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vis.support.dense import DenseTrack, dense_metrics, iou
from vis.support.scenes import HEIGHT, WIDTH, Scene, random_scene, track

from vidgap_vis.evaluation.average_precision import METRICS, metric_named
from vidgap_vis.evaluation.overlaps import overlaps
from vidgap_vis.evaluation.youtube_vis import match_tracks, track_metrics
from vidgap_vis.formats.results import Track
from vidgap_vis.formats.rle import Rle

SQUARE = (10, 10, 40, 40)
FAR = (200, 200, 40, 40)


def track_ious(found: list[Track], true: list[Track]) -> np.ndarray:
    return overlaps(1, found, true).track_ious()


def summary(truths: list[Track], predictions: list[Track], video_ids: list[int] | None = None):
    return match_tracks(truths, predictions, video_ids or [1]).summary()


def summary_of(scene: Scene):
    return summary(scene.truths, scene.predictions, scene.video_ids)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), crowds=st.booleans(), tied_scores=st.booleans())
def test_metrics_follow_the_definition_on_dense_masks(seed, crowds, tied_scores):
    scene = random_scene(seed, num_videos=3, num_labels=2, crowds=crowds, tied_scores=tied_scores)
    wanted = dense_metrics(scene.truths, scene.predictions, scene.video_ids, (HEIGHT, WIDTH))
    assert summary_of(scene) == pytest.approx(wanted, abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_track_iou_is_that_of_the_dense_volumes(seed):
    scene = random_scene(seed, num_videos=1, num_labels=1)
    wanted = [
        [iou(DenseTrack(p, (HEIGHT, WIDTH)), DenseTrack(t, (HEIGHT, WIDTH))) for t in scene.truths]
        for p in scene.predictions
    ]
    got = track_ious(scene.predictions, scene.truths)
    assert got.shape == (len(scene.predictions), len(scene.truths))
    assert got.tolist() == wanted  # the same two integers divided


def test_track_iou_counts_a_frame_that_only_one_of_them_has():
    truth = track(1, 0, [SQUARE, SQUARE, None])
    found = track(1, 0, [SQUARE, None, SQUARE])
    assert track_ious([found], [truth]).item() == 1 / 3


def test_two_empty_tracks_have_iou_zero():
    empty = track(1, 0, [None, None])
    assert track_ious([empty], [empty]).item() == 0


def test_an_empty_mask_is_the_same_as_an_absent_one():
    truth = track(1, 0, [SQUARE, SQUARE])
    blank = Rle.encode(np.zeros((HEIGHT, WIDTH), dtype=bool))
    half = Track(1, 0, (truth.masks[0], blank))
    assert track_ious([half], [truth]).item() == 0.5
    by_area = [match_tracks([half], [half], [1]).summary()[name] for name in ("APs", "APm")]
    assert by_area == [1.0, None]


@pytest.mark.parametrize("seed", range(3))
def test_the_truth_as_result_is_perfect(seed):
    scene = random_scene(seed, num_videos=6)
    truths = [t for t in scene.truths if any(t.masks)]
    metrics = summary(truths, truths, scene.video_ids)
    assert metrics["AP"] == metrics["AP50"] == metrics["AP75"] == metrics["AR100"] == 1.0
    assert {metrics[name] for name in ("APs", "APm", "APl")} <= {1.0, None}


def test_no_results_give_zero_where_there_is_truth_and_none_elsewhere():
    metrics = summary([track(1, 0, [SQUARE])], [])
    assert metrics == {
        "AP": 0, "AP50": 0, "AP75": 0, "APs": 0, "APm": None, "APl": None,
        "AR1": 0, "AR10": 0, "AR100": 0,
    }  # fmt: skip


def test_no_truth_at_all_gives_none():
    metrics = summary([], [track(1, 0, [SQUARE])])
    assert metrics == dict.fromkeys(metric.name for metric in METRICS)


@pytest.mark.parametrize(
    ("side", "ranges"),
    [
        (127, {"APs"}),
        (128, {"APs", "APm"}),
        (129, {"APm"}),
        (256, {"APm", "APl"}),
        (257, {"APl"}),
    ],
)
def test_area_ranges_include_both_ends(side, ranges):
    truth = track(1, 0, [(0, 0, side, side), None, (5, 5, side, side)])
    metrics = summary([truth], [truth])
    assert {name for name in ("APs", "APm", "APl") if metrics[name] == 1.0} == ranges


def test_area_is_the_mean_over_visible_frames():
    truth = track(1, 0, [(0, 0, 100, 100), None, None, (0, 0, 200, 200)])  # 25,000 on average
    assert summary([truth], [truth])["APm"] == 1.0


def test_an_unmatched_prediction_outside_the_area_range_is_not_counted():
    truth = track(1, 0, [(0, 0, 200, 200)])
    wrong_and_small = track(1, 0, [(220, 220, 30, 30)], score=0.9)
    metrics = summary([truth], [wrong_and_small, track(1, 0, [(0, 0, 200, 200)], score=0.5)])
    assert metrics["APm"] == 1.0
    assert metrics["AP"] == 0.5


def test_a_duplicate_is_punished():
    truths = [track(1, 0, [SQUARE]), track(1, 0, [FAR])]
    found = [track(1, 0, [SQUARE], 0.9), track(1, 0, [SQUARE], 0.8), track(1, 0, [FAR], 0.7)]
    without = [found[0], found[2]]
    assert summary(truths, without)["AP"] == 1.0
    # recall 0.5 at precision 1 (51 points), recall 1 at precision 2/3 (50 points)
    assert summary(truths, found)["AP"] == pytest.approx((51 + 50 * 2 / 3) / 101, abs=1e-12)


def test_a_track_in_another_video_is_wrong():
    metrics = summary([track(1, 0, [SQUARE])], [track(2, 0, [SQUARE])], [1, 2])
    assert metrics["AP"] == metrics["AR100"] == 0


def test_a_track_of_another_label_is_wrong():
    truths = [track(1, 0, [SQUARE]), track(1, 1, [FAR])]
    metrics = summary(truths, [track(1, 1, [SQUARE])])
    assert metrics["AP"] == 0


def test_labels_without_truth_do_not_count():
    truths = [track(1, 0, [SQUARE])]
    extra = [track(1, 7, [SQUARE], 0.99), track(1, 8, [FAR], 0.98)]
    assert summary(truths, truths + extra) == summary(truths, truths)


def test_the_mean_goes_over_labels_not_over_tracks():
    truths = [track(1, 0, [SQUARE]), track(1, 0, [FAR]), track(1, 1, [SQUARE])]
    assert summary(truths, truths[:2])["AP"] == 0.5


def test_identity_switch_in_the_middle_costs_the_track():
    truths = [track(1, 0, [SQUARE] * 4), track(1, 0, [FAR] * 4)]
    switched = [
        track(1, 0, [SQUARE, SQUARE, FAR, FAR], 0.9),
        track(1, 0, [FAR, FAR, SQUARE, SQUARE], 0.8),
    ]
    assert summary(truths, switched)["AP50"] == 0  # each track's IoU is 1/3


@pytest.mark.parametrize("most", [1, 10, 100])
def test_only_the_best_predictions_of_a_video_count(most):
    truth = track(1, 0, [SQUARE])
    wrong, right = [track(1, 0, [FAR], 0.9)] * most, track(1, 0, [SQUARE], 0.1)
    name = f"AR{most}"
    assert summary([truth], [*wrong[1:], right])[name] == 1.0
    assert summary([truth], [*wrong, right])[name] == 0.0


def test_a_truth_that_counts_is_taken_before_an_ignored_one_of_higher_iou():
    truths = [track(1, 0, [(0, 0, 100, 60)]), track(1, 0, [(0, 0, 100, 100)], crowd=True)]
    found = [track(1, 0, [(0, 0, 100, 90)])]  # IoU 2/3 and 0.9
    metrics = summary(truths, found)
    assert metrics["AP50"] == 1.0
    assert metrics["AP75"] == 0.0


def test_a_crowd_is_ignored_and_takes_any_number_of_tracks():
    truths = [track(1, 0, [SQUARE]), track(1, 0, [FAR], crowd=True)]
    found = [track(1, 0, [SQUARE], 0.5), *[track(1, 0, [FAR], 0.9)] * 3]
    assert summary(truths, found)["AP"] == 1.0
    assert summary(truths, [])["AP"] == 0.0
    assert summary(truths[1:], found)["AP"] is None


def test_the_iou_with_a_crowd_is_the_ordinary_one():
    crowd = track(1, 0, [(0, 0, 100, 100)], crowd=True)
    inside = track(1, 0, [(0, 0, 40, 100)], 0.9)  # all of it in the crowd, IoU 0.4
    truth = track(1, 0, [FAR])
    found = [inside, track(1, 0, [FAR], 0.5)]
    assert summary([truth, crowd], found)["AP50"] == 0.5


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_results_does_not_matter_when_scores_differ(seed):
    scene = random_scene(seed)
    order = np.random.default_rng(seed).permutation(len(scene.predictions))
    shuffled = dataclasses.replace(scene, predictions=[scene.predictions[i] for i in order])
    assert summary_of(shuffled) == summary_of(scene)


def test_equal_scores_keep_the_order_of_the_results():
    truth = track(1, 0, [SQUARE])
    right, wrong = track(1, 0, [SQUARE], 0.5), track(1, 0, [FAR], 0.5)
    assert summary([truth], [right, wrong])["AP"] == 1.0
    assert summary([truth], [wrong, right])["AP"] == 0.5


def test_equal_scores_keep_the_order_of_the_videos():
    truth = track(1, 0, [SQUARE])
    right, wrong = track(1, 0, [SQUARE], 0.5), track(2, 0, [FAR], 0.5)
    assert summary([truth], [wrong, right], [1, 2])["AP"] == 1.0
    assert summary([truth], [wrong, right], [2, 1])["AP"] == 0.5


@pytest.mark.parametrize("seed", range(3))
def test_scores_count_only_by_their_order(seed):
    scene = random_scene(seed)
    squashed = [dataclasses.replace(p, score=p.score**3 - 5) for p in scene.predictions]
    assert summary_of(dataclasses.replace(scene, predictions=squashed)) == summary_of(scene)


def test_by_class_and_by_video_are_the_metrics_of_that_part_alone():
    scene = random_scene(5, num_videos=5)
    metrics = track_metrics(match_tracks(scene.truths, scene.predictions, scene.video_ids))
    assert metrics.overall == summary_of(scene)
    assert set(metrics.per_class) == {t.label for t in scene.truths}
    for label, values in metrics.per_class.items():
        truths = [t for t in scene.truths if t.label == label]
        assert values == summary(truths, scene.predictions, scene.video_ids)
    assert list(metrics.per_video) == scene.video_ids
    for video_id, values in metrics.per_video.items():
        truths = [t for t in scene.truths if t.video_id == video_id]
        found = [p for p in scene.predictions if p.video_id == video_id]
        assert values == summary(truths, found, [video_id])


def test_a_track_in_an_unknown_video_is_an_error():
    with pytest.raises(ValueError, match=r"track of label 4: there is no video 9"):
        summary([], [track(9, 4, [SQUARE])])


def test_tracks_of_different_length_are_an_error():
    with pytest.raises(ValueError, match=r"video 1: .* got tracks of 1 and of 2 frames"):
        summary([track(1, 0, [SQUARE])], [track(1, 0, [SQUARE, SQUARE])])


def test_masks_of_different_size_are_an_error():
    other = Track(1, 0, (Rle.encode(np.ones((4, 5), dtype=bool)),))
    with pytest.raises(
        ValueError, match=r"masks must have one size, got \(4, 5\) and \(300, 340\)"
    ):
        summary([track(1, 0, [SQUARE])], [other])


def test_broken_run_lengths_are_an_error_that_names_the_frame():
    broken = Track(1, 0, (None, Rle((HEIGHT, WIDTH), "5")))
    with pytest.raises(ValueError, match=r"video 1 frame 1: RLE counts must sum to 300x340"):
        summary([track(1, 0, [SQUARE, SQUARE])], [broken])


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_is_an_error(score):
    with pytest.raises(ValueError, match=r"score must be finite, got (nan|inf) in video 3"):
        track(3, 0, [SQUARE], score=score)


def test_an_unknown_metric_is_an_error_that_lists_the_known():
    with pytest.raises(ValueError, match=r"metric must be one of AP, AP50, .*; got 'mAP'"):
        metric_named("mAP")
