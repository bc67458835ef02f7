"""What a network sees in some clips, computed once for all trackers that follow it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidgap_segmenter import ClipOutput, ClipSegmenter
from vidgap_segmenter.temporal import TemporalState
from vidgap_vis.formats import VideoSet
from vidgap_vis.inference.segmenter import VideoSegmenter
from vidgap_vis.inference.step import StaysOnCPU
from vidgap_vis.trackers import Tracker, by_name
from vidgap_vis.weights import load


class SeenClips(StaysOnCPU):
    """Stands for a network on clips that it has seen, frame by frame, all clips side by side.

    A clip is known by its first frame, so the frames of each must come from the first on.

    Args:
        model: the network.
        clips: (V, T, 3, H, W) uint8, RGB.
    """

    def __init__(self, model: ClipSegmenter, clips: Tensor) -> None:
        self._clip_of = {clip[0].numpy().tobytes(): index for index, clip in enumerate(clips)}
        if len(self._clip_of) < len(clips):
            raise ValueError(f"clips must begin differently, got {len(self._clip_of)} first frames")
        outputs: list[ClipOutput] = []
        state: TemporalState | None = None
        with torch.inference_mode():
            for time in range(clips.shape[1]):
                output, state = model.step(clips[:, time : time + 1], state)
                outputs.append(output)
        self._class_logits = torch.cat([output.class_logits for output in outputs], dim=2)
        self._mask_logits = torch.cat([output.mask_logits for output in outputs], dim=2)
        self._embeddings = torch.cat([output.embeddings for output in outputs], dim=2)
        self._frame_size, self._padded_size = outputs[0].frame_size, outputs[0].padded_size

    def step(
        self,
        frames: Tensor,
        state: TemporalState | None,
        *,
        with_head_inputs: bool = False,
        repeated_next: int = 0,
    ) -> tuple[ClipOutput, TemporalState]:
        """Return what was seen in the next frames of a clip, (1, T, 3, H, W) uint8."""
        if with_head_inputs:
            raise ValueError("with_head_inputs must be off: they were not kept")
        if repeated_next:
            raise ValueError(
                f"repeated_next must be 0: each frame was seen once, got {repeated_next}"
            )
        if state is None:
            clip, first = self._clip_of[frames[0, 0].numpy().tobytes()], 0
        else:
            clip, first = state[0].tolist()
        after = first + frames.shape[1]
        output = ClipOutput(
            class_logits=self._class_logits[clip, None, :, first:after],
            mask_logits=self._mask_logits[clip, None, :, first:after],
            embeddings=self._embeddings[clip, None, :, first:after],
            auxiliary=(),
            frame_size=self._frame_size,
            padded_size=self._padded_size,
        )
        return output, [torch.tensor([clip, after])]


class SeenVideos:
    """The videos of a set as one network sees them, to be tracked in any way.

    Args:
        weights: the network's folder.
        videos: all of one length and size.
    """

    def __init__(self, weights: Path, videos: VideoSet) -> None:
        self.model, self.classes = load(weights)
        clips = [
            np.stack([videos.read_frame(video, time) for time in range(len(video))])
            for video in videos.videos
        ]
        frames = torch.from_numpy(np.stack(clips)).permute(0, 1, 4, 2, 3)  # (V, T, 3, H, W)
        self.seen = SeenClips(self.model, frames.contiguous())

    def segmenter(self, tracker: Mapping[str, Any] | Callable[[], Tracker]) -> VideoSegmenter:
        """Return what tracks these videos: by a tracker's name and options, or by what makes it."""
        make = by_name.tracker(tracker, self.model) if isinstance(tracker, Mapping) else tracker
        return VideoSegmenter(self.seen, self.classes, device="cpu", tracker=make)
