"""Frames of video files, by PyAV."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np

from vidgap_vis.errors import InputError
from vidgap_vis.formats.images import Picture
from vidgap_vis.video.sources.base import FrameSource, Shot

Size = tuple[int, int]

logger = logging.getLogger(__name__)


class VideoFile(FrameSource):
    """Frames of a video file, turned upright as its rotation tag says.

    Packets in the middle that do not decode are left out. Frames that change their size on the way
    are fitted into the first one's, as the masks of a video have one size; their identities go on.
    Both are counted, and the log says so once.

    Args:
        path: the file.
        strict: either is an InputError instead.

    Raises:
        InputError: the file is no video or its first frame does not decode.
    """

    def __init__(self, path: Path, *, strict: bool = False) -> None:
        self.path: Path = path
        self.strict = strict
        self._said = False
        try:
            with opened(path) as container:
                stream = stream_of(container, path)
                self.fps = stream.average_rate or stream.guessed_rate
                self.num_frames = stream.frames or None
                if self.num_frames is None and container.duration and self.fps:
                    self.num_frames = round(container.duration / av.time_base * self.fps)
        except av.FFmpegError as error:
            raise InputError(path, "", f"not a video that decodes ({error.strerror})") from error
        with closing(self._decode(Faults())) as pictures:
            first = next(pictures, None)
            if first is None:
                raise InputError(path, "", "holds no video frame that decodes")
            self.size = upright_size(first)

    def shots(self) -> Generator[Shot]:
        """Yield the frames; `InputError` where the file cannot be read, or is damaged and strict"""
        faults = Faults()
        try:
            with closing(self._decode(faults)) as pictures:
                yield from shots(pictures, self.size, faults, self.path, strict=self.strict)
        finally:
            if faults and not self._said:
                self._said = True  # once, however often the file is gone through
                logger.warning("%s: %s", self.path, faults)

    def _decode(self, faults: Faults) -> Generator[av.VideoFrame]:
        try:
            with opened(self.path) as container:
                yield from decoded(container, faults, self.path, strict=self.strict)
        except av.FFmpegError as error:
            raise InputError(self.path, "", f"cannot be read ({error.strerror})") from error


def opened(path: Path) -> av.container.InputContainer:
    """Open a file, whatever its name looks like and however its tags are encoded."""
    return av.open(str(path.absolute()), metadata_errors="replace")


@dataclass
class Faults:
    """What was wrong with a video on the way.

    Attributes:
        packets: that did not decode, and were left out.
        damaged: frames that the decoder repaired as well as it could.
        resized: frames of another size than the first.
    """

    packets: int = 0
    damaged: int = 0
    resized: int = 0

    def __bool__(self) -> bool:
        return bool(self.packets or self.damaged or self.resized)

    def __str__(self) -> str:
        parts = [
            (self.packets, "packets do not decode and are left out"),
            (self.damaged, "frames are damaged"),
            (self.resized, "frames of another size are fitted into the first one's"),
        ]
        return ", ".join(f"{count} {what}" for count, what in parts if count)


def stream_of(container: av.container.InputContainer, path: str | Path) -> av.VideoStream:
    """Return a container's first video stream; InputError where there is none."""
    if not container.streams.video:
        raise InputError(path, "", "holds no video stream")
    return container.streams.video[0]


def decoded(
    container: av.container.InputContainer, faults: Faults, path: str | Path, *, strict: bool
) -> Iterator[av.VideoFrame]:
    """Yield the frames of a container's video, without the packets that do not decode.

    Raises:
        InputError: a packet does not decode, if `strict`.
        av.FFmpegError: the container cannot be read on.
    """
    stream = stream_of(container, path)
    stream.thread_type = "AUTO"
    index = 0
    for packet in container.demux(stream):
        try:
            pictures = packet.decode()
        except av.InvalidDataError as error:
            if strict:
                message = f"does not decode ({error.strerror})"
                raise InputError(path, f"frame {index}", message) from error
            faults.packets += 1
            continue
        for picture in pictures:
            faults.damaged += picture.is_corrupt
            yield picture
            index += 1


def shots(
    pictures: Iterator[av.VideoFrame], size: Size, faults: Faults, path: str | Path, *, strict: bool
) -> Iterator[Shot]:
    """Yield frames with their places, fitted into a size.

    Raises:
        InputError: one has another size, if `strict`.
    """
    start: Fraction | None = None
    for index, picture in enumerate(pictures):
        time = None
        if picture.pts is not None and picture.time_base is not None:
            time = picture.pts * picture.time_base
            start = time if start is None else start
            time -= start
        got = upright_size(picture)
        if got != size:
            if strict:
                wanted = f"every frame must be {size[1]}x{size[0]} (width x height)"
                raise InputError(path, f"frame {index}", f"{wanted}, got {got[1]}x{got[0]}")
            faults.resized += 1
        yield Shot(index, time, partial(rgb, picture, size))


def rgb(picture: av.VideoFrame, size: Size) -> Picture:
    """Return a decoded frame upright, (H, W, 3) uint8 RGB, of any depth and with or without alpha.

    One of another size is scaled to fit and centred on black.
    """
    # FFmpeg's angle is counter-clockwise, as numpy's.
    upright = np.rot90(picture.to_ndarray(format="rgb24"), round(picture.rotation / 90) % 4)
    if upright.shape[:2] != size:
        return fitted(np.ascontiguousarray(upright), size)
    return np.ascontiguousarray(upright)


def upright_size(picture: av.VideoFrame) -> Size:
    """Return (H, W) of a decoded frame as its rotation tag turns it."""
    size = (picture.height, picture.width)
    return size[::-1] if round(picture.rotation / 90) % 2 else size


def fitted(picture: Picture, size: Size) -> Picture:
    """Return a picture scaled to fit into (H, W), centred on black."""
    scale = min(size[0] / picture.shape[0], size[1] / picture.shape[1])
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    canvas = np.zeros((*size, 3), np.uint8)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    shrinks = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(picture, (width, height), interpolation=shrinks)
    canvas[top : top + height, left : left + width] = scaled
    return canvas
