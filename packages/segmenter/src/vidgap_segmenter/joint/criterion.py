"""The losses of clips: a query is matched once, for all frames (Mask2Former-VIS §2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vidgap_segmenter.frame_targets import FrameTargets, Matching
from vidgap_segmenter.joint.matching import ClipMatching, Pairs, in_frames
from vidgap_segmenter.losses import box_losses, mean_over_processes
from vidgap_segmenter.mask2former.criterion import SetCriterion
from vidgap_segmenter.matcher import (
    assign,
    of_labels,
    point_costs,
    sampled_masks,
    weighted_table,
)
from vidgap_segmenter.points import Sampler, uniform
from vidgap_segmenter.precision import at_least_float32
from vidgap_segmenter.structures import Prediction, by_frame
from vidgap_segmenter.targets import ClipTargets


class ClipCriterion(SetCriterion):
    """Match and compare clip by clip (see `SetCriterion`).

    An instance counts if its mask has a pixel in a frame of the clip, and then in all frames: where
    it is absent, its query's mask should be empty. The class logits of a query are those of the
    clip, the same in each frame.

    As in the release, the costs of matching compare masks at points that all frames of a clip
    share, T*P in all, while the losses draw P points for each frame's mask. Those are summed over
    instances and frames and divided by the number of instances, so they grow with T.
    """

    def _list(
        self, clips: Sequence[ClipTargets], padded_size: tuple[int, int]
    ) -> tuple[FrameTargets, int]:
        targets = FrameTargets.from_whole_clips(clips, padded_size)
        return targets, len(targets.labels) // targets.num_frames

    def match_frames(
        self, class_logits: Tensor, mask_logits: Tensor, targets: FrameTargets
    ) -> Matching:
        """Match the queries of clips, for each frame: (B*T, Q, K+1) and (B*T, Q, h, w)."""
        shape = (-1, targets.num_frames)
        by_clip = mask_logits.unflatten(0, shape).transpose(1, 2)  # (B, Q, T, h, w)
        pairs = self.match_clips(class_logits.unflatten(0, shape)[:, 0], by_clip, targets)
        return in_frames(ClipMatching.of(pairs, targets), targets)

    def match_clips(
        self, class_logits: Tensor, mask_logits: Tensor, targets: FrameTargets
    ) -> list[Pairs]:
        """Match the queries of each clip with all instances that are listed of it.

        Args:
            class_logits: (B, Q, K+1).
            mask_logits: (B, Q, T, h, w).
            targets: of the B clips (`from_whole_clips`).

        Returns:
            min(Q, instances) pairs a clip, by query.

        Raises:
            NonFiniteLoss: a cost is not finite.
        """
        tables = self.clip_costs(class_logits, mask_logits, targets).numpy()
        every = np.arange(tables.shape[1])
        counts = targets.counts[:: targets.num_frames]
        return [
            assign(table, every, range(count)) for table, count in zip(tables, counts, strict=True)
        ]

    @torch.no_grad()
    def clip_costs(
        self, class_logits: Tensor, mask_logits: Tensor, targets: FrameTargets
    ) -> Tensor:
        """Return the weighted cost of every query with every instance of its clip.

        Points are drawn for each clip, and shared by its masks and frames.

        Args:
            class_logits: (B, Q, K+1).
            mask_logits: (B, Q, T, h, w).
            targets: of the B clips (`from_whole_clips`), at most n in one.

        Returns:
            (B, Q, n), on the CPU; columns past the number of a clip's instances mean nothing.

        Raises:
            NonFiniteLoss: a cost is not finite.
        """
        num_frames, clips = targets.num_frames, len(targets.num_instances)
        points = self.point_losses.for_matching(clips, mask_logits.device)
        shared = points.repeat_interleave(num_frames, 0)  # (B, P, 2) -> (B*T, P, 2)
        frames = mask_logits.transpose(1, 2).flatten(0, 1)  # (B*T, Q, h, w)
        logits, truth = sampled_masks(frames, targets, shared)
        by_clip = logits.unflatten(0, (clips, num_frames)).transpose(1, 2).flatten(2)  # (B, Q, T*P)
        truth = truth.unflatten(0, (clips, num_frames)).flatten(1, 2)  # (B, T*P, n)
        mask, dice = point_costs(by_clip, truth)
        labels = targets.by_slot(targets.labels)[::num_frames]  # (B, n), of each first frame
        classes = -of_labels(class_logits.softmax(-1), labels)
        return weighted_table({"class": classes, "mask": mask, "dice": dice}, self.weights)

    def clip_losses(
        self,
        class_logits: Tensor,
        mask_logits: Tensor,
        targets: FrameTargets,
        matching: ClipMatching,
        num_masks: Tensor,
    ) -> dict[str, Tensor]:
        """Return the losses of P predictions, unweighted scalars by name, as VITA has them.

        Points are drawn for the mask of each frame; those of all frames then count as one mask's,
        so these losses do not grow with T.

        Args:
            class_logits: (P, Q, K+1).
            mask_logits: (P, Q, T, h, w).
            targets: of the clips (`from_whole_clips`).
            matching: which query is which of them.
            num_masks: what the sums over masks are divided by, a scalar.
        """
        num_queries, num_frames = mask_logits.shape[1:3]
        wanted = matching.classes(targets, num_queries, self.num_classes)
        row = matching.predictions * num_queries + matching.queries
        matched = mask_logits.flatten(0, 1).index_select(0, row).flatten(0, 1)  # (R*T, h, w)
        mask, dice = self.point_losses.of_masks(
            matched, targets, matching.rows.flatten(), together=num_frames
        )
        classes = self.class_loss(class_logits, wanted)
        return {"class": classes, "mask": mask / num_masks, "dice": dice / num_masks}


class SeqFormerCriterion(ClipCriterion):
    """The same for a network with boxes, which are compared where an instance is present.

    Matching does not look at boxes (docs/paper.md#seqformer).

    Args:
        num_classes: K.
        num_points: points on which masks are compared.
        oversample: candidates drawn for each point that is chosen for its uncertainty.
        importance: share of the points that are chosen for their uncertainty.
        class_weight: weight of the class part, in matching cost and loss.
        mask_weight: weight of the mask part.
        dice_weight: weight of the dice part.
        box_weight: weight of the boxes' L1 distance.
        giou_weight: weight of the boxes' generalised IoU.
        no_instance_weight: weight of class K in the cross entropy.
        sampler: draws the points.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        num_points: int = 12544,
        oversample: float = 3.0,
        importance: float = 0.75,
        class_weight: float = 2.0,
        mask_weight: float = 5.0,
        dice_weight: float = 5.0,
        box_weight: float = 5.0,
        giou_weight: float = 2.0,
        no_instance_weight: float = 0.1,
        sampler: Sampler = uniform,
    ) -> None:
        super().__init__(
            num_classes,
            num_points=num_points,
            oversample=oversample,
            importance=importance,
            class_weight=class_weight,
            mask_weight=mask_weight,
            dice_weight=dice_weight,
            no_instance_weight=no_instance_weight,
            sampler=sampler,
        )
        self.weights |= {"box": box_weight, "giou": giou_weight}

    def _box_losses(
        self, level: Prediction, targets: FrameTargets, matching: Matching
    ) -> dict[str, Tensor]:
        if level.boxes is None:
            raise ValueError("output must have boxes, got none: it is another network's")
        boxes = at_least_float32(by_frame(level.boxes))[matching.frames, matching.queries]
        truth = targets.boxes[matching.rows]
        present = truth[:, 2] > 0
        count = mean_over_processes(present.sum(), boxes.device).clamp(min=1)
        box, giou = box_losses(boxes[present], truth[present])
        return {"box": box / count, "giou": giou / count}
