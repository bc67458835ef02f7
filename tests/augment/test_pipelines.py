"""The paper's pipelines: sizes, arms of the ablations, workers, and unusual samples."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import pytest
import torch
from augment.clips import SEEDS, assert_same, assert_whole, generator, make_clip, make_image
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors

from vidgap_augment import (
    ClipCompose,
    Sample,
    VideoAutoAugment,
    VideoCopyPaste,
    finetune_pseudo_clips,
    finetune_real_clips,
    pretrain_clips,
)

ARMS = [None, "video", "image"]
SMALL: dict[str, Any] = {
    "crop_short_edges": (20, 30),
    "crop_range": (12, 24),
    "short_edges": (16, 20, 24),
    "max_size": 30,
}


def pipelines(arm: Any = "video") -> dict[str, ClipCompose]:
    arms = {"auto_augment": arm, "copy_paste": arm, "paste_probability": 1.0}
    real = {key: SMALL[key] for key in ("crop_range", "short_edges", "max_size")}
    return {
        "pretrain": pretrain_clips(3, (24, 32), **arms),
        "pretrain, own size": pretrain_clips(2, None, **arms),
        "finetune pseudo": finetune_pseudo_clips(4, **SMALL, **arms),
        "finetune real": finetune_real_clips(**real),
    }


def test_sizes_and_lengths_are_the_paper_s() -> None:
    image = make_image(2, 48, 64)
    pretrain = pretrain_clips()(image, generator())
    assert pretrain["video"].shape == (3, 3, 1024, 1024)
    finetune = finetune_pseudo_clips()(image, generator())
    assert len(finetune["video"]) == 10
    assert max(finetune["video"].shape[2:]) <= 768
    real = finetune_real_clips()(make_clip(2, 10, 48, 64), generator())
    assert len(real["video"]) == 10
    assert min(real["video"].shape[2:]) in (320, 352, 392, 416, 448, 480, 512, 544, 576)


@pytest.mark.parametrize("arms", list(itertools.product(ARMS, ARMS, ["video", "image"])), ids=str)
def test_every_arm_of_the_ablations_gives_whole_clips(arms: tuple[Any, Any, Any]) -> None:
    auto_augment, copy_paste, rotation = arms
    settings: dict[str, Any] = {
        "auto_augment": auto_augment,
        "copy_paste": copy_paste,
        "rotation": rotation,
        "paste_probability": 1.0,
    }
    for pipeline in (
        pretrain_clips(3, (40, 50), **settings),
        finetune_pseudo_clips(3, **SMALL, **settings),
    ):
        members = [type(member) for member in pipeline.transforms]
        assert (VideoAutoAugment in members) == (auto_augment is not None)
        assert (VideoCopyPaste in members) == (copy_paste is not None)
        for seed in range(3):
            assert_whole(pipeline(make_image(3, 60, 70), generator(seed)))


def test_rotation_of_the_pool_turns_only_where_the_clip_does_not() -> None:
    """So all rotations together stay within 15 degrees."""
    for angle, expected in ((15.0, 0.0), (60.0, 0.0), (0.0, 15.0)):
        for pipeline in (
            pretrain_clips(max_rotation_deg=angle),
            finetune_pseudo_clips(max_rotation_deg=angle),
        ):
            pool = next(m for m in pipeline.transforms if isinstance(m, VideoAutoAugment))
            assert pool.rotation.max_rotation_deg == expected


def test_switches_do_not_move_the_draws_of_what_stands_before_them() -> None:
    image = make_image(2, 30, 40)
    plain = pretrain_clips(3, None, auto_augment=None, copy_paste=None)(image, generator(7))
    pasted = pretrain_clips(3, None, auto_augment=None, paste_probability=0.0)(image, generator(7))
    assert torch.equal(plain["masks"][0], pasted["masks"][0]) or torch.equal(
        plain["masks"][0].flip(-1), pasted["masks"][0]
    )


@st.composite
def odd_images(draw: st.DrawFn) -> Sample:
    """Images as data sets have them: no instance, empty, touching, one pixel, many, odd memory."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    count = draw(st.sampled_from([0, 1, 2, 5, 40]))
    g = generator(draw(SEEDS))
    masks = torch.zeros(count, height, width, dtype=torch.bool)
    for mask in masks:
        kind = draw(st.sampled_from(["empty", "pixel", "border", "all", "noise"]))
        if kind == "pixel":
            mask[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = True
        elif kind == "border":
            mask[:, -1] = mask[0] = True
        elif kind == "all":
            mask[:] = True
        elif kind == "noise":
            mask[torch.rand((height, width), generator=g) < 0.3] = True
    image = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=g)
    frames = image.permute(2, 0, 1)  # channels last in memory, as decoders give it
    if draw(st.booleans()):
        masks = masks.flip(-1).transpose(1, 2).contiguous().transpose(1, 2).flip(-1)
    sample = {"image": frames, "masks": masks, "labels": torch.arange(count) % 7}
    if draw(st.booleans()):
        sample["iscrowd"] = torch.randint(0, 2, (count,), generator=g)
    return sample


