"""`vidgap analyze`: what makes truths hard, and an analysis from files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidgap_vis.evaluation.traits import SPLITS, Traits, traits_of
from vidgap_vis.formats.rle import Rle
from vidgap_vis.formats.youtube_vis import read_youtube_vis

SIZE = (64, 96)
Boxes = list[tuple[int, int, int, int] | None]  # top, left, height, width


def masks(boxes: Boxes) -> list[dict[str, Any] | None]:
    found: list[dict[str, Any] | None] = []
    for box in boxes:
        mask = np.zeros(SIZE, np.bool_)
        if box is not None:
            mask[box[0] : box[0] + box[2], box[1] : box[1] + box[3]] = True
        found.append(None if box is None else dict(Rle.encode(mask).to_dict()))
    return found


def truth_file(folder: Path, annotations: list[tuple[int, Boxes, Any]], length: int) -> Path:
    """Write one video; annotations are (category, boxes, occlusion words)."""
    names = [f"v/{k}.jpg" for k in range(length)]
    video = {"id": 7, "width": SIZE[1], "height": SIZE[0], "length": length, "file_names": names}
    found = []
    for index, (category, boxes, words) in enumerate(annotations, 1):
        entry = {"id": index, "video_id": 7, "category_id": category, "iscrowd": 0}
        entry |= {"segmentations": masks(boxes), "bboxes": boxes, "areas": [0] * length}
        found.append(entry | ({"occlusion": words} if words else {}))
    path = folder / "truth.json"
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "<b>dog</b>"}]
    content = {"videos": [video], "annotations": found, "categories": categories}
    path.write_text(json.dumps(content))
    return path


def test_traits(tmp_path: Path) -> None:
    still: Boxes = [(10, 10, 8, 8)] * 4
    passing: Boxes = [(10, 30, 8, 8), (10, 20, 8, 8), (10, 14, 8, 8), None]
    alone: Boxes = [None, (40, 10, 16, 16), None, (40, 10, 16, 16)]
    words = ["no_occlusion", "severe_occlusion", None, None]
    path = truth_file(tmp_path, [(1, still, words), (1, passing, None), (2, alone, None)], 4)
    truth = read_youtube_vis(path)
    one, two, three = traits_of(truth, truth.videos[0])
    assert one == Traits(64.0, 0.75, 4, 0.0, 1, 0.0)
    assert two == Traits(64.0, None, 3, 1.0, 1, 0.0)
    assert three == Traits(256.0, None, 2, None, 0, None)


def test_how_near_look_alikes_come(tmp_path: Path) -> None:
    boxes: list[Boxes] = [[(10, 10, 8, 8)], [(10, 26, 8, 8)], [(10, 70, 8, 8)]]
    truth = read_youtube_vis(truth_file(tmp_path, [(1, one, None) for one in boxes], 1))
    found = [one.crossing for one in traits_of(truth, truth.videos[0])]
    assert found == [2.0, 2.0, 5.5]


def test_a_truth_is_in_one_group_of_each() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        known = rng.random(4) < 0.7
        traits = Traits(
            area=float(np.exp(rng.uniform(0, 12))),
            occlusion=float(rng.choice([0, 0.25, 0.5, 0.75, 1.0])) if known[0] else None,
            length=int(rng.integers(1, 60)),
            speed=float(rng.choice([0, 0.05, 0.2, 3.0])) if known[1] else None,
            look_alikes=int(rng.integers(6)),
            crossing=float(rng.choice([0, 1.0, 2.0, 9.0])) if known[2] else None,
        )
        for bins in SPLITS.values():
            assert sum(fits(traits) for _, fits in bins) == 1


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Two cats, of which the tracks change places, and a dog that nobody finds."""
    cats: list[Boxes] = [[(4, 4 + k, 10, 10) for k in range(8)], [(30, 60, 10, 10)] * 8]
    dog: Boxes = [(50, 20, 8, 8)] * 8
    truth = truth_file(tmp_path, [(1, cats[0], None), (1, cats[1], None), (2, dog, None)], 8)
    found = [cats[0][:4] + cats[1][4:], cats[1][:4] + cats[0][4:]]
    entries = [
        {"video_id": 7, "category_id": 1, "score": 0.9, "segmentations": masks(one)}
        for one in found
    ]
    results = tmp_path / "results.json"
    results.write_text(json.dumps(entries))
    return results, truth


def test_the_command_tells_and_writes(
    files: tuple[Path, Path], tmp_path: Path, run: Callable[..., list[str]]
) -> None:
    results, truth = files
    other = tmp_path / "other.json"
    other.write_text("[]")
    out = tmp_path / "analysis.json"
    said = run("analyze", results, "--gt", truth, "--against", other, "--json", out)
    assert any(line.split() == ["association", "2", "50.0", "50.0"] for line in said)
    assert any(line.split() == ["identity", "switch", "2"] for line in said)
    data = json.loads(out.read_text())
    assert list(data) == [str(results), str(other)]
    ours = data[str(results)]
    assert ours["ap"]["AP50"] == 0
    assert ours["oracles"]["association"]["AP50"] == pytest.approx(0.5)
    assert sum(cause["costs"] for cause in ours["causes"].values()) == pytest.approx(1.0)
    assert ours["causes"]["missed"]["count"] == 1
    assert ours["paper"] == {"wrong class": 0, "identity switch": 2, "undetected": 1}
    assert ours["truths"]["look-alikes"] == {
        "none": {"count": 1, "right": 0, "class": 0, "mask": 0, "association": 0, "missed": 1},
        "1": {"count": 2, "right": 0, "class": 0, "mask": 0, "association": 1, "missed": 0},
    }
    assert data[str(other)]["causes"]["missed"]["count"] == 3


def test_nothing_to_analyse(tmp_path: Path, run: Callable[..., list[str]]) -> None:
    truth = truth_file(tmp_path, [], 3)
    (tmp_path / "r.json").write_text("[]")
    said = run("analyze", tmp_path / "r.json", "--gt", truth)
    assert any(line.split() == ["missed", "0", "n/a", "n/a"] for line in said)


def test_bad_files_are_named(
    files: tuple[Path, Path], tmp_path: Path, fails: Callable[..., str]
) -> None:
    results, truth = files
    assert "no such file" in fails(1, "analyze", tmp_path / "no.json", "--gt", truth).lower()
    said = fails(2, "analyze", results, "--gt", truth, "--json", truth)
    assert "is an input, and would be overwritten" in said
