"""Frames in: video files, folders of images and data sets, one frame in memory at a time.

Frames are RGB, (H, W, 3), uint8, from the decoder to the model.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import numpy as np

from vidgap_vis.errors import InputError
from vidgap_vis.formats.images import Picture, decode_file
from vidgap_vis.formats.youtube_vis import VideoInfo, VideoSet

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


class FrameSource(Protocol):
    """Frames of one video, read lazily; iterating again starts again."""

    path: Path

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of every frame."""

    @property
    def fps(self) -> Fraction | None:
        """Frames a second; None where the source does not say."""

    @property
    def num_frames(self) -> int | None:
        """How many frames there are; None where that is known only at the end."""

    def __iter__(self) -> Iterator[Picture]: ...


def open_video(path: str | Path) -> FrameSource:
    """Open a video file, or a folder whose images are the frames in natural order.

    Raises:
        InputError: nothing is there, the file is no video, or the folder holds no image. A frame
            that does not decode, or has another size than the first, raises while iterating.
    """
    path = Path(path)
    if path.is_dir():
        images = [
            file
            for file in path.iterdir()
            if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
        ]
        if not images:
            raise InputError(path, "", f"no image in this folder ({', '.join(IMAGE_SUFFIXES)})")
        return ImageFolder(path, sorted(images, key=natural_key))
    if not path.exists():
        raise InputError(path, "", "no such file or folder")
    return VideoFile(path)


def natural_key(path: Path) -> list[tuple[int, str]]:
    """Return a sorting key by which frame2.jpg comes before frame10.jpg."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


class ImageFolder:
    """Frames that are image files, in the order given.

    Args:
        path: the folder.
        files: the frames' files, at least one.

    Raises:
        InputError: the first frame does not decode.
    """

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        self.path = path
        self.files = tuple(files)
        self.size = decode_file(self.files[0]).shape[:2]
        self.fps: Fraction | None = None
        self.num_frames: int | None = len(self.files)

    def __iter__(self) -> Iterator[Picture]:
        for file in self.files:
            frame = decode_file(file)
            check_size(frame, self.size, file, "")
            yield frame


class DatasetVideo:
    """Frames of a video that a YouTube-VIS file lists.

    A frame that does not decode, or has another size than declared, raises while iterating.
    """

    def __init__(self, videos: VideoSet, video: VideoInfo) -> None:
        self.videos = videos
        self.video = video
        self.path = videos.path
        self.size = video.size
        self.fps: Fraction | None = None
        self.num_frames: int | None = len(video)

    def __iter__(self) -> Iterator[Picture]:
        for index in range(len(self.video)):
            yield self.videos.read_frame(self.video, index)


class VideoFile:
    """Frames of a video file, turned upright as its rotation tag says.

    Raises:
        InputError: the file is no video or its first frame does not decode.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fps: Fraction | None = None
        self.num_frames: int | None = None
        try:
            with av.open(str(path)) as container:
                if not container.streams.video:
                    raise InputError(path, "", "holds no video stream")
                stream = container.streams.video[0]
                self.fps = stream.average_rate or stream.guessed_rate
                self.num_frames = stream.frames or None
                if self.num_frames is None and container.duration and self.fps:
                    self.num_frames = round(container.duration / av.time_base * self.fps)
        except av.FFmpegError as error:
            raise InputError(path, "", f"not a video that decodes ({error.strerror})") from error
        with closing(self._decode()) as frames:
            first = next(frames, None)
        if first is None:
            raise InputError(path, "", "holds no video frame")
        self.size: tuple[int, int] = first.shape[:2]

    def __iter__(self) -> Iterator[Picture]:
        for index, frame in enumerate(self._decode()):
            check_size(frame, self.size, self.path, f"frame {index}")
            yield frame

    def _decode(self) -> Generator[Picture]:
        index = 0
        try:
            with av.open(str(self.path)) as container:
                container.streams.video[0].thread_type = "AUTO"
                for picture in container.decode(video=0):
                    # FFmpeg's angle is counter-clockwise, as numpy's.
                    turns = round(picture.rotation / 90) % 4
                    yield np.ascontiguousarray(np.rot90(picture.to_ndarray(format="rgb24"), turns))
                    index += 1
        except av.FFmpegError as error:
            item = f"frame {index}"
            raise InputError(self.path, item, f"does not decode ({error.strerror})") from error


def check_size(frame: Picture, size: tuple[int, int], path: Path, item: str) -> None:
    """Raise InputError where a frame has another size, (H, W), than wanted."""
    if frame.shape[:2] != size:
        got = f"{frame.shape[1]}x{frame.shape[0]}"
        wanted = f"{size[1]}x{size[0]} (width x height)"
        raise InputError(path, item, f"every frame must be {wanted}, got {got}")
