"""Assign queries to annotated instances, by frame or by clip (Mask2Former §3.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
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
    table = weighted_table(costs, weights).numpy()
    every = np.arange(table.shape[1])
    found: list[tuple[int, int, int]] = []
    first = 0
    for frame, count in enumerate(targets.counts):
        pairs = assign(table[frame], every, range(count))
        found.extend((frame, query, first + slot) for query, slot in pairs)
        first += count
    columns = torch.tensor(found, dtype=torch.int64).view(-1, 3).T.to(targets.frames.device)
    return targets.matching(frames=columns[0], queries=columns[1], rows=columns[2])


def assign(
    table: npt.NDArray[np.floating], queries: npt.NDArray[np.int64], instances: Sequence[int]
) -> list[tuple[int, int]]:
    """Find the cheapest assignment of instances to queries, min(queries, instances) pairs.

    Args:
        table: costs, (Q, n).
        queries: those that may be taken, ascending.
        instances: those that want one.

    Returns:
        Pairs of a query and an instance, by query.
    """
    from scipy.optimize import linear_sum_assignment  # as slow to import as all of this package

    columns = np.asarray(instances, np.int64)
    rows, found = linear_sum_assignment(table[np.ix_(queries, columns)])
    return list(zip(queries[rows].tolist(), columns[found].tolist(), strict=True))


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


def of_labels(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Pick the classes of instances, (B, Q, K) and (B, n) -> (B, Q, n)."""
    return probabilities.gather(2, labels[:, None].expand(-1, probabilities.shape[1], -1))
