"""The contenders: files to metrics; and the steps of ours.

    python -m bench.evaluation.contenders NAME GT RESULTS

runs one in this process and prints metrics, seconds, and MiB above those after the imports.
"""

from __future__ import annotations

import functools
import importlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from bench.harness.memory import peak_mib

Metrics = dict[str, float | None]
Contender = Callable[[Path, Path], Metrics]

T = TypeVar("T")


def ours(threads: int) -> Contender:
    """Return vidgap's evaluation."""
    from vidgap_vis.evaluation import Evaluation

    def evaluate(gt_path: Path, results_path: Path) -> Metrics:
        return Evaluation.of_files(results_path, gt_path, threads=threads).ap()

    return evaluate


def module(name: str) -> Contender:
    """Return `evaluate` of a module of this folder."""
    evaluate: Contender = importlib.import_module(f"bench.evaluation.{name}").evaluate
    if name == "track_eval":
        importlib.import_module("trackeval")
    return evaluate


CONTENDERS: dict[str, Callable[[], Contender]] = {
    "ours": functools.partial(ours, 1),
    "ours, 2 threads": functools.partial(ours, 2),
    "ours, reference": functools.partial(ours, 1),  # with VIDGAP_BACKEND=reference
    "official": functools.partial(module, "official"),
    "TrackEval": functools.partial(module, "track_eval"),
}


def steps(gt_path: Path, results_path: Path) -> dict[str, float]:
    """Return processor seconds of each step of ours, and of all nine intervals."""
    from vidgap_vis.evaluation import intervals, match_videos, overlaps
    from vidgap_vis.evaluation.evaluation import true_tracks
    from vidgap_vis.formats.results import ResultFile
    from vidgap_vis.formats.youtube_vis import read_youtube_vis

    seconds: defaultdict[str, float] = defaultdict(float)

    def timed(name: str, call: Callable[[], T]) -> T:
        start = time.process_time()
        result = call()
        seconds[name] += time.process_time() - start
        return result

    truth = timed("truth", lambda: read_youtube_vis(gt_path))
    with timed("index", lambda: ResultFile(results_path, truth)) as results:
        videos = []
        for video in sorted(truth.videos, key=lambda one: one.id):
            found = timed("tracks", functools.partial(results.tracks, video.id))
            true = timed("tracks", functools.partial(true_tracks, truth, video))
            compare = functools.partial(overlaps, video.id, found, true)
            videos.append(timed("overlaps", compare))
    table = timed("matching", lambda: match_videos(videos))
    timed("metrics", table.summary)
    timed("intervals", lambda: intervals(table))
    return seconds


def main(argv: Sequence[str]) -> int:
    """Run a contender, or "steps"; print its report as JSON."""
    name, *paths = argv
    gt_path, results_path = map(Path, paths)
    if name == "steps":
        steps(gt_path, results_path)  # warms up
        print(json.dumps(steps(gt_path, results_path)))
        return 0
    evaluate = CONTENDERS[name]()
    report: dict[str, object] = {}

    def run() -> None:
        wall, start = time.perf_counter(), time.process_time()
        report["metrics"] = evaluate(gt_path, results_path)
        report["seconds"] = time.process_time() - start
        report["wall_seconds"] = time.perf_counter() - wall

    report["peak_mib"] = peak_mib(run)
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
