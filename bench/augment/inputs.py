"""Generated samples: smooth noise and blobs, the same for the same seed.

Pictures are noise whose amplitude falls with frequency, as that of photographs. Instances are
wobbly ellipses: the root of the area, in parts of the picture's, is log-uniform in 1.2 % to 45 %,
one draw from each of N equal shares. At 480x640 that makes 43 % small, 31 % medium and 26 % large
in COCO's terms; COCO itself has 41, 34 and 24 %.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torchvision import tv_tensors

Pixels: TypeAlias = npt.NDArray[np.uint8]

SIDES = (0.012, 0.45)
NUM_CORNERS = 48
NUM_LABELS = 80


def still_sample(num_instances: int, seed: int, size: tuple[int, int]) -> Any:
    """Return an image sample; its image (3, H, W) lies in memory as decoders write it."""
    rng = np.random.default_rng(seed)
    image = smooth_noise(size, rng)
    masks = np.stack([blob.mask(size, 0) for blob in blobs(num_instances, size, rng)])
    return {
        "image": tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1)),
        "masks": tv_tensors.Mask(torch.from_numpy(masks).view(torch.bool)),
        "labels": torch.from_numpy(rng.integers(0, NUM_LABELS, num_instances)),
    }


def clip_sample(num_frames: int, num_instances: int, seed: int, size: tuple[int, int]) -> Any:
    """Return a clip sample, a camera that pans over a scene and instances that move.

    Its video (T, 3, H, W) lies in memory as decoders write it, its masks are contiguous.
    """
    rng = np.random.default_rng(seed)
    scene = smooth_noise((size[0] + 4 * num_frames, size[1] + 8 * num_frames), rng)
    frames = np.stack(
        [scene[4 * t : 4 * t + size[0], 8 * t : 8 * t + size[1]] for t in range(num_frames)]
    )
    moving = blobs(num_instances, size, rng)
    masks = np.stack([[blob.mask(size, t) for t in range(num_frames)] for blob in moving])
    return {
        "video": tv_tensors.Video(torch.from_numpy(frames).permute(0, 3, 1, 2)),
        "masks": tv_tensors.Mask(torch.from_numpy(masks).view(torch.bool)),
        "labels": torch.from_numpy(rng.integers(0, NUM_LABELS, num_instances)),
        "ids": torch.arange(num_instances),
    }


def smooth_noise(size: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Return a picture (H, W, 3): noise of all sizes, the coarse ones strongest."""
    picture = np.zeros((*size, 3), np.float32)
    for octave in range(7):
        cells = (max(2, size[0] >> octave), max(2, size[1] >> octave))
        noise = rng.standard_normal((*cells, 3), dtype=np.float32) * 2.0**octave
        picture += cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC)
    picture = 128 + picture * (50 / picture.std())
    return picture.clip(0, 255).astype(np.uint8)


class Blob:
    """A wobbly ellipse that moves in a straight line.

    Args:
        side: root of its area in pixels.
        size: (H, W) of the picture that its middle lies in at first.
        rng: what is random about it.
    """

    def __init__(self, side: float, size: tuple[int, int], rng: np.random.Generator) -> None:
        angles = np.linspace(0, 2 * math.pi, NUM_CORNERS, endpoint=False)
        radii = np.ones(NUM_CORNERS)
        for wave in (2, 3, 5):
            radii += 0.2 / wave * rng.uniform(-1, 1) * np.sin(wave * angles + rng.uniform(0, 6.3))
        aspect = math.exp(rng.uniform(-0.6, 0.6))
        outline = np.stack([np.cos(angles) * aspect, np.sin(angles) / aspect], axis=1)
        turn = rng.uniform(0, math.pi)
        rotation = [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
        self._outline = side / math.sqrt(math.pi) * radii[:, None] * outline @ np.array(rotation)
        self._start = rng.uniform(0.1, 0.9, 2) * np.array(size[::-1])
        self._way = rng.uniform(-0.01, 0.01, 2) * np.array(size[::-1])

    def mask(self, size: tuple[int, int], time: int) -> Pixels:
        """Return its mask (H, W) of 0 and 1 in a frame."""
        points = self._outline + self._start + time * self._way
        mask = np.zeros(size, np.uint8)
        return cv2.fillPoly(mask, [np.round(points).astype(np.int32)], (1,))


def blobs(count: int, size: tuple[int, int], rng: np.random.Generator) -> list[Blob]:
    """Return instances of COCO-like sizes."""
    shares = (rng.permutation(count) + rng.uniform(0, 1, count)) / count
    low, high = (math.log(side) for side in SIDES)
    sides = np.exp(low + shares * (high - low)) * math.sqrt(size[0] * size[1])
    return [Blob(float(side), size, rng) for side in sides]
