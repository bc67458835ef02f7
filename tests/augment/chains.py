"""Lists of transforms, smooth clips for them, and the distance from edges."""

from __future__ import annotations

from typing import Any

import torch
from augment.clips import make_clip
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from vidgap_augment import (
    ClipCrop,
    ClipFixedCrop,
    ClipFlip,
    ClipResize,
    ClipScaleJitter,
    Sample,
    SlowRotation,
)

CHAINS: dict[str, list[Any]] = {
    "rotate, flip": [SlowRotation(), ClipFlip(1.0)],
    "rotate, jitter, crop": [
        SlowRotation(),
        ClipScaleJitter((90, 90), (0.5, 2.0)),
        ClipFixedCrop((80, 80)),
    ],
    "slide, resize, rotate": [
        ClipCrop((40, 60), sliding=True, probability=1.0),
        ClipResize((48, 64)),
        ClipFlip(0.5),
        SlowRotation(40.0),
    ],
    "resize, crop, resize": [
        ClipResize((50, 120)),
        ClipCrop((30, 45), probability=1.0),
        ClipResize((40, 80)),
    ],
    "rotate twice": [SlowRotation(80.0), ClipCrop((30, 50), probability=1.0), SlowRotation(30.0)],
}


def smooth_clip(num_instances: int, num_frames: int, height: int, width: int, seed: int) -> Sample:
    """Return a clip without fine detail, which every interpolation preserves."""
    clip = make_clip(num_instances, num_frames, height, width, seed)
    blurred = F.gaussian_blur(clip["video"], [31, 31], [8.0, 8.0]).float()
    stretched = (blurred - 127) * 6 + 127
    video = F.gaussian_blur(stretched.clamp(0, 255), [9, 9], [3.0, 3.0]).to(torch.uint8)
    thick = F.gaussian_blur(clip["masks"].flatten(0, 1).float()[:, None], [31, 31], [6.0] * 2)
    masks = thick[:, 0].reshape(clip["masks"].shape) > thick.median()
    return clip | {"video": tv_tensors.Video(video), "masks": tv_tensors.Mask(masks)}


def ones_like(clip: Sample) -> Sample:
    return clip | {
        "masks": torch.ones_like(clip["masks"][:1]),
        "labels": clip["labels"][:1],
        "ids": clip["ids"][:1],
    }


def far_from_edges(mask: Tensor, reach: int) -> Tensor:
    """Return where all of (…, H, W) bool within `reach` pixels is the same; outside is False."""
    planes = mask.flatten(0, -3)[:, None].float()
    wide = torch.nn.functional.pad(planes, (reach,) * 4)
    size = 2 * reach + 1
    high = torch.nn.functional.max_pool2d(wide, size, 1)
    low = -torch.nn.functional.max_pool2d(-wide, size, 1)
    return (high == low)[:, 0].reshape(mask.shape)
