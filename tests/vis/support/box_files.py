"""Truth, results and frames on disk, of boxes that are there or not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vidgap_vis.formats.rle import Rle

SIZE = (64, 96)
Box = tuple[int, int, int, int]  # top, left, height, width
Boxes = Sequence[Box | None]
CATEGORIES = ("cat", "<b>dog</b>")


def masks(boxes: Boxes) -> list[dict[str, Any] | None]:
    found: list[dict[str, Any] | None] = []
    for box in boxes:
        mask = np.zeros(SIZE, np.bool_)
        if box is not None:
            mask[box[0] : box[0] + box[2], box[1] : box[1] + box[3]] = True
        found.append(None if box is None else dict(Rle.encode(mask).to_dict()))
    return found


@dataclass
class BoxVideo:
    """A video.

    Attributes:
        length: frames.
        truths: category (1 or 2) and boxes, and OVIS's words if there are any.
        results: category, score and boxes.
        name: its folder.
    """

    length: int
    truths: list[tuple[int, Boxes] | tuple[int, Boxes, Any]] = field(default_factory=list)
    results: list[tuple[int, float, Boxes]] = field(default_factory=list)
    name: str = "v"


@dataclass(frozen=True)
class BoxFiles:
    """What was written."""

    truth: Path
    results: Path
    images: Path


def write_files(
    folder: Path,
    videos: Sequence[BoxVideo],
    *,
    pictures: bool = True,
    categories: Sequence[str] = CATEGORIES,
) -> BoxFiles:
    """Write videos of ids 7, 8, ...; annotations are numbered from 1 on over all of them."""
    listed, annotations, entries = [], [], []
    images = folder / "images"
    images.mkdir(parents=True)
    for number, video in enumerate(videos, 7):
        names = [f"{video.name}/{number}_{time}.png" for time in range(video.length)]
        listed.append({"id": number, "width": SIZE[1], "height": SIZE[0], "file_names": names})
        for category, boxes, *words in video.truths:
            entry = {"id": len(annotations) + 1, "video_id": number, "category_id": category}
            entry |= {"iscrowd": 0, "segmentations": masks(boxes), "bboxes": list(boxes)}
            annotations.append(entry | ({"occlusion": words[0]} if words and words[0] else {}))
        for category, score, boxes in video.results:
            entries.append({"video_id": number, "category_id": category, "score": score})
            entries[-1]["segmentations"] = masks(boxes)
        for time, name in enumerate(names if pictures else []):
            (images / name).parent.mkdir(parents=True, exist_ok=True)
            picture = np.full((*SIZE, 3), (time * 9 % 256, 90, 160), np.uint8)
            Image.fromarray(picture).save(images / name)
    listing = [{"id": place, "name": name} for place, name in enumerate(categories, 1)]
    content = {"videos": listed, "annotations": annotations, "categories": listing}
    files = BoxFiles(folder / "truth.json", folder / "results.json", images)
    files.truth.write_text(json.dumps(content))
    files.results.write_text(json.dumps(entries))
    return files


def swapped_cats() -> BoxVideo:
    """Two cats, of which the tracks change places, and a dog that nobody finds."""
    one: Boxes = [(4, 4 + time, 10, 10) for time in range(8)]
    other: Boxes = [(30, 60, 10, 10)] * 8
    dog: Boxes = [(50, 20, 8, 8)] * 8
    found = [[*one[:4], *other[4:]], [*other[:4], *one[4:]]]
    return BoxVideo(
        8,
        [(1, one), (1, other), (2, dog)],
        [(1, 0.9, found[0]), (1, 0.8, found[1])],
    )
