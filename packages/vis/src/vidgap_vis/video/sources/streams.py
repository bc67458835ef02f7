"""Frames that are there once: of a URL, a pipe or a capture device, by PyAV."""

from __future__ import annotations

import logging
import re
import stat
from collections.abc import Generator, Iterator
from itertools import chain
from pathlib import Path

import av

from vidgap_vis.errors import InputError
from vidgap_vis.video.sources.base import FrameSource, Shot, SourceGoneError
from vidgap_vis.video.sources.videos import Faults, decoded, shots, stream_of, upright_size

PATIENCE = 10.0
"""Seconds for a stream to open, and for its next packet."""

logger = logging.getLogger(__name__)


class LiveStream(FrameSource):
    """Frames as they come; it is opened here, and can be gone through once.

    What does not decode is left out, frames of another size are fitted, as of a `VideoFile`.

    Args:
        path: a URL that FFmpeg opens, or the path of a pipe or a capture device.
        strict: either is an InputError instead.

    Raises:
        InputError: it does not open within `PATIENCE`, or no frame of it decodes.
    """

    live = True

    def __init__(self, path: str | Path, *, strict: bool = False) -> None:
        self.path = without_password(path) if isinstance(path, str) else path
        self.strict = strict
        self._faults = Faults()
        name = path if isinstance(path, str) else str(path.absolute())
        try:
            self._container = av.open(
                name, format=capture_format(path), timeout=PATIENCE, metadata_errors="replace"
            )
            stream = stream_of(self._container, self.path)
            self.fps = stream.average_rate or stream.guessed_rate
            self.num_frames = stream.frames or None
            pictures = decoded(self._container, self._faults, self.path, strict=strict)
            first = next(pictures, None)
        except (av.FFmpegError, OSError) as error:
            message = f"not a stream that opens and decodes ({error.strerror or error})"
            raise InputError(self.path, "", message) from error
        if first is None:
            raise InputError(self.path, "", "holds no video frame that decodes")
        self.size = upright_size(first)
        self._pictures: Iterator[av.VideoFrame] | None = chain([first], pictures)

    def shots(self) -> Generator[Shot]:
        """Yield the frames that are left.

        Raises:
            InputError: the stream breaks off, or was gone through already.
        """
        pictures, self._pictures = self._pictures, None
        if pictures is None:
            raise InputError(self.path, "", "gives each frame once, and gave them already")
        index = 0
        try:
            for shot in shots(pictures, self.size, self._faults, self.path, strict=self.strict):
                index = shot.index + 1
                yield shot
        except (av.FFmpegError, OSError) as error:
            reason = error.strerror or error
            message = f"the stream broke off ({reason}); what came before is kept"
            raise SourceGoneError(self.path, f"frame {index}", message) from error
        finally:
            self._container.close()
            if self._faults:
                logger.warning("%s: %s", self.path, self._faults)


def without_password(url: str) -> str:
    """Return a URL without its user and password, as it may be shown and kept."""
    return re.sub(r"//[^/]*@", "//", url)


def capture_format(path: str | Path) -> str | None:
    """Return FFmpeg's name for what reads a capture device; None: it finds out by itself."""
    try:
        device = stat.S_ISCHR(Path(path).stat().st_mode)
    except OSError:
        return None
    return "v4l2" if device else None
