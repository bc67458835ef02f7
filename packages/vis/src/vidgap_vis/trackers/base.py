"""What a tracker is: the clips of a video in, identities out.

An `Associator` gives the detections of successive frames their identities; `OnlineTracker` turns it
into a `Tracker`. Methods that see several frames at once are `Tracker`s themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from vidgap_segmenter import ClipOutput, HeadInputs, Prediction
from vidgap_segmenter.inference import Resize
from vidgap_vis.trackers.detections import Detections, Floats, Ints

Need: TypeAlias = Literal[
    "boxes", "class_logits", "mask_logits", "queries", "mask_features", "before_projection"
]
"""What some trackers read besides class probabilities, embeddings and masks: of the detections, of
the network's output, or of its `HeadInputs`."""

Span: TypeAlias = tuple[int, int, int]
"""A track's id, and the first and the last frame (included) of a part of it."""

StateDict: TypeAlias = dict[str, Any]
"""Arrays and numbers by name, nested; a file of arrays can hold them."""

HeadState: TypeAlias = dict[str, Tensor]
"""What a head carries from step to step: tensors by name, (B, ...)."""

NO_TRACK = 0
"""The id of what is no track; those of tracks are 1, 2, ..."""

ABSENT = -1
"""The query of a track that is absent."""


@dataclass(frozen=True)
class Assignment:
    """Which detection of a frame is which track.

    Attributes:
        ids: (Q,) int64, the track of each detection, `NO_TRACK` where it is none. Of several
            detections of one track, the last counts.
        ended: tracks that will not be seen again.
        retracted: parts of tracks in earlier frames that are taken back; a track that is seen
            again afterwards starts over under its id.
    """

    ids: Ints
    ended: tuple[int, ...] = ()
    retracted: tuple[Span, ...] = ()


class Associator(Protocol):
    """Gives the detections of successive frames their identities; one object per video."""

    @property
    def needs(self) -> frozenset[Need]:
        """What it reads besides class probabilities, embeddings and masks."""

    def update(self, frame: Detections) -> Assignment:
        """Take the next frame. An id is never used again for another track."""

    def state_dict(self) -> StateDict:
        """Return all that is needed to resume a video."""

    def load_state_dict(self, state: StateDict) -> None:
        """Resume from a state."""


@dataclass(frozen=True)
class ClipTracks:
    """The tracks of the T frames of a step.

    Attributes:
        first_frame: index of the first of these frames in the video.
        ids: (N,) int64, ascending, of the tracks visible in one of the frames.
        queries: (N, T) int64, the query that shows each track; -1 where it is absent.
        class_scores: (N, T, K) float32, as of each frame; 0 where absent.
        mask_logits: (N, T, h, w), where the tracker makes its own masks; None: they are those of
            `queries`.
        retracted: parts of tracks in earlier steps that are taken back.
        ended: tracks that will not be seen again.
        mask_resize: how mask logits, once at the padded frame's size, get the frame's own.
    """

    first_frame: int
    ids: Ints
    queries: Ints
    class_scores: Floats
    mask_logits: Tensor | None = None
    retracted: tuple[Span, ...] = ()
    ended: tuple[int, ...] = ()
    mask_resize: Resize = "bilinear"

    def __post_init__(self) -> None:
        num = len(self.ids)
        if self.queries.ndim != 2 or len(self.queries) != num:
            raise ValueError(f"queries must be ({num}, T), got {self.queries.shape}")
        if self.class_scores.ndim != 3 or self.class_scores.shape[:2] != self.queries.shape:
            raise ValueError(
                f"class_scores must be {self.queries.shape} + (K,), got {self.class_scores.shape}"
            )
        masks = self.mask_logits
        if masks is not None and (masks.ndim != 4 or masks.shape[:2] != self.queries.shape):
            raise ValueError(
                f"mask_logits must be {self.queries.shape} + (h, w), got {tuple(masks.shape)}"
            )

    def visible(self, time: int) -> Ints:
        """Return the rows of the tracks that frame `time` (0..T-1) shows."""
        return np.flatnonzero(self.queries[:, time] != ABSENT)


