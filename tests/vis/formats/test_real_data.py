"""Real annotations and pictures, where they are at hand: everything reads and decodes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vidgap_vis.formats import read_coco, read_youtube_vis

pytestmark = pytest.mark.skipif(
    "VIDGAP_REAL_DATA" not in os.environ,
    reason="VIDGAP_REAL_DATA does not name a folder with coco_mini and vis_mini",
)


@pytest.fixture
def folder() -> Path:
    return Path(os.environ["VIDGAP_REAL_DATA"])


@pytest.mark.parametrize(
    ("name", "num_images", "num_annotations", "num_crowds"),
    [
        ("instances_train", 32, 288, 4),
        ("instances_val", 6, 136, 1),
        ("person_train", 30, 87, 1),
        ("person_val", 30, 65, 0),
    ],
)
def test_every_image_and_mask_decodes(
    folder: Path, name: str, num_images: int, num_annotations: int, num_crowds: int
) -> None:
    image_set = read_coco(folder / "coco_mini" / f"{name}.json", folder / "coco_mini")
    assert (len(image_set), image_set.num_crowds) == (num_images, num_crowds)
    found = 0
    for index in range(len(image_set)):
        masks = image_set.read_masks(index)
        assert masks.shape[1:] == image_set.read_image(index).shape[:2]
        assert masks.any(axis=(1, 2)).all()
        found += len(masks)
    assert found == num_annotations - num_crowds


@pytest.mark.parametrize(
    ("name", "masks_of_videos"),
    [("train", [150, 272, 264]), ("valid", [0, 0, 0]), ("extra_bmx", [40])],
)
def test_every_frame_and_mask_decodes(folder: Path, name: str, masks_of_videos: list[int]) -> None:
    path = folder / "vis_mini" / f"{name}.json"
    video_set = read_youtube_vis(path, folder / "vis_mini" / "JPEGImages")
    assert video_set.annotated == (name != "valid")
    found = []
    for video in video_set.videos:
        count = 0
        for frame in range(len(video)):
            masks = video_set.read_masks(video, video.instances, [frame])
            assert masks.shape[2:] == video_set.read_frame(video, frame).shape[:2]
            count += int(masks.any(axis=(2, 3)).sum())
        found.append(count)
    assert found == masks_of_videos
