"""Assign queries to annotated instances, each frame an image of its own (Mask2Former §3.3)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torchvision.ops import box_convert, generalized_box_iou

from vidgap_segmenter.frame_targets import FrameTargets, Matching
from vidgap_segmenter.losses import NonFiniteLoss
from vidgap_segmenter.points import sample_logits


def match(
    costs: Mapping[str, Tensor], weights: Mapping[str, float], targets: FrameTargets
) -> Matching:
    """Find the cheapest assignment in each frame.

    Args:
        costs: unweighted costs of every query with every instance of its frame, by name,
            (B*T, Q, n); columns past the number of a frame's instances are ignored.
        weights: of the costs, by the same names.
        targets: the instances of the B*T frames, at most n in one.

    Returns:
        min(Q, instances) pairs a frame, by frame and then by query.

    Raises:
        NonFiniteLoss: a cost is not finite.
    """
    from scipy.optimize import linear_sum_assignment  # as slow to import as all of this package

    table = weighted_table(costs, weights)
    frames, queries, rows = [], [], []
    first = 0
    for frame, count in enumerate(targets.counts):
        query, column = linear_sum_assignment(table[frame, :, :count].numpy())
        frames.extend([frame] * len(query))
        queries.extend(query.tolist())
        rows.extend((column + first).tolist())
        first += count
    pairs = torch.tensor([frames, queries, rows], dtype=torch.int64, device=targets.frames.device)
    return targets.matching(frames=pairs[0], queries=pairs[1], rows=pairs[2])


def weighted_table(costs: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Return the weighted sum of costs of any one shape, on the CPU: the device is waited for.

    Raises:
        NonFiniteLoss: a cost is not finite.
    """
    weighted = {name: weights[name] * cost for name, cost in costs.items()}
    table = torch.stack(list(weighted.values())).sum(0).cpu()
    if not table.isfinite().all():
        names = ", ".join(name for name, cost in weighted.items() if not cost.isfinite().all())
        raise NonFiniteLoss(f"matching costs must be finite, got nan or inf in the {names} cost")
    return table


def softmax_cost(class_logits: Tensor, targets: FrameTargets) -> Tensor:
    """Return minus the softmax probability of each instance's class, (B*T, Q, n)."""
    return -of_labels(class_logits.softmax(-1), targets.by_slot(targets.labels))


def focal_cost(class_logits: Tensor, targets: FrameTargets, alpha: float, gamma: float) -> Tensor:
    """Return how much the focal loss changes if a query takes an instance (Mask DINO, matcher).

    Args:
        class_logits: (B*T, Q, K).
        targets: the instances.
        alpha: weight of the positive part.
        gamma: the focusing exponent.

    Returns:
        (B*T, Q, n).
    """
    labels = targets.by_slot(targets.labels)
    return focal_change(of_labels(class_logits.sigmoid(), labels), alpha, gamma)


def focal_change(probability: Tensor, alpha: float, gamma: float) -> Tensor:
    """Return the focal loss of probabilities as positives minus that as negatives, any shape."""
    positive = -alpha * (1 - probability) ** gamma * (probability + 1e-8).log()
    negative = -(1 - alpha) * probability**gamma * (1 - probability + 1e-8).log()
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
    return pair_costs(logits, targets.by_slot(sampled))


def pair_costs(logits: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cross entropy and the dice cost of every query with every instance.

    Args:
        logits: of masks at points, (B, Q, P).
        truth: shares of instances there, (B, n, P), in the same dtype.

    Returns:
        Two of (B, Q, n).
    """
    truth = truth.transpose(1, 2)  # (B, P, n)
    # Cross entropy of logit x with truth t is softplus(x) - x*t; this softplus is the fast one.
    softplus = logits.clamp(min=0) - logits.abs().sigmoid().log()
    mask = (softplus.sum(-1, keepdim=True) - logits @ truth) / logits.shape[2]
    masks = logits.sigmoid()
    sizes = masks.sum(-1, keepdim=True) + truth.sum(1, keepdim=True)  # (B, Q, n)
    dice = 1 - (2 * (masks @ truth) + 1) / (sizes + 1)
    return mask, dice


def box_costs(boxes: Tensor, targets: FrameTargets) -> tuple[Tensor, Tensor]:
    """Return the L1 distance and minus the generalised IoU of boxes (B*T, Q, 4), (B*T, Q, n)."""
    truth = targets.by_slot(targets.boxes).to(boxes.dtype)  # (B*T, n, 4)
    corners, true_corners = (box_convert(b, "cxcywh", "xyxy") for b in (boxes, truth))
    overlap = [generalized_box_iou(*pair) for pair in zip(corners, true_corners, strict=True)]
    # Where a frame has fewer instances than n, a pair of empty boxes has no IoU.
    return torch.cdist(boxes, truth, p=1), -torch.stack(overlap).nan_to_num()


def of_labels(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Pick the classes of instances, (B, Q, K) and (B, n) -> (B, Q, n)."""
    return probabilities.gather(2, labels[:, None].expand(-1, probabilities.shape[1], -1))
