"""Rotation of a clip, the base of the pseudo-clip (paper §3.1; docs/paper.md#rotation)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch

from vidgap_augment.arguments import Per, check_number, check_per, check_range
from vidgap_augment.draw import chance, uniform, uniforms
from vidgap_augment.geometry import ClipShape, Step, rotation_matrix
from vidgap_augment.plan import Plan
from vidgap_augment.transform import GeometricTransform

Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Rotation:
    """How a clip is rotated.

    `angles_deg` holds one angle a frame, counter-clockwise; `centers` one (x, y) a frame, as
    fractions of the width and the height.
    """

    angles_deg: tuple[float, ...]
    centers: tuple[Point, ...]


class SlowRotation(GeometricTransform[Rotation]):
    """Rotate the frames of a clip by angles that only increase or only decrease.

    The T angles are uniform in ±`max_rotation_deg`, sorted, and reversed with probability 0.5; the
    centre is drawn once a clip. The size stays, the border is black. Frames are bilinear, masks
    nearest. After CTVIS (Ying et al., 2023).

    Args:
        max_rotation_deg: largest angle, 0..180; 0 leaves the frames as they are, to the bit.
        center_range: smallest and largest coordinate of the centre, as a fraction of the side.
        per: "image" draws an angle and a centre for each frame separately, in no order: the arm
            that the paper compares with (Table 3).

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        max_rotation_deg: float = 15.0,
        center_range: Sequence[float] = (0.4, 0.6),
        per: Per = "video",
    ) -> None:
        super().__init__()
        self.max_rotation_deg = check_number("max_rotation_deg", max_rotation_deg, 0.0, 180.0)
        self.center_range = check_range("center_range", center_range, 0.0, 1.0)
        self.per = check_per(per)

    def draw(self, plan: Plan, generator: torch.Generator | None = None) -> Rotation:
        return self.draw_frames(plan.num_frames, generator)

    def draw_frames(self, num_frames: int, generator: torch.Generator | None) -> Rotation:
        """Draw a rotation of `num_frames` frames of any size."""
        largest = self.max_rotation_deg
        angles_deg = uniforms(num_frames, -largest, largest, generator)
        if self.per == "image":
            centers = tuple(self._center(generator) for _ in range(num_frames))
            return Rotation(tuple(angles_deg), centers)
        angles_deg.sort()
        if chance(0.5, generator):
            angles_deg.reverse()
        return Rotation(tuple(angles_deg), (self._center(generator),) * num_frames)

    def _center(self, generator: torch.Generator | None) -> Point:
        return uniform(*self.center_range, generator), uniform(*self.center_range, generator)

    def step(self, params: Rotation, shape: ClipShape) -> Step:
        _, height, width = shape
        matrices = [
            rotation_matrix(angle_deg, (x * width, y * height))
            for angle_deg, (x, y) in zip(params.angles_deg, params.centers, strict=True)
        ]
        return Step(np.stack(matrices), (height, width))
