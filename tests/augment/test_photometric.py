"""The photometric operations equal Pillow's on the clip as one tall picture."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from augment.operations import (
    AUTOCONTRAST,
    BLUR,
    BRIGHTNESS,
    COLOR,
    CONTRAST,
    EQUALIZE,
    HUE,
    LIKE_PILLOW,
    POSTERIZE,
    SHARPNESS,
    SOLARIZE,
    TABLES,
    TURNS,
    Operation,
    Pixels,
    Strength,
    as_pixels,
    as_tensor,
    constant,
    convolved,
    difference,
    noise,
    on_device,
    smooth,
    turned,
)
from hypothesis import given
from hypothesis import strategies as st
from tolerances import (
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

from vidgap_augment import photometric

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
