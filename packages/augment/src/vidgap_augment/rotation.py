"""Slow rotation of a clip, the base of the pseudo-clip (paper §3.1; docs/paper.md#rotation)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision import tv_tensors

from vidgap_augment.arguments import check_number, check_range
from vidgap_augment.draw import chance, uniform, uniforms
from vidgap_augment.sample import Sample
from vidgap_augment.transform import ClipTransform, Thing
from vidgap_augment.warp import rotation_matrix, warp_frames, warp_masks


@dataclass(frozen=True)
class Rotation:
    """How a clip is rotated.

    `angles_deg` holds one angle a frame, counter-clockwise as seen; `center` is (x, y) in parts of
    the width and the height.
    """

    angles_deg: tuple[float, ...]
    center: tuple[float, float]


class SlowRotation(ClipTransform[Rotation]):
    """Rotate the frames of a clip by angles that only grow or only fall.

    The T angles are uniform in ±`max_rotation_deg`, sorted, and reversed with probability 0.5; the
    centre is drawn once a clip. The size stays, the border is black. Frames are bilinear, masks
    nearest. After CTVIS (Ying et al., 2023).

    Args:
        max_rotation_deg: largest angle, 0..180; 0 gives the frames to the bit.
        center_range: smallest and largest of both coordinates of the centre, in parts of the side.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self, max_rotation_deg: float = 15.0, center_range: Sequence[float] = (0.4, 0.6)
    ) -> None:
        super().__init__()
        self.max_rotation_deg = check_number("max_rotation_deg", max_rotation_deg, 0.0, 180.0)
        self.center_range = check_range("center_range", center_range, 0.0, 1.0)

    def make_params(self, sample: Sample, generator: torch.Generator | None = None) -> Rotation:
        """Draw the angles of the sample's T frames and the centre."""
        return self.draw(len(sample["video"]), generator)

    def draw(self, num_frames: int, generator: torch.Generator | None = None) -> Rotation:
        """Draw a rotation of `num_frames` frames."""
        largest = self.max_rotation_deg
        angles_deg = sorted(uniforms(num_frames, -largest, largest, generator))
        if chance(0.5, generator):
            angles_deg.reverse()
        center = (uniform(*self.center_range, generator), uniform(*self.center_range, generator))
        return Rotation(tuple(angles_deg), center)

    def transform(self, thing: Thing, params: Rotation) -> Tensor:
        """Rotate every frame by its angle."""
        height, width = thing.shape[-2:]
        center = (params.center[0] * width, params.center[1] * height)
        matrices = [rotation_matrix(angle_deg, center) for angle_deg in params.angles_deg]
        warp = warp_masks if isinstance(thing, tv_tensors.Mask) else warp_frames
        return warp(thing, matrices)
