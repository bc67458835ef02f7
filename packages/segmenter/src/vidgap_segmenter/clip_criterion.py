"""Costs and losses of predictions that have one class for a whole clip (Mask2Former-VIS; VITA)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vidgap_segmenter.clip_matching import ClipMatching
from vidgap_segmenter.frame_targets import FrameTargets
from vidgap_segmenter.mask2former.criterion import Criterion
from vidgap_segmenter.matcher import of_labels, pair_costs, weighted_table
from vidgap_segmenter.points import sample_logits
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


class ClipCriterion:
    """Compare the queries of clips with instances on the points of all frames at once.

    Args:
        criterion: for frames, whose settings and points count here.
    """

    def __init__(self, criterion: Criterion) -> None:
        self.criterion = criterion

    @torch.no_grad()
    def costs(self, class_logits: Tensor, mask_logits: Tensor, targets: FrameTargets) -> Tensor:
        """Return the weighted cost of every query with every instance of its clip.

        Points are drawn for each clip, and shared by its masks and frames.

        Args:
            class_logits: (B, Q, K+1).
            mask_logits: (B, Q, T, h, w).
            targets: of the B clips, which list all instances in every frame, at most n in one.

        Returns:
            (B, Q, n), on the CPU; columns past the number of a clip's instances mean nothing.

        Raises:
            NonFiniteLoss: a cost is not finite.
        """
        clips, _, frames = mask_logits.shape[:3]
        drawn = self.criterion.point_losses.for_matching(clips, mask_logits.device)
        points = drawn.repeat_interleave(frames, 0)  # (B*T, P, 2)
        rows = torch.arange(len(targets.labels), device=points.device)
        truth = targets.sample(rows, points[targets.frames]).to(mask_logits.dtype)
        truth = targets.by_slot(truth).unflatten(0, (clips, frames))  # (B, T, n, P)
        logits = sample_logits(mask_logits.transpose(1, 2).flatten(0, 1), points)  # (B*T, Q, P)
        logits = logits.unflatten(0, (clips, frames)).transpose(1, 2)  # (B, Q, T, P)
        mask, dice = pair_costs(logits.flatten(2), truth.transpose(1, 2).flatten(2))
        labels = targets.by_slot(targets.labels)[::frames]  # (B, n), of each clip's first frame
        classes = -of_labels(class_logits.softmax(-1), labels)
        costs = {"class": classes, "mask": mask, "dice": dice}
        return weighted_table(costs, self.criterion.weights)

    def losses(
        self,
        class_logits: Tensor,
        mask_logits: Tensor,
        targets: FrameTargets,
        matching: ClipMatching,
        num_masks: Tensor,
    ) -> dict[str, Tensor]:
        """Return the losses of P predictions, unweighted scalars, by name.

        Points are drawn for the mask of each frame; those of all frames then count as one mask's.

        Args:
            class_logits: (P, Q, K+1).
            mask_logits: (P, Q, T, h, w).
            targets: which list all instances in every frame.
            matching: which query is which of them.
            num_masks: what the sums over masks are divided by, a scalar.
        """
        num_queries, num_frames = mask_logits.shape[1:3]
        wanted = matching.classes(targets, num_queries, self.criterion.num_classes)
        row = matching.predictions * num_queries + matching.queries
        matched = mask_logits.flatten(0, 1).index_select(0, row).flatten(0, 1)  # (R*T, h, w)
        mask, dice = self.criterion.point_losses.of_masks(
            matched, targets, matching.rows.flatten(), together=num_frames
        )
        classes = self.criterion.class_loss(class_logits, wanted)
        return {"class": classes, "mask": mask / num_masks, "dice": dice / num_masks}


def list_instances(
    targets: Sequence[ClipTargets], padded_size: tuple[int, int], device: torch.device
) -> FrameTargets:
    """List all instances of clips in every frame, on `device`; absent ones have empty masks."""
    clips = [clip.to(device) for clip in targets]
    return FrameTargets.from_clips(clips, padded_size, list_absent=True)


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
