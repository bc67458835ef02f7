"""The sinks that a run wants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vidgap_vis.classes import ClassList
from vidgap_vis.inference.jobs import Targets
from vidgap_vis.inference.outputs.crops import CropSink
from vidgap_vis.inference.outputs.lines import LineSink
from vidgap_vis.inference.outputs.mots import MotsSink
from vidgap_vis.inference.outputs.overlays import OverlaySink
from vidgap_vis.inference.outputs.progress import Progress
from vidgap_vis.inference.outputs.results import ResultSink
from vidgap_vis.inference.outputs.sink import Sink
from vidgap_vis.inference.outputs.tables import TableSink


def sinks_of(
    targets: Targets,
    classes: ClassList,
    score: float,
    overlays: OverlaySink,
    kind: Mapping[str, Any],
    progress: Progress | None,
) -> Iterator[Sink]:
    """Yield what writes each kind of output.

    Args:
        targets: what is wanted.
        classes: the model's.
        score: tracks below it in a frame are left out, but in results.
        overlays: what writes overlays, if they are wanted.
        kind: of the run, for one that goes on from its lines.
        progress: how far such a run came; None: it begins.
    """
    if targets.json is not None:
        yield ResultSink(targets.json, classes)
    if targets.jsonl is not None:
        yield LineSink(targets.jsonl, score, classes, kind, progress)
    if targets.mots is not None:
        yield MotsSink(targets.mots, score, classes)
    if targets.csv is not None:
        yield TableSink(targets.csv, score, classes)
    if targets.crops is not None:
        yield CropSink(targets.crops, score)
    if targets.out is not None:
        yield overlays
