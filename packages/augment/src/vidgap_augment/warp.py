"""One frame or mask through one matrix, with OpenCV and torchvision, in CPU memory.

Frames are bilinear, and antialiased where they shrink; masks take the nearest source pixel. A
placement that moves whole pixels copies them, one that only scales resizes; the rest is one
`cv2.warpAffine`. `clear_outside` fills what lies outside of a canvas.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from vidgap_augment.frames import Pixels, interleaved
from vidgap_augment.geometry import (
    EMPTY,
    EXACT,
    Box,
    Canvas,
    Matrix,
    Points,
    Size,
    compose,
    inverse,
    is_upright,
    mirroring,
    move_points,
    moved_box,
    scaling,
    shrunk,
    translation,
)

HALF = translation(0.5, 0.5)
MINUS_HALF = translation(-0.5, -0.5)


class FrameWarper:
    """Warps source frames; caches shrunk ones, as all frames of a still need the same.

    Args:
        frames: (S, 3, H, W) uint8 on the CPU; S is 1 for a still, else T.
    """

    def __init__(self, frames: Tensor) -> None:
        self._frames = frames
        self._pixels: dict[int, Pixels] = {}
        self._shrunk: dict[tuple[int, Size], Pixels] = {}

    def source(self, time: int) -> tuple[int, Pixels]:
        """Return the index and the pixels (H, W, 3) of the source of frame `time`."""
        index = min(time, len(self._frames) - 1)
        if index not in self._pixels:
            self._pixels[index] = interleaved(self._frames[index])
        return index, self._pixels[index]

    def warp(self, time: int, matrix: Matrix, size: Size, border: int) -> Pixels:
        """Return frame `time` moved by `matrix`, (H, W, 3) of `size`, in new memory.

        Args:
            time: frame.
            matrix: (2, 3), source -> result.
            size: (H, W) of the result.
            border: grey level that a rotated source blends into; upright ones repeat their edge.
        """
        index, pixels = self.source(time)
        if not is_upright(matrix):
            pixels, matrix = self._shrink(index, pixels, matrix)
            return warp_turned(pixels, matrix, size, border)
        if matrix[0, 0] < 0:
            mirrored = compose(mirroring(size[1]), matrix)
            return cv2.flip(self.warp(time, mirrored, size, border), 1)
        if matrix[1, 1] < 0:
            upside = compose(compose(translation(0.0, size[0]), scaling(1.0, -1.0)), matrix)
            return cv2.flip(self.warp(time, upside, size, border), 0)
        return self._warp_upright(index, pixels, matrix, size)

    def _warp_upright(self, index: int, pixels: Pixels, matrix: Matrix, size: Size) -> Pixels:
        """Scale and shift, where possible by a resize of the whole or of a window."""
        window = whole_window(matrix, size, pixels.shape)
        if window is not None:  # a crop, then a resize to just this size
            left, top, right, bottom = window
            part = pixels[top:bottom, left:right]
            return part.copy() if part.shape[:2] == size else resize(part, size)
        height, width = pixels.shape[0] * matrix[1, 1], pixels.shape[1] * matrix[0, 0]
        whole = (round(height), round(width))
        is_whole = max(abs(height - whole[0]), abs(width - whole[1])) < EXACT
        small = whole[0] * whole[1] <= 2 * size[0] * size[1] or max(matrix[0, 0], matrix[1, 1]) <= 1
        if is_whole and is_integer(matrix[:, 2]) and small and min(whole) >= 2:
            resized = self._resized(index, pixels, whole)
            return shifted(resized, round(matrix[0, 2]), round(matrix[1, 2]), size)
        pixels, matrix = self._shrink(index, pixels, matrix)
        return warp_linear(pixels, matrix, size, None)

    def _shrink(self, index: int, pixels: Pixels, matrix: Matrix) -> tuple[Pixels, Matrix]:
        """Shrink a source as far as a matrix does; return it and the matrix for the rest."""
        height, width = pixels.shape[:2]
        target, left_over = shrunk((height, width), matrix)
        if target == (height, width):
            return pixels, matrix
        return self._resized(index, pixels, target), left_over

    def _resized(self, index: int, pixels: Pixels, size: Size) -> Pixels:
        key = (index, size)
        if key not in self._shrunk:
            self._shrunk[key] = resize(pixels, size)
        return self._shrunk[key]


def warp_turned(pixels: Pixels, matrix: Matrix, size: Size, border: int) -> Pixels:
    """Warp bilinearly the part of the result that the source reaches; fill the rest."""
    height, width = pixels.shape[:2]
    # A pixel more on each side: there the source blends into the border.
    left, top, right, bottom = moved_box((-1, -1, width + 1, height + 1), matrix, size)
    if (left, top, right, bottom) == (0, 0, size[1], size[0]):
        return warp_linear(pixels, matrix, size, border)
    result = np.full((*size, 3), border, np.uint8)
    if right:
        local = compose(translation(-left, -top), matrix)
        part = warp_linear(pixels, local, (bottom - top, right - left), border)
        result[top:bottom, left:right] = part
    return result


def warp_linear(pixels: Pixels, matrix: Matrix, size: Size, border: int | None) -> Pixels:
    """Warp bilinearly; outside is the grey level `border`, or with None the repeated edge."""
    mode = cv2.BORDER_REPLICATE if border is None else cv2.BORDER_CONSTANT
    return cv2.warpAffine(
        pixels, to_opencv(matrix), size[::-1], flags=cv2.INTER_LINEAR, borderMode=mode,
        borderValue=(border or 0,) * 4,
    )  # fmt: skip


def warp_part(pixels: Pixels, origin: tuple[int, int], matrix: Matrix, target: Box) -> Pixels:
    """Warp a part of a picture to the nearest source pixel; 0 outside of it.

    Args:
        pixels: (h, w) or (h, w, C), the part of the source whose first pixel is at `origin`.
        origin: (x, y).
        matrix: (2, 3), source -> result.
        target: the part of the result to make.
    """
    left, top, right, bottom = target
    local = compose(translation(-left, -top), compose(matrix, translation(*origin)))
    size = (right - left, bottom - top)
    return cv2.warpAffine(pixels, to_opencv(local), size, flags=cv2.INTER_NEAREST)


def resize(pixels: Pixels, size: Size) -> Pixels:
    """Resize (H, W, 3) bilinearly, antialiased where it shrinks, to (H, W) `size`.

    Neither side of the result may be 1 where that side shrinks: torch 2.14 gives wrong pixels for
    antialiased results one column wide.
    """
    planes = torch.from_numpy(pixels).permute(2, 0, 1)
    resized = F.resize(planes, list(size), InterpolationMode.BILINEAR, antialias=True)
    return interleaved(resized)


def shifted(pixels: Pixels, right: int, down: int, size: Size) -> Pixels:
    """Copy (H, W, 3) to a canvas of `size`, `right` and `down` by whole pixels; 0 elsewhere."""
    result = np.zeros((*size, *pixels.shape[2:]), np.uint8)
    height, width = pixels.shape[:2]
    top, left = max(down, 0), max(right, 0)
    bottom, end = min(down + height, size[0]), min(right + width, size[1])
    if top < bottom and left < end:
        result[top:bottom, left:end] = pixels[
            top - down : bottom - down, left - right : end - right
        ]
    return result


def whole_window(matrix: Matrix, size: Size, shape: tuple[int, ...]) -> Box | None:
    """Return the window of whole source pixels that exactly fills a result of `size`, or None."""
    corners = move_points(inverse(matrix), [(0.0, 0.0), (size[1], size[0])])
    if not is_integer(corners):
        return None
    (left, top), (right, bottom) = corners.round().astype(int).tolist()
    inside = left >= 0 and top >= 0 and right <= shape[1] and bottom <= shape[0]
    return (left, top, right, bottom) if inside else None


def is_integer(values: Points) -> bool:
    """Return whether all values are whole numbers, up to rounding errors."""
    return bool(np.all(np.abs(values - np.round(values)) < EXACT))


def to_opencv(matrix: Matrix) -> Matrix:
    """Convert a matrix to OpenCV's points, where the centre of the first pixel is (0, 0)."""
    return compose(MINUS_HALF, compose(matrix, HALF))


