"""MinVIS: queries that keep their look keep their identity (Huang et al., NeurIPS 2022, §3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from vidgap_vis.trackers.base import Assignment, Need, StateDict
from vidgap_vis.trackers.detections import Detections, Floats, normalised


@dataclass(frozen=True)
class MinVISOptions:
    """MinVIS has no options: no threshold, no memory but the last frame's embeddings."""


class MinVISAssociator:
    """Continue each query of the last frame by one of this frame's (`video_maskformer_model.py`).

    Every query is a track, from the first frame to the last. The assignment has the greatest sum of
    cosines between the embeddings of the last frame and this one's.

    Args:
        options: none.
    """

    needs: frozenset[Need] = frozenset()

    def __init__(self, options: MinVISOptions | None = None) -> None:
        self.options = options or MinVISOptions()
        self._units: Floats | None = None  # (Q, C), of the last frame, in the order of tracks

    def update(self, frame: Detections) -> Assignment:
        """Take the next frame.

        Raises:
            ValueError: an embedding is not finite, or there are other queries than before.
        """
        units = normalised(frame.embeddings)
        if not np.isfinite(units).all():
            raise ValueError("embeddings must be finite, got nan or inf")
        queries = np.arange(len(units))
        if self._units is not None:
            if self._units.shape != units.shape:
                raise ValueError(
                    f"embeddings must be {self._units.shape}, as before, got {units.shape}"
                )
            _, queries = linear_sum_assignment(1 - self._units @ units.T)  # of track 1, 2, ...
        self._units = units[queries]
        ids = np.empty(len(units), np.int64)
        ids[queries] = np.arange(1, len(units) + 1)
        return Assignment(ids)

    def state_dict(self) -> StateDict:
        """Return the embeddings of the last frame."""
        return {} if self._units is None else {"units": self._units.copy()}

    def load_state_dict(self, state: StateDict) -> None:
        """Take them back."""
        units = state.get("units")
        self._units = None if units is None else units.copy()
