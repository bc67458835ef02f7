"""Identity switches: how often a true instance is found under another identity than before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment

from vidgap_vis.evaluation.arrays import Bools, Doubles, Ints
from vidgap_vis.evaluation.overlaps import VideoOverlaps
from vidgap_vis.evaluation.reassignment import NONE
from vidgap_vis.formats.rle import Rle, as_rle
from vidgap_vis.formats.youtube_vis import VideoInfo

MIN_IOU = 0.5
"""Of a prediction that finds an instance in a frame."""


class SwitchCounter:
    """Notices, frame by frame, the tracks that take over an instance from another track."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}  # instance -> track

    def update(self, ious: Doubles, instances: Sequence[int], tracks: Sequence[int]) -> set[int]:
        """Take the IoUs of a frame, (N, M) of instances and tracks; return who took over."""
        taken = set()
        for row, column in _pairs(ious):
            instance, track = instances[row], tracks[column]
            if self._last.get(instance, track) != track:
                taken.add(track)
            self._last[instance] = track
        return taken


class SwitchWatch:
    """A `SwitchCounter` of a video whose tracks come frame by frame.

    Args:
        video: with truth; its frames are taken in order.
    """

    def __init__(self, video: VideoInfo) -> None:
        self._instances = [tuple(map(as_rle, one.segmentations)) for one in video.instances]
        self._counter = SwitchCounter()
        self._time = 0

    def update(self, shown: Mapping[int, Rle]) -> set[int]:
        """Take the tracks of the next frame, id -> mask; return those that took over."""
        true = {
            instance: mask
            for instance, masks in enumerate(self._instances)
            if (mask := masks[self._time]) is not None
        }
        self._time += 1
        if not true or not shown:
            return set()
        rles = ([mask.to_dict() for mask in masks.values()] for masks in (true, shown))
        ious = np.asarray(coco_mask.iou(*rles, [0] * len(shown)))  # (N, M)
        return self._counter.update(ious, list(true), list(shown))


def identity_switches(videos: Iterable[VideoOverlaps], min_score: float = 0.1) -> dict[int, int]:
    """Count the identity switches in each video (as CLEAR MOT does, on masks, whatever the class).

    In each frame true and predicted masks are matched one to one by IoU. A switch is a match under
    another track than the instance's last one, however long ago that was.

    Args:
        videos: with crowds, which are left out.
        min_score: of the tracks that count; those that differ in their class alone are one.

    Returns:
        video id -> number.
    """
    return {
        video.video_id: int(switch_frames(frame_owners(video, min_score)).sum()) for video in videos
    }


def frame_owners(video: VideoOverlaps, min_score: float = 0.1) -> Ints:
    """Return the track that finds each truth in each frame, (T, N); -1: none does, or a crowd.

    Of tracks with the same masks it is the first. Arguments as `identity_switches`.
    """
    shown = video.found.scores >= min_score
    tracks = np.unique(video.found.first_alike[shown])
    instances = np.flatnonzero(~video.true.is_crowd)
    owners = np.full((len(video.shared), len(video.true)), NONE, np.int64)
    for time, ious in enumerate(video.frame_ious()):
        for row, column in _pairs(ious[np.ix_(tracks, instances)].T):
            owners[time, instances[row]] = tracks[column]
    return owners


def switch_frames(owners: Ints) -> Bools:
    """Return in which frames truths are taken over, (T, N), from the owners in each, (T, N)."""
    taken = np.zeros(owners.shape, np.bool_)
    last = np.full(owners.shape[1], NONE, np.int64)
    for time, now in enumerate(owners):
        found = now != NONE
        taken[time] = found & (last != NONE) & (last != now)
        last[found] = now[found]
    return taken


def _pairs(ious: Doubles) -> list[tuple[int, int]]:
    """Pair the instances and tracks of a frame, (N, M); only pairs that find count."""
    pairs = zip(*linear_sum_assignment(-ious), strict=True)
    return [(int(row), int(column)) for row, column in pairs if ious[row, column] >= MIN_IOU]
