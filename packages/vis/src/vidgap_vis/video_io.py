"""Frames in, overlay videos out: video files and folders of images, one frame in memory at a time.

Frames are RGB, (H, W, 3), uint8.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Colorspace
from torch import Tensor

from vidgap_vis.atomic import replacing
from vidgap_vis.data.images import decode_file
from vidgap_vis.data.youtube_vis import VideoInfo, VideoSet
from vidgap_vis.errors import InputError

Frame = npt.NDArray[np.uint8]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
OVERLAY_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")

_BT709 = 1  # FFmpeg's number for the matrix, the primaries and the transfer curve
_LIMITED_RANGE = 1


class FrameSource(Protocol):
    """Frames of one video, read lazily; iterating again starts again."""

    path: Path

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of every frame."""
        ...

    @property
    def fps(self) -> Fraction | None:
        """Frames a second; None where the source does not say."""
        ...

    @property
    def num_frames(self) -> int | None:
        """How many frames there are; None where that is known only at the end."""
        ...

    def __iter__(self) -> Iterator[Frame]: ...


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
        self.size = read_image(self.files[0]).shape[:2]
        self.fps: Fraction | None = None
        self.num_frames: int | None = len(self.files)

    def __iter__(self) -> Iterator[Frame]:
        for file in self.files:
            frame = read_image(file)
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

    def __iter__(self) -> Iterator[Frame]:
        for index in range(len(self.video)):
            yield as_array(self.videos.read_frame(self.video, index))


def read_image(path: Path) -> Frame:
    """Decode an image file, turned as its EXIF orientation says; InputError where it does not."""
    return as_array(decode_file(path))


def as_array(image: Tensor) -> Frame:
    """Turn (3, H, W) uint8 into (H, W, 3)."""
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


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

    def __iter__(self) -> Iterator[Frame]:
        for index, frame in enumerate(self._decode()):
            check_size(frame, self.size, self.path, f"frame {index}")
            yield frame

    def _decode(self) -> Generator[Frame]:
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


def check_size(frame: Frame, size: tuple[int, int], path: Path, item: str) -> None:
    """Raise InputError where a frame has another size, (H, W), than wanted."""
    if frame.shape[:2] != size:
        got = f"{frame.shape[1]}x{frame.shape[0]}"
        wanted = f"{size[1]}x{size[0]} (width x height)"
        raise InputError(path, item, f"every frame must be {wanted}, got {got}")


class OverlayWriter:
    """Write frames as H.264 that browsers play: yuv420p, BT.709, faststart.

    A context manager. The file appears under its name when the block succeeds; otherwise nothing is
    left behind, and a file that stood there stays. Odd sides are padded by repeating the edge.

    Args:
        path: the file to write; its suffix names the container.
        fps: frames a second.
        size: (H, W) of the frames.
        crf: x264's quality, lower is better.

    Raises:
        InputError: the suffix is not one of `OVERLAY_SUFFIXES`, or the file cannot be written.
    """

    def __init__(
        self, path: str | Path, fps: Fraction | float, size: tuple[int, int], *, crf: int = 20
    ) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in OVERLAY_SUFFIXES:
            wanted = ", ".join(OVERLAY_SUFFIXES)
            raise InputError(path, "", f"an overlay must end in {wanted}, got {self.path.suffix!r}")
        if fps <= 0:
            raise ValueError(f"fps must be positive, got {fps}")
        self.fps = Fraction(fps).limit_denominator(1001)
        self.size = size
        self.crf = crf

    def __enter__(self) -> OverlayWriter:
        self._session = self._open()
        self._session.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.__exit__(kind, error, trace)

    def write(self, frame: Frame) -> None:
        """Append a frame, (H, W, 3) uint8 RGB."""
        if frame.shape != (*self.size, 3) or frame.dtype != np.uint8:
            raise ValueError(
                f"frame must be {(*self.size, 3)} uint8, got {frame.shape} {frame.dtype}"
            )
        if any(side % 2 for side in self.size):
            frame = np.pad(frame, [*((0, side % 2) for side in self.size), (0, 0)], mode="edge")
        picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
        self._container.mux(self._stream.encode(picture))

    @contextmanager
    def _open(self) -> Iterator[None]:
        """Hold the container open; what the encoder still keeps is written when the block ends."""
        with replacing(self.path) as temporary:
            try:
                with av.open(str(temporary), "w", options={"movflags": "+faststart"}) as container:
                    self._container, self._stream = container, self._add_stream(container)
                    yield
                    container.mux(self._stream.encode(None))
            except av.FFmpegError as error:
                message = f"cannot be written ({error.strerror})"
                raise InputError(self.path, "", message) from error

    def _add_stream(self, container: av.container.OutputContainer) -> av.VideoStream:
        options = {"crf": str(self.crf), "preset": "veryfast"}
        stream = container.add_stream("libx264", rate=self.fps, options=options)
        stream.height, stream.width = (side + side % 2 for side in self.size)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        return stream
