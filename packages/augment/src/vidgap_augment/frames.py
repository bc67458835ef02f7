"""RGB frames as tensors or arrays: their layouts, and functions over them on CPU or device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""A frame (H, W, 3) or (3, H, W), a mask (H, W), or masks packed into channels (H, W, C)."""

Frames = TypeVar("Frames", Tensor, Pixels)


def as_array(tensor: Tensor) -> npt.NDArray[Any]:
    """Return the bytes of a uint8 or bool tensor on the CPU as an array that shares them."""
    return tensor.as_subclass(Tensor).view(torch.uint8).numpy()


def interleaved(frame: Tensor) -> Pixels:
    """Return a frame (3, H, W) as (H, W, 3) in one block; without a copy where it lies so."""
    pixels = as_array(frame)
    turned = pixels.transpose(1, 2, 0)
    if turned.flags.c_contiguous:
        return turned
    return cv2.merge(list(pixels))


def run_frames(
    frames: Frames,
    on_planes: Callable[[Pixels], Sequence[Pixels]],
    on_tensor: Callable[[Tensor], Tensor],
) -> Frames:
    """Call `on_planes` on each frame (3, H, W) in CPU memory, else `on_tensor` on (N, 3, H, W).

    Neither may write to its argument.
    """
    clip = checked_frames(frames)
    result: Any  # mypy cannot tell that only a tensor gives a tensor
    if isinstance(clip, Tensor):
        result = on_tensor(clip)
    else:
        result = np.empty_like(clip)
        for planes, frame in zip(result, clip, strict=True):
            planes[:] = on_planes(frame)
        if isinstance(frames, Tensor):
            result = torch.from_numpy(result)
        else:
            result = np.array([cv2.merge(list(planes)) for planes in result])
    return result.reshape(frames.shape)


def checked_frames(frames: Tensor | Pixels) -> Tensor | Pixels:
    """Return frames as (N, 3, H, W): a tensor on a device, or a contiguous array in CPU memory.

    It may share memory with `frames`. ValueError unless they are uint8, RGB and have a pixel.
    """
    if not isinstance(frames, Tensor | np.ndarray):
        raise ValueError(f"frames must be a Tensor or an array, got {type(frames).__name__}")
    axis, wanted = (-3, "(..., 3, H, W)") if isinstance(frames, Tensor) else (-1, "(..., H, W, 3)")
    dtype = str(frames.dtype).removeprefix("torch.")
    got = f"{tuple(frames.shape)} {dtype}"
    if dtype != "uint8" or frames.ndim < 3 or frames.shape[axis] != 3:
        hint = "; turn float images with v2.ToDtype(torch.uint8, scale=True)" * ("float" in dtype)
        raise ValueError(f"frames must be {wanted} uint8, got {got}{hint}")
    if 0 in frames.shape:
        raise ValueError(f"frames must have a frame and a pixel, got {got}")
    if isinstance(frames, np.ndarray):
        return _as_planes(np.moveaxis(frames, -1, -3))
    plain = frames.as_subclass(Tensor)
    if in_cpu_memory(plain):
        return _as_planes(plain.numpy())
    return plain.reshape(-1, *plain.shape[-3:])


def in_cpu_memory(frames: Tensor) -> bool:
    """Return whether OpenCV can read a tensor."""
    return frames.device.type == "cpu"


def _as_planes(frames: Pixels) -> Pixels:
    """Return (..., 3, H, W) as (N, 3, H, W), contiguous.

    OpenCV splits interleaved channels several times faster than numpy copies them.
    """
    clip = frames.reshape(-1, *frames.shape[-3:])
    if clip.flags.c_contiguous:
        return clip
    planes = np.empty(clip.shape, np.uint8)
    for frame, source in zip(planes, clip, strict=True):
        frame[:] = cv2.split(np.ascontiguousarray(source.transpose(1, 2, 0)))
    return planes
