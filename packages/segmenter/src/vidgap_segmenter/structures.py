"""What crosses the segmenter's border: targets in, outputs and losses out.

Axes are always B, then N or Q, then T, then C, then H, W. Every dataclass is frozen and checks
itself, so that a wrong shape is named where it enters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class ClipTargets:
    """The annotated instances of one clip.

    An instance is present in frame t where its mask has a pixel.

    Attributes:
        labels: class indices 0..K-1, (N,), int64.
        masks: (N, T, H, W), bool, at the size of the frames given to the model.
        ids: identity of each instance within the clip, (N,), int64.
    """

    labels: Tensor
    masks: Tensor
    ids: Tensor

    def __post_init__(self) -> None:
        num = self.labels.shape[0] if self.labels.ndim == 1 else -1
        if num < 0 or self.labels.dtype != torch.int64:
            raise ValueError(f"labels must be (N,) int64, got {describe(self.labels)}")
        if self.masks.ndim != 4 or self.masks.shape[0] != num or self.masks.dtype != torch.bool:
            raise ValueError(f"masks must be ({num}, T, H, W) bool, got {describe(self.masks)}")
        if self.ids.shape != (num,) or self.ids.dtype != torch.int64:
            raise ValueError(f"ids must be ({num},) int64, got {describe(self.ids)}")

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> ClipTargets:
        """Return the same targets on `device`."""
        return replace(
            self,
            labels=self.labels.to(device),
            masks=self.masks.to(device),
            ids=self.ids.to(device),
        )


@dataclass(frozen=True)
class Prediction:
    """What the decoder says of a clip at one of its levels.

    Attributes:
        class_logits: (B, Q, T, K+1); index K is "no instance".
        mask_logits: (B, Q, T, h, w), at stride 4 of the padded frames.
    """

    class_logits: Tensor
    mask_logits: Tensor

    def __post_init__(self) -> None:
        if self.class_logits.ndim != 4:
            raise ValueError(
                f"class_logits must be (B, Q, T, K+1), got {describe(self.class_logits)}"
            )
        if self.mask_logits.ndim != 5 or self.mask_logits.shape[:3] != self.class_logits.shape[:3]:
            raise ValueError(
                f"mask_logits must be {tuple(self.class_logits.shape[:3])} + (h, w), "
                f"got {describe(self.mask_logits)}"
            )


@dataclass(frozen=True)
class ClipOutput:
    """The segmenter's answer for a batch of clips: its last level, and the earlier ones.

    Attributes:
        class_logits: (B, Q, T, K+1); index K is "no instance".
        mask_logits: (B, Q, T, h, w), at stride 4 of the padded frames.
        embeddings: (B, Q, T, C), the vectors by which queries are associated over frames.
        auxiliary: predictions of the earlier decoder levels, first to last (empty in eval mode).
        frame_size: (H, W) of the frames that were given.
        padded_size: (H, W) after padding right and bottom, which the mask logits cover.
    """

    class_logits: Tensor
    mask_logits: Tensor
    embeddings: Tensor
    auxiliary: tuple[Prediction, ...]
    frame_size: tuple[int, int]
    padded_size: tuple[int, int]

    def __post_init__(self) -> None:
        if self.embeddings.shape[:3] != self.class_logits.shape[:3]:
            raise ValueError(
                f"embeddings must be {tuple(self.class_logits.shape[:3])} + (C,), "
                f"got {describe(self.embeddings)}"
            )

    @property
    def levels(self) -> tuple[Prediction, ...]:
        """All decoder levels, the last one first (the order in which losses are computed)."""
        return (Prediction(self.class_logits, self.mask_logits), *self.auxiliary)


@dataclass(frozen=True)
class Losses:
    """Unweighted losses of every decoder level, float32, the last level first.

    Attributes:
        classes: cross entropy, (levels,).
        mask: point-sampled binary cross entropy, (levels,).
        dice: point-sampled dice, (levels,).
        total: the weighted sum that is minimised, scalar.
    """

    classes: Tensor
    mask: Tensor
    dice: Tensor
    total: Tensor


@dataclass(frozen=True)
class Instances:
    """Instances predicted in one frame, best score first.

    Attributes:
        labels: (N,) int64. scores: (N,) float32 in [0, 1]. masks: (N, H, W) bool.
        queries: (N,) int64, the query each one came from.
    """

    labels: Tensor
    scores: Tensor
    masks: Tensor
    queries: Tensor

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


def describe(tensor: Tensor) -> str:
    """Return 'shape (2, 3) float32', for error messages."""
    return f"shape {tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def same_num_frames(targets: Sequence[ClipTargets], num_frames: int) -> None:
    """Raise ValueError where a clip's masks do not have `num_frames` frames."""
    for index, clip in enumerate(targets):
        if clip.masks.shape[1] != num_frames:
            raise ValueError(
                f"targets[{index}].masks must have {num_frames} frames to match the output, "
                f"got {clip.masks.shape[1]}"
            )
