"""The benchmark of the augmentations for `bench.run`; `rates` measures."""

from __future__ import annotations

from bench.augment.amount import Amount
from bench.harness.benchmark import OwnTableBenchmark

BENCHMARK = OwnTableBenchmark(
    "augment",
    "bench.augment.rates",
    full=Amount((5, 10, 20), cases=6, repeats=5),
    quick=Amount((10,), cases=4, repeats=2),
)
