"""Light on instances: a low dome with gloss and a dark rim, and a soft shadow beneath."""

from __future__ import annotations

import cv2
import numpy as np

from vidgap_vis.synthetic.colour import FloatArray


def light_surface(
    albedo: FloatArray, depth: FloatArray, radius: float, light: FloatArray
) -> FloatArray:
    """Return the lit colours (H, W, 3) of an instance.

    Args:
        albedo: its own colours, (H, W, 3).
        depth: radial position of each pixel, (H, W): 0 at its centre, 1 on its outline.
        radius: in pixels.
        light: direction towards the light (x, y, z), of length 1, z towards the viewer.
    """
    dome = 0.9 * radius * np.sqrt(np.clip(1.04 - depth**3, 0.02, None))
    slope_y, slope_x = np.gradient(dome)
    towards = light[2] - slope_x * light[0] - slope_y * light[1]
    facing = np.clip(towards / np.sqrt(1 + slope_x**2 + slope_y**2), 0, 1)
    rim = np.clip((depth - 0.82) / 0.18, 0, 1) ** 2
    body = (0.42 + 0.68 * facing) * (1 - 0.35 * rim)
    gloss = 0.35 * facing**24
    return albedo * body[:, :, None] + gloss[:, :, None]


def cast_shadow(coverage: FloatArray, radius: float, light: FloatArray) -> FloatArray:
    """Return the factor by which an instance's shadow dims what lies beneath, (H, W) in [0, 1]."""
    away = -0.22 * radius * light[:2]
    moved = np.array([[1, 0, away[0]], [0, 1, away[1]]], np.float32)
    shadow = cv2.warpAffine(coverage, moved, coverage.shape[::-1])
    return 1 - 0.5 * cv2.GaussianBlur(shadow, (0, 0), max(0.11 * radius, 0.5))
