"""Linking the clips of joint decoders by the frames that they share.

A joint decoder (Mask2Former-VIS, SeqFormer) gives a query the same identity in all frames of a
clip. A video that is longer than a clip may be is cut in clips that overlap, and a query continues
the track whose masks it has in the shared frames (SeqFormer's release; IFC, Hwang et al. 2021).
The state is bounded: the tracks' masks in the last frames, and the scores of the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from vidgap_segmenter import ClipOutput
from vidgap_vis.trackers.base import (
    NO_TRACK,
    Assignment,
    ClipTracks,
    Need,
    StateDict,
    VideoTracks,
    size_of,
)
from vidgap_vis.trackers.detections import Detections, Floats, Ints, detections_of
from vidgap_vis.trackers.online import OnlineTracker
from vidgap_vis.trackers.option_checks import check_least, check_shares
from vidgap_vis.trackers.ranking import ScoreRecipe


@dataclass(frozen=True)
class JointOptions:
    """How a video is cut in clips, and how these are linked.

    Attributes:
        clip_frames: frames of a clip; a video that has no more is one clip.
        repeated: of these, how many the next clip begins with again, by which clips are linked; the
            tracks' masks of so many frames are kept.
        min_score: queries whose best class probability is lower show nothing (0.05 in SeqFormer).
        match_threshold: the least soft mask IoU over the shared frames by which a query continues a
            track.
    """

    clip_frames: int = 10
    repeated: int = 2
    min_score: float = 0.05
    match_threshold: float = 0.5

    def __post_init__(self) -> None:
        check_shares(self, ("min_score", "match_threshold"))
        check_least(self, {"clip_frames": 2, "repeated": 1})
        if self.repeated >= self.clip_frames:
            raise ValueError(
                f"repeated must be below clip_frames ({self.clip_frames}), so that a clip has a "
                f"new frame, got {self.repeated}"
            )


class JointTracker:
    """Follow the queries of a joint decoder from clip to clip.

    A query that shows something is one track in the whole clip, and is absent in the frames where
    its mask is empty. A track that no query of the next clip continues has ended; a query that
    continues none begins one. Class probabilities are averaged over the frames that show a track,
    without a mask score, as in Mask2Former-VIS's release, which takes a whole video as one clip.

    Args:
        options: how clips are cut and linked.
        class_weights: (K,), 0 for classes that are not looked for, else 1; None: all are. They
            count where a step is given a network's output.
    """

    offline = False
    needs: frozenset[Need] = frozenset({"mask_logits"})

    def __init__(
        self, options: JointOptions | None = None, class_weights: Floats | None = None
    ) -> None:
        self.options = options or JointOptions()
        self._class_weights = None if class_weights is None else torch.from_numpy(class_weights)
        self._links = _Links(self.options)
        self._online = OnlineTracker(self._links, ScoreRecipe(masks="none"))

    @property
    def clip_frames(self) -> int:
        """How many frames a clip has; the last of a video may have fewer."""
        return self.options.clip_frames

    @property
    def repeated(self) -> int:
        """How many frames of a clip the next one begins with again."""
        return self.options.repeated

    def step(self, clip: ClipOutput | Sequence[Detections], repeated: int = 0) -> ClipTracks:
        """Take the next clip.

        Args:
            clip: what a joint decoder predicts for T frames, `clip_frames` at most; of
                `Detections`, whose masks are bool, the soft IoU is the IoU.
            repeated: how many of these, from the first, are the last frames of the clip before;
                0 for the first clip. Only the others are returned.

        Raises:
            ValueError: the clip is too long, no frame is new, clips share none or more frames than
                are kept, or the output has another shape than that of the first clip.
        """
        if isinstance(clip, ClipOutput):
            detections = detections_of(clip, self._class_weights)
        else:
            detections = list(clip)
        num_frames, kept = len(detections), self._links.num_kept
        if num_frames > self.clip_frames:
            raise ValueError(
                f"clip must be of clip_frames ({self.clip_frames}) at most, got {num_frames} frames"
            )
        if not 0 <= repeated < num_frames:
            raise ValueError(
                f"repeated must be 0 or more and leave a new one of the clip's {num_frames} "
                f"frames, got {repeated}"
            )
        if kept is not None and not 0 < repeated <= kept:
            raise ValueError(
                f"repeated must be 1 to {kept}, frames of the clip before by which clips are "
                f"linked, got {repeated}"
            )
        if kept is None and repeated:
            raise ValueError(f"repeated must be 0 for the first clip, got {repeated}")
        shown = np.any([np.asarray(frame.masks).any(axis=(1, 2)) for frame in detections], axis=0)
        keep = min(num_frames, self.repeated)
        self._links.link(
            np.where(shown, detections[0].class_probabilities.max(1), -1.0),
            probabilities_of(clip, slice(0, repeated)),
            probabilities_of(clip, slice(num_frames - keep, num_frames)),
        )
        return self._online.step(detections[repeated:])

    def score_masks(self, ids: Ints, scores: Floats, areas: Ints) -> None:
        """Take the mask scores of the next frame; they do not count."""

    def finish(self) -> VideoTracks:
        """Rank the tracks of the video."""
        return self._online.finish()

    def state_dict(self) -> StateDict:
        return self._online.state_dict()

    def load_state_dict(self, state: StateDict) -> None:
        self._online.load_state_dict(state)

    def state_size(self) -> int:
        return size_of(self.state_dict())


def soft_mask_iou(first: Floats, second: Floats) -> Floats:
    """Return the soft IoU of each pair of masks, sum(p q) / sum(p + q - p q), 0 of two empty ones.

    Args:
        first: mask probabilities, (N, ...).
        second: (M, ...), of the same cells.

    Returns:
        (N, M) float32.
    """
    cells = int(np.prod(first.shape[1:]))  # not -1: there may be no mask
    rows, columns = (masks.reshape(len(masks), cells) for masks in (first, second))
    shared = rows @ columns.T
    union = rows.sum(axis=1)[:, None] + columns.sum(axis=1)[None] - shared
    return np.asarray(shared / np.maximum(union, 1e-6), np.float32)


def probabilities_of(clip: ClipOutput | Sequence[Detections], frames: slice) -> Floats:
    """Return the mask probabilities of some frames, (Q, t, h, w) float32, without the padding."""
    if not isinstance(clip, ClipOutput):
        masks = np.stack([frame.masks for frame in clip], axis=1)  # (Q, T, h, w)
        return masks[:, frames].astype(np.float32)
    rows, columns = clip.mask_extent
    logits = clip.mask_logits[0, :, frames, :rows, :columns].float()
    probabilities: Floats = logits.sigmoid().cpu().numpy()
    return probabilities


class _Links:
    """The associator of a clip's new frames: all have the ids that `link` found for its queries.

    Attributes:
        num_kept: frames of the last clip whose masks are kept; None before the first clip.
    """

    needs: frozenset[Need] = frozenset()

    def __init__(self, options: JointOptions) -> None:
        self.options = options
        self.num_kept: int | None = None
        self._num_begun = 0
        self._ids = np.zeros(0, np.int64)  # (N,), the tracks of the last clip
        self._masks = np.zeros((0, 0, 0, 0), np.float32)  # (N, num_kept, h, w)
        self._of_query = np.zeros(0, np.int64)  # (Q,), what `update` gives
        self._ended: tuple[int, ...] = ()

    def link(self, scores: Floats, shared: Floats, last: Floats) -> None:
        """Give the queries of a clip their tracks.

        Args:
            scores: best class probability of each query, (Q,); negative where it shows nothing.
            shared: mask probabilities in the frames shared with the last clip, (Q, t, h, w).
            last: the same in the frames that are kept for the next clip.
        """
        if self.num_kept is not None and shared.shape[2:] != self._masks.shape[2:]:
            raise ValueError(
                f"masks must be {self._masks.shape[2:]}, as in the first clip, got "
                f"{shared.shape[2:]}"
            )
        queries = np.flatnonzero(scores >= self.options.min_score)
        queries = queries[np.argsort(-scores[queries], kind="stable")]
        ids = np.full(len(queries), NO_TRACK, np.int64)
        if len(self._ids) and len(queries):
            overlap = soft_mask_iou(self._masks[:, -shared.shape[1] :], shared[queries])
            gain = np.where(overlap >= self.options.match_threshold, overlap, 0)
            tracks, rows = linear_sum_assignment(gain, maximize=True)
            linked = overlap[tracks, rows] >= self.options.match_threshold
            ids[rows[linked]] = self._ids[tracks[linked]]
        begun = np.flatnonzero(ids == NO_TRACK)
        ids[begun] = self._num_begun + 1 + np.arange(len(begun))
        self._num_begun += len(begun)
        self._ended += tuple(np.setdiff1d(self._ids, ids).tolist())
        self._ids = ids
        self._of_query = np.full(len(scores), NO_TRACK, np.int64)
        self._of_query[queries] = ids
        self.num_kept = last.shape[1]
        self._masks = last[queries]

    def update(self, frame: Detections) -> Assignment:
        shown = np.asarray(frame.masks).any(axis=(1, 2))
        ended, self._ended = self._ended, ()
        return Assignment(np.where(shown, self._of_query, NO_TRACK), ended)

    def state_dict(self) -> StateDict:
        return {
            "num_begun": self._num_begun,
            "num_kept": -1 if self.num_kept is None else self.num_kept,
            "ids": self._ids.copy(),
            "masks": self._masks.copy(),
        }

    def load_state_dict(self, state: StateDict) -> None:
        self._num_begun = int(state["num_begun"])
        kept = int(state["num_kept"])
        self.num_kept = None if kept < 0 else kept
        self._ids, self._masks = state["ids"].copy(), state["masks"].copy()
