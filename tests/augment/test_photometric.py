"""The photometric operations: they are Pillow's, on a clip as on one tall picture."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from tolerances import (
    BLEND,
    BLEND_SHARE,
    BLUR_FROM_PILLOW,
    BLUR_FROM_PILLOW_MEAN,
    DEVICES,
    FROM_CONVOLUTION,
    FROM_TURN,
    FROM_TURN_ON_DEVICE,
    HUE_FROM_PILLOW,
    HUE_FROM_PILLOW_MEAN,
)
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from vidgap_augment import frames as frames_module
from vidgap_augment import photometric

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

Pixels = npt.NDArray[np.uint8]
Strength = int | float


@dataclass(frozen=True)
class Operation:
    """An operation, what Pillow has for it, strengths to test, and how they may differ."""

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
    """Return (T, H, W, 3) noise of a range of its own, so that autocontrast has work."""
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
    """Return frames with each pixel's hue turned in real numbers."""
    pixels = []
    for pixel in frames.reshape(-1, 3) / 255:
        h, s, v = colorsys.rgb_to_hsv(*pixel)
        pixels.append(colorsys.hsv_to_rgb((h + shift) % 1, s, v))
    return np.array(pixels).reshape(frames.shape) * 255


operations = pytest.mark.parametrize("operation", [*LIKE_PILLOW, BLUR, HUE], ids=str)
pictures = pytest.mark.parametrize("make", [noise, smooth, constant])
lengths = pytest.mark.parametrize("num_frames", [1, 3])


@lengths
@pictures
@pytest.mark.parametrize("operation", LIKE_PILLOW, ids=str)
def test_a_clip_is_changed_as_pillow_changes_the_tall_picture(
    operation: Operation, make: Callable[..., Pixels], num_frames: int
) -> None:
    for seed, strength in enumerate(operation.arguments()):
        frames = make(num_frames, 40, 31, seed)
        expected = operation.expected(frames, *strength)
        results = (
            operation(frames, *strength),
            as_pixels(operation(as_tensor(frames), *strength)),
            on_device(operation, frames, *strength),
        )
        for apart in (difference(result, expected) for result in results):
            assert apart.max() <= operation.levels
            assert apart.mean() <= operation.levels * BLEND_SHARE


@given(st.data(), st.sampled_from(LIKE_PILLOW), st.integers(1, 3), st.integers(0, 2**32))
def test_any_strength_and_size_is_as_pillow(
    data: st.DataObject, operation: Operation, num_frames: int, seed: int
) -> None:
    height, width = data.draw(st.tuples(st.integers(1, 20), st.integers(1, 20)))
    strength = data.draw(operation.drawn())
    frames = noise(num_frames, height, width, seed)
    expected = operation.expected(frames, *strength)
    assert difference(operation(frames, *strength), expected).max() <= operation.levels
    there = on_device(operation, frames, *strength)
    assert difference(there, expected).max() <= operation.levels


@given(st.floats(0.1, 2), st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32))
def test_blur_is_the_convolution_with_the_gaussian(
    radius: float, height: int, width: int, seed: int
) -> None:
    extremes = (noise(2, height, width, seed) % 2) * np.uint8(255)
    for frames in (extremes, noise(2, height, width, seed)):
        expected = convolved(frames, radius)
        assert (
            difference(photometric.gaussian_blur(frames, radius), expected).max()
            <= FROM_CONVOLUTION
        )
        assert difference(on_device(BLUR, frames, radius), expected).max() <= FROM_CONVOLUTION


@pytest.mark.parametrize("radius", BLUR.strengths)
def test_blur_is_near_pillows_on_smooth_pictures(radius: float) -> None:
    frames = smooth(2, 80, 90)
    apart = difference(BLUR(frames, radius), BLUR.expected(frames, radius))
    assert apart[:, 8:-8, 8:-8].max() <= BLUR_FROM_PILLOW
    assert apart.mean() <= BLUR_FROM_PILLOW_MEAN


@given(st.floats(-0.5, 0.5) | st.sampled_from(TURNS), st.integers(0, 2**32))
def test_hue_is_the_turn_in_real_numbers(shift: float, seed: int) -> None:
    few = np.array([0, 1, 127, 254, 255], np.uint8)[noise(1, 9, 8, seed) % 5]  # equal channels too
    frames = np.concatenate([few, noise(1, 9, 8, seed)])
    expected = turned(frames, shift)
    assert difference(photometric.hue(frames, shift), expected).max() <= FROM_TURN
    assert difference(on_device(HUE, frames, shift), expected).max() <= FROM_TURN_ON_DEVICE


@pictures
@pytest.mark.parametrize("shift", TURNS)
def test_hue_is_near_pillows(shift: float, make: Callable[..., Pixels]) -> None:
    frames = np.concatenate([make(1, 40, 40, seed) for seed in range(4)])
    apart = difference(photometric.hue(frames, shift), HUE.expected(frames, shift))
    assert apart.max() <= HUE_FROM_PILLOW
    assert apart.mean() <= HUE_FROM_PILLOW_MEAN


