"""Identity switches: how often a true instance is found under another identity than before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment

from vidgap_vis.evaluation.arrays import Doubles
from vidgap_vis.evaluation.overlaps import VideoOverlaps
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
        for row, column in zip(*linear_sum_assignment(-ious), strict=True):
            if ious[row, column] >= MIN_IOU:
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
    return {video.video_id: _switches(video, min_score) for video in videos}


def _switches(video: VideoOverlaps, min_score: float) -> int:
    counter = SwitchCounter()
    shown = video.found.scores >= min_score
    tracks = sorted({*video.found.first_alike[shown].tolist()})
    instances = np.flatnonzero(~video.true.is_crowd)
    number = 0
    for ious in video.frame_ious():
        number += len(counter.update(ious[np.ix_(tracks, instances)].T, instances.tolist(), tracks))
    return number
