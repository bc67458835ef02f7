"""Track videos: overlays to look at, and results in YouTube-VIS's format."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from math import inf
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from vidgap_vis.classes import ClassList
from vidgap_vis.data.youtube_vis import VideoInfo, VideoSet, read_youtube_vis
from vidgap_vis.errors import ConfigError, InputError
from vidgap_vis.frame_result import FrameResult
from vidgap_vis.outputs import check_output
from vidgap_vis.overlay import display_scale, draw_tracks
from vidgap_vis.results import ResultWriter, TrackScore
from vidgap_vis.segmenter import VideoSegmenter
from vidgap_vis.track_scores import TrackScores
from vidgap_vis.video_io import DatasetVideo, Frame, FrameSource, OverlayWriter, open_video


@dataclass(frozen=True)
class PredictOptions:
    """How videos are predicted.

    Attributes:
        latency: frames that the model sees at once.
        score: tracks below it are not drawn; the results file lists them all the same.
        top_k: how many pairs of track and class a video lists in the results.
        fps: frames a second of an overlay whose input does not say (folders, data sets).
        min_short_edge: smaller frames are enlarged for the overlay by a whole factor.
        progress: show a bar.
    """

    latency: int = 10
    score: float = 0.3
    top_k: int = 20
    fps: float = 10.0
    min_short_edge: int = 240
    progress: bool = True

    def __post_init__(self) -> None:
        _check("latency", self.latency >= 1, "1 frame or more", self.latency)
        _check("score", 0 <= self.score <= 1, "in 0..1", self.score)
        _check("top_k", self.top_k >= 1, "1 or more", self.top_k)
        _check("fps", 0 < self.fps < inf, "above 0", self.fps)
        _check("min_short_edge", self.min_short_edge >= 0, "0 or more", self.min_short_edge)


@dataclass(frozen=True)
class PredictSummary:
    """What `predict` did: the overlays it wrote, how many frames it saw, and for how long."""

    overlays: tuple[Path, ...]
    num_videos: int
    num_frames: int
    seconds: float


@dataclass(frozen=True)
class Job:
    """One video to predict; `overlay` is the file to write, or None."""

    video_id: int
    source: FrameSource
    overlay: Path | None


def predict(
    inputs: Sequence[str | Path],
    segmenter: VideoSegmenter,
    *,
    out: str | Path | None = None,
    json: str | Path | None = None,
    images_root: str | Path | None = None,
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
        options: see `PredictOptions`.

    Raises:
        InputError: an input is missing or broken, or an output cannot be written. Overlays of
            earlier videos stay; the results file appears whole or not at all.
    """
    options = options or PredictOptions()
    if out is None and json is None:
        raise ConfigError("", "--out", "nothing to write; give --out, --json or both")
    if json is not None:
        check_output("--json", Path(json), [*inputs, *([images_root] if images_root else [])])
    start = time.perf_counter()
    jobs = plan(inputs, segmenter.classes, out, images_root)
    if json is not None:
        check_output("--json", Path(json), [job.overlay for job in jobs if job.overlay is not None])
    lengths = [job.source.num_frames for job in jobs]
    total = None if None in lengths else sum(length or 0 for length in lengths)
    num_frames = 0
    with ExitStack() as stack:
        writer = stack.enter_context(ResultWriter(json)) if json is not None else None
        bar = stack.enter_context(tqdm(total=total, unit="frame", disable=not options.progress))
        for number, job in enumerate(jobs, start=1):
            bar.set_description(f"video {number}/{len(jobs)}")
            num_frames += predict_video(job, segmenter, writer, options, bar)
    overlays = tuple(job.overlay for job in jobs if job.overlay is not None)
    return PredictSummary(overlays, len(jobs), num_frames, time.perf_counter() - start)


def predict_video(
    job: Job,
    segmenter: VideoSegmenter,
    writer: ResultWriter | None,
    options: PredictOptions,
    bar: tqdm,
) -> int:
    """Track one video; return its number of frames."""
    scores = TrackScores(options.top_k)
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
        for frame, result in segmenter.track(job.source, options.latency, score_threshold=0.0):
            if writer is not None:
                record(writer, job.video_id, result, scores)
            if overlay is not None:
                overlay.write(draw_result(frame, result.above(options.score), scale))
            num_frames += 1
            bar.update()
    if writer is not None:
        tracks = [
            TrackScore(track.track_id, segmenter.classes[track.label].category_id, track.score)
            for track in scores.ranking(num_frames)
        ]
        writer.finish_video(job.video_id, num_frames, tracks)
    return num_frames


