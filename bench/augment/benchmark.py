"""The benchmark of the augmentations for `bench.run`; `rates` measures."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from bench.augment.amount import Amount
from bench.harness.benchmark import Measurement, Options


@dataclass(frozen=True)
class AugmentBenchmark:
    """Pipelines of clips on one thread of the CPU.

    Attributes:
        full, quick: how much is measured, without and with --quick.
    """

    full: Amount
    quick: Amount
    name: str = "augment"
    devices: tuple[str, ...] = ("cpu",)
    takes: tuple[str, ...] = ()

    def prepared(self, options: Options) -> Measurement:
        """Return a measurement of the amount asked for."""
        # Imported here: the ops' benchmarks run without `vidgap_augment`.
        from bench.augment import rates

        return functools.partial(rates.measure, self.quick if options.quick else self.full)


BENCHMARK = AugmentBenchmark(
    full=Amount((5, 10, 20), cases=6, repeats=5),
    quick=Amount((10,), cases=4, repeats=2),
)
