"""The part of the pipelines that albumentations' `images=` supports, and ours of that part.

Albumentations has no paste and draws one set of numbers for all images, so both brighten, rotate by
one angle, resize, flip, crop and pad. Ours also antialiases and makes boxes. It is no dependency of
vidgap: without it the row is left out.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.augment.draws import Draw
from vidgap_augment import (
    ClipCompose,
    ClipFixedCrop,
    ClipFlip,
    ClipTransform,
    SlowRotation,
    VideoAutoAugment,
)

VERSION = "2.0.8"
MISSING = f"""albumentations is not installed: its rows are left out. To have them, put it into a
folder of its own, here ALB, beside the project's environment:
    pip install -t ALB pydantic
    pip install -t ALB --no-deps albumentations=={VERSION} albucore==0.0.24 stringzilla simsimd
    PYTHONPATH=ALB python -m bench.run augment
"""


def common_pipeline(resize: ClipTransform, size: tuple[int, int]) -> nn.Module:
    """Return our pipeline of the common part, to a canvas of (H, W) `size`."""
    brightness = VideoAutoAugment(1, 1, pool=["brightness"], max_rotation_deg=0.0)
    return ClipCompose([brightness, SlowRotation(), resize, ClipFlip(), ClipFixedCrop(size)])


def find() -> Any | None:
    """Return the module, or None where it is not installed."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else it asks the network
    try:
        return importlib.import_module("albumentations")
    except ImportError:
        return None


class AlbumentationsClip:
    """One clip sample through `albumentations.Compose`, built before it is timed.

    Args:
        library: the module.
        sample: a clip sample.
        draws: of `common_pipeline`, with one angle.
    """

    def __init__(self, library: Any, sample: Any, draws: Sequence[Draw]) -> None:
        frames = sample["video"].as_subclass(Tensor).permute(0, 2, 3, 1)
        self.images = np.ascontiguousarray(frames.numpy())
        masks = sample["masks"].as_subclass(Tensor).view(torch.uint8)
        self.masks = masks.flatten(0, 1).numpy()  # (N*T, H, W)
        steps = [step for draw in draws for step in steps_of(library, draw)]
        self.compose = library.Compose(steps)

    def __call__(self) -> tuple[Tensor, Tensor]:
        """Return frames (T, 3, H, W) uint8 and masks (N, T, H, W) bool, contiguous, as ours."""
        result = self.compose(images=self.images, masks=self.masks)
        frames = torch.from_numpy(result["images"]).permute(0, 3, 1, 2).contiguous()
        masks = torch.from_numpy(result["masks"]).view(torch.bool)
        return frames, masks.unflatten(0, (-1, len(frames)))


def steps_of(library: Any, draw: Draw) -> list[Any]:
    """Return the transforms of albumentations that apply a draw."""
    params = draw.params
    if draw.name == "VideoAutoAugment":
        # Its contrast multiplies by 1 + limit: our brightness.
        change = (params.ops[0][0].strength - 1,) * 2
        return [library.RandomBrightnessContrast((0, 0), change, p=1)]
    if draw.name == "SlowRotation":
        return [library.Rotate((params.angles_deg[0],) * 2, p=1)]
    if draw.name == "ClipFlip":
        return [library.HorizontalFlip(p=1)] if params else []
    if draw.name in ("ClipResize", "ClipScaleJitter"):
        return [library.Resize(*params)]
    target: Any = draw.transform
    (height, width), (top, left) = params.size, params.offsets[0]
    steps = [library.Crop(left, top, left + width, top + height)]
    if params.size != target.size:
        pad = library.PadIfNeeded(*target.size, position="top_left", fill=target.pad_value)
        steps.append(pad)
    return steps
