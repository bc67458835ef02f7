"""The benchmark of the trackers for `bench.run`; `times` measures."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from bench.harness.benchmark import Measurement, Options


@dataclass(frozen=True)
class TrackersBenchmark:
    """A frame's association, on one thread of the CPU.

    Attributes:
        full, quick: frames that are timed, without and with --quick.
    """

    full: int
    quick: int
    name: str = "trackers"
    devices: tuple[str, ...] = ("cpu",)
    takes: tuple[str, ...] = ()

    def prepared(self, options: Options) -> Measurement:
        """Return a measurement of the amount asked for."""
        # Imported here: the ops' benchmarks run without `vidgap_vis`.
        from bench.trackers import times

        return functools.partial(times.measure, self.quick if options.quick else self.full)


BENCHMARK = TrackersBenchmark(full=400, quick=60)
