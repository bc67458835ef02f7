"""Track videos: overlays to look at, and results in several formats."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from math import inf
from pathlib import Path

from tqdm import tqdm

from vidgap_segmenter import ClipOutput
from vidgap_vis.errors import ConfigError, InputError, check
from vidgap_vis.inference.draw import Draw, Drawing
from vidgap_vis.inference.jobs import Job, Targets, plan
from vidgap_vis.inference.outputs import (
    Ended,
    Event,
    Looked,
    Outputs,
    OverlaySink,
    Saved,
    Shown,
    sinks_of,
)
from vidgap_vis.inference.outputs.progress import Progress
from vidgap_vis.inference.outputs.replay import replayed
from vidgap_vis.inference.pipeline import Pipeline, each, interrupt_held_back
from vidgap_vis.inference.resuming import progress_of, run_kind
from vidgap_vis.inference.rounds import Steps, Task, Turn, rounds, turns
from vidgap_vis.inference.segmenter import VideoSegmenter
from vidgap_vis.inference.stream import Stream
from vidgap_vis.inference.two_passes import TwoPasses
from vidgap_vis.video.sources import WHOLE, SourceGoneError, Span

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
        fps: frames a second of an input that does not say (folders, data sets), for its overlay.
        min_short_edge: smaller frames are enlarged for the overlay by a whole factor.
        progress: show a bar.
        batch_videos: how many videos advance together, their frames sharing steps of the model
            where they have one size; results are the same to rounding. Worth it on a GPU.
        span: which frames of each video; results count those that are taken.
        draw: what an overlay shows.
        strict: a packet of a video that does not decode, or a change of its size, is an error.
        save_every: with lines, frames after which a run that ends early can go on.
        pipeline: decode, segment, make masks, draw and encode at the same time, in a thread each;
            False: one after the other, in the caller's thread, with the same results.
    """

    latency: int | None = None
    score: float = 0.3
    fps: float = 10.0
    min_short_edge: int = 240
    progress: bool = True
    batch_videos: int = 1
    span: Span = WHOLE
    draw: Sequence[str] = Draw.usual
    strict: bool = False
    save_every: int = 100
    pipeline: bool = True

    def __post_init__(self) -> None:
        check("latency", self.latency is None or self.latency >= 1, "1 frame or more", self.latency)
        check("score", 0 <= self.score <= 1, "in 0..1", self.score)
        check("fps", 0 < self.fps < inf, "above 0", self.fps)
        check("min_short_edge", self.min_short_edge >= 0, "0 or more", self.min_short_edge)
        check("batch_videos", self.batch_videos >= 1, "1 or more", self.batch_videos)
        check("save_every", self.save_every >= 1, "1 or more", self.save_every)
        Draw.of(self.draw)


@dataclass(frozen=True)
class PredictSummary:
    """What `predict` did.

    Attributes:
        overlays: those it wrote.
        written: all it wrote, files and folders.
        num_videos: how many videos there were.
        num_frames: how many frames it showed, without those of a run that it goes on from.
        seconds: for how long.
    """

    overlays: tuple[Path, ...]
    written: tuple[Path, ...]
    num_videos: int
    num_frames: int
    seconds: float


class Stopped(KeyboardInterrupt):
    """A run was asked to stop, and kept what it had done. It survives pickling.

    Attributes:
        summary: of that.
    """

    def __init__(self, summary: PredictSummary) -> None:
        self.summary = summary
        files = ", ".join(map(str, summary.written)) or "no file"
        super().__init__(f"stopped after {summary.num_frames} frames; they are in {files}")

    def __reduce__(self) -> tuple[type[Stopped], tuple[PredictSummary]]:
        return type(self), (self.summary,)


