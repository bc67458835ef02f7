"""The annotated instances that a segmenter is trained on, checked where they enter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vidgap_segmenter.structures import describe


@dataclass(frozen=True, eq=False)
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


def check_targets(
    targets: Sequence[ClipTargets],
    num_clips: int,
    num_frames: int,
    frame_size: tuple[int, int],
    num_classes: int,
) -> None:
    """Raise ValueError unless there are `num_clips` targets that fit frames and classes.

    `frame_size` is the (H, W) that masks must have; labels must be less than `num_classes`.
    """
    if len(targets) != num_clips:
        raise ValueError(f"targets must be of {num_clips} clips, got {len(targets)}")
    check_num_frames(targets, num_frames)
    for index, clip in enumerate(targets):
        if clip.masks.shape[2:] != frame_size:
            raise ValueError(
                f"targets[{index}].masks must be of the frames' size {tuple(frame_size)}, "
                f"got {tuple(clip.masks.shape[2:])}"
            )
        outside = (clip.labels < 0) | (clip.labels >= num_classes)
        if outside.any():
            raise ValueError(
                f"targets[{index}].labels must be in 0..{num_classes - 1}, "
                f"got {clip.labels[outside].tolist()}"
            )


def check_num_frames(targets: Sequence[ClipTargets], num_frames: int) -> None:
    """Raise ValueError unless the masks of every clip have `num_frames` frames."""
    for index, clip in enumerate(targets):
        if clip.masks.shape[1] != num_frames:
            raise ValueError(
                f"targets[{index}].masks must have {num_frames} frames, got {clip.masks.shape[1]}"
            )
