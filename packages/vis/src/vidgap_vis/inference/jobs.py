"""What `predict` is to do: every input opened, every output named and checked, before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath

from vidgap_vis.classes import ClassList
from vidgap_vis.errors import ConfigError, InputError
from vidgap_vis.files import check_output
from vidgap_vis.formats.youtube_vis import VideoInfo, VideoSet, read_youtube_vis
from vidgap_vis.video.read import DatasetVideo, FrameSource, open_video


@dataclass(frozen=True)
class Job:
    """One video to predict; `overlay` is the file to write, or None."""

    video_id: int
    source: FrameSource
    overlay: Path | None


def plan(
    inputs: Sequence[str | Path],
    classes: ClassList,
    *,
    out: str | Path | None = None,
    json: str | Path | None = None,
    images_root: str | Path | None = None,
    weights: str | Path | None = None,
) -> list[Job]:
    """Open every input, decide on its id and its overlay's name, and check all outputs.

    Args:
        inputs: as `predict` takes them.
        classes: the model's.
        out: the overlay, or the folder of overlays; None: none.
        json: the results file; None: none.
        images_root: the folder from which the frames of a JSON are named.
        weights: the model's folder, where it is on disk.

    Raises:
        InputError: an input is missing or broken.
        ConfigError: the inputs do not go together, nothing would be written, or an output would
            replace what is read or another output.
    """
    if out is None and json is None:
        raise ConfigError("", "--out", "nothing to write; give --out, --json or both")
    paths = [Path(path) for path in inputs]
    if json is not None:
        folders = (Path(path) for path in (images_root, weights) if path is not None)
        check_output("--json", Path(json), [*paths, *folders])
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
    written = [overlay for overlay in overlays if overlay is not None]
    for overlay in written:
        check_output("--out", overlay, paths)
    if json is not None:
        check_output("--json", Path(json), written)
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


def video_name(video: VideoInfo) -> str:
    """Return the folder that holds a video's frames, or its id where there is none."""
    folder = PurePosixPath(video.file_names[0]).parent.name
    return folder or f"video_{video.id}"
