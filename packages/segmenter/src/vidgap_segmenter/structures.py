"""What the segmenter returns, for clips and for frames.

Axes are always B, then N or Q, then T, then C, then H, W. What crosses the segmenter's border
checks itself, so that a wrong shape is named where it enters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vidgap_segmenter.precision import at_least_float32


@dataclass(frozen=True, eq=False)
class FramePrediction:
    """What a decoder predicts at one of its levels, frame by frame.

    Where the frames of a clip share their queries, its rows are clips instead, B of them, and the
    T masks of a query stand one below the other, (B, Q, T*h, w).

    Attributes:
        class_logits: (B*T, Q, K+1), or (B*T, Q, K) of independent classes.
        mask_logits: (B*T, Q, h, w).
        queries: the normed queries that it was made from, (B*T, Q, C).
        boxes: (B*T, Q, 4), or None, as in `Prediction`.
    """

    class_logits: Tensor
    mask_logits: Tensor
    queries: Tensor
    boxes: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the decoder predicts for clips at one of its levels.

    Attributes:
        class_logits: (B, Q, T, K+1), index K is "no instance"; or (B, Q, T, K) of independent
            classes.
        mask_logits: (B, Q, T, h, w), at stride 4 of the padded frames.
        boxes: (B, Q, T, 4), centre x, centre y, width, height in [0, 1] over the padded frame;
            None from a network without them.
    """

    class_logits: Tensor
    mask_logits: Tensor
    boxes: Tensor | None = None

    def __post_init__(self) -> None:
        if self.class_logits.ndim != 4:
            raise ValueError(
                "class_logits must be (B, Q, T, K+1) or (B, Q, T, K), "
                f"got {describe(self.class_logits)}"
            )
        if self.mask_logits.ndim != 5 or self.mask_logits.shape[:3] != self.class_logits.shape[:3]:
            raise ValueError(
                f"mask_logits must be {tuple(self.class_logits.shape[:3])} + (h, w), "
                f"got {describe(self.mask_logits)}"
            )
        if self.boxes is not None and self.boxes.shape != (*self.class_logits.shape[:3], 4):
            raise ValueError(
                f"boxes must be {(*self.class_logits.shape[:3], 4)}, got {describe(self.boxes)}"
            )

    @classmethod
    def of(
        cls, level: FramePrediction, num_frames: int, queries: slice = slice(None)
    ) -> Prediction:
        """Turn a level's prediction for some of its queries from frames into clips."""
        return cls(
            by_clip(level.class_logits[:, queries], num_frames),
            by_clip(level.mask_logits[:, queries], num_frames),
            None if level.boxes is None else by_clip(level.boxes[:, queries], num_frames),
        )

    @classmethod
    def of_clips(cls, level: FramePrediction, num_frames: int) -> Prediction:
        """Turn a level's prediction by queries that frames share into one for each frame."""
        return cls(
            over_frames(level.class_logits, num_frames),
            level.mask_logits.unflatten(2, (num_frames, -1)),
        )


@dataclass(frozen=True, eq=False)
class HeadInputs:
    """What heads on top of a segmenter read (learned trackers, refiners, clip-level decoders).

    Attributes:
        queries: (L, B, Q, T, C), the normed queries of the last L decoder levels, the last one
            first: all levels in training mode, the last alone in eval mode.
        mask_features: (B, T, C, h, w), whose dot products with mask embeddings are mask logits.
        before_projection: (B, T, C, h, w), the stride-4 map from which they are projected.
        pyramid: (B, T, C, H_l, W_l) of each encoded scale, fine to coarse, after the temporal
            module if there is one.
    """

    queries: Tensor
    mask_features: Tensor
    before_projection: Tensor
    pyramid: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        clips = self.mask_features.shape[:2]  # B, T
        maps = (self.mask_features, self.before_projection, *self.pyramid)
        if any(map_.ndim != 5 or map_.shape[:2] != clips for map_ in maps):
            raise ValueError(
                f"maps must be {tuple(clips)} + (C, h, w), got "
                f"{', '.join(describe(map_) for map_ in maps)}"
            )
        if self.queries.ndim != 5 or self.queries.shape[1::2][:2] != clips:
            raise ValueError(
                f"queries must be (L, {clips[0]}, Q, {clips[1]}, C), got {describe(self.queries)}"
            )

    @classmethod
    def of(
        cls,
        queries: Sequence[Tensor],
        mask_features: Tensor,
        before_projection: Tensor,
        pyramid: Sequence[Tensor],
    ) -> HeadInputs:
        """Gather them.

        Args:
            queries: (B, Q, T, C) of each decoder level, first to last.
            mask_features, before_projection: (B*T, C, h, w).
            pyramid: (B, T, C, H_l, W_l), fine to coarse.
        """
        clips = pyramid[0].shape[:2]  # B, T
        return cls(
            torch.stack(list(reversed(queries))),
            mask_features.unflatten(0, clips),
            before_projection.unflatten(0, clips),
            tuple(pyramid),
        )

    def clip(self, index: int) -> HeadInputs:
        """Return those of one clip, as a batch of one."""
        one = slice(index, index + 1)
        return HeadInputs(
            self.queries[:, one],
            self.mask_features[one],
            self.before_projection[one],
            tuple(map_[one] for map_ in self.pyramid),
        )


