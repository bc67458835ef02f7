"""Whether contenders make the same clips; if not, no speed is reported.

Masks are compared by instance and frame, pictures where the source is visible. They are not equal:
ours interpolates once, the others once a stage, so outlines are off by up to a source pixel, and
what is enlarged or rotated twice is blurred more.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

MIN_AREA = 32**2
"""The least pixels of a mask whose IoU counts; in smaller ones a row of pixels is a large part."""

MAX_MEAN_DIFFERENCE = 1.0
MIN_MEAN_IOU = 0.96
MIN_IOU = 0.8

RIM = 4
"""Pixels along the border of the source that are not compared."""


@dataclass(frozen=True)
class Agreement:
    """How close the clips of two contenders are.

    Attributes:
        mean_difference: of grey levels, absolute, inside; the largest of all clips.
        mean_iou: over all masks of `MIN_AREA`.
        min_iou: the worst of them.
        num_masks: how many these were.
    """

    mean_difference: float
    mean_iou: float
    min_iou: float
    num_masks: int

    def is_good(self) -> bool:
        """Whether it is the same work."""
        near = self.mean_difference <= MAX_MEAN_DIFFERENCE
        return near and self.mean_iou >= MIN_MEAN_IOU and self.min_iou >= MIN_IOU

    def __str__(self) -> str:
        return (
            f"{'agree' if self.is_good() else 'DIFFER'}: mean |difference| "
            f"{self.mean_difference:.2f} of 255, IoU mean {self.mean_iou:.3f} "
            f"min {self.min_iou:.3f} over {self.num_masks} masks"
        )


class Comparison:
    """Collects the differences of clips."""

    def __init__(self) -> None:
        self._differences: list[float] = []
        self._ious: list[float] = []

    def add(
        self, ours: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor], inside: Tensor
    ) -> None:
        """Compare two clips of frames (T, 3, H, W) uint8 and masks (N, T, H, W) bool.

        Args:
            ours, theirs: with the same N.
            inside: (T, H, W) bool, where pictures are compared.
        """
        difference = (ours[0].short() - theirs[0].short()).abs().float().mean(dim=1)
        self._differences.append(float(difference[inside].mean()) if inside.any() else 0.0)
        both = (ours[1] & theirs[1]).sum((-2, -1))
        either = (ours[1] | theirs[1]).sum((-2, -1))
        large = theirs[1].sum((-2, -1)) >= MIN_AREA
        self._ious += (both[large] / either[large]).tolist()

    def result(self) -> Agreement:
        """Return the figures of all clips so far."""
        ious = np.array(self._ious)
        return Agreement(
            round(max(self._differences), 3), round(ious.mean(), 4), round(ious.min(), 4), len(ious)
        )


def rows_of_all(sample: dict[str, Tensor], num_rows: int) -> Tensor:
    """Return our masks (num_rows, T, H, W), empty for the instances that were dropped.

    Args:
        sample: a clip whose ids are the rows of its instances before any was dropped.
        num_rows: N and the pastes.
    """
    masks = sample["masks"].as_subclass(Tensor)
    rows = torch.zeros(num_rows, *masks.shape[1:], dtype=torch.bool)
    rows[sample["ids"]] = masks
    return rows


def seen_inside(
    matrices: list[np.ndarray], source: tuple[int, int], size: tuple[int, int]
) -> Tensor:
    """Return where frames of `size` show the source (H, W), without its rim: (T, H, W) bool."""
    ones = np.zeros(source, np.uint8)
    ones[RIM:-RIM, RIM:-RIM] = 1
    moved = [cv2.warpAffine(ones, m, size[::-1], flags=cv2.INTER_NEAREST) for m in matrices]
    return torch.from_numpy(np.stack(moved)).bool()
