"""Segment still images with a video model, as the last frame of a clip of copies (paper A.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch

from vidgap_segmenter import ClipSegmenter, instance_inference
from vidgap_vis.classes import ClassList
from vidgap_vis.data.datasets import channels_first
from vidgap_vis.errors import InputError
from vidgap_vis.formats import ImageSet, Rle
from vidgap_vis.formats.coco import ImageInfo, ImageMask
from vidgap_vis.inference.step import MAX_SIZE, with_short_edge


@torch.inference_mode()
def segment_images(
    model: ClipSegmenter,
    images: ImageSet,
    *,
    num_copies: int,
    short_edge: int | None = None,
    max_size: int = MAX_SIZE,
    top_k: int = 100,
    progress: Callable[[Iterable[ImageInfo]], Iterable[ImageInfo]] = iter,
) -> Iterator[ImageMask]:
    """Yield predicted instances, image by image.

    Args:
        model: in eval mode; images go to its device.
        images: what is segmented; truth in it is not read.
        num_copies: copies of an image that make its clip, usually the T of training.
        short_edge: images are resized to it first, masks back to the image's size; None: as is.
        max_size: the long edge does not exceed this where images are resized.
        top_k: instances of an image.
        progress: wraps the iteration, as tqdm does.

    Raises:
        InputError: an image is missing or does not decode.
    """
    device = next(model.parameters()).device
    for index, image in enumerate(progress(images.images)):
        picture = channels_first(images.read_image(index))
        picture = with_short_edge(picture, short_edge, max_size)
        output = model.segment_image(picture[None].to(device), num_copies)
        found = instance_inference(output, image.size, top_k)[0][0]
        for label, score, mask in zip(
            found.labels.tolist(), found.scores.tolist(), found.masks.cpu().numpy(), strict=True
        ):
            if mask.any():
                yield ImageMask(image.id, label, Rle.encode(mask), score)


def check_same_classes(images: ImageSet, classes: ClassList) -> None:
    """Raise InputError where a model's labels mean other classes than the images' labels."""
    wanted = [info.name for info in classes]
    names = [info.name for info in images.classes]
    if names != wanted:
        differing = next(
            (pair for pair in zip(wanted, names, strict=False) if pair[0] != pair[1]),
            (f"{len(wanted)} classes", f"{len(names)}"),
        )
        message = f"must be the model's, wanted {differing[0]!r}, got {differing[1]!r}"
        raise InputError(images.path, "categories", message)
