"""Photometric operations on whole clips: the pool of AugSeg, as in the paper's table 1.

Each takes and returns RGB frames: a uint8 tensor (..., 3, H, W) on any device, or a uint8 array
(..., H, W, 3), with any strides. The result has the same kind (a plain tensor for a tv_tensor) and
shape, contiguous, in new memory. Other frames, none, or a strength out of range raise ValueError.

All frames are changed alike. Levels and means are measured over all of them together, as Pillow
does on the frames stacked into one tall picture: "exactly" and "within a grey level" compare with
that. Frames in CPU memory go through OpenCV, others through torch on their device; only counts of
levels and means leave it.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from vidgap_augment.arguments import check_count, check_number
from vidgap_augment.frames import Frames, Pixels, checked_frames, run_frames

Counts: TypeAlias = npt.NDArray[np.int64]
Table: TypeAlias = npt.NDArray[Any]

LEVELS = np.arange(256)
"""The table (256,) that changes nothing; every table has an entry a level, rounded down."""

LUMA = (19595, 38470, 7471)
"""Weights of red, green and blue in Pillow's grey, in 65536ths (ITU-R 601)."""

SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
"""Pillow's ImageFilter.SMOOTH."""

TRUNCATE = -0.5 + 2**-10
"""Added before OpenCV rounds, to round down as Pillow does; 2**-10 is for whole numbers that
float32 arithmetic leaves a little short."""


def autocontrast(frames: Frames) -> Frames:
    """Stretch each channel from its darkest and lightest level to 0..255.

    Exactly PIL.ImageOps.autocontrast with cutoff 0; a channel of one level stays as it is.
    """
    return _look_up(frames, [_stretching_table(count) for count in _count(frames)])


def equalize(frames: Frames) -> Frames:
    """Map each channel so that its levels spread evenly: exactly PIL.ImageOps.equalize."""
    return _look_up(frames, [_equalizing_table(count) for count in _count(frames)])


def posterize(frames: Frames, bits: int) -> Frames:
    """Keep the upper `bits`, 1..8, of each level: exactly PIL.ImageOps.posterize."""
    check_number("bits", check_count("bits", bits), 1, 8)
    return _look_up(frames, LEVELS & (0xFF00 >> bits))


def solarize(frames: Frames, threshold: float) -> Frames:
    """Invert the levels from `threshold`, 0..256, up: exactly PIL.ImageOps.solarize."""
    check_number("threshold", threshold, 0, 256)
    return _look_up(frames, np.where(threshold > LEVELS, LEVELS, 255 - LEVELS))


def brightness(frames: Frames, factor: float) -> Frames:
    """Multiply by `factor`, 0..2; 0 is black: exactly PIL.ImageEnhance.Brightness."""
    check_number("factor", factor, 0.0, 2.0)
    return _look_up(frames, _blending_table(0, factor))


def contrast(frames: Frames, factor: float) -> Frames:
    """Blend with the mean grey by `factor`, 0..2; 0 is all grey, 1 changes nothing.

    Exactly PIL.ImageEnhance.Contrast.
    """
    check_number("factor", factor, 0.0, 2.0)
    return _look_up(frames, _blending_table(int(_mean_grey(frames) + 0.5), factor))


def color(frames: Frames, factor: float) -> Frames:
    """Blend each pixel with its grey by `factor`, 0..2; 0 is grey, 1 changes nothing.

    Within a grey level of PIL.ImageEnhance.Color, and nearly always equal.
    """
    check_number("factor", factor, 0.0, 2.0)

    def on_planes(frame: Pixels) -> list[Pixels]:
        grey = _grey_plane(frame)
        return [_blend_planes(grey, plane, factor) for plane in frame]

    def on_tensor(frames: Tensor) -> Tensor:
        return _blend_tensors(_grey_tensor(frames), frames, factor)

    return run_frames(frames, on_planes, on_tensor)


