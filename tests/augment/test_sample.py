"""Boxes, dropped instances, and the errors of malformed samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from augment.clips import assert_same, assert_whole, clips, make_clip, make_image, slow_boxes
from hypothesis import given

from vidgap_augment import (
    ClipFlip,
    PseudoClip,
    Sample,
    SlowRotation,
    boxes_from_masks,
    drop_empty,
    finetune_pseudo_clips,
    finetune_real_clips,
    pretrain_clips,
)


@given(clips())
def test_boxes_are_tight_around_the_pixels(clip: Sample) -> None:
    boxes = boxes_from_masks(clip["masks"])
    assert boxes.dtype == torch.float32
    assert torch.equal(torch.Tensor(boxes), slow_boxes(clip["masks"]))


def test_box_of_one_pixel_is_one_pixel_large() -> None:
    masks = torch.zeros(1, 2, 5, 7, dtype=torch.bool)
    masks[0, 1, 3, 6] = True
    boxes = boxes_from_masks(masks)
    assert boxes.tolist() == [[0, 0, 0, 0], [6, 3, 7, 4]]
    assert boxes.canvas_size == (5, 7)


def test_boxes_of_masks_that_are_not_contiguous() -> None:
    masks = make_clip(seed=3)["masks"].transpose(2, 3)[:, ::2]
    assert torch.equal(torch.Tensor(boxes_from_masks(masks)), slow_boxes(masks))


def test_boxes_of_no_instances_are_no_boxes() -> None:
    assert boxes_from_masks(torch.zeros(0, 3, 4, 5, dtype=torch.bool)).shape == (0, 4)


@pytest.mark.parametrize(
    "masks",
    [torch.zeros(3, 4, 5, dtype=torch.bool), torch.zeros(1, 3, 4, 5), torch.ones(1, 1, 0, 5) > 0],
    ids=["rank", "dtype", "no pixels"],
)
def test_boxes_refuse_what_is_no_clip_of_masks(masks: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"masks must be \(N, T, H, W\) bool with pixels, got \("):
        boxes_from_masks(masks)


def test_drop_empty_removes_an_instance_only_when_no_frame_has_it() -> None:
    clip = make_clip(num_instances=4)
    clip["masks"][1] = False
    clip["masks"][2, :2] = False
    clip["masks"][2, 2, 0, 0] = True
    dropped = drop_empty(clip)
    keep = torch.tensor([0, 2, 3])
    assert_whole(dropped)
    assert torch.equal(dropped["ids"], clip["ids"][keep])
    assert torch.equal(dropped["labels"], clip["labels"][keep])
    assert torch.equal(dropped["masks"], clip["masks"][keep])
    assert len(clip["ids"]) == 4


def test_drop_empty_passes_other_keys_through_and_makes_stale_boxes_anew() -> None:
    clip = make_clip() | {"boxes": torch.zeros(9, 4), "file": "a.jpg"}
    dropped = drop_empty(clip)
    assert_whole(dropped)
    assert dropped["file"] == "a.jpg"
    assert_same(drop_empty(make_clip()), {k: v for k, v in dropped.items() if k != "file"})


BAD_CLIPS = [
    ("video", torch.zeros(3, 3, 12, 15), r"\['video'\] must be \(T, 3, H, W\) uint8, got .*float"),
    ("video", torch.zeros(3, 1, 12, 15).byte(), r"\(T, 3, H, W\) uint8, got \(3, 1, 12, 15\)"),
    ("video", torch.zeros(3, 12, 15).byte(), r"\(T, 3, H, W\) uint8, got \(3, 12, 15\) uint8"),
    ("video", [[1]], r"\['video'\] must be a tensor \(T, 3, H, W\) uint8, got list"),
    ("masks", torch.zeros(3, 3, 12, 15).byte(), r"\(N, 3, 12, 15\) bool, got \(3, 3, 12, 15\) ui"),
    ("masks", torch.zeros(3, 3, 12, 14) > 0, r"\(N, 3, 12, 15\) bool, got \(3, 3, 12, 14\) bool"),
    ("masks", torch.zeros(3, 2, 12, 15) > 0, r"\(N, 3, 12, 15\) bool, got \(3, 2, 12, 15\) bool"),
    ("labels", torch.zeros(2).long(), r"\['labels'\] must be \(3,\) int64, got \(2,\) int64"),
    ("labels", torch.zeros(3), r"\['labels'\] must be \(3,\) int64, got \(3,\) float32"),
    ("ids", torch.zeros(3, 1).long(), r"\['ids'\] must be \(3,\) int64, got \(3, 1\) int64"),
]


@pytest.mark.parametrize(("key", "value", "message"), BAD_CLIPS)
def test_malformed_clip_is_refused_by_key(key: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClipFlip()(make_clip() | {key: value})


@pytest.mark.parametrize("key", ["masks", "labels", "ids"])
def test_missing_key_is_named(key: str) -> None:
    clip = make_clip()
    del clip[key]
    with pytest.raises(ValueError, match=rf"must have the key '{key}', got the keys \["):
        ClipFlip()(clip)


def test_clip_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\['video'\] must have pixels, got \(0, 3, 12, 15\)"):
        finetune_real_clips()(make_clip(num_frames=0))


def test_sample_without_a_picture_is_refused() -> None:
    clip = make_clip()
    del clip["video"]
    with pytest.raises(ValueError, match=r"must hold an image or a video, got the keys \['masks'"):
        ClipFlip()(clip)
    with pytest.raises(ValueError, match="must hold an image or a video, got int"):
        ClipFlip()(3)


BAD_IMAGES = [
    ("image", torch.zeros(1, 12, 15).byte(), r"\(3, H, W\) uint8, got \(1, 12, 15\) uint8"),
    ("image", torch.zeros(4, 12, 15).byte(), r"\(3, H, W\) uint8, got \(4, 12, 15\) uint8"),
    ("image", torch.zeros(12, 15).byte(), r"\(3, H, W\) uint8, got \(12, 15\) uint8"),
    ("image", torch.zeros(3, 0, 15).byte(), r"\['image'\] must have pixels, got \(3, 0, 15\)"),
    ("image", torch.zeros(3, 12, 15), r"\['image'\] must be \(3, H, W\) uint8, got .* float32"),
    ("image", torch.zeros(3, 12, 15), r"v2.ToDtype\(torch.uint8, scale=True\) turns 0..1"),
    ("image", np.zeros((12, 15, 3), np.uint8), r"must be a tensor .* got ndarray"),
    (
        "masks",
        torch.zeros(3, 12, 16) > 0,
        r"\['masks'\] must be \(N, 12, 15\) bool, got \(3, 12, ",
    ),
    ("masks", torch.zeros(12, 15) > 0, r"\(N, 12, 15\) bool, got \(12, 15\) bool"),
    ("masks", torch.zeros(3, 12, 15).byte(), r"\(N, 12, 15\) bool, got \(3, 12, 15\) uint8"),
    ("masks", None, r"\['masks'\] must be a tensor .* bool, got NoneType"),
    ("labels", torch.zeros(4).long(), r"\['labels'\] must be \(3,\) int64, got \(4,\) int64"),
    ("labels", torch.zeros(3), r"\['labels'\] must be \(3,\) int64, got \(3,\) float32"),
    ("labels", [1, 2, 3], r"\['labels'\] must be a tensor \(3,\) int64, got list"),
    ("iscrowd", torch.zeros(2), r"\['iscrowd'\] must be \(3,\), got \(2,\) float32"),
    ("iscrowd", [None, 1, 0], r"\['iscrowd'\] must be 0 or 1 each, got \[None, 1, 0\]"),
    ("iscrowd", [0, 5, 0], r"\['iscrowd'\] must be 0 or 1 each, got \[0, 5, 0\]"),
]


@pytest.mark.parametrize(("key", "value", "message"), BAD_IMAGES)
def test_malformed_image_is_refused_by_key(key: str, value: Any, message: str) -> None:
    for transform in (PseudoClip(), pretrain_clips(), finetune_pseudo_clips()):
        with pytest.raises(ValueError, match=message):
            transform(make_image() | {key: value})


def test_image_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\['image'\] must have pixels, got \(3, 0, 15\)"):
        PseudoClip()(make_image(height=0))


def test_pseudo_clip_of_a_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="sample must hold an image, got a clip of 3 frames"):
        PseudoClip()(make_clip())


def test_masks_elsewhere_than_the_frames_are_refused() -> None:
    clip = make_clip()
    clip["video"] = clip["video"].to("meta")
    with pytest.raises(
        ValueError, match=r"\['masks'\] must be on meta as sample\['video'\], got c"
    ):
        SlowRotation()(clip)


def test_masks_that_are_not_bool_and_pictures_are_told_what_to_do() -> None:
    clip = make_clip()
    with pytest.raises(ValueError, match=r"got .* uint8; masks > 0 makes them bool"):
        ClipFlip()(clip | {"masks": clip["masks"].byte()})
    from PIL import Image

    picture = Image.fromarray(np.zeros((4, 5, 3), np.uint8))
    target = {"masks": torch.zeros(1, 4, 5) > 0, "labels": torch.zeros(1).long()}
    with pytest.raises(ValueError, match=r"tuple of Image, dict; v2.ToImage\(\) makes tensors"):
        PseudoClip()((picture, target))


def test_a_clip_with_labels_needs_ids_however_it_is_given() -> None:
    clip = make_clip()
    target = {key: clip[key] for key in ("masks", "labels")}
    for sample in ((clip["video"], target), {"video": clip["video"], **target}):
        with pytest.raises(ValueError, match=r"must have the key 'ids', got the keys \["):
            ClipFlip()(sample)


@pytest.mark.parametrize("ids", [[5, 5, 1], [2**62, 1, 2]])
def test_ids_that_leave_no_new_one_are_refused(ids: list[int]) -> None:
    message = r"sample\['ids'\] must (differ, got 5 more than once|be below 4611686018427387904)"
    with pytest.raises(ValueError, match=message):
        ClipFlip()(make_clip(3) | {"ids": torch.tensor(ids)})
