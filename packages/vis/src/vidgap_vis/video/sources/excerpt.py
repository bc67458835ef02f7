"""A part of a video: from here to there, every so many frames."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from vidgap_vis.errors import InputError, check
from vidgap_vis.video.sources.base import FrameSource, Shot

Moment = int | Fraction
"""A frame's number, from 0, or seconds after the first frame."""


@dataclass(frozen=True)
class Span:
    """Which frames of a video are wanted.

    Attributes:
        start: the first frame, or the time from which on; None: from the beginning.
        end: the frame, or the time, before which it ends; None: with the video.
        every: of those one in so many.
        max_frames: at most so many of these; None: all.
    """

    start: Moment | None = None
    end: Moment | None = None
    every: int = 1
    max_frames: int | None = None

    def __post_init__(self) -> None:
        check("every", self.every >= 1, "1 or more", self.every)
        few = self.max_frames
        check("max_frames", few is None or few >= 1, "1 or more", few)
        for name in ("start", "end"):
            value = getattr(self, name)
            check(name, value is None or value >= 0, "0 or more", value)


WHOLE = Span()
"""All of a video."""


class Excerpt(FrameSource):
    """The frames of a source that a span takes; their numbers and times are the source's.

    Args:
        source: what they are of.
        span: which of them.

    Raises:
        InputError: the span is in seconds, but the source knows no times.
    """

    def __init__(self, source: FrameSource, span: Span) -> None:
        self.source = source
        self.span = span
        self.path = source.path
        self.size = source.size
        self.live = source.live
        self.fps = None if source.fps is None else source.fps / span.every
        if source.fps is None and not source.live:
            for name in ("start", "end"):
                if isinstance(getattr(span, name), Fraction):
                    message = "its frames have no times; give --start and --end as frame numbers"
                    raise InputError(self.path, "", message)
        self.num_frames = self._count()
        self._first: int | None = None

    def number(self, index: int) -> int:
        """Return the number in the source of the `index`th frame that is taken."""
        first = self._first
        if first is None:
            first = self.span.start if isinstance(self.span.start, int) else 0
        return self.source.number(first + self.span.every * index)

    def shots(self) -> Generator[Shot]:
        """Yield the frames; errors as the source's, or where there is none to yield."""
        first, taken = None, 0
        with closing(self.source.shots()) as shots:
            for shot in shots:
                if self._before(self.span.start, shot):
                    continue
                if self.span.end is not None and not self._before(self.span.end, shot):
                    break
                first = self._first = shot.index if first is None else first
                if (shot.index - first) % self.span.every == 0:
                    yield shot
                    taken += 1
                    if taken == self.span.max_frames:
                        break
        if first is None:
            raise InputError(self.path, "", "holds no frame between --start and --end")

    def _before(self, moment: Moment | None, shot: Shot) -> bool:
        """Return whether a frame comes before a moment."""
        if isinstance(moment, Fraction):
            return self._time(shot) < moment
        return moment is not None and shot.index < moment

    def _time(self, shot: Shot) -> Fraction:
        if shot.time is not None:
            return shot.time
        return shot.index / (self.source.fps or Fraction(25))

    def _count(self) -> int | None:
        """Return how many frames there are, as far as the source knows."""
        num = self.source.num_frames
        start, end = (self._frame(moment) for moment in (self.span.start, self.span.end))
        if num is None and end is None:
            return self.span.max_frames
        last = min(value for value in (num, end) if value is not None)
        count = ceil(max(0, last - (start or 0)) / self.span.every)
        return count if self.span.max_frames is None else min(count, self.span.max_frames)

    def _frame(self, moment: Moment | None) -> int | None:
        if isinstance(moment, Fraction):
            return ceil(moment * (self.source.fps or Fraction(25)))
        return moment


def moment(text: str) -> Moment:
    """Read a moment: "120" is a frame, "12.5s" or "1:02.5" a time.

    Raises:
        ValueError: it is none.
    """
    if re.fullmatch(r"\d+", text):
        return int(text)
    found = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?)s?", text)
    if found is None:
        raise ValueError(f"wanted a frame as 120, or a time as 12.5s or 1:02.5, got {text!r}")
    hours, minutes, seconds = found.groups(default="0")
    return 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds)
