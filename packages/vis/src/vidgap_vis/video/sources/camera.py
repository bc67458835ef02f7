"""Frames of a camera, by OpenCV, which numbers cameras alike on every system."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial

import cv2
import numpy as np

from vidgap_vis.errors import InputError
from vidgap_vis.formats.images import Picture
from vidgap_vis.video.sources.base import FrameSource, Shot, SourceGoneError

MISSES = 50
"""Reads in a row without a frame, after which a camera is gone."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep OpenCV from writing about cameras that are not there: the error says it."""
    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)


class Camera(FrameSource):
    """Frames of a camera as they come, with the times at which they came.

    Args:
        number: 0 for the first camera.

    Raises:
        InputError: there is none, or it gives no frame.
    """

    live = True

    def __init__(self, number: int) -> None:
        self.path = f"camera {number}"
        with quiet():
            self._capture = cv2.VideoCapture(number)
        if not self._capture.isOpened():
            raise InputError(self.path, "", "does not open; is it there, and free?")
        self._first: Picture | None = self._read()
        if self._first is None:
            raise InputError(self.path, "", "gives no frame")
        self._start = time.monotonic()
        self.size = (self._first.shape[0], self._first.shape[1])
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = Fraction(rate).limit_denominator(1001) if 0 < rate < 1000 else None

    def shots(self) -> Generator[Shot]:
        """Yield the frames that are left.

        Raises:
            InputError: the camera goes away, changes its size, or was gone through already.
        """
        picture, self._first = self._first, None
        if picture is None:
            raise InputError(self.path, "", "gives each frame once, and gave them already")
        index, seconds = 0, 0.0
        try:
            while picture is not None:
                if picture.shape[:2] != self.size:
                    raise InputError(self.path, f"frame {index}", "changed its size")
                when = Fraction(seconds).limit_denominator(90_000)
                yield Shot(index, when, partial(np.asarray, picture))
                picture = self._read()
                index, seconds = index + 1, time.monotonic() - self._start
        finally:
            self._capture.release()
        raise SourceGoneError(
            self.path, f"frame {index}", "the camera went away; what came before is kept"
        )

    def _read(self) -> Picture | None:
        for _ in range(MISSES):
            there, picture = self._capture.read()
            if there:
                return np.ascontiguousarray(picture[..., ::-1])
            time.sleep(0.02)
        return None
