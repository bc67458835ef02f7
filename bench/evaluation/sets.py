"""Made-up truth and results, as files, in the shapes of the benchmarks' validation sets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.evaluation.blobs import Blob, compressed


@dataclass(frozen=True)
class SetShape:
    """How large a data set and its results are.

    Attributes:
        name: of the data set that has this shape.
        num_videos, num_frames: and frames of each.
        size: (H, W).
        num_classes, num_truths, num_predictions: of all videos together.
        plain: whether the truth has lists of run lengths, else compressed strings.
    """

    name: str
    num_videos: int
    num_frames: int
    size: tuple[int, int]
    num_classes: int
    num_truths: int
    num_predictions: int
    plain: bool = True

    def part(self, divisor: int, *, plain: bool | None = None) -> SetShape:
        """Return the shape of one video in `divisor`."""
        counts = (self.num_videos, self.num_truths, self.num_predictions)
        videos, truths, predictions = (max(1, count // divisor) for count in counts)
        return replace(
            self,
            num_videos=videos,
            num_truths=truths,
            num_predictions=predictions,
            plain=self.plain if plain is None else plain,
        )


YOUTUBE_VIS = SetShape("YouTube-VIS 2019 val", 302, 27, (360, 640), 40, 568, 3_020)
OVIS = SetShape("OVIS val", 140, 69, (480, 854), 25, 686, 3_500, plain=False)


def write_set(shape: SetShape, folder: Path, seed: int = 0) -> tuple[Path, Path]:
    """Write `gt.json` and `results.json`; return their paths.

    Predictions are shifted copies of truths, worse with lower scores, some of another class, some
    with the next object's masks from a frame on; and blobs of their own.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    gt_path, results_path = folder / "gt.json", folder / "results.json"
    size = {"height": shape.size[0], "width": shape.size[1]}
    numbers = np.arange(1, shape.num_truths + 1)
    truths_of = np.array_split(rng.permutation(numbers), shape.num_videos)
    counts = [len(part) for part in np.array_split(range(shape.num_predictions), shape.num_videos)]
    videos, annotations = [], []
    with results_path.open("w", encoding="utf-8") as results:
        results.write("[")
        for index, (ids, count) in enumerate(zip(truths_of, counts, strict=True)):
            names = [f"{index}/{t}.jpg" for t in range(shape.num_frames)]
            videos.append({"id": index + 1, "file_names": names, **size})
            blobs = [Blob.drawn(rng, shape.num_frames, shape.size) for _ in ids]
            labels = rng.integers(1, shape.num_classes + 1, len(blobs)).tolist()
            for id_, blob, label in zip(ids.tolist(), blobs, labels, strict=True):
                of = {"id": id_, "video_id": index + 1, "category_id": label, "iscrowd": 0}
                annotations.append(json.dumps(of | size | _truth(blob, shape)))
            for number, entry in enumerate(_predictions(rng, shape, blobs, labels, count)):
                results.write(",\n" if index or number else "\n")
                results.write(json.dumps({"video_id": index + 1, **entry}))
        results.write("\n]\n")
    categories = [{"id": i, "name": f"class {i}"} for i in range(1, shape.num_classes + 1)]
    rest = json.dumps({"videos": videos, "categories": categories})[1:]
    with gt_path.open("w", encoding="utf-8") as truth:
        truth.writelines(['{"annotations": [', ",\n".join(annotations), "], ", rest])
    return gt_path, results_path


def _truth(blob: Blob, shape: SetShape) -> dict[str, Any]:
    masks = blob.run_lengths(shape.size)
    if shape.plain:
        counts = [None if mask is None else mask.tolist() for mask in masks]
    else:
        counts = compressed(masks)
    areas = [None if mask is None else int(mask[1::2].sum()) for mask in masks]
    return {"segmentations": _segmentations(counts, shape), "areas": areas}


def _segmentations(counts: list[Any], shape: SetShape) -> list[dict[str, Any] | None]:
    size = list(shape.size)
    return [None if one is None else {"size": size, "counts": one} for one in counts]


def _predictions(
    rng: np.random.Generator, shape: SetShape, blobs: list[Blob], labels: list[int], count: int
) -> Iterator[dict[str, Any]]:
    """Yield the predictions of a video, without its id."""
    for number in range(count):
        score = float(rng.beta(1, 3))
        label = int(rng.integers(1, shape.num_classes + 1))
        blob = Blob.drawn(rng, shape.num_frames, shape.size)
        if number < 2 * len(blobs):
            score = float(rng.beta(3, 1))
            which = number % len(blobs)
            blob = blobs[which].shifted(rng.normal(0, 25 * (1 - score), 2))
            if rng.random() < 0.2:  # an identity switch
                other = blobs[(which + 1) % len(blobs)]
                blob = blob.becoming(other, int(rng.integers(shape.num_frames)))
            if rng.random() < 0.85:
                label = labels[which]
        strings = compressed(blob.run_lengths(shape.size))
        segmentations = _segmentations(strings, shape)
        yield {"category_id": label, "score": score, "segmentations": segmentations}
