"""The memories of a video's living tracks (CTVIS, `memory_bank.py`)."""

from __future__ import annotations

import numpy as np

from vidgap_vis.trackers.base import Span, StateDict
from vidgap_vis.trackers.ctvis.options import CTVISOptions
from vidgap_vis.trackers.detections import Floats, Ints, normalised
from vidgap_vis.trackers.lifetimes import Lifetimes


class TrackBank:
    """The living tracks, M of them, oldest first, a row each.

    Attributes:
        lives: when they were seen.
        memory: (M, C), what detections are compared with.
        recent: (M, S, C), the last S embeddings at length 1, a ring; 0 where there are fewer.

    Args:
        options: of the tracker.
    """

    def __init__(self, options: CTVISOptions) -> None:
        self.options = options
        self.lives = Lifetimes(options)
        self.memory: Floats = np.zeros((0, 0), np.float32)
        self.recent: Floats = np.zeros((0, options.memory_size, 0), np.float32)

    def see(self, rows: Ints, embeddings: Floats, time: int) -> None:
        """Let the tracks of rows (R,) take embeddings (R, C) of a frame."""
        if len(rows) == 0:
            return
        units = normalised(embeddings)
        shares = self._shares(rows, units)[:, None]
        self.memory[rows] = (1 - shares) * self.memory[rows] + shares * embeddings
        self.recent[rows, self.lives.num_visible[rows] % self.options.memory_size] = units
        self.lives.see(rows, time)

    def _shares(self, rows: Ints, units: Floats) -> Floats:
        """Return the share of each new embedding in its track's memory, (R,)."""
        if self.options.memory == "last":
            return np.ones(len(rows), units.dtype)
        if self.options.memory == "momentum":
            return np.full(len(rows), self.options.update_rate, units.dtype)
        cosines = (self.recent[rows] @ units[..., None]).sum(axis=(1, 2))
        counts = np.minimum(self.lives.num_visible[rows], self.options.memory_size)
        return np.maximum(cosines / counts, 0).astype(units.dtype)

    def begin(self, embeddings: Floats, time: int) -> Ints:
        """Begin a track for each embedding (R, C) of a frame; return their ids."""
        num, channels = embeddings.shape
        if num:
            recent = np.zeros((num, self.options.memory_size, channels), embeddings.dtype)
            recent[:, 0] = normalised(embeddings)
            held = len(self.lives.ids) > 0
            self.memory = np.concatenate([self.memory, embeddings]) if held else embeddings.copy()
            self.recent = np.concatenate([self.recent, recent]) if held else recent
        return self.lives.begin(num, time)

    def retract(self, time: int) -> tuple[Span, ...]:
        """Take back the tracks of too few frames that frame `time` shows to be over."""
        return self.lives.retract(time)

    def end(self, time: int) -> tuple[int, ...]:
        """Forget the tracks that frame `time` shows to have ended; return their ids."""
        ended, kept = self.lives.end(time)
        if ended:
            self.memory, self.recent = self.memory[kept], self.recent[kept]
        return ended

    def state_dict(self) -> StateDict:
        """Return all arrays."""
        arrays = {"memory": self.memory.copy(), "recent": self.recent.copy()}
        return self.lives.state_dict() | arrays

    def load_state_dict(self, state: StateDict) -> None:
        """Take them back."""
        self.lives.load_state_dict(state)
        self.memory, self.recent = state["memory"].copy(), state["recent"].copy()