def record(writer: ResultWriter, video_id: int, result: FrameResult, scores: TrackScores) -> None:
    """Hand the masks of a frame to the disk and its scores to `scores`."""
    for track_id, rle, score in zip(
        result.track_ids.tolist(), result.rles, result.mask_scores, strict=True
    ):
        if score > 0:  # an empty mask, which the files write as null, has none
            writer.add(video_id, result.frame_index, track_id, rle)
    scores.add(result.track_ids, result.class_scores, result.mask_scores)


def draw_result(frame: Frame, result: FrameResult, scale: int = 1) -> Frame:
    """Draw the tracks of a frame, each with its class, id and score."""
    captions = [
        f"{name} {track_id} {score:.2f}"
        for name, track_id, score in zip(result.names, result.track_ids, result.scores, strict=True)
    ]
    return draw_tracks(frame, result.masks, result.track_ids.tolist(), captions, scale=scale)


def plan(
    inputs: Sequence[str | Path],
    classes: ClassList,
    out: str | Path | None = None,
    images_root: str | Path | None = None,
) -> list[Job]:
    """Open every input and decide on its id and its overlay's name.

    Raises:
        InputError: an input is missing or broken.
        ConfigError: the inputs do not go together, or an overlay would replace one.
    """
    paths = [Path(path) for path in inputs]
    if not paths:
        raise ConfigError("", "INPUT", "at least one video, folder or JSON is wanted, got none")
    if any(path.suffix.lower() == ".json" for path in paths):
        if len(paths) > 1:
            raise ConfigError("", "INPUT", "a JSON must be the only input, as its ids are kept")
        videos = read_dataset(paths[0], classes, images_root)
        names = [video_name(video) for video in videos.videos]
        ids = [video.id for video in videos.videos]
        sources: list[FrameSource] = [DatasetVideo(videos, video) for video in videos.videos]
        overlays = overlay_paths(names, out, folder=True)
    else:
        sources = [open_video(path) for path in paths]
        names = [path.resolve().name if path.is_dir() else path.stem for path in paths]
        ids = list(range(1, len(paths) + 1))
        overlays = overlay_paths(names, out, folder=len(paths) > 1)
    for overlay in overlays:
        if overlay is not None:
            check_output("--out", overlay, paths)
    return [Job(*row) for row in zip(ids, sources, overlays, strict=True)]


def overlay_paths(
    names: Sequence[str], out: str | Path | None, *, folder: bool
) -> list[Path | None]:
    """Return the overlay of each video; `folder`: `out` must be a folder."""
    if out is None:
        return [None] * len(names)
    out = Path(out)
    if not folder and out.suffix and not out.is_dir():
        return [out]
    if out.suffix.lower() == ".mp4" and not out.is_dir():
        raise ConfigError("", "--out", f"must be a folder for {len(names)} videos, got {out}")
    paths: list[Path | None] = []
    for name in names:
        tries = (f"{name}_{number}" if number > 1 else name for number in count(1))
        paths.append(next(path for t in tries if (path := out / f"{t}.mp4") not in paths))
    return paths


def read_dataset(path: Path, classes: ClassList, images_root: str | Path | None) -> VideoSet:
    """Read a YouTube-VIS JSON whose videos are to be predicted by a model of these classes.

    Raises:
        InputError: the file is broken, or a category id means another class to the model.
    """
    if images_root is None:
        raise ConfigError("", "--images", f"missing; {path} needs the folder of its frames")
    videos = read_youtube_vis(path, images_root)
    known = {info.category_id: info.name for info in classes}
    for info in videos.classes:
        name = known.get(info.category_id, info.name)
        if name != info.name:
            item = f"categories (id {info.category_id})"
            message = f"must be {name!r}, as the model has it, got {info.name!r}"
            raise InputError(path, item, message)
    return videos


def _check(name: str, holds: bool, wanted: str, got: float) -> None:
    if not holds:
        raise ValueError(f"{name} must be {wanted}, got {got}")


def video_name(video: VideoInfo) -> str:
    """Return the folder that holds a video's frames, or its id where there is none."""
    folder = PurePosixPath(video.file_names[0]).parent.name
    return folder or f"video_{video.id}"
