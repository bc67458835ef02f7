"""Colours that differ evenly to the eye."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

_LAB_TO_CUBE_ROOTS = np.array(
    [
        [1, 0.3963377774, 0.2158037573],
        [1, -0.1055613458, -0.0638541728],
        [1, -0.0894841775, -1.2914855480],
    ]
)
_CONES_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def oklch(lightness: float, chroma: float, hue: float) -> FloatArray:
    """Return the sRGB colour (3,), in [0, 1], of an Oklab lightness, chroma and hue.

    Args:
        lightness: 0 is black, 1 is white.
        chroma: 0 is grey; about 0.15 is vivid and still inside sRGB for most hues.
        hue: in turns, 0..1.

    Source: B. Ottosson, "A perceptual color space for image processing" (2020).
    """
    angle = 2 * np.pi * hue
    lab = np.array([lightness, chroma * np.cos(angle), chroma * np.sin(angle)])
    linear = np.clip(_CONES_TO_RGB @ (_LAB_TO_CUBE_ROOTS @ lab) ** 3, 0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return srgb.astype(np.float32)
