"""Sheets of pictures: frames side by side, strips below one another, as one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from vidgap_vis.atomic import replacing
from vidgap_vis.overlay import Frame

MARGIN = 4


def strip(frames: Sequence[Frame]) -> Frame:
    """Set frames (H, W, 3) of one height side by side."""
    padded = [np.pad(frame, ((0, 0), (0, MARGIN), (0, 0))) for frame in frames]
    return np.concatenate(padded, axis=1)


def write_sheet(path: Path, groups: Sequence[Sequence[Frame]]) -> None:
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
            sheet.append(np.pad(rows, ((0, gap), (0, width - rows.shape[1]), (0, 0))))
    picture = np.concatenate(sheet) if sheet else np.zeros((1, 1, 3), np.uint8)
    encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def fitted(frame: Frame, height: int) -> Frame:
    """Shrink a frame to a height; smaller ones stay."""
    if frame.shape[0] <= height:
        return frame
    width = max(1, round(frame.shape[1] * height / frame.shape[0]))
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
