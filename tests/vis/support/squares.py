"""A video of squares, a colour each, written with its truth."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from vis.support.stream_model import draw_frame

from vidgap_vis.formats import VideoSet, read_youtube_vis
from vidgap_vis.formats.rle import Rle

SIZE, SIDE = (64, 96), 16


def write_squares(root: Path, paths: list[list[tuple[int, int] | None]]) -> VideoSet:
    """Write a video of squares, a colour each, at corners (row, column) or absent."""
    length = len(paths[0])
    (root / "frames").mkdir(parents=True)
    names = [f"{time}.png" for time in range(length)]
    for time, name in enumerate(names):
        frame = draw_frame(SIZE, [path[time] for path in paths])
        assert cv2.imwrite(str(root / "frames" / name), frame[..., ::-1])
    annotations = []
    for number, path in enumerate(paths):
        masks = []
        for corner in path:
            mask = np.zeros(SIZE, np.bool_)
            if corner is not None:
                mask[corner[0] : corner[0] + SIDE, corner[1] : corner[1] + SIDE] = True
            masks.append(Rle.encode(mask).to_dict() if mask.any() else None)
        annotations.append(
            {
                "id": number + 1,
                "video_id": 1,
                "category_id": 7 + 2 * (number % 2),
                "iscrowd": 0,
                "segmentations": masks,
                "bboxes": [None] * length,
                "areas": [None] * length,
            }
        )
    video = {"id": 1, "file_names": names, "length": length, "height": 64, "width": 96}
    categories = [{"id": 7, "name": "disc"}, {"id": 9, "name": "square"}]
    content = {"videos": [video], "annotations": annotations, "categories": categories}
    (root / "clips.json").write_text(json.dumps(content))
    return read_youtube_vis(root / "clips.json", root / "frames")
