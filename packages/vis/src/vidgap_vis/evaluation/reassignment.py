"""The association oracle: masks of each frame given to the tracks where they do most good.

A track reaches an IoU of tau where the sum of (I - tau U) over its frames is at least 0, so frames
separate: in each one, masks are assigned to truths by what they add to that sum, as far as that is
positive: (1 + tau) I - tau A, where A is the mask's area. Masks that hold a track above tau stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from vidgap_vis.evaluation.arrays import Bools, Doubles, Ints
from vidgap_vis.evaluation.overlaps import TrackArrays, VideoOverlaps

NONE = -1


@dataclass(frozen=True)
class Reassignment:
    """Which masks of a video make up its truths best.

    Attributes:
        owners: (T, N) int64, the found track whose mask each truth gets in each frame; -1: none.
        ious: (N,) float64, what the truths' tracks are then.
        reached: (N,) bool, whether that is tau or more; only for truths that nobody had.
    """

    owners: Ints
    ious: Doubles
    reached: Bools


def reassign(video: VideoOverlaps, pairs: Sequence[tuple[int, int]], tau: float) -> Reassignment:
    """Give masks to the truths that no track has.

    Args:
        video: D found tracks, N true ones, T frames.
        pairs: found tracks and the truths that they have, crowds too.
        tau: the IoU that is wanted.
    """
    shared = video.shared.astype(np.float64)
    areas = video.found.areas.T[:, :, None]  # (T, D, 1)
    gains = (1 + tau) * shared - tau * areas
    wanted = np.setdiff1d(
        np.flatnonzero(~video.true.is_crowd), np.array([truth for _, truth in pairs], np.int64)
    )
    # A track under several classes has its masks once; those that hold a truth are not given away.
    free = np.repeat((video.found.first_alike == np.arange(len(video.found)))[None], len(gains), 0)
    for row, truth in pairs:
        alike = video.found.first_alike[row]
        free[:, alike] &= gains[:, alike, truth] <= 0
    owners = np.full((len(gains), len(video.true)), NONE, np.int64)
    for time in range(len(gains)):
        rows = np.flatnonzero(free[time] & (gains[time][:, wanted] > 0).any(axis=1))
        good = np.maximum(gains[time][np.ix_(rows, wanted)], 0.0)
        for row, column in zip(*linear_sum_assignment(good, maximize=True), strict=True):
            if good[row, column] > 0:
                owners[time, wanted[column]] = rows[row]
    times, truths = np.nonzero(owners != NONE)
    tracks = owners[times, truths]
    inside, size = np.zeros(len(video.true)), np.zeros(len(video.true))
    np.add.at(inside, truths, shared[times, tracks, truths])
    np.add.at(size, truths, video.found.areas[tracks, times])
    union = size + video.true.areas.sum(axis=1) - inside
    ious = inside / np.maximum(union, 1)
    reached = np.zeros(len(video.true), np.bool_)
    reached[wanted] = ious[wanted] >= tau
    return Reassignment(owners, ious, reached)


def associated(video: VideoOverlaps, found: Reassignment) -> VideoOverlaps:
    """Return the video with a track for each truth that is reached, made of the masks it gets.

    They leave the tracks that they were in, and a track of which nothing stays is gone. A new track
    has the class that the scores of its masks' tracks vote for, frame by frame, under all classes
    that they are listed under, and the best of these scores: it may be a wrong class, and AP fall.
    """
    truths = np.flatnonzero(found.reached)
    tracks, num_old = video.found, len(video.found)
    areas = np.concatenate([tracks.areas, np.zeros((len(truths), tracks.areas.shape[1]), np.int64)])
    extra = np.zeros((len(video.shared), len(truths), len(video.true)), video.shared.dtype)
    shared = np.concatenate([video.shared, extra], axis=1)
    labels, scores = [], []
    for new, truth in enumerate(truths.tolist(), num_old):
        times = np.flatnonzero(found.owners[:, truth] != NONE)
        owners = found.owners[times, truth]
        areas[new, times] = tracks.areas[owners, times]
        shared[times, new] = video.shared[times, owners]
        label, score = _elected(tracks, owners)
        labels.append(label)
        scores.append(score)
        for alike in range(num_old):
            gone = times[tracks.first_alike[alike] == owners]
            areas[alike, gone] = 0
            shared[gone, alike] = 0
    grown = TrackArrays(
        np.concatenate([tracks.labels, np.array(labels, np.int64)]),
        np.concatenate([tracks.scores, np.array(scores, np.float64)]),
        np.concatenate([tracks.is_crowd, np.zeros(len(truths), np.bool_)]),
        np.concatenate([tracks.occlusion, np.full(len(truths), np.nan)]),
        areas,
        np.concatenate([tracks.first_alike, np.arange(num_old, num_old + len(truths))]),
    )
    stays = areas.sum(axis=1) > 0
    stays[:num_old] |= tracks.areas.sum(axis=1) == 0  # what was empty before
    return replace(video, found=grown.only(stays), shared=shared[:, stays])


def _elected(tracks: TrackArrays, owners: Ints) -> tuple[int, float]:
    """Return the class that the tracks (F,) of a new track's frames vote for, and a score."""
    _, listings = np.nonzero(tracks.first_alike == owners[:, None])
    known, which = np.unique(tracks.labels[listings], return_inverse=True)
    votes = np.zeros(len(known))
    np.add.at(votes, which, tracks.scores[listings])
    number = np.bincount(which, minlength=len(known))
    best = max(range(len(known)), key=lambda k: (votes[k], number[k]))
    return int(known[best]), float(tracks.scores[listings].max())
