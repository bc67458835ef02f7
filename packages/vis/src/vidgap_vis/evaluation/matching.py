"""Which prediction has which truth, at one IoU: the matching of AP, with its pairs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from vidgap_vis.evaluation.arrays import Doubles, Ints
from vidgap_vis.evaluation.average_precision import MAX_PREDICTIONS
from vidgap_vis.evaluation.overlaps import VideoOverlaps
from vidgap_vis.evaluation.reassignment import NONE


@dataclass(frozen=True)
class Matched:
    """Which prediction of a video has which truth.

    Attributes:
        rows: (P,), the predictions that count, the best score first.
        taken: (P,), the truth that each has, crowds too; -1: none.
        holders: (N,), the prediction that has each truth; -1: none.
    """

    rows: Ints
    taken: Ints
    holders: Ints

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Predictions and the truths that they have, crowds too."""
        has = self.taken != NONE
        return list(zip(self.rows[has].tolist(), self.taken[has].tolist(), strict=True))


def match_at(video: VideoOverlaps, ious: Doubles, tau: float) -> Matched:
    """Match the predictions of a video to its truths as `average_precision.match` does at tau.

    Args:
        video: D predictions, N truths.
        ious: (D, N), of whole tracks.
        tau: the IoU that is right.
    """
    labels, crowd = video.found.labels, video.true.is_crowd
    best_first = np.argsort(-video.found.scores, kind="stable")
    ranks: Counter[int] = Counter()
    holders = np.full(len(video.true), NONE, np.int64)
    rows, taken = [], []
    for row in best_first.tolist():
        ranks[int(labels[row])] += 1
        if ranks[int(labels[row])] > MAX_PREDICTIONS:
            continue
        good = (ious[row] >= tau) & (video.true.labels == labels[row])
        free = good & (holders == NONE) & ~crowd
        pool = np.flatnonzero(free if free.any() else good & crowd)
        truth = NONE
        if len(pool):
            truth = int(pool[::-1][ious[row, pool[::-1]].argmax()])  # the last one on a tie
            if not crowd[truth]:
                holders[truth] = row
        rows.append(row)
        taken.append(truth)
    return Matched(np.array(rows, np.int64), np.array(taken, np.int64), holders)
