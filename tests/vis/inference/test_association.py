"""Association by embeddings alone, with the truth's masks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from vis.support.squares import write_squares
from vis.support.streams import make

from vidgap_vis.formats import VideoSet
from vidgap_vis.inference.association import association_accuracy, re_entries
from vidgap_vis.inference.sights import see


def accuracy(videos: VideoSet, latency: int = 1) -> dict[str, dict[str, float | None]]:
    model = make()
    return association_accuracy(see(model, videos, video, latency) for video in videos.videos)


@pytest.mark.parametrize("latency", [1, 4])
def test_embeddings_find_what_the_nearest_centre_loses(tmp_path: Path, latency: int) -> None:
    """Two squares change places in one frame; the model's embeddings are exact."""
    left, right = (8, 8), (8, 64)
    paths = [[left] * 3 + [right] * 3, [right] * 3 + [left] * 3]
    found = accuracy(write_squares(tmp_path, paths), latency)
    assert found["1"] == {"embedding": 1.0, "centre": 4 / 5, "chance": 0.5, "found": 1.0}
    assert found["5"] == {"embedding": 1.0, "centre": 0.0, "chance": 0.5, "found": 1.0}
    assert found["10"] == dict.fromkeys(("embedding", "centre", "chance", "found"))


def test_a_return_is_looked_for_among_all_that_are_there(tmp_path: Path) -> None:
    near, far = (8, 8), (40, 64)
    paths = [[near, None, None, far], [far, far, far, near]]
    found = accuracy(write_squares(tmp_path, paths))
    assert found["re-entry"] == {"embedding": 1.0, "centre": 0.0, "chance": 0.5, "found": 1.0}


def test_an_instance_without_a_query_is_no_question(tmp_path: Path) -> None:
    """Nor a rival: a square of a colour that the model does not know."""
    paths = [[(8, 8)] * 2, [(8, 64)] * 2, [(40, 8)] * 2, [(40, 64)] * 2]
    videos = write_squares(tmp_path, paths)
    for time in range(2):
        path = tmp_path / "frames" / f"{time}.png"
        frame = cv2.imread(str(path))
        frame[8:24, 64:80] = 120
        cv2.imwrite(str(path), frame)
    found = accuracy(videos)
    assert (found["1"]["embedding"], found["1"]["found"]) == (1.0, 3 / 4)
    assert found["1"]["chance"] == pytest.approx(1 / 3)


def test_absences_inside_a_video_are_re_entries() -> None:
    visible = np.array([[1, 1, 0, 1, 0, 0, 1], [0, 0, 1, 1, 1, 1, 0]], np.bool_)
    assert list(re_entries(visible)) == [(0, 1, 3), (0, 3, 6)]
