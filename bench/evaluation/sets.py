"""Made-up truth and results, as files, in the shapes of the benchmarks' validation sets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask


@dataclass(frozen=True)
class SetShape:
    """How large a data set and its results are."""

    name: str
    num_videos: int
    num_frames: int
    size: tuple[int, int]
    num_classes: int
    num_truths: int
    num_predictions: int


SHAPES = (
    SetShape("YouTube-VIS 2019 val", 302, 27, (360, 640), 40, 568, 3_020),
    SetShape("OVIS val", 140, 69, (480, 854), 25, 686, 3_500),
)


def write_set(shape: SetShape, folder: Path, seed: int = 0) -> tuple[Path, Path]:
    """Write `gt.json` and `results.json`; return their paths.

    Objects are blobs that wander, grow and turn. Predictions are shifted copies of truths, worse
    with lower scores, some of another class, some with the next object's masks from a frame on;
    and blobs of their own.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    truths_of = np.array_split(np.arange(shape.num_truths), shape.num_videos)
    found_of = np.array_split(np.arange(shape.num_predictions), shape.num_videos)
    videos, annotations = [], []
    with (folder / "results.json").open("w", encoding="utf-8") as results:
        results.write("[")
        for index in range(shape.num_videos):
            names = [f"{index}/{t}.jpg" for t in range(shape.num_frames)]
            height, width = shape.size
            size = {"height": height, "width": width}
            videos.append({"id": index + 1, "file_names": names, **size})
            blobs = [_blob(rng, shape) for _ in truths_of[index]]
            labels = rng.integers(1, shape.num_classes + 1, len(blobs)).tolist()
            for number, blob, label in zip(truths_of[index].tolist(), blobs, labels, strict=True):
                annotations.append(
                    {
                        "id": number + 1,
                        "video_id": index + 1,
                        "category_id": label,
                        "iscrowd": 0,
                        **size,
                        "segmentations": _masks(blob, shape),
                        "areas": None,
                        "bboxes": None,
                    }
                )
            for number, entry in enumerate(
                _predictions(rng, shape, blobs, labels, len(found_of[index]))
            ):
                results.write(",\n" if index or number else "\n")
                results.write(json.dumps({"video_id": index + 1, **entry}))
        results.write("\n]\n")
    for annotation in annotations:
        annotation["areas"] = [
            one and int(coco_mask.area(one)) for one in annotation["segmentations"]
        ]
    categories = [{"id": i, "name": f"class {i}"} for i in range(1, shape.num_classes + 1)]
    content = {"videos": videos, "categories": categories, "annotations": annotations}
    (folder / "gt.json").write_text(json.dumps(content), encoding="utf-8")
    return folder / "gt.json", folder / "results.json"


Blob = dict[str, NDArray[np.float64]]
"""Of each frame: centre (T, 2), axes (T, 2), angle (T,), shown (T,); lobes (K, 3) of all."""


def _blob(rng: np.random.Generator, shape: SetShape) -> Blob:
    frames, (height, width) = shape.num_frames, shape.size
    start, speed = rng.uniform(0.1, 0.9, 2), rng.uniform(-0.02, 0.02, 2)
    steps = np.arange(frames)[:, None]
    axes = np.exp(rng.uniform(np.log(0.1), np.log(0.45), 2)) * height
    first, last = rng.integers(-frames, frames // 4), rng.integers(frames // 2, 2 * frames)
    return {
        "centre": np.abs((start + speed * steps + 1) % 2 - 1) * (width, height),
        "axes": axes * np.exp(0.2 * np.sin(steps * rng.uniform(0.05, 0.3, 2))),
        "angle": np.cumsum(rng.normal(0, 6, frames)),
        "shown": ((steps[:, 0] >= first) & (steps[:, 0] <= last)).astype(float),
        "lobes": np.column_stack(
            [rng.integers(3, 25, 6), rng.uniform(0, 0.06, 6), rng.uniform(0, 6.28, 6)]
        ),
    }


def _masks(blob: Blob, shape: SetShape) -> list[dict[str, Any] | None]:
    masks: list[dict[str, Any] | None] = []
    turn = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    radius = 1 + sum(
        size * np.sin(count * turn + phase) for count, size, phase in blob["lobes"].tolist()
    )
    ring = radius[:, None] * np.column_stack([np.cos(turn), np.sin(turn)])
    for centre, axes, angle, shown in zip(
        blob["centre"], blob["axes"], np.deg2rad(blob["angle"]), blob["shown"], strict=True
    ):
        turned = (
            ring
            * axes
            @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        )
        canvas = np.zeros(shape.size[::-1], np.uint8)  # lies on its side: pycocotools wants columns
        if shown:
            cv2.fillPoly(canvas, [np.rint(turned + centre)[:, ::-1].astype(np.int32)], 1)
        if not canvas.any():
            masks.append(None)
            continue
        rle = coco_mask.encode(canvas.T)
        masks.append({"size": list(shape.size), "counts": rle["counts"].decode("ascii")})
    return masks


def _predictions(
    rng: np.random.Generator, shape: SetShape, blobs: list[Blob], labels: list[int], count: int
) -> Iterator[dict[str, Any]]:
    for number in range(count):
        score = float(rng.beta(1, 3))
        label = int(rng.integers(1, shape.num_classes + 1))
        blob = _blob(rng, shape)
        if blobs and number < 2 * len(blobs):
            score = float(rng.beta(3, 1))
            which = number % len(blobs)
            blob = dict(blobs[which])
            blob["centre"] = blob["centre"] + rng.normal(0, 25 * (1 - score), 2)
            if rng.random() < 0.2:  # an identity switch
                other, frame = blobs[(which + 1) % len(blobs)], int(rng.integers(shape.num_frames))
                for key in ("centre", "axes", "angle", "shown"):
                    blob[key] = np.concatenate([blob[key][:frame], other[key][frame:]])
            if rng.random() < 0.85:
                label = labels[which]
        yield {"category_id": label, "score": score, "segmentations": _masks(blob, shape)}
