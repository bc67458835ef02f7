"""Boxes of detections, (N, 4): centre x, centre y, width, height, in any one unit."""

from __future__ import annotations

import numpy as np

from vidgap_vis.trackers.bits import first_come
from vidgap_vis.trackers.detections import Bools, Floats, Ints


def boxes_of_masks(masks: Bools) -> Floats:
    """Return the boxes of masks (N, h, w), as shares of h and w, (N, 4) float32; 0 of empty ones.

    They are as wide as the cells that they touch.
    """
    width = masks.shape[2]
    padding = -width % 8  # cells are read in words of eight
    cells = (
        np.pad(masks, ((0, 0), (0, 0), (0, padding))) if padding else np.ascontiguousarray(masks)
    )
    words = cells.view(np.uint64)  # (N, h, words)
    rows: Bools = np.asarray(words.any(axis=2))  # (N, h)
    columns: Bools = np.bitwise_or.reduce(words, axis=1).view(np.bool_)[:, :width]
    parts = []
    for along in (rows, columns):
        length = along.shape[1]
        first = along.argmax(axis=1) if length else np.zeros(len(masks), np.int64)
        last = length - (along[:, ::-1].argmax(axis=1) if length else first)  # exclusive
        empty = ~along.any(axis=1)
        first, last = np.where(empty, 0, first), np.where(empty, 0, last)
        scale = max(length, 1)
        parts.append(((first + last) / (2 * scale), (last - first) / scale))
    (centre_y, tall), (centre_x, wide) = parts
    return np.stack([centre_x, centre_y, wide, tall], axis=1).astype(np.float32)


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
