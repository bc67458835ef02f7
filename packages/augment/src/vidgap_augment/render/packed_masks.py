"""Many masks in one warp, as the bits of a picture.

A nearest-pixel warp does not mix values, so eight masks share a channel as its bits: up to 32 in
one call of `cv2.warpAffine`, which takes about as long for four channels as for one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vidgap_augment.frames import Pixels
from vidgap_augment.geometry import EMPTY, Box, Placement, moved_box
from vidgap_augment.warp import (
    bounding_box,
    clear_outside,
    warp_part,
)

BITS = 8
MASKS_A_WARP = 4 * BITS
"""Four channels are the most for which OpenCV documents a constant border."""


@dataclass(frozen=True, eq=False)
class PackedMasks:
    """Up to 32 masks: mask i is bit i % 8 of plane i // 8.

    Attributes:
        box: the part of the picture in the planes; outside of it all masks are empty.
        planes: one to four, (h, w) uint8 each.
    """

    box: Box
    planes: tuple[Pixels, ...]

    @classmethod
    def pack(cls, masks: Sequence[Pixels], boxes: Sequence[Box], within: Box) -> PackedMasks:
        """Pack masks (H, W) of 0 and 1 with their boxes, which all lie `within` a box.

        OpenCV's rounding depends on where a picture starts: packs of one frame must have the same
        `within`, or disjoint masks may overlap by a pixel.
        """
        left, top, right, bottom = within
        planes = np.zeros((-(-len(boxes) // BITS), bottom - top, right - left), np.uint8)
        for index, (mask, (x0, y0, x1, y1)) in enumerate(zip(masks, boxes, strict=True)):
            if x0 < x1:
                part = planes[index // BITS, y0 - top : y1 - top, x0 - left : x1 - left]
                part |= mask[y0:y1, x0:x1] << np.uint8(index % BITS)
        return cls(within, tuple(planes))

    def warp(self, placement: Placement, time: int) -> PackedMasks | None:
        """Return the masks in frame `time`; None if nothing of them is visible."""
        if placement.is_start:
            return self
        matrix = placement.matrices[time]
        target = moved_box(self.box, matrix, placement.size)
        if target == EMPTY:
            return None
        together = cv2.merge(self.planes) if len(self.planes) > 1 else self.planes[0]
        moved = warp_part(together, self.box[:2], matrix, target)
        clear_canvases(moved, placement, time, target)
        return PackedMasks(target, tuple(cv2.split(moved)))

    def unpack(self, index: int, within: Box, result: Pixels) -> Box:
        """Write mask `index` into `result`, (H, W) of zeros; return its box.

        Args:
            index: of the mask.
            within: a box around the mask.
            result: gets 0 and 1 there.
        """
        left, top, right, bottom = self.box
        x0, y0 = max(within[0], left), max(within[1], top)
        x1, y1 = min(within[2], right), min(within[3], bottom)
        if x0 >= x1 or y0 >= y1:
            return EMPTY
        bits = self.planes[index // BITS][y0 - top : y1 - top, x0 - left : x1 - left]
        here = result[y0:y1, x0:x1]
        np.not_equal(bits & np.uint8(1 << index % BITS), 0, out=here.view(np.bool_))
        return tight_box(result, (x0, y0, x1, y1))


def union_box(boxes: Iterable[Box]) -> Box:
    """Return the box around boxes; `EMPTY` where all are."""
    some = [box for box in boxes if box != EMPTY]
    if not some:
        return EMPTY
    lefts, tops, rights, bottoms = zip(*some, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def tight_box(mask: Pixels, within: Box) -> Box:
    """Return the box of a mask (H, W) without pixels outside of `within`."""
    x0, y0, x1, y1 = within
    if x0 >= x1 or y0 >= y1:
        return EMPTY
    left, top, right, bottom = bounding_box(mask[y0:y1, x0:x1])
    return (left + x0, top + y0, right + x0, bottom + y0) if right else EMPTY


def clear_canvases(moved: Pixels, placement: Placement, time: int, target: Box) -> None:
    """Empty masks, in place, outside of the canvases that a placement passed.

    The first is the source, outside of which a nearest-pixel warp gives 0.
    """
    for canvas in placement.cuts[time]:
        if canvas is not placement.canvases[0]:
            clear_outside(moved, canvas, time, 0, target[:2])
