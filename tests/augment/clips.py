"""Small samples, hypothesis strategies for them, and checks of samples."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor
from torchvision import tv_tensors

from vidgap_augment import ClipTransform, PseudoClip, Sample


def make_clip(
    num_instances: int = 3, num_frames: int = 3, height: int = 12, width: int = 15, seed: int = 0
) -> Sample:
    """Return a clip of noise; its masks are noise too, sparser with each instance."""
    g = torch.Generator().manual_seed(seed)
    density = torch.linspace(0.9, 0.02, num_instances).view(-1, 1, 1, 1)
    noise = torch.rand((num_instances, num_frames, height, width), generator=g)
    return {
        "video": tv_tensors.Video(
            torch.randint(0, 256, (num_frames, 3, height, width), dtype=torch.uint8, generator=g)
        ),
        "masks": tv_tensors.Mask(noise < density),
        "labels": torch.randint(0, 80, (num_instances,), generator=g),
        "ids": torch.randperm(num_instances, generator=g) + 10,
    }


def make_image(num_instances: int = 3, height: int = 12, width: int = 15, seed: int = 0) -> Sample:
    """Return an image sample: the first frame of `make_clip`."""
    clip = make_clip(num_instances, 1, height, width, seed)
    return {
        "image": tv_tensors.Image(clip["video"][0]),
        "masks": tv_tensors.Mask(clip["masks"][:, 0]),
        "labels": clip["labels"],
    }


SEEDS = st.integers(0, 2**63)

ALWAYS: dict[str, Any] = {"probability": 1.0, "min_area": 1}
"""Settings with which `VideoCopyPaste` pastes wherever an instance is visible."""


def discs(num_frames: int = 1) -> Sample:
    """Return an image, or a still pseudo-clip, of a red disc, label 5, and a green one, label 9."""
    y, x = torch.meshgrid(torch.arange(100), torch.arange(100), indexing="ij")
    masks = torch.stack(
        [(x - 30) ** 2 + (y - 30) ** 2 < 15**2, (x - 70) ** 2 + (y - 70) ** 2 < 9**2]
    )
    image = torch.full((3, 100, 100), 90, dtype=torch.uint8)
    for channel in range(2):
        image[:, masks[channel]] = 0
        image[channel, masks[channel]] = 250
    sample = {"image": image, "masks": masks, "labels": torch.tensor([5, 9])}
    return sample if num_frames == 1 else PseudoClip(num_frames, 0)(sample)


def clips() -> st.SearchStrategy[Sample]:
    """Return clips of 0 to 5 instances, 1 to 4 frames and sides of 1 to 20 pixels."""
    side = st.integers(1, 20)
    return st.builds(
        make_clip, st.integers(0, 5), st.integers(1, 4), side, side, st.integers(0, 2**32)
    )


def images() -> st.SearchStrategy[Sample]:
    side = st.integers(1, 20)
    return st.builds(make_image, st.integers(0, 5), side, side, st.integers(0, 2**32))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def moved_masks(transform: ClipTransform[Any], masks: Tensor, params: object) -> Tensor:
    """Return masks (N, T, H, W) transformed with given parameters; emptied ones are kept."""
    frames = torch.zeros(masks.shape[1], 3, *masks.shape[2:], dtype=torch.uint8)
    return transform.with_params((tv_tensors.Video(frames), tv_tensors.Mask(masks)), params)[1]


def slow_boxes(masks: Tensor) -> Tensor:
    """Return (N*T, 4) boxes, found pixel by pixel."""
    boxes = []
    for mask in masks.flatten(0, 1):
        points = mask.nonzero().tolist()
        ys, xs = [y for y, _ in points], [x for _, x in points]
        boxes.append([min(xs), min(ys), max(xs) + 1, max(ys) + 1] if points else [0, 0, 0, 0])
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)


def assert_whole(sample: Sample) -> None:
    """Assert that a clip sample, with boxes, is as `vidgap_augment.sample` describes it."""
    num_frames, channels, height, width = sample["video"].shape
    assert isinstance(sample["video"], tv_tensors.Video)
    assert isinstance(sample["masks"], tv_tensors.Mask)
    assert isinstance(sample["boxes"], tv_tensors.BoundingBoxes)
    assert channels == 3
    assert sample["video"].dtype == torch.uint8
    assert sample["masks"].dtype == torch.bool
    num_instances = len(sample["masks"])
    assert sample["masks"].shape == (num_instances, num_frames, height, width)
    assert sample["labels"].shape == sample["ids"].shape == (num_instances,)
    assert sample["masks"].flatten(1).any(1).all(), "an instance has no pixel"
    assert sample["boxes"].canvas_size == (height, width)
    assert torch.equal(torch.Tensor(sample["boxes"]), slow_boxes(sample["masks"]))


def assert_same(a: Sample, b: Sample) -> None:
    """Assert that two samples are equal to the bit, types included."""
    assert a.keys() == b.keys()
    for key in a:
        assert type(a[key]) is type(b[key])
        assert torch.equal(a[key], b[key]), key
