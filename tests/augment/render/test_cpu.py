"""Plans rendered in CPU memory: one warp a frame, and what canvases cut off."""

from __future__ import annotations

from typing import Any

import cv2
import pytest
import torch
from augment.clips import assert_whole, generator, make_clip

from vidgap_augment import (
    ClipCompose,
    ClipCrop,
    ClipFixedCrop,
    ClipFlip,
    ClipScaleJitter,
    PseudoClip,
    SlowRotation,
)
from vidgap_augment.render import render
from vidgap_augment.rotation import Rotation
from vidgap_augment.sample import open_sample


def test_a_frame_is_warped_once_and_its_masks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    warp = cv2.warpAffine

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(options["flags"])
        return warp(*arguments, **options)

    monkeypatch.setattr(cv2, "warpAffine", counted)
    sample = {
        "image": make_clip(20, 1, 60, 80)["video"][0],
        "masks": make_clip(20, 1, 60, 80)["masks"][:, 0],
        "labels": torch.arange(20),
    }
    pipeline = ClipCompose(
        [PseudoClip(3), ClipFlip(1.0), ClipScaleJitter((64, 64), (1, 2)), ClipFixedCrop((64, 64))]
    )
    assert_whole(pipeline(sample, generator()))
    assert calls.count(cv2.INTER_LINEAR) == 3
    assert calls.count(cv2.INTER_NEAREST) == 3


def test_what_a_crop_cuts_off_does_not_turn_back_in() -> None:
    """One matrix alone would show the picture beyond the crop; step by step it is black there."""
    clip = make_clip(1, 1, 60, 60)
    clip["video"] = torch.full_like(clip["video"], 200)
    clip["masks"] = torch.ones_like(clip["masks"])
    crop, turn = ClipCrop((30, 30), probability=1.0), SlowRotation()
    plan = crop.extend(open_sample(clip).plan, generator(1))
    plan = turn.add(plan, Rotation((30.0,), ((0.5, 0.5),)))
    once = render(plan)
    for corner in ((0, 0), (0, 29), (29, 0), (29, 29)):
        assert once.frames[0, 0][corner] == 0
        assert once.masks is not None
        assert not once.masks[0, 0][corner]
    assert once.frames[0, 0, 15, 15] == 200
