"""Track videos: overlays to look at, and results in YouTube-VIS's format."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from pathlib import Path

from tqdm import tqdm

from vidgap_vis.classes import ClassList
from vidgap_vis.errors import ConfigError, InputError, check
from vidgap_vis.formats.images import Picture
from vidgap_vis.formats.result_writer import ResultEntry, ResultWriter
from vidgap_vis.inference.frame_result import FrameResult
from vidgap_vis.inference.jobs import Job, plan
from vidgap_vis.inference.segmenter import VideoSegmenter
from vidgap_vis.inference.stream import Stream
from vidgap_vis.inference.two_passes import TwoPasses
from vidgap_vis.trackers import VideoTracks
from vidgap_vis.video.overlay import display_scale, draw_tracks
from vidgap_vis.video.write import OverlayWriter

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
    """

    latency: int | None = None
    score: float = 0.3
    fps: float = 10.0
    min_short_edge: int = 240
    progress: bool = True

    def __post_init__(self) -> None:
        check("latency", self.latency is None or self.latency >= 1, "1 frame or more", self.latency)
        check("score", 0 <= self.score <= 1, "in 0..1", self.score)
        check("fps", 0 < self.fps < inf, "above 0", self.fps)
        check("min_short_edge", self.min_short_edge >= 0, "0 or more", self.min_short_edge)


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
            earlier videos stay; the results file appears whole or not at all.
        ConfigError: the latency is none of the tracker's.
    """
    options = options or PredictOptions()
    start = time.perf_counter()
    jobs = plan(
        inputs, segmenter.classes, out=out, json=json, images_root=images_root, weights=weights
    )
    try:  # before anything is written; the first video's, for a tracker is made for each in turn
        video = segmenter.open(options.latency, score_threshold=0.0)
    except ValueError as error:
        raise ConfigError("", "--latency", str(error)) from error
    lengths = [job.source.num_frames for job in jobs]
    total = None if None in lengths else sum(length or 0 for length in lengths)
    num_frames = 0
    with ExitStack() as stack:
        writer = stack.enter_context(ResultWriter(json)) if json is not None else None
        bar = stack.enter_context(tqdm(total=total, unit="frame", disable=not options.progress))
        for number, job in enumerate(jobs, start=1):
            bar.set_description(f"video {number}/{len(jobs)}")
            if number > 1:
                video = segmenter.open(options.latency, score_threshold=0.0)
            num_frames += predict_video(job, video, segmenter, writer, options, bar)
    overlays = tuple(job.overlay for job in jobs if job.overlay is not None)
    return PredictSummary(overlays, len(jobs), num_frames, time.perf_counter() - start)


def predict_video(
    job: Job,
    video: Stream | TwoPasses,
    segmenter: VideoSegmenter,
    writer: ResultWriter | None,
    options: PredictOptions,
    bar: tqdm,
) -> int:
    """Track one video; return its number of frames."""
    scale = display_scale(job.source.size, options.min_short_edge)
    num_frames = 0
    with ExitStack() as stack:
        overlay = None
        if job.overlay is not None:
            height, width = job.source.size
            fps = job.source.fps or Fraction(options.fps)
            overlay = stack.enter_context(
                OverlayWriter(job.overlay, fps, (scale * height, scale * width))
            )
        if isinstance(video, TwoPasses):
            look(video, job, bar)
        for frame, result in video.track(job.source):
            if writer is not None:
                record(writer, job.video_id, result)
            if overlay is not None:
                overlay.write(draw_result(frame, result.above(options.score), scale))
            num_frames += 1
            bar.update()
        found = video.finish().best(segmenter.top_k, MIN_SCORE)
    if writer is not None:
        writer.finish_video(job.video_id, num_frames, listed(found, segmenter.classes))
    return num_frames


def look(video: TwoPasses, job: Job, bar: tqdm) -> None:
    """Take the first of two passes over a video.

    Raises:
        InputError: it is a camera or a pipe, which gives each frame once.
    """
    path = job.source.path
    if path.is_char_device() or path.is_fifo():
        message = "the tracker goes through a video twice; a camera or a pipe gives it once"
        raise InputError(path, "", message)
    with tqdm(desc="first pass", unit="frame", disable=bar.disable, leave=False) as passed:
        video.look(passed_on(job.source, passed))


def passed_on(frames: Iterable[Picture], bar: tqdm) -> Iterator[Picture]:
    """Yield frames and count them."""
    for frame in frames:
        yield frame
        bar.update()


def record(writer: ResultWriter, video_id: int, result: FrameResult) -> None:
    """Write the masks of a frame to disk."""
    for track_id, rle, score in zip(
        result.track_ids.tolist(), result.rles, result.mask_scores, strict=True
    ):
        if score > 0:  # an empty mask, which the files write as null, has none
            writer.add(video_id, result.frame_index, track_id, rle)
    for span in result.retracted:
        writer.retract(video_id, *span)


def listed(tracks: VideoTracks, classes: ClassList) -> list[ResultEntry]:
    """Return the tracks of a video as results files list them."""
    return [ResultEntry(id_, classes[label].category_id, score) for id_, label, score in tracks]


def draw_result(frame: Picture, result: FrameResult, scale: int = 1) -> Picture:
    """Draw the tracks of a frame, each with its class, id and score."""
    captions = [
        f"{name} {track_id} {score:.2f}"
        for name, track_id, score in zip(result.names, result.track_ids, result.scores, strict=True)
    ]
    return draw_tracks(frame, result.rles, result.track_ids.tolist(), captions, scale=scale)