@dataclass(frozen=True, eq=False)
class ClipOutput:
    """The segmenter's predictions for a batch of clips: its last level, and the earlier ones.

    Attributes:
        class_logits: (B, Q, T, K+1), index K is "no instance"; or (B, Q, T, K) where classes are
            independent.
        mask_logits: (B, Q, T, h, w), at stride 4 of the padded frames.
        embeddings: (B, Q, T, C), the vectors by which queries are associated over frames.
        auxiliary: predictions of the earlier decoder levels, first to last (empty in eval mode).
        frame_size: (H, W) of the frames that were given.
        padded_size: (H, W) after padding right and bottom, which the mask logits cover.
        boxes: (B, Q, T, 4) as in `Prediction`, or None.
        independent_classes: whether each class has a sigmoid of its own (Mask DINO), or all K+1
            share a softmax (Mask2Former).
        head_inputs: what heads read, if requested.
    """

    class_logits: Tensor
    mask_logits: Tensor
    embeddings: Tensor
    auxiliary: tuple[Prediction, ...]
    frame_size: tuple[int, int]
    padded_size: tuple[int, int]
    boxes: Tensor | None = None
    independent_classes: bool = False
    head_inputs: HeadInputs | None = None

    def __post_init__(self) -> None:
        Prediction(self.class_logits, self.mask_logits, self.boxes)  # checks them
        if self.embeddings.shape[:3] != self.class_logits.shape[:3]:
            raise ValueError(
                f"embeddings must be {tuple(self.class_logits.shape[:3])} + (C,), "
                f"got {describe(self.embeddings)}"
            )

    @property
    def levels(self) -> tuple[Prediction, ...]:
        """All decoder levels, the last one first (the order in which losses are computed)."""
        return (Prediction(self.class_logits, self.mask_logits, self.boxes), *self.auxiliary)

    def clip(self, index: int, frame_size: tuple[int, int] | None = None) -> ClipOutput:
        """Return the last level of one clip, as a batch of one.

        Args:
            index: of the clip in the batch.
            frame_size: (H, W) of its frames before they were padded to those of the batch.

        Raises:
            IndexError: there is no such clip.
            ValueError: frame_size is larger than the padded frames, or a side is below 1.
        """
        if not 0 <= index < len(self.class_logits):
            raise IndexError(f"index must be below {len(self.class_logits)} clips, got {index}")
        sides = zip(frame_size or self.frame_size, self.padded_size, strict=True)
        if not all(1 <= side <= padded for side, padded in sides):
            raise ValueError(
                f"frame_size must be within the padded {self.padded_size}, got {frame_size}"
            )
        one = slice(index, index + 1)
        return ClipOutput(
            class_logits=self.class_logits[one],
            mask_logits=self.mask_logits[one],
            embeddings=self.embeddings[one],
            auxiliary=(),
            frame_size=frame_size or self.frame_size,
            padded_size=self.padded_size,
            boxes=None if self.boxes is None else self.boxes[one],
            independent_classes=self.independent_classes,
            head_inputs=None if self.head_inputs is None else self.head_inputs.clip(index),
        )

    @property
    def mask_extent(self) -> tuple[int, int]:
        """(rows, columns) of the mask logits that the frame itself covers, rounded up."""
        height, width = (
            -(-side * cells // padded)
            for side, cells, padded in zip(
                self.frame_size, self.mask_logits.shape[-2:], self.padded_size, strict=True
            )
        )
        return height, width

    @property
    def class_probabilities(self) -> Tensor:
        """The probability of each class, (B, Q, T, K), float32 or more."""
        logits = at_least_float32(self.class_logits)
        return logits.sigmoid() if self.independent_classes else logits.softmax(-1)[..., :-1]


@dataclass(frozen=True, eq=False)
class Instances:
    """Instances predicted in one frame, best score first.

    Attributes:
        labels: (N,) int64. scores: (N,) float32 in [0, 1]. masks: (N, H, W) bool.
        queries: (N,) int64, the query each one came from.
        boxes: (N, 4) float32, left, top, right, bottom in pixels, from a network with boxes.
    """

    labels: Tensor
    scores: Tensor
    masks: Tensor
    queries: Tensor
    boxes: Tensor | None = None

    def __post_init__(self) -> None:
        if self.masks.ndim != 3 or not (
            len(self.masks) == len(self.labels) == len(self.scores) == len(self.queries)
        ):
            raise ValueError(
                "labels, scores, masks and queries must be of one length with masks (N, H, W), got "
                f"{describe(self.labels)}, {describe(self.scores)}, {describe(self.masks)}, "
                f"{describe(self.queries)}"
            )

    def __len__(self) -> int:
        return len(self.labels)


def by_clip(tensor: Tensor, num_frames: int) -> Tensor:
    """Turn rows of frames into clips, (B*T, Q, ...) -> (B, Q, T, ...)."""
    return tensor.unflatten(0, (-1, num_frames)).transpose(1, 2)


def by_frame(tensor: Tensor) -> Tensor:
    """Turn clips into rows of frames, (B, Q, T, ...) -> (B*T, Q, ...)."""
    return tensor.transpose(1, 2).flatten(0, 1)


def over_frames(tensor: Tensor, num_frames: int) -> Tensor:
    """Repeat what the frames of a clip share, without a copy, (B, Q, C) -> (B, Q, T, C)."""
    return tensor[:, :, None].expand(-1, -1, num_frames, -1)


def stack_frames(maps: Tensor, num_frames: int) -> Tensor:
    """Put a clip's maps one below the other, (B*T, C, H, W) -> (B, C, T*H, W)."""
    return maps.unflatten(0, (-1, num_frames)).transpose(1, 2).flatten(2, 3)


def describe(tensor: Tensor) -> str:
    """Return 'shape (2, 3) float32', for error messages."""
    return f"shape {tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
