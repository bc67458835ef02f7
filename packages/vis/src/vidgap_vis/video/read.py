"""Frames in, by name: video files, images, folders, cameras, streams."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from glob import glob, has_magic
from itertools import groupby
from pathlib import Path

from vidgap_vis.errors import InputError
from vidgap_vis.video.sources import (
    Camera,
    FrameSource,
    ImageFolder,
    LiveStream,
    VideoFile,
    natural_key,
)
from vidgap_vis.video.sources.images import IMAGE_SUFFIXES
from vidgap_vis.video.sources.streams import without_password

URL = re.compile(r"[a-z][a-z0-9+.-]+://.+", re.IGNORECASE)


def open_video(path: str | Path, *, strict: bool = False) -> FrameSource:
    """Open what frames come from.

    Args:
        path: a video file; a folder whose images are the frames in natural order; the number of a
            camera, as "0"; a URL that FFmpeg opens; a pipe or a capture device. What exists under
            its name is that.
        strict: frames of a video that do not decode, or change their size, raise while iterating;
            otherwise they are left out, or fitted into the first one's size, and the log says so.

    Raises:
        InputError: nothing is there, the file is no video, or the folder holds no image. An image
            that does not decode, or has another size than the first, raises while iterating.
    """
    name, path = str(path), Path(path)
    if path.is_dir():
        images = [file for file in path.iterdir() if is_image(file) and file.name[0] != "."]
        if not images:
            raise InputError(path, "", f"no image in this folder ({', '.join(IMAGE_SUFFIXES)})")
        return ImageFolder(path, sorted(images, key=natural_key))
    if path.exists():
        once = path.is_fifo() or path.is_char_device()
        return LiveStream(path, strict=strict) if once else VideoFile(path, strict=strict)
    if re.fullmatch(r"[0-9]{1,3}", name):
        return Camera(int(name))
    if URL.fullmatch(name):
        return LiveStream(name, strict=strict)
    raise InputError(name, "", "no such file or folder")


def named_videos(
    inputs: Sequence[str | Path], *, strict: bool = False
) -> Iterator[tuple[str, FrameSource]]:
    """Open the inputs of a command, with a name for the outputs of each.

    A pattern (`clips/*.mp4`) is all that fits it. Images of one folder that are named one after
    another, or by a pattern, are the frames of one video, in the order given or in natural order.

    Raises:
        InputError: as `open_video`, or nothing fits a pattern.
    """
    images: list[Path] = []
    for name in expanded(inputs):
        path = Path(name)
        if is_image(path) and path.is_file():
            images.append(path)
            continue
        yield from images_of(images)
        images = []
        yield video_name(name), open_video(name, strict=strict)
    yield from images_of(images)


def images_of(files: Sequence[Path]) -> Iterator[tuple[str, FrameSource]]:
    """Yield images that follow each other in one folder as one video."""
    for folder, group in groupby(files, key=lambda file: file.parent.resolve()):
        name = files[0].stem if len(files) == 1 else folder.name
        yield name, ImageFolder(folder, list(group))


def expanded(inputs: Sequence[str | Path]) -> Iterator[str]:
    """Yield the inputs, and for a pattern what fits it, in natural order."""
    for given in map(str, inputs):
        if not has_magic(given) or Path(given).exists() or URL.fullmatch(given):
            yield given
            continue
        found = sorted(map(Path, glob(given, recursive=True)), key=natural_key)
        if not found:
            raise InputError(given, "", "no file fits this pattern")
        yield from map(str, found)


def video_name(name: str) -> str:
    """Return what the outputs of an input are called."""
    path = Path(name)
    if path.is_dir():
        return path.resolve().name
    if not path.exists() and name.isdecimal():
        return f"camera_{name}"
    if URL.fullmatch(name):
        plain = without_password(name).partition("?")[0]
        return re.sub(r"[^\w.-]+", "_", Path(plain).stem) or "stream"
    return path.stem


def is_image(path: Path) -> bool:
    """Return whether a name is that of an image file."""
    return path.suffix.lower() in IMAGE_SUFFIXES
