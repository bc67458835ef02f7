"""How far a metric, or a difference of two results, would move with other videos.

Videos are the independent draws of a data set; the instances of one video share its difficulty.
An interval is meant to hold the metric's expected value over data sets of as many videos from the
same source. It is the estimate -+ Student's t times the jackknife's standard error: the metric is
computed again without each video in turn, and nothing is matched again.

Percentiles of a bootstrap will not do here: a resample copies videos and loses classes, which
moves a mean over classes of few videos by more than its standard deviation, so they can exclude
the estimate. The jackknife errs on the wide side (Efron and Stein 1981, "The jackknife estimate of
variance"); docs/results/evaluation.md says by how much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from vidgap_vis.evaluation.arrays import Doubles
from vidgap_vis.evaluation.average_precision import MatchTable, Metric, metric_named
from vidgap_vis.evaluation.table import NOT_AVAILABLE


@dataclass(frozen=True)
class Interval:
    """A metric and what brackets it; `str()` reads "45.3 [40.1, 50.2]" (percent).

    Attributes:
        metric: its name.
        value: the metric of the data set itself, up to 1; None where there is no truth.
        low: lower bound, at least what the metric can be; None where fewer than two videos hold a
            truth that counts.
        high: upper bound, value..1, likewise.
        confidence: how often such an interval should hold the expected value.
        std_error: the jackknife's standard error; None where the bounds are.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    confidence: float
    std_error: float | None

    def __str__(self) -> str:
        if self.value is None:
            return NOT_AVAILABLE
        return f"{100 * self.value:.1f} {_bounds(self.low, self.high)}"


@dataclass(frozen=True)
class Difference:
    """A metric of a second result minus that of a first; reads "+1.2 [-0.3, +2.7]".

    Attributes:
        metric: its name.
        first: the metric of the first result, 0..1; None where there is no truth.
        second: that of the second result.
        value: second minus first, -1..1; above 0 where the second result is better.
        low: lower bound of the difference, at most `value`; None where fewer than two videos hold
            a truth that counts.
        high: upper bound, likewise.
        confidence: how often such an interval should hold the expected difference.
        std_error: the jackknife's standard error of the difference; None where the bounds are.
    """

    metric: str
    first: float | None
    second: float | None
    value: float | None
    low: float | None
    high: float | None
    confidence: float
    std_error: float | None

    def __str__(self) -> str:
        if self.value is None:
            return NOT_AVAILABLE
        return f"{100 * self.value:+.1f} {_bounds(self.low, self.high, '+')}"


def interval(table: MatchTable, metric: str = "AP50", *, confidence: float = 0.95) -> Interval:
    """Bracket one metric.

    Raises:
        ValueError: there is no such metric, no video, or the confidence is not between 0 and 1.
    """
    return intervals(table, [metric_named(metric)], confidence=confidence)[metric]


def intervals(
    table: MatchTable, metrics: Sequence[Metric] | None = None, *, confidence: float = 0.95
) -> dict[str, Interval]:
    """Bracket metrics by leaving out each video in turn: name -> interval.

    Those of one class come from `table.only_label(label)`. `metrics`: those of the table if None.

    Raises:
        ValueError: there is no video, or the confidence is not between 0 and 1.
    """
    _check(table, confidence)
    metrics = table.metrics if metrics is None else metrics
    values = table.values(metrics, whole_and_without_each(len(table.group_ids)))  # (M, 1 + G)
    rows = zip(metrics, values, strict=True)
    return {
        metric.name: jackknife(metric.name, row, _videos_with_truth(table, metric), confidence)
        for metric, row in rows
    }


def jackknife(
    name: str, values: Doubles, num_with_truth: int, confidence: float = 0.95, lowest: float = 0.0
) -> Interval:
    """Bracket a number by what it is without each video, or each group of them.

    Args:
        name: of the number.
        values: (1 + G,), of all videos, then without each in turn; NaN where it is not defined.
        num_with_truth: how many videos hold a truth that counts.
        confidence: how often the interval should hold the expected value.
        lowest: that the number can be.
    """
    value = _known(values[0])
    std_error, reach = _std_error(values[1:], num_with_truth, confidence)
    low, high = _around(value, reach, lowest=lowest)
    return Interval(name, value, low, high, confidence, std_error)


