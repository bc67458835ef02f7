"""VITA as a `Tracker`: the queries of all frames first, then the masks in a second pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

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
from vidgap_vis.trackers.vita.network import VITA, VITAOutput
from vidgap_vis.trackers.vita.ranking import MaskSums, frame_queries_of


class VITATracker:
    """Follow instances through a video that ends.

    `step` takes all frames and keeps their queries alone: fQ * C numbers a frame, 102,400 bytes for
    100 queries of 256 in float32. Then `masks` takes the frames once more, any number at a time,
    and returns the tracks; `finish` ranks them.

    Args:
        head: in eval mode; clip query i is track i + 1.
        top_k: pairs of a query and a class, the best by class probability, that the result has (10,
            and 20 on OVIS, in the released configurations); masks are made of their queries only.
    """

    offline = True
    needs: frozenset[Need] = frozenset({"queries", "before_projection"})

    def __init__(self, head: VITA, top_k: int = 10) -> None:
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        self.head = head
        self.top_k = top_k
        self._frames: list[Tensor] = []  # (T, fQ, C) of each step, on the CPU
        self._num_frames = 0
        self._num_masked = 0
        self._sums = MaskSums(head.num_queries)
        self._output: VITAOutput | None = None

    def step(self, clip: ClipOutput | Sequence[Detections], repeated: int = 0) -> ClipTracks:
        """Take the next T frames, each once; no track is known yet, so none is returned.

        Raises:
            ValueError: frames are repeated, the clip is no network's output with `head_inputs` or
                is several clips, or masks have been asked for already.
        """
        inputs = head_inputs_of(clip, repeated)
        if self._num_masked:
            raise ValueError(
                f"all frames must come before masks, got more after {self._num_masked}"
            )
        self._output = None
        frames = frame_queries_of(inputs)[0].detach().cpu()
        self._frames.append(frames)
        first, self._num_frames = self._num_frames, self._num_frames + len(frames)
        none = np.zeros((0, len(frames)), np.int64)
        scores = np.zeros((*none.shape, self.head.num_classes), np.float32)
        return ClipTracks(first, none[:, 0], none, scores)

    @torch.no_grad()
    def masks(self, clip: ClipOutput | Sequence[Detections]) -> ClipTracks:
        """Take the next T frames once more, from the first; return their tracks and masks.

        Raises:
            ValueError: the clip is no network's output with `head_inputs` or is several clips, or
                these are more frames than `step` has taken.
        """
        maps = head_inputs_of(clip, 0).before_projection[0]  # (T, C, h, w)
        first, end = self._num_masked, self._num_masked + len(maps)
        if end > self._num_frames:
            raise ValueError(f"clip must end by frame {self._num_frames}, got {end}")
        self._num_masked = end
        queries = np.unique(self._best().ids) - 1
        embeddings = self._decoded().mask_embeddings[0, torch.from_numpy(queries)]
        logits = self.head.mask_logits(embeddings.to(maps.device), maps)
        scores = self._probabilities()[queries].astype(np.float32)
        return ClipTracks(
            first,
            queries + 1,
            np.repeat(queries[:, None], len(maps), axis=1),
            np.repeat(scores[:, None], len(maps), axis=1),
            mask_logits=logits,
        )

    def score_masks(self, ids: Ints, scores: Floats, areas: Ints) -> None:
        """Take the mask scores (N,) and areas (N,) of tracks (N,) that the next frame shows."""
        self._sums.add(ids, scores, areas)

    def finish(self) -> VideoTracks:
        """Rank the best `top_k` pairs of a track and a class; ties go to the lower label."""
        if not self._num_frames:
            none = np.zeros(0, np.int64)
            return VideoTracks(none, none, np.zeros(0))
        return self._sums.rank(self._probabilities(), self.top_k)

    def _best(self) -> VideoTracks:
        """Return the best pairs by class probability alone."""
        return MaskSums(self.head.num_queries).rank(self._probabilities(), self.top_k)

    def _probabilities(self) -> np.ndarray:
        """Return the class probabilities of the video, (cQ, K)."""
        probabilities: np.ndarray = self._decoded().class_logits[0].softmax(-1)[:, :-1].numpy()
        return probabilities

    @torch.no_grad()
    def _decoded(self) -> VITAOutput:
        """Decode the whole video, once; what is kept of it is on the CPU."""
        if self._output is None:
            like = self.head.query_feat.weight
            frames = torch.cat(self._frames)[None].to(like.device, like.dtype)
            output = self.head(frames)
            self._output = VITAOutput(
                output.class_logits.cpu(),
                output.mask_embeddings.cpu(),
                output.queries.cpu(),
                output.frame_similarity[:, :0].cpu(),
                output.clip_similarity.cpu(),
            )
        return self._output

    def state_dict(self) -> StateDict:
        frames = torch.cat(self._frames).numpy() if self._frames else np.zeros((0, 0, 0))
        return {"frames": frames, "num_masked": self._num_masked, "masks": self._sums.state_dict()}

    def load_state_dict(self, state: StateDict) -> None:
        self._num_frames = len(state["frames"])
        self._frames = [torch.from_numpy(state["frames"].copy())] if self._num_frames else []
        self._num_masked = int(state["num_masked"])
        self._sums.load_state_dict(state["masks"])
        self._output = None

    def state_size(self) -> int:
        frames = sum(part.nbytes for part in self._frames)
        return frames + size_of(self._sums.state_dict())
