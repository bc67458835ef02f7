"""AP after parts of the results are replaced by the truth: classes, masks, association, all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias, get_args

import numpy as np
from scipy.optimize import linear_sum_assignment

from vidgap_vis.evaluation.causes import BETA, TAU, match_at
from vidgap_vis.evaluation.overlaps import VideoOverlaps
from vidgap_vis.evaluation.reassignment import associated, reassign
from vidgap_vis.evaluation.youtube_vis import match_videos

Oracle: TypeAlias = Literal["class", "masks", "association", "all"]
"""What is replaced by the truth."""

ORACLES: tuple[Oracle, ...] = get_args(Oracle)


def oracle_metrics(
    videos: Sequence[VideoOverlaps], oracle: Oracle, tau: float = TAU, beta: float = BETA
) -> dict[str, float | None]:
    """Compute the metrics of results of which a part is replaced by the truth.

    Args:
        videos: predictions and truths compared.
        oracle: "class": each track has the class of the truth that it overlaps most, if the IoU is
            beta or more. "masks": each mask is that of the truth which it matches in its frame one
            to one, if the IoU is beta or more; identities stay. "association": masks of each frame
            go to the tracks where they do most good (`reassignment`). "all": association, then
            masks, then classes.
        tau: the IoU that association is to reach.
        beta: the IoU below which a prediction has nothing to do with a truth.

    Returns:
        As `Evaluation.ap`.
    """
    return match_videos([replaced(video, oracle, tau, beta) for video in videos]).summary()


def replaced(video: VideoOverlaps, oracle: Oracle, tau: float, beta: float) -> VideoOverlaps:
    """Return a video's results with a part replaced; arguments as `oracle_metrics`."""
    if oracle in ("association", "all"):
        holders = match_at(video, video.track_ious(), tau).holders
        video = associated(video, reassign(video, holders, tau))
    if oracle in ("masks", "all"):
        video = with_true_masks(video, beta)
    if oracle in ("class", "all"):
        video = with_true_classes(video, beta)
    return video


def with_true_masks(video: VideoOverlaps, beta: float) -> VideoOverlaps:
    """Replace masks by those of the truths that they match in their frames.

    True masks are taken to share no pixel, as data sets have them.
    """
    shared, areas = video.shared.copy(), video.found.areas.copy()
    firsts = video.found.first_alike
    tracks = np.flatnonzero(firsts == np.arange(len(video.found)))
    truths = np.flatnonzero(~video.true.is_crowd)
    for time, ious in enumerate(video.frame_ious()):
        part = ious[np.ix_(tracks, truths)]
        for row, column in zip(*linear_sum_assignment(-part), strict=True):
            if part[row, column] >= beta:
                truth, alike = truths[column], firsts == tracks[row]
                size = video.true.areas[truth, time]
                areas[alike, time] = size
                shared[time, alike] = 0
                shared[time, alike, truth] = size
    return replace(video, found=replace(video.found, areas=areas), shared=shared)


def with_true_classes(video: VideoOverlaps, beta: float) -> VideoOverlaps:
    """Replace classes by those of the truths that tracks overlap most; same tracks are one then."""
    if not len(video.found) or not len(video.true):
        return video
    ious = np.where(video.true.is_crowd, 0.0, video.track_ious())
    best = ious.argmax(axis=1)
    near = ious.max(axis=1) >= beta
    labels = np.where(near, video.true.labels[best], video.found.labels)
    keep = np.ones(len(labels), np.bool_)
    first: dict[tuple[int, int], int] = {}
    for row in np.argsort(-video.found.scores, kind="stable").tolist():
        key = (int(video.found.first_alike[row]), int(labels[row]))
        keep[row] = first.setdefault(key, row) == row
    found = replace(video.found, labels=labels)
    return replace(video, found=found.only(keep), shared=video.shared[:, keep])
