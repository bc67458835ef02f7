"""The files: layout, JSON that others can read, masks that agree, and the same bytes again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from vidgap_vis.errors import InputError
from vidgap_vis.synthetic import (
    CLASS_NAMES,
    SyntheticOptions,
    clip_scene,
    image_scene,
    render,
    write_synthetic,
)
from vidgap_vis.synthetic.annotate import occlusion

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)  # pycocotools' own decode, under NumPy 2

OPTIONS = SyntheticOptions(
    num_train_images=7, num_valid_images=2, num_train_clips=3, num_valid_clips=2, num_frames=12
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic(tmp_path_factory.mktemp("synthetic") / "data", OPTIONS, progress=False)


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def all_bytes(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_layout_and_the_counts_are_those_asked_for(folder: Path) -> None:
    names = set(all_bytes(folder))
    expected = {
        f"{kind}_{split}.json" for kind in ("images", "clips") for split in ("train", "valid")
    }
    for split, images, clips in (("train", 7, 3), ("valid", 2, 2)):
        expected |= {f"images/{split}_{index:05d}.jpg" for index in range(images)}
        expected |= {
            f"frames/{split}_{index:04d}/{t:05d}.jpg" for index in range(clips) for t in range(12)
        }
    assert names == expected


def test_test_clips_are_written_where_they_are_asked_for(tmp_path: Path) -> None:
    options = SyntheticOptions(
        num_train_images=0,
        num_valid_images=0,
        num_train_clips=0,
        num_valid_clips=0,
        num_test_clips=2,
        num_frames=3,
    )
    root = write_synthetic(tmp_path / "data", options, progress=False)
    videos = read(root / "clips_test.json")["videos"]
    assert [video["file_names"][0] for video in videos] == [
        "test_0000/00000.jpg",
        "test_0001/00000.jpg",
    ]
    assert (root / "frames" / "test_0001" / "00002.jpg").is_file()


def test_coco_loads_the_stills_and_agrees_on_areas_and_boxes(folder: Path) -> None:
    coco = COCO(str(folder / "images_train.json"))
    assert [one["name"] for one in coco.loadCats(coco.getCatIds())] == list(CLASS_NAMES)
    assert len(coco.getImgIds()) == 7
    annotations = coco.loadAnns(coco.getAnnIds())
    assert len(annotations) >= 14
    for annotation in annotations:
        assert isinstance(annotation["segmentation"]["counts"], str)
        assert annotation["iscrowd"] == 0
        rows, columns = np.nonzero(coco.annToMask(annotation))
        assert annotation["area"] == len(rows) >= OPTIONS.min_area
        left, top = columns.min(), rows.min()
        assert annotation["bbox"] == [left, top, columns.max() + 1 - left, rows.max() + 1 - top]


def test_the_files_say_what_the_scene_shows(folder: Path) -> None:
    stills = read(folder / "images_valid.json")
    for index, entry in enumerate(stills["images"]):
        scene = image_scene(OPTIONS, "valid", index)
        rendered = render(scene)
        seen = [n for n, mask in enumerate(rendered.masks[:, 0]) if mask.sum() >= OPTIONS.min_area]
        own = [one for one in stills["annotations"] if one["image_id"] == entry["id"]]
        for n, annotation in zip(seen, own, strict=True):
            np.testing.assert_array_equal(
                coco_mask.decode(annotation["segmentation"]), rendered.masks[n, 0]
            )
            assert annotation["category_id"] == scene.instances[n].role.label + 1
            assert annotation["group"] == scene.instances[n].role.group
        picture = cv2.imread(str(folder / "images" / entry["file_name"]))[:, :, ::-1]
        assert np.abs(picture.astype(int) - rendered.frames[0]).mean() < 2


def test_clips_have_one_entry_a_frame_and_null_where_absent(folder: Path) -> None:
    absent = 0
    for split, num in (("train", 3), ("valid", 2)):
        content = read(folder / f"clips_{split}.json")
        assert [video["id"] for video in content["videos"]] == list(range(1, num + 1))
        ids = [annotation["id"] for annotation in content["annotations"]]
        assert ids == list(range(1, len(ids) + 1))
        for index, video in enumerate(content["videos"]):
            rendered = render(clip_scene(OPTIONS, split, index))
            areas = rendered.masks.sum((2, 3))
            present = np.flatnonzero((areas >= OPTIONS.min_area).any(axis=1))
            own = [one for one in content["annotations"] if one["video_id"] == video["id"]]
            for n, annotation in zip(present, own, strict=True):
                absent += check_track(annotation, rendered.masks[n], rendered.footprints[n])
    assert absent > 0


def check_track(annotation: dict[str, Any], masks: np.ndarray, footprints: np.ndarray) -> int:
    """Compare an annotation with masks (T, H, W); return in how many frames it is null."""
    assert (annotation["length"], annotation["height"], annotation["width"]) == masks.shape
    absent = 0
    per_frame = ("segmentations", "bboxes", "areas", "visible_fraction", "occlusion")
    assert {len(annotation[key]) for key in per_frame} == {len(masks)}
    for t, (mask, footprint) in enumerate(zip(masks, footprints, strict=True)):
        entries = [annotation[key][t] for key in per_frame]
        if mask.sum() < OPTIONS.min_area:
            assert entries == [None] * 5
            absent += 1
            continue
        rle, box, area, fraction, word = entries
        np.testing.assert_array_equal(coco_mask.decode(rle), mask)
        assert box == coco_mask.toBbox(rle).tolist()
        assert area == mask.sum()
        assert fraction == round(mask.sum() / footprint.sum(), 4)
        assert word == occlusion(fraction)
    return absent


@pytest.mark.parametrize(
    ("fraction", "word"),
    [
        (1.0, "no_occlusion"),
        (0.95, "no_occlusion"),
        (0.9499, "slight_occlusion"),
        (0.5, "slight_occlusion"),
        (0.4999, "severe_occlusion"),
        (0.01, "severe_occlusion"),
    ],
)
def test_occlusion_in_ovis_words(fraction: float, word: str) -> None:
    assert occlusion(fraction) == word


def test_a_sliver_below_min_area_is_absent_everywhere(folder: Path, tmp_path: Path) -> None:
    strict = write_synthetic(tmp_path / "strict", replace(OPTIONS, min_area=400), progress=False)
    loose, kept = read(folder / "clips_train.json"), read(strict / "clips_train.json")
    areas = [area for one in kept["annotations"] for area in one["areas"] if area is not None]
    assert min(areas) >= 400
    before = [area for one in loose["annotations"] for area in one["areas"] if area is not None]
    assert sorted(areas) == sorted(area for area in before if area >= 400) != sorted(before)
    assert min(one["area"] for one in read(strict / "images_train.json")["annotations"]) >= 400


def test_the_same_options_give_the_same_bytes_whatever_the_workers(
    folder: Path, tmp_path: Path
) -> None:
    again = write_synthetic(tmp_path / "again", OPTIONS, progress=False)
    pooled = write_synthetic(tmp_path / "pooled", OPTIONS, progress=False, workers=2)
    assert all_bytes(folder) == all_bytes(again) == all_bytes(pooled)


def test_another_seed_gives_another_data_set(folder: Path, tmp_path: Path) -> None:
    other = write_synthetic(tmp_path / "other", replace(OPTIONS, seed=1), progress=False)
    ours, theirs = all_bytes(folder), all_bytes(other)
    assert set(ours) == set(theirs)
    assert not any(ours[name] == theirs[name] for name in ours)


def test_a_larger_data_set_begins_with_the_smaller_one(folder: Path, tmp_path: Path) -> None:
    larger = write_synthetic(
        tmp_path / "larger", replace(OPTIONS, num_train_images=9, num_valid_clips=3), progress=False
    )
    ours, theirs = all_bytes(folder), all_bytes(larger)
    assert all(ours[name] == theirs[name] for name in ours if name.endswith(".jpg"))


def test_nothing_asked_for_gives_empty_lists(tmp_path: Path) -> None:
    options = replace(
        OPTIONS, num_train_images=0, num_valid_images=0, num_train_clips=0, num_valid_clips=0
    )
    content = read(write_synthetic(tmp_path / "none", options, progress=False) / "clips_valid.json")
    assert content["videos"] == content["annotations"] == []
    assert len(content["categories"]) == 4


def test_a_folder_that_holds_something_is_left_alone_unless_told(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    options = replace(OPTIONS, num_train_images=1, num_train_clips=0)
    with pytest.raises(InputError, match="not empty"):
        write_synthetic(tmp_path, options, progress=False)
    assert all_bytes(tmp_path) == {"mine.txt": b"mine"}
    write_synthetic(tmp_path, options, progress=False, overwrite=True)
    assert "mine.txt" not in all_bytes(tmp_path)


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vidgap_vis.synthetic.write.write_picture", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_synthetic(tmp_path / "data", OPTIONS, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_workers_must_be_one_or_more(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="workers must be 1 or more, got 0"):
        write_synthetic(tmp_path / "data", OPTIONS, progress=False, workers=0)


def test_progress_counts_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_synthetic(tmp_path / "data", replace(OPTIONS, num_train_clips=0, num_valid_clips=1))
    assert "21/21" in capsys.readouterr().err  # 7 + 2 stills, 12 frames
