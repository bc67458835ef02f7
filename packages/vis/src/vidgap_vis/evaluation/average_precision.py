"""Average precision over groups: greedy matching inside a group, one pooled curve for each label.

A group is a video (or an image). The rules are COCO's (pycocotools `cocoeval.py`) with the ranges
of YouTube-VIS (`ytvoseval.py`). Matching inside a group depends on no other group, so its outcome
is kept, and any multiset of groups (all of them, one, a bootstrap resample) is summed up from it.
Letters: A strata (areas, occlusion), I thresholds of the IoU, D predictions and N truths of one
label in one group, P predictions of one label in all groups, G groups, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from vidgap_vis.evaluation.arrays import Bools, Doubles, Ints
from vidgap_vis.evaluation.weighted_curve import WeightedCurves

# linspace, not arange: arange gives 0.9000000000000004, above an IoU of 9/10.
IOU_THRESHOLDS: Doubles = np.linspace(0.5, 0.95, 10)

# Keeps the (predictions, resamples) arrays at 2 MB, about the size of a core's cache.
_ELEMENTS_AT_ONCE = 250_000


@dataclass(frozen=True)
class Metric:
    """One number of the summary.

    Attributes:
        name: "AP50" and the like.
        kind: average precision, or the recall that all predictions together reach.
        threshold: index into `IOU_THRESHOLDS`; None means the mean over all of them.
        stratum: index into `STRATA`.
        max_predictions: how many predictions of a label count in a group, best first.
    """

    name: str
    kind: Literal["precision", "recall"] = "precision"
    threshold: int | None = None
    stratum: int = 0
    max_predictions: int = 100


METRICS: tuple[Metric, ...] = (
    Metric("AP"),
    Metric("AP50", threshold=0),
    Metric("AP75", threshold=5),
    Metric("APs", stratum=1),
    Metric("APm", stratum=2),
    Metric("APl", stratum=3),
    Metric("AR1", "recall", max_predictions=1),
    Metric("AR10", "recall", max_predictions=10),
    Metric("AR100", "recall", max_predictions=100),
)
METRICS_OF_A_STRATUM = tuple(metric for metric in METRICS if metric.stratum == 0)
MAX_PREDICTIONS = max(metric.max_predictions for metric in METRICS)


def match(
    ious: Doubles, found_outside: Bools, true_outside: Bools, is_crowd: Bools
) -> tuple[Bools, Bools]:
    """Match predictions to truths greedily, in every stratum and at every threshold.

    The best prediction chooses first: the free truth of highest IoU (the last one on a tie) among
    those that count, and only if none is left among the ignored ones (crowds, and truths outside
    the stratum), which makes it ignored too. A crowd never gets used up. A prediction that stays
    unmatched outside the stratum is ignored.

    Args:
        ious: (D, N), the best prediction first; 0 where a prediction must not take a truth.
        found_outside: (A, D), whether a prediction lies outside the stratum.
        true_outside: (A, N), whether a truth does.
        is_crowd: (N,).

    Returns:
        (A, I, D), whether a prediction took a truth; (A, I, D), whether it counts neither as right
        nor as wrong.
    """
    size = (len(true_outside), len(IOU_THRESHOLDS))
    truth_ignored = true_outside | is_crowd
    matched = np.zeros((*size, len(ious)), dtype=bool)
    ignored = np.zeros_like(matched)
    taken = np.zeros((*size, len(is_crowd)), dtype=bool)
    for d in np.flatnonzero((ious >= IOU_THRESHOLDS[0]).any(axis=1)):
        row = ious[d]
        free = (row >= IOU_THRESHOLDS[:, None]) & ~(taken & ~is_crowd)  # (A, I, N)
        counted = free & ~truth_ignored[:, None]
        pool = np.where(counted.any(axis=-1, keepdims=True), counted, free)
        best = len(row) - 1 - np.where(pool, row, -1.0)[..., ::-1].argmax(axis=-1)  # (A, I)
        matched[..., d] = pool.any(axis=-1)
        ignored[..., d] = matched[..., d] & np.take_along_axis(truth_ignored, best, axis=-1)
        taken |= matched[..., d, None] & (np.arange(len(row)) == best[..., None])
    ignored |= ~matched & found_outside[:, None]
    return matched, ignored


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

    def only_groups(self, groups: Ints) -> LabelTable:
        """Return the table of some groups, given by their indices, which are counted anew."""
        new_index = np.full(self.num_truths.shape[1], -1)
        new_index[groups] = np.arange(len(groups))
        keep = np.flatnonzero(new_index[self.groups] >= 0)
        return LabelTable(
            new_index[self.groups[keep]],
            self.ranks[keep],
            self.matched[..., keep],
            self.ignored[..., keep],
            self.num_truths[:, groups],
        )

    def only_stratum(self, stratum: int) -> LabelTable:
        """Return the table of one stratum, which becomes the first and only one."""
        rows = [stratum]
        return replace(
            self,
            matched=self.matched[rows],
            ignored=self.ignored[rows],
            num_truths=self.num_truths[rows],
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
        counts = within & ~self.ignored[metric.stratum, rows]  # (I, P)
        hits = counts & self.matched[metric.stratum, rows]
        num_truths = self.num_truths[metric.stratum]
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
        metrics: those that it is good for.
    """

    group_ids: tuple[int, ...]
    labels: Mapping[int, LabelTable]
    metrics: tuple[Metric, ...] = METRICS

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

    def only_groups(self, groups: Sequence[int]) -> MatchTable:
        """Return the table of some groups, given by index, with the labels they have truths of."""
        rows = np.array(groups, dtype=np.int64)
        present = {
            label: table.only_groups(rows)
            for label, table in self.labels.items()
            if table.num_truths[0, rows].any()
        }
        return replace(self, group_ids=tuple(self.group_ids[i] for i in groups), labels=present)

    def only_label(self, label: int) -> MatchTable:
        """Return the table of one label alone."""
        return replace(self, labels={label: self.labels[label]})

    def only_stratum(self, stratum: int) -> MatchTable:
        """Return the table of one of `STRATA` alone, which has no metrics by area."""
        labels = {label: table.only_stratum(stratum) for label, table in self.labels.items()}
        return replace(self, labels=labels, metrics=METRICS_OF_A_STRATUM)

    def summary(self, metrics: Sequence[Metric] | None = None) -> dict[str, float | None]:
        """Compute metrics over all groups: name -> 0..1, or None where there is no truth."""
        everything = np.ones((1, len(self.group_ids)))
        chosen = self.metrics if metrics is None else metrics
        values = self.values(chosen, everything)[:, 0].tolist()
        named = zip(chosen, values, strict=True)
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
