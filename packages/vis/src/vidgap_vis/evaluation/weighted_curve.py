"""The precision-recall curve of one label under many weightings of its groups at once.

A copy of a group repeats its predictions and truths, so a resample of the data set is a weight for
each group, and nothing is matched again. Two facts keep it fast: the best precision is always
reached at a hit, so the curve is followed from hit to hit; and thresholds and area ranges often
agree in what counts and what hits, so each distinct pattern is computed once.
Letters: P predictions, G groups, R weightings, H hits.
"""

from __future__ import annotations

import numpy as np

from vidgap_vis.evaluation.arrays import Bools, Doubles, Ints

RECALL_POINTS: Doubles = np.linspace(0.0, 1.0, 101)
_LAST_POINT = len(RECALL_POINTS) - 1


class WeightedCurves:
    """The curves of one label's predictions; what several metrics share is computed once.

    Args:
        groups: (P,), the group of each prediction, best score first.
        weights: (G, R), how often each group occurs in each weighting; any numbers from 0 on.
            Copies of a prediction stand together in the ranking.
    """

    def __init__(self, groups: Ints, weights: Doubles) -> None:
        self._groups = groups
        self._weights = weights
        self._counted: dict[bytes, Doubles] = {}
        self._precisions: dict[bytes, Doubles] = {}

    def recall(self, hits: Bools, num_truths: Ints) -> Doubles:
        """Return the recall that all predictions together reach, averaged over I thresholds.

        Args:
            hits: (I, P), right predictions.
            num_truths: (G,).

        Returns:
            (R,) in 0..1, NaN where there is no truth.
        """
        in_group = np.bincount(self._groups, hits.mean(axis=0), minlength=len(num_truths))
        wanted = num_truths.astype(np.float64) @ self._weights
        return _share(in_group @ self._weights, wanted)

    def average_precision(self, counts: Bools, hits: Bools, num_truths: Ints) -> Doubles:
        """Average the precision at 101 points of recall.

        The precision at a recall is the best one at that recall or a higher one; 0 beyond the
        recall that is reached.

        Args:
            counts: (P,), predictions that count as right or wrong.
            hits: (P,), those that are right.
            num_truths: (G,).

        Returns:
            (R,) in 0..1, NaN where there is no truth.
        """
        key = counts.tobytes() + hits.tobytes() + num_truths.tobytes()
        if key not in self._precisions:
            self._precisions[key] = self._average_precision(counts, hits, num_truths)
        return self._precisions[key]

    def _average_precision(self, counts: Bools, hits: Bools, num_truths: Ints) -> Doubles:
        wanted = num_truths.astype(np.float64) @ self._weights  # (R,)
        places = np.flatnonzero(hits)
        if len(places) == 0:
            return _share(np.zeros_like(wanted), wanted)
        right = np.cumsum(self._weights[self._groups[places]], axis=0)  # (H, R)
        counted = self._cumulated(counts)[np.cumsum(counts)[places] - 1]  # (H, R)
        precision = right / np.maximum(counted, np.finfo(np.float64).tiny)
        best = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
        points = _points_up_to(right / np.where(wanted > 0, wanted, 1.0))  # (H, R)
        points[1:] -= points[:-1].copy()  # the points that a hit reaches and no earlier one did
        total = np.einsum("hr,hr->r", best, points) / len(RECALL_POINTS)
        return np.where(wanted > 0, total, np.nan)

    def _cumulated(self, counts: Bools) -> Doubles:
        """Return the weight of the first 1, 2, ... predictions that count: (P', R)."""
        key = counts.tobytes()
        if key not in self._counted:
            self._counted[key] = np.cumsum(self._weights[self._groups[counts]], axis=0)
        return self._counted[key]


def _points_up_to(recall: Doubles) -> Doubles:
    """Count the recall points that are not above each recall; any shape."""
    # Rounded up a little, so that the last such point is this one or the one before it.
    place = np.minimum(recall * _LAST_POINT + 1e-9, _LAST_POINT).astype(np.int64)
    return np.where(RECALL_POINTS[place] <= recall, place + 1.0, place)


def _share(part: Doubles, whole: Doubles) -> Doubles:
    """Divide; NaN where the whole is 0."""
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), np.nan)