@dataclass(frozen=True)
class VideoTracks:
    """The results of a video: R pairs of a track and a class, best first.

    Attributes:
        ids: (R,) int64; a track may occur with several classes.
        labels: (R,) int64.
        scores: (R,) float64.
    """

    ids: Ints
    labels: Ints
    scores: npt.NDArray[np.float64]

    def __iter__(self) -> Iterator[tuple[int, int, float]]:
        """Yield (id, label, score)."""
        return zip(self.ids.tolist(), self.labels.tolist(), self.scores.tolist(), strict=True)

    def best(self, top_k: int, min_score: float = 0.0) -> VideoTracks:
        """Return the first `top_k`, without those below `min_score`."""
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        keep = np.flatnonzero(self.scores[:top_k] >= min_score)
        return VideoTracks(self.ids[keep], self.labels[keep], self.scores[keep])


class Head(Protocol):
    """Learned layers on a segmenter that follow instances; the query's index is the identity."""

    def step(self, x: HeadInputs, state: HeadState | None) -> tuple[Prediction, HeadState]:
        """Take the next T frames of a video, T >= 1.

        Args:
            x: what a segmenter hands out for them.
            state: what the last step returned; None before the first frame.

        Returns:
            Class logits (B, Q, T, K+1) and mask logits (B, Q, T, h, w), and the state after these
            frames.
        """


class Tracker(Protocol):
    """Follows the instances of a video; one object per video."""

    @property
    def needs(self) -> frozenset[Need]:
        """What it reads besides class probabilities, embeddings and masks."""

    @property
    def offline(self) -> bool:
        """Whether masks exist only after the last frame."""

    @property
    def clip_frames(self) -> int:
        """How many frames it takes at once: steps but the last should be multiples of it."""

    @property
    def repeated(self) -> int:
        """How many frames of a step the next one begins with again; 0: it takes each once."""

    def step(self, clip: ClipOutput | Sequence[Detections], repeated: int = 0) -> ClipTracks:
        """Take the next T frames, T >= 1.

        Args:
            clip: what the network predicts for them: its whole output (which `needs` may require),
                or the detections of the T frames.
            repeated: how many of them, from the first, the last step has seen already, for trackers
                that link clips by the frames they share. Only the others are returned.

        Raises:
            ValueError: the network's output has another shape than that of the first frame, or
                frames are repeated for a tracker that takes each once.
        """

    def score_masks(self, ids: Ints, scores: Floats, areas: Ints) -> None:
        """Take the mask scores of the next frame, for methods that rank by them.

        Args:
            ids: (N,), of tracks that the frame shows.
            scores: (N,), the mean mask probability over each mask's pixels.
            areas: (N,), how many these are.
        """

    def finish(self) -> VideoTracks:
        """Rank the tracks of the video."""

    def state_dict(self) -> StateDict:
        """Return all that is needed to resume a video."""

    def load_state_dict(self, state: StateDict) -> None:
        """Resume from a state."""

    def state_size(self) -> int:
        """Return the bytes of arrays that it holds."""


def head_inputs_of(clip: ClipOutput | Sequence[Detections], repeated: int) -> HeadInputs:
    """Return what heads read of one clip.

    Raises:
        ValueError: frames are repeated, the clip is no network's output with `head_inputs`, or it
            is several clips.
    """
    if repeated:
        raise ValueError(f"repeated must be 0: each frame is taken once, got {repeated}")
    if not isinstance(clip, ClipOutput) or clip.head_inputs is None:
        raise ValueError(
            "clip must be a network's output with head_inputs (with_head_inputs=True), got "
            + ("none in it" if isinstance(clip, ClipOutput) else type(clip).__name__)
        )
    if len(clip.class_logits) != 1:
        raise ValueError(f"clip must hold one clip, got {len(clip.class_logits)}")
    return clip.head_inputs


def size_of(state: StateDict) -> int:
    """Return the bytes of all arrays of a state."""
    return sum(
        size_of(value) if isinstance(value, dict) else getattr(value, "nbytes", 0)
        for value in state.values()
    )
