"""Oracle association: the truth says which detection is which instance; all else is the model's."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from vidgap_vis.formats import VideoInfo, VideoSet
from vidgap_vis.inference.sights import at_cells
from vidgap_vis.trackers import Assignment, Detections, MemoryOptions
from vidgap_vis.trackers.base import NO_TRACK, Need, StateDict
from vidgap_vis.trackers.bits import MaskBits
from vidgap_vis.trackers.memory import visible_queries

MIN_IOU = 0.5


class OracleAssociator:
    """Gives a detection the identity of the true instance that it overlaps.

    Detections that overlap none by half are dropped.

    Args:
        videos: with truth.
        video: the one that is tracked.
        options: which detections count.
    """

    needs: frozenset[Need] = frozenset()

    def __init__(
        self, videos: VideoSet, video: VideoInfo, options: MemoryOptions | None = None
    ) -> None:
        self.videos, self.video = videos, video
        self.options = options or MemoryOptions()
        self._time = 0

    def update(self, frame: Detections) -> Assignment:
        masks = self.videos.read_masks(self.video, self.video.instances, [self._time])[:, 0]
        self._time += 1
        queries, found = visible_queries(frame, self.options)
        ids = np.full(len(frame.embeddings), NO_TRACK, np.int64)
        overlap = MaskBits.of(at_cells(masks, frame.masks.shape[1:])).iou(found)
        for instance, column in zip(*linear_sum_assignment(-overlap), strict=True):
            if overlap[instance, column] >= MIN_IOU:
                ids[queries[column]] = instance + 1
        return Assignment(ids)

    def state_dict(self) -> StateDict:
        return {"time": self._time}

    def load_state_dict(self, state: StateDict) -> None:
        self._time = int(state["time"])
