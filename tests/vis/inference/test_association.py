"""Association by embeddings alone, with the truth's masks."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from vis.support.stream_model import draw_frame
from vis.support.streams import make

from vidgap_vis.formats import VideoSet, read_youtube_vis
from vidgap_vis.formats.rle import Rle
from vidgap_vis.inference.association import association_accuracy, re_entries
from vidgap_vis.inference.sights import see

SIZE, SIDE = (64, 96), 16


def write(root: Path, paths: list[list[tuple[int, int] | None]]) -> VideoSet:
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


def accuracy(videos: VideoSet, latency: int = 1) -> dict[str, dict[str, float | None]]:
    model = make()
    return association_accuracy(see(model, videos, video, latency) for video in videos.videos)


@pytest.mark.parametrize("latency", [1, 4])
def test_embeddings_find_what_the_nearest_centre_loses(tmp_path: Path, latency: int) -> None:
    """Two squares change places in one frame; the model's embeddings are exact."""
    left, right = (8, 8), (8, 64)
    paths = [[left] * 3 + [right] * 3, [right] * 3 + [left] * 3]
    found = accuracy(write(tmp_path, paths), latency)
    assert found["1"] == {"embedding": 1.0, "centre": 4 / 5, "chance": 0.5, "found": 1.0}
    assert found["5"] == {"embedding": 1.0, "centre": 0.0, "chance": 0.5, "found": 1.0}
    assert found["10"] == dict.fromkeys(("embedding", "centre", "chance", "found"))


def test_a_return_is_looked_for_among_all_that_are_there(tmp_path: Path) -> None:
    near, far = (8, 8), (40, 64)
    paths = [[near, None, None, far], [far, far, far, near]]
    found = accuracy(write(tmp_path, paths))
    assert found["re-entry"] == {"embedding": 1.0, "centre": 0.0, "chance": 0.5, "found": 1.0}


def test_an_instance_without_a_query_is_no_question(tmp_path: Path) -> None:
    """A square of a colour that the model does not know."""
    paths = [[(8, 8)] * 2, [(8, 64)] * 2, [(40, 8)] * 2, [(40, 64)] * 2]
    videos = write(tmp_path, paths)
    for time in range(2):
        path = tmp_path / "frames" / f"{time}.png"
        frame = cv2.imread(str(path))
        frame[8:24, 64:80] = 120
        cv2.imwrite(str(path), frame)
    found = accuracy(videos)
    assert (found["1"]["embedding"], found["1"]["found"]) == (1.0, 3 / 4)


def test_absences_inside_a_video_are_re_entries() -> None:
    visible = np.array([[1, 1, 0, 1, 0, 0, 1], [0, 0, 1, 1, 1, 1, 0]], np.bool_)
    assert list(re_entries(visible)) == [(0, 1, 3), (0, 3, 6)]
