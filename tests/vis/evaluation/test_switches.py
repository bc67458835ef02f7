"""Identity switches: matched frame by frame, counted against the last identity."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from vis.support.scenes import disturbed, random_boxes, track

from vidgap_vis.classes import from_categories
from vidgap_vis.evaluation import (
    Evaluation,
    SwitchWatch,
    Track,
    VideoOverlaps,
    identity_switches,
    overlaps,
)
from vidgap_vis.evaluation.switches import MIN_IOU, FrameMatcher
from vidgap_vis.formats.youtube_vis import VideoInfo, VideoInstance, VideoSet

LEFT, RIGHT = (10, 10, 40, 40), (10, 200, 40, 40)


def truth(*rows: list[tuple[int, int, int, int] | None]) -> VideoSet:
    tracks = [track(1, 0, row) for row in rows]
    instances = tuple(VideoInstance(i, 0, one.masks) for i, one in enumerate(tracks))
    size = next(mask.size for mask in tracks[0].masks if mask is not None)
    names = tuple(f"{frame}.png" for frame in range(len(rows[0])))
    video = VideoInfo(1, names, size, instances)
    return VideoSet(
        Path("t.json"), None, from_categories([(1, "a"), (2, "b")]), (video,), annotated=True
    )


def switches(videos: VideoSet, tracks: list[Track]) -> dict[int, int]:
    return identity_switches(Evaluation.of_tracks(videos, tracks).videos)


def test_two_that_change_places_under_their_tracks_are_two_switches() -> None:
    videos = truth([LEFT] * 2 + [RIGHT] * 2, [RIGHT] * 2 + [LEFT] * 2)
    stay = [track(1, 0, [LEFT] * 4, score=0.9), track(1, 0, [RIGHT] * 4, score=0.8)]
    assert switches(videos, stay) == {1: 2}
    follow = [track(1, 0, [LEFT] * 2 + [RIGHT] * 2), track(1, 0, [RIGHT] * 2 + [LEFT] * 2)]
    assert switches(videos, follow) == {1: 0}


def test_a_gap_is_no_switch_but_another_track_after_it_is() -> None:
    videos = truth([LEFT] * 5)
    one = track(1, 0, [LEFT, LEFT, None, LEFT, LEFT])
    assert switches(videos, [one]) == {1: 0}
    parts = [track(1, 0, [LEFT, LEFT, None, None, None]), track(1, 0, [None] * 3 + [LEFT] * 2)]
    assert switches(videos, parts) == {1: 1}


def test_weak_tracks_and_other_classes_of_a_track_do_not_count() -> None:
    videos = truth([LEFT] * 3)
    tracks = [
        track(1, 0, [LEFT] * 3, score=0.9),
        track(1, 1, [LEFT] * 3, score=0.8),
        track(1, 0, [None, LEFT, None], score=0.05),
    ]
    assert switches(videos, tracks) == {1: 0}
    assert switches(videos, []) == {1: 0}


def clear_mot(video: VideoOverlaps, min_score: float) -> int:
    """TrackEval's count, whatever the class."""
    metrics = pytest.importorskip("trackeval.metrics", reason="needs the package trackeval")
    rows = np.flatnonzero(video.found.scores >= min_score)
    rows = np.unique(video.found.first_alike[rows])
    columns = np.flatnonzero(~video.true.is_crowd)
    true = [np.flatnonzero(area > 0) for area in video.true.areas[columns].T]
    found = [np.flatnonzero(area > 0) for area in video.found.areas[rows].T]
    ious = video.frame_ious()[:, rows][:, :, columns].transpose(0, 2, 1)
    data = {
        "num_timesteps": len(true),
        "num_gt_ids": len(columns),
        "num_tracker_ids": len(rows),
        "num_gt_dets": sum(map(len, true)),
        "num_tracker_dets": sum(map(len, found)),
        "gt_ids": true,
        "tracker_ids": found,
        "similarity_scores": [
            frame[np.ix_(*shown)] for frame, *shown in zip(ious, true, found, strict=True)
        ],
    }
    quiet = {"PRINT_CONFIG": False, "THRESHOLD": MIN_IOU}
    return int(metrics.CLEAR(quiet).eval_sequence(data)["IDSW"])


def crowded_video(seed: int) -> VideoOverlaps:
    """Few objects, each found by several tracks that come and go."""
    rng = np.random.default_rng(seed)
    boxes = [random_boxes(rng, 16) for _ in range(4)]
    found = []
    for _ in range(12):
        source = boxes[int(rng.integers(4))]
        moved = [box if rng.random() < 0.7 else None for box in disturbed(rng, source, 0.08)]
        found.append(track(1, int(rng.integers(2)), moved, float(rng.random())))
    found.append(replace(found[0], label=1 - found[0].label))
    return overlaps(1, found, [track(1, 0, one) for one in boxes])


@pytest.mark.parametrize("seed", range(30))
def test_switches_are_those_of_clear_mot(seed: int) -> None:
    video = crowded_video(seed)
    assert identity_switches([video], 0.1) == {1: clear_mot(video, 0.1)}


def test_a_track_keeps_what_it_still_finds() -> None:
    """Another track fits better in every second frame; the first one still finds the instance."""
    near, nearer = (10, 12, 40, 40), (10, 11, 40, 40)
    steady = track(1, 0, [near] * 6, score=0.9)
    better = track(1, 0, [None, nearer] * 3, score=0.8)
    assert switches(truth([LEFT] * 6), [steady, better]) == {1: 0}


def test_a_pair_below_the_threshold_displaces_nobody() -> None:
    """The best sum of all IoUs has a pair of 0.45; without it both instances are found."""
    ious = np.array([[0.45, 0.9], [0.0, 0.56]])
    assert FrameMatcher().update(ious, [0, 1], [7, 8]) == {0: 8}
    ious = np.array([[0.56, 0.9], [0.0, 0.52]])
    assert FrameMatcher().update(ious, [0, 1], [7, 8]) == {0: 7, 1: 8}


@pytest.mark.parametrize("seed", range(6))
def test_who_comes_frame_by_frame_is_counted_alike(seed: int) -> None:
    """`SwitchWatch`, which reads masks, and `identity_switches`, which reads overlaps."""
    rng = np.random.default_rng(seed)
    rows = [random_boxes(rng, 12) for _ in range(3)]
    found = [track(1, 0, disturbed(rng, rows[n % 3], 0.1)) for n in range(6)]
    videos = truth(*rows)
    watch = SwitchWatch(videos.videos[0])
    watched = 0
    for time in range(12):
        shown = {n: mask for n, one in enumerate(found) if (mask := one.masks[time]) is not None}
        watched += len(watch.update(shown))
    assert switches(videos, found) == {1: watched}
