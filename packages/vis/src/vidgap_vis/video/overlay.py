"""Draw tracks onto frames: each in its colour, with a contour and a small label."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

import cv2
import numpy as np
import numpy.typing as npt

from vidgap_vis.formats.images import Picture
from vidgap_vis.formats.rle import Rle
from vidgap_vis.video.boxed_masks import BoxedMask

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]  # left, top, right, bottom
Point = tuple[float, float]  # x, y, in pixels of the frame

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
    rles: Sequence[Rle],
    track_ids: Sequence[int],
    captions: Sequence[str],
    *,
    scale: int = 1,
    opacity: float = 0.45,
    masks: bool = True,
    boxes: bool = False,
    trails: Sequence[Sequence[Point]] = (),
) -> Picture:
    """Return a copy of the frame with masks, contours and labels.

    No mask is decoded outside its box.

    Args:
        frame: (H, W, 3), RGB.
        rles: N masks of size (H, W). Smaller ones are drawn over larger ones.
        track_ids: (N,), which give the colours.
        captions: (N,), drawn beside each mask that has a pixel; "" draws none.
        scale: enlarge the picture by this factor first, so that labels fit small frames.
        opacity: of the masks' colour, 0..1.
        masks: draw masks and contours.
        boxes: draw the boxes around the masks.
        trails: (N,) lines of points to draw, or none at all.

    Returns:
        (scale * H, scale * W, 3) RGB.

    Raises:
        ValueError: a mask has another size or malformed counts, or ids or captions are not N.
    """
    size = (frame.shape[0], frame.shape[1])
    if not len(rles) == len(track_ids) == len(captions):
        raise ValueError(
            f"rles, track_ids and captions must be of one length, got {len(rles)}, "
            f"{len(track_ids)} and {len(captions)}"
        )
    other = next((rle.size for rle in rles if rle.size != size), size)
    if other != size:
        raise ValueError(f"rles must have the frame's size {size}, got {other}")
    large = (scale * size[1], scale * size[0])
    canvas = cv2.resize(frame, large, interpolation=cv2.INTER_CUBIC) if scale > 1 else frame.copy()
    shapes = [BoxedMask.of(rle) for rle in rles]
    colours = [track_colour(track_id) for track_id in track_ids]
    around: dict[int, Box] = {}
    for index in sorted(range(len(shapes)), key=lambda index: -shapes[index].area):
        if shapes[index].area:
            shape = shapes[index] if scale == 1 else shapes[index].enlarged(scale, size)
            if masks:
                _paint(canvas, shape, colours[index], opacity)
            around[index] = shape.box
    thickness = _thickness(canvas)
    for index, box in around.items() if boxes else ():
        corner = (box[2] - 1, box[3] - 1)
        cv2.rectangle(canvas, box[:2], corner, colours[index], thickness)
    for trail, colour in zip(trails, colours, strict=True) if trails else ():
        line = np.round(scale * np.array(trail).reshape(-1, 1, 2)).astype(np.int32)
        cv2.polylines(canvas, [line], isClosed=False, color=colour, thickness=2 * thickness)
    taken: list[Box] = []
    for index, box in around.items():
        if captions[index]:
            taken.append(_label(canvas, captions[index], box, colours[index], taken))
    return canvas


def _paint(canvas: Picture, mask: BoxedMask, colour: Colour, opacity: float) -> None:
    """Blend a mask into the canvas and outline it."""
    left, top, right, bottom = mask.box
    region, inside = canvas[top:bottom, left:right], mask.pixels.view(np.uint8)
    cv2.copyTo(cv2.LUT(region, _blended(colour, opacity)), inside, region)
    contours, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE, offset=(left, top))
    cv2.drawContours(canvas, contours, -1, colour, _thickness(canvas), cv2.LINE_AA)


def _thickness(canvas: Picture) -> int:
    """Return the width of lines that a picture's size wants."""
    return max(1, round(min(canvas.shape[:2]) / 600))


@lru_cache(maxsize=1024)
def _blended(colour: Colour, opacity: float) -> npt.NDArray[np.uint8]:
    """Return what each grey level of a channel becomes under a colour, (1, 256, 3)."""
    levels = np.arange(256)[:, None]
    return ((1 - opacity) * levels + opacity * np.array(colour)).astype(np.uint8)[None]


def _label(canvas: Picture, text: str, box: Box, colour: Colour, taken: Sequence[Box]) -> Box:
    """Write text on a patch of the track's colour, clear of earlier labels if possible."""
    rows, columns = canvas.shape[:2]
    size = max(0.4, min(rows, columns) / 1500)
    thickness = max(1, round(size))
    (width, height), baseline = cv2.getTextSize(text, _FONT, size, thickness)
    width, height = width + 4, height + baseline + 2
    left = max(0, min(box[0], columns - width))
    beside = [other for other in taken if other[0] < left + width and left < other[2]]
    tops = chain((box[1] - height, box[3], box[1]), range(0, rows - height, height))
    free = (
        top
        for top in tops
        if 0 <= top <= rows - height
        and not any(other[1] < top + height and top < other[3] for other in beside)
    )
    top = next(free, 0)
    patch = (left, top, left + width, top + height)
    cv2.rectangle(canvas, patch[:2], (patch[2] - 1, patch[3] - 1), colour, cv2.FILLED)
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140
    ink = (0, 0, 0) if bright else (255, 255, 255)
    origin = (patch[0] + 2, patch[3] - baseline - 1)
    cv2.putText(canvas, text, origin, _FONT, size, ink, thickness, cv2.LINE_AA)
    return patch
