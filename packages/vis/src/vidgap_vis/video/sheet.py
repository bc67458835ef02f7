"""Sheets of pictures: frames side by side, strips below one another, as one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from vidgap_vis.files import replacing
from vidgap_vis.formats.images import Picture

MARGIN = 4
CAPTION_HEIGHT = 18
WHITE = 255


def strip(frames: Sequence[Picture]) -> Picture:
    """Set frames (H, W, 3) of one height side by side."""
    margins = ((0, 0), (0, MARGIN), (0, 0))
    return np.concatenate([np.pad(f, margins, constant_values=WHITE) for f in frames], axis=1)


def captioned(text: str, width: int) -> Picture:
    """Return a strip with a line of text, black on white."""
    line = np.full((CAPTION_HEIGHT, width, 3), WHITE, np.uint8)
    origin = (2, CAPTION_HEIGHT - 5)
    cv2.putText(line, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return line


def write_sheet(path: Path, groups: Sequence[Sequence[Picture]]) -> None:
    """Write strips below one another, with a gap after each group, as a PNG.

    Args:
        path: the file.
        groups: strips that belong together; all are brought to the width of the widest.
    """
    width = max((rows.shape[1] for group in groups for rows in group), default=1)
    sheet = []
    for group in groups:
        for number, rows in enumerate(group, start=1):
            gap = MARGIN if number == len(group) else 0
            margins = ((0, gap), (0, width - rows.shape[1]), (0, 0))
            sheet.append(np.pad(rows, margins, constant_values=WHITE))
    picture = np.concatenate(sheet) if sheet else np.full((1, 1, 3), WHITE, np.uint8)
    encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def fitted(frame: Picture, height: int) -> Picture:
    """Shrink a frame to a height; smaller ones stay."""
    if frame.shape[0] <= height:
        return frame
    width = max(1, round(frame.shape[1] * height / frame.shape[0]))
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