@settings(max_examples=60)
@given(odd_images(), st.sampled_from(["pretrain", "pretrain, own size", "finetune pseudo"]),
       st.sampled_from(ARMS), SEEDS)  # fmt: skip
def test_any_image_gives_a_whole_clip_with_identities_that_last(
    image: Sample, name: str, arm: Any, seed: int
) -> None:
    before = {key: value.clone() for key, value in image.items()}
    clip = pipelines(arm)[name](image, generator(seed))
    assert_whole(clip)
    ids = clip["ids"].tolist()
    assert len(set(ids)) == len(ids)
    sources = len(image["labels"])
    for instance, label in zip(ids, clip["labels"].tolist(), strict=True):
        assert instance >= sources or label == image["labels"][instance]
    assert all(torch.equal(image[key], before[key]) for key in before), "the input was written to"


@settings(max_examples=30)
@given(st.integers(0, 6), st.integers(1, 5), st.integers(1, 40), st.integers(1, 40), SEEDS)
def test_any_real_clip_stays_whole(n: int, length: int, h: int, w: int, seed: int) -> None:
    clip = make_clip(n, length, h, w, seed % 1000)
    result = pipelines()["finetune real"](clip, generator(seed))
    assert_whole(result)
    assert set(result["ids"].tolist()) <= set(clip["ids"].tolist())
    pasted = ClipCompose([VideoAutoAugment(), VideoCopyPaste(1.0, min_area=1)])
    assert_whole(pasted(clip, generator(seed)))


def test_two_hundred_instances() -> None:
    image = make_image(200, 60, 80)
    for name in ("pretrain", "finetune pseudo"):
        clip = pipelines()[name](image, generator(1))
        assert_whole(clip)
        assert len(clip["ids"]) > 50


def test_given_boxes_outside_are_never_read() -> None:
    image = make_image() | {"boxes": torch.full((3, 4), 1e9)}
    assert_whole(pipelines()["pretrain"](image, generator()))


class Clips(Dataset[Sample]):
    """Four pseudo-clips; all that is random comes from the index."""

    def __init__(self) -> None:
        self.pipeline = pipelines()["pretrain"]

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Sample:
        return self.pipeline(make_image(3, 40, 50, seed=index), generator(index))


def test_spawned_workers_give_the_same_clips() -> None:
    alone = [Clips()[index] for index in range(4)]
    loader = DataLoader(Clips(), batch_size=None, num_workers=1, multiprocessing_context="spawn")
    for one, other in zip(alone, loader, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("name", pipelines())
def test_a_pickled_pipeline_gives_the_same_clip_and_prints_its_settings(name: str) -> None:
    pipeline = pipelines()[name]
    sample = make_clip(2, 3, 40, 50) if "real" in name else make_image(2, 40, 50)
    copy = pickle.loads(pickle.dumps(pipeline))
    assert_same(copy(sample, generator(3)), pipeline(sample, generator(3)))
    assert "probability=0.5" in repr(pipeline)
    assert not list(pipeline.parameters())


def test_clips_are_tv_tensors_that_torchvision_knows() -> None:
    clip = pipelines()["pretrain"](make_image(3, 40, 50), generator())
    assert isinstance(clip["video"], tv_tensors.Video)
    assert isinstance(clip["boxes"], tv_tensors.BoundingBoxes)
    assert clip["boxes"].canvas_size == (24, 32)
