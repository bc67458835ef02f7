"""Assign queries to annotated instances, by frame or by clip (Mask2Former §3.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    frames, queries, rows = assign(costs, weights, targets.counts, targets.frames.device)
    return targets.matching(frames=frames, queries=queries, rows=rows)


def assign(
    costs: Mapping[str, Tensor],
    weights: Mapping[str, float],
    counts: Sequence[int],
    device: torch.device,
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the cheapest assignment in each table of costs.

    Args:
        costs: unweighted, by name, (R, Q, n); columns past a table's count are ignored.
        weights: of the costs, by the same names.
        counts: instances of each of the R tables.
        device: of the results.

    Returns:
        Of each pair, by table and then by query: its table, its query, and its instance counted
        over all tables; int64.

    Raises:
        NonFiniteLoss: a cost is not finite.
    """
    from scipy.optimize import linear_sum_assignment  # as slow to import as all of this package

    weighted = {name: weights[name] * cost for name, cost in costs.items()}
    table = torch.stack(list(weighted.values())).sum(0).cpu()
    if not table.isfinite().all():
        names = ", ".join(name for name, cost in weighted.items() if not cost.isfinite().all())
        raise NonFiniteLoss(f"matching costs must be finite, got nan or inf in the {names} cost")
    tables, queries, rows = [], [], []
    first = 0
    for index, count in enumerate(counts):
        query, column = linear_sum_assignment(table[index, :, :count].numpy())
        tables.extend([index] * len(query))
        queries.extend(query.tolist())
        rows.extend((column + first).tolist())
        first += count
    pairs = torch.tensor([tables, queries, rows], dtype=torch.int64, device=device)
    return pairs[0], pairs[1], pairs[2]


def softmax_cost(class_logits: Tensor, targets: FrameTargets) -> Tensor:
    """Return minus the softmax probability of each instance's class, (B*T, Q, n)."""
    return -_of_labels(class_logits.softmax(-1), targets)


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
    probability = _of_labels(class_logits.sigmoid(), targets)
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
    return point_costs(*sampled_masks(mask_logits, targets, points))


def sampled_masks(
    mask_logits: Tensor, targets: FrameTargets, points: Tensor
) -> tuple[Tensor, Tensor]:
    """Sample predicted and annotated masks, as for `mask_costs`: (B*T, Q, P) and (B*T, P, n)."""
    rows = torch.arange(len(targets.labels), device=points.device)
    logits = sample_logits(mask_logits, points)  # (B*T, Q, P)
    sampled = targets.sample(rows, points[targets.frames]).to(logits.dtype)
    return logits, targets.by_slot(sampled).transpose(1, 2)


def point_costs(logits: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cross entropy and the dice cost of sampled masks.

    Args:
        logits: of predicted masks, (R, Q, P).
        truth: of annotated masks, (R, P, n).

    Returns:
        Two of (R, Q, n).
    """
    # Cross entropy of logit x with truth t is softplus(x) - x*t; this softplus is the fast one.
    softplus = logits.clamp(min=0) - logits.abs().sigmoid().log()
    mask = (softplus.sum(-1, keepdim=True) - logits @ truth) / logits.shape[-1]
    masks = logits.sigmoid()
    sizes = masks.sum(-1, keepdim=True) + truth.sum(1, keepdim=True)  # (R, Q, n)
    dice = 1 - (2 * (masks @ truth) + 1) / (sizes + 1)
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
