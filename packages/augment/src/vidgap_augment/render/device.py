"""Make the clip of a plan on the device of its tensors, with torch alone.

The same clip as `cpu` makes, by `grid_sample` on whole frames: away from edges pixels differ by a
grey level or two, masks by a pixel along rotated edges.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as F

from vidgap_augment.boxes import boxes_from_masks
from vidgap_augment.geometry import (
    Matrix,
    Placement,
    Size,
    inverse,
    is_upright,
    shrunk,
)
from vidgap_augment.plan import Paste, Plan
from vidgap_augment.render.result import Rendered, render_boxes


def render_on_device(plan: Plan, *, keep_absent: bool = False) -> Rendered:
    """Make the pixels of a plan on its device; see `vidgap_augment.render.render`."""
    frames = torch.stack([render_frame(plan, time) for time in range(plan.num_frames)])
    if plan.masks is None:
        return render_boxes(plan, frames, keep_absent)
    num_sources, num_rows = len(plan.masks), len(plan.masks) + len(plan.pastes)
    masks = frames.new_zeros((num_rows, plan.num_frames, *plan.placement.size), dtype=torch.bool)
    for time in range(plan.num_frames):
        source = plan.masks.masks[:, 0 if plan.masks.is_still else time]
        masks[:num_sources, time] = move_masks(source, plan.placement, time)
        for number, paste in enumerate(plan.pastes):
            if paste.shown[time]:
                row = num_sources + number
                masks[row, time] = paste_mask(paste, time)
                masks[:row, time] &= ~masks[row, time]
    boxes = boxes_from_masks(masks).as_subclass(Tensor).reshape(*masks.shape[:2], 4)
    kept = torch.arange(num_rows, device=frames.device)
    if not keep_absent:
        kept = (boxes[..., 2] > 0).any(dim=1).nonzero()[:, 0]
    return Rendered(frames, masks[kept], boxes[kept], kept.cpu())


def render_frame(plan: Plan, time: int) -> Tensor:
    """Return frame `time`, pastes included, (3, H, W) uint8."""
    frame = move_frame(source_frame(plan.frames, time), plan.placement, time)
    for paste in plan.pastes:
        if paste.shown[time]:
            source = source_frame(paste.frames, time)
            moved = warp_frame(source, paste.placement.matrices[time], paste.placement.size, None)
            frame = torch.where(paste_mask(paste, time), moved, frame)
    return frame


def source_frame(frames: Tensor, time: int) -> Tensor:
    """Return the source of frame `time`, (3, H, W), of a still or of T frames."""
    return frames[min(time, len(frames) - 1)]


def move_frame(source: Tensor, placement: Placement, time: int) -> Tensor:
    """Move a frame (3, H, W) by a placement, filled outside of its canvases.

    The result may be `source` itself.
    """
    if placement.is_start:
        return source
    matrix, canvases = placement.matrices[time], placement.canvases
    upright = is_upright(matrix)
    border = None if upright else canvases[0].fill
    frame = warp_frame(source, matrix, placement.size, border)
    for canvas in canvases if upright else canvases[1:]:
        inside = is_inside(canvas.matrices[time], canvas.size, placement.size, source.device)
        frame = torch.where(inside, frame, canvas.fill)
    return frame


def paste_mask(paste: Paste, time: int) -> Tensor:
    """Return where a paste covers frame `time`, (H, W) bool."""
    source = paste.masks.masks[paste.instance, 0 if paste.masks.is_still else time]
    return move_masks(source[None], paste.placement, time)[0]


def move_masks(masks: Tensor, placement: Placement, time: int) -> Tensor:
    """Move masks (N, H, W) by a placement to the nearest pixels; may return `masks` itself."""
    if placement.is_start:
        return masks
    height, width = masks.shape[-2:]
    points = pixel_centres(inverse(placement.matrices[time]), placement.size, masks.device)
    columns, rows = points.floor().long().unbind(-1)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    for canvas in placement.canvases[1:]:
        inside &= is_inside(canvas.matrices[time], canvas.size, placement.size, masks.device)
    return masks[:, rows.clamp(0, height - 1), columns.clamp(0, width - 1)] & inside


def warp_frame(source: Tensor, matrix: Matrix, size: Size, border: int | None) -> Tensor:
    """Warp a frame (3, H, W) bilinearly, antialiased where it shrinks.

    Args:
        source: uint8.
        matrix: (2, 3), source -> result.
        size: (H, W) of the result.
        border: grey level outside the source; None: its edge repeated.
    """
    height, width = source.shape[-2:]
    target, left_over = shrunk((height, width), matrix)
    pixels = source.float()
    if target != (height, width):
        pixels, matrix = F.resize(pixels, list(target), antialias=True), left_over
    points = pixel_centres(inverse(matrix), size, source.device)
    scale = points.new_tensor([2 / target[1], 2 / target[0]])
    offset = 0.0 if border is None else float(border)
    moved = functional.grid_sample(
        (pixels - offset)[None], (points * scale - 1)[None].float(), mode="bilinear",
        padding_mode="border" if border is None else "zeros", align_corners=False,
    )[0]  # fmt: skip
    return (moved + offset).round().clamp(0, 255).to(torch.uint8)


def is_inside(matrix: Matrix, canvas: Size, size: Size, device: torch.device) -> Tensor:
    """Return which pixels of a result of `size` lie on a canvas, (H, W) bool."""
    points = pixel_centres(inverse(matrix), size, device)
    limits = points.new_tensor([canvas[1], canvas[0]])
    return ((points > -1e-6) & (points < limits + 1e-6)).all(dim=-1)


def pixel_centres(matrix: Matrix, size: Size, device: torch.device) -> Tensor:
    """Return the pixel centres (x, y) of a picture moved by a matrix, (H, W, 2) float64."""
    rows, columns = (torch.arange(side, dtype=torch.float64, device=device) + 0.5 for side in size)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    points = torch.stack([x, y], dim=-1)
    moved = torch.from_numpy(matrix).to(device)
    return points @ moved[:, :2].T + moved[:, 2]
