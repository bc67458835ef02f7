"""Draw tracks onto frames: each in its colour, with a contour and a small label."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from vidgap_vis.formats.images import Picture

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]  # left, top, right, bottom

_GOLDEN = (5**0.5 - 1) / 2
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def track_colour(track_id: int) -> Colour:
    """Return the RGB colour of a track, always the same one; near ids differ much in hue."""
    hue = track_id * _GOLDEN % 1
    saturation, value = ((0.85, 1.0), (0.55, 1.0), (0.9, 0.75))[track_id // 5 % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def display_scale(size: tuple[int, int], min_short_edge: int) -> int:
    """Return the least whole factor that brings the short edge of (H, W) to `min_short_edge`."""
    return max(1, -(-min_short_edge // min(size)))


def draw_tracks(
    frame: Picture,
    masks: npt.NDArray[np.bool_],
    track_ids: Sequence[int],
    captions: Sequence[str],
    *,
    scale: int = 1,
    opacity: float = 0.45,
) -> Picture:
    """Return a copy of the frame with masks, contours and labels.

    Args:
        frame: (H, W, 3), RGB.
        masks: (N, H, W) bool. Smaller masks are drawn over larger ones.
        track_ids: (N,), which give the colours.
        captions: (N,), drawn beside each mask that has a pixel; "" draws none.
        scale: enlarge the picture by this factor first, so that labels fit small frames.
        opacity: of the masks' colour, 0..1.

    Returns:
        (scale * H, scale * W, 3) RGB.
    """
    if masks.shape[1:] != frame.shape[:2] or not len(masks) == len(track_ids) == len(captions):
        raise ValueError(
            f"masks must be (N, {frame.shape[0]}, {frame.shape[1]}) with N ids and captions, got "
            f"{masks.shape}, {len(track_ids)} and {len(captions)}"
        )
    size = (scale * frame.shape[1], scale * frame.shape[0])
    canvas = cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC) if scale > 1 else frame.copy()
    order = np.argsort(-masks.sum(axis=(1, 2)), kind="stable")
    boxes: dict[int, Box] = {}
    for index in order:
        mask = cv2.resize(255 * masks[index].view(np.uint8), size) > 127
        if mask.any():
            boxes[index] = _paint(canvas, mask, track_colour(track_ids[index]), opacity)
    taken: list[Box] = []
    for index, box in boxes.items():
        if captions[index]:
            taken.append(
                _label(canvas, captions[index], box, track_colour(track_ids[index]), taken)
            )
    return canvas


def _paint(canvas: Picture, mask: npt.NDArray[np.bool_], colour: Colour, opacity: float) -> Box:
    """Blend a mask into the canvas and outline it; return its bounding box."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    box = (slice(top, top + height), slice(left, left + width))
    inside, region = mask[box], canvas[box]
    region[inside] = (1 - opacity) * region[inside] + opacity * np.array(colour)
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    thickness = max(1, round(min(canvas.shape[:2]) / 600))
    cv2.drawContours(canvas, contours, -1, colour, thickness, cv2.LINE_AA)
    return left, top, left + width, top + height


def _label(canvas: Picture, text: str, box: Box, colour: Colour, taken: Sequence[Box]) -> Box:
    """Write text on a patch of the track's colour, clear of earlier labels if possible."""
    rows, columns = canvas.shape[:2]
    size = max(0.4, min(rows, columns) / 1500)
    thickness = max(1, round(size))
    (width, height), baseline = cv2.getTextSize(text, _FONT, size, thickness)
    width, height = width + 4, height + baseline + 2
    left = int(np.clip(box[0], 0, max(0, columns - width)))
    tops = [box[1] - height, box[3], box[1], *range(0, rows - height, height)]
    patches = [(left, t, left + width, t + height) for t in tops if 0 <= t <= rows - height]
    free = (patch for patch in patches if not any(_overlap(patch, other) for other in taken))
    patch = next(free, (left, 0, left + width, height))
    cv2.rectangle(canvas, patch[:2], (patch[2] - 1, patch[3] - 1), colour, cv2.FILLED)
    bright = np.dot(colour, (0.299, 0.587, 0.114)) > 140
    ink = (0, 0, 0) if bright else (255, 255, 255)
    origin = (patch[0] + 2, patch[3] - baseline - 1)
    cv2.putText(canvas, text, origin, _FONT, size, ink, thickness, cv2.LINE_AA)
    return patch


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
