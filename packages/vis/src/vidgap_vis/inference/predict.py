"""Track videos: overlays to look at, and results in YouTube-VIS's format."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from math import inf
from pathlib import Path

from tqdm import tqdm

from vidgap_segmenter import ClipOutput
from vidgap_vis.errors import ConfigError, check
from vidgap_vis.formats.images import Picture
from vidgap_vis.formats.result_writer import ResultWriter
from vidgap_vis.inference.frame_result import FrameResult
from vidgap_vis.inference.jobs import Job, plan
from vidgap_vis.inference.outputs import Ended, Event, Looked, Outputs, Shown
from vidgap_vis.inference.pipeline import Pipeline, each
from vidgap_vis.inference.rounds import Steps, Task, Turn, rounds, turns
from vidgap_vis.inference.segmenter import VideoSegmenter
from vidgap_vis.inference.stream import Stream
from vidgap_vis.inference.two_passes import TwoPasses
from vidgap_vis.video.overlay import display_scale, draw_tracks

MIN_SCORE = 0.01
"""Pairs of a track and a class below it are not listed in the results."""


@dataclass(frozen=True)
class PredictOptions:
    """How videos are predicted.

    Attributes:
        latency: frames that the model sees at once; more gained nothing where it was measured
            (docs/results/identity.md), but a network that is small works faster on several. None:
            1, or a clip of the tracker's.
        score: tracks below it are not drawn; the results file lists them all the same.
        fps: frames a second of an overlay whose input does not say (folders, data sets).
        min_short_edge: smaller frames are enlarged for the overlay by a whole factor.
        progress: show a bar.
        batch_videos: how many videos advance together, their frames sharing steps of the model
            where they have one size; results are the same to rounding. Worth it on a GPU.
        pipeline: decode, segment, make masks, draw and encode at the same time, in a thread each;
            False: one after the other, in the caller's thread, with the same results.
    """

    latency: int | None = None
    score: float = 0.3
    fps: float = 10.0
    min_short_edge: int = 240
    progress: bool = True
    batch_videos: int = 1
    pipeline: bool = True

    def __post_init__(self) -> None:
        check("latency", self.latency is None or self.latency >= 1, "1 frame or more", self.latency)
        check("score", 0 <= self.score <= 1, "in 0..1", self.score)
        check("fps", 0 < self.fps < inf, "above 0", self.fps)
        check("min_short_edge", self.min_short_edge >= 0, "0 or more", self.min_short_edge)
        check("batch_videos", self.batch_videos >= 1, "1 or more", self.batch_videos)


@dataclass(frozen=True)
class PredictSummary:
    """What `predict` did: the overlays it wrote, how many frames it saw, and for how long."""

    overlays: tuple[Path, ...]
    num_videos: int
    num_frames: int
    seconds: float


def predict(
    inputs: Sequence[str | Path],
    segmenter: VideoSegmenter,
    *,
    out: str | Path | None = None,
    json: str | Path | None = None,
    images_root: str | Path | None = None,
    weights: str | Path | None = None,
    options: PredictOptions | None = None,
) -> PredictSummary:
    """Track every video given; frames and masks go to disk as they come.

    Args:
        inputs: video files and folders of frames, whose video ids are 1, 2, ...; or one
            YouTube-VIS JSON, whose ids are kept.
        segmenter: the model and its tracker. Its score threshold does not matter here.
        out: the overlay; for several videos, or a JSON, a folder of overlays. None: no overlay.
        json: the results file. None: no results.
        images_root: the folder from which the frames of a JSON are named.
        weights: the model's folder, where it is on disk: no output may replace it.
        options: see `PredictOptions`.

    Raises:
        InputError: an input is missing or broken, or an output cannot be written. Overlays of
            videos that have ended stay; the results file appears whole or not at all.
        ConfigError: the latency is none of the tracker's.
    """
    options = options or PredictOptions()
    start = time.perf_counter()
    jobs = plan(
        inputs, segmenter.classes, out=out, json=json, images_root=images_root, weights=weights
    )
    try:  # before anything is written; the first video's, for a tracker is made for each in turn
        first = segmenter.open(options.latency, score_threshold=0.0)
    except ValueError as error:
        raise ConfigError("", "--latency", str(error)) from error
    lengths = [job.source.num_frames for job in jobs]
    total = None if None in lengths else sum(length or 0 for length in lengths)
    with ExitStack() as stack:
        writer = stack.enter_context(ResultWriter(json)) if json is not None else None
        bar = stack.enter_context(tqdm(total=total, unit="frame", disable=not options.progress))
        outputs = Outputs(
            writer,
            bar,
            len(jobs),
            segmenter.classes,
            fps=options.fps,
            min_short_edge=options.min_short_edge,
        )
        stack.enter_context(outputs)
        pipeline = stack.enter_context(Pipeline(threads=options.pipeline))
        for event in stages(pipeline, jobs, first, segmenter, options):
            outputs.take(event)
            del event  # nothing is held while the next one comes
    overlays = tuple(job.overlay for job in jobs if job.overlay is not None)
    seconds = time.perf_counter() - start
    return PredictSummary(overlays, len(jobs), outputs.num_frames, seconds)


def stages(
    pipeline: Pipeline,
    jobs: Sequence[Job],
    first: Stream | TwoPasses,
    segmenter: VideoSegmenter,
    options: PredictOptions,
) -> Iterator[Event]:
    """Yield what becomes of videos, made in stages that work at the same time.

    What a stage hands on, only the next one touches. The network goes ahead of the tracker, as it
    does not depend on it; masks stay with the tracker, which is told their scores before its next
    step. A network's outputs are large, so one at a time waits.
    """
    later = (segmenter.open(options.latency, score_threshold=0.0) for _ in jobs[1:])
    videos = (
        turns(Task(number, job, video))
        for number, (job, video) in enumerate(zip(jobs, chain([first], later), strict=True))
    )
    taken = pipeline.ahead(rounds(videos, options.batch_videos), name="decode")
    seen = pipeline.ahead(each(Steps(segmenter.step), taken), name="network")
    found = pipeline.ahead(events(seen, segmenter.top_k), capacity=2, name="masks")
    if any(job.overlay is not None for job in jobs):
        found = pipeline.ahead(each(partial(drawn, options), found), capacity=2, name="draw")
    return found


def events(seen: Iterable[list[tuple[Turn, ClipOutput | None]]], top_k: int) -> Iterator[Event]:
    """Yield what becomes of videos whose frames the network has seen."""
    for pairs in seen:
        while pairs:  # outputs are dropped as soon as their masks are made
            yield from followed(*pairs.pop(0), top_k)


def followed(turn: Turn, output: ClipOutput | None, top_k: int) -> list[Event]:
    """Track a group of frames, or rank the tracks at a video's end."""
    task, group = turn.task, turn.group
    if group is None or output is None:
        return [Ended(task, task.video.finish().best(top_k, MIN_SCORE))]
    shown = task.video.take(group, output)
    if group.look:
        return [Looked(task, len(group.pixels))]
    wanted = task.job.overlay is not None
    return [Shown(task, frame if wanted else None, result) for frame, result in shown]


def drawn(options: PredictOptions, event: Event) -> Event:
    """Draw the tracks of a frame that is shown, if an overlay is wanted of it."""
    if not isinstance(event, Shown) or event.picture is None:
        return event
    scale = display_scale(event.result.size, options.min_short_edge)
    result = event.result.above(options.score)
    return replace(event, picture=draw_result(event.picture, result, scale))


def draw_result(frame: Picture, result: FrameResult, scale: int = 1) -> Picture:
    """Draw the tracks of a frame, each with its class, id and score."""
    captions = [
        f"{name} {track_id} {score:.2f}"
        for name, track_id, score in zip(result.names, result.track_ids, result.scores, strict=True)
    ]
    return draw_tracks(frame, result.rles, result.track_ids.tolist(), captions, scale=scale)
