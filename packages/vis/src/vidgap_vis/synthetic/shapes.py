"""The outlines of things, where a point lies relative to one, how much of a pixel it covers.

An outline is the radius of a closed curve as a function of the angle about its centre, so that
one division tells how far out a point lies: 0 at the centre, 1 on the outline.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vidgap_vis.synthetic.colour import FloatArray

NUM_ANGLES = 2048
"""Angles at which an outline is known; a power of two."""

SUPERSAMPLING = 4
"""Samples of a pixel along each axis, by which its coverage is measured."""


@dataclass(frozen=True)
class Pose:
    """Where an instance is in one frame.

    Attributes:
        x, y: its centre in pixels; the top left pixel covers [0, 1] x [0, 1].
        angle_rad: by which it is turned, from the x axis towards the y axis.
        radius: in pixels, of the disc of equal area.
        aspect: by which it is stretched along its own first axis and squeezed along the second.
    """

    x: float
    y: float
    angle_rad: float
    radius: float
    aspect: float


@dataclass(frozen=True, eq=False)
class Outline:
    """A closed curve that encloses the area of the unit disc.

    Attributes:
        radii: (NUM_ANGLES,) float32, at the angles 2 pi k / NUM_ANGLES.
    """

    radii: FloatArray

    @cached_property
    def reach(self) -> float:
        """How far the curve gets from its centre."""
        return float(self.radii.max())

    @cached_property
    def steepness(self) -> float:
        """The most that the radial position changes over a unit of length."""
        turned = (np.roll(self.radii, -1) - np.roll(self.radii, 1)) * (NUM_ANGLES / (4 * np.pi))
        return float(np.hypot(1 / self.radii, turned / self.radii**2).max())

    def radial_position(self, first: FloatArray, second: FloatArray) -> FloatArray:
        """Return how far out points in the instance's coordinates lie; below 1 is inside."""
        turns = np.arctan2(second, first) * np.float32(NUM_ANGLES / (2 * np.pi))
        radii = self.radii[np.rint(turns).astype(np.int32) & (NUM_ANGLES - 1)]
        return np.sqrt(first * first + second * second) / radii


def polygon(corner_radii: list[float], rounding_deg: float) -> Outline:
    """Return the outline of a polygon.

    Args:
        corner_radii: distances of the corners from the centre; their angles are evenly spaced.
        rounding_deg: standard deviation of the smoothing over the angle, which rounds corners.
    """
    angles = 2 * np.pi * np.arange(len(corner_radii)) / len(corner_radii)
    corners = np.array(corner_radii) * np.exp(1j * angles)
    steps = np.linspace(0, 1, 256, endpoint=False)[:, None]
    edges = corners + steps * (np.roll(corners, -1) - corners)  # (256, N)
    asked = 2 * np.pi * np.arange(NUM_ANGLES) / NUM_ANGLES
    radii = np.interp(asked, np.angle(edges).ravel(), np.abs(edges).ravel(), period=2 * np.pi)
    waves = np.fft.rfftfreq(NUM_ANGLES, 1 / NUM_ANGLES) * np.deg2rad(rounding_deg)
    radii = np.fft.irfft(np.fft.rfft(radii) * np.exp(-0.5 * waves**2), NUM_ANGLES)
    return Outline((radii / np.sqrt(np.mean(radii**2))).astype(np.float32))


OUTLINES: dict[str, Outline] = {
    "disc": Outline(np.ones(NUM_ANGLES, np.float32)),
    "square": polygon([1.0] * 4, rounding_deg=5),
    "triangle": polygon([1.0] * 3, rounding_deg=6),
    "star": polygon([1.0, 0.5] * 5, rounding_deg=4),
}
"""The outline of each class by its name, in the order of the labels."""

DISTRACTORS: dict[str, Outline] = {
    "hexagon": polygon([1.0] * 6, rounding_deg=4),
    "cross": polygon([1.0, 0.45] * 4, rounding_deg=4),
}
"""The outlines of things that belong to no class."""


def to_local(pose: Pose, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return points of the frame in the instance's own coordinates, where its radius is 1.

    Args:
        pose: of the instance in this frame.
        x, y: in pixels, of shapes that broadcast together.
    """
    dx, dy = x - np.float32(pose.x), y - np.float32(pose.y)
    cos, sin = np.cos(pose.angle_rad) / pose.radius, np.sin(pose.angle_rad) / pose.radius
    first = dx * np.float32(cos / pose.aspect) + dy * np.float32(sin / pose.aspect)
    second = dy * np.float32(cos * pose.aspect) - dx * np.float32(sin * pose.aspect)
    return first, second


def coverage(outline: Outline, pose: Pose, x: FloatArray, y: FloatArray) -> FloatArray:
    """Return how much of each pixel the instance covers, (H, W) in [0, 1].

    SUPERSAMPLING**2 samples a pixel count; only pixels that the outline can reach are sampled.

    Args:
        outline: of the instance's class.
        pose: of the instance in this frame.
        x, y: centres of the pixels, (1, W) and (H, 1).
    """
    depth = outline.radial_position(*to_local(pose, x, y))
    covered = (depth < 1).astype(np.float32)
    half_diagonal = 0.75  # a little more than the pixel's own 0.71
    change = outline.steepness * max(pose.aspect, 1 / pose.aspect) / pose.radius * half_diagonal
    rows, columns = np.nonzero(np.abs(depth - 1) <= change)
    offsets = ((np.arange(SUPERSAMPLING) + 0.5) / SUPERSAMPLING - 0.5).astype(np.float32)
    local = to_local(
        pose,
        x[0, columns][:, None, None] + offsets,
        y[rows, 0][:, None, None] + offsets[:, None],
    )
    covered[rows, columns] = (outline.radial_position(*local) < 1).mean(axis=(1, 2))
    return covered


def pixel_centres(start: int, stop: int) -> NDArray[np.float32]:
    """Return the middles of the pixels from `start` up to `stop`."""
    return np.arange(start, stop, dtype=np.float32) + np.float32(0.5)
