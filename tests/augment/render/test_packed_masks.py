"""Masks in one warp, 32 at a time: each as if alone, all rounded alike."""

from __future__ import annotations

import pytest
import torch
from augment.clips import generator, make_clip, moved_masks

from vidgap_augment import ClipResize, PseudoClip, SlowRotation


@pytest.mark.parametrize("num_instances", [1, 7, 8, 9, 31, 32, 33, 200])
def test_packed_masks_are_what_each_mask_alone_is(num_instances: int) -> None:
    clip = make_clip(num_instances, 2, 30, 40)
    params = SlowRotation().make_params(clip, generator(1))
    together = moved_masks(SlowRotation(), clip["masks"], params)
    alone = [
        moved_masks(SlowRotation(), clip["masks"][n : n + 1], params) for n in range(num_instances)
    ]
    # OpenCV rounds coordinates: on the edge of two pixels it may take either.
    assert (together != torch.cat(alone)).float().mean() < 1e-3


@pytest.mark.parametrize("side", [31, 33, 50, 97, 150])
def test_many_masks_that_tile_an_image_tile_its_clip(side: int) -> None:
    """Two packs of 32 are rounded alike: no pixel is in two masks, and none in no mask."""
    cell = torch.arange(96) // 12
    owner = cell[:, None] * 8 + cell[None]
    sample = {
        "image": torch.zeros(3, 96, 96, dtype=torch.uint8),
        "masks": torch.stack([owner == n for n in range(64)]),
        "labels": torch.arange(64),
    }
    assert (ClipResize((side,), 1000)(sample)["masks"].sum(0) == 1).all()
    turned = PseudoClip(2, 20.0)(sample, generator(side))
    covered = turned["masks"].sum(0)
    one = PseudoClip(2, 20.0)(
        sample | {"masks": torch.ones(1, 96, 96) > 0, "labels": torch.zeros(1).long()},
        generator(side),
    )
    assert torch.equal(covered, one["masks"].sum(0))
