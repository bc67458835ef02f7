"""Arguments of constructors: those refused, by name, and numbers and lists of other types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torchvision.transforms import v2

from vidgap_augment import (
    ClipCompose,
    ClipCrop,
    ClipFixedCrop,
    ClipFlip,
    ClipResize,
    ClipScaleJitter,
    PseudoClip,
    SlowRotation,
    VideoAutoAugment,
    VideoCopyPaste,
    boxes_from_masks,
)

BAD: list[tuple[Callable[..., object], dict[str, Any], str]] = [
    (ClipFlip, {"probability": 1.5}, r"probability must be within \[0.0, 1.0\], got 1.5"),
    (ClipFlip, {"probability": "a"}, r"probability must be within \[0.0, 1.0\], got 'a'"),
    (ClipFlip, {"probability": True}, r"probability must be within \[0.0, 1.0\], got True"),
    (ClipCrop, {"probability": -0.1}, r"probability must be within .* got -0.1"),
    (ClipCrop, {"absolute_range": (9, 3)}, r"must be \(smallest, largest\), got \(9, 3\)"),
    (ClipCrop, {"absolute_range": (0, 3)}, r"absolute_range must be 2 integers .*, got \(0, 3\)"),
    (ClipCrop, {"absolute_range": 5}, r"absolute_range must be 2 integers of at least 1, got 5"),
    (ClipFixedCrop, {"size": (5,)}, r"size must be 2 integers of at least 1, got \(5,\)"),
    (ClipFixedCrop, {"size": (5, 5), "pad_value": 256}, r"pad_value .* \[0, 255\], got 256"),
    (ClipResize, {"short_edges": ()}, r"short_edges must be one or more integers .*, got \(\)"),
    (ClipResize, {"short_edges": (3, 2.5)}, r"short_edges must be one or more integers .*2.5"),
    (ClipResize, {"max_size": 0}, r"max_size must be an integer of at least 1, got 0"),
    (ClipScaleJitter, {"size": (0, 9)}, r"size must be 2 integers of at least 1, got \(0, 9\)"),
    (ClipScaleJitter, {"scale_range": (2, 1)}, r"scale_range must be \(smallest, largest\)"),
    (ClipScaleJitter, {"scale_range": (0, 1)}, r"scale_range .* within \[0.001, 1000.0\]"),
    (ClipScaleJitter, {"scale_range": 3}, r"scale_range must be \(smallest, largest\) .* got 3"),
    (PseudoClip, {"num_frames": True}, r"num_frames must be an integer of at least 1, got True"),
    (SlowRotation, {"max_rotation_deg": None}, r"max_rotation_deg must be within .*, got None"),
    (VideoAutoAugment, {"max_ops": 0}, r"max_ops must be an integer of at least 1, got 0"),
    (VideoAutoAugment, {"min_ops": 4}, r"min_ops must be at most max_ops, 3, got 4"),
    (VideoAutoAugment, {"min_ops": 0.5}, r"min_ops must be an integer of at least 0, got 0.5"),
    (VideoAutoAugment, {"min_ops": -1}, r"min_ops must be an integer of at least 0, got -1"),
    (VideoAutoAugment, {"pool": ["invert"]}, r"pool must .* of \('identity', .*got \['invert'\]"),
    (VideoAutoAugment, {"pool": []}, r"pool must be one or more of .*, got \[\]"),
    (VideoAutoAugment, {"pool": None}, r"pool must be one or more of .*, got None"),
    (VideoAutoAugment, {"pool": [["hue"]]}, r"pool must be one or more of .*, got \[\['hue"),
    (VideoAutoAugment, {"pool": "hue"}, r"pool must be one or more of .*, got 'hue'"),
    (VideoAutoAugment, {"per": "frame"}, r"per must be 'video' or 'image', got 'frame'"),
    (VideoAutoAugment, {"max_rotation_deg": 200}, r"max_rotation_deg .* \[0.0, 180.0\], got 200"),
    (VideoCopyPaste, {"probability": 1.1}, r"probability must be within \[0.0, 1.0\], got 1.1"),
    (VideoCopyPaste, {"scale_range": (2, 1)}, r"scale_range must be \(smallest, largest\) within"),
    (VideoCopyPaste, {"scale_range": ("a", 1)}, r"scale_range must be \(smallest, larg"),
    (VideoCopyPaste, {"scale_change": (0, 1)}, r"scale_change must be \(smallest, largest\) with"),
    (VideoCopyPaste, {"max_rotation_deg": -1}, r"max_rotation_deg .* \[0.0, 180.0\], got -1"),
    (VideoCopyPaste, {"max_displacement": -0.1}, r"max_displacement must be within .* got -0.1"),
    (VideoCopyPaste, {"flip_probability": 2}, r"flip_probability must be within .* got 2"),
    (VideoCopyPaste, {"min_inside": 1.5}, r"min_inside must be within \[0.0, 1.0\], got 1.5"),
    (VideoCopyPaste, {"min_area": -1}, r"min_area must be within .* got -1"),
    (VideoCopyPaste, {"jitter": 0.6}, r"jitter must be within \[0.0, 0.5\], got 0.6"),
    (VideoCopyPaste, {"per": "clip"}, r"per must be 'video' or 'image', got 'clip'"),
    (ClipCompose, {"transforms": [ClipFlip(), v2.ColorJitter()]}, r"transforms\[1\] must be a Cli"),
    (ClipCompose, {"transforms": [], "probability": 2.0}, r"probability .* \[0.0, 1.0\], got 2.0"),
    (ClipCompose, {"transforms": None}, r"transforms must be a list, got NoneType"),
    (ClipCompose, {"transforms": ClipFlip()}, r"transforms must be a list, got ClipFlip"),
    (boxes_from_masks, {"masks": "x"}, r"masks must be a tensor \(N, T, H, W\), got str"),
]


@pytest.mark.parametrize(("called", "arguments", "message"), BAD)
def test_bad_argument_is_refused_by_name(
    called: Callable[..., object], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        called(**arguments)


def test_numbers_of_numpy_are_numbers() -> None:
    assert PseudoClip(np.int64(3)).num_frames == 3
    assert ClipFlip(np.float32(0.5)).probability == 0.5
    assert ClipResize(np.array([4, 5]), 9).short_edges == (4, 5)


def test_lists_may_be_generators() -> None:
    assert VideoAutoAugment(pool=(name for name in ["hue"])).pool == ("hue",)
    assert len(ClipCompose(ClipFlip() for _ in range(3)).transforms) == 3
