"""Predictions that have one class for a whole clip (Mask2Former-VIS; VITA)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from vidgap_segmenter.structures import describe
from vidgap_segmenter.targets import ClipTargets, check_targets


@dataclass(frozen=True)
class JointPrediction:
    """What is predicted for whole clips: a class for all frames, and a mask in each.

    Attributes:
        class_logits: (..., Q, K+1), index K is "no instance".
        mask_logits: (..., Q, T, h, w), at stride 4 of the padded frames.
    """

    class_logits: Tensor
    mask_logits: Tensor

    def __post_init__(self) -> None:
        leading = self.class_logits.shape[:-1]
        if self.class_logits.ndim < 3 or self.mask_logits.shape[:-3] != leading:
            raise ValueError(
                "class_logits must be (B, Q, K+1) and mask_logits (B, Q, T, h, w), got "
                f"{describe(self.class_logits)} and {describe(self.mask_logits)}"
            )


def check_video(
    class_logits: Tensor,
    mask_logits: Tensor,
    targets: Sequence[ClipTargets],
    num_classes: int,
    padded_size: tuple[int, int],
) -> None:
    """Raise ValueError unless predictions, classes and targets fit each other.

    Args:
        class_logits: (B, Q, ..., K+1).
        mask_logits: (B, Q, T, h, w).
        targets: of the B clips, all of one size, no larger than `padded_size`.
        num_classes: K.
        padded_size: (H', W') that mask logits cover.
    """
    if class_logits.shape[-1] != num_classes + 1:
        raise ValueError(
            f"class_logits must be of {num_classes} classes and no instance, "
            f"got {class_logits.shape[-1]}"
        )
    height, width = targets[0].masks.shape[2:] if targets else padded_size
    if height > padded_size[0] or width > padded_size[1]:
        raise ValueError(
            f"targets' masks must be within the padded {tuple(padded_size)}, got {height, width}"
        )
    check_targets(targets, len(mask_logits), mask_logits.shape[2], (height, width), num_classes)
