"""The memories of a video's living tracks (CTVIS, `memory_bank.py`)."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from vidgap_vis.trackers.base import Span, StateDict
from vidgap_vis.trackers.ctvis.options import CTVISOptions
from vidgap_vis.trackers.detections import Bools, Floats, Ints, normalised


@dataclass
class LivingTracks:
    """M tracks, oldest first, a row each.

    Attributes:
        ids: (M,) int64.
        memory: (M, C), what detections are compared with.
        recent: (M, S, C), the last S embeddings at length 1, a ring; 0 where there are fewer.
        num_visible: (M,) int64, frames that have shown each.
        last_visible: (M,) int64, the last of them.
        first_listed: (M,) int64, the first of them that was not retracted.
        num_listed: (M,) int64, how many were not.
    """

    ids: Ints
    memory: Floats
    recent: Floats
    num_visible: Ints
    last_visible: Ints
    first_listed: Ints
    num_listed: Ints

    @classmethod
    def new(cls, ids: Ints, embeddings: Floats, time: int, memory_size: int) -> LivingTracks:
        """Return a track for each embedding (R, C) of a frame."""
        num, channels = embeddings.shape
        recent = np.zeros((num, memory_size, channels), embeddings.dtype)
        recent[:, 0] = normalised(embeddings)
        ones, times = np.ones(num, np.int64), np.full(num, time, np.int64)
        return cls(ids, embeddings.copy(), recent, ones, times, times.copy(), ones.copy())

    def where(self, rows: Bools) -> LivingTracks:
        """Return some of them, by a mask (M,)."""
        return LivingTracks(**{name: column[rows] for name, column in self.columns().items()})

    def joined(self, others: LivingTracks) -> LivingTracks:
        """Return these and others."""
        if len(self.ids) == 0:
            return others
        both = others.columns()
        return LivingTracks(
            **{name: np.concatenate([own, both[name]]) for name, own in self.columns().items()}
        )

    def columns(self) -> StateDict:
        """Return the arrays by name."""
        return {column.name: getattr(self, column.name) for column in fields(self)}


class TrackBank:
    """The living tracks, and how many have begun so far.

    Args:
        options: of the tracker.
    """

    def __init__(self, options: CTVISOptions) -> None:
        self.options = options
        self.num_begun = 0
        self.tracks = LivingTracks.new(np.zeros(0, np.int64), np.zeros((0, 0), np.float32), 0, 1)

    def see(self, rows: Ints, embeddings: Floats, time: int) -> None:
        """Let the tracks of rows (R,) take embeddings (R, C) of a frame."""
        if len(rows) == 0:
            return
        tracks, units = self.tracks, normalised(embeddings)
        shares = self._shares(rows, units)[:, None]
        tracks.memory[rows] = (1 - shares) * tracks.memory[rows] + shares * embeddings
        tracks.recent[rows, tracks.num_visible[rows] % self.options.memory_size] = units
        tracks.num_visible[rows] += 1
        tracks.last_visible[rows] = time
        tracks.first_listed[rows[tracks.num_listed[rows] == 0]] = time
        tracks.num_listed[rows] += 1

    def _shares(self, rows: Ints, units: Floats) -> Floats:
        """Return the share of each new embedding in its track's memory, (R,)."""
        if self.options.memory == "last":
            return np.ones(len(rows), units.dtype)
        if self.options.memory == "momentum":
            return np.full(len(rows), self.options.update_rate, units.dtype)
        cosines = (self.tracks.recent[rows] @ units[..., None]).sum(axis=(1, 2))
        counts = np.minimum(self.tracks.num_visible[rows], self.options.memory_size)
        return np.maximum(cosines / counts, 0).astype(units.dtype)

    def begin(self, embeddings: Floats, time: int) -> Ints:
        """Begin a track for each embedding (R, C) of a frame; return their ids."""
        ids = np.arange(self.num_begun + 1, self.num_begun + 1 + len(embeddings))
        if len(ids):
            self.num_begun += len(ids)
            new = LivingTracks.new(ids, embeddings, time, self.options.memory_size)
            self.tracks = self.tracks.joined(new)
        return ids

    def retract(self, time: int) -> tuple[Span, ...]:
        """Take back the tracks of too few frames that frame `time` shows to be over.

        They stay in the memory, and are listed anew if they are seen again.
        """
        tracks, options = self.tracks, self.options
        gap = time - tracks.last_visible
        short = (tracks.num_listed > 0) & (tracks.num_listed < options.min_visible)
        judged = (gap >= options.short_gap) & (time > options.settling_frames)
        rows = np.flatnonzero(short & (judged | (gap > options.max_gap)))
        columns = (tracks.ids[rows], tracks.first_listed[rows], tracks.last_visible[rows])
        tracks.num_listed[rows] = 0
        return tuple(zip(*(column.tolist() for column in columns), strict=True))

    def end(self, time: int) -> tuple[int, ...]:
        """Forget the tracks that frame `time` shows to have ended; return their ids."""
        ended = time - self.tracks.last_visible > self.options.max_gap
        if not ended.any():
            return ()
        ids = tuple(self.tracks.ids[ended].tolist())
        self.tracks = self.tracks.where(~ended)
        return ids

    def state_dict(self) -> StateDict:
        """Return all arrays."""
        arrays = {name: column.copy() for name, column in self.tracks.columns().items()}
        return {"num_begun": self.num_begun, **arrays}

    def load_state_dict(self, state: StateDict) -> None:
        """Take them back."""
        arrays = {name: column.copy() for name, column in state.items() if name != "num_begun"}
        self.num_begun, self.tracks = int(state["num_begun"]), LivingTracks(**arrays)
