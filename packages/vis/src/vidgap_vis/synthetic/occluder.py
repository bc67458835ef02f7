"""An opaque bar that stands in front of everything, and hides what passes behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidgap_vis.synthetic.colour import FloatArray, oklch
from vidgap_vis.synthetic.shapes import pixel_centres


@dataclass(frozen=True, eq=False)
class Occluder:
    """A bar across the whole scene, which stands still while the camera drifts.

    Attributes:
        x, y: a point on its middle line when the camera looks at the middle, pixels.
        angle_rad: of the direction across it, from the x axis towards the y axis.
        width: in pixels.
        colour: (3,) float32 sRGB in [0, 1].
    """

    x: float
    y: float
    angle_rad: float
    width: float
    colour: FloatArray


def draw_occluder(size: tuple[int, int], width: float, rng: np.random.Generator) -> Occluder:
    """Draw a bar through the middle half of frames of `size` (H, W), about `width` heights wide."""
    height, length = size
    colour = oklch(rng.uniform(0.3, 0.75), rng.uniform(0.0, 0.05), rng.random())
    return Occluder(
        x=rng.uniform(0.25, 0.75) * length,
        y=rng.uniform(0.25, 0.75) * height,
        angle_rad=rng.uniform(0, np.pi),
        width=width * height * rng.uniform(0.8, 1.2),
        colour=colour,
    )


def draw_over(canvas: FloatArray, occluder: Occluder, view: FloatArray) -> FloatArray:
    """Draw a bar onto `canvas` (H, W, 3), rounded as a pole; return what it covers of each pixel.

    Args:
        canvas: changed in place.
        occluder: the bar.
        view: where the camera looks, (2,), pixels from the middle.

    Returns:
        (H, W) in [0, 1].
    """
    cos, sin = np.cos(occluder.angle_rad), np.sin(occluder.angle_rad)
    dx = pixel_centres(0, canvas.shape[1])[None, :] - np.float32(occluder.x - view[0])
    dy = pixel_centres(0, canvas.shape[0])[:, None] - np.float32(occluder.y - view[1])
    across = np.float32(cos) * dx + np.float32(sin) * dy
    half = np.float32(0.5 * occluder.width)
    covered = np.clip(half - np.abs(across) + np.float32(0.5), 0, 1)
    body = 0.55 + 0.45 * np.sqrt(np.clip(1 - (across / half + np.float32(0.2)) ** 2, 0, 1))
    canvas += covered[:, :, None] * (body[:, :, None] * occluder.colour - canvas)
    return covered
