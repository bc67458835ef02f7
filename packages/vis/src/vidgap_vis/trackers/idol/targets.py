"""Which queries of a frame are which instance: several for each (IDOL §3.2; SimOTA, YOLOX §2).

An instance takes as many of the queries that fit it best as the sum of its best IoUs says. Costs
are made on the device for all frames at once; the host waits for them once, and assigns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.ops import box_convert, box_iou, generalized_box_iou

from vidgap_segmenter.matcher import focal_change, of_labels
from vidgap_segmenter.structures import describe

ALPHA, GAMMA = 0.25, 2.0
"""Of the focal class cost."""

GIOU_WEIGHT = 3.0
OFF_CENTRE = 100.0
"""Cost of a query whose centre is not both in the instance's box and near its centre."""
NOWHERE = 10_000.0
"""Cost of a query whose centre is in no box and near no centre."""
TAKEN = 100_000.0
"""What the release adds to the costs of queries that are taken."""
RADIUS = 2.5 / 32
"""How near a centre is near, in x and in y, as a share of the frame, whatever its size."""

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class FrameInstances:
    """The instances of B frames, N the most of one.

    Attributes:
        labels: (B, N), int64.
        boxes: (B, N, 4), centre x, centre y, width, height in [0, 1], floating.
        present: (B, N), bool; what stands where it is False does not count.
    """

    labels: Tensor
    boxes: Tensor
    present: Tensor

    def __post_init__(self) -> None:
        if self.labels.ndim != 2 or self.labels.dtype != torch.int64:
            raise ValueError(f"labels must be (B, N) int64, got {describe(self.labels)}")
        shape = tuple(self.labels.shape)
        if self.boxes.shape != (*shape, 4):
            raise ValueError(f"boxes must be {(*shape, 4)}, got {describe(self.boxes)}")
        if self.present.shape != shape or self.present.dtype != torch.bool:
            raise ValueError(f"present must be {shape} bool, got {describe(self.present)}")


@dataclass(frozen=True)
class FrameCosts:
    """How ill queries fit the instances of B frames, on the CPU.

    Attributes:
        costs: (B, Q, N), floating.
        ious: of boxes, (B, Q, N), floating.
        present: (B, N), bool.
    """

    costs: Floats
    ious: Floats
    present: Bools

    @classmethod
    @torch.no_grad()
    def of(cls, probabilities: Tensor, boxes: Tensor, instances: FrameInstances) -> FrameCosts:
        """Compute them.

        Args:
            probabilities: of each class, (B, Q, K), floating.
            boxes: (B, Q, 4), as those of instances.
            instances: of the B frames.

        Raises:
            ValueError: shapes differ, or a number is not finite.
        """
        frames = len(instances.labels)
        if probabilities.ndim != 3 or len(probabilities) != frames:
            raise ValueError(
                f"probabilities must be ({frames}, Q, K), got {describe(probabilities)}"
            )
        if boxes.shape != (*probabilities.shape[:2], 4):
            raise ValueError(
                f"boxes must be {(*probabilities.shape[:2], 4)}, got {describe(boxes)}"
            )
        truth = instances.boxes.to(boxes.dtype)
        corners, true_corners = (box_convert(b, "cxcywh", "xyxy") for b in (boxes, truth))
        rows = list(zip(corners, true_corners, strict=True))
        if not rows:
            empty = np.zeros((*boxes.shape[:2], truth.shape[1]))
            return cls(empty, empty, instances.present.cpu().numpy())
        ious = torch.stack([box_iou(*row) for row in rows])
        giou = torch.stack([generalized_box_iou(*row) for row in rows])
        classes = focal_change(of_labels(probabilities, instances.labels), ALPHA, GAMMA)
        centres = boxes[:, :, None, :2]  # (B, Q, 1, 2)
        low, high = true_corners[:, None, :, :2], true_corners[:, None, :, 2:]
        inside = ((centres > low) & (centres < high)).all(-1)  # (B, Q, N)
        near = ((centres - truth[:, None, :, :2]).abs() < RADIUS).all(-1)
        there = instances.present[:, None]
        somewhere = ((inside | near) & there).any(2, keepdim=True)
        costs = classes - GIOU_WEIGHT * giou + OFF_CENTRE * ~(inside & near) + NOWHERE * ~somewhere
        # Two empty boxes, as those of absent instances, have no IoU.
        both = torch.stack([costs, ious]).where(there, 0).cpu()
        if not both.isfinite().all():
            raise ValueError("probabilities and boxes must be finite, got nan or inf")
        return cls(both[0].numpy(), both[1].numpy(), instances.present.cpu().numpy())


