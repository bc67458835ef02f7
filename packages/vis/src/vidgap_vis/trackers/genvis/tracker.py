"""GenVIS as a `Tracker`: every clip query is a track from the first frame to the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import torch

from vidgap_segmenter import ClipOutput
from vidgap_vis.trackers.base import (
    ClipTracks,
    Need,
    StateDict,
    VideoTracks,
    head_inputs_of,
    size_of,
)
from vidgap_vis.trackers.detections import Detections, Floats, Ints
from vidgap_vis.trackers.genvis.network import GenVIS, GenVISState
from vidgap_vis.trackers.vita.ranking import MaskSums, frame_queries_of


class GenVISTracker:
    """Follow instances clip by clip.

    A track's class scores are the maximum over the clips so far. State grows with the video unless
    the head has a `max_memory`, by 204,800 bytes a clip (`GenVISState.nbytes`).

    Args:
        head: in eval mode; clip query i is track i + 1.
        clip_frames: of a clip: 1 for the released online models, 3 for the semi-online ones. The
            frames of each step are cut into such clips; the last of a step may be shorter, so steps
            but a video's last should be multiples.
        top_k: pairs of a query and a class, the best by class probability, that the result has (10,
            and 20 on OVIS, in the released configurations).
        class_weights: (K,), 0 for classes that are not looked for, else 1; None: all are.
    """

    offline = False
    repeated = 0
    needs: frozenset[Need] = frozenset({"queries", "before_projection"})

    def __init__(
        self,
        head: GenVIS,
        clip_frames: int = 1,
        top_k: int = 10,
        class_weights: Floats | None = None,
    ) -> None:
        if clip_frames < 1 or top_k < 1:
            raise ValueError(
                f"clip_frames and top_k must be at least 1, got {clip_frames} and {top_k}"
            )
        self.head = head
        self.clip_frames = clip_frames
        self.top_k = top_k
        self.class_weights = class_weights
        self._num_frames = 0
        self._state: GenVISState | None = None
        self._sums = MaskSums(head.vita.num_queries)

    @torch.no_grad()
    def step(self, clip: ClipOutput | Sequence[Detections], repeated: int = 0) -> ClipTracks:
        """Take the next T frames, each once.

        Raises:
            ValueError: frames are repeated, the clip is no network's output with `head_inputs` or
                is several clips, or the head refuses them.
        """
        inputs = head_inputs_of(clip, repeated)
        frames = frame_queries_of(inputs).split(self.clip_frames, dim=1)
        maps = inputs.before_projection[0].split(self.clip_frames)
        state = self._state and _to(self._state, inputs.queries.device)
        masks, scores = [], []
        for part, part_maps in zip(frames, maps, strict=True):
            output, state = self.head.step(part, state)
            masks.append(self.head.vita.mask_logits(output.mask_embeddings[0], part_maps))
            now = state.probabilities[0].float()  # (cQ, K)
            scores.append(now[:, None].expand(-1, len(part_maps), -1))
        self._state = state
        first, num_frames = self._num_frames, inputs.before_projection.shape[1]
        self._num_frames += num_frames
        queries = np.arange(self.head.vita.num_queries, dtype=np.int64)
        return ClipTracks(
            first,
            queries + 1,
            np.repeat(queries[:, None], num_frames, axis=1),
            torch.cat(scores, dim=1).cpu().numpy(),
            mask_logits=torch.cat(masks, dim=1),
        )

    def score_masks(self, ids: Ints, scores: Floats, areas: Ints) -> None:
        """Take the mask scores (N,) and areas (N,) of tracks (N,) that the next frame shows."""
        self._sums.add(ids, scores, areas)

    def finish(self) -> VideoTracks:
        """Rank the best `top_k` pairs of a track and a class; ties go to the lower label."""
        if self._state is None:
            none = np.zeros(0, np.int64)
            return VideoTracks(none, none, np.zeros(0))
        scores = self._state.probabilities[0].cpu().numpy()
        if self.class_weights is not None:
            scores = scores * self.class_weights
        return self._sums.rank(scores, self.top_k)

    def state_dict(self) -> StateDict:
        state = self._state
        head = (
            {f.name: getattr(state, f.name).cpu().numpy() for f in fields(state)} if state else {}
        )
        return {
            "num_frames": self._num_frames,
            "head": head,
            "masks": self._sums.state_dict(),
        }

    def load_state_dict(self, state: StateDict) -> None:
        self._num_frames = int(state["num_frames"])
        tensors = {name: torch.from_numpy(array.copy()) for name, array in state["head"].items()}
        self._state = GenVISState(**tensors) if tensors else None
        self._sums.load_state_dict(state["masks"])

    def state_size(self) -> int:
        head = 0 if self._state is None else self._state.nbytes
        return head + size_of(self._sums.state_dict())


def _to(state: GenVISState, device: torch.device) -> GenVISState:
    return GenVISState(**{f.name: getattr(state, f.name).to(device) for f in fields(state)})
