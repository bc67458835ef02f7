"""Association by query embeddings: which query of this frame is which track.

Queries that show something are assigned to the tracks that live, by the cosine similarity of their
embeddings, as published for MinVIS (Huang et al., NeurIPS 2022), and by the overlap of their masks
where the track was seen in the last frame. Everything is numpy on the CPU; the state does not grow
with the video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np
from scipy.optimize import linear_sum_assignment

from vidgap_vis.trackers.base import Assignment, Need, StateDict
from vidgap_vis.trackers.bits import MaskBits
from vidgap_vis.trackers.detections import Detections, Floats, normalised
from vidgap_vis.trackers.memory import LivingTrack, Memory, MemoryOptions, visible_queries


@dataclass(frozen=True)
class QueryOptions(MemoryOptions):
    """How queries continue tracks.

    Attributes:
        min_score, duplicate_iou, max_gap, momentum: as in `MemoryOptions`.
        iou_weight: what a mask IoU of 1 with the last frame's mask adds to the cosine similarity.
        min_affinity: a query continues a track that the last frame showed if similarity and
            overlap are above this together.
        reacquire_similarity: a query continues any living track if the cosine similarity alone
            is above this.
    """

    iou_weight: float = 3.0
    min_affinity: float = 1.5
    reacquire_similarity: float = 0.95

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.iou_weight < inf:
            raise ValueError(f"iou_weight must be at least 0, got {self.iou_weight}")
        for name in ("min_affinity", "reacquire_similarity"):
            if not isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be finite, got {getattr(self, name)}")


class QueryAssociator:
    """Associate queries with tracks by embedding and overlap.

    The assignment has the greatest sum of what each pair has above its threshold; a query without a
    pair begins a track. A track out of sight is remembered, and may be found again by embedding
    alone.
    """

    needs: frozenset[Need] = frozenset()

    def __init__(self, options: QueryOptions | None = None) -> None:
        self.options = options or QueryOptions()
        self._memory = Memory(self.options)

    def update(self, frame: Detections) -> Assignment:
        units = normalised(frame.embeddings)
        queries, masks = visible_queries(frame, self.options)
        matched: list[LivingTrack | None] = [None] * len(queries)
        living = self._memory.living
        if living and len(queries):
            gain = self._gain(living, units[queries], masks)
            for row, column in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
                if gain[row, column] > 0:
                    matched[column] = living[row]
        return self._memory.advance(units, queries, masks, matched)

    def _gain(self, tracks: Sequence[LivingTrack], units: Floats, masks: MaskBits) -> Floats:
        """Return what each pair has above its threshold, 0 where it is below: (N, D)."""
        similarity = normalised(np.stack([track.embedding for track in tracks])) @ units.T
        gain = similarity - self.options.reacquire_similarity
        recent = [index for index, track in enumerate(tracks) if track.gap == 0]
        if recent:
            seen = MaskBits(np.stack([tracks[index].words for index in recent]))
            affinity = similarity[recent] + self.options.iou_weight * seen.iou(masks)
            gain[recent] = np.maximum(gain[recent], affinity - self.options.min_affinity)
        return np.maximum(gain, 0).astype(np.float32)

    def state_dict(self) -> StateDict:
        return self._memory.state_dict()

    def load_state_dict(self, state: StateDict) -> None:
        self._memory.load_state_dict(state)
