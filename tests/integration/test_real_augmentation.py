"""The pipelines on real images and clips, if available: the results are whole clips."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from augment.clips import assert_whole

from vidgap_augment import Sample, finetune_pseudo_clips, finetune_real_clips, pretrain_clips
from vidgap_vis.data import VideoClipDataset
from vidgap_vis.data.datasets import channels_first
from vidgap_vis.formats import read_coco, read_youtube_vis

pytestmark = pytest.mark.skipif(
    "VIDGAP_REAL_DATA" not in os.environ,
    reason="VIDGAP_REAL_DATA does not name a folder with coco_mini and vis_mini",
)


@pytest.fixture
def folder() -> Path:
    return Path(os.environ["VIDGAP_REAL_DATA"])


@pytest.fixture
def images(folder: Path) -> list[Sample]:
    found = read_coco(folder / "coco_mini" / "instances_train.json", folder / "coco_mini")
    return [
        {
            "image": channels_first(found.read_image(index)),
            "masks": torch.from_numpy(found.read_masks(index)),
            "labels": torch.tensor([i.label for i in found.images[index].instances]).long(),
        }
        for index in range(len(found))
    ]


def test_every_real_image_becomes_a_clip_with_lasting_identities(images: list[Sample]) -> None:
    pretrain = pretrain_clips(3, (160, 160), paste_probability=1.0)
    finetune = finetune_pseudo_clips(
        5, crop_short_edges=(200,), crop_range=(120, 180), short_edges=(128,), max_size=200,
        paste_probability=1.0,
    )  # fmt: skip
    pasted = 0
    for index, image in enumerate(images):
        for pipeline in (pretrain, finetune):
            clip = pipeline(image, torch.Generator().manual_seed(index))
            assert_whole(clip)
            sources = len(image["labels"])
            for instance, label in zip(clip["ids"].tolist(), clip["labels"].tolist(), strict=True):
                assert instance >= sources or label == image["labels"][instance]
            pasted += int((clip["ids"] >= sources).sum())
    assert pasted > len(images)


def test_real_clips_stay_whole(folder: Path) -> None:
    videos = read_youtube_vis(
        folder / "vis_mini" / "train.json", folder / "vis_mini" / "JPEGImages"
    )
    real = finetune_real_clips(crop_range=(150, 300), short_edges=(96, 128), max_size=200)
    dataset = VideoClipDataset(videos, 5, 5, real, seed=0)
    for epoch in range(2):
        for index in range(len(dataset)):
            assert_whole(dataset[(epoch, index)])
