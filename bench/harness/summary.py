"""The files of `bench.run` in short: our fastest on each work, beside the reference and others.

python -m bench.harness.summary bench/results/*-cuda.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

OURS = ("native", "triton")
HEADINGS = ("work", "ours", "ms", "graph ms", "x reference", "x official", "% of floor")
LAYOUT = "{:<64}{:<28}{:>10}{:>10}{:>13}{:>12}{:>12}"


def main(argv: Sequence[str]) -> int:
    """Print the table; return the exit status: 1 where something disagreed."""
    print(LAYOUT.format(*HEADINGS))
    good = True
    for path in argv:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
        if "rows" not in report:
            print(f"{path}: has a table of its own, which its run prints")
            continue
        for line in lines(report["rows"]):
            print(line)
        for verdict in report["agreement"]:
            if not verdict["agrees"]:
                good = False
                print(f"DISAGREES: {verdict}")
        for failure in report["failed"]:
            print(f"FAILED: {failure}")
    return 0 if good else 1


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return a line for each work on which something of ours was timed."""
    found = []
    for work, group in groupby(rows, key=title):
        ours = [row for row in group if row["implementation"].startswith(OURS)]
        if ours:
            best = min(ours, key=milliseconds)
            graph = best.get("graph_ms")
            found.append(
                LAYOUT.format(
                    work,
                    best["implementation"],
                    f"{milliseconds(best):.3f}",
                    f"{graph['median']:.3f}" if isinstance(graph, dict) else "-",
                    best["times_reference"] or "-",
                    best["times_official"] or "-",
                    best["percent_of_floor"],
                )
            )
    return found


def title(row: dict[str, Any]) -> str:
    """Return what the contenders of a group have in common."""
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