def predict(
    inputs: str | Path | Sequence[str | Path],
    segmenter: VideoSegmenter,
    *,
    out: str | Path | None = None,
    json: str | Path | None = None,
    jsonl: str | Path | None = None,
    mots: str | Path | None = None,
    csv: str | Path | None = None,
    crops: str | Path | None = None,
    images_root: str | Path | None = None,
    weights: str | Path | None = None,
    resume: bool = False,
    options: PredictOptions | None = None,
) -> PredictSummary:
    """Track every video given; frames and masks go to disk as they come.

    At Ctrl-C, or when a camera or a stream goes away, the outputs get what was done until then;
    after any other error, what belongs to videos that have ended stays, and the lines.

    Args:
        inputs: one or several that `named_videos` opens, whose video ids are 1, 2, ...; or one
            YouTube-VIS JSON, whose ids are kept.
        segmenter: the model and its tracker. Its score threshold does not matter here.
        out: the overlay; for several videos, or a JSON, a folder of overlays. None: no overlay.
        json: the results file in YouTube-VIS's format, of all tracks whatever their score.
        jsonl: a line of JSON for each frame and event, written as they come.
        mots: a MOTS text file; for several videos a folder.
        csv: a table with a row a track.
        crops: a folder for cut-outs of every track.
        images_root: the folder from which the frames of a JSON are named.
        weights: the model's folder, where it is on disk: no output may replace it.
        resume: go on where a run with the same `jsonl` ended. `json` cannot be made then.
        options: see `PredictOptions`.

    Raises:
        InputError: an input is missing or broken, or an output cannot be written.
        ConfigError: the latency is none of the tracker's, or there is nothing to resume.
        Stopped: Ctrl-C came.
    """
    options = options or PredictOptions()
    inputs = [inputs] if isinstance(inputs, str | Path) else inputs
    start = time.perf_counter()
    given = {"out": out, "json": json, "jsonl": jsonl, "mots": mots, "csv": csv, "crops": crops}
    targets = Targets(**{name: Path(path) for name, path in given.items() if path is not None})
    jobs = plan(
        inputs,
        segmenter.classes,
        targets,
        images_root=images_root,
        weights=weights,
        span=options.span,
        strict=options.strict,
        resume=resume,
    )
    try:  # before anything is written; the first video's, for a tracker is made for each in turn
        first = segmenter.open(options.latency, score_threshold=0.0)
    except InputError:
        raise  # of a tracker of one's own
    except ValueError as error:
        raise ConfigError("", "--latency", str(error)) from error
    score, classes = options.score, segmenter.classes
    others = {"score": score, "frames": options.span, "strict": options.strict}
    kind = run_kind(inputs, jobs, segmenter, first, weights, **others)
    progress = progress_of(targets, kind, first, jobs) if resume else None
    lengths = [job.source.num_frames for job in jobs]
    total = None if None in lengths else sum(length or 0 for length in lengths)
    overlays = OverlaySink(options.fps / options.span.every, options.min_short_edge)
    stop: BaseException | None = None
    with ExitStack() as stack:
        bar = stack.enter_context(tqdm(total=total, unit="frame", disable=not options.progress))
        wanted = sinks_of(targets, classes, score, overlays, kind, progress)
        outputs = Outputs([stack.enter_context(sink) for sink in wanted], bar, len(jobs))
        drawing = Drawing(Draw.of(options.draw), score, options.min_short_edge)
        tasks = tasks_of(jobs, first, segmenter, options, targets, progress)
        if progress is not None:
            going = next(tasks)
            tasks = chain([going], tasks)
            repeat(progress, going, jobs, options.span.every, targets, outputs, drawing)
        try:
            with Pipeline(threads=options.pipeline) as pipeline:
                for event in stages(pipeline, tasks, segmenter, options, targets, drawing):
                    with interrupt_held_back():
                        outputs.take(event)
                    del event  # nothing is held while the next one comes
        except (KeyboardInterrupt, SourceGoneError) as error:
            stop = error
            outputs.end_early(segmenter.top_k, MIN_SCORE)
        else:
            outputs.done()
    summary = PredictSummary(
        overlays=tuple(overlays.written),
        written=tuple(outputs.written),
        num_videos=len(jobs),
        num_frames=outputs.num_frames,
        seconds=time.perf_counter() - start,
    )
    if isinstance(stop, KeyboardInterrupt):
        raise Stopped(summary) from stop
    if stop is not None:
        raise stop
    return summary


