"""A summary of `bench.run`'s files: our fastest on each work, beside the reference and others.

python -m bench.harness.summary bench/results/*-cuda.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from tabulate import tabulate

OURS = ("native", "triton")
HEADINGS = ("work", "ours", "ms", "graph ms", "x reference", "x official", "% of floor")


def main(argv: Sequence[str]) -> int:
    """Print the table; return the exit status: 1 where something disagreed."""
    rows: list[list[str]] = []
    faults: list[str] = []
    for path in argv:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
        if "rows" not in report:
            print(f"{path}: has a table of its own, which its run prints")
            continue
        rows += cells(report["rows"])
        faults += [f"DISAGREES: {one}" for one in report["agreement"] if not one["agrees"]]
        faults += [f"FAILED: {one}" for one in report["failed"]]
    aligned = ["left", "left", *["right"] * 5]
    print(tabulate(rows, HEADINGS, disable_numparse=True, colalign=aligned))
    print("\n".join(faults))
    return 1 if any(fault.startswith("DISAGREES") for fault in faults) else 0


def cells(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return a row of the table for each work on which one of ours was timed."""
    found = []
    for work, group in groupby(rows, key=title):
        ours = [row for row in group if row["implementation"].startswith(OURS)]
        if ours:
            best = min(ours, key=milliseconds)
            graph = best.get("graph_ms")
            found.append(
                [
                    work,
                    best["implementation"],
                    f"{milliseconds(best):.3f}",
                    f"{graph['median']:.3f}" if isinstance(graph, dict) else "-",
                    str(best["times_reference"] or "-"),
                    str(best["times_official"] or "-"),
                    str(best["percent_of_floor"]),
                ]
            )
    return found


def title(row: dict[str, Any]) -> str:
    """Return the heading of a group: what its rows share."""
    height, width = row["size"]
    threads = "" if "event_ms" in row else f" {row['threads']} thr"
    what = f"{row['op']} {height}x{width} T={row['frames']} {row['dtype']}"
    return f"{what} {row['pass']}{threads}"


def milliseconds(row: dict[str, Any]) -> float:
    """Return the time that counts, as `bench.run` prints it."""
    if "event_ms" in row:
        kind = "event_ms"
    else:
        kind = "process_ms" if row["threads"] == 1 else "wall_ms"
    return float(row[kind]["median"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
