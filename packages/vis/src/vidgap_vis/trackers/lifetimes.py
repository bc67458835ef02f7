"""When tracks were seen: which of them end, and which are taken back because they were too short.

CTVIS and IDOL share these rules (`ctvis/options.py` says what the options are).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from vidgap_vis.trackers.base import Span, StateDict
from vidgap_vis.trackers.detections import Bools, Ints

_COLUMNS = ("ids", "num_visible", "last_visible", "first_listed", "num_listed")


class LifetimeOptions(Protocol):
    """Options by which tracks end or are taken back."""

    @property
    def max_gap(self) -> int:
        """A track unseen for more frames than this has ended."""

    @property
    def settling_frames(self) -> int:
        """Tracks are judged too short from the frame after so many on."""

    @property
    def min_visible(self) -> int:
        """A track of fewer frames than this is too short,"""

    @property
    def short_gap(self) -> int:
        """when so many frames in a row lack it."""


class Lifetimes:
    """The living tracks of a video, M of them, oldest first, a row each; and how many have begun.

    Attributes:
        num_begun: how many tracks have begun so far; the last id.
        ids: (M,) int64.
        num_visible: (M,) int64, frames that have shown each.
        last_visible: (M,) int64, the last of them.
        first_listed: (M,) int64, the first of them that was not retracted.
        num_listed: (M,) int64, how many were not.

    Args:
        options: when tracks end, and which are too short.
    """

    def __init__(self, options: LifetimeOptions) -> None:
        self.options = options
        self.num_begun = 0
        self.ids, self.num_visible, self.last_visible, self.first_listed, self.num_listed = (
            np.zeros(0, np.int64) for _ in _COLUMNS
        )

    def see(self, rows: Ints, time: int) -> None:
        """Take note that frame `time` shows the tracks of rows (R,)."""
        self.num_visible[rows] += 1
        self.last_visible[rows] = time
        self.first_listed[rows[self.num_listed[rows] == 0]] = time
        self.num_listed[rows] += 1

    def begin(self, count: int, time: int) -> Ints:
        """Begin so many tracks in frame `time`, as the last rows; return their ids."""
        ids = np.arange(self.num_begun + 1, self.num_begun + 1 + count)
        if count == 0:
            return ids
        self.num_begun += count
        for name, value in zip(_COLUMNS, (ids, 1, time, time, 1), strict=True):
            new = np.full(count, value, np.int64)
            setattr(self, name, np.concatenate([getattr(self, name), new]))
        return ids

    def retract(self, time: int) -> tuple[Span, ...]:
        """Take back the tracks of too few frames that frame `time` shows to be over.

        They stay, and are listed anew if they are seen again.
        """
        options, gap = self.options, time - self.last_visible
        short = (self.num_listed > 0) & (self.num_listed < options.min_visible)
        judged = (gap >= options.short_gap) & (time > options.settling_frames)
        rows = np.flatnonzero(short & (judged | (gap > options.max_gap)))
        columns = (self.ids[rows], self.first_listed[rows], self.last_visible[rows])
        self.num_listed[rows] = 0
        return tuple(zip(*(column.tolist() for column in columns), strict=True))

    def end(self, time: int) -> tuple[tuple[int, ...], Bools]:
        """Forget the tracks that frame `time` shows to have ended.

        Returns:
            Their ids; and which of the rows stay, (M,) bool.
        """
        kept: Bools = np.asarray(time - self.last_visible <= self.options.max_gap)
        ended = tuple(self.ids[~kept].tolist())
        if ended:
            for name in _COLUMNS:
                setattr(self, name, getattr(self, name)[kept])
        return ended, kept

    def state_dict(self) -> StateDict:
        """Return all arrays."""
        arrays = {name: getattr(self, name).copy() for name in _COLUMNS}
        return {"num_begun": self.num_begun, **arrays}

    def load_state_dict(self, state: StateDict) -> None:
        """Take them back."""
        self.num_begun = int(state["num_begun"])
        for name in _COLUMNS:
            setattr(self, name, state[name].copy())
