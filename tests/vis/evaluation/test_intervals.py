"""Intervals: against honest resampling, in simulation, and property by property."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from vis.support.coverage import draw_weights, simulate
from vis.support.scenes import Scene, random_scene, track
from vis.support.tables import Source, table_of

from vidgap_vis.evaluation.average_precision import METRICS, MatchTable, metric_named
from vidgap_vis.evaluation.intervals import compare, compare_per_class, interval, intervals
from vidgap_vis.evaluation.youtube_vis import match_tracks

SQUARE = (10, 10, 40, 40)
RARE = Source(num_videos=100, num_classes=60, wrong_score=0.75)
"""Two videos a class, and wrong tracks that score higher than right ones."""


def matches(scene: Scene) -> MatchTable:
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


def test_a_weighted_table_is_the_data_set_with_copied_videos():
    scene = random_scene(3, num_videos=5, crowds=True)
    weights = np.concatenate([draw_weights(5, 12, seed=1), 1 - np.eye(5), np.zeros((1, 5))])
    got = matches(scene).values(METRICS, weights)
    for values, row in zip(got.T, weights, strict=True):
        wanted = matches(copied(scene, row)).summary()
        found = [None if np.isnan(value) else value for value in values]
        assert found == [pytest.approx(wanted[metric.name], abs=1e-12) for metric in METRICS]


def test_only_the_proportions_of_weights_count():
    table = Source(num_videos=40, num_classes=5, wrong_score=0.6).draw(0)
    weights = draw_weights(40, 8, seed=0)
    assert table.values(METRICS, weights / 64) == pytest.approx(table.values(METRICS, weights))


def test_many_weights_in_small_portions_are_the_same(monkeypatch):
    table = RARE.draw(0)
    weights = draw_weights(100, 5, seed=0)
    whole = table.values(METRICS, weights)
    monkeypatch.setattr("vidgap_vis.evaluation.average_precision._ELEMENTS_AT_ONCE", 1)
    assert table.values(METRICS, weights) == pytest.approx(whole, abs=1e-12)


def test_the_standard_error_is_the_jackknifes():
    scene = random_scene(2, num_videos=7)
    kept = [copied(scene, row) for row in 1 - np.eye(7)]
    without = np.array([matches(one).summary()["AP50"] for one in kept])
    wanted = (6 / 7 * ((without - without.mean()) ** 2).sum()) ** 0.5
    assert interval(matches(scene), "AP50").std_error == pytest.approx(wanted, abs=1e-12)


@pytest.mark.slow
def test_intervals_hold_the_expected_value_where_percentiles_do_not():
    # 200 data sets tell a coverage of 0.95 within 0.03, and the sd within a tenth.
    seen = simulate(RARE, num_sets=200, num_expected=600)
    assert ((seen.covered >= 0.93) & (seen.covered <= 0.985)).all()
    assert ((seen.std_error > seen.sd) & (seen.std_error < 1.3 * seen.sd)).all()
    assert (seen.percentile_covered[:2] < 0.87).all()
    assert seen.percentile_covered[1] < 0.75


def test_percentiles_exclude_an_estimate_that_the_interval_contains():
    table = RARE.draw(31)
    resampled = table.values([metric_named("AP50")], draw_weights(100, 500, seed=0))
    found = interval(table, "AP50")
    assert found.low < found.value < np.quantile(resampled, 0.025) < found.high


@pytest.mark.parametrize("source", [RARE, Source(3, 2), Source(12, 40)], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_intervals_contain_the_estimate(source, seed):
    for found in intervals(source.draw(seed)).values():
        if found.value is not None and found.low is not None:
            assert 0 <= found.low <= found.value <= found.high <= 1


def test_all_metrics_together_are_each_by_itself():
    table = RARE.draw(1)
    found = intervals(table)
    assert list(found) == [metric.name for metric in METRICS]
    for name, one in found.items():
        assert dataclasses.astuple(one)[1:] == pytest.approx(
            dataclasses.astuple(interval(table, name))[1:], abs=1e-12
        )
        assert one.value == pytest.approx(table.summary()[name], abs=1e-12)


def test_more_confidence_is_a_wider_interval():
    wide, narrow = (interval(RARE.draw(0), "AP", confidence=c) for c in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert wide.std_error == narrow.std_error


def test_fewer_videos_with_truth_are_a_wider_interval_for_the_same_error():
    reach = {}
    for num_videos in (3, 300):
        found = interval(Source(num_videos, 2).draw(1), "AR10", confidence=0.8)
        reach[num_videos] = (found.high - found.value) / found.std_error
    assert reach[3] == pytest.approx(1.886, abs=1e-3)  # t of 2 degrees
    assert reach[300] == pytest.approx(1.284, abs=1e-3)


def test_like_videos_leave_no_doubt():
    truths = [track(video_id, 0, [SQUARE]) for video_id in (1, 2, 3)]
    found = interval(match_tracks(truths, truths, [1, 2, 3]), "AP")
    assert (found.low, found.value, found.high, found.std_error) == (1, 1, 1, 0)
    assert str(found) == "100.0 [100.0, 100.0]"


def test_one_video_with_truth_leaves_every_doubt():
    truth = track(1, 0, [SQUARE])
    found = interval(match_tracks([truth], [truth], [1, 2]))
    assert (found.value, found.low, found.high, found.std_error) == (1, None, None, None)
    assert str(found) == "100.0 [n/a]"


def test_no_truth_at_all_gives_no_interval():
    found = interval(match_tracks([], [track(1, 0, [SQUARE])], [1, 2]))
    assert (found.value, found.low, found.high) == (None, None, None)
    assert str(found) == "n/a"


def test_truths_of_one_size_give_no_interval_for_another():
    truths = [track(video_id, 0, [SQUARE]) for video_id in (1, 2)]
    found = intervals(match_tracks(truths, truths, [1, 2]))
    assert (str(found["APs"]), str(found["APl"])) == ("100.0 [100.0, 100.0]", "n/a")


def better(seed: int, gain: float = 0.02) -> tuple[MatchTable, MatchTable]:
    """A result, and one whose tracks of the same data set overlap more, here and there."""
    rng = np.random.default_rng(seed)
    truths, found = RARE.draw_videos(rng)
    change = rng.normal(gain, 0.01, size=len(found["iou"])) * (found["iou"] > 0)
    improved = {**found, "iou": found["iou"] + change}
    first, second = (table_of(truths, result, num_videos=100) for result in (found, improved))
    return first, second


def test_the_paired_interval_is_far_narrower():
    first, second = better(0)
    paired = compare(first, second)["AP"]
    apart = [interval(table, "AP").std_error for table in (first, second)]
    assert paired.std_error < 0.3 * np.hypot(*apart)
    assert 0 < paired.low <= paired.value <= paired.high


def test_a_difference_is_second_minus_first():
    first, second = better(1)
    there, back = compare(first, second), compare(second, first)
    for metric in METRICS:
        one, other = there[metric.name], back[metric.name]
        wanted = [table.summary()[metric.name] for table in (first, second)]
        assert [one.first, one.second] == pytest.approx(wanted, abs=1e-12)
        assert one.value == one.second - one.first == -other.value
        assert [one.low, one.high] == pytest.approx([-other.high, -other.low], abs=1e-12)


@pytest.mark.slow
def test_paired_intervals_hold_the_expected_difference():
    everything = np.ones((1, 100))
    values = [
        [table.values(METRICS[:1], everything).item() for table in better(seed)]
        for seed in range(1000, 1400)
    ]
    expected = np.diff(values, axis=1).mean()
    found = [compare(*better(seed), METRICS[:1])["AP"] for seed in range(200)]
    covered = np.mean([one.low <= expected <= one.high for one in found])
    assert 0.93 <= covered <= 0.99


def test_the_same_result_twice_does_not_differ():
    table = RARE.draw(0)
    assert {str(one) for one in compare(table, table).values()} == {"+0.0 [+0.0, +0.0]"}


def test_classes_are_compared_one_by_one():
    first, second = better(2)
    found = compare_per_class(first, second)
    assert list(found) == sorted(first.labels)
    label = max(first.labels, key=lambda one: first.labels[one].num_truths[0].sum())
    assert found[label] == compare(first.only_label(label), second.only_label(label))
    assert found[label]["AP"].low is not None


TRUTH = track(1, 0, [SQUARE])


@pytest.mark.parametrize(
    ("truths", "video_ids", "message"),
    [
        ([TRUTH], [2, 1], r"same videos in the same order, got 2 and 2, 2 of them shared"),
        ([TRUTH], [1], r"same videos in the same order, got 2 and 1, 1 of them shared"),
        ([track(1, 3, [SQUARE])], [1, 2], r"truths of the same labels; \[0, 3\] are in one only"),
        ([track(2, 0, [SQUARE])], [1, 2], r"must have the same truths; label 0 differs"),
    ],
)
@pytest.mark.parametrize("function", [compare, compare_per_class])
def test_results_for_other_data_are_not_compared(function, truths, video_ids, message):
    table = match_tracks([TRUTH], [], [1, 2])
    with pytest.raises(ValueError, match=message):
        function(table, match_tracks(truths, [], video_ids))


def test_impossible_arguments_are_errors():
    table = match_tracks([TRUTH], [], [1])
    with pytest.raises(ValueError, match=r"metric must be one of AP, .*; got 'AP60'"):
        interval(table, "AP60")
    for confidence in (95, 0):
        with pytest.raises(ValueError, match=rf"confidence must .* 0 and 1, got {confidence}"):
            intervals(table, confidence=confidence)
    with pytest.raises(ValueError, match="an interval needs at least one video, got none"):
        interval(match_tracks([], [], []))
