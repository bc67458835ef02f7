"""The floor: the time that OpenCV takes for the pixels alone.

One `cv2.LUT` on the source; for each frame one bilinear `cv2.warpAffine`, and one that takes the
nearest pixel for every four masks; then planes in our layout. Not antialiased, no paste, no
padding, no boxes.
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

from bench.augment.draws import Draw

Matrix: TypeAlias = npt.NDArray[np.float64]
"""(3, 3), source -> result, points (x, y) with the centre of the first pixel at (0.5, 0.5)."""

MASKS_A_CALL = 4
TABLE = np.arange(255, -1, -1).astype(np.uint8)


class OpenCVFloor:
    """The floor for one sample and what was drawn for it.

    Args:
        sample: an image or clip sample.
        draws: of the pipeline; only the geometric ones are used.
        num_frames: T.
    """

    def __init__(self, sample: Any, draws: Sequence[Draw], num_frames: int) -> None:
        is_still = "image" in sample
        pictures = [sample["image"]] if is_still else list(sample["video"])
        self.pictures = [picture.permute(1, 2, 0).contiguous().numpy() for picture in pictures]
        masks = sample["masks"].as_subclass(Tensor).view(torch.uint8).numpy()
        self.masks = masks[:, None] if is_still else masks  # (N, S, H, W)
        size = self.masks.shape[-2:]
        self.size: tuple[int, int] = draws[-1].transform.size  # type: ignore[assignment]  # a module's attribute
        self.matrices = [opencv(frame_matrix(draws, t, size)) for t in range(num_frames)]

    def __call__(self) -> tuple[Tensor, Tensor]:
        """Return frames (T, 3, H, W) uint8 and masks (N, T, H, W) bool."""
        num_frames, num_masks = len(self.matrices), len(self.masks)
        frames = np.empty((num_frames, 3, *self.size), np.uint8)
        masks = np.empty((num_masks, num_frames, *self.size), np.uint8)
        coloured = [cv2.LUT(picture, TABLE) for picture in self.pictures]
        packed = [self._pack(moment) for moment in range(len(coloured))]
        for t, matrix in enumerate(self.matrices):
            moment = min(t, len(coloured) - 1)
            cv2.split(self._warp(coloured[moment], matrix, cv2.INTER_LINEAR), list(frames[t]))
            for group, together in enumerate(packed[moment]):
                rows = masks[group * MASKS_A_CALL : (group + 1) * MASKS_A_CALL, t]
                cv2.split(self._warp(together, matrix, cv2.INTER_NEAREST), list(rows))
        return torch.from_numpy(frames), torch.from_numpy(masks).view(torch.bool)

    def _pack(self, moment: int) -> list[npt.NDArray[np.uint8]]:
        masks = self.masks[:, moment]
        starts = range(0, len(masks), MASKS_A_CALL)
        return [cv2.merge(list(masks[start : start + MASKS_A_CALL])) for start in starts]

    def _warp(self, pixels: Any, matrix: Matrix, flags: int) -> Any:
        return cv2.warpAffine(pixels, matrix, self.size[::-1], flags=flags)


def frame_matrix(draws: Sequence[Draw], t: int, size: tuple[int, int]) -> Matrix:
    """Return the matrix of all draws for frame `t` of a source of (H, W) `size`."""
    matrix = np.eye(3)
    for draw in draws:
        step, size = step_matrix(draw, t, size)
        matrix = step @ matrix
    return matrix


def step_matrix(draw: Draw, t: int, size: tuple[int, int]) -> tuple[Matrix, tuple[int, int]]:
    """Return the matrix of one draw for frame `t`, and the size after it."""
    height, width = size
    matrix, params = np.eye(3), draw.params
    if draw.name in ("PseudoClip", "SlowRotation"):
        angle = math.radians(params.angles_deg[t])
        cos, sin = math.cos(angle), math.sin(angle)
        x, y = params.centers[t][0] * width, params.centers[t][1] * height
        matrix[:2] = [[cos, sin, x - cos * x - sin * y], [-sin, cos, y + sin * x - cos * y]]
    elif draw.name == "ClipFlip" and params:
        matrix[0] = [-1, 0, width]
    elif draw.name in ("ClipResize", "ClipScaleJitter"):
        matrix = np.diag([params[1] / width, params[0] / height, 1.0])
        size = params
    elif draw.name in ("ClipCrop", "ClipFixedCrop") and params is not None:
        matrix[:2, 2] = [-params.offsets[t][1], -params.offsets[t][0]]
        size = params.size if draw.name == "ClipCrop" else draw.transform.size  # type: ignore[assignment]  # a module's attribute
    return matrix, size


def opencv(matrix: Matrix) -> Matrix:
    """Return (2, 3) for OpenCV, whose first pixel has its centre at (0, 0)."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    moved: Matrix = (np.linalg.inv(half) @ matrix @ half)[:2]
    return moved
