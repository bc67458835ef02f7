"""Make the clip of a plan in CPU memory, with OpenCV."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from vidgap_augment.frames import Pixels, as_array
from vidgap_augment.geometry import (
    EMPTY,
    Box,
    Placement,
    compose,
    is_upright,
    mean_scale,
    moved_box,
    shrunk,
    translation,
)
from vidgap_augment.plan import Paste, Plan, SourceMasks
from vidgap_augment.render.packed_masks import (
    MASKS_A_WARP,
    PackedMasks,
    clear_canvases,
    tight_box,
    union_box,
)
from vidgap_augment.render.result import Rendered, render_boxes
from vidgap_augment.warp import (
    FrameWarper,
    clear_outside,
    resize,
    upright_window,
    warp_linear,
    warp_part,
)

PATCH_MARGIN = 2
"""Pixels around a pasted instance, in the frame, that the interpolation of its rim may read."""


def render_on_cpu(plan: Plan, *, keep_absent: bool = False) -> Rendered:
    """Make the pixels of a plan in CPU memory; see `vidgap_augment.render.render`."""
    warpers = {id(plan.frames): FrameWarper(plan.frames)}
    for paste in plan.pastes:  # most are cut from the frames of the plan
        warpers.setdefault(id(paste.frames), FrameWarper(paste.frames))
    stack = None if plan.masks is None else MaskStack(plan, plan.masks, keep_absent)
    frames = np.empty((plan.num_frames, 3, *plan.placement.size), np.uint8)
    for time in range(plan.num_frames):
        pixels = render_frame(warpers[id(plan.frames)], plan.placement, time)
        for number, paste in enumerate(plan.pastes):
            warper = warpers[id(paste.frames)]
            patch = cut_patch(warper, paste, time) if paste.shown[time] else None
            if patch is not None:
                assert stack is not None, "a paste on a plan without masks"
                paste_pixels(pixels, patch)
                stack.paste(number, time, patch)
        cv2.split(pixels, list(frames[time]))
    if stack is None:
        return render_boxes(plan, torch.from_numpy(frames), keep_absent)
    return stack.finish(torch.from_numpy(frames))


def render_frame(warper: FrameWarper, placement: Placement, time: int) -> Pixels:
    """Return frame `time` without pastes, (H, W, 3)."""
    matrix = placement.matrices[time]
    if is_upright(matrix):
        return render_upright(warper, placement, time)
    first = placement.canvases[0]
    pixels = warper.warp(time, matrix, placement.size, first.fill)
    for canvas in placement.cuts[time]:
        if canvas is not first:  # the source has blended into its border
            clear_outside(pixels, canvas, time, canvas.fill)
    return pixels


def render_upright(warper: FrameWarper, placement: Placement, time: int) -> Pixels:
    """Return a frame that is not rotated: warp the visible part of the source, fill the rest."""
    matrix, size = placement.matrices[time], placement.size
    cuts = placement.cuts[time]
    if not cuts:
        return warper.warp(time, matrix, size, 0)
    windows = np.array([upright_window(canvas.corners(time), size) for canvas in cuts])
    (left, top), (right, bottom) = windows[:, :2].max(axis=0), windows[:, 2:].min(axis=0)
    pixels = np.empty((*size, 3), np.uint8)
    for canvas in cuts:
        clear_outside(pixels, canvas, time, canvas.fill)
    if left < right and top < bottom:
        local = compose(translation(-left, -top), matrix)
        pixels[top:bottom, left:right] = warper.warp(time, local, (bottom - top, right - left), 0)
    return pixels


@dataclass(frozen=True, eq=False)
class Patch:
    """A pasted instance in one frame.

    Attributes:
        box: its part of the frame.
        mask: (h, w) of 0 and 1.
        pixels: (h, w, 3); those under the mask are pasted.
    """

    box: Box
    mask: Pixels
    pixels: Pixels


def cut_patch(warper: FrameWarper, paste: Paste, time: int) -> Patch | None:
    """Cut a pasted instance out of its source and move it; None if nothing of it is visible.

    The picture and the mask are warped separately (paper, eq. 1), the picture with what surrounds
    the instance, so the rim is not darkened.
    """
    moment = 0 if paste.masks.is_still else time
    box = paste.masks.boxes[paste.instance][moment]
    matrix, size = paste.placement.matrices[time], paste.placement.size
    target = moved_box(box, matrix, size)
    if target == EMPTY:
        return None
    x0, y0, x1, y1 = box
    mask = as_array(paste.masks.masks[paste.instance, moment])[y0:y1, x0:x1]
    moved = warp_part(np.ascontiguousarray(mask), (x0, y0), matrix, target)
    clear_canvases(moved, paste.placement, time, target)
    _, source = warper.source(time)
    margin = math.ceil(PATCH_MARGIN / min(mean_scale(matrix), 1.0)) + 1
    x0, y0 = max(x0 - margin, 0), max(y0 - margin, 0)
    picture = np.ascontiguousarray(source[y0 : y1 + margin, x0 : x1 + margin])
    local = compose(translation(-target[0], -target[1]), compose(matrix, translation(x0, y0)))
    target_size, left_over = shrunk((picture.shape[0], picture.shape[1]), local)
    if target_size != picture.shape[:2]:
        picture, local = resize(picture, target_size), left_over
    return Patch(target, moved, warp_linear(picture, local, moved.shape[:2], None))


def paste_pixels(pixels: Pixels, patch: Patch) -> None:
    """Set the pixels of a frame (H, W, 3) that a pasted instance covers, in place."""
    left, top, right, bottom = patch.box
    inside = patch.mask.view(np.bool_)[..., None]
    np.copyto(pixels[top:bottom, left:right], patch.pixels, where=inside)


class MaskStack:
    """The masks of a clip in the making: all sources at once, then the pastes, back to front.

    Sources without a pixel in any frame are dropped at once, which spares a copy of the rest.

    Args:
        plan: whose masks are made.
        sources: the masks of the plan.
        keep_absent: keep the sources that have no pixel.
    """

    def __init__(self, plan: Plan, sources: SourceMasks, keep_absent: bool) -> None:
        self._keep_absent = keep_absent
        shape = (len(sources) + len(plan.pastes), plan.num_frames)
        self._masks = np.zeros((*shape, *plan.placement.size), np.uint8)
        self._boxes = np.zeros((*shape, 4), np.int64)
        self._kept: list[int] = []
        for first in range(0, len(sources), MASKS_A_WARP):
            rows = range(first, min(first + MASKS_A_WARP, len(sources)))
            self._add_sources(sources, plan.placement, rows)
        self._first_paste = len(self._kept)
        self._kept += range(len(sources), shape[0])

    def _add_sources(self, sources: SourceMasks, placement: Placement, rows: range) -> None:
        warped = [
            packed and packed.warp(placement, time)
            for time, packed in enumerate(self._pack(sources, rows, len(placement.matrices)))
        ]
        for index, row in enumerate(rows):
            target = len(self._kept)
            for time, packed in enumerate(warped):
                box = sources.boxes[row][0 if sources.is_still else time]
                within = moved_box(box, placement.matrices[time], placement.size)
                if packed is not None:
                    result = self._masks[target, time]
                    self._boxes[target, time] = packed.unpack(index, within, result)
            if self._keep_absent or self._boxes[target].any():
                self._kept.append(row)

    @staticmethod
    def _pack(sources: SourceMasks, rows: range, num_frames: int) -> list[PackedMasks | None]:
        """Pack some masks of each source frame; T entries, the same T times for a still."""
        pixels = as_array(sources.masks[rows.start : rows.stop])
        packed: list[PackedMasks | None] = []
        for time in range(pixels.shape[1]):
            within = union_box(boxes[time] for boxes in sources.boxes)
            own = [sources.boxes[row][time] for row in rows]
            masks = list(pixels[:, time])
            packed.append(None if within == EMPTY else PackedMasks.pack(masks, own, within))
        return packed * num_frames if sources.is_still else packed

    def paste(self, number: int, time: int, patch: Patch) -> None:
        """Remove what a patch covers from the masks behind it, and add its own (paper, eq. 2)."""
        row = self._first_paste + number
        for behind in range(row):
            self._subtract(behind, time, patch)
        left, top, right, bottom = patch.box
        self._masks[row, time, top:bottom, left:right] = patch.mask
        self._boxes[row, time] = tight_box(self._masks[row, time], patch.box)

    def _subtract(self, row: int, time: int, patch: Patch) -> None:
        left, top, right, bottom = patch.box
        old = self._boxes[row, time].tolist()
        x0, y0 = max(old[0], left), max(old[1], top)
        x1, y1 = min(old[2], right), min(old[3], bottom)
        if x0 < x1 and y0 < y1:
            mask = self._masks[row, time]
            cover = patch.mask[y0 - top : y1 - top, x0 - left : x1 - left]
            mask[y0:y1, x0:x1] &= cover ^ 1
            self._boxes[row, time] = tight_box(mask, tuple(old))

    def finish(self, frames: Tensor) -> Rendered:
        """Return the clip, without the instances that have no pixel left."""
        num_rows = len(self._kept)
        masks = torch.from_numpy(self._masks[:num_rows]).view(torch.bool)
        boxes = torch.from_numpy(self._boxes[:num_rows]).float()
        kept = torch.tensor(self._kept, dtype=torch.int64)
        seen = (boxes[..., 2] > 0).any(dim=1)
        if not self._keep_absent and not seen.all():
            masks, boxes, kept = masks[seen], boxes[seen], kept[seen]
        return Rendered(frames, masks, boxes, kept)
