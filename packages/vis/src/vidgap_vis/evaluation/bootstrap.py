"""How far a metric would move with other videos: a bootstrap over videos.

Videos are the independent draws of a data set; the instances of one video share its difficulty.
Matching inside a video does not change with the resample, so only the pooled curve is recomputed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidgap_vis.evaluation.average_precision import (
    Doubles,
    MatchTable,
    Metric,
    metric_named,
)


@dataclass(frozen=True)
class Interval:
    """A metric with its percentile interval; `str()` reads "45.3 [40.1, 50.2]" (percent).

    Attributes:
        metric: its name.
        value: the metric of the data set itself, 0..1; None where there is no truth.
        low: lower bound, 0..1; None where no resample holds a truth.
        high: upper bound, likewise.
        confidence: the share of resamples inside the bounds.
        num_undefined: resamples without any truth, left out of the bounds.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    confidence: float
    num_undefined: int

    def __str__(self) -> str:
        if self.value is None or self.low is None or self.high is None:
            return "n/a"
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def bootstrap_interval(
    table: MatchTable,
    metric: str = "AP50",
    *,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Bracket a metric by resampling the videos with replacement.

    Raises:
        ValueError: there is no such metric, no video, no resample, or the confidence is not
            between 0 and 1.
    """
    chosen = metric_named(metric)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    weights = draw_weights(len(table.group_ids), num_resamples, seed)
    values = resampled_values(table, chosen, weights)
    defined = values[~np.isnan(values)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail]).tolist() if len(defined) else (None, None)
    value = table.summary([chosen])[metric]
    return Interval(metric, value, low, high, confidence, len(values) - len(defined))


def draw_weights(num_videos: int, num_resamples: int, seed: int) -> Doubles:
    """Draw how often each video occurs in each resample: (R, G), every row sums to `num_videos`.

    Two tables over the same videos compared under the same weights give a paired bootstrap.

    Raises:
        ValueError: there is no video or no resample.
    """
    if num_videos < 1:
        raise ValueError("a bootstrap needs at least one video, got none")
    if num_resamples < 1:
        raise ValueError(f"num_resamples must be at least 1, got {num_resamples}")
    chances = np.full(num_videos, 1 / num_videos)
    draws = np.random.default_rng(seed).multinomial(num_videos, chances, size=num_resamples)
    return draws.astype(np.float64)


def resampled_values(table: MatchTable, metric: Metric, weights: Doubles) -> Doubles:
    """Compute a metric for each resample: (R, G) -> (R,) in 0..1, NaN where no truth is left."""
    return table.values([metric], weights)[0]
