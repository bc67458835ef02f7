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


class FrameMatcher:
    """Says, frame by frame, which track finds which instance (Bernardin and Stiefelhagen 2008).

    A pair of the frame before stays together while its IoU is MIN_IOU or more; the others are
    paired one to one so that their IoUs, each MIN_IOU or more, sum to the most.
    """

    def __init__(self) -> None:
        self._before: dict[int, int] = {}  # instance -> track, in the frame before

    def update(
        self, ious: Doubles, instances: Sequence[int], tracks: Sequence[int]
    ) -> dict[int, int]:
        """Take the IoUs of what a frame shows, (N, M); return instance -> track.

        A frame that shows no instance, or no track, parts no pair.
        """
        if ious.size == 0:
            return {}
        stays = np.array(
            [[self._before.get(one) == track for track in tracks] for one in instances], np.bool_
        ).reshape(ious.shape)
        good = np.where(ious >= MIN_IOU, ious + 1000.0 * stays, 0.0)
        pairs = zip(*linear_sum_assignment(good, maximize=True), strict=True)
        self._before = {
            instances[row]: tracks[column] for row, column in pairs if good[row, column] > 0
        }
        return self._before


class SwitchCounter:
    """Notices, frame by frame, the tracks that take over an instance from another track."""

    def __init__(self) -> None:
        self._matcher = FrameMatcher()
        self._last: dict[int, int] = {}  # instance -> track, however long ago

    def update(self, ious: Doubles, instances: Sequence[int], tracks: Sequence[int]) -> set[int]:
        """Take the IoUs of a frame, (N, M) of instances and tracks; return who took over."""
        found = self._matcher.update(ious, instances, tracks)
        taken = {track for one, track in found.items() if self._last.get(one, track) != track}
        self._last |= found
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
        if not true or not shown:  # pycocotools compares no empty lists
            return set()
        rles = ([mask.to_dict() for mask in masks.values()] for masks in (true, shown))
        ious = np.asarray(coco_mask.iou(*rles, [0] * len(shown)))  # (N, M)
        return self._counter.update(ious, list(true), list(shown))


def identity_switches(videos: Iterable[VideoOverlaps], min_score: float = 0.1) -> dict[int, int]:
    """Count the identity switches in each video, as CLEAR MOT does, on masks, whatever the class.

    A switch is a match under another track than the instance's last one, however long ago that was;
    see `FrameMatcher` for what matches.

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
    strong = np.zeros(len(video.found), np.bool_)
    strong[video.found.first_alike[video.found.scores >= min_score]] = True
    owners = np.full((len(video.shared), len(video.true)), NONE, np.int64)
    matcher = FrameMatcher()
    for time, ious in enumerate(video.frame_ious()):
        tracks = np.flatnonzero(strong & (video.found.areas[:, time] > 0)).tolist()
        there = ~video.true.is_crowd & (video.true.areas[:, time] > 0)
        instances = np.flatnonzero(there).tolist()
        found = matcher.update(ious[np.ix_(tracks, instances)].T, instances, tracks)
        owners[time, [*found]] = [*found.values()]
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