def repeat(
    progress: Progress,
    going: Task,
    jobs: Sequence[Job],
    every: int,
    targets: Targets,
    outputs: Outputs,
    drawing: Drawing,
) -> None:
    """Write anew what a run had done, but for its lines.

    Args:
        progress: how far it came.
        going: the video that was not at its end.
        jobs: all videos.
        every: how many frames of a source make one of the run.
        targets: what is to be written.
        outputs: of the run that goes on.
        drawing: draws overlays.
    """
    if all(sink.kept for sink in outputs.sinks):
        return

    def task_of(number: int) -> Task:
        if number == going.number:
            return going
        return replace(going, number=number, job=jobs[number], resumed=None)

    classes, pictures = going.video.classes, targets.shows
    for event in replayed(progress, task_of, classes, every=every, pictures=pictures):
        with interrupt_held_back():  # or a frame would be written in part
            outputs.take(drawing(event), again=True)


def tasks_of(
    jobs: Sequence[Job],
    first: Stream | TwoPasses,
    segmenter: VideoSegmenter,
    options: PredictOptions,
    targets: Targets,
    progress: Progress | None,
) -> Iterator[Task]:
    """Yield the videos that are left; trackers are made one at a time."""
    begins = 0 if progress is None else progress.number
    later = (segmenter.open(options.latency, score_threshold=0.0) for _ in jobs[begins + 1 :])
    saves = targets.jsonl is not None and options.batch_videos == 1
    for number, video in enumerate(chain([first], later), begins):
        resumed = None
        if progress is not None and number == begins and isinstance(video, Stream):
            resumed = progress.into(video, segmenter.device)
        one_pass = isinstance(video, Stream) and not jobs[number].source.live
        save_every = options.save_every if saves and one_pass else None
        yield Task(number, jobs[number], video, save_every, resumed)


def stages(
    pipeline: Pipeline,
    tasks: Iterable[Task],
    segmenter: VideoSegmenter,
    options: PredictOptions,
    targets: Targets,
    drawing: Drawing,
) -> Iterator[Event]:
    """Yield what becomes of videos, made in stages that work at the same time.

    What a stage hands on, only the next one touches. The network goes ahead of the tracker, as it
    does not depend on it; masks stay with the tracker, which is told their scores before its next
    step. A network's outputs are large, so one at a time waits.
    """
    taken = pipeline.ahead(rounds(map(turns, tasks), options.batch_videos), name="decode")
    seen = pipeline.ahead(each(Steps(segmenter.step), taken), name="network")
    made = events(seen, segmenter.top_k, pictures=targets.shows)
    found = pipeline.ahead(made, capacity=2, name="masks")
    if targets.out is not None:
        found = pipeline.ahead(each(drawing, found), capacity=2, name="draw")
    return found


def events(
    seen: Iterable[list[tuple[Turn, ClipOutput | None]]], top_k: int, *, pictures: bool
) -> Iterator[Event]:
    """Yield what becomes of videos whose frames the network has seen."""
    for pairs in seen:
        while pairs:  # outputs are dropped as soon as their masks are made
            yield from followed(*pairs.pop(0), top_k, pictures=pictures)


def followed(turn: Turn, output: ClipOutput | None, top_k: int, *, pictures: bool) -> list[Event]:
    """Track a group of frames, or rank the tracks at a video's end."""
    task, group = turn.task, turn.group
    if group is None or output is None:
        return [Ended(task, task.video.finish().best(top_k, MIN_SCORE))]
    shown = task.video.take(group, output)
    if group.look:
        return [Looked(task, len(group.pixels))]
    found: list[Event] = [
        Shown(task, frame.index, frame.time, result, frame.picture if pictures else None)
        for frame, result in shown
    ]
    if turn.save is not None:
        state = {
            "network": turn.state,
            "tracker": task.video.tracker.state_dict(),
            "shared": group.pixels[len(group.pixels) - group.repeated_next :],
        }
        found.append(Saved(task, turn.save, state))
    return found
