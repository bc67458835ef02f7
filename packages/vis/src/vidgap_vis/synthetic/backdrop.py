"""Backgrounds: layers of muted colour, softly textured, seen by a camera that drifts."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vidgap_vis.synthetic.colour import FloatArray, oklch

MARGIN = 0.14
"""How far a background reaches beyond the frame on each side, as a share of the height."""

LIGHT_CHANGE = 0.25
"""How much brighter or darker than the mean the light on the scene gets."""


@dataclass(frozen=True, eq=False)
class Backdrop:
    """A background, and what moves over it.

    Attributes:
        picture: (H', W', 3) float32 in [0, 1], larger than the frame by the margin.
        drift: where the camera looks at the start and at the end, (2, 2), pixels from the middle.
        light: brightness about 1 at the start and at the end, (2, h, w) float32, coarse.
    """

    picture: FloatArray
    drift: FloatArray
    light: FloatArray


def draw_backdrop(size: tuple[int, int], contrast: float, rng: np.random.Generator) -> Backdrop:
    """Draw a background for frames of `size` (H, W), its texture scaled by `contrast` (0 to 1)."""
    margin = int(np.ceil(MARGIN * size[0]))
    height, width = size[0] + 2 * margin, size[1] + 2 * margin
    slope = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * rng.uniform(-0.6, 0.6)
    folds = shifted(clouds(height, width, 3, rng), 0.25 * height * clouds(height, width, 2, rng))
    level = np.clip(0.5 + 0.5 * (folds + slope), 0, 1)
    level += contrast * 0.14 * np.sin(2 * np.pi * rng.uniform(3, 6) * level)
    grain = 1 + 0.16 * contrast * clouds(height, width, 24, rng)[:, :, None]
    picture = ramp(draw_tones(rng), np.clip(level, 0, 1)) * grain
    drift = rng.uniform(-0.9 * margin, 0.9 * margin, (2, 2))
    light = 1 + LIGHT_CHANGE * rng.uniform(-1, 1, (2, 4, 5))
    return Backdrop(np.clip(picture, 0, 1), drift.astype(np.float32), light.astype(np.float32))


def draw_tones(rng: np.random.Generator) -> FloatArray:
    """Draw three muted colours (3, 3) of similar hue, from dark to light."""
    hue, lightness = rng.random(), rng.uniform(0.35, 0.72)
    return np.stack(
        [
            oklch(lightness + 0.14 * step, rng.uniform(0.02, 0.06), hue + 0.06 * step)
            for step in (-1, 0, 1)
        ]
    )


def clouds(height: int, width: int, cells: int, rng: np.random.Generator) -> FloatArray:
    """Return smooth noise (height, width) in about [-1, 1]: three octaves from `cells` rows up."""
    total = np.zeros((height, width), np.float32)
    for octave, weight in enumerate((0.6, 0.3, 0.15)):
        rows = cells * 2**octave + 1
        coarse = rng.uniform(-1, 1, (rows, rows * width // height + 1)).astype(np.float32)
        total += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return total


def shifted(field: FloatArray, shift: FloatArray) -> FloatArray:
    """Return `field` (H, W), each pixel taken from `shift` (H, W) pixels to its lower right."""
    rows, columns = np.indices(field.shape, dtype=np.float32)
    return cv2.remap(
        field, columns + shift, rows + shift, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )


def ramp(tones: FloatArray, level: FloatArray) -> FloatArray:
    """Return the colours (H, W, 3) of `level` (H, W) in [0, 1] on a ramp of three tones (3, 3)."""
    low, high = np.clip(2 * level, 0, 1)[:, :, None], np.clip(2 * level - 1, 0, 1)[:, :, None]
    return tones[0] + low * (tones[1] - tones[0]) + high * (tones[2] - tones[1])


def view(backdrop: Backdrop, time: float) -> FloatArray:
    """Return where the camera looks at `time` in [0, 1], (2,), pixels from the middle."""
    return (1 - time) * backdrop.drift[0] + time * backdrop.drift[1]


def see(backdrop: Backdrop, size: tuple[int, int], time: float) -> FloatArray:
    """Return the background (H, W, 3) at `time`, 0 at the start and 1 at the end of the clip."""
    dx, dy = view(backdrop, time)
    height, width = backdrop.picture.shape[:2]
    middle = (float(width / 2 + dx - 0.5), float(height / 2 + dy - 0.5))
    return cv2.getRectSubPix(backdrop.picture, (size[1], size[0]), middle)


def brightness(backdrop: Backdrop, size: tuple[int, int], time: float) -> FloatArray:
    """Return the light on the whole scene, (H, W, 1), at `time` in [0, 1]."""
    coarse = (1 - time) * backdrop.light[0] + time * backdrop.light[1]
    return cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)[:, :, None]
