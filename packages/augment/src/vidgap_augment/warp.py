"""Affine maps of the frames and masks of a clip, one matrix a frame, with OpenCV.

Points are (x, y) with the centre of the first pixel at (0.5, 0.5), so (W/2, H/2) is the middle.
A matrix (2, 3) takes a point of the source to its place in the result. What comes from outside the
source is black, or no mask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Matrix: TypeAlias = npt.NDArray[np.float64]

MASKS_PER_CALL = 4
"""The most channels for which OpenCV documents a constant border."""


def rotation_matrix(angle_deg: float, center: tuple[float, float]) -> Matrix:
    """Return the (2, 3) matrix that turns counter-clockwise, as seen, about `center` (x, y)."""
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    turn = np.array([[cos, sin], [-sin, cos]])  # y points down
    shift = np.asarray(center) - turn @ center
    return np.column_stack([turn, shift])


def warp_frames(frames: Tensor, matrices: Sequence[Matrix]) -> Tensor:
    """Move each frame by its matrix, bilinearly.

    Args:
        frames: (T, 3, H, W) uint8 on the CPU.
        matrices: T matrices (2, 3).

    Returns:
        (T, 3, H, W) uint8, contiguous, in memory of its own.
    """
    source = as_array(frames)
    size = source.shape[:1:-1]  # (W, H)
    result = np.empty(source.shape, np.uint8)
    for time, matrix in enumerate(_pixel_matrices(matrices)):
        pixels = np.ascontiguousarray(source[time].transpose(1, 2, 0))  # (3, H, W) -> (H, W, 3)
        moved = cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR)
        result[time] = moved.transpose(2, 0, 1)
    return torch.from_numpy(result)


def warp_masks(masks: Tensor, matrices: Sequence[Matrix]) -> Tensor:
    """Move the masks of each frame by its matrix; a pixel takes its nearest source pixel.

    Args:
        masks: (N, T, H, W) bool on the CPU.
        matrices: T matrices (2, 3).

    Returns:
        (N, T, H, W) bool, contiguous, in memory of its own.
    """
    source = as_array(masks)
    size = source.shape[:1:-1]  # (W, H)
    result = np.empty(source.shape, np.uint8)
    for time, matrix in enumerate(_pixel_matrices(matrices)):
        for first in range(0, len(source), MASKS_PER_CALL):
            some = slice(first, first + MASKS_PER_CALL)
            packed = cv2.merge(list(source[some, time]))  # up to 4 of (H, W) -> (H, W, 4)
            moved = cv2.warpAffine(packed, matrix, size, flags=cv2.INTER_NEAREST)
            result[some, time] = cv2.split(moved)
    return torch.from_numpy(result).view(torch.bool)


def as_array(tensor: Tensor) -> npt.NDArray[Any]:
    """Return the bytes of a uint8 or bool tensor as an array; ValueError if not on the CPU."""
    if tensor.device.type != "cpu":
        raise ValueError(f"tensors must be on the CPU for OpenCV, got {tensor.device}")
    return tensor.as_subclass(Tensor).view(torch.uint8).numpy()


def _pixel_matrices(matrices: Sequence[Matrix]) -> list[Matrix]:
    """Turn the matrices to OpenCV's points, where the centre of the first pixel is (0, 0)."""
    half = np.array([0.5, 0.5])
    return [
        np.column_stack([turn, shift + turn @ half - half])
        for turn, shift in ((matrix[:, :2], matrix[:, 2]) for matrix in matrices)
    ]
