"""Affine steps that move the pixels of a clip, and their composition into one warp a frame.

Points are (x, y) with the centre of the first pixel at (0.5, 0.5), so (W/2, H/2) is the middle.
A matrix (2, 3) maps a point before a step to its position after it. A step moves the whole canvas:
what comes from outside it is filled with the step's grey level and belongs to no mask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from vidgap_augment.arguments import check_number, check_size

EXACT = 1e-6
"""A coordinate this close to a whole number counts as one (rounding errors of float64)."""

Size: TypeAlias = tuple[int, int]
"""(height, width) in pixels."""

Box: TypeAlias = tuple[int, int, int, int]
"""(left, top, right, bottom) in whole pixels; right and bottom are one past the last."""

EMPTY: Box = (0, 0, 0, 0)
"""The box of an empty mask."""

Matrix: TypeAlias = npt.NDArray[np.float64]
"""(2, 3), or (T, 2, 3): one a frame."""

Points: TypeAlias = npt.NDArray[np.float64]
"""(M, 2), (x, y) each."""


class ClipShape(NamedTuple):
    """Frames, rows and columns of a clip."""

    num_frames: int
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class Step:
    """One move of all pixels of a clip.

    Attributes:
        matrices: (T, 2, 3), a point of the canvas before -> its position on the canvas after.
        size: (H, W) of the canvas after.
        fill: grey level, 0..255, of what was outside the canvas before.
    """

    matrices: Matrix
    size: Size
    fill: int = 0

    def __post_init__(self) -> None:
        # Lists become arrays and tuples.
        matrices = check_matrices("matrices of a Step", self.matrices)
        object.__setattr__(self, "matrices", matrices)
        object.__setattr__(self, "size", check_size("size of a Step", self.size))
        check_number("fill of a Step", self.fill, 0, 255)


def check_matrices(name: str, matrices: Any) -> Matrix:
    """Return matrices as float64; ValueError unless they are (T, 2, 3), finite, invertible."""
    try:
        array = np.asarray(matrices, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be numbers (T, 2, 3), got {matrices!r}") from None
    if array.ndim != 3 or array.shape[1:] != (2, 3) or not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, (T, 2, 3), got {array.shape}")
    if (np.abs(np.linalg.det(array[..., :2])) < 1e-12).any():
        raise ValueError(f"{name} must be invertible, got one that is not")
    return array


@dataclass(frozen=True, eq=False)
class Canvas:
    """A canvas that the pixels passed through; outside of it there is only `fill`.

    Attributes:
        size: its (H, W).
        matrices: (T, 2, 3), a point of it -> its position on the final canvas.
        fill: grey level of the final canvas outside of it.
    """

    size: Size
    matrices: Matrix
    fill: int

    def fills(self, size: Size) -> bool:
        """Return whether it coincides with the final canvas, of `size`, in every frame."""
        height, width = self.size
        ends = self.matrices[..., :2] @ [width, height] + self.matrices[..., 2]
        starts = self.matrices[..., 2]
        low, high = np.minimum(starts, ends), np.maximum(starts, ends)
        upright = np.abs(self.matrices[:, [0, 1], [1, 0]]).max() < 1e-9
        off = max(np.abs(low).max(), np.abs(high - np.array(size[::-1])).max())
        return bool(upright and off < EXACT)

    def covers(self, time: int, size: Size) -> bool:
        """Return whether it covers all of the final canvas, of `size`, in frame `time`."""
        height, width = size
        corners = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)]
        back = move_points(inverse(self.matrices[time]), corners)
        limits = np.array(self.size[::-1]) + EXACT
        return bool(np.all(back > -EXACT) and np.all(back < limits))

    def corners(self, time: int) -> Points:
        """Return the four corners on the final canvas in frame `time`, (4, 2), in order."""
        height, width = self.size
        points = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)]
        return move_points(self.matrices[time], points)


@dataclass(frozen=True, eq=False)
class Placement:
    """Successive steps, composed into one matrix a frame.

    Attributes:
        size: (H, W) of the final canvas.
        matrices: (T, 2, 3), a point of the source -> its position on the final canvas.
        canvases: the source and each canvas in between, in order; of those that are the same
            rectangle only the last.
    """

    size: Size
    matrices: Matrix
    canvases: tuple[Canvas, ...] = ()

    @classmethod
    def start(cls, num_frames: int, size: Size) -> Placement:
        """Return the placement of a source of `size` before any step."""
        return cls(size, np.tile(np.eye(2, 3), (num_frames, 1, 1)))

    @property
    def is_start(self) -> bool:
        """Whether no step was taken."""
        return not self.canvases

    @cached_property
    def cuts(self) -> list[list[Canvas]]:
        """For each frame the canvases whose outside it shows, T lists."""
        return [
            [canvas for canvas in self.canvases if not canvas.covers(time, self.size)]
            for time in range(len(self.matrices))
        ]

    def repeated(self, num_frames: int) -> Placement:
        """Return the placement of T frames, each placed as the one frame of this."""
        canvases = tuple(
            replace(canvas, matrices=np.tile(canvas.matrices, (num_frames, 1, 1)))
            for canvas in self.canvases
        )
        return Placement(self.size, np.tile(self.matrices, (num_frames, 1, 1)), canvases)

    def then(self, step: Step) -> Placement:
        """Return this placement followed by a step."""
        passed = [
            replace(canvas, matrices=compose(step.matrices, canvas.matrices))
            for canvas in self.canvases
            if not canvas.fills(self.size)
        ]
        here = Canvas(self.size, step.matrices, step.fill)
        return Placement(step.size, compose(step.matrices, self.matrices), (*passed, here))


def compose(after: Matrix, before: Matrix) -> Matrix:
    """Return the map that does `before`, then `after`; (2, 3) or (T, 2, 3) each."""
    linear = after[..., :2] @ before[..., :2]
    shift = after[..., :2] @ before[..., 2:] + after[..., 2:]
    return np.concatenate([linear, shift], axis=-1)


def move_points(matrix: Matrix, points: Sequence[tuple[float, float]] | Points) -> Points:
    """Return the points (M, 2) after the move, (M, 2)."""
    return np.asarray(points, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]


def moved_box(box: Box, matrix: Matrix, size: Size) -> Box:
    """Return the part of a canvas of `size` that a moved box can reach; `EMPTY` if none."""
    left, top, right, bottom = box
    points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    moved = move_points(matrix, points)
    # OpenCV rounds coordinates to 1/1024 before it takes the nearest: one pixel more each way.
    start = np.floor(moved.min(axis=0)).astype(int) - 1
    end = np.ceil(moved.max(axis=0)).astype(int) + 1
    x0, y0 = max(int(start[0]), 0), max(int(start[1]), 0)
    x1, y1 = min(int(end[0]), size[1]), min(int(end[1]), size[0])
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 and right > left else EMPTY


def rotation_matrix(angle_deg: float, center: tuple[float, float]) -> Matrix:
    """Return the (2, 3) matrix that rotates counter-clockwise, as seen, about `center` (x, y)."""
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    turn = np.array([[cos, sin], [-sin, cos]])  # y points down
    shift = np.asarray(center) - turn @ center
    return np.column_stack([turn, shift])


def scaling(x: float, y: float) -> Matrix:
    """Return the (2, 3) matrix that multiplies x and y."""
    return np.array([[x, 0.0, 0.0], [0.0, y, 0.0]])


def translation(x: float, y: float) -> Matrix:
    """Return the (2, 3) matrix that adds to x and y."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y]])


