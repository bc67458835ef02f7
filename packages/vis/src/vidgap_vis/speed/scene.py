"""A made-up video with as many tracks as asked for, and a network that finds them.

A network of random weights finds nothing, so its predictions are replaced: it computes all that it
would, and then shows discs that move. What comes after it has the work of a real video.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidgap_segmenter import ClipOutput
from vidgap_segmenter.temporal import TemporalState
from vidgap_vis.formats.images import Picture
from vidgap_vis.inference.step import Step
from vidgap_vis.video.write import OverlayWriter

FPS = Fraction(25)
SURE = 8.0
"""Logits deep inside a mask, and outside with the other sign."""


@dataclass(frozen=True)
class Scene:
    """Discs that move.

    Attributes:
        num_tracks: N of them.
        seed: of their sizes and ways.
    """

    num_tracks: int
    seed: int = 0

    def distances(self, frame: int, size: tuple[int, int]) -> Tensor:
        """Return how far inside each disc every cell is, in its radii, (N, h, w) float32."""
        across = int(np.ceil(np.sqrt(self.num_tracks)))
        down = -(-self.num_tracks // across)
        cell = np.array([size[0] / down, size[1] / across])
        index = np.arange(self.num_tracks)
        rng = np.random.default_rng(self.seed)
        radius = rng.uniform(0.2, 0.4, self.num_tracks) * min(*cell, 0.5 * min(size))
        # Each goes to and fro in a cell of its own: trackers drop what covers each other.
        swing = np.sin(0.2 * frame + rng.uniform(0, 6, (self.num_tracks, 2)))
        room = cell - 2 * radius[:, None]
        where = (np.stack((index // across, index % across), 1) + 0.5) * cell + 0.4 * room * swing
        rows, columns = np.arange(size[0]), np.arange(size[1])
        y, x = (rows - where[:, :1])[:, :, None], (columns - where[:, 1:])[:, None]
        return torch.from_numpy(1 - np.hypot(y, x) / radius[:, None, None]).float()

    def picture(self, frame: int, size: tuple[int, int]) -> Picture:
        """Return a frame (H, W, 3): noise that a codec has some work with, and the discs."""
        rng = np.random.default_rng((self.seed, frame))
        coarse = torch.from_numpy(rng.uniform(40, 120, (1, 3, size[0] // 8 + 1, size[1] // 8 + 1)))
        smooth = torch.nn.functional.interpolate(coarse, size, mode="bilinear")[0]
        cells = (-(-size[0] // 4), -(-size[1] // 4))  # at full size it takes half a second
        inside = (self.distances(frame, cells) > 0).any(0)
        inside = inside.repeat_interleave(4, 0).repeat_interleave(4, 1)[: size[0], : size[1]]
        shown: Picture = torch.where(inside, 200, smooth).permute(1, 2, 0).byte().numpy()
        return shown

    def write(self, path: Path, size: tuple[int, int], num_frames: int) -> None:
        """Write a video of it."""
        with OverlayWriter(path, FPS, size) as video:
            for frame in range(num_frames):
                video.write(self.picture(frame, size))


class SceneModel:
    """A network whose predictions are replaced by the truth of a scene.

    Args:
        network: computes, as `StepModel`.
        scene: what is found; its first frame is that of the first step.
        step: the network's, or what `torch.compile` made of it.
    """

    def __init__(self, network: Any, scene: Scene, step: Step | None = None) -> None:
        self.network = network
        self.scene = scene
        self._step = step or network.step
        self._frame = 0
        self._looks: Tensor | None = None

    def to(self, device: torch.device) -> SceneModel:
        """Move to a device."""
        self.network.to(device)
        return self

    def eval(self) -> SceneModel:
        """Set the mode for inference."""
        self.network.eval()
        return self

    def step(
        self, frames: Tensor, state: TemporalState | None, **options: Any
    ) -> tuple[ClipOutput, TemporalState | None]:
        """Segment the next frames, (1, T, 3, H, W), by the network; return the scene's tracks."""
        output, state = self.computed(frames, state, **options)
        return self.replaced(output), state

    def computed(
        self, frames: Tensor, state: TemporalState | None, **options: Any
    ) -> tuple[ClipOutput, TemporalState | None]:
        """Return what the network itself finds."""
        return self._step(frames, state, **options)

    def replaced(self, output: ClipOutput) -> ClipOutput:
        """Return an output whose first queries are the scene's tracks, and the others nothing."""
        num_frames = output.mask_logits.shape[2]
        masks = output.mask_logits.new_full(output.mask_logits.shape, -SURE)
        labels = torch.zeros_like(output.class_logits)
        labels[..., -1] = SURE
        num = self.scene.num_tracks
        size = (masks.shape[-2], masks.shape[-1])
        for time in range(num_frames):
            inside = self.scene.distances(self._frame + time, size).to(masks)
            masks[0, :num, time] = (SURE * inside).clamp(-SURE, SURE)
        labels[:, :num, :, -1] = -SURE
        labels[:, :num, :, 0] = SURE
        self._frame += num_frames
        if self._looks is None:
            looks = torch.randn(output.embeddings.shape[1::2], generator=torch.Generator())
            self._looks = looks.to(output.embeddings)
        embeddings = self._looks[None, :, None].expand_as(output.embeddings)
        return replace(
            output, mask_logits=masks, class_logits=labels, embeddings=embeddings, auxiliary=()
        )
