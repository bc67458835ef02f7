"""Held-out stills as clips of one frame, so that what is measured of clips is measured of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vidgap_vis.classes import ClassList
from vidgap_vis.files import replacing
from vidgap_vis.formats.coco import ImageMask

STILLS = "images_valid.json"
TRUTH = "images_valid_as_clips.json"


def write_truth(data: Path) -> Path:
    """Write the stills of a generated data set as videos of one frame (YouTube-VIS).

    Their ids stay. Several processes may do so at once: all write the same.

    Args:
        data: the data set's folder.

    Returns:
        The file, in that folder.
    """
    path = data / TRUTH
    if path.is_file():
        return path
    coco = json.loads((data / STILLS).read_text(encoding="utf-8"))
    videos = [
        {"id": image["id"], "height": image["height"], "width": image["width"]}
        | {"file_names": [image["file_name"]], "length": 1}
        for image in coco["images"]
    ]
    annotations = [
        {"id": one["id"], "video_id": one["image_id"], "category_id": one["category_id"]}
        | {"iscrowd": one["iscrowd"], "segmentations": [one["segmentation"]]}
        | {"bboxes": [one["bbox"]], "areas": [one["area"]]}
        for one in coco["annotations"]
    ]
    content = {"videos": videos, "annotations": annotations, "categories": coco["categories"]}
    _write(path, content)
    return path


def write_results(path: Path, found: Iterable[ImageMask], classes: ClassList) -> None:
    """Write instances of stills as results of videos of one frame."""
    _write(
        path,
        [
            {"video_id": one.image_id, "category_id": classes[one.label].category_id}
            | {"score": one.score, "segmentations": [one.mask.to_dict()]}
            for one in found
        ],
    )


def _write(path: Path, content: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")