@operations
def test_both_paths_agree(operation: Operation) -> None:
    levels = 0 if operation in TABLES else DEVICES
    for frames in (noise(3, 33, 20), smooth(3, 33, 20), constant(1, 3, 2), noise(1, 2, 1)):
        for strength in operation.arguments():
            here, there = operation(frames, *strength), on_device(operation, frames, *strength)
            assert difference(here, there).max() <= levels


@operations
def test_any_layout_in_new_memory(operation: Operation) -> None:
    strength = operation.arguments()[len(operation.strengths) // 2]
    frames = noise(2, 12, 17, seed=3)
    expected = as_tensor(operation(frames, *strength))
    tensor = as_tensor(frames)
    apart = torch.stack([tensor, tensor], -1)[..., 0]
    layouts = {
        "video": tv_tensors.Video(tensor),
        "channels last": tensor.to(memory_format=torch.channels_last),
        "columns first": tensor.mT.contiguous().mT,
        "spread": apart,
        "more axes": tensor[:, None],
    }
    for name, clip in layouts.items():
        before = clip.clone()
        result = operation(clip, *strength)
        assert type(result) is Tensor, name
        assert result.is_contiguous(), name
        assert torch.equal(result, expected.reshape(clip.shape)), name
        result.zero_()
        assert torch.equal(clip, before), name
    arrays = (frames, frames[::-1, ::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1, ::-1])
    for array in (*arrays, np.moveaxis(tensor.numpy().copy(), 1, -1), frames[None]):
        frozen = array.view()
        frozen.flags.writeable = False
        result = operation(frozen, *strength)
        assert result.flags.c_contiguous
        assert result.flags.writeable
        assert not np.shares_memory(result, array)
        assert np.array_equal(result, as_pixels(expected).reshape(array.shape))


@operations
def test_equal_frames_stay_equal_whatever_the_others_are(operation: Operation) -> None:
    frames = noise(3, 10, 11, seed=1)
    frames[2] = frames[0]
    for strength in operation.arguments():
        result = operation(frames, *strength)
        assert np.array_equal(result[0], result[2])


@pytest.mark.parametrize("operation", [AUTOCONTRAST, EQUALIZE, CONTRAST], ids=str)
def test_what_is_measured_is_measured_over_the_clip(operation: Operation) -> None:
    frames = smooth(3, 20, 20)
    frames[1] //= 2
    strength = operation.arguments()[0]
    alone = np.concatenate([operation(frame[None], *strength) for frame in frames])
    assert difference(operation(frames, *strength), alone).max() > 5


@pytest.mark.parametrize("operation", [COLOR, SHARPNESS, BLUR, HUE], ids=str)
def test_frames_do_not_mix_and_an_image_will_do(operation: Operation) -> None:
    frames = noise(3, 10, 11, seed=1)
    alone = np.array([operation(frame, 0.3) for frame in frames])
    assert np.array_equal(operation(frames, 0.3), alone)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (torch.zeros(3, 4, 5), "be (..., 3, H, W) uint8, got (3, 4, 5) float32; turn float images"),
        (torch.zeros(4, 5).byte(), "be (..., 3, H, W) uint8, got (4, 5) uint8"),
        (torch.zeros(4, 5, 3).byte(), "be (..., 3, H, W) uint8, got (4, 5, 3) uint8"),
        (np.zeros((3, 4, 5), np.uint8), "be (..., H, W, 3) uint8, got (3, 4, 5) uint8"),
        (np.zeros((4, 5, 3)), "be (..., H, W, 3) uint8, got (4, 5, 3) float64; turn float images"),
        (np.zeros((4, 5, 3), np.int64), "be (..., H, W, 3) uint8, got (4, 5, 3) int64"),
        (torch.zeros(0, 3, 4, 5).byte(), "have a frame and a pixel, got (0, 3, 4, 5) uint8"),
        ([1, 2], "be a Tensor or an array, got list"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@operations
def test_frames_are_checked(operation: Operation, frames: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"frames must {message}")):
        operation(frames, *operation.arguments()[0])


@pytest.mark.parametrize(
    ("operation", "strength", "message"),
    [
        (POSTERIZE, 0, "bits must be an integer of at least 1, got 0"),
        (POSTERIZE, 2.0, "bits must be an integer of at least 1, got 2.0"),
        (POSTERIZE, 9, "bits must be within [1, 8], got 9"),
        (SOLARIZE, 257, "threshold must be within [0, 256], got 257"),
        (BRIGHTNESS, -0.1, "factor must be within [0.0, 2.0], got -0.1"),
        (CONTRAST, 2.1, "factor must be within [0.0, 2.0], got 2.1"),
        (COLOR, float("nan"), "factor must be within [0.0, 2.0], got nan"),
        (SHARPNESS, -1, "factor must be within [0.0, 2.0], got -1"),
        (BLUR, 0.0, "radius must be within [0.1, 2.0], got 0.0"),
        (HUE, 0.6, "shift must be within [-0.5, 0.5], got 0.6"),
    ],
    ids=str,
)
def test_strengths_are_checked(operation: Operation, strength: Strength, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        operation(noise(1, 4, 4), strength)
