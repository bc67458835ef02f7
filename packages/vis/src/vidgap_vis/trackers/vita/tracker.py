"""VITA as a `Tracker`: the queries of all frames first, then the masks in a second pass."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vidgap_segmenter import HeadInputs
from vidgap_vis.trackers.base import Need, StateDict, VideoTracks, size_of
from vidgap_vis.trackers.detections import Floats, Ints
from vidgap_vis.trackers.offline import OfflineTracker
from vidgap_vis.trackers.vita.network import VITA, ClipPrediction
from vidgap_vis.trackers.vita.ranking import MaskSums, frame_queries_of


class VITATracker(OfflineTracker):
    """Follow instances through a video that ends.

    It keeps fQ * C numbers a frame: 102,400 bytes for 100 queries of 256 in float32.

    Args:
        head: in eval mode.
        top_k: as `OfflineTracker`'s; 10, and 20 on OVIS, in the released configurations.
        class_weights: as `OfflineTracker`'s.
    """

    needs: frozenset[Need] = frozenset({"queries", "before_projection"})

    def __init__(self, head: VITA, top_k: int = 10, class_weights: Floats | None = None) -> None:
        super().__init__(head.num_classes, top_k, class_weights)
        self.head = head
        self._sums = MaskSums(head.num_queries)
        self._decoded: ClipPrediction | None = None

    def score_masks(self, ids: Ints, scores: Floats, areas: Ints) -> None:
        self._sums.add(ids, scores, areas)

    def _keep(self, inputs: HeadInputs) -> Tensor:
        return frame_queries_of(inputs)[0]

    def _forget(self) -> None:
        self._decoded = None

    def _class_scores(self) -> npt.NDArray[np.floating]:
        scores: npt.NDArray[np.floating] = (
            self._video().class_logits[0].softmax(-1)[:, :-1].cpu().numpy()
        )
        return scores

    def _mask_logits(self, queries: Tensor, inputs: HeadInputs) -> Tensor:
        maps = inputs.before_projection[0]  # (T, C, h, w)
        embeddings = self._video().mask_embeddings[0]
        return self.head.mask_logits(embeddings[queries.to(embeddings.device)], maps)

    def _best(self) -> VideoTracks:
        return MaskSums(self.head.num_queries).rank(self._scores(), self.top_k)

    def _ranked(self) -> VideoTracks:
        return self._sums.rank(self._scores(), self.top_k)

    @torch.no_grad()
    def _video(self) -> ClipPrediction:
        """Decode the whole video, once."""
        if self._decoded is None:
            like = self.head.query_feat.weight
            output = self.head(self._frames()[None].to(like.device, like.dtype))
            self._decoded = ClipPrediction(output.class_logits, output.mask_embeddings)
        return self._decoded

    def state_dict(self) -> StateDict:
        return super().state_dict() | {"masks": self._sums.state_dict()}

    def load_state_dict(self, state: StateDict) -> None:
        super().load_state_dict(state)
        self._sums.load_state_dict(state["masks"])

    def state_size(self) -> int:
        return super().state_size() + size_of(self._sums.state_dict())