def compare(
    first: MatchTable,
    second: MatchTable,
    metrics: Sequence[Metric] | None = None,
    *,
    confidence: float = 0.95,
) -> dict[str, Difference]:
    """Bracket the differences, second minus first, of two results for the same videos.

    Both lose the same video at a time, so what makes a video hard for both cancels out.

    Args:
        first: the result to compare with.
        second: the result in question; the same videos in the same order, with the same truths.
        metrics: what to compare; None: what the tables are good for.
        confidence: of each interval by itself, whatever their number.

    Returns:
        Name of the metric -> difference.

    Raises:
        ValueError: the tables differ in videos, labels or truths, there is no video, or the
            confidence is not between 0 and 1.
    """
    _check(first, confidence)
    _check_same_truth(first, second)
    metrics = first.metrics if metrics is None else metrics
    weights = whole_and_without_each(len(first.group_ids))
    before, after = (table.values(metrics, weights) for table in (first, second))  # (M, 1 + G)
    found = {}
    for metric, old, new in zip(metrics, before, after, strict=True):
        row = new - old
        value = _known(row[0])
        std_error, reach = _std_error(row[1:], _videos_with_truth(first, metric), confidence)
        low, high = _around(value, reach, lowest=-1.0)
        found[metric.name] = Difference(
            metric.name, _known(old[0]), _known(new[0]), value, low, high, confidence, std_error
        )
    return found


def compare_per_class(
    first: MatchTable,
    second: MatchTable,
    metrics: Sequence[Metric] | None = None,
    *,
    confidence: float = 0.95,
) -> dict[int, dict[str, Difference]]:
    """Do the same for each label with a truth: label -> name of the metric -> difference.

    Of many classes some differ beyond their interval by chance: about one in twenty at 0.95.

    Raises:
        ValueError: as `compare`.
    """
    _check(first, confidence)
    _check_same_truth(first, second)
    return {
        label: compare(
            first.only_label(label), second.only_label(label), metrics, confidence=confidence
        )
        for label in sorted(first.labels)
    }


def whole_and_without_each(num: int) -> Doubles:
    """Weigh videos, or groups of them: all once, then each left out in turn; (1 + num, num)."""
    return np.concatenate([np.ones((1, num)), 1 - np.eye(num)])


def _std_error(
    without: Doubles, num_with_truth: int, confidence: float
) -> tuple[float | None, float | None]:
    """Return the jackknife's standard error from (G,) values, and how far the bounds reach.

    None for both if fewer than two videos have a truth: one video shows no spread.
    """
    if num_with_truth < 2:
        return None, None
    shrink = (len(without) - 1) / len(without)
    std_error = float(np.sqrt(shrink * np.sum((without - without.mean()) ** 2)))
    # Videos without a truth that counts say little of a metric, so they give no degree of freedom.
    return std_error, std_error * float(stdtrit(num_with_truth - 1, (1 + confidence) / 2))


def _around(
    value: float | None, reach: float | None, *, lowest: float
) -> tuple[float | None, float | None]:
    if value is None or reach is None:
        return None, None
    return max(lowest, value - reach), min(1.0, value + reach)


def _videos_with_truth(table: MatchTable, metric: Metric) -> int:
    """Count the videos that hold a truth that counts for the metric."""
    truths = [label.num_truths[metric.stratum] for label in table.labels.values()]
    return int(np.count_nonzero(np.sum(truths, axis=0)))


def _known(value: np.floating) -> float | None:
    return None if np.isnan(value) else float(value)


def _bounds(low: float | None, high: float | None, sign: str = "-") -> str:
    if low is None or high is None:
        return f"[{NOT_AVAILABLE}]"
    return f"[{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"


def _check(table: MatchTable, confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    if not table.group_ids:
        raise ValueError("an interval needs at least one video, got none")


def _check_same_truth(first: MatchTable, second: MatchTable) -> None:
    """Refuse tables that are not about the same videos, labels and truths."""
    if first.group_ids != second.group_ids:
        raise ValueError(
            "both tables must be about the same videos in the same order, got "
            f"{len(first.group_ids)} and {len(second.group_ids)}, "
            f"{len(set(first.group_ids) & set(second.group_ids))} of them shared"
        )
    if first.labels.keys() != second.labels.keys():
        odd = sorted(first.labels.keys() ^ second.labels.keys())
        raise ValueError(f"both tables must have truths of the same labels; {odd} are in one only")
    for label, table in first.labels.items():
        if not np.array_equal(table.num_truths, second.labels[label].num_truths):
            raise ValueError(f"both tables must have the same truths; label {label} differs")
