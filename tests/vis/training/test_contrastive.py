"""CTVIS's fine-tuning: its loss beside the segmenter's, from videos and from images alone."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from vis.support.tiny_runs import (
    MODEL,
    TEMPORAL,
    finetune_config,
    pretrain_config,
    weights_of,
    write_images,
    write_shuffled_squares,
    write_videos,
)

from vidgap_vis import build
from vidgap_vis.config import (
    ContrastConfig,
    FinetuneConfig,
    LossConfig,
    ModelConfig,
    PseudoDataConfig,
    TestConfig,
    TrackerConfig,
    VideoDataConfig,
)
from vidgap_vis.data import ClipBatch, collate
from vidgap_vis.errors import ConfigError, InputError
from vidgap_vis.inference.segmenter import VideoSegmenter
from vidgap_vis.trackers.ctvis import CTVISAssociator
from vidgap_vis.training.finetune import finetune, make_dataset
from vidgap_vis.training.pretrain import pretrain
from vidgap_vis.training.units import ContrastiveUnit
from vidgap_vis.weights import Usage

HEAD = replace(MODEL, embedding_dim=8)
DINO = replace(HEAD, architecture="mask_dino", strides=(8, 16, 32), num_denoising=4)


def config_of(root: Path, **changes: Any) -> FinetuneConfig:
    config = finetune_config(root, **changes.pop("train", {}))
    return replace(config, model=HEAD, contrast=ContrastConfig(), **changes)


def make_unit(model: ModelConfig, **contrast: Any) -> ContrastiveUnit:
    torch.manual_seed(0)
    network = build.segmenter(model, None, 2)
    criterion = build.criterion(LossConfig(num_points=32), model, 2)
    return ContrastiveUnit(network, criterion, build.contrastive_loss(ContrastConfig(**contrast)))


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    return write_videos(tmp_path / "videos")


@pytest.fixture
def batch(videos: Path) -> ClipBatch:
    dataset, _ = make_dataset(finetune_config(videos))
    return collate([dataset[0, 0], dataset[0, 1]], make_unit(HEAD).model.padding_colour)


@pytest.mark.parametrize("model", [HEAD, DINO], ids=lambda model: model.architecture)
def test_its_loss_comes_on_top_of_the_segmenters(model: ModelConfig, batch: ClipBatch) -> None:
    unit = make_unit(model)
    torch.manual_seed(1)
    got = unit(batch, 0.0)
    torch.manual_seed(1)
    output = unit.model(batch.frames, batch.targets)
    plain = unit.criterion(output, batch.targets)
    parts = unit.contrast(output.embeddings, plain.matchings[0].tables())
    assert {name: part.item() for name, part in parts.items()} == {
        name: got.parts[name].item() for name in ("contrast", "cosine")
    }
    wanted = plain.total + 2 * parts["contrast"] + 3 * parts["cosine"]
    torch.testing.assert_close(got.total, wanted)
    got.total.backward()
    heads = [p.grad for n, p in unit.named_parameters() if "embedding_head" in n]
    assert heads
    assert all(gradient is not None and gradient.any() for gradient in heads)


def test_the_releases_habits_change_what_is_matched(batch: ClipBatch) -> None:
    """With an instance absent in one frame, and clips as they were before padding."""
    hidden = batch.targets[0].masks.clone()
    hidden[0, 0] = False
    targets = (replace(batch.targets[0], masks=hidden), batch.targets[1])
    batch = replace(batch, targets=targets)
    ours, release = make_unit(HEAD), make_unit(HEAD, ctvis_compat=True)
    seen = {}
    for name, unit in (("ours", ours), ("release", release)):
        with mock.patch.object(unit.contrast, "forward", wraps=unit.contrast.forward) as loss:
            torch.manual_seed(1)
            unit(batch, 0.0)
        seen[name] = loss.call_args.args[1]
    assert seen["ours"].shape == seen["release"].shape
    assert torch.equal(seen["ours"] < 0, seen["release"] < 0)


def test_the_release_has_no_other_network() -> None:
    with pytest.raises(ValueError, match=r"ctvis_compat must be off: .* Mask2Former alone"):
        make_unit(DINO, ctvis_compat=True)


def test_a_clip_of_one_frame_has_nothing_to_contrast(videos: Path) -> None:
    clip = replace(finetune_config(videos).clip, num_frames=1)
    message = r"clip\.num_frames: wanted 2 or more .* contrast, got 1"
    with pytest.raises(ConfigError, match=message):
        config_of(videos, clip=clip)
    config = pretrain_config(videos)
    clip_of_image = replace(config.clip, num_frames=1)
    with pytest.raises(ConfigError, match=message):
        replace(config, clip=clip_of_image, model=HEAD, contrast=ContrastConfig())


@pytest.mark.parametrize("instances", [0, 7], ids=["no instance", "more instances than queries"])
def test_clips_of_any_number_of_instances_train(batch: ClipBatch, instances: int) -> None:
    def changed(clip: Any) -> Any:
        rows = torch.arange(instances) % len(clip)
        return replace(
            clip,
            labels=clip.labels[rows],
            masks=clip.masks[rows],
            ids=torch.arange(instances),
        )

    targets = tuple(changed(clip) for clip in batch.targets)
    for compat in (False, True):
        losses = make_unit(HEAD, ctvis_compat=compat)(replace(batch, targets=targets), 0.0)
        assert losses.total.isfinite()


def test_a_parent_without_embedding_head_is_taken_and_that_is_said(
    videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = finetune_config(videos, steps=1)
    finetune(config, None, tmp_path / "parent")
    with caplog.at_level(logging.INFO, logger="vidgap_vis"):
        child = replace(config_of(videos, train={"steps": 1}))
        finetune(child, tmp_path / "parent" / "weights", tmp_path / "child")
    assert "decoder.embedding_head.0.weight" in caplog.text
    assert "the parent has no embedding head" in caplog.text
    assert any(name.startswith("decoder.embedding_head") for name in weights_of(tmp_path / "child"))


def test_weights_say_how_they_are_to_be_used(videos: Path, tmp_path: Path) -> None:
    tracker = TrackerConfig("ctvis", match_threshold=0.25)
    test = TestConfig(short_edge=24, max_size=64, top_k=2)
    run = tmp_path / "run"
    finetune(config_of(videos, tracker=tracker, test=test, train={"steps": 1}), None, run)
    usage = Usage.read(run / "weights")
    assert usage.tracker == {"name": "ctvis", "match_threshold": 0.25}
    segmenter = VideoSegmenter.from_pretrained(run / "weights", device="cpu")
    assert (segmenter.step.short_edge, segmenter.step.max_size, segmenter.top_k) == (24, 64, 2)
    associator = segmenter.make_tracker().associator  # type: ignore[attr-defined]
    assert isinstance(associator, CTVISAssociator)
    assert associator.options.match_threshold == 0.25
    said = json.loads((run / "weights" / "config.json").read_text())
    assert (said["test"], said["tracker"]["name"]) == (
        {"short_edge": 24, "max_size": 64, "top_k": 2},
        "ctvis",
    )


def test_images_alone_make_a_video_tracker(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images")
    pseudo = PseudoDataConfig(images, Path("images.json"), Path("images"))
    data = VideoDataConfig(annotations=None, pseudo=pseudo)
    config = replace(config_of(images, train={"steps": 2}), data=data)
    clip = replace(config.clip, num_frames=3, paste_min_area=16)
    finetune(replace(config, clip=clip), None, tmp_path / "run")
    segmenter = VideoSegmenter.from_pretrained(tmp_path / "run" / "weights", device="cpu")
    assert [info.name for info in segmenter.classes] == ["red", "blue"]
    assert isinstance(segmenter.make_tracker().associator, CTVISAssociator)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"annotations": None}, r"data\.pseudo: missing; without data\.annotations"),
        ({}, r"data\.root: missing"),
        (
            {"annotations": None, "pseudo": {"root": Path(), "coco_to": "ovis"}},
            r"data\.pseudo\.coco_to: wanted null without data\.annotations",
        ),
        (
            {"root": Path(), "pseudo": {"root": Path(), "coco_to": "ovis", "category_map": {1: 1}}},
            r"data\.pseudo\.coco_to: wanted null where data\.pseudo\.category_map is given",
        ),
        (
            {"root": Path(), "pseudo": {"root": Path(), "ratio": 0.0}},
            r"data\.pseudo\.ratio: wanted a number above 0, got 0\.0",
        ),
    ],
    ids=str,
)
def test_data_that_cannot_train_is_refused(data: dict[str, Any], message: str) -> None:
    def make(pseudo: dict[str, Any] | None = None, **rest: Any) -> VideoDataConfig:
        return VideoDataConfig(**rest, pseudo=pseudo and PseudoDataConfig(**pseudo))

    with pytest.raises(ConfigError, match=message):
        make(**data)


def test_pretraining_may_start_from_weights(tmp_path: Path) -> None:
    """As from a converted Mask2Former: an identity module changes nothing at first."""
    images = write_images(tmp_path / "images")
    plain = replace(pretrain_config(images, steps=1), temporal=None)
    pretrain(plain, tmp_path / "parent")
    config = pretrain_config(images, steps=1, lr=1e-12)
    config = replace(config, temporal=replace(TEMPORAL, init="identity"))
    pretrain(config, tmp_path / "child", tmp_path / "parent" / "weights")
    parent, child = weights_of(tmp_path / "parent"), weights_of(tmp_path / "child")
    assert parent.keys() < child.keys()
    assert all(torch.allclose(child[name], value, atol=1e-6) for name, value in parent.items())
    said = json.loads((tmp_path / "child" / "weights" / "provenance.json").read_text())
    assert len(said["parent"]) == 64
    other = replace(config, model=replace(MODEL, channels=16))
    with pytest.raises(InputError):
        pretrain(other, tmp_path / "other", tmp_path / "parent" / "weights")


def test_pretraining_may_train_embeddings(tmp_path: Path) -> None:
    """And fine-tuning takes them over."""
    config = pretrain_config(write_images(tmp_path / "images"), log_every=1)
    config = replace(config, model=HEAD, contrast=ContrastConfig())
    pretrain(replace(config, contrast=None), tmp_path / "plain")
    weights = pretrain(config, tmp_path / "trained")
    line = json.loads((tmp_path / "trained" / "metrics.jsonl").read_text().splitlines()[0])
    assert line["contrast"] > 0
    assert 0 <= line["association"] <= 1
    plain, trained = weights_of(tmp_path / "plain"), weights_of(tmp_path / "trained")
    head = [name for name in trained if "embedding_head" in name]
    assert any((trained[name] != plain[name]).any() for name in head)
    videos = write_videos(tmp_path / "videos")
    finetune(config_of(videos, train={"lr": 1e-12}), weights, tmp_path / "run")
    tuned = weights_of(tmp_path / "run")
    assert all(torch.allclose(tuned[name], trained[name], atol=1e-6) for name in head)


def test_embeddings_learn_to_tell_instances_apart(tmp_path: Path) -> None:
    """Squares of one class change places at random in every frame; their colours are their own."""
    root = write_shuffled_squares(tmp_path / "videos")
    config = config_of(root, train={"steps": 60, "lr": 3e-3, "batch_size": 4, "log_every": 1})
    clip = replace(config.clip, num_frames=3, frame_range=4)
    model = replace(HEAD, embedding_dim=16, num_queries=8)
    finetune(replace(config, clip=clip, model=model, temporal=None), None, tmp_path / "run")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    shares = [json.loads(line)["association"] for line in lines]
    assert np.mean(shares[:5]) < 0.6
    assert np.mean(shares[-10:]) > 0.8
