"""The floor without learning."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from vis.support.tiny_runs import write_videos

from vidgap_vis.classes import from_categories
from vidgap_vis.errors import InputError
from vidgap_vis.experiments.arms import measure
from vidgap_vis.experiments.brightness import MIN_AREA, components, segmenter
from vidgap_vis.experiments.files import ClipFiles
from vidgap_vis.experiments.plan import Arm

CELL = from_categories([(4, "cell")])


def frame(*cells: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """Draw squares (top, left, side) on dark ground, with a grain of light."""
    image = np.full((48, 64, 3), 20, np.uint8)
    for top, left, side in cells:
        image[top : top + side, left : left + side] = 180
    image[40:42, 60:62] = 180
    return image


def test_components_are_what_is_bright_the_largest_first() -> None:
    masks = components(frame((4, 4, 8), (20, 30, 14)), num=3)
    assert masks.shape == (3, 48, 64)
    for mask, (top, left, side) in zip(masks[:2], [(20, 30, 14), (4, 4, 8)], strict=True):
        wanted = np.zeros((48, 64), bool)
        wanted[top : top + side, left : left + side] = True
        assert (mask & wanted).sum() / (mask | wanted).sum() > 0.9
    assert MIN_AREA > 4
    assert not masks[2].any()


def test_what_moves_keeps_its_number() -> None:
    frames = [frame((4, 4 + 3 * t, 8), (20, 40 - 3 * t, 10)) for t in range(8)]
    seen = [result for _, result in segmenter(CELL).track(frames)]
    assert {tuple(sorted(result.track_ids.tolist())) for result in seen} == {(1, 2)}
    columns = {
        number: [
            np.nonzero(dict(zip(one.track_ids.tolist(), one.masks, strict=True))[number])[1].mean()
            for one in seen
        ]
        for number in (1, 2)
    }
    assert sorted(np.diff(column).mean().round() for column in columns.values()) == [-3, 3]


def test_its_tracks_are_compared_with_the_truth(tmp_path: Path) -> None:
    root = write_videos(tmp_path / "videos", count=2)
    content = json.loads((root / "clips.json").read_text())
    content["categories"] = content["categories"][:1]
    for one in content["annotations"]:
        one["category_id"] = content["categories"][0]["id"]
    (root / "clips.json").write_text(json.dumps(content))
    clips = ClipFiles(Path("clips.json"), Path("frames"))
    record = measure("floor", Arm(""), None, root, clips, tmp_path / "arms")
    assert record["parameters"] == 0
    assert 0 <= record["metrics"]["AP50"] <= 1
    assert "association" not in record
    results = json.loads((tmp_path / "arms" / "floor.json").read_text())
    assert {one["category_id"] for one in results} == {content["categories"][0]["id"]}


def test_several_classes_are_refused() -> None:
    with pytest.raises(InputError, match=r"categories: wanted one class .*, got red, blue"):
        segmenter(from_categories([(3, "red"), (7, "blue")]))
