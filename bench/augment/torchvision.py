"""The pipelines written with torchvision's v2 ops, frame by frame.

Written to be fast: uint8 throughout, masks of a frame in one tensor and one call, planar memory
(rotation is slower on what decoders write), no copies besides those of the ops. Ours also makes the
boxes and drops the instances that have left; here that is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from bench.augment.draws import Draw

Things: TypeAlias = "tuple[tv_tensors.Image, tv_tensors.Mask]"
"""A picture (3, H, W) uint8 and its masks (N, H, W) of 0 and 1, uint8."""

BILINEAR = InterpolationMode.BILINEAR

COLOURS: dict[str, Callable[[Any, float], Any]] = {
    "identity": lambda image, _: image,
    "rotation": lambda image, _: image,  # the clip turns already
    "autocontrast": lambda image, _: F.autocontrast(image),
    "equalize": lambda image, _: F.equalize(image),
    "gaussian_blur": lambda image, radius: F.gaussian_blur(
        image, [2 * math.ceil(3 * radius) + 1] * 2, [radius, radius]
    ),
    "contrast": F.adjust_contrast,
    "sharpness": F.adjust_sharpness,
    "color": F.adjust_saturation,
    "brightness": F.adjust_brightness,
    "hue": F.adjust_hue,
    "posterize": lambda image, bits: F.posterize(image, int(bits)),
    "solarize": F.solarize,
}


def torchvision_clip(
    source: Sequence[Things], draws: Sequence[Draw], num_frames: int, colours_once: bool = False
) -> tuple[Tensor, Tensor]:
    """Apply draws to a still or a clip.

    Args:
        source: a still, or one picture a frame, with masks (see `planar`).
        draws: in order.
        num_frames: T.
        colours_once: change the colours of a still before it is replicated; else of each frame.

    Returns:
        Frames (T, 3, H, W) uint8 and masks (N, T, H, W) bool.
    """
    if colours_once:
        ops = [draw.params.ops[0] for draw in draws if draw.name == "VideoAutoAugment"]
        source = [(recoloured(image, sum(ops, ())), masks) for image, masks in source]
        draws = [draw for draw in draws if draw.name != "VideoAutoAugment"]
    clip = TorchvisionClip(source, num_frames)
    for draw in draws:
        clip.stages[draw.name](draw)
    images, masks = zip(*clip.frames, strict=True)
    return torch.stack(images), torch.stack(masks, dim=1).view(torch.bool)


class TorchvisionClip:
    """One clip in the making; each method is a stage that applies a draw.

    Args:
        source: a still, or one picture a frame, with masks.
        num_frames: T.
    """

    def __init__(self, source: Sequence[Things], num_frames: int) -> None:
        self.source = source
        self.source_ops: Sequence[Any] = ()
        self.scale = 1.0
        self.frames = list(source) * (num_frames // len(source))
        self.stages: dict[str, Callable[[Draw], None]] = {
            "PseudoClip": self.rotate,
            "SlowRotation": self.rotate,
            "VideoAutoAugment": self.recolour,
            "VideoCopyPaste": self.paste,
            "ClipFlip": self.flip,
            "ClipResize": self.resize,
            "ClipScaleJitter": self.resize,
            "ClipCrop": self.crop,
            "ClipFixedCrop": self.fixed_crop,
        }

    def rotate(self, draw: Draw) -> None:
        """Turn each frame by its angle."""
        if not any(draw.params.angles_deg):
            return
        height, width = self.frames[0][0].shape[-2:]
        for t, (angle, (x, y)) in enumerate(
            zip(draw.params.angles_deg, draw.params.centers, strict=True)
        ):
            image, masks = self.frames[t]
            center = [x * width, y * height]
            self.frames[t] = (
                F.rotate(image, angle, BILINEAR, center=center),
                F.rotate(masks, angle, center=center),
            )

    def recolour(self, draw: Draw) -> None:
        """Change the colours of each frame, and of what is pasted later."""
        (self.source_ops,) = draw.params.ops
        self.frames = [(recoloured(image, self.source_ops), masks) for image, masks in self.frames]

    def paste(self, draw: Draw) -> None:
        """Show an instance of the still once more, with `affine` and `where`."""
        for copy in draw.params:
            self._paste(copy)

    def _paste(self, copy: Any) -> None:
        ((image, masks),) = self.source
        height, width = self.frames[0][0].shape[-2:]
        x, y = copy.middle
        # A window as large as the frame, with the instance in its middle.
        window = [round(y - height / 2), round(x - width / 2), height, width]
        cutout = F.crop(recoloured(image, self.source_ops), *window)
        mask = F.crop(tv_tensors.wrap(masks[copy.instance, None], like=masks), *window)
        center = [x - window[1], y - window[0]]
        if copy.flip:
            cutout, mask = F.horizontal_flip(cutout), F.horizontal_flip(mask)
            center[0] = width - center[0]
        for t, pose in enumerate(copy.poses):
            move = {
                "angle": -pose.angle_deg,  # `affine` turns clockwise
                "translate": [pose.x - center[0], pose.y - center[1]],
                "scale": pose.scale * self.scale,
                "shear": [0.0, 0.0],
                "center": center,
            }
            patch = F.affine(cutout, **move, interpolation=BILINEAR)
            cover = F.affine(mask, **move)
            below, others = self.frames[t]
            self.frames[t] = (
                tv_tensors.Image(torch.where(cover.bool(), patch, below)),
                tv_tensors.Mask(torch.cat([others & (cover ^ 1), cover])),
            )

    def flip(self, draw: Draw) -> None:
        """Mirror all frames or none."""
        if draw.params:
            self._each(lambda thing, _: F.horizontal_flip(thing))

    def resize(self, draw: Draw) -> None:
        """Resize all frames."""
        height, width = self.frames[0][0].shape[-2:]
        size = list(draw.params)
        self.scale *= math.sqrt(size[0] * size[1] / (height * width))
        self._each(lambda thing, _: F.resize(thing, size, BILINEAR, antialias=True))

    def crop(self, draw: Draw) -> None:
        """Cut each frame at its window."""
        if draw.params is None:
            return
        size = draw.params.size
        self._each(lambda thing, t: F.crop(thing, *draw.params.offsets[t], *size))

    def fixed_crop(self, draw: Draw) -> None:
        """Cut and pad all frames to one size."""
        self.crop(draw)
        height, width = draw.params.size
        target: Any = draw.transform
        padding = [0, 0, target.size[1] - width, target.size[0] - height]
        if any(padding):
            for t, (image, masks) in enumerate(self.frames):
                padded = F.pad(image, padding, fill=target.pad_value)
                self.frames[t] = (padded, F.pad(masks, padding))

    def _each(self, op: Callable[[Any, int], Any]) -> None:
        """Run an op on the picture and the masks of each frame."""
        self.frames = [(op(image, t), op(masks, t)) for t, (image, masks) in enumerate(self.frames)]


def recoloured(image: Any, ops: Sequence[Any]) -> Any:
    """Change the colours of one picture."""
    for op in ops:
        image = COLOURS[op.name](image, op.strength)
    return image


def planar(sample: Any) -> list[Things]:
    """Return the pictures of a sample with masks, in the memory layout that suits torchvision."""
    images = [sample["image"]] if "image" in sample else list(sample["video"])
    masks = sample["masks"].as_subclass(Tensor).view(torch.uint8)
    stacks = [masks] if "image" in sample else masks.unbind(1)
    return [
        (tv_tensors.Image(image.contiguous()), tv_tensors.Mask(stack.contiguous()))
        for image, stack in zip(images, stacks, strict=True)
    ]
