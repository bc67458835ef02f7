"""Times of contenders on the same work, turn by turn, and the circumstances of a run."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

GIT = ["git", "-C", str(Path(__file__).parent)]
QUIETLY: dict[str, Any] = {"capture_output": True, "text": True, "check": True}


@dataclass(frozen=True)
class Rates:
    """Clips a second of one contender, a rate a repeat, each over all cases."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return float(np.median(self.values))

    @property
    def spread(self) -> tuple[float, float]:
        """The 10th and the 90th percentile."""
        low, high = np.percentile(self.values, [10, 90])
        return float(low), float(high)

    def as_json(self) -> dict[str, float]:
        """Return the numbers to keep."""
        low, high = self.spread
        numbers = {"median": self.median, "p10": low, "p90": high}
        return {name: round(value, 3) for name, value in numbers.items()}


@dataclass(frozen=True)
class Durations:
    """Seconds of one call of one contender, over the repeats."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return float(np.median(self.values))

    def as_json(self) -> dict[str, float]:
        """Return median and quartiles in milliseconds, and how many calls these were."""
        low, middle, high = (1000 * float(p) for p in np.percentile(self.values, [25, 50, 75]))
        numbers = {"median": middle, "q1": low, "q3": high}
        return {name: round(n, 4) for name, n in numbers.items()} | {"calls": len(self.values)}


def interleaved(
    contenders: Mapping[str, Sequence[Callable[[], Any]]], repeats: int
) -> dict[str, Rates]:
    """Time contenders turn by turn, so that a slow minute of the machine affects them all.

    Args:
        contenders: by name, one call a case; all have the same number of cases. Results are freed
            before the next call.
        repeats: how often every case is run, after one call of each contender that is not timed.
    """
    for calls in contenders.values():
        calls[0]()
    seconds = turns(contenders, repeats)[..., 0]  # (repeats, cases, contenders)
    rates = seconds.shape[1] / seconds.sum(1)
    return {name: Rates(tuple(column)) for name, column in zip(contenders, rates.T, strict=True)}


def turns(
    contenders: Mapping[str, Sequence[Callable[[], Any]]], repeats: int
) -> npt.NDArray[np.float64]:
    """Return processor and wall seconds, (repeats, cases, contenders, 2); as `interleaved`."""
    names = list(contenders)
    num_cases = len(contenders[names[0]])
    seconds = np.zeros((repeats, num_cases, len(names), 2))
    for repeat in range(repeats):
        for case in range(num_cases):
            for turn in range(len(names)):
                which = (turn + case + repeat) % len(names)
                seconds[repeat, case, which] = seconds_of(contenders[names[which]][case])
    return seconds


def seconds_of(call: Callable[[], Any]) -> tuple[float, float]:
    """Return processor and wall seconds of one call, without freeing its result."""
    start, wall_start = time.process_time(), time.perf_counter()
    result = call()
    wall_stop, stop = time.perf_counter(), time.process_time()
    del result
    return stop - start, wall_stop - wall_start


def circumstances(packages: Sequence[str]) -> dict[str, Any]:
    """Return command, commit, date, machine and versions, for a results file."""
    return {
        "command": shlex.join(["python", "-m", *_module(), *sys.argv[1:]]),
        "commit": commit(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": {
            "cpu": cpu_model(),
            "cores": os.cpu_count(),
            "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
            "system": platform.system(),
        },
        "versions": {"python": platform.python_version()} | {p: _version(p) for p in packages},
    }


def commit() -> str | None:
    """Return the commit, with "+" if tracked files differ from it; None outside git."""
    try:
        name = subprocess.run([*GIT, "rev-parse", "--short", "HEAD"], **QUIETLY).stdout.strip()
        changed = subprocess.run([*GIT, "status", "--porcelain", "-uno"], **QUIETLY).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return name + "+" * bool(changed)


def cpu_model() -> str:
    """Return the processor's name."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _module() -> list[str]:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return [] if spec is None else [spec.name]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