def mirroring(width: float) -> Matrix:
    """Return the (2, 3) matrix that mirrors a canvas of `width` left to right."""
    return np.array([[-1.0, 0.0, width], [0.0, 1.0, 0.0]])


def shrunk(size: Size, matrix: Matrix) -> tuple[Size, Matrix]:
    """Return the size to shrink a source to first, antialiased, and the matrix for the rest.

    Args:
        size: (H, W) of the source.
        matrix: (2, 3), source -> result.

    Returns:
        (H, W), at most `size` and at least 2 where it shrinks, and the matrix from that size to
        the result; both as given if the matrix enlarges.
    """
    factors = (mean_scale(matrix),) * 2
    if is_upright(matrix):
        factors = (abs(matrix[1, 1]), abs(matrix[0, 0]))
    height, width = (
        min(side, max(2, round(side * min(factor, 1.0))))
        for side, factor in zip(size, factors, strict=True)
    )
    back = scaling(size[1] / width, size[0] / height)
    return (height, width), compose(matrix, back)


def mean_scale(matrix: Matrix) -> float:
    """Return the factor by which lengths grow on average: the root of that of areas."""
    return math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))


def is_upright(matrix: Matrix) -> bool:
    """Return whether rows stay rows: no rotation, no shear."""
    return abs(matrix[0, 1]) < 1e-9 and abs(matrix[1, 0]) < 1e-9


def inverse(matrix: Matrix) -> Matrix:
    """Return the inverse of a (2, 3) matrix."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])
