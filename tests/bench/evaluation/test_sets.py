"""Made-up data sets: what they hold, and how their masks are written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from bench.evaluation.blobs import Blob, compressed
from bench.evaluation.sets import SetShape, write_set

SIZE = (36, 64)
SHAPE = SetShape("tiny", 3, 5, SIZE, 2, 7, 20)


def test_strings_are_those_of_pycocotools() -> None:
    rng = np.random.default_rng(0)
    masks = [rng.integers(0, most, 20) for most in (2, 40, 600, 30_000, 900_000)]
    masks[0][:5] = [0, 17, 16, 1, 0]  # at the ends of what one character holds
    for mask, string in zip(masks, compressed([*masks]), strict=True):
        pixels = int(mask.sum())
        encoded = coco_mask.frPyObjects({"size": [1, pixels], "counts": mask}, 1, pixels)
        assert string == encoded["counts"].decode("ascii")
    assert compressed([None, masks[0], None])[::2] == [None, None]
    assert compressed([None]) == [None]


def test_run_lengths_fill_the_frame_and_none_but_the_first_is_empty() -> None:
    rng = np.random.default_rng(1)
    blobs = [Blob.drawn(rng, 9, SIZE) for _ in range(40)]
    masks = [mask for blob in blobs for mask in blob.run_lengths(SIZE)]
    present = [mask for mask in masks if mask is not None]
    assert 0.5 < len(present) / len(masks) < 1
    for mask in present:
        assert mask.sum() == SIZE[0] * SIZE[1]
        assert len(mask) % 2 == 1
        assert mask[0] >= 0
        assert (mask[1:] > 0).all()


def test_sets_have_the_shape_asked_for_and_repeat(tmp_path: Path) -> None:
    first, again = (write_set(SHAPE, tmp_path / name) for name in ("a", "b"))
    other = write_set(SHAPE.part(1, plain=False), tmp_path / "c")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    truth, strings = (json.loads(paths[0].read_text()) for paths in (first, other))
    results = json.loads(first[1].read_text())
    assert (len(truth["videos"]), len(truth["annotations"]), len(results)) == (3, 7, 20)
    assert sorted(one["id"] for one in truth["annotations"]) == list(range(1, 8))
    for plain, string in zip(truth["annotations"], strings["annotations"], strict=True):
        assert len(plain["segmentations"]) == 5
        for one, area, same in zip(
            plain["segmentations"], plain["areas"], string["segmentations"], strict=True
        ):
            if one is not None:
                assert coco_mask.frPyObjects(one, *SIZE)["counts"].decode() == same["counts"]
                assert coco_mask.area(same) == area
