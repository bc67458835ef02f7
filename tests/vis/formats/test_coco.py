"""COCO JSON: what a right file gives, and that every fault names the file and the item."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vis.support.faults import assert_fault

from vidgap_vis.errors import InputError
from vidgap_vis.formats import read_coco

Change = Callable[[dict[str, Any]], object]


def test_a_right_file_gives_images_instances_and_classes(image_folder: Any) -> None:
    image_set = read_coco(image_folder.save(), image_folder.root)
    assert [(c.index, c.category_id, c.name) for c in image_set.classes] == [
        (0, 4, "ant"),
        (1, 9, "cat"),
    ]
    assert [image.id for image in image_set.images] == [10, 11, 12]
    first, second, third = image_set.images
    assert [(i.id, i.label, i.area) for i in first.instances] == [(1, 1, 24.5), (2, 0, None)]
    assert [crowd.id for crowd in first.crowds] == [3]
    assert (len(second.instances), len(third.instances), image_set.num_crowds) == (1, 0, 1)


def test_images_and_masks_are_those_on_disk(image_folder: Any) -> None:
    image_set = read_coco(image_folder.save(), image_folder.root)
    for index in range(3):
        image, masks = image_set.read_image(index), image_set.read_masks(index)
        assert image.shape == (12, 16, 3)
        assert np.unique(image[..., 0]).tolist() == [100 + index]
        assert masks.shape == (len(image_set.images[index].instances), 12, 16)
    first = image_set.read_masks(0)
    assert first[0, 2, 2:8].all()
    assert first[0, 2:8, 2].all()
    assert not first[0, 7, 7]
    expected = np.zeros((12, 16), dtype=bool)
    expected[1:5, 2:7] = True
    np.testing.assert_array_equal(first[1], expected)


def test_annotations_can_be_read_without_images(image_folder: Any) -> None:
    image_set = read_coco(image_folder.save())
    assert image_set.read_masks(0).any()
    with pytest.raises(InputError, match=r"a\.png: cannot be read: no root"):
        image_set.read_image(0)


def annotation(key: str, value: object) -> Change:
    return lambda content: content["annotations"][1].update({key: value})


def image(key: str, value: object) -> Change:
    return lambda content: content["images"][1].update({key: value})


FAULTS: dict[str, tuple[Change, str]] = {
    "no images key": (lambda c: c.pop("images"), "key 'images' is missing"),
    "no annotations key": (lambda c: c.pop("annotations"), "key 'annotations' is missing"),
    "no categories key": (lambda c: c.pop("categories"), "key 'categories' is missing"),
    "no images": (lambda c: c["images"].clear(), "images: empty"),
    "no categories": (lambda c: c["categories"].clear(), "categories: empty"),
    "images not a list": (lambda c: c.update(images={}), r"images must be a list, got \{\}"),
    "image not an object": (lambda c: c["images"].append(7), r"images\[3\]: must be an object"),
    "image without id": (lambda c: c["images"][1].pop("id"), r"images\[1\]: key 'id' is missing"),
    "image id twice": (
        image("id", 10),
        r"images\[1\] \(id 10\): id 10 stands twice, first at images\[0\]",
    ),
    "image without size": (
        lambda c: c["images"][1].pop("height"),
        r"images\[1\] \(id 11\): key 'height' is missing",
    ),
    "size zero": (image("width", 0), r"images\[1\] \(id 11\): width must be at least 1, got 0"),
    "size of text": (image("width", "16"), "width must be an integer, got '16'"),
    "no file name": (image("file_name", None), "file_name must be a file name, got null"),
    "absolute": (image("file_name", "/etc/a.png"), "leaves the root of the images: '/etc/a.png'"),
    "climbs out": (image("file_name", "s/../../a.png"), r"leaves the root .*: 's/\.\./\.\./a.png'"),
    "drive": (image("file_name", "C:\\a.png"), "leaves the root of the images"),
    "annotation without id": (
        lambda c: c["annotations"][1].pop("id"),
        r"annotations\[1\]: key 'id' is missing",
    ),
    "annotation id twice": (annotation("id", 1), "id 1 stands twice"),
    "annotation id true": (annotation("id", True), "id must be an integer, got True"),
    "unknown image": (
        annotation("image_id", 99),
        r"annotations\[1\] \(id 2\): image_id 99 is not among the ids of images",
    ),
    "unknown category": (
        annotation("category_id", 5),
        r"annotations\[1\] \(id 2\): category_id 5 is not among the ids of categories",
    ),
    "category id twice": (
        lambda c: c["categories"][1].update(id=9),
        r"categories\[1\] \(id 9\): id 9 stands twice",
    ),
    "category without name": (
        lambda c: c["categories"][1].pop("name"),
        r"categories\[1\] \(id 4\): key 'name' is missing",
    ),
    "no segmentation": (
        lambda c: c["annotations"][1].pop("segmentation"),
        r"annotations\[1\] \(id 2\): key 'segmentation' is missing",
    ),
    "empty segmentation": (
        annotation("segmentation", []),
        r"annotations\[1\] \(id 2\): segmentation: a mask must have a polygon",
    ),
    "mask of another size": (
        annotation("segmentation", {"size": [5, 5], "counts": [25]}),
        r"annotations\[1\] \(id 2\): segmentation: RLE size must be \[12, 16\], got \[5, 5\]",
    ),
    "iscrowd of text": (annotation("iscrowd", "no"), "iscrowd must be 0 or 1, got 'no'"),
    "area of text": (annotation("area", "big"), "area must be a finite number, got 'big'"),
}


@pytest.mark.parametrize(("change", "message"), FAULTS.values(), ids=list(FAULTS))
def test_a_fault_names_the_file_and_the_item(
    image_folder: Any, change: Change, message: str
) -> None:
    assert_fault(
        lambda path: read_coco(path, image_folder.root), image_folder.save(change), message
    )


BROKEN_FILES = {
    "syntax": (b'{\n "images": [,]}', r"line 2 column 13: broken JSON \(Expecting value\)"),
    "cut off": (b'{"images": [', "line 1 column 13: broken JSON"),
    "empty": (b"", "line 1 column 1: broken JSON"),
    "not text": (b'{"a": "\xff\xfe"}', "byte 7: not UTF-8 text"),
    "a list": (b"[]", r"must hold a JSON object, got \[\]"),
    "too deep": (b"[" * 200_000, "nested too deeply"),
    "a huge integer": (b'{"a": 1' + b"0" * 5000 + b"}", "an integer of thousands of digits"),
}


@pytest.mark.parametrize(("data", "message"), BROKEN_FILES.values(), ids=list(BROKEN_FILES))
def test_a_broken_file_says_where(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "annotations.json"
    path.write_bytes(data)
    assert_fault(read_coco, path, message)


def test_missing_files_and_folders_are_named(image_folder: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.json: no such file"):
        read_coco(tmp_path / "nowhere.json")
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)"):
        read_coco(tmp_path)
    with pytest.raises(InputError, match=r"nowhere: no such folder"):
        read_coco(image_folder.save(), tmp_path / "nowhere")


def test_a_broken_compressed_mask_is_named_when_it_is_used(image_folder: Any) -> None:
    path = image_folder.save(annotation("segmentation", {"size": [12, 16], "counts": "0P"}))
    image_set = read_coco(path, image_folder.root)
    with pytest.raises(InputError, match=r"annotation 2 segmentation: RLE counts end inside"):
        image_set.read_masks(0)