def sharpness(frames: Frames, factor: float) -> Frames:
    """Blend each frame with its 3 x 3 smoothing by `factor`, 0..2; 1 changes nothing, 2 sharpens.

    Within a grey level of PIL.ImageEnhance.Sharpness, and nearly always equal; the outermost pixels
    stay as they are.
    """
    check_number("factor", factor, 0.0, 2.0)

    def on_planes(frame: Pixels) -> list[Pixels]:
        smooth = frame.copy()
        for plane, source in zip(smooth, frame, strict=True):
            plane[1:-1, 1:-1] = cv2.filter2D(source, -1, SMOOTH)[1:-1, 1:-1]
        return [_blend_planes(*planes, factor) for planes in zip(smooth, frame, strict=True)]

    def on_tensor(frames: Tensor) -> Tensor:
        smooth = frames.short()
        rows = smooth[..., :-2, :] + smooth[..., 1:-1, :] + smooth[..., 2:, :]
        box = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
        inside = smooth[..., 1:-1, 1:-1]
        inside.copy_((box + 4 * inside + 6) // 13)
        return _blend_tensors(smooth, frames, factor)

    return run_frames(frames, on_planes, on_tensor)


def gaussian_blur(frames: Frames, radius: float) -> Frames:
    """Blur each frame with a Gaussian of standard deviation `radius`, 0.1..2 pixels.

    The kernel ends at three standard deviations, and border pixels are repeated. Within a grey
    level of the whole Gaussian. PIL.ImageFilter.GaussianBlur uses three box filters: on smooth
    pictures within 4 levels, 1 in the mean; more near the border and on noise.
    """
    check_number("radius", radius, 0.1, 2.0)
    reach = math.ceil(3 * radius)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / radius) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)

    def smooth(plane: Pixels) -> npt.NDArray[np.float32]:
        # Into float32: for 8 bits OpenCV may round the weights to 8 bits, which errs by 2 levels.
        border = cv2.BORDER_REPLICATE
        return cv2.sepFilter2D(plane, cv2.CV_32F, weights, weights, borderType=border)

    def on_planes(frame: Pixels) -> list[Pixels]:
        return [cv2.convertScaleAbs(smooth(plane)) for plane in frame]  # rounds

    def on_tensor(frames: Tensor) -> Tensor:
        height, width = frames.shape[-2:]
        taps = list(enumerate(weights.tolist()))
        wide = torch.nn.functional.pad(frames.float(), [reach] * 4, mode="replicate")
        rows = sum(weight * wide.narrow(-2, start, height) for start, weight in taps)
        both = sum(weight * rows.narrow(-1, start, width) for start, weight in taps)
        return both.round().to(torch.uint8)

    return run_frames(frames, on_planes, on_tensor)


def hue(frames: Frames, shift: float) -> Frames:
    """Shift the hue of every pixel by `shift`, -0.5..0.5 of the circle; HSV's S and V stay.

    Within half a grey level of the exact shift in CPU memory, within one on a device.
    torchvision's adjust_hue of a PIL image, which rounds H, S and V to 8 bits, is up to 18 levels
    from it, 2 in the mean.
    """
    check_number("shift", shift, -0.5, 0.5)
    turn_planes = partial(_turn_hue, shift=shift)
    return run_frames(frames, turn_planes, partial(F.adjust_hue, hue_factor=shift))


def _stretching_table(count: Counts) -> Table:
    """Return the table that takes the lowest level counted to 0 and the highest to 255."""
    low, high = count.nonzero()[0][[0, -1]]
    if low == high:
        return LEVELS
    scale = 255.0 / (high - low)
    return (LEVELS * scale - low * scale).clip(0, 255)  # rounds where Pillow rounds


