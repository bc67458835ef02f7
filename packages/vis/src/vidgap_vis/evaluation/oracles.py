"""AP after parts of the results are replaced by the truth: classes, masks, association, all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias, get_args

import numpy as np
from scipy.optimize import linear_sum_assignment

from vidgap_vis.evaluation.causes import BETA, TAU
from vidgap_vis.evaluation.matching import match_at
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
        oracle: "class": each track that has no truth gets the class of the one that it overlaps
            most, if the IoU is beta or more. "masks": each mask is that of a truth in its frame, if
            the IoU is beta or more: of the one that its track has, else of the one that it matches
            one to one among those that are left; identities stay. "association": masks of each
            frame go to the tracks where they do most good (`reassignment`). "all": association,
            then masks, then classes. What is right at tau stays right, but what is wrong may be
            wrong under another class, or surer, so AP may fall a little.
        tau: the IoU that association is to reach.
        beta: the IoU below which a prediction has nothing to do with a truth.

    Returns:
        As `Evaluation.ap`.
    """
    return match_videos([replaced(video, oracle, tau, beta) for video in videos]).summary()


def replaced(video: VideoOverlaps, oracle: Oracle, tau: float, beta: float) -> VideoOverlaps:
    """Return a video's results with a part replaced; arguments as `oracle_metrics`."""
    if oracle in ("association", "all"):
        pairs = match_at(video, video.track_ious(), tau).pairs
        video = associated(video, reassign(video, pairs, tau))
    if oracle in ("masks", "all"):
        video = with_true_masks(video, match_at(video, video.track_ious(), tau).pairs, beta)
    if oracle in ("class", "all"):
        video = with_true_classes(video, match_at(video, video.track_ious(), tau).pairs, beta)
    return video


def with_true_masks(
    video: VideoOverlaps, pairs: Sequence[tuple[int, int]], beta: float
) -> VideoOverlaps:
    """Replace masks by those of truths in their frames.

    True masks are taken to share no pixel, as data sets have them.

    Args:
        video: predictions and truths compared.
        pairs: predictions and the truths that they have.
        beta: the IoU that a mask must have with a truth's.
    """
    shared, areas = video.shared.copy(), video.found.areas.copy()
    firsts, crowd = video.found.first_alike, video.true.is_crowd
    tracks = np.flatnonzero(firsts == np.arange(len(video.found)))
    truths = np.flatnonzero(~crowd)
    column_of = {truth: column for column, truth in enumerate(truths.tolist())}
    row_of = {track: row for row, track in enumerate(tracks.tolist())}
    held = [(row_of[int(firsts[row])], column_of[t]) for row, t in pairs if not crowd[t]]
    for time, ious in enumerate(video.frame_ious()):
        part = ious[np.ix_(tracks, truths)]
        part = np.where(part >= beta, part, 0.0)
        own = [(row, column) for row, column in held if part[row, column] > 0]
        for row, column in own:
            part[row], part[:, column] = 0.0, 0.0
        others = zip(*linear_sum_assignment(part, maximize=True), strict=True)
        for row, column in [*own, *((r, c) for r, c in others if part[r, c] > 0)]:
            truth, alike = truths[column], firsts == tracks[row]
            size = video.true.areas[truth, time]
            areas[alike, time] = size
            shared[time, alike] = 0
            shared[time, alike, truth] = size
    return replace(video, found=replace(video.found, areas=areas), shared=shared)


def with_true_classes(
    video: VideoOverlaps, pairs: Sequence[tuple[int, int]], beta: float
) -> VideoOverlaps:
    """Give tracks without a truth the class of the one that they overlap most.

    Of tracks with the same masks and the same class then the best is kept.

    Args:
        video: predictions and truths compared.
        pairs: predictions and the truths that they have.
        beta: the IoU that a track must have with a truth.
    """
    if not len(video.found) or not len(video.true):
        return video
    ious = np.where(video.true.is_crowd, 0.0, video.track_ious())
    best = ious.argmax(axis=1)
    changed = ious.max(axis=1) >= beta
    changed[[row for row, _ in pairs]] = False
    labels = np.where(changed, video.true.labels[best], video.found.labels)
    keep = np.ones(len(labels), np.bool_)
    first: dict[tuple[int, int], int] = {}
    order = np.argsort(-video.found.scores, kind="stable")
    for row in order[np.argsort(changed[order], kind="stable")].tolist():  # the unchanged first
        key = (int(video.found.first_alike[row]), int(labels[row]))
        keep[row] = first.setdefault(key, row) == row
    found = replace(video.found, labels=labels)
    return replace(video, found=found.only(keep), shared=video.shared[:, keep])
