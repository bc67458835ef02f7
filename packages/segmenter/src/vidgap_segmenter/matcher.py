"""Assign queries to annotated instances, each frame an image of its own (Mask2Former §3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

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
class CostWeights:
    """Weights of the class, mask and dice parts of a matching cost."""

    classes: float
    mask: float
    dice: float


@torch.no_grad()
def match(
    class_logits: Tensor,
    mask_logits: Tensor,
    targets: FrameTargets,
    points: Tensor,
    weights: CostWeights,
) -> Matching:
    """Find the cheapest assignment in each frame.

    Args:
        class_logits: (B*T, Q, K+1), at least float32.
        mask_logits: (B*T, Q, h, w), at least float32.
        targets: the instances of the B*T frames.
        points: where masks are compared, (B*T, P, 2), shared by all masks of a frame.
        weights: of the parts of the cost.

    Returns:
        min(Q, instances) pairs a frame, by frame and then by query.

    Raises:
        ValueError: a cost is not finite.
    """
    from scipy.optimize import linear_sum_assignment  # as slow to import as all of this package

    slots = _slots(targets)
    classes, mask, dice = pair_costs(class_logits, mask_logits, targets, slots, points)
    table = (weights.classes * classes + weights.mask * mask + weights.dice * dice).cpu()
    if not table.isfinite().all():
        costs = {"class": classes, "mask": mask, "dice": dice}
        names = ", ".join(name for name, cost in costs.items() if not cost.isfinite().all())
        raise ValueError(f"matching costs must be finite, got nan or inf in the {names} cost")
    frames, queries, rows = [], [], []
    first = 0
    for frame, count in enumerate(targets.counts):
        query, column = linear_sum_assignment(table[frame, :, :count].numpy())
        frames.extend([frame] * len(query))
        queries.extend(query.tolist())
        rows.extend((column + first).tolist())
        first += count
    pairs = torch.tensor([frames, queries, rows], dtype=torch.int64, device=mask_logits.device)
    return Matching(*pairs.unbind())


def pair_costs(
    class_logits: Tensor,
    mask_logits: Tensor,
    targets: FrameTargets,
    slots: Tensor,
    points: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the class, mask and dice cost of every query with every instance of its frame.

    Args:
        class_logits: (B*T, Q, K+1).
        mask_logits: (B*T, Q, h, w).
        targets: the instances of the B*T frames, at most n in one.
        slots: place of each instance among those of its frame, (N,), int64.
        points: (B*T, P, 2).

    Returns:
        Three of (B*T, Q, n), unweighted; entries past a frame's count mean nothing.
    """
    num_frames, width = len(targets.counts), max(targets.counts, default=0)
    rows = torch.arange(len(targets.labels), device=points.device)
    logits = sample_logits(mask_logits, points)  # (B*T, Q, P)
    truth = logits.new_zeros(num_frames, width, points.shape[1])
    truth[targets.frames, slots] = targets.sample(rows, points[targets.frames]).to(logits.dtype)
    labels = targets.labels.new_zeros(num_frames, width)
    labels[targets.frames, slots] = targets.labels

    index = labels[:, None].expand(-1, class_logits.shape[1], -1)  # (B*T, Q, n)
    classes = -class_logits.softmax(-1).gather(2, index)
    # Cross entropy of logit x with truth t is softplus(x) - x*t; this softplus is the fast one.
    truth = truth.transpose(1, 2)  # (B*T, P, n)
    softplus = logits.clamp(min=0) - logits.abs().sigmoid().log()
    mask = (softplus.sum(-1, keepdim=True) - logits @ truth) / points.shape[1]
    shares = logits.sigmoid()
    sizes = shares.sum(-1, keepdim=True) + truth.sum(1, keepdim=True)  # (B*T, Q, n)
    dice = 1 - (2 * (shares @ truth) + 1) / (sizes + 1)
    return classes, mask, dice


def _slots(targets: FrameTargets) -> Tensor:
    """Return the place of each instance among those of its frame, (N,)."""
    places = [slot for count in targets.counts for slot in range(count)]
    return torch.tensor(places, dtype=torch.int64, device=targets.frames.device)
