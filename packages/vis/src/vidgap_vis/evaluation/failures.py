"""Masks that are not good enough, told from good ones under the wrong identity."""

from __future__ import annotations

from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from scipy.optimize import linear_sum_assignment

from vidgap_vis.evaluation.arrays import Ints
from vidgap_vis.evaluation.matching import Matched
from vidgap_vis.evaluation.overlaps import VideoOverlaps
from vidgap_vis.evaluation.reassignment import NONE, reassign
from vidgap_vis.evaluation.switches import MIN_IOU

Kind: TypeAlias = Literal["identity switch", "merge", "fragmentation", "gap"]
"""How association failed."""

HALF = 0.5
"""Of a truth that a mask must cover to be of it, where it merges several."""


class Failures:
    """How predictions failed that overlap a truth of their class too little.

    Args:
        video: predictions and truths compared.
        matched: which prediction has which truth.
        tau: the IoU that is right.
    """

    def __init__(self, video: VideoOverlaps, matched: Matched, tau: float) -> None:
        self.video = video
        self.holders = matched.holders
        self.least = max(MIN_IOU, tau)
        self.reassigned = reassign(video, matched.pairs, tau)

    def of(self, row: int, truth: int) -> Kind | None:
        """Return how the association of a prediction failed at a truth; None: its masks did."""
        own = self.video.found.first_alike[row]
        shows = bool((self.matches[:, truth] == own).any())
        if self.holders[truth] != NONE:
            return self.kind(row, truth) if shows else None
        gives = shows or bool((self.reassigned.owners[:, truth] == own).any())
        return self.kind(row, truth) if gives and self.reassigned.reached[truth] else None

    @cached_property
    def matches(self) -> Ints:
        """(T, N), the found track whose mask matches each truth's in each frame; -1: none."""
        video = self.video
        tracks = np.flatnonzero(video.found.first_alike == np.arange(len(video.found)))
        truths = np.flatnonzero(~video.true.is_crowd)
        found = np.full((len(video.shared), len(video.true)), NONE, np.int64)
        for time, ious in enumerate(video.frame_ious()):
            part = ious[np.ix_(tracks, truths)]
            part = np.where(part >= self.least, part, 0.0)
            for row, column in zip(*linear_sum_assignment(part, maximize=True), strict=True):
                if part[row, column] > 0:
                    found[time, truths[column]] = tracks[row]
        return found

    def kind(self, row: int, truth: int) -> Kind:
        """Return how the association of a prediction failed at a truth."""
        video = self.video
        real = ~video.true.is_crowd
        covered = video.shared[:, row] >= HALF * np.maximum(video.true.areas.T, 1)  # (T, N)
        if (covered[:, real].sum(axis=1) >= 2).any():
            return "merge"
        own = video.found.first_alike[row]
        if (self.matches == own).any(axis=0).sum() >= 2:
            return "identity switch"
        others = self.matches[:, truth]
        if np.any((others != NONE) & (others != own)):
            return "fragmentation"
        return "gap"
