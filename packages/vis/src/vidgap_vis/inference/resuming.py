"""Runs of `predict` that go on where they ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidgap_vis.errors import ConfigError
from vidgap_vis.inference.jobs import Job, Targets
from vidgap_vis.inference.outputs.progress import Progress
from vidgap_vis.inference.segmenter import VideoSegmenter
from vidgap_vis.inference.stream import Stream
from vidgap_vis.inference.two_passes import TwoPasses
from vidgap_vis.trackers import Tracker
from vidgap_vis.video.sources.streams import without_password


def run_kind(
    inputs: Sequence[str | Path],
    jobs: Sequence[Job],
    segmenter: VideoSegmenter,
    video: Stream | TwoPasses,
    weights: str | Path | None,
    **options: Any,
) -> dict[str, Any]:
    """Return what must be the same where a run goes on.

    Args:
        inputs: as they were given.
        jobs: the videos that they stand for.
        segmenter: the model.
        video: a stream of its.
        weights: where the model is on disk.
        **options: that change what lines hold.
    """
    return {
        "inputs": [without_password(str(name)) for name in inputs],
        "videos": [
            [job.video_id, job.name, without_password(str(job.source.path)), *job.source.size]
            for job in jobs
        ],
        "model": None if weights is None else str(weights),
        "classes": [info.name for info in segmenter.classes],
        "tracker": settings_of(video.tracker),
        "latency": video.latency,
        "labels": segmenter.step.class_weights.tolist(),
        "short_edge": segmenter.step.short_edge,
        "max_size": segmenter.step.max_size,
        "dtype": segmenter.step.dtype,
        "top_k": segmenter.top_k,
        **{name: str(value) for name, value in options.items()},
    }


def settings_of(tracker: Tracker) -> str:
    """Return what a tracker, its associator and its head go by."""
    parts = [tracker, *(getattr(tracker, name, None) for name in ("associator", "head"))]
    words = []
    for part in parts:
        if part is not None:
            names = ("options", "clip_frames", "max_memory")
            given = {name: getattr(part, name, None) for name in names}
            shown = ", ".join(f"{name}={one}" for name, one in given.items() if one is not None)
            words.append(f"{type(part).__name__}({shown})")
    return " by ".join(words)


def progress_of(
    targets: Targets, kind: Mapping[str, Any], video: Stream | TwoPasses, jobs: Sequence[Job]
) -> Progress:
    """Read how far a run came.

    Args:
        targets: what is to be written.
        kind: of the run.
        video: a stream of its.
        jobs: all of it.

    Raises:
        ConfigError: it cannot go on, or there is nothing to go on from.
        InputError: its state is damaged.
    """
    if targets.jsonl is None:
        raise ConfigError("", "--resume", "goes on from the lines of a run; give its --jsonl")
    if targets.json is not None:
        message = "cannot be made of a run that goes on, as its lines leave out low scores"
        raise ConfigError("", "--json", message)
    if isinstance(video, TwoPasses):
        message = "the tracker goes through a whole video before it shows a frame"
        raise ConfigError("", "--resume", message)
    if any(job.source.live for job in jobs):
        raise ConfigError("", "--resume", "a camera or a stream cannot be gone through again")
    return Progress(targets.jsonl, kind)
