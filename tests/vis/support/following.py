"""Small DVIS modules with weights that tell queries apart, and queries for them."""

from __future__ import annotations

import torch
from torch import Tensor

from vidgap_vis.trackers.dvis import ReferringTracker, TemporalRefiner

CHANNELS, NUM_QUERIES, NUM_CLASSES = 16, 7, 4


def small_tracker(*, inverse_alignment: bool = False) -> ReferringTracker:
    torch.manual_seed(1)
    tracker = ReferringTracker(
        CHANNELS,
        NUM_CLASSES,
        num_layers=2,
        num_heads=2,
        ffn_channels=24,
        inverse_alignment=inverse_alignment,
    )
    return tracker.double().eval()


def small_refiner() -> TemporalRefiner:
    torch.manual_seed(2)
    refiner = TemporalRefiner(CHANNELS, NUM_CLASSES, num_layers=2, num_heads=2, ffn_channels=24)
    return refiner.double().eval()


def drifting(num_frames: int, clips: int = 1, seed: int = 0) -> Tensor:
    """Return queries (B, Q, T, C) that keep their index and change a little from frame to frame."""
    generator = torch.Generator().manual_seed(seed)
    shape = (clips, NUM_QUERIES, num_frames, CHANNELS)
    first = torch.randn(clips, NUM_QUERIES, 1, CHANNELS, generator=generator, dtype=torch.float64)
    changes = torch.randn(shape, generator=generator, dtype=torch.float64)
    return first + 0.2 * changes.cumsum(2) / num_frames**0.5


def shuffled(queries: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Give each frame but the first another order; return that and where each query went.

    Returns:
        (B, Q, T, C), and (B, Q, T): the new index of each query.
    """
    generator = torch.Generator().manual_seed(seed)
    places = torch.arange(queries.shape[1])[None, :, None].repeat(len(queries), 1, queries.shape[2])
    mixed = queries.clone()
    for clip in range(len(queries)):
        for time in range(1, queries.shape[2]):
            order = torch.randperm(queries.shape[1], generator=generator)
            mixed[clip, :, time] = queries[clip, order, time]
            places[clip, :, time] = order.argsort()
    return mixed, places
