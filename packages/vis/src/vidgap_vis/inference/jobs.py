"""What `predict` is to do: every input opened, every output named and checked, before it begins."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath

from vidgap_vis.classes import ClassList
from vidgap_vis.errors import ConfigError, InputError
from vidgap_vis.files import check_free, check_output
from vidgap_vis.formats.youtube_vis import VideoInfo, VideoSet, read_youtube_vis
from vidgap_vis.video.read import named_videos
from vidgap_vis.video.sources import WHOLE, DatasetVideo, Excerpt, FrameSource, Span
from vidgap_vis.video.write import OVERLAY_SUFFIXES


@dataclass(frozen=True)
class Job:
    """One video to predict.

    Attributes:
        video_id: in the results.
        name: of its outputs.
        source: its frames.
        overlay: the file to write; None: none.
        mots: likewise, its MOTS text file.
    """

    video_id: int
    name: str
    source: FrameSource
    overlay: Path | None = None
    mots: Path | None = None

    def source_frame(self, index: int) -> int:
        """Return the number in the source of the `index`th frame that is tracked."""
        return self.source.number(index)


@dataclass(frozen=True)
class Targets:
    """What is to be written; None: not that.

    Attributes:
        out: the overlay, or the folder of overlays.
        json: results in YouTube-VIS's format.
        jsonl: lines as frames come.
        mots: a MOTS text file, or a folder of them.
        csv: a table of tracks.
        crops: a folder of cut-outs.
    """

    out: Path | None = None
    json: Path | None = None
    jsonl: Path | None = None
    mots: Path | None = None
    csv: Path | None = None
    crops: Path | None = None

    @property
    def shows(self) -> bool:
        """Whether frames themselves are wanted."""
        return self.out is not None or self.crops is not None

    def given(self) -> dict[str, Path]:
        """Return those that are wanted, by flag."""
        return {f"--{name}": path for name, path in vars(self).items() if path is not None}


def plan(
    inputs: Sequence[str | Path],
    classes: ClassList,
    targets: Targets,
    *,
    images_root: str | Path | None = None,
    weights: str | Path | None = None,
    span: Span = WHOLE,
    strict: bool = False,
    resume: bool = False,
) -> list[Job]:
    """Open every input, decide on its id and its outputs' names, and check all outputs.

    Args:
        inputs: as `predict` takes them.
        classes: the model's.
        targets: what is to be written.
        images_root: the folder from which the frames of a JSON are named.
        weights: the model's folder, where it is on disk.
        span: which frames of each video.
        strict: what is wrong in a video on the way raises.
        resume: a run goes on, whose outputs are there.

    Raises:
        InputError: an input is missing or broken.
        ConfigError: the inputs do not go together, nothing would be written, or an output would
            replace what is read or another output.
    """
    flags = targets.given()
    if not flags:
        wanted = ", ".join(f"--{field.name}" for field in fields(Targets))
        raise ConfigError("", "--out", f"nothing to write; give one of {wanted}")
    paths = [Path(path) for path in inputs]
    files = {flag: path for flag, path in flags.items() if flag in ("--json", "--jsonl", "--csv")}
    folders = [Path(path) for path in (images_root, weights) if path is not None]
    for flag, path in files.items():
        check_output(flag, path, [*paths, *folders])
    crops = targets.crops
    if crops is not None and crops.exists() and not crops.is_dir():
        raise ConfigError("", "--crops", f"must be a folder, got {crops}")
    if crops is not None and crops.is_dir() and any(crops.iterdir()) and not resume:
        message = f"must be empty or new, lest cut-outs of two runs mix, got {crops}"
        raise ConfigError("", "--crops", message)
    if not paths:
        raise ConfigError("", "INPUT", "at least one video, folder or JSON is wanted, got none")
    if any(path.suffix.lower() == ".json" for path in paths):
        if len(paths) > 1:
            raise ConfigError("", "INPUT", "a JSON must be the only input, as its ids are kept")
        videos = read_dataset(paths[0], classes, images_root)
        names = [video_name(video) for video in videos.videos]
        ids = [video.id for video in videos.videos]
        sources: list[FrameSource] = [DatasetVideo(videos, video) for video in videos.videos]
        several = True
    else:
        named = [*named_videos(inputs, strict=strict)]
        names, sources = [name for name, _ in named], [source for _, source in named]
        ids = list(range(1, len(named) + 1))
        several = len(named) > 1
    if span != WHOLE:
        sources = [Excerpt(source, span) for source in sources]
    names = apart(names)
    overlays = output_paths("--out", names, targets.out, OVERLAY_SUFFIXES, folder=several)
    mots = output_paths("--mots", names, targets.mots, (".txt",), folder=several)
    taken = {path.resolve() for path in paths}
    taken |= {Path(source.path).resolve() for source in sources}  # what patterns stand for, too
    for flag, written in [
        *(("--out", path) for path in overlays),
        *(("--mots", path) for path in mots),
        *files.items(),
    ]:
        if written is not None:
            check_free(flag, written, taken)
            taken.add(written.resolve())
    return [Job(*row) for row in zip(ids, names, sources, overlays, mots, strict=True)]


def apart(names: Sequence[str]) -> list[str]:
    """Return names, no two of which any disk takes for the same, as a and A: name, name_2, ..."""
    found: dict[str, str] = {}
    numbers: dict[str, int] = {}
    for name in names:
        one, number = name, numbers.get(plain(name), 1)
        while plain(one) in found:
            number += 1
            one = f"{name}_{number}"
        found[plain(one)], numbers[plain(name)] = one, number
    return [*found.values()]


def plain(name: str) -> str:
    """Return a name as macOS and Windows compare it: without capitals, accents written one way."""
    return unicodedata.normalize("NFC", name).casefold()


def output_paths(
    flag: str,
    names: Sequence[str],
    out: Path | None,
    suffixes: Sequence[str],
    *,
    folder: bool,
) -> list[Path | None]:
    """Return the file of each video, in a folder if there are several or `out` is one.

    Args:
        flag: names the output in errors.
        names: of the videos.
        out: the file or folder; None: none is wanted.
        suffixes: of such files, the usual one first.
        folder: `out` must be a folder.
    """
    if out is None:
        return [None] * len(names)
    if not folder and out.suffix and not out.is_dir():
        return [out]
    if out.suffix.lower() in suffixes and not out.is_dir():
        raise ConfigError("", flag, f"must be a folder for {len(names)} videos, got {out}")
    return [out / f"{name}{suffixes[0]}" for name in names]


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
