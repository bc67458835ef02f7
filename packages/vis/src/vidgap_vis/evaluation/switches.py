"""Identity switches: how often a true instance is found under another identity than before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment

from vidgap_vis.formats.results import Track
from vidgap_vis.formats.rle import Rle, RleDict, as_rle
from vidgap_vis.formats.youtube_vis import VideoInfo, VideoSet

Masks: TypeAlias = tuple[Rle | None, ...]

MIN_IOU = 0.5
"""Of a prediction that finds an instance in a frame."""


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
    tracks: dict[int, list[Masks]] = {video.id: [] for video in truth.videos}
    for track in results:
        known = tracks[track.video_id]
        if track.score >= min_score and track.masks not in known:
            known.append(track.masks)
    return {video.id: _switches(video, tracks[video.id]) for video in truth.videos}


def _switches(video: VideoInfo, tracks: Sequence[Masks]) -> int:
    instances = [tuple(map(as_rle, one.segmentations)) for one in video.instances]
    last: dict[int, int] = {}
    switches = 0
    for time in range(len(video)):
        for instance, track in _matched(instances, tracks, time):
            switches += last.get(instance, track) != track
            last[instance] = track
    return switches


def _matched(
    instances: Sequence[Masks], tracks: Sequence[Masks], time: int
) -> Iterator[tuple[int, int]]:
    """Yield the pairs of an instance and a track that a frame shows."""
    true, true_rles = _shown(instances, time)
    found, found_rles = _shown(tracks, time)
    if not true or not found:
        return
    iou = np.asarray(coco_mask.iou(true_rles, found_rles, [0] * len(found)))  # (N, M)
    for row, column in zip(*linear_sum_assignment(-iou), strict=True):
        if iou[row, column] >= MIN_IOU:
            yield true[row], found[column]


def _shown(tracks: Sequence[Masks], time: int) -> tuple[list[int], list[RleDict]]:
    """Return which tracks a frame shows, and their masks as pycocotools takes them."""
    shown = [(index, masks[time]) for index, masks in enumerate(tracks)]
    there = [(index, mask) for index, mask in shown if mask is not None]
    return [index for index, _ in there], [mask.to_dict() for _, mask in there]
