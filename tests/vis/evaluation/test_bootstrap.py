"""The bootstrap over videos: against honest resampling, and property by property."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from vis.support.scenes import Scene, random_scene, track

from vidgap_vis.evaluation.average_precision import METRICS, MatchTable
from vidgap_vis.evaluation.bootstrap import bootstrap_interval, draw_weights, resampled_values
from vidgap_vis.evaluation.youtube_vis import match_tracks

SQUARE = (10, 10, 40, 40)


def table_of(scene: Scene) -> MatchTable:
    return match_tracks(scene.truths, scene.predictions, scene.video_ids)


def copied(scene: Scene, weights: np.ndarray) -> Scene:
    """The data set in which each video stands as often as its weight says."""
    new_ids = iter(range(1, 1 + int(weights.sum())))
    ids = [
        (old, next(new_ids))
        for old, weight in zip(scene.video_ids, weights, strict=True)
        for _ in range(int(weight))
    ]

    def copies(tracks):
        pairs = [(t, new) for old, new in ids for t in tracks if t.video_id == old]
        return [dataclasses.replace(t, video_id=new) for t, new in pairs]

    return Scene(copies(scene.truths), copies(scene.predictions), [new for _, new in ids])


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_weighted_table_is_the_data_set_with_copied_videos(metric):
    scene = random_scene(3, num_videos=5, crowds=True)
    weights = draw_weights(5, 12, seed=1)
    got = resampled_values(table_of(scene), metric, weights)
    for value, row in zip(got, weights, strict=True):
        wanted = table_of(copied(scene, row)).summary([metric])[metric.name]
        assert (None if np.isnan(value) else value) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_the_identity_resample_is_the_point_estimate(metric):
    table = table_of(random_scene(4, num_videos=6, tied_scores=True))
    value = resampled_values(table, metric, np.ones((1, 6))).item()
    assert (None if np.isnan(value) else value) == table.summary()[metric.name]


def test_each_resample_has_as_many_videos_as_the_data_set():
    weights = draw_weights(7, 50, seed=0)
    assert weights.shape == (50, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert len(np.unique(weights, axis=0)) > 40


def test_the_interval_holds_the_point_estimate_and_has_a_width():
    interval = bootstrap_interval(
        table_of(random_scene(2, num_videos=12)), "AP50", num_resamples=300
    )
    assert 0 <= interval.low < interval.value < interval.high <= 1


def test_the_seed_decides():
    table = table_of(random_scene(2, num_videos=12))
    first, again, other = (
        bootstrap_interval(table, num_resamples=50, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)


def test_more_confidence_is_a_wider_interval():
    table = table_of(random_scene(2, num_videos=12))
    wide, narrow = (bootstrap_interval(table, "AP", confidence=c) for c in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_like_videos_leave_no_doubt():
    truths = [track(video_id, 0, [SQUARE]) for video_id in (1, 2, 3)]
    interval = bootstrap_interval(match_tracks(truths, truths, [1, 2, 3]), "AP", num_resamples=20)
    assert (interval.low, interval.value, interval.high) == (1, 1, 1)


def test_resamples_without_truth_are_left_out_and_counted():
    truth = track(1, 0, [SQUARE])
    interval = bootstrap_interval(match_tracks([truth], [truth], [1, 2]), "AP50", num_resamples=400)
    assert (interval.low, interval.high) == (1, 1)
    assert 60 < interval.num_undefined < 140  # a quarter of 400 on average


def test_no_truth_at_all_gives_no_interval():
    interval = bootstrap_interval(match_tracks([], [track(1, 0, [SQUARE])], [1]), num_resamples=5)
    assert (interval.value, interval.low, interval.high) == (None, None, None)
    assert interval.num_undefined == 5
    assert str(interval) == "n/a"


def test_the_interval_reads_in_percent():
    truths = [track(1, 0, [SQUARE])]
    assert str(bootstrap_interval(match_tracks(truths, truths, [1]))) == "100.0 [100.0, 100.0]"


def test_many_resamples_in_small_portions_are_the_same(monkeypatch):
    table = table_of(random_scene(2, num_videos=12))
    whole = bootstrap_interval(table, "AP", num_resamples=40)
    monkeypatch.setattr("vidgap_vis.evaluation.average_precision._ELEMENTS_AT_ONCE", 1)
    parts = bootstrap_interval(table, "AP", num_resamples=40)
    assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high), abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "AP60"}, r"metric must be one of AP, .*; got 'AP60'"),
        ({"confidence": 95}, r"confidence must lie between 0 and 1, got 95"),
        ({"num_resamples": 0}, r"num_resamples must be at least 1, got 0"),
    ],
)
def test_impossible_arguments_are_errors(arguments, message):
    table = match_tracks([track(1, 0, [SQUARE])], [], [1])
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(table, **arguments)


def test_no_video_is_an_error():
    with pytest.raises(ValueError, match="a bootstrap needs at least one video, got none"):
        bootstrap_interval(match_tracks([], [], []))
