"""Process time of contenders on the same work, turn by turn, and what machine it was."""

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

GIT = ["git", "-C", str(Path(__file__).parent)]
QUIETLY: dict[str, Any] = {"capture_output": True, "text": True, "check": True}


@dataclass(frozen=True)
class Timing:
    """Clips a second of one contender: over the repeats, the median and 10th and 90th percentile.

    `values` holds one rate a repeat, each over all the cases.
    """

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median rate."""
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


def interleaved(
    contenders: Mapping[str, Sequence[Callable[[], Any]]], repeats: int
) -> dict[str, Timing]:
    """Time contenders turn by turn, so that a slow minute of the machine meets them all.

    Args:
        contenders: to a name, one call a case; all have the same number of cases. Results are
            thrown away before the next call.
        repeats: how often every case is run, after each contender has run one that is not timed.
    """
    names = list(contenders)
    num_cases = len(contenders[names[0]])
    for calls in contenders.values():
        calls[0]()
    seconds = np.zeros((repeats, len(names)))
    for repeat in range(repeats):
        for case in range(num_cases):
            for turn in range(len(names)):
                which = (turn + case + repeat) % len(names)
                seconds[repeat, which] += process_seconds(contenders[names[which]][case])
    rates = num_cases / seconds  # (repeats, contenders)
    return {name: Timing(tuple(column)) for name, column in zip(names, rates.T, strict=True)}


def process_seconds(call: Callable[[], Any]) -> float:
    """Return the processor time of one call, without the freeing of its result."""
    start = time.process_time()
    result = call()
    stop = time.process_time()
    del result
    return stop - start


def circumstances(packages: Sequence[str]) -> dict[str, Any]:
    """Return command, commit, date, machine and versions, for a file of results."""
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
    """Return the commit that is measured, with "+" where files differ from it; None outside git."""
    try:
        name = subprocess.run([*GIT, "rev-parse", "--short", "HEAD"], **QUIETLY).stdout.strip()
        changed = subprocess.run([*GIT, "status", "--porcelain", "-uno"], **QUIETLY).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return name + "+" * bool(changed)


def cpu_model() -> str:
    """Return the processor's name as the system gives it."""
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