@dataclass(frozen=True)
class OneToMany:
    """Which queries are which instance.

    Attributes:
        taken: (B, N, Q), bool, on the CPU.
        best: (B, N), int64: of an instance's queries, that of the least cost; -1 where it has none.
    """

    taken: Bools
    best: npt.NDArray[np.int64]


def one_to_many(frames: FrameCosts, most: int, *, idol_compat: bool = False) -> OneToMany:
    """Give every instance queries: as many as the sum of its `most` best IoUs, at least one.

    A query that several take goes to the one it costs least. An instance that is left without one
    takes the cheapest that is free; where several want the same, the others choose again. Once none
    is free it takes one from those that have several. With more instances than queries some are
    left without.

    Args:
        frames: the costs; with `idol_compat` they are changed.
        most: how many IoUs are summed.
        idol_compat: as the release has it: while an instance has no query, those that are taken
            cost more, in the costs themselves, and of queries that several take only those are
            settled that were so at the start. Where this would never end, it goes on as above.
    """
    num_frames, num_queries, num = frames.costs.shape
    taken = np.zeros((num_frames, num, num_queries), np.bool_)
    best = np.full((num_frames, num), -1)
    for frame in range(num_frames):
        there = np.flatnonzero(frames.present[frame])
        if not len(there) or not num_queries:
            continue
        costs = frames.costs[frame][:, there]  # (Q, n), a copy
        own, shared = _first_choice(costs, frames.ious[frame][:, there], most)
        if idol_compat:
            _settle_as_released(own, costs, shared)
            frames.costs[frame][:, there] = costs
        _settle(own, costs)
        taken[frame, there] = own.T
        cheapest = np.where(own, costs, np.inf).argmin(0)
        best[frame, there] = np.where(own.any(0), cheapest, -1)
    return OneToMany(taken, best)


def _first_choice(costs: Floats, ious: Floats, most: int) -> tuple[Bools, Bools]:
    """Let each instance take its cheapest queries, (Q, n); return which several took, (Q,)."""
    sums = -np.sort(-ious, axis=0)[:most].sum(0)
    counts = np.maximum(sums.astype(np.int64), 1)
    ranks = costs.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    own = ranks < counts
    shared = own.sum(1) > 1
    _to_cheapest(own, costs, shared)
    return own, shared


def _to_cheapest(own: Bools, costs: Floats, queries: Bools) -> None:
    """Leave each of some queries (Q,) to the instance that it costs least."""
    rows = np.flatnonzero(queries)
    own[rows] = False
    own[rows, costs[rows].argmin(1)] = True


def _settle_as_released(own: Bools, costs: Floats, shared: Bools) -> None:
    """Raise the costs of taken queries until all instances have one, or there is no end to it."""
    for _ in range(own.size):
        if own.any(0).all():
            return
        costs[own.any(1)] += TAKEN
        alone = np.flatnonzero(~own.any(0))
        own[costs[:, alone].argmin(0), alone] = True
        if (own.sum(1) > 1).any():
            _to_cheapest(own, costs, shared)


def _settle(own: Bools, costs: Floats) -> None:
    """Give the instances without a query one that is free, or that another can spare."""
    while not own.any(0).all():
        alone = np.flatnonzero(~own.any(0))
        free = np.flatnonzero(~own.any(1))
        if len(free):
            wanted = free[costs[np.ix_(free, alone)].argmin(0)]  # of each that is alone
            for query in np.unique(wanted):
                rivals = alone[wanted == query]
                own[query, rivals[costs[query, rivals].argmin()]] = True
            continue
        spare = np.flatnonzero((own & (own.sum(0) > 1)).any(1))
        if not len(spare):
            return
        row, column = divmod(int(costs[np.ix_(spare, alone)].argmin()), len(alone))
        own[spare[row]] = False
        own[spare[row], alone[column]] = True
