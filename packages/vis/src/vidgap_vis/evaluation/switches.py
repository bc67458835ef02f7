"""Identity switches: how often a true instance is found under another identity than before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment

from vidgap_vis.formats.results import Track
from vidgap_vis.formats.rle import Rle, as_rle
from vidgap_vis.formats.youtube_vis import VideoInfo, VideoSet

MIN_IOU = 0.5
"""Of a prediction that finds an instance in a frame."""


class SwitchWatch:
    """Notices, frame by frame, the tracks that take over an instance from another track.

    Args:
        video: with truth; its frames are taken in order.
    """

    def __init__(self, video: VideoInfo) -> None:
        self._instances = [tuple(map(as_rle, one.segmentations)) for one in video.instances]
        self._last: dict[int, int] = {}  # instance -> track
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
        iou = np.asarray(coco_mask.iou(*rles, [0] * len(shown)))  # (N, M)
        instances, tracks, taken = list(true), list(shown), set()
        for row, column in zip(*linear_sum_assignment(-iou), strict=True):
            if iou[row, column] >= MIN_IOU:
                instance, track = instances[row], tracks[column]
                if self._last.get(instance, track) != track:
                    taken.add(track)
                self._last[instance] = track
        return taken


def identity_switches(
    truth: VideoSet, results: Iterable[Track], min_score: float = 0.1
) -> dict[int, int]:
    """Count the identity switches in each video (as CLEAR MOT does, on masks, whatever the class).

    In each frame true and predicted masks are matched one to one by IoU. A switch is a match under
    another track than the instance's last one, however long ago that was.

    Args:
        truth: with annotations.
        results: what `read_results` returned; tracks that differ in their class alone are one.
        min_score: of the tracks that count.

    Returns:
        video id -> number.
    """
    tracks: dict[int, list[tuple[Rle | None, ...]]] = {video.id: [] for video in truth.videos}
    for track in results:
        known = tracks[track.video_id]
        if track.score >= min_score and track.masks not in known:
            known.append(track.masks)
    counts = {}
    for video in truth.videos:
        watch = SwitchWatch(video)
        frames = (
            {index: mask for index, masks in enumerate(tracks[video.id]) if (mask := masks[time])}
            for time in range(len(video))
        )
        counts[video.id] = sum(len(watch.update(shown)) for shown in frames)
    return counts
