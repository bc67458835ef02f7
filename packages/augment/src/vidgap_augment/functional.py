"""The operations on plain tensors and arrays: no samples, no random numbers.

Frames are uint8 RGB: a tensor (T, 3, H, W), on any device, or an array (T, H, W, 3). Masks are
bool, (N, T, H, W), of the same kind as the frames. Arguments are not written to; results are of the
same kind, in new memory.

A matrix (2, 3) maps a point (x, y) of the source to its position in the result, with the centre of
the first pixel at (0.5, 0.5); `matrices` is a NumPy array (T, 2, 3), one a frame, as made by
`rotation_matrix`, `scaling`, `translation`, `mirroring` and `compose`.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vidgap_augment.arguments import check_number, check_size
from vidgap_augment.boxes import boxes_from_masks
from vidgap_augment.geometry import (
    Matrix,
    Placement,
    Size,
    Step,
    check_matrices,
    compose,
    mirroring,
    rotation_matrix,
    scaling,
    translation,
)
from vidgap_augment.photometric import (
    autocontrast,
    brightness,
    color,
    contrast,
    equalize,
    gaussian_blur,
    hue,
    posterize,
    sharpness,
    solarize,
)
from vidgap_augment.plan import Paste, Plan, SourceMasks
from vidgap_augment.render import render
from vidgap_augment.sample import check_tensor

__all__ = [
    "autocontrast",
    "boxes_from_masks",
    "brightness",
    "color",
    "compose",
    "contrast",
    "equalize",
    "gaussian_blur",
    "hue",
    "mirroring",
    "paste",
    "posterize",
    "rotation_matrix",
    "scaling",
    "sharpness",
    "solarize",
    "translation",
    "warp_clip",
]

Array = TypeVar("Array", Tensor, npt.NDArray[Any])


def warp_clip(
    frames: Array, masks: Array, matrices: Matrix, size: Size | None = None, fill: int = 0
) -> tuple[Array, Array]:
    """Move frames and masks by one affine matrix a frame, each warped once.

    Frames are bilinear, antialiased where they shrink; masks take the nearest pixel.

    Args:
        frames: T frames, or one still that all T frames show.
        masks: (N, T, H, W), or (N, 1, H, W) of a still.
        matrices: (T, 2, 3).
        size: (height, width) of the result; None: the frames' own.
        fill: grey level, 0..255, outside the source.

    Returns:
        T frames and N masks; empty masks keep their rows.

    Raises:
        ValueError: shapes or dtypes do not fit; the message names the argument.
    """
    pixels, source = _read(frames, masks)
    matrices = _check_matrices(matrices, (len(pixels), source.shape[1]))
    here = (pixels.shape[-2], pixels.shape[-1])
    size = here if size is None else check_size("size", size)
    step = Step(matrices, size, int(check_number("fill", fill, 0, 255)))
    plan = Plan(pixels, Placement.start(len(matrices), here), SourceMasks(source))
    rendered = render(plan.then(step), keep_absent=True)
    assert rendered.masks is not None
    return _like(frames, rendered.frames, rendered.masks)


def paste(
    frames: Array, masks: Array, picture: Array, mask: Array, matrices: Matrix
) -> tuple[Array, Array]:
    """Paste an instance into every frame, moved by a matrix (paper, eqs. 1 and 2).

    V_t (1 - A_t(m)) + A_t(i), and all other masks lose what is covered. Picture and mask are warped
    separately, so the rim is not darkened.

    Args:
        frames: T frames, V.
        masks: (N, T, H, W).
        picture: the source of the instance: T frames, or one still; of any size.
        mask: of the instance, (T, H, W), or (1, H, W) of a still.
        matrices: (T, 2, 3), from the picture to the frames, A_t.

    Returns:
        The frames, and N + 1 masks, the last that of the instance.

    Raises:
        ValueError: shapes or dtypes do not fit; the message names the argument.
    """
    others: Tensor  # mypy loses it in a function of two kinds
    pixels, others = _read(frames, masks)
    if not isinstance(mask, (Tensor, np.ndarray)) or mask.ndim != 3:
        got = getattr(mask, "shape", type(mask).__name__)
        raise ValueError(f"mask must be a tensor or an array (T, H, W), got {got}")
    source, own = _read(picture, mask[None], ("picture", "mask"))
    if not {len(source), own.shape[1]} <= {1, len(pixels)}:
        got = f"{len(source)} and {own.shape[1]}"
        raise ValueError(f"picture and mask must be of 1 or {len(pixels)} frames, got {got}")
    if others.shape[1] != len(pixels):
        raise ValueError(f"masks must be of {len(pixels)} frames as frames, got {others.shape[1]}")
    matrices = _check_matrices(matrices, (len(source), own.shape[1]), len(pixels))
    size = (pixels.shape[-2], pixels.shape[-1])
    start = Placement.start(len(pixels), (source.shape[-2], source.shape[-1]))
    placement = start.then(Step(matrices, size))
    own_paste = Paste(source, SourceMasks(own), 0, (True,) * len(pixels), placement)
    here = Placement.start(len(pixels), size)
    plan = Plan(pixels, here, SourceMasks(others), pastes=(own_paste,))
    rendered = render(plan, keep_absent=True)
    assert rendered.masks is not None
    return _like(frames, rendered.frames, rendered.masks)


def _read(
    frames: Any, masks: Any, names: tuple[str, str] = ("frames", "masks")
) -> tuple[Tensor, Tensor]:
    """Return frames (S, 3, H, W) and masks (N, S, H, W) as tensors that share their memory."""
    if isinstance(frames, np.ndarray):
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            got = f"{frames.shape} {frames.dtype}"
            raise ValueError(f"{names[0]} must be (T, H, W, 3) uint8, got {got}")
        frames = _as_tensor(frames).permute(0, 3, 1, 2)  # (T, H, W, 3) -> (T, 3, H, W)
    if isinstance(masks, np.ndarray):
        masks = _as_tensor(masks)
    pixels = check_tensor(names[0], frames, ("T", 3, "H", "W"), torch.uint8)
    if pixels.numel() == 0:
        raise ValueError(f"{names[0]} must have pixels, got {tuple(pixels.shape)}")
    shape = ("N", "T", *pixels.shape[-2:])
    return pixels, check_tensor(names[1], masks, shape, torch.bool)


def _as_tensor(array: npt.NDArray[Any]) -> Tensor:
    """Return an array as a tensor; a copy if torch cannot share its memory."""
    shared = array.flags.writeable and all(stride >= 0 for stride in array.strides)
    return torch.from_numpy(array if shared else array.copy())


def _check_matrices(
    matrices: Matrix, lengths: tuple[int, int], num_frames: int | None = None
) -> Matrix:
    """Return matrices (T, 2, 3); ValueError unless T is `num_frames` and each length 1 or T."""
    array = check_matrices("matrices", matrices)
    wanted = max(lengths) if num_frames is None else num_frames
    if not set(lengths) <= {1, len(array)} or num_frames not in (None, len(array)):
        raise ValueError(f"matrices must be one for each of {wanted} frames, got {len(array)}")
    return array


def _like(given: Any, frames: Tensor, masks: Tensor) -> Any:
    """Return frames and masks as tensors, or as arrays if `given` is one."""
    if isinstance(given, np.ndarray):
        return np.ascontiguousarray(frames.permute(0, 2, 3, 1).numpy()), masks.numpy()
    return frames, masks