def bounding_box(mask: Pixels) -> Box:
    """Return the box of the non-zero pixels of (H, W) uint8, or `EMPTY`."""
    if mask.flags.c_contiguous and mask.shape[1] % 8 == 0 and mask.size:
        # Eight pixels at a time find the rows, twice as fast as OpenCV finds all four sides.
        rows = np.flatnonzero(mask.view(np.uint64).max(axis=1))
        if len(rows) == 0:
            return EMPTY
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        left, _, width, _ = cv2.boundingRect(mask[top:bottom])
        return (left, top, left + width, bottom)
    left, top, width, height = cv2.boundingRect(mask)
    return (left, top, left + width, top + height) if width else EMPTY


def clear_outside(
    pixels: Pixels, canvas: Canvas, time: int, fill: int, origin: tuple[int, int] = (0, 0)
) -> None:
    """Set the pixels outside of a canvas to `fill`, in place.

    Upright canvases are exact. Rotated ones are cut by OpenCV's polygons, which may be a pixel off
    along the edge, the same for frames and masks.

    Args:
        pixels: (h, w) or (h, w, C), the part of the final canvas that starts at `origin`.
        canvas: the pixels inside are kept.
        time: frame.
        fill: 0..255, in all channels.
        origin: (x, y) of the first pixel.
    """
    corners = canvas.corners(time) - np.asarray(origin, dtype=np.float64)
    height, width = pixels.shape[:2]
    if is_upright(canvas.matrices[time]):
        left, top, right, bottom = upright_window(corners, (height, width))
        pixels[:top] = fill
        pixels[bottom:] = fill
        pixels[top:bottom, :left] = fill
        pixels[top:bottom, right:] = fill
        return
    rectangle = np.array([(0, 0), (width, 0), (width, height), (0, height)], dtype=np.float64)
    inward = 1.0 if _area(corners) > 0 else -1.0
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        along = end - start
        length = math.hypot(*along)
        normal = inward * np.array([-along[1], along[0]]) / max(length, 1e-12)
        # OpenCV draws the outline too, half a pixel wide: start that far outside.
        piece = _cut(rectangle, start - 0.5 * normal, -normal)
        if len(piece) >= 3:
            points = np.round((piece - 0.5) * 256).astype(np.int32)
            cv2.fillConvexPoly(pixels, points, (fill,) * 4, shift=8)


def upright_window(corners: Points, size: Size) -> Box:
    """Return the pixels whose centres lie within upright corners (4, 2), on a part of `size`."""
    start, end = corners.min(axis=0), corners.max(axis=0)
    # A pixel i is inside where its centre i + 0.5 is.
    first = np.ceil(start - 0.5 - EXACT).astype(int)
    last = np.ceil(end - 0.5 - EXACT).astype(int)
    left, top = np.clip(first, 0, size[::-1]).tolist()
    right, bottom = np.clip(last, (left, top), size[::-1]).tolist()
    return left, top, right, bottom


def _area(points: Points) -> float:
    x, y = points[:, 0], points[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


def _cut(polygon: Points, point: Points, normal: Points) -> Points:
    """Return the part of a convex polygon (M, 2) on the side of a line that `normal` points to."""
    heights = (polygon - point) @ normal
    kept: list[Points] = []
    for index, height in enumerate(heights):
        following = (index + 1) % len(polygon)
        if height >= 0:
            kept.append(polygon[index])
        if (height >= 0) != (heights[following] >= 0):
            share = height / (height - heights[following])
            kept.append(polygon[index] + share * (polygon[following] - polygon[index]))
    return np.array(kept).reshape(-1, 2)
