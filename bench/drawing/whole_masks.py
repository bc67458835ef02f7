"""Drawing by masks of the whole frame, as it was before masks were cut to their boxes.

Pictures must be as these are: `bench.drawing.times` and the tests of the overlay compare them.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from vidgap_vis.formats.images import Picture
from vidgap_vis.formats.rle import Rle
from vidgap_vis.video.overlay import track_colour

Box = tuple[int, int, int, int]
Colour = tuple[int, int, int]
Bools = npt.NDArray[np.bool_]

_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_tracks(
    frame: Picture,
    rles: Sequence[Rle],
    track_ids: Sequence[int],
    captions: Sequence[str],
    *,
    scale: int = 1,
    opacity: float = 0.45,
) -> Picture:
    """Return what `vidgap_vis.video.overlay.draw_tracks` returns, of the same arguments."""
    masks = np.zeros((len(rles), *frame.shape[:2]), np.bool_)
    for mask, rle in zip(masks, rles, strict=True):
        mask[:] = rle.decode()
    size = (scale * frame.shape[1], scale * frame.shape[0])
    canvas = cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC) if scale > 1 else frame.copy()
    boxes: dict[int, Box] = {}
    for index in np.argsort(-masks.sum(axis=(1, 2)), kind="stable"):
        large = cv2.resize(255 * masks[index].view(np.uint8), size) > 127
        if large.any():
            boxes[index] = paint(canvas, large, track_colour(track_ids[index]), opacity)
    taken: list[Box] = []
    for index, box in boxes.items():
        if captions[index]:
            colour = track_colour(track_ids[index])
            taken.append(label(canvas, captions[index], box, colour, taken))
    return canvas


def paint(canvas: Picture, mask: Bools, colour: Colour, opacity: float) -> Box:
    """Blend a mask (H, W) into the canvas in floating point and outline it; return its box."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    box = (slice(top, top + height), slice(left, left + width))
    inside, region = mask[box], canvas[box]
    region[inside] = (1 - opacity) * region[inside] + opacity * np.array(colour)
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    thickness = max(1, round(min(canvas.shape[:2]) / 600))
    cv2.drawContours(canvas, contours, -1, colour, thickness, cv2.LINE_AA)
    return left, top, left + width, top + height


def label(canvas: Picture, text: str, box: Box, colour: Colour, taken: Sequence[Box]) -> Box:
    """Write text on a patch of the track's colour; return the patch."""
    rows, columns = canvas.shape[:2]
    size = max(0.4, min(rows, columns) / 1500)
    thickness = max(1, round(size))
    (width, height), baseline = cv2.getTextSize(text, _FONT, size, thickness)
    width, height = width + 4, height + baseline + 2
    left = int(np.clip(box[0], 0, max(0, columns - width)))
    tops = [box[1] - height, box[3], box[1], *range(0, rows - height, height)]
    patches = [(left, t, left + width, t + height) for t in tops if 0 <= t <= rows - height]
    free = (patch for patch in patches if not any(overlap(patch, other) for other in taken))
    patch = next(free, (left, 0, left + width, height))
    cv2.rectangle(canvas, patch[:2], (patch[2] - 1, patch[3] - 1), colour, cv2.FILLED)
    ink = (0, 0, 0) if np.dot(colour, (0.299, 0.587, 0.114)) > 140 else (255, 255, 255)
    origin = (patch[0] + 2, patch[3] - baseline - 1)
    cv2.putText(canvas, text, origin, _FONT, size, ink, thickness, cv2.LINE_AA)
    return patch


def overlap(one: Box, other: Box) -> bool:
    """Say whether two boxes share a pixel."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
