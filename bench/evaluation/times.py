"""Seconds and memory from files to track AP, beside TrackEval and the official algorithm.

Data sets are made up (`bench/evaluation/sets.py`), as large as the benchmarks' validation sets. All
contenders must agree in all nine metrics to 1e-9; else nothing is said of their times. Each runs in
a process of its own, the fast ones several times, turn by turn: processor seconds, reading
included, and the rise of the resident set above what it is after the imports. On one OVIS video in
ten the slow ones run, too. NumPy's threads are one, as the processes are told.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tabulate import tabulate

from bench.evaluation.sets import OVIS, YOUTUBE_VIS, SetShape, write_set
from bench.harness.timing import circumstances

PACKAGES = ["vidgap-vis", "numpy", "pycocotools", "trackeval"]
OURS = ("ours", "ours, 2 threads", "ours, reference")
ALL = (*OURS, "official", "TrackEval")
REPEATED = ("ours", "ours, 2 threads", "official")
TOLERANCE = 1e-9
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Case:
    """A data set and those who evaluate it."""

    shape: SetShape
    contenders: tuple[str, ...]


def cases(divisor: int) -> tuple[Case, ...]:
    """Return the data sets of a run."""
    return (
        Case(YOUTUBE_VIS.part(divisor), ALL),
        Case(OVIS.part(divisor), OURS),
        Case(OVIS.part(10 * divisor, plain=True), ALL),  # TrackEval wants lists
    )


def measure(amount: tuple[int, int], path: Path | None) -> bool:
    """Check, measure, print, and write to a file, if there is one; return whether all agree.

    Args:
        amount: one video in how many of each set, and how many runs of those that are fast.
        path: the file.
    """
    divisor, repeats = amount
    report: dict[str, Any] = circumstances(PACKAGES) | {"sets": []}
    for case in cases(divisor):
        with tempfile.TemporaryDirectory() as folder:
            files = write_set(case.shape, Path(folder))
            first = {name: run(name, files) for name in case.contenders}
            difference = largest_difference([one["metrics"] for one in first.values()])
            print(f"{title(case.shape)}: metrics differ by {difference:.1e} at most")
            if not difference <= TOLERANCE:
                print(f"more than {TOLERANCE}: no times", file=sys.stderr)
                return False
            runs = {name: [one] for name, one in first.items()}
            for _ in range(repeats - 1):
                for name in filter(runs.__contains__, REPEATED):
                    runs[name].append(run(name, files))
            one = {
                "set": case.shape.name,
                "videos": case.shape.num_videos,
                "megabytes": [round(file.stat().st_size / 1e6, 1) for file in files],
                "difference": difference,
                "metrics": first["ours"]["metrics"],
                "steps": run("steps", files),
                "rows": rows(runs),
            }
        report["sets"].append(one)
        print_table(one)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(f"\nwritten: {path}")
    return True


def run(name: str, files: Sequence[Path]) -> dict[str, Any]:
    """Run a contender in a process of its own; return what it reports."""
    backend = {"VIDGAP_BACKEND": "reference"} if name == "ours, reference" else {}
    done = subprocess.run(
        [sys.executable, "-m", "bench.evaluation.contenders", name, *files],
        env=os.environ | ONE_THREAD | backend,
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def largest_difference(metrics: Sequence[Mapping[str, float | None]]) -> float:
    """Return how far the others are from the first; infinite where just one knows a metric."""
    largest = 0.0
    for name, wanted in metrics[0].items():
        for other in metrics[1:]:
            got = other[name]
            if got is None or wanted is None:
                largest = largest if got is wanted else float("inf")
            else:
                largest = max(largest, abs(got - wanted))
    return largest


def rows(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return the median times and the largest memory of each contender."""
    ours = median(one["seconds"] for one in runs["ours"])
    found = []
    for name, reports in runs.items():
        seconds = [one["seconds"] for one in reports]
        peaks = [one["peak_mib"] for one in reports]
        found.append(
            {
                "contender": name,
                "runs": len(reports),
                "seconds": [round(f(seconds), 3) for f in (median, min, max)],
                "wall_seconds": round(median(one["wall_seconds"] for one in reports), 3),
                "times_ours": round(median(seconds) / ours, 2),
                "peak_mib": None if None in peaks else round(max(peaks)),
            }
        )
    return found


def title(shape: SetShape) -> str:
    """Return a set in words."""
    return f"{shape.name}, {shape.num_videos} videos"


def print_table(one: Mapping[str, Any]) -> None:
    """Print the rows of a set, and the steps of ours."""
    cells = [
        [
            row["contender"],
            "{:.2f} [{:.2f}, {:.2f}]".format(*row["seconds"]),
            f"{row['wall_seconds']:.2f}",
            f"{row['times_ours']:.1f}",
            "-" if row["peak_mib"] is None else str(row["peak_mib"]),
        ]
        for row in one["rows"]
    ]
    heads = ("", "processor s [least, most]", "wall s", "x ours", "MiB")
    aligned = ("left", "right", "right", "right", "right")
    print(tabulate(cells, heads, disable_numparse=True, colalign=aligned))
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in one["steps"].items())
    print(f"ours, processor s: {parts}\n")
