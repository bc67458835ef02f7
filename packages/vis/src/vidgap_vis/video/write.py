"""Overlay videos out: H.264 that browsers play."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.video.reformatter import Colorspace

from vidgap_vis.errors import InputError
from vidgap_vis.files import replacing
from vidgap_vis.formats.images import Picture

OVERLAY_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")

TICKS = 90_000
"""Of a second, in which times are written."""

_BT709 = 1  # FFmpeg's number for the matrix, the primaries and the transfer curve
_LIMITED_RANGE = 1
_REPRODUCIBLE = "mbtree=0"
"""With AVX-512, x264's macroblock tree reads memory that nothing wrote: bytes differ by run."""


class OverlayWriter:
    """Write frames as H.264 that browsers play: yuv420p, BT.709, faststart.

    A context manager. The file appears under its name when the block succeeds; otherwise nothing is
    left behind, and an existing file stays. Odd sides are padded by repeating the edge. Frames are
    shown one after another at `fps`, or each at its own time where all have one.

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
        self.fps = max(Fraction(1, 1001), Fraction(fps).limit_denominator(1001))
        self.size = size
        self.crf = crf
        self._num_frames = 0
        self._start: Fraction | None = None  # the first frame's time
        self._free = 0  # the first tick after the last frame's

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

    def write(self, frame: Picture, time: Fraction | None = None) -> None:
        """Append a frame.

        Args:
            frame: (H, W, 3) uint8 RGB.
            time: when it is shown, in seconds; not before the last one. None: after the last one.

        Raises:
            ValueError: it is no frame, or of another size.
            InputError: the file cannot be written.
        """
        if frame.shape != (*self.size, 3) or frame.dtype != np.uint8:
            raise ValueError(
                f"frame must be {(*self.size, 3)} uint8, got {frame.shape} {frame.dtype}"
            )
        if any(side % 2 for side in self.size):
            frame = np.pad(frame, [*((0, side % 2) for side in self.size), (0, 0)], mode="edge")
        picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
        picture.pts, picture.time_base = self._tick(time), Fraction(1, TICKS)
        picture.duration = round(TICKS / self.fps)
        with self._named():
            self._encode(picture)

    def _tick(self, time: Fraction | None) -> int:
        """Return when the next frame is shown."""
        if time is None:
            tick = round(self._num_frames * TICKS / self.fps)
        else:
            self._start = time if self._start is None else self._start
            tick = round((time - self._start) * TICKS)
        tick = max(tick, self._free)
        self._num_frames, self._free = self._num_frames + 1, tick + 1
        return tick

    @contextmanager
    def _open(self) -> Iterator[None]:
        """Hold the container open; what the encoder still holds is written when the block ends."""
        options = {"movflags": "+faststart"}
        with (
            replacing(self.path) as temporary,
            self._named(),
            av.open(str(temporary.absolute()), "w", options=options) as container,
        ):
            self._container, self._stream = container, self._add_stream(container)
            yield
            self._encode(None)

    def _encode(self, picture: av.VideoFrame | None) -> None:
        """Encode the next frame, or what the encoder still holds."""
        self._container.mux(self._stream.encode(picture))

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Turn an error of FFmpeg into an InputError that names the file."""
        try:
            yield
        except av.FFmpegError as error:
            message = f"cannot be written ({error.strerror})"
            raise InputError(self.path, "", message) from error

    def _add_stream(self, container: av.container.OutputContainer) -> av.VideoStream:
        options = {"crf": str(self.crf), "preset": "veryfast", "x264-params": _REPRODUCIBLE}
        stream = container.add_stream("libx264", rate=self.fps, options=options)
        stream.height, stream.width = (side + side % 2 for side in self.size)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, TICKS)
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        return stream
