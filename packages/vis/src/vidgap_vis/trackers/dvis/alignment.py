"""Ordering a frame's queries as the last frame's (DVIS, "Referring Tracker"; from MinVIS)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vidgap_segmenter.precision import at_least_float32, autocast_off

EPSILON = 1e-6
"""Added to the lengths of queries, as in the release."""


def align(queries: Tensor, previous: Tensor | None, *, inverse: bool = False) -> Tensor:
    """Find the query of each frame that continues each slot.

    Slots are the first frame's queries. From frame to frame the Hungarian algorithm finds the
    assignment of the least sum of 1 - cosine. All costs come to the CPU in one copy.

    Args:
        queries: (B, Q, T, C) of the segmenter, T >= 1.
        previous: (B, Q, C), the queries of the frame before these in the order of slots; None
            where the first of these frames is the video's first.
        inverse: gather by the inverse of the assignment, as the release does: the query of slot s
            is then that whose own index is the slot of query s.

    Returns:
        (B, Q, T) int64, on the device of `queries`.

    Raises:
        ValueError: a query is not finite.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import

    with torch.no_grad(), autocast_off(queries.device):
        table = _costs(queries, previous).cpu().numpy()  # (B, T, Q, Q)
    if not np.isfinite(table).all():
        raise ValueError("queries must be finite, got nan or inf: frames or weights hold them")
    num_clips, num_queries, num_frames, _ = queries.shape
    orders = np.empty((num_clips, num_queries, num_frames), np.int64)
    for clip in range(num_clips):
        order = np.arange(num_queries)
        for time in range(num_frames):
            if time or previous is not None:
                _, slots = linear_sum_assignment(table[clip, time][:, order])  # of each query
                order = slots if inverse else np.argsort(slots)
            orders[clip, :, time] = order
    return torch.from_numpy(orders).to(queries.device)


def in_order(queries: Tensor, order: Tensor) -> Tensor:
    """Gather queries (B, Q, T, C) in the order (B, Q, T) of slots."""
    return queries.gather(1, order[..., None].expand_as(queries))


def _costs(queries: Tensor, previous: Tensor | None) -> Tensor:
    """Return 1 - cosine of each frame's queries, rows, with the frame before's, (B, T, Q, Q).

    The first frame of a video is compared with itself.
    """
    frames = _units(queries).transpose(1, 2)  # (B, T, Q, C)
    first = frames[:, :1] if previous is None else _units(previous)[:, None]
    before = torch.cat([first, frames[:, :-1]], dim=1)
    return 1 - frames @ before.mT


def _units(queries: Tensor) -> Tensor:
    queries = at_least_float32(queries)
    return queries / (queries.norm(dim=-1, keepdim=True) + EPSILON)
