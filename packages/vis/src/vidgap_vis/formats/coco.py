"""COCO JSON: still images with instances."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import isfinite
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidgap_vis.classes import ClassList
from vidgap_vis.errors import InputError
from vidgap_vis.formats.images import Picture, read_image
from vidgap_vis.formats.records import (
    Record,
    check_file_name,
    check_root,
    collection_paused,
    index_by_id,
    read_classes,
    read_record,
)
from vidgap_vis.formats.rle import Rle, Segmentation, Size, read_segmentation

COCO_CATEGORIES = Path(__file__).with_name("coco_categories.json")
"""The 80 classes of COCO under `categories`."""


@dataclass(frozen=True, slots=True)
class ImageInstance:
    """One annotated object of an image.

    Attributes:
        id: the annotation's id.
        label: class index.
        segmentation: its mask, decoded when used.
        area: as annotated, in pixels (by which COCO's AP tells small from large), or None.
    """

    id: int
    label: int
    segmentation: Segmentation
    area: float | None = None


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """One image.

    Attributes:
        id: the image's id.
        file_name: relative to the root of the images.
        size: (H, W).
        instances: its objects, in the file's order.
        crowds: regions of many objects: not trained on, and ignored in evaluation.
    """

    id: int
    file_name: str
    size: Size
    instances: tuple[ImageInstance, ...]
    crowds: tuple[ImageInstance, ...] = ()


@dataclass(frozen=True)
class ImageMask:
    """One instance of an image, true or predicted.

    Attributes:
        image_id: the image it is in.
        label: its class.
        mask: its pixels.
        score: how sure a prediction is; any finite number, more is surer.
        is_crowd: a truth that stands for many instances; a prediction inside it is ignored.
        area: in pixels, to tell small from large; None means the pixels of the mask.
    """

    image_id: int
    label: int
    mask: Rle
    score: float = 1.0
    is_crowd: bool = False
    area: float | None = None

    def __post_init__(self) -> None:
        if not isfinite(self.score):
            raise ValueError(f"score must be finite, got {self.score} in image {self.image_id}")


@dataclass(frozen=True)
class ImageSet:
    """A data set of annotated still images.

    Attributes:
        path: the annotation file.
        root: the folder of the images; None where only the annotations are wanted.
        classes: all classes that the file lists.
        images: in the file's order; some may have no instance.
    """

    path: Path
    root: Path | None
    classes: ClassList
    images: tuple[ImageInfo, ...]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def num_crowds(self) -> int:
        """The number of crowds, which `read_masks` leaves out."""
        return sum(len(image.crowds) for image in self.images)

    def read_image(self, index: int) -> Picture:
        """Return image `index`, RGB (H, W, 3) uint8; InputError where the file is at fault."""
        image = self.images[index]
        return read_image(self.root, image.file_name, image.size)

    def read_masks(self, index: int) -> NDArray[np.bool_]:
        """Return the masks of image `index`, (N, H, W) bool; InputError where one is malformed."""
        image = self.images[index]
        masks = np.zeros((len(image.instances), *image.size), np.bool_)
        for mask, instance in zip(masks, image.instances, strict=True):
            try:
                mask[:] = instance.segmentation.decode()
            except ValueError as error:
                item = f"annotation {instance.id} segmentation"
                raise InputError(self.path, item, str(error)) from None
        return masks


@collection_paused()
def read_coco(
    json_path: str | PathLike[str], image_root: str | PathLike[str] | None = None
) -> ImageSet:
    """Read instance annotations in COCO's format.

    Args:
        json_path: the annotations.
        image_root: the folder that `file_name` starts from; without it no image can be read.

    Raises:
        InputError: the file or something in it is wrong. The content of compressed masks, and the
            image files, are checked when they are used.
    """
    root = check_root(image_root)
    top = read_record(json_path)
    classes = read_classes(top)
    images = index_by_id(top.records("images"))
    if not images:
        raise InputError(top.file, "images", "empty; at least one image is wanted")
    sizes = {number: record.size() for number, record in images.items()}
    labels = {entry.category_id: entry.index for entry in classes}
    instances: dict[int, list[ImageInstance]] = defaultdict(list)
    crowds: dict[int, list[ImageInstance]] = defaultdict(list)
    for record in index_by_id(top.records("annotations")).values():
        image_id = record.reference("image_id", sizes, "images")
        label = labels[record.reference("category_id", labels, "categories")]
        kind = crowds if record.is_crowd() else instances
        kind[image_id].append(_read_instance(record, label, sizes[image_id]))
    return ImageSet(
        top.file,
        root,
        classes,
        tuple(
            ImageInfo(
                number,
                check_file_name(record, "file_name", record.value("file_name")),
                sizes[number],
                tuple(instances[number]),
                tuple(crowds[number]),
            )
            for number, record in images.items()
        ),
    )


def _read_instance(record: Record, label: int, size: Size) -> ImageInstance:
    segmentation = read_segmentation(record, "segmentation", record.value("segmentation"), size)
    return ImageInstance(record.integer("id"), label, segmentation, record.optional_number("area"))
