"""The photometric operations with their counterparts in Pillow, and pictures for both."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from tolerances import BLEND
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from vidgap_augment import frames as frames_module
from vidgap_augment import photometric

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
Pixels = npt.NDArray[np.uint8]
Strength = int | float


@dataclass(frozen=True)
class Operation:
    """An operation, its counterpart in Pillow, strengths to test, and the largest difference."""

    name: str
    pillow: Callable[..., Image.Image]
    strengths: Sequence[Strength] = ()
    levels: int = 0
    per_frame: bool = False

    def __call__(self, frames: Any, *strength: Strength) -> Any:
        return getattr(photometric, self.name)(frames, *strength)

    def __str__(self) -> str:
        return self.name

    def expected(self, frames: Pixels, *strength: Strength) -> Pixels:
        """Run Pillow on (T, H, W, 3) frames one by one, or on all as one tall picture."""
        pictures = frames if self.per_frame else frames.reshape(1, -1, *frames.shape[2:])
        results = [self.pillow(Image.fromarray(picture), *strength) for picture in pictures]
        return np.array([np.asarray(result) for result in results]).reshape(frames.shape)

    def arguments(self) -> list[tuple[Strength, ...]]:
        return [(strength,) for strength in self.strengths] or [()]

    def drawn(self) -> st.SearchStrategy[tuple[Strength, ...]]:
        """Draw any strength between those to test."""
        if not self.strengths:
            return st.just(())
        draw = st.integers if isinstance(self.strengths[0], int) else st.floats
        return st.tuples(draw(min(self.strengths), max(self.strengths)))


def enhance(kind: type) -> Callable[[Image.Image, float], Image.Image]:
    return lambda picture, factor: kind(picture).enhance(factor)


def pillow_blur(picture: Image.Image, radius: float) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(radius))


FACTORS = (0.0, 0.05, 0.3, 0.5, 0.95, 1.0, 1.4, 2.0)
TURNS = (-0.5, -0.3, -1 / 6, -0.01, 0.0, 0.05, 0.2, 1 / 3, 0.4, 0.5)
AUTOCONTRAST = Operation("autocontrast", ImageOps.autocontrast)
EQUALIZE = Operation("equalize", ImageOps.equalize)
POSTERIZE = Operation("posterize", ImageOps.posterize, range(1, 9))
SOLARIZE = Operation("solarize", ImageOps.solarize, (0.0, 1, 128, 200.5, 256))
BRIGHTNESS = Operation("brightness", enhance(ImageEnhance.Brightness), FACTORS)
CONTRAST = Operation("contrast", enhance(ImageEnhance.Contrast), FACTORS)
COLOR = Operation("color", enhance(ImageEnhance.Color), FACTORS, BLEND)
SHARPNESS = Operation("sharpness", enhance(ImageEnhance.Sharpness), FACTORS, BLEND, True)
BLUR = Operation("gaussian_blur", pillow_blur, (0.1, 0.3, 0.5, 1.0, 1.5, 2.0), per_frame=True)
HUE = Operation("hue", F.adjust_hue, TURNS)
TABLES = (AUTOCONTRAST, EQUALIZE, POSTERIZE, SOLARIZE, BRIGHTNESS, CONTRAST)
LIKE_PILLOW = (*TABLES, COLOR, SHARPNESS)


def noise(num_frames: int, height: int, width: int, seed: int = 0) -> Pixels:
    """Return (T, H, W, 3) noise in a random range, so that autocontrast changes it."""
    g = np.random.default_rng(seed)
    low, high = sorted(g.integers(0, 256, 2).tolist())
    return g.integers(low, high + 1, (num_frames, height, width, 3), dtype=np.uint8)


def smooth(num_frames: int, height: int, width: int, seed: int = 0) -> Pixels:
    """Return (T, H, W, 3) of waves, of amplitudes falling with frequency as in photographs."""
    g = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 64
    picture = np.zeros((num_frames, 3, height, width))
    for frequency in range(1, 9):
        turn, phase = g.uniform(0, 2 * np.pi, (2, num_frames, 3, 1, 1))
        way = np.cos(turn) * x + np.sin(turn) * y
        picture += np.sin(2 * np.pi * frequency * way + phase) / frequency
    picture = 120 + 55 * picture / picture.std()
    return np.moveaxis(picture.clip(0, 255).astype(np.uint8), 1, -1).copy()


def constant(num_frames: int, height: int, width: int, seed: int = 0) -> Pixels:
    color = np.random.default_rng(seed).integers(0, 256, 3, dtype=np.uint8)
    return np.broadcast_to(color, (num_frames, height, width, 3)).copy()


def as_tensor(frames: Pixels) -> Tensor:
    """Return (..., H, W, 3) frames as a contiguous (..., 3, H, W) tensor."""
    return torch.from_numpy(np.moveaxis(frames, -1, -3).copy())


def as_pixels(frames: Tensor) -> Pixels:
    return frames.movedim(-3, -1).cpu().numpy()


def difference(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.abs(a.astype(np.float64) - b)


def on_device(operation: Operation, frames: Pixels, *strength: Strength) -> Pixels:
    """Run the path for tensors on a device; without one, on the CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames_module, "in_cpu_memory", lambda _: False)
        return as_pixels(operation(as_tensor(frames).to(DEVICE), *strength))


def convolved(frames: Pixels, radius: float) -> npt.NDArray[np.float64]:
    """Return frames (T, H, W, 3) convolved with the Gaussian to 8 standard deviations."""
    weights = np.exp(-0.5 * (np.arange(-16, 17) / radius) ** 2)
    result = frames.astype(np.float64)
    for axis in (1, 2):
        pads = [(16, 16) if each == axis else (0, 0) for each in range(4)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(result, pads, "edge"), 33, axis)
        result = windows @ (weights / weights.sum())
    return result


def turned(frames: Pixels, shift: float) -> npt.NDArray[np.float64]:
    """Return frames with each pixel's hue shifted, exactly."""
    pixels = []
    for pixel in frames.reshape(-1, 3) / 255:
        h, s, v = colorsys.rgb_to_hsv(*pixel)
        pixels.append(colorsys.hsv_to_rgb((h + shift) % 1, s, v))
    return np.array(pixels).reshape(frames.shape) * 255
