"""Assign queries to annotated instances, each frame an image of its own (Mask2Former §3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torchvision.ops import box_convert, generalized_box_iou

from vidgap_segmenter.boxes import mask_boxes
from vidgap_segmenter.points import frame_masks, sample_logits, sample_masks
from vidgap_segmenter.structures import ClipTargets


@dataclass(frozen=True)
class FrameTargets:
    """The instances of B*T frames, N in all: those present in the first, in the second, ...

    Attributes:
        frames: the frame of each, (N,), int64, ascending.
        labels: class indices, (N,), int64.
        masks: (N, H + 3, W + 3), bool: each within a frame of zeros, as `sample_masks` needs.
        counts: instances in each frame, B*T numbers that sum to N.
        padded_size: (H', W') of the frames that points cover.
    """

    frames: Tensor
    labels: Tensor
    masks: Tensor
    counts: tuple[int, ...]
    padded_size: tuple[int, int]

    @classmethod
    def from_clips(cls, clips: Sequence[ClipTargets], padded_size: tuple[int, int]) -> FrameTargets:
        """List what is present, frame by frame; frames are numbered B-major."""
        frames, labels, masks = [], [], []
        counts: list[int] = []
        for clip in clips:
            by_frame = clip.masks.transpose(0, 1)  # (T, N, H, W)
            present = by_frame.flatten(2).any(-1)  # (T, N)
            frame, instance = present.nonzero(as_tuple=True)
            frames.append(frame + len(counts))
            labels.append(clip.labels[instance])
            masks.append(by_frame[present])
            counts.extend(present.sum(1).tolist())
        framed = frame_masks(torch.cat(masks))
        return cls(torch.cat(frames), torch.cat(labels), framed, tuple(counts), padded_size)

    @cached_property
    def slots(self) -> Tensor:
        """The place of each instance among those of its frame, (N,), int64."""
        places = [slot for count in self.counts for slot in range(count)]
        return torch.tensor(places, dtype=torch.int64, device=self.frames.device)

    @cached_property
    def boxes(self) -> Tensor:
        """The box around each mask, normalised by the padded frame, (N, 4), float32."""
        masks = self.masks[:, 1:-2, 1:-2]
        height, width = masks.shape[1:]
        shares = [width / self.padded_size[1], height / self.padded_size[0]]
        boxes = mask_boxes(masks)
        return boxes * boxes.new_tensor(shares).repeat(2)

    def by_slot(self, values: Tensor) -> Tensor:
        """Sort values (N, ...) by frame and slot, (B*T, n, ...), zeros where a frame has fewer."""
        size = (len(self.counts), max(self.counts, default=0), *values.shape[1:])
        table = values.new_zeros(size)
        table[self.frames, self.slots] = values
        return table

    def sample(self, which: Tensor, points: Tensor) -> Tensor:
        """Sample masks `which` (R,) at points over the padded frame (R, P, 2), giving (R, P)."""
        return sample_masks(self.masks, which, points, self.padded_size)


@dataclass(frozen=True)
class Matching:
    """R pairs of a query in a frame and a row of the targets, three (R,) int64 tensors."""

    frames: Tensor
    queries: Tensor
    rows: Tensor


@dataclass(frozen=True)
class Cost:
    """A part of the matching cost: its name, its weight and a table (B*T, Q, n), unweighted.

    Entries past the number of a frame's instances mean nothing.
    """

    name: str
    weight: float
    table: Tensor


def match(costs: Sequence[Cost], targets: FrameTargets) -> Matching:
    """Find the cheapest assignment in each frame.

    Args:
        costs: the parts of the cost of every query with every instance of its frame.
        targets: the instances of the B*T frames.

    Returns:
        min(Q, instances) pairs a frame, by frame and then by query.

    Raises:
        ValueError: a cost is not finite.
    """
    from scipy.optimize import linear_sum_assignment  # as slow to import as all of this package

    weighted = {cost.name: cost.weight * cost.table for cost in costs}
    table = torch.stack(list(weighted.values())).sum(0).cpu()
    if not table.isfinite().all():
        names = ", ".join(name for name, cost in weighted.items() if not cost.isfinite().all())
        raise ValueError(f"matching costs must be finite, got nan or inf in the {names} cost")
    frames, queries, rows = [], [], []
    first = 0
    for frame, count in enumerate(targets.counts):
        query, column = linear_sum_assignment(table[frame, :, :count].numpy())
        frames.extend([frame] * len(query))
        queries.extend(query.tolist())
        rows.extend((column + first).tolist())
        first += count
    pairs = torch.tensor([frames, queries, rows], dtype=torch.int64, device=costs[0].table.device)
    return Matching(*pairs.unbind())


def choice_cost(class_logits: Tensor, targets: FrameTargets) -> Tensor:
    """Return minus the softmax probability of each instance's class, (B*T, Q, n)."""
    return -_of_labels(class_logits.softmax(-1), targets)


