"""Tracks as MOTS text files have them (Voigtlaender et al., CVPR 2019): a line a mask.

A line is `frame id class_id height width rle`. Masks of a frame do not overlap: of two tracks, the
one with the better score has the pixels that both show.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

import numpy as np
from pycocotools import mask as coco_mask

from vidgap_vis.formats.mask_spool import SpooledMask
from vidgap_vis.formats.rle import Rle


def mots_lines(masks: Iterable[SpooledMask]) -> Iterator[str]:
    """Yield the lines of a video.

    Args:
        masks: frame by frame, in each the best score first; `label` is the class's id.
    """
    for frame, rows in groupby(masks, key=lambda row: row.frame):
        kept = apart(list(rows))
        for row in sorted(kept, key=lambda row: row.track):
            height, width = row.mask.size
            yield f"{frame} {row.track} {row.label} {height} {width} {row.mask.counts}"


def apart(rows: list[SpooledMask]) -> Iterator[SpooledMask]:
    """Yield the tracks of a frame without the pixels of those before, if any pixel is left."""
    dicts = [row.mask.to_dict() for row in rows]
    boxes = coco_mask.toBbox(dicts) if dicts else np.zeros((0, 4))
    for index, row in enumerate(rows):
        before = [other for other in range(index) if overlap(boxes[other], boxes[index])]
        if not before:
            yield row
            continue
        left = row.mask.decode()
        for other in before:
            left &= ~rows[other].mask.decode()
        if left.any():
            yield replace(row, mask=Rle.encode(left))


def overlap(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether two boxes (x, y, width, height) share a pixel."""
    low = np.maximum(one[:2], other[:2])
    high = np.minimum(one[:2] + one[2:], other[:2] + other[2:])
    return bool((low < high).all())
