"""Masks cut out of their frames: run lengths are decoded inside their boxes alone."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vidgap_vis.formats.rle import Rle, Size
from vidgap_vis.native import extension


@dataclass(frozen=True)
class BoxedMask:
    """The part of a mask inside the least box that holds it.

    Attributes:
        left, top: where the box begins in the frame, in pixels.
        pixels: (h, w) bool; (0, 0) of an empty mask.
        area: how many of them are inside the mask.
    """

    left: int
    top: int
    pixels: npt.NDArray[np.bool_]
    area: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom, the last two exclusive."""
        height, width = self.pixels.shape
        return self.left, self.top, self.left + width, self.top + height

    @classmethod
    def of(cls, rle: Rle) -> BoxedMask:
        """Decode a mask inside its box alone.

        Raises:
            ValueError: the counts are malformed.
        """
        native = extension(warns=False)
        if native is None or rle.size[0] * rle.size[1] > native.MOST_PIXELS:
            return cls._of_run_lengths(rle)
        found = native.boxed(rle.counts, *rle.size)
        if found is None:
            return cls._of_run_lengths(rle)  # which says what is wrong
        area, left, top, width, height, columns = found
        if area == 0:
            return cls(0, 0, np.zeros((0, 0), np.bool_), 0)
        pixels = cv2.transpose(np.frombuffer(columns, np.uint8).reshape(width, height))
        return cls(left, top, pixels.view(np.bool_), area)

    @classmethod
    def _of_run_lengths(cls, rle: Rle) -> BoxedMask:
        """Compute the same in NumPy: the reference, and the way where nothing is compiled."""
        height = rle.size[0]
        bounds = np.cumsum(rle.run_lengths())
        begins, ends = bounds[:-1:2], bounds[1::2]
        begins, ends = begins[begins < ends], ends[begins < ends]
        if len(begins) == 0:
            return cls(0, 0, np.zeros((0, 0), np.bool_), 0)
        first, last = begins[0] // height, (ends[-1] - 1) // height
        steps = np.zeros((last + 1 - first) * height + 1, np.int8)
        steps[begins - first * height] += 1
        steps[ends - first * height] -= 1
        columns = np.cumsum(steps[:-1], dtype=np.int8).view(np.bool_).reshape(-1, height)
        rows = np.flatnonzero(columns.any(axis=0))
        pixels = np.ascontiguousarray(columns[:, rows[0] : rows[-1] + 1].T)
        return cls(int(first), int(rows[0]), pixels, int((ends - begins).sum()))

    def enlarged(self, scale: int, size: Size) -> BoxedMask:
        """Return the mask in the frame of `size` (H, W) enlarged by a whole factor.

        It is what the whole frame's mask would become, interpolated and rounded; not for an empty
        one.
        """
        rows, columns = self.pixels.shape
        # A pixel around the box, where the frame has one: further ones change nothing.
        around = (
            min(self.top, 1),
            min(size[0] - self.top - rows, 1),
            min(self.left, 1),
            min(size[1] - self.left - columns, 1),
        )
        inner = cv2.copyMakeBorder(
            255 * self.pixels.astype(np.uint8), *around, cv2.BORDER_CONSTANT, value=0
        )
        large = cv2.resize(inner, (scale * inner.shape[1], scale * inner.shape[0])) > 127
        left, top, width, height = cv2.boundingRect(large.view(np.uint8))
        return BoxedMask(
            scale * (self.left - around[2]) + left,
            scale * (self.top - around[0]) + top,
            large[top : top + height, left : left + width],
            int(np.count_nonzero(large)),
        )
