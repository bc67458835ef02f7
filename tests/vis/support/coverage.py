"""How often intervals hold the expected value, over data sets of a known source.

    PYTHONPATH=tests python -m vis.support.coverage [DATA_SETS]

prints the tables of docs/results/evaluation.md, and the time for 1,000 resamples.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np
from vis.support.tables import Source

from vidgap_vis.evaluation.average_precision import METRICS, MatchTable, metric_named
from vidgap_vis.evaluation.intervals import intervals

NAMES = ("AP", "AP50", "AR10")
SOURCES = {
    "302 videos, 40 classes": Source(302, 40),
    "302 videos, 40 classes, wrong tracks score as high": Source(302, 40, wrong_score=0.6),
    "100 videos, 20 classes": Source(100, 20),
    "100 videos, 60 classes, wrong tracks score higher": Source(100, 60, wrong_score=0.75),
    "30 videos, 10 classes": Source(30, 10),
}


@dataclass(frozen=True)
class Coverage:
    """What was seen over data sets; each array has one entry for each metric.

    Attributes:
        expected: the mean of the metric over data sets.
        sd: its standard deviation over them.
        covered: share of the data sets whose interval holds the expected value.
        std_error: root of the mean squared standard error.
        percentile_covered: the same share for the percentiles of a bootstrap.
        percentile_without_estimate: data sets whose percentiles exclude the estimate itself.
        bootstrap_bias: how far the bootstrap's mean lies above the estimate, on average.
        bootstrap_sd: root of the mean variance of the bootstrap.
        bootstrap_covered: share for the estimate -+ 1.96 bootstrap_sd.
    """

    expected: np.ndarray
    sd: np.ndarray
    covered: np.ndarray
    std_error: np.ndarray
    percentile_covered: np.ndarray
    percentile_without_estimate: np.ndarray
    bootstrap_bias: np.ndarray
    bootstrap_sd: np.ndarray
    bootstrap_covered: np.ndarray


def draw_weights(num_videos: int, num_resamples: int, seed: int) -> np.ndarray:
    """How often each video occurs in each resample: (R, G), every row sums to `num_videos`."""
    chances = np.full(num_videos, 1 / num_videos)
    draws = np.random.default_rng(seed).multinomial(num_videos, chances, size=num_resamples)
    return draws.astype(np.float64)


def values_of(table: MatchTable, weights: np.ndarray) -> np.ndarray:
    return table.values([metric_named(name) for name in NAMES], weights)


def simulate(
    source: Source, *, num_sets: int, num_expected: int, num_resamples: int = 200
) -> Coverage:
    """Draw `num_sets` data sets for the intervals and `num_expected` others for the truth."""
    everything = np.ones((1, source.num_videos))
    others = range(1_000_000, 1_000_000 + num_expected)
    drawn = np.array([values_of(source.draw(seed), everything)[:, 0] for seed in others])
    expected, sd = drawn.mean(axis=0), drawn.std(axis=0, ddof=1)
    rows = []
    for seed in range(num_sets):
        table = source.draw(seed)
        found = intervals(table, [metric_named(name) for name in NAMES])
        low, value, high, std_error = np.array(
            [[i.low, i.value, i.high, i.std_error] for i in (found[name] for name in NAMES)]
        ).T
        weights = draw_weights(source.num_videos, num_resamples, seed)
        resampled = values_of(table, weights)
        bottom, top = np.quantile(resampled, [0.025, 0.975], axis=1)
        deviation = resampled.std(axis=1, ddof=1)
        rows.append(
            [
                (low <= expected) & (expected <= high),
                std_error**2,
                (bottom <= expected) & (expected <= top),
                (value < bottom) | (value > top),
                resampled.mean(axis=1) - value,
                deviation**2,
                abs(value - expected) <= 1.96 * deviation,
            ]
        )
    covered, variance, percentile, without, bias, spread, normal = np.mean(rows, axis=0)
    return Coverage(
        expected, sd, covered, variance**0.5, percentile, without, bias, spread**0.5, normal
    )


def main() -> None:
    num_sets = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    seconds_of_resamples()
    for name, source in SOURCES.items():
        seen = simulate(source, num_sets=num_sets, num_expected=3 * num_sets)
        for i, metric in enumerate(NAMES):
            shares = [
                seen.covered[i],
                seen.bootstrap_covered[i],
                seen.percentile_covered[i],
                seen.percentile_without_estimate[i],
            ]
            points = [seen.expected[i], seen.sd[i], seen.std_error[i], seen.bootstrap_sd[i]]
            cells = [f"{100 * point:.1f}" for point in points]
            cells += [f"{100 * seen.bootstrap_bias[i]:+.1f}"]
            cells += [f"{100 * share:.1f}" for share in shares]
            print(f"| {name} | {metric} | {' | '.join(cells)} |", flush=True)


def seconds_of_resamples() -> None:
    """Print the best of five times for 1,000 resamples, and for all intervals."""
    table = SOURCES["302 videos, 40 classes"].draw(0)
    weights = draw_weights(302, 1000, seed=0)
    jobs = {
        "AP": lambda: table.values(METRICS[:1], weights),
        "all metrics": lambda: table.values(METRICS, weights),
        "intervals": lambda: intervals(table),
    }
    for name, job in jobs.items():
        times = []
        for _ in range(5):
            start = time.perf_counter()
            job()
            times.append(time.perf_counter() - start)
        print(f"{name}: {min(times):.2f} s")


if __name__ == "__main__":
    main()