def focal_cost(class_logits: Tensor, targets: FrameTargets, alpha: float, gamma: float) -> Tensor:
    """Return how much the focal loss falls where a query takes an instance (Mask DINO, matcher).

    Args:
        class_logits: (B*T, Q, K).
        targets: the instances.
        alpha: share of the positive part.
        gamma: exponent of what is already known.

    Returns:
        (B*T, Q, n).
    """
    share = _of_labels(class_logits.sigmoid(), targets)
    positive = -alpha * (1 - share) ** gamma * (share + 1e-8).log()
    negative = -(1 - alpha) * share**gamma * (1 - share + 1e-8).log()
    return positive - negative


def mask_costs(mask_logits: Tensor, targets: FrameTargets, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cross entropy and the dice cost of every query with every instance.

    Args:
        mask_logits: (B*T, Q, h, w).
        targets: the instances of the B*T frames, at most n in one.
        points: where masks are compared, (B*T, P, 2), shared by all masks of a frame.

    Returns:
        Two of (B*T, Q, n).
    """
    rows = torch.arange(len(targets.labels), device=points.device)
    logits = sample_logits(mask_logits, points)  # (B*T, Q, P)
    sampled = targets.sample(rows, points[targets.frames]).to(logits.dtype)
    truth = targets.by_slot(sampled).transpose(1, 2)  # (B*T, P, n)
    # Cross entropy of logit x with truth t is softplus(x) - x*t; this softplus is the fast one.
    softplus = logits.clamp(min=0) - logits.abs().sigmoid().log()
    mask = (softplus.sum(-1, keepdim=True) - logits @ truth) / points.shape[1]
    shares = logits.sigmoid()
    sizes = shares.sum(-1, keepdim=True) + truth.sum(1, keepdim=True)  # (B*T, Q, n)
    dice = 1 - (2 * (shares @ truth) + 1) / (sizes + 1)
    return mask, dice


def box_costs(boxes: Tensor, targets: FrameTargets) -> tuple[Tensor, Tensor]:
    """Return the L1 distance and minus the generalised IoU of boxes (B*T, Q, 4), (B*T, Q, n)."""
    truth = targets.by_slot(targets.boxes).to(boxes.dtype)  # (B*T, n, 4)
    corners, true_corners = (box_convert(b, "cxcywh", "xyxy") for b in (boxes, truth))
    overlap = [generalized_box_iou(*pair) for pair in zip(corners, true_corners, strict=True)]
    # Where a frame has fewer instances than n, a pair of empty boxes has no IoU.
    return torch.cdist(boxes, truth, p=1), -torch.stack(overlap).nan_to_num()


def _of_labels(probabilities: Tensor, targets: FrameTargets) -> Tensor:
    """Pick the classes of a frame's instances, (B*T, Q, K) -> (B*T, Q, n)."""
    index = targets.by_slot(targets.labels)[:, None].expand(-1, probabilities.shape[1], -1)
    return probabilities.gather(2, index)
