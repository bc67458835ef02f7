"""Samples in any structure, as torchvision's transforms take them, with or without masks."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from typing import Any, NamedTuple

import pytest
import torch
from augment.clips import assert_same, assert_whole, generator, make_clip, make_image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from vidgap_augment import (
    ClipCompose,
    ClipFixedCrop,
    ClipFlip,
    ClipResize,
    ClipScaleJitter,
    PseudoClip,
    SanitizeInstances,
    SlowRotation,
    VideoAutoAugment,
    VideoCopyPaste,
    pretrain_clips,
)
from vidgap_augment.boxes import corner_boxes

PIPELINE = ClipCompose([SlowRotation(), ClipScaleJitter((20, 20), (0.8, 1.2)), ClipFlip()])


class Pair(NamedTuple):
    picture: Any
    target: Any


def test_a_tuple_of_image_and_target_is_taken_as_detection_data_sets_give_it() -> None:
    image = make_image(height=40, width=50)
    target = {key: image[key] for key in ("masks", "labels")} | {"image_id": 7, "name": "a.jpg"}
    video, new = PseudoClip(3)((image["image"], target), generator())
    flat = PseudoClip(3)(image, generator())
    assert isinstance(video, tv_tensors.Video)
    assert_same({"video": video, **{k: new[k] for k in flat if k != "video"}}, flat)
    assert new["image_id"] == 7
    assert new["name"] == "a.jpg"
    assert "ids" not in target, "the given target was written to"


def test_deep_nesting_and_types_of_containers_stay() -> None:
    clip = make_clip()
    nested = {
        "meta": [1, ("x", None)],
        "inner": Pair([clip["video"]], {k: clip[k] for k in clip if k != "video"}),
    }
    result = PIPELINE(nested, generator(2))
    flat = PIPELINE(clip, generator(2))
    assert isinstance(result["inner"], Pair)
    assert result["meta"] == [1, ("x", None)]
    assert_same({"video": result["inner"].picture[0], **result["inner"].target}, flat)


def test_leaves_that_mean_nothing_pass_through_as_they_are() -> None:
    depth, noise = torch.rand(12, 15), object()
    result = ClipFlip(1.0)(make_clip() | {"depth": depth, "more": {"noise": noise}}, generator())
    assert result["depth"] is depth
    assert result["more"]["noise"] is noise


def test_a_tuple_without_labels_keeps_a_row_for_each_instance() -> None:
    """The caller may know more of the instances by their rows, so rows must not move."""
    clip = make_clip(4)
    clip["masks"][1] = False
    video, masks = PIPELINE((clip["video"], clip["masks"]), generator(1))
    assert masks.shape[:2] == (4, 3)
    assert not masks[1].any()
    assert torch.equal(video, PIPELINE(clip, generator(1))["video"])


def test_a_video_alone_is_moved_too() -> None:
    clip = make_clip()
    for alone in (tv_tensors.Video(clip["video"]), {"video": clip["video"]}):
        result = PIPELINE(alone, generator(1))
        video = result["video"] if isinstance(result, dict) else result
        assert torch.equal(video, PIPELINE(clip, generator(1))["video"])


def test_image_samples_go_through_clip_transforms_as_images() -> None:
    image = make_image(height=40, width=50) | {"boxes": torch.zeros(3, 4)}
    result = ClipCompose([ClipFlip(1.0), VideoAutoAugment(), ClipResize((20,))])(
        image, generator(1)
    )
    assert isinstance(result["image"], tv_tensors.Image)
    assert result["image"].shape == (3, 20, 25)
    assert result["masks"].shape == (3, 20, 25)
    assert result["boxes"].shape == (3, 4)
    assert "ids" not in result


def test_torchvision_s_own_transforms_work_before_and_after() -> None:
    pipeline = v2.Compose(
        [
            v2.RandomHorizontalFlip(1.0),
            pretrain_clips(3, (32, 32), scale_range=(0.8, 1.2)),
            v2.RandomGrayscale(1.0),
            v2.RandomCrop((16, 16)),
            v2.ToDtype({tv_tensors.Video: torch.float32, "others": None}, scale=True),
        ]
    )
    torch.manual_seed(0)
    image = make_image(height=40, width=50)
    clip = pipeline((image["image"], {"masks": image["masks"], "labels": image["labels"]}))
    video, target = clip
    assert video.shape == (3, 3, 16, 16)
    assert video.dtype == torch.float32
    assert target["masks"].shape[1:] == (3, 16, 16)
    assert len(target["labels"]) == len(target["ids"]) == len(target["masks"])
    assert target["boxes"].shape == (3 * len(target["ids"]), 4)


def test_two_pictures_in_one_sample_are_refused() -> None:
    clip = make_clip() | {"next": tv_tensors.Video(make_clip()["video"])}
    with pytest.raises(
        ValueError, match=r"one of its frames, got sample\['video'\] and sample\['next"
    ):
        ClipFlip()(clip)


def test_a_message_names_the_path_through_the_structure() -> None:
    with pytest.raises(ValueError, match=r"sample\.target\[1\]\['video'\] must be \(T, 3, H, W\)"):
        ClipFlip()(Pair(None, [{}, {"video": torch.zeros(1, 3, 4, 5)}]))


def boxes_only(boxes: Tensor, num_frames: int, height: int = 40, width: int = 60) -> dict[str, Any]:
    return {
        "video": torch.zeros(num_frames, 3, height, width, dtype=torch.uint8),
        "boxes": corner_boxes(boxes.flatten(0, 1), (height, width)),
        "labels": torch.arange(len(boxes)),
        "ids": torch.arange(len(boxes)),
    }


def test_boxes_without_masks_move_as_the_boxes_of_full_rectangles() -> None:
    boxes = torch.tensor([[[5, 8, 20, 30], [6, 8, 21, 30]], [[40, 2, 55, 12], [0, 0, 0, 0]]])
    sample = boxes_only(boxes, 2)
    masks = torch.zeros(2, 2, 40, 60, dtype=torch.bool)
    for n, rows in enumerate(boxes.tolist()):
        for t, (left, top, right, bottom) in enumerate(rows):
            masks[n, t, top:bottom, left:right] = True
    several = [
        ClipFixedCrop((30, 50)),
        ClipResize((60,), 200),
        ClipFixedCrop((80, 70)),
        ClipFlip(1.0),
    ]
    for transform in (
        ClipFlip(1.0),
        ClipFixedCrop((30, 50)),
        ClipResize((80,), 200),
        SlowRotation(),
        ClipCompose(several),
    ):
        moved = transform(sample, generator(3))
        by_masks = transform(sample | {"masks": masks}, generator(3))
        assert moved["boxes"].shape == by_masks["boxes"].shape
        assert (moved["boxes"] - by_masks["boxes"]).abs().max() <= 1
        assert torch.equal(moved["ids"], by_masks["ids"])


def test_boxes_in_another_format_are_read_by_it() -> None:
    xywh = tv_tensors.BoundingBoxes(
        torch.tensor([[5.0, 8.0, 10.0, 4.0]]), format="XYWH", canvas_size=(40, 60)
    )
    sample = boxes_only(torch.zeros(1, 1, 4), 1) | {"boxes": xywh}
    assert ClipFlip(1.0)(sample, generator())["boxes"].tolist() == [[45, 8, 55, 12]]


def test_boxes_that_are_no_multiple_of_the_frames_are_refused() -> None:
    sample = boxes_only(torch.zeros(1, 2, 4), 2)
    with pytest.raises(ValueError, match=r"a row for each of the 2 frames .*, got 3 rows"):
        ClipFlip()(sample | {"boxes": torch.zeros(3, 4), "labels": torch.arange(1)})


@pytest.mark.parametrize("transform", [VideoCopyPaste(), SanitizeInstances()], ids=str)
def test_what_needs_masks_says_so(transform: Any) -> None:
    with pytest.raises(ValueError, match=f"masks for {type(transform).__name__}, got none"):
        transform(boxes_only(torch.zeros(1, 2, 4), 2))
    assert transform({"video": make_clip()["video"]}).keys() == {"video"}


def test_crowds_are_no_pivots_and_keep_their_mark() -> None:
    image = make_image(2, 40, 50) | {"iscrowd": torch.tensor([1, 1])}
    paste = ClipCompose([PseudoClip(2), VideoCopyPaste(1.0, min_area=1)])
    assert len(paste(image, generator())["ids"]) == 2
    image["iscrowd"] = torch.tensor([1, 0])
    clip = paste(image, generator())
    assert clip["ids"].tolist() == [0, 1, 2]
    assert clip["iscrowd"].tolist() == [1, 0, 0]
    listed = paste(image | {"iscrowd": [1, 0]}, generator())
    assert listed["iscrowd"] == [1, 0, 0]
    assert clip["labels"][2] == image["labels"][1]


def test_sanitize_makes_what_is_too_small_absent_and_drops_what_is_always_so() -> None:
    clip = make_clip(3, 2, 20, 20)
    clip["masks"].zero_()
    clip["masks"][0, 0, 2:8, 2:8] = True  # large, then small
    clip["masks"][0, 1, 2:3, 2:8] = True
    clip["masks"][1, :, 0, 0] = True  # always small
    clip["masks"][2, :, 10:15, 10:15] = True
    result = SanitizeInstances(min_area=9, min_size=3)(clip, generator())
    assert_whole(result)
    assert torch.equal(result["ids"], clip["ids"][[0, 2]])
    assert not result["masks"][0, 1].any()
    assert torch.equal(result["masks"][0, 0], clip["masks"][0, 0])


def test_image_and_target_are_one_sample_as_torchvision_calls() -> None:
    image = make_image(2, 40, 50)
    target = {"masks": image["masks"], "labels": image["labels"]}
    pipeline = v2.Compose([v2.RandomHorizontalFlip(1.0), PseudoClip(3), ClipFlip(1.0)])
    torch.manual_seed(4)
    video, new = pipeline(image["image"], target)
    torch.manual_seed(4)
    again, same = pipeline((image["image"], target))
    assert torch.equal(video, again)
    assert_same(new, same)
    seeded = PseudoClip(3)(image["image"], target, generator(1))
    assert_same(seeded[1], PseudoClip(3)((image["image"], target), generator=generator(1))[1])


def test_dicts_of_other_kinds_stay_what_they_are() -> None:
    ordered = OrderedDict(reversed(list(make_clip().items())))
    result = ClipFlip()(ordered, generator())
    assert type(result) is OrderedDict
    assert list(result)[:4] == list(ordered)
    assert type(ClipFlip()(defaultdict(list, make_clip()), generator())) is defaultdict
