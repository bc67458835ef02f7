"""Contenders on the CPU: processor and wall time turn by turn, and how much memory each takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from bench.harness.memory import MEBI, peak_mib
from bench.harness.timing import Durations, seconds_of, turns

SETTLING = 31 * MEBI
"""Bytes, just below glibc's largest threshold for serving an allocation by mmap."""


@dataclass(frozen=True)
class Effort:
    """How long contenders are timed: seconds for all together, and bounds of the repeats."""

    seconds: float
    at_least: int
    at_most: int

    def repeats(self, seconds_a_round: float) -> int:
        """Return the number of repeats of a round that takes `seconds_a_round`."""
        fitting = int(self.seconds / max(seconds_a_round, 1e-9))
        return max(self.at_least, min(self.at_most, fitting))


@dataclass(frozen=True)
class CpuTiming:
    """Times of one contender, and the rise of its peak memory, None if unknown."""

    process: Durations
    wall: Durations
    peak_mib: float | None

    @property
    def median(self) -> float:
        """Seconds that count: of the processor, but wall time where threads share the work."""
        return (self.process if torch.get_num_threads() == 1 else self.wall).median

    def as_json(self) -> dict[str, Any]:
        """Return the numbers to keep."""
        return {
            "process_ms": self.process.as_json(),
            "wall_ms": self.wall.as_json(),
            "peak_mib": None if self.peak_mib is None else round(self.peak_mib, 1),
        }


def measure(calls: dict[str, Callable[[], Any]], effort: Effort) -> dict[str, CpuTiming]:
    """Time calls turn by turn, after two rounds that warm up and show memory and duration."""
    settle_allocator()
    peaks = {name: peak_mib(call) for name, call in calls.items()}
    seconds_a_round = sum(seconds_of(call)[1] for call in calls.values())
    times = turns({name: [call] for name, call in calls.items()}, effort.repeats(seconds_a_round))
    return {
        name: CpuTiming(
            Durations(tuple(times[:, 0, which, 0])),
            Durations(tuple(times[:, 0, which, 1])),
            peaks[name],
        )
        for which, name in enumerate(calls)
    }


def settle_allocator() -> None:
    """Bring glibc's allocator into the state of a process that has run for a while.

    Allocations above a threshold, which grows with what is freed, are mapped anew each time. In a
    fresh process an op that makes large tensors may take half as long again, so the order of
    measurements would matter.
    """
    block = torch.empty(SETTLING, dtype=torch.uint8)
    del block