def _equalizing_table(count: Counts) -> Table:
    """Return the table of the shares of pixels below each level, in 255ths."""
    step = (count.sum() - count[count.nonzero()[0][-1]]) // 255
    if step == 0:
        return LEVELS
    return ((step // 2 + count.cumsum() - count) // step).clip(0, 255)


def _blending_table(degenerate: int, factor: float) -> Table:
    """Return the table of Pillow's blend, in float32, with one grey level."""
    levels = LEVELS.astype(np.float32)
    return (degenerate + np.float32(factor) * (levels - degenerate)).clip(0, 255)


def _count(frames: Frames) -> Counts:
    """Return how often each level occurs in each channel, in all frames together: (3, 256)."""
    clip = checked_frames(frames)
    if isinstance(clip, Tensor):
        channels = clip.transpose(0, 1).flatten(1)  # (N, 3, H, W) -> (3, N*H*W)
        return torch.stack([levels.bincount(minlength=256) for levels in channels]).cpu().numpy()
    counts = np.zeros((3, 256), np.int64)
    for frame in clip:
        for count, plane in zip(counts, frame, strict=True):
            # float32, so exact up to 2**24 pixels a frame
            count += cv2.calcHist([plane], [0], None, [256], [0, 256]).ravel().astype(np.int64)
    return counts


def _mean_grey(frames: Frames) -> float:
    """Return the mean over all pixels of all frames of their grey level."""
    clip = checked_frames(frames)
    if isinstance(clip, Tensor):
        return float(_grey_tensor(clip).double().mean())
    return sum(cv2.sumElems(_grey_plane(frame))[0] for frame in clip) / (clip.size / 3)


def _grey_plane(frame: Pixels) -> Pixels:
    """Return the grey (H, W) of a frame (3, H, W), exactly Pillow's; OpenCV's is not."""
    grey = np.full(frame.shape[1:], 1 << 15, np.uint32)
    for weight, plane in zip(LUMA, frame, strict=True):
        grey += np.multiply(plane, weight, dtype=np.uint32)
    return (grey >> 16).astype(np.uint8)


def _grey_tensor(frames: Tensor) -> Tensor:
    """Return the same of (N, 3, H, W) as (N, 1, H, W) int32."""
    weights = torch.tensor(LUMA, dtype=torch.int32, device=frames.device).view(3, 1, 1)
    return (frames * weights).sum(1, keepdim=True, dtype=torch.int32).add(1 << 15) >> 16


def _look_up(frames: Frames, table: Table | list[Table]) -> Frames:
    """Replace levels by their entries in one table, or in one a channel."""
    tables = np.broadcast_to(np.asarray(table).astype(np.uint8), (3, 256))

    def on_planes(frame: Pixels) -> list[Pixels]:
        return [cv2.LUT(plane, table) for plane, table in zip(frame, tables, strict=True)]

    def on_tensor(frames: Tensor) -> Tensor:
        channels = torch.arange(3, device=frames.device).view(3, 1, 1)
        return torch.tensor(tables, device=frames.device)[channels, frames.int()]

    return run_frames(frames, on_planes, on_tensor)


def _blend_planes(degenerate: Pixels, plane: Pixels, factor: float) -> Pixels:
    """Return degenerate + factor * (plane - degenerate), rounded down, of (H, W) planes."""
    return cv2.addWeighted(plane, factor, degenerate, 1 - factor, TRUNCATE)


def _blend_tensors(degenerate: Tensor, frames: Tensor, factor: float) -> Tensor:
    """Return degenerate + factor * (frames - degenerate), rounded down, as uint8."""
    blend = degenerate + factor * (frames - degenerate).float()
    return blend.clamp_(0, 255).to(torch.uint8)


def _turn_hue(frame: Pixels, shift: float) -> list[Pixels]:
    """Turn the hue of one frame (3, H, W), without going through hue.

    In HSV a channel is a trapezoid of the hue: 60 degrees up, 120 at the top, 60 down, 120 at the
    bottom. Green is red a third of a circle on, and half a circle on everything is upside down. So
    a turn by whole sixths of the circle is a choice of channels, some of them upside down (`ring`).

    Any other turn ends between two of these, `here` and `there`, a `step` along a slope from
    `here`. There may be one corner of the trapezoid in between; the sum of both ends tells how far
    off it is. So the result is here + there - low - step on the way down, here + there - high +
    step on the way up, kept within low..high.
    """
    sixths, part = divmod(6 * shift, 1)
    red, green, blue = frame
    high = cv2.max(cv2.max(red, green), blue)
    low = cv2.min(cv2.min(red, green), blue)
    ring = [red, high - green + low, blue, high - red + low, green, high - blue + low]
    step = cv2.LUT(high - low, (LEVELS * part).round().astype(np.uint8))
    turned = []
    for index in (0, 4, 2):  # of red, green and blue in the ring
        start = int(sixths) + index
        here, there = ring[start % 6], ring[(start + 1) % 6]
        minus, plus = step.copy(), there - low
        cv2.copyTo(high - low - step, cv2.compare(there, here, cv2.CMP_GT), minus)
        # OpenCV stops at 0 and at 255, so one of these two changes nothing.
        moved = cv2.add(cv2.subtract(here, cv2.subtract(minus, plus)), cv2.subtract(plus, minus))
        turned.append(cv2.min(cv2.max(moved, low), high))
    return turned
