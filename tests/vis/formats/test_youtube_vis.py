"""YouTube-VIS JSON, and OVIS's: what a right file gives, and that every fault is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from vis.support.faults import assert_fault

from vidgap_vis.errors import InputError
from vidgap_vis.formats import read_youtube_vis

Change = Callable[[dict[str, Any]], object]


def test_a_right_file_gives_videos_and_tracks(video_folder: Any) -> None:
    video_set = read_youtube_vis(video_folder.save(), video_folder.root)
    assert [(c.index, c.category_id, c.name) for c in video_set.classes] == [
        (0, 1, "person"),
        (1, 3, "fish"),
    ]
    assert [(video.id, len(video), video.size) for video in video_set.videos] == [
        (21, 6, (12, 16)),
        (22, 3, (12, 16)),
    ]
    assert [(i.id, i.label) for i in video_set.videos[0].instances] == [(1, 0), (2, 1), (7, 1)]
    assert video_set.annotated


def test_frames_and_masks_are_those_on_disk_and_null_is_absence(video_folder: Any) -> None:
    video_set = read_youtube_vis(video_folder.save(), video_folder.root)
    for video, first in zip(video_set.videos, (10, 20), strict=True):
        masks = video_set.read_masks(video, video.instances, range(len(video)))
        for frame in range(len(video)):
            picture = video_set.read_frame(video, frame)
            assert np.unique(picture[..., 0]).tolist() == [first + frame]
        for n, instance in enumerate(video.instances):
            for t in range(len(video)):
                expected = video_folder.masks.get((instance.id, t), np.zeros((12, 16), dtype=bool))
                np.testing.assert_array_equal(masks[n, t], expected)
                assert (instance.segmentations[t] is None) == (not expected.any())


def test_masks_come_in_the_order_of_the_frames_asked_for(video_folder: Any) -> None:
    video_set = read_youtube_vis(video_folder.save())
    video = video_set.videos[0]
    masks = video_set.read_masks(video, video.instances[:2], [5, 0, 5])
    assert masks.shape == (2, 3, 12, 16)
    assert np.array_equal(masks[0, 0], masks[0, 2])
    assert not np.array_equal(masks[0, 0], masks[0, 1])
    assert masks[1].any(axis=(1, 2)).tolist() == [True, False, True]


@pytest.mark.parametrize(
    "change",
    [lambda c: c.pop("annotations"), lambda c: c.update(annotations=None)],
    ids=["absent", "null"],
)
def test_annotations_may_be_missing_as_in_the_valid_files(video_folder: Any, change: Any) -> None:
    video_set = read_youtube_vis(video_folder.save(change), video_folder.root)
    assert not video_set.annotated
    assert [len(video.instances) for video in video_set.videos] == [0, 0]
    assert video_set.read_frame(video_set.videos[0], 0).shape == (12, 16, 3)


def test_an_empty_list_of_annotations_is_an_annotated_set(video_folder: Any) -> None:
    video_set = read_youtube_vis(video_folder.save(lambda c: c["annotations"].clear()))
    assert video_set.annotated


def test_occlusion_is_kept_and_crowds_stand_apart(video_folder: Any) -> None:
    words = ["no_occlusion", "slight_occlusion", "severe_occlusion", None, None, None]

    def change(content: dict[str, Any]) -> None:
        content["annotations"][0]["occlusion"] = words
        content["annotations"][1]["iscrowd"] = 1

    video = read_youtube_vis(video_folder.save(change)).videos[0]
    assert [i.occlusion for i in video.instances] == [tuple(words), None]
    assert [crowd.id for crowd in video.crowds] == [2]


def annotation(key: str, value: object) -> Change:
    return lambda content: content["annotations"][1].update({key: value})


def video(key: str, value: object) -> Change:
    return lambda content: content["videos"][1].update({key: value})


def mask(value: object) -> Change:
    return lambda content: content["annotations"][0]["segmentations"].__setitem__(3, value)


ONE_SHORT = "must have 6 entries, one a frame of video 21, got 5"
FAULTS: dict[str, tuple[Change, str]] = {
    "no videos": (lambda c: c["videos"].clear(), "videos: empty"),
    "no videos key": (lambda c: c.pop("videos"), "key 'videos' is missing"),
    "no categories": (lambda c: c["categories"].clear(), "categories: empty"),
    "video id twice": (video("id", 21), r"videos\[1\] \(id 21\): id 21 stands twice"),
    "video id of 65 bits": (video("id", 2**63), "id must fit in 64 bits, got 9223372036854775808"),
    "no file names": (
        lambda c: c["videos"][1].pop("file_names"),
        r"videos\[1\] \(id 22\): key 'file_names' is missing",
    ),
    "no frames": (video("file_names", []), "file_names is empty"),
    "length": (video("length", 4), "length must be the number of file_names, 3, got 4"),
    "no height": (lambda c: c["videos"][1].pop("height"), "key 'height' is missing"),
    "absolute": (
        video("file_names", ["a.png", "/b.png", "c.png"]),
        r"videos\[1\] \(id 22\): file_names\[1\] leaves the root of the images: '/b.png'",
    ),
    "climbs out": (video("file_names", ["../a.png"] * 3), r"file_names\[0\] leaves the root"),
    "name of a number": (video("file_names", [1, 2, 3]), "must be a file name, got 1"),
    "unknown video": (
        annotation("video_id", 5),
        r"annotations\[1\] \(id 2\): video_id 5 is not among the ids of videos",
    ),
    "unknown category": (
        annotation("category_id", 2),
        r"annotations\[1\] \(id 2\): category_id 2 is not among the ids of categories",
    ),
    "annotation id twice": (annotation("id", 1), "id 1 stands twice, first at annotations"),
    "no segmentations": (
        lambda c: c["annotations"][1].pop("segmentations"),
        r"annotations\[1\] \(id 2\): key 'segmentations' is missing",
    ),
    "too few masks": (annotation("segmentations", [None] * 5), f"segmentations {ONE_SHORT}"),
    "too few boxes": (annotation("bboxes", [None] * 5), f"bboxes {ONE_SHORT}"),
    "too few areas": (annotation("areas", [None] * 5), f"areas {ONE_SHORT}"),
    "too few occlusions": (annotation("occlusion", [None] * 5), f"occlusion {ONE_SHORT}"),
    "occlusion of a number": (annotation("occlusion", [1] * 6), r"occlusion\[0\] must be a word"),
    "mask of another size": (
        mask({"size": [16, 12], "counts": [192]}),
        r"annotations\[0\] \(id 1\): segmentations\[3\]: RLE size must be \[12, 16\], got \[16",
    ),
    "wrong sum": (
        mask({"size": [12, 16], "counts": [190]}),
        r"annotations\[0\] \(id 1\): segmentations\[3\]: RLE counts must sum to 12x16 = 192",
    ),
    "malformed polygon": (mask([[1, 2, 3]]), r"segmentations\[3\]: a polygon must have x, y of 3"),
    "not a mask": (mask(0), r"segmentations\[3\]: a mask must be an RLE object or .*, got 0"),
}


@pytest.mark.parametrize(("change", "message"), FAULTS.values(), ids=list(FAULTS))
def test_a_fault_names_the_file_and_the_item(
    video_folder: Any, change: Change, message: str
) -> None:
    assert_fault(
        lambda path: read_youtube_vis(path, video_folder.root), video_folder.save(change), message
    )


def test_a_broken_compressed_mask_is_named_when_it_is_used(video_folder: Any) -> None:
    path = video_folder.save(mask({"size": [12, 16], "counts": "0P"}))
    video_set = read_youtube_vis(path)
    with pytest.raises(InputError, match=r"annotation 1 segmentations\[3\]: RLE counts end insi"):
        video_set.read_masks(video_set.videos[0], video_set.videos[0].instances, [3])
