"""Identity switches: matched frame by frame, counted against the last identity."""

from __future__ import annotations

from pathlib import Path

from vis.support.scenes import track

from vidgap_vis.classes import from_categories
from vidgap_vis.evaluation import Evaluation, Track, identity_switches
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
