"""Turning the output for clips into instances of frames."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_convert

from vidgap_segmenter.structures import ClipOutput, Instances

Resize: TypeAlias = Literal["bilinear", "nearest"]


@torch.no_grad()
def instance_inference(
    output: ClipOutput, size: tuple[int, int], top_k: int = 100
) -> list[list[Instances]]:
    """Return the best instances of every frame (`instance_inference` of the official networks).

    A score is the class probability times the mean mask probability inside the mask. A query may
    appear more than once, with different labels.

    Args:
        output: predictions for B clips of T frames.
        size: (H, W) of the masks and boxes to return, usually that of the frames on disk.
        top_k: instances a frame, at most Q*K.

    Returns:
        `[b][t]`, best score first.

    Raises:
        ValueError: top_k is less than 1, or a score is not finite.
    """
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
    probabilities = output.class_probabilities.float()
    clips, _, num_frames, _ = probabilities.shape
    return [
        [
            _frame_instances(
                probabilities[clip, :, frame],
                resize_to(output, output.mask_logits[clip, :, frame], size),
                _scaled_boxes(output, clip, frame, size),
                top_k,
            )
            for frame in range(num_frames)
        ]
        for clip in range(clips)
    ]


def resize_to(
    output: ClipOutput, mask_logits: Tensor, size: tuple[int, int], mode: Resize = "bilinear"
) -> Tensor:
    """Resize mask logits to the padded frame, crop the padding, and resize to `size`.

    Args:
        output: for its frame and padded sizes.
        mask_logits: (Q, h, w).
        size: (H, W).
        mode: of the second resizing; the first is bilinear.

    Returns:
        (Q, H, W), float32 or more.

    Raises:
        ValueError: a side of `size` is below 1.
    """
    if min(size) < 1:
        raise ValueError(f"size must be (H, W), each at least 1, got {size}")
    padded = _resize(mask_logits, output.padded_size)
    height, width = output.frame_size
    return _resize(padded[:, :height, :width], size, mode)


def _resize(maps: Tensor, size: tuple[int, int], mode: Resize = "bilinear") -> Tensor:
    maps = maps.float() if maps.dtype != torch.float64 else maps
    if maps.shape[-2:] == size:
        return maps
    corners = None if mode == "nearest" else False
    return F.interpolate(maps[None], size=size, mode=mode, align_corners=corners)[0]


def _scaled_boxes(
    output: ClipOutput, clip: int, frame: int, size: tuple[int, int]
) -> Tensor | None:
    """Return boxes as corners in pixels, (Q, 4) float32, clipped to a frame of `size`."""
    if output.boxes is None:
        return None
    height, width = size
    boxes = box_convert(output.boxes[clip, :, frame].float(), "cxcywh", "xyxy")
    (padded_height, frame_height), (padded_width, frame_width) = zip(
        output.padded_size, output.frame_size, strict=True
    )
    across, down = width * padded_width / frame_width, height * padded_height / frame_height
    return (boxes * boxes.new_tensor([across, down, across, down])).clamp(
        min=boxes.new_zeros(4), max=boxes.new_tensor([width, height, width, height])
    )


def _frame_instances(
    probabilities: Tensor, mask_logits: Tensor, boxes: Tensor | None, top_k: int
) -> Instances:
    """Rank (Q, K) class probabilities with (Q, H, W) mask logits and (Q, 4) boxes."""
    num_classes = probabilities.shape[1]
    flat = probabilities.flatten()
    class_scores, index = flat.topk(min(top_k, len(flat)))
    queries = index // num_classes
    masks = mask_logits > 0
    inside = (mask_logits.sigmoid() * masks).flatten(1).sum(1)
    mask_scores = (inside / (masks.flatten(1).sum(1) + 1e-6)).float()
    scores, order = (class_scores * mask_scores[queries]).sort(descending=True, stable=True)
    if not scores.isfinite().all():
        raise ValueError("scores must be finite, got nan or inf: frames or weights hold them")
    queries = queries[order]
    return Instances(
        labels=(index % num_classes)[order],
        scores=scores,
        masks=masks[queries],
        queries=queries,
        boxes=None if boxes is None else boxes[queries],
    )
