"""Average precision over groups: greedy matching inside a group, one pooled curve for each label.

A group is a video (or an image). The rules are COCO's (pycocotools `cocoeval.py`) with the ranges
of YouTube-VIS (`ytvoseval.py`). Matching inside a group depends on no other group, so its outcome
is kept, and any multiset of groups (all of them, one, a bootstrap resample) is summed up from it.
Letters: A area ranges, I thresholds of the IoU, D predictions and N truths of one label in one
group, P predictions of one label in all groups, G groups, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

# The types of arrays are imported from here.
from vidgap_vis.evaluation.weighted_curve import Bools as Bools
from vidgap_vis.evaluation.weighted_curve import Doubles as Doubles
from vidgap_vis.evaluation.weighted_curve import Ints as Ints
from vidgap_vis.evaluation.weighted_curve import WeightedCurves

# linspace, not arange: arange gives 0.9000000000000004, above an IoU of 9/10.
IOU_THRESHOLDS: Doubles = np.linspace(0.5, 0.95, 10)

# Keeps the (predictions, resamples) arrays at 2 MB, about the size of a core's cache.
_ELEMENTS_AT_ONCE = 250_000


@dataclass(frozen=True)
class AreaRange:
    """Areas from `low` to `high`, both included as in COCO, in pixels."""

    name: str
    low: float
    high: float

    def outside(self, areas: Doubles) -> Bools:
        """Return which of `areas` (any shape) lie outside the range."""
        return (areas < self.low) | (areas > self.high)


AREA_RANGES: tuple[AreaRange, ...] = (
    AreaRange("all", 0, 1e10),
    AreaRange("small", 0, 128**2),
    AreaRange("medium", 128**2, 256**2),
    AreaRange("large", 256**2, 1e10),
)
"""The ranges of YouTube-VIS; the area of a track is its mean over the frames that show it."""


@dataclass(frozen=True)
class Metric:
    """One number of the summary.

    Attributes:
        name: "AP50" and the like.
        kind: average precision, or the recall that all predictions together reach.
        threshold: index into `IOU_THRESHOLDS`; None means the mean over all of them.
        area: index into `AREA_RANGES`.
        max_predictions: how many predictions of a label count in a group, best first.
    """

    name: str
    kind: Literal["precision", "recall"] = "precision"
    threshold: int | None = None
    area: int = 0
    max_predictions: int = 100


METRICS: tuple[Metric, ...] = (
    Metric("AP"),
    Metric("AP50", threshold=0),
    Metric("AP75", threshold=5),
    Metric("APs", area=1),
    Metric("APm", area=2),
    Metric("APl", area=3),
    Metric("AR1", "recall", max_predictions=1),
    Metric("AR10", "recall", max_predictions=10),
    Metric("AR100", "recall", max_predictions=100),
)
MAX_PREDICTIONS = max(metric.max_predictions for metric in METRICS)


@dataclass(frozen=True)
class Outcome:
    """What became of the predictions of one label in one group, best score first.

    Attributes:
        scores: (D,), not increasing.
        matched: (A, I, D), whether the prediction took a truth.
        ignored: (A, I, D), whether it counts neither as right nor as wrong.
        num_truths: (A,), the truths that count.
    """

    scores: Doubles
    matched: Bools
    ignored: Bools
    num_truths: Ints


def match(
    ious: Doubles, scores: Doubles, prediction_areas: Doubles, truth_areas: Doubles, is_crowd: Bools
) -> Outcome:
    """Match predictions to truths greedily, in every area range and at every threshold.

    The best prediction chooses first: the free truth of highest IoU (the last one on a tie) among
    those that count, and only if none is left among the ignored ones (crowds, and truths outside
    the area range), which makes it ignored too. A crowd never gets used up. A prediction that
    stays unmatched outside the area range is ignored.

    Args:
        ious: (D, N), rows in the order of `scores`.
        scores: (D,), not increasing.
        prediction_areas: (D,) in pixels.
        truth_areas: (N,) in pixels.
        is_crowd: (N,).
    """
    size = (len(AREA_RANGES), len(IOU_THRESHOLDS))
    outside = np.stack([area.outside(truth_areas) for area in AREA_RANGES])  # (A, N)
    truth_ignored = outside | is_crowd
    matched = np.zeros((*size, len(scores)), dtype=bool)
    ignored = np.zeros_like(matched)
    taken = np.zeros((*size, len(is_crowd)), dtype=bool)
    for d, row in enumerate(ious if len(is_crowd) else ()):
        free = (row >= IOU_THRESHOLDS[:, None]) & ~(taken & ~is_crowd)  # (A, I, N)
        counted = free & ~truth_ignored[:, None]
        pool = np.where(counted.any(axis=-1, keepdims=True), counted, free)
        best = len(row) - 1 - np.where(pool, row, -1.0)[..., ::-1].argmax(axis=-1)  # (A, I)
        matched[..., d] = pool.any(axis=-1)
        ignored[..., d] = matched[..., d] & np.take_along_axis(truth_ignored, best, axis=-1)
        taken |= matched[..., d, None] & (np.arange(len(row)) == best[..., None])
    outside = np.stack([area.outside(prediction_areas) for area in AREA_RANGES])  # (A, D)
    ignored |= ~matched & outside[:, None]
    return Outcome(scores, matched, ignored, np.count_nonzero(~truth_ignored, axis=1))


@dataclass(frozen=True)
class LabelTable:
    """The outcomes of one label in all groups, pooled; predictions best score first.

    Equal scores keep the order of their groups and, inside a group, of the predictions.

    Attributes:
        groups: (P,), the index of the group of each prediction.
        ranks: (P,), its index among the predictions of its group.
        matched: (A, I, P).
        ignored: (A, I, P).
        num_truths: (A, G).
    """

    groups: Ints
    ranks: Ints
    matched: Bools
    ignored: Bools
    num_truths: Ints

    @classmethod
    def pooled(cls, outcomes: Mapping[int, Outcome], num_groups: int) -> LabelTable:
        """Pool the outcomes of a label, given by the index of their group (at least one)."""
        items = sorted(outcomes.items())
        sizes = [len(outcome.scores) for _, outcome in items]
        groups = np.repeat(np.array([group for group, _ in items]), sizes)
        ranks = np.concatenate([np.arange(size) for size in sizes])
        scores = np.concatenate([outcome.scores for _, outcome in items])
        order = np.argsort(-scores, kind="stable")
        matched = np.concatenate([outcome.matched for _, outcome in items], axis=-1)
        ignored = np.concatenate([outcome.ignored for _, outcome in items], axis=-1)
        num_truths = np.zeros((len(AREA_RANGES), num_groups), dtype=np.int64)
        for group, outcome in items:
            num_truths[:, group] = outcome.num_truths
        return cls(
            groups[order], ranks[order], matched[..., order], ignored[..., order], num_truths
        )

    def only(self, group: int) -> LabelTable:
        """Return the table of one group alone."""
        keep = np.flatnonzero(self.groups == group)
        return LabelTable(
            np.zeros_like(keep),
            self.ranks[keep],
            self.matched[..., keep],
            self.ignored[..., keep],
            self.num_truths[:, [group]],
        )

    def values(self, metrics: Sequence[Metric], weights: Doubles) -> Doubles:
        """Compute metrics for several multisets of groups.

        Args:
            metrics: what to compute, M of them.
            weights: (R, G), how often each group occurs in each multiset. Copies of a prediction
                stand together in the ranking.

        Returns:
            (M, R) in 0..1, NaN where a multiset holds no truth that counts.
        """
        at_once = max(1, _ELEMENTS_AT_ONCE // max(1, len(self.groups)))
        values = np.empty((len(metrics), len(weights)))
        for start in range(0, len(weights), at_once):
            part = slice(start, start + at_once)
            curves = WeightedCurves(self.groups, np.ascontiguousarray(weights[part].T))
            for row, metric in zip(values, metrics, strict=True):
                row[part] = self._value(metric, curves)
        return values

    def _value(self, metric: Metric, curves: WeightedCurves) -> Doubles:
        """Compute one metric under all weightings: (R,)."""
        rows = slice(None) if metric.threshold is None else [metric.threshold]
        within = self.ranks < metric.max_predictions
        counts = within & ~self.ignored[metric.area, rows]  # (I, P)
        hits = counts & self.matched[metric.area, rows]
        num_truths = self.num_truths[metric.area]
        if metric.kind == "recall":
            return curves.recall(hits, num_truths)
        pairs = zip(counts, hits, strict=True)
        found = [curves.average_precision(count, hit, num_truths) for count, hit in pairs]
        return np.mean(found, axis=0)


@dataclass(frozen=True)
class MatchTable:
    """All that a metric needs to know about a data set and its predictions.

    Attributes:
        group_ids: id of each group (a video's id), G of them.
        labels: a table for each label that has a truth somewhere.
    """

    group_ids: tuple[int, ...]
    labels: Mapping[int, LabelTable]

    def values(self, metrics: Sequence[Metric], weights: Doubles) -> Doubles:
        """Average metrics over the labels that have truths.

        Args:
            metrics: what to compute, M of them.
            weights: (R, G), how often each group occurs in each multiset.

        Returns:
            (M, R) in 0..1, NaN where no label has a truth that counts.
        """
        sums = np.zeros((len(metrics), len(weights)))
        known = np.zeros(sums.shape, dtype=np.int64)
        for table in self.labels.values():
            values = table.values(metrics, weights)
            defined = ~np.isnan(values)
            sums += np.where(defined, values, 0.0)
            known += defined
        return np.where(known > 0, sums / np.maximum(known, 1), np.nan)

    def only_group(self, group: int) -> MatchTable:
        """Return the table of the group of this index alone, with the labels it has truths of."""
        present = {
            label: table.only(group)
            for label, table in self.labels.items()
            if table.num_truths[0, group]
        }
        return MatchTable((self.group_ids[group],), present)

    def only_label(self, label: int) -> MatchTable:
        """Return the table of one label alone."""
        return MatchTable(self.group_ids, {label: self.labels[label]})

    def summary(self, metrics: Sequence[Metric] = METRICS) -> dict[str, float | None]:
        """Compute metrics over all groups: name -> 0..1, or None where there is no truth."""
        everything = np.ones((1, len(self.group_ids)))
        values = self.values(metrics, everything)[:, 0].tolist()
        named = zip(metrics, values, strict=True)
        return {metric.name: None if np.isnan(value) else value for metric, value in named}


def metric_named(name: str) -> Metric:
    """Return the metric of that name.

    Raises:
        ValueError: there is none.
    """
    for metric in METRICS:
        if metric.name == name:
            return metric
    known = ", ".join(metric.name for metric in METRICS)
    raise ValueError(f"metric must be one of {known}; got {name!r}")
