"""The losses of clips: a query is matched once, for all frames (Mask2Former-VIS §2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vidgap_segmenter.frame_targets import FrameTargets, Matching
from vidgap_segmenter.losses import box_losses, mean_over_processes
from vidgap_segmenter.mask2former.criterion import SetCriterion
from vidgap_segmenter.matcher import assign, point_costs, sampled_masks, softmax_cost
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

    @torch.no_grad()
    def _match(self, class_logits: Tensor, mask_logits: Tensor, targets: FrameTargets) -> Matching:
        num_frames, counts = targets.num_frames, targets.counts
        points = self.point_losses.for_matching(len(targets.num_instances), mask_logits.device)
        shared = points.repeat_interleave(num_frames, 0)  # (B, P, 2) -> (B*T, P, 2)
        logits, truth = sampled_masks(mask_logits, targets, shared)
        by_clip = logits.unflatten(0, (-1, num_frames)).transpose(1, 2).flatten(2)  # (B, Q, T*P)
        truth = truth.unflatten(0, (-1, num_frames)).flatten(1, 2)  # (B, T*P, n)
        mask, dice = point_costs(by_clip, truth)
        classes = softmax_cost(class_logits, targets)[::num_frames]  # (B*T, Q, n) -> (B, Q, n)
        costs = {"class": classes, "mask": mask, "dice": dice}
        clips, queries, found = assign(
            costs, self.weights, counts[::num_frames], targets.frames.device
        )
        return _in_every_frame(targets, clips, queries, found)


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


def _in_every_frame(
    targets: FrameTargets, clips: Tensor, queries: Tensor, instances: Tensor
) -> Matching:
    """Repeat pairs of a query and an instance for every frame of their clip.

    Args:
        targets: in whose frames they are.
        clips: of each pair, (R,).
        queries: (R,).
        instances: counted over all clips, (R,).

    Returns:
        R*T pairs, by pair and then by frame.
    """
    times = torch.arange(targets.num_frames, device=clips.device)
    frames = clips[:, None] * targets.num_frames + times  # (R, T)
    counts = torch.tensor(targets.counts, device=clips.device)
    before = counts.cumsum(0) - counts  # rows before each frame, (B*T,)
    of_clip = counts[:: targets.num_frames]
    slots = instances - (of_clip.cumsum(0) - of_clip)[clips]
    return targets.matching(
        frames=frames.flatten(),
        queries=queries.repeat_interleave(targets.num_frames),
        rows=(before[frames] + slots[:, None]).flatten(),
    )
