"""MaskTrack R-CNN's track head: from features of regions to embeddings (§4.1, eq. 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import box_convert, roi_align

from vidgap_segmenter import ClipOutput
from vidgap_vis.trackers.detections import Floats

FINEST_SIDE = 56
"""Regions whose sides are shorter than twice this, in pixels, are read from the finest map."""


class TrackHead(nn.Module):
    """Two linear layers, ReLU between them (`models/track_heads/track_head.py`).

    The dot products of two embeddings, beside a 0 for "new", are the logits of being one instance.

    Args:
        in_channels: of the features: C * size**2 of regions, or C of a query's embedding.
        channels: of the embeddings.

    Attributes:
        config: these arguments.
    """

    def __init__(self, in_channels: int, channels: int = 1024) -> None:
        super().__init__()
        self.config = {"in_channels": in_channels, "channels": channels}
        self.fcs = nn.ModuleList([nn.Linear(in_channels, channels), nn.Linear(channels, channels)])

    def forward(self, features: Tensor) -> Tensor:
        """Return embeddings, (..., in_channels) -> (..., channels)."""
        first, second = self.fcs
        embeddings: Tensor = second(first(features).relu())
        return embeddings

    @torch.inference_mode()
    def embed(self, features: Floats) -> Floats:
        """Return embeddings of arrays, (N, in_channels) -> (N, channels); float32 of a half."""
        weight = next(self.parameters())
        found = self(torch.from_numpy(np.ascontiguousarray(features)).to(weight))
        half = found.dtype in (torch.bfloat16, torch.float16)
        embeddings: Floats = (found.float() if half else found).cpu().numpy()
        return embeddings

    def logits(self, embeddings: Tensor, remembered: Tensor) -> Tensor:
        """Return the logits of "new" and of each track, (N, D), (M, D) -> (N, 1 + M)."""
        dots = embeddings @ remembered.transpose(-1, -2)
        return torch.cat([torch.zeros_like(embeddings[..., :1]), dots], dim=-1)


class RegionFeatures(nn.Module):
    """What a pyramid has at the boxes of queries, each from the map that fits its size.

    Regions are cut as in the later, aligned RoIAlign, not shifted by half a pixel.

    Args:
        strides: of the maps, in pixels, fine to coarse.
        size: samples along each side of a region.
    """

    def __init__(self, strides: Sequence[int] = (4, 8, 16, 32), size: int = 7) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.size = size

    def forward(
        self, pyramid: Sequence[Tensor], boxes: Tensor, padded_size: tuple[int, int]
    ) -> Tensor:
        """Cut regions.

        Args:
            pyramid: (B, T, C, H_l, W_l), a map for each stride.
            boxes: (B, Q, T, 4), centre x, centre y, width, height in [0, 1] of the padded frame.
            padded_size: (H, W), in pixels.

        Returns:
            (B, Q, T, C * size**2).

        Raises:
            ValueError: there are other maps than strides.
        """
        if len(pyramid) != len(self.strides):
            raise ValueError(
                f"pyramid must hold a map for each of strides {self.strides}, got {len(pyramid)}"
            )
        height, width = padded_size
        corners = box_convert(boxes, "cxcywh", "xyxy") * boxes.new_tensor([width, height] * 2)
        rows = corners.transpose(1, 2).flatten(0, 2)  # (B*T*Q, 4)
        clips, queries, frames = boxes.shape[:3]
        frame = torch.arange(clips * frames, device=rows.device).repeat_interleave(queries)
        sides = (rows[:, 2:] - rows[:, :2]).clamp(min=0).prod(dim=1).sqrt()
        level = (sides / FINEST_SIDE + 1e-6).log2().floor().clamp(0, len(pyramid) - 1)
        found = rows.new_zeros(len(rows), pyramid[0].shape[2] * self.size**2)
        for index, (map_, stride) in enumerate(zip(pyramid, self.strides, strict=True)):
            here = level == index
            regions = torch.cat([frame[here, None].to(rows), rows[here]], dim=1)
            cut = roi_align(map_.flatten(0, 1), regions, self.size, 1 / stride, 2, aligned=True)
            found[here] = cut.flatten(1).to(found)
        return found.unflatten(0, (clips, frames, queries)).transpose(1, 2)


def with_track_embeddings(
    output: ClipOutput, head: TrackHead, regions: RegionFeatures
) -> ClipOutput:
    """Return a network's output with the track head's embeddings of its queries' boxes.

    Args:
        output: with boxes, and with head inputs whose pyramid fits `regions`.
        head: from the features of regions.
        regions: how they are cut.

    Raises:
        ValueError: the output has no boxes or no head inputs.
    """
    if output.boxes is None or output.head_inputs is None:
        missing = "boxes" if output.boxes is None else "head_inputs"
        raise ValueError(f"{missing} must be there for features of regions, got None")
    features = regions(output.head_inputs.pyramid, output.boxes, output.padded_size)
    return replace(output, embeddings=head(features))
