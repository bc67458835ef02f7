"""COCO average precision of instance masks on images.

faster-coco-eval computes it where it is installed (extra `eval`), pycocotools otherwise; the
numbers are the same.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vidgap_vis.errors import InputError
from vidgap_vis.formats.coco import ImageInstance, ImageMask, ImageSet
from vidgap_vis.formats.rle import Polygons

IMAGE_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100")
"""The first nine of COCOeval; small, medium and large are split at 32² and 96² pixels."""


Library = Literal["auto", "faster_coco_eval", "pycocotools"]
"""Who computes; auto: the first that is installed."""


def evaluate_images(truth: ImageSet, predictions: Iterable[ImageMask]) -> dict[str, float | None]:
    """Compute COCO AP of predictions for the images of a data set; crowds are ignored.

    Returns:
        Each of `IMAGE_METRICS` in 0..1, None where there is no truth.

    Raises:
        InputError: a mask of the truth is malformed.
        ValueError: a prediction is in no image of `truth`, or its mask has another size.
    """
    truths = [
        _true_mask(truth, image.id, instance, is_crowd)
        for image in truth.images
        for instances, is_crowd in ((image.instances, False), (image.crowds, True))
        for instance in instances
    ]
    return image_metrics(truths, predictions, {image.id: image.size for image in truth.images})


def image_metrics(
    truths: Iterable[ImageMask],
    predictions: Iterable[ImageMask],
    image_sizes: Mapping[int, tuple[int, int]],
    *,
    library: Library = "auto",
) -> dict[str, float | None]:
    """Compute COCO AP over images; prints nothing.

    Args:
        truths: true instances; `score` is not read.
        predictions: predicted instances; those of a label without any truth are not counted.
        image_sizes: (H, W) of every image by id, with and without instances.
        library: who computes it.

    Returns:
        Each of `IMAGE_METRICS` in 0..1, None where there is no truth.

    Raises:
        ValueError: an instance is in no image of `image_sizes`, or its mask has another size.
        ImportError: the library asked for by name is not installed.
    """
    index, evaluation = _classes(library)
    true_instances = _checked(truths, image_sizes)
    labels = sorted({instance.label for instance in true_instances})
    if not labels:
        return dict.fromkeys(IMAGE_METRICS)
    with redirect_stdout(io.StringIO()):
        truth = _fill(index(), true_instances, image_sizes, labels)
        found = _fill(index(), _checked(predictions, image_sizes), image_sizes, labels)
        evaluator = evaluation(truth, found, iouType="segm")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    values = [float(value) for value in evaluator.stats[: len(IMAGE_METRICS)]]
    return {
        name: None if value < 0 else value
        for name, value in zip(IMAGE_METRICS, values, strict=True)
    }


def _true_mask(
    truth: ImageSet, image_id: int, instance: ImageInstance, is_crowd: bool
) -> ImageMask:
    mask = instance.segmentation
    try:
        rle = mask.to_rle() if isinstance(mask, Polygons) else mask.checked()
    except ValueError as error:
        raise InputError(truth.path, f"annotation {instance.id}", str(error)) from None
    return ImageMask(image_id, instance.label, rle, is_crowd=is_crowd, area=instance.area)


def _checked(
    instances: Iterable[ImageMask], image_sizes: Mapping[int, tuple[int, int]]
) -> list[ImageMask]:
    """Return the instances as a list; pycocotools would take any size and image in silence."""
    checked = list(instances)
    for instance in checked:
        if instance.image_id not in image_sizes:
            raise ValueError(
                f"instance of label {instance.label}: there is no image {instance.image_id}"
            )
        wanted, got = image_sizes[instance.image_id], instance.mask.size
        if got != wanted:
            raise ValueError(f"image {instance.image_id}: masks must be {wanted}, got {got}")
    return checked


def _classes(library: Library) -> tuple[type[Any], type[Any]]:
    """Return the classes that index annotations and that evaluate them."""
    installed = find_spec("faster_coco_eval") is not None
    if library == "pycocotools" or (library == "auto" and not installed):
        return COCO, COCOeval
    if not installed:
        raise ImportError("faster_coco_eval is not installed: pip install 'vidgap-vis[eval]'")
    faster = import_module("faster_coco_eval")
    return faster.COCO, faster.COCOeval_faster


def _fill(
    coco: Any,
    instances: Sequence[ImageMask],
    image_sizes: Mapping[int, tuple[int, int]],
    labels: Sequence[int],
) -> Any:
    """Fill an empty index; ids count from 1, for pycocotools reads 0 as "not matched"."""
    coco.dataset = {
        "images": [
            {"id": image_id, "height": height, "width": width}
            for image_id, (height, width) in image_sizes.items()
        ],
        "categories": [{"id": label} for label in labels],
        "annotations": [_annotation(i, instance) for i, instance in enumerate(instances, start=1)],
    }
    coco.createIndex()
    return coco


def _annotation(annotation_id: int, instance: ImageMask) -> dict[str, Any]:
    area = instance.area
    return {
        "id": annotation_id,
        "image_id": instance.image_id,
        "category_id": instance.label,
        "segmentation": instance.mask.to_dict(),
        "area": instance.mask.area() if area is None else area,
        "iscrowd": int(instance.is_crowd),
        "score": instance.score,
    }
