"""Tiny data sets on disk, right in every detail, to read or to break; and the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vidgap_vis.cli.main import main
from vidgap_vis.formats import Rle

HEIGHT, WIDTH = 12, 16


@dataclass
class DataFolder:
    """A folder `images` and the content of an annotation file beside it."""

    folder: Path
    content: dict[str, Any]
    masks: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)  # (annotation, frame)

    @property
    def root(self) -> Path:
        return self.folder / "images"

    def save(self, change: Callable[[dict[str, Any]], object] | None = None) -> Path:
        if change is not None:
            change(self.content)
        path = self.folder / "annotations.json"
        path.write_text(json.dumps(self.content))
        return path


def box_mask(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def plain_rle(mask: np.ndarray) -> dict[str, Any]:
    """Count runs the slow way, column by column."""
    counts, inside = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != inside:
            counts.append(0)
            inside = pixel
        counts[-1] += 1
    return {"size": list(mask.shape), "counts": counts}


def save_picture(path: Path, red: int) -> None:
    Image.new("RGB", (WIDTH, HEIGHT), (red, 0, 0)).save(path)


@pytest.fixture
def image_folder(tmp_path: Path) -> DataFolder:
    """Three images: two instances and a crowd, one instance, nothing."""
    (tmp_path / "images" / "sub").mkdir(parents=True)
    names = ["a.png", "sub/b.png", "c.png"]
    for i, name in enumerate(names):
        save_picture(tmp_path / "images" / name, 100 + i)
    triangle = [[2.0, 2.0, 9.0, 2.0, 2.0, 9.0]]
    compressed = Rle.encode(box_mask(1, 2, 5, 7)).to_dict()
    crowd = plain_rle(box_mask(0, 0, 3, 3))
    return DataFolder(
        tmp_path,
        {
            "categories": [{"id": 9, "name": "cat"}, {"id": 4, "name": "ant"}],
            "images": [
                {"id": 10 + i, "file_name": name, "height": HEIGHT, "width": WIDTH}
                for i, name in enumerate(names)
            ],
            "annotations": [
                annotation(1, 10, 9, triangle) | {"area": 24.5},
                annotation(2, 10, 4, compressed),
                annotation(3, 10, 4, crowd) | {"iscrowd": 1},
                annotation(5, 11, 4, plain_rle(box_mask(4, 4, 8, 8))),
            ],
        },
    )


def annotation(number: int, image_id: int, category_id: int, segmentation: Any) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": segmentation,
    }


@pytest.fixture
def video_folder(tmp_path: Path) -> DataFolder:
    """Two videos of 6 and 3 frames; three instances in the first, one in the second."""
    videos, lengths = [], {21: 6, 22: 3}
    for number, length in lengths.items():
        (tmp_path / "images" / f"v{number}").mkdir(parents=True)
        names = [f"v{number}/{frame:05d}.png" for frame in range(length)]
        for frame, name in enumerate(names):
            save_picture(tmp_path / "images" / name, 10 * number + frame - 200)
        videos.append(
            {"id": number, "height": HEIGHT, "width": WIDTH, "length": length, "file_names": names}
        )
    data = DataFolder(tmp_path, {"categories": [], "videos": videos, "annotations": []})
    data.content["categories"] = [{"id": 3, "name": "fish"}, {"id": 1, "name": "person"}]
    add_track(data, 1, 21, 1, range(6))
    add_track(data, 2, 21, 3, range(4, 6))
    add_track(data, 7, 21, 3, ())
    add_track(data, 8, 22, 1, (0, 2))
    return data


def add_track(
    data: DataFolder, number: int, video_id: int, category_id: int, present: range | tuple[int, ...]
) -> None:
    """Add a track whose mask moves right, a pixel a frame, in all three forms of a mask."""
    length = next(video["length"] for video in data.content["videos"] if video["id"] == video_id)
    segmentations: list[Any] = [None] * length
    for frame in present:
        mask = box_mask(number % 5, frame, number % 5 + 4, frame + 5)
        data.masks[number, frame] = mask
        plain, compressed = plain_rle(mask), Rle.encode(mask).to_dict()
        top, left, bottom, right = number % 5, frame, number % 5 + 4, frame + 5
        polygon = [[left, top, right, top, right, bottom, left, bottom]]
        segmentations[frame] = [plain, compressed, polygon][frame % 3]
    data.content["annotations"].append(
        {
            "id": number,
            "video_id": video_id,
            "category_id": category_id,
            "iscrowd": 0,
            "segmentations": segmentations,
            "bboxes": [None if s is None else [0, 0, 1, 1] for s in segmentations],
            "areas": [None if s is None else 20 for s in segmentations],
        }
    )


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Run a command line that must succeed; return its lines on stdout."""

    def run(*words: object) -> list[str]:
        assert main([str(word) for word in words]) == 0
        return capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command line that must fail; return its line on stderr, without `vidgap: `."""

    def run(code: int, *words: object) -> str:
        assert main([str(word) for word in words]) == code
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("vidgap: ")
        assert "Traceback" not in said.err
        line, _, rest = said.err.removeprefix("vidgap: ").partition("\n")
        assert rest == ""
        return line

    return run
