"""Boxes of detections, (N, 4): centre x, centre y, width, height, in any one unit."""

from __future__ import annotations

import numpy as np

from vidgap_vis.native import extension
from vidgap_vis.trackers.bits import first_come
from vidgap_vis.trackers.detections import Bools, Floats, Ints


def boxes_of_masks(masks: Bools) -> Floats:
    """Return the boxes of masks (N, h, w), as shares of h and w, (N, 4) float32; 0 of empty ones.

    They are as wide as the cells that they touch.
    """
    bounds = _bounds(masks)
    parts = []
    for (first, last), length in zip(bounds.T.reshape(2, 2, -1), masks.shape[1:], strict=True):
        scale = max(length, 1)
        parts.append(((first + last) / (2 * scale), (last - first) / scale))
    (centre_y, tall), (centre_x, wide) = parts
    return np.stack([centre_x, centre_y, wide, tall], axis=1).astype(np.float32)


def _bounds(masks: Bools) -> Ints:
    """Return top, bottom, left and right of masks (N, h, w), (N, 4), the even ones exclusive."""
    native = extension(warns=False)
    if native is None:
        return _bounds_in_numpy(masks)
    cells = np.ascontiguousarray(masks)
    bounds = np.empty((len(cells), 4), np.int64)
    native.bounds(cells.ctypes.data, *cells.shape, bounds.ctypes.data)
    return bounds


def _bounds_in_numpy(masks: Bools) -> Ints:
    """Return the same, where nothing is compiled."""
    bounds = np.zeros((len(masks), 4), np.int64)
    for axis, (first, last) in ((2, (0, 1)), (1, (2, 3))):
        along: Bools = np.asarray(masks.any(axis=axis))  # (N, h) or (N, w)
        filled = np.flatnonzero(along.any(axis=1))
        if len(filled):  # there may be no cell to look among
            bounds[filled, first] = along[filled].argmax(axis=1)
            bounds[filled, last] = along.shape[1] - along[filled, ::-1].argmax(axis=1)
    return bounds


def box_iou(first: Floats, second: Floats, offset: float = 0.0) -> Floats:
    """Return the IoU of each pair of boxes, (N, 4) and (M, 4) -> (N, M); 0 of two empty ones.

    Args:
        first, second: the boxes.
        offset: what widths and heights are counted larger by; 1 for boxes of whole pixels whose
            corners are both inside.
    """
    sides: list[Floats] = []
    for axis in (0, 1):
        (low, high), (other_low, other_high) = (
            (boxes[:, axis] - boxes[:, 2 + axis] / 2, boxes[:, axis] + boxes[:, 2 + axis] / 2)
            for boxes in (first, second)
        )
        extent: Floats = np.minimum.outer(high, other_high) - np.maximum.outer(low, other_low)
        sides.append(np.maximum(extent + offset, 0))
    shared = sides[0] * sides[1]
    areas, other_areas = (np.prod(boxes[:, 2:] + offset, axis=1) for boxes in (first, second))
    union = np.add.outer(areas, other_areas) - shared
    iou: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou


def without_duplicate_boxes(boxes: Floats, labels: Ints, iou: float) -> Ints:
    """Return which boxes, in their order, do not overlap a kept one of their class by more.

    Args:
        boxes: (N, 4), the best first.
        labels: (N,), their classes.
        iou: the largest IoU with one that is kept.
    """
    over = (box_iou(boxes, boxes) > iou) & (labels[:, None] == labels)
    return first_come(over)
