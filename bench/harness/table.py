"""Rows of a benchmark, as lines on the screen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from tabulate import tabulate

from bench.harness.contender import Op, Work
from bench.harness.cpu import CpuTiming
from bench.harness.cuda import CudaTiming
from bench.harness.timing import Durations

HEADINGS = ("", "ms", "quartiles", "peak MiB", "x reference", "x official", "% of floor")

Timings: TypeAlias = "dict[str, CpuTiming | CudaTiming]"
"""By contender."""


@dataclass(frozen=True)
class Row:
    """One contender on some work.

    Attributes:
        op, work, direction, threads: what was run.
        name: of the contender.
        timing: of it.
        times_reference, times_official: speed-up over these; None if they were not timed.
        floor: the least time by the machine's rates, as a fraction of its time.
    """

    op: str
    work: Work
    direction: str
    threads: int
    name: str
    timing: CpuTiming | CudaTiming
    times_reference: float | None
    times_official: float | None
    floor: float

    def as_json(self) -> dict[str, Any]:
        """Return what to keep."""
        return {
            "op": self.op,
            "size": list(self.work.size),
            "frames": self.work.frames,
            "dtype": str(self.work.dtype).removeprefix("torch."),
            "pass": self.direction,
            "threads": self.threads,
            "implementation": self.name,
            **self.timing.as_json(),
            "times_reference": rounded(self.times_reference),
            "times_official": rounded(self.times_official),
            "percent_of_floor": round(100 * self.floor, 1),
        }


def rows(
    op: Op,
    work: Work,
    direction: str,
    threads: int,
    timings: Timings,
    floor_s: float,
) -> list[Row]:
    """Return a row for each contender that was timed."""

    def times(whom: str, timing: CpuTiming | CudaTiming) -> float | None:
        return timings[whom].median / timing.median if whom in timings else None

    return [
        Row(
            *(op.name, work, direction, threads, name, timing),
            times(op.reference, timing),
            times(op.official, timing),
            floor_s / timing.median,
        )
        for name, timing in timings.items()
    ]


def title(row: Row) -> str:
    """Return the heading of a group: what its rows share."""
    height, width = row.work.size
    dtype = str(row.work.dtype).removeprefix("torch.")
    threads = "" if row.work.device == "cuda" else f"  threads {row.threads}"
    return f"{row.op}  {height}x{width}  T={row.work.frames}  {dtype}  {row.direction}{threads}"


def lines(group: Iterable[Row]) -> list[str]:
    """Return the table of one group."""
    group = list(group)
    extra = ("graph", "host") if group[0].work.device == "cuda" else ("wall",)
    table = tabulate(
        [cells(row) for row in group],
        [*HEADINGS, *(f"{name} ms" for name in extra)],
        disable_numparse=True,
        colalign=["left", *["right"] * (len(HEADINGS) - 1 + len(extra))],
    )
    return ["", title(group[0]), *table.splitlines()]


def cells(row: Row) -> list[str]:
    """Return one row of the table."""
    timing = row.timing
    others: list[Durations | None]
    if isinstance(timing, CudaTiming):
        kept, others = timing.events, [timing.graph, timing.host]
    else:
        kept, others = timing.process if row.threads == 1 else timing.wall, [timing.wall]
    numbers = kept.as_json()
    return [
        row.name,
        f"{numbers['median']:.3f}",
        f"[{numbers['q1']:.3f}, {numbers['q3']:.3f}]",
        "-" if timing.peak_mib is None else f"{timing.peak_mib:.0f}",
        ratio(row.times_reference),
        ratio(row.times_official),
        f"{100 * row.floor:.1f}",
        *("-" if other is None else f"{1000 * other.median:.3f}" for other in others),
    ]


def ratio(number: float | None) -> str:
    """Return a ratio as the table has it."""
    return "-" if number is None else f"{number:.2f}"


def rounded(number: float | None) -> float | None:
    """Return a ratio as the file has it."""
    return None if number is None else round(number, 3)
