"""The benchmark of the augmentations as `bench.run` takes it; what it measures is in `rates`."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from bench.augment.scope import Scope
from bench.harness.benchmark import Measurement, Options


@dataclass(frozen=True)
class AugmentBenchmark:
    """Pipelines of clips on one thread of the CPU.

    Attributes:
        full, quick: how much is measured, without and with --quick.
    """

    full: Scope
    quick: Scope
    name: str = "augment"
    devices: tuple[str, ...] = ("cpu",)
    takes: tuple[str, ...] = ()

    def prepared(self, options: Options) -> Measurement:
        """Return what measures as much as is asked for."""
        # Here, so that kernels are measured where `vidgap_augment` is not installed.
        from bench.augment import rates

        return functools.partial(rates.measure, self.quick if options.quick else self.full)


BENCHMARK = AugmentBenchmark(
    full=Scope((5, 10, 20), cases=6, repeats=5),
    quick=Scope((10,), cases=4, repeats=2),
)
