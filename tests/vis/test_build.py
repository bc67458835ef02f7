"""What joins the packages: transforms, networks and criteria."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torchvision import tv_tensors
from vis.support.tiny_runs import HEIGHT, MODEL, TEMPORAL, WIDTH, make_model

from vidgap_segmenter import (
    ClipCriterion,
    Criterion,
    MaskDINO,
    MaskDINOCriterion,
    SeqFormerCriterion,
)
from vidgap_vis import build
from vidgap_vis.config import ContrastConfig, LossConfig, PseudoClipConfig, VideoClipConfig
from vidgap_vis.errors import ConfigError, InputError
from vidgap_vis.training.units import ContrastiveUnit

CLIPS = VideoClipConfig(
    num_frames=4,
    crop_probability=1.0,
    crop_range=(16, 24),
    pseudo_crop_short_edges=(40,),
    short_edges=(20,),
    max_size=30,
)


def image_sample() -> dict[str, object]:
    masks = torch.zeros(2, HEIGHT, WIDTH, dtype=torch.bool)
    masks[0, 4:16, 4:20] = masks[1, 16:30, 20:40] = True
    return {
        "image": tv_tensors.Image(torch.randint(0, 256, (3, HEIGHT, WIDTH), dtype=torch.uint8)),
        "masks": tv_tensors.Mask(masks),
        "labels": torch.tensor([0, 1]),
    }


def test_image_clips_have_the_frames_and_size_asked_for() -> None:
    transform = build.image_clips(PseudoClipConfig(num_frames=4, size=(24, 40)))
    clip = transform(image_sample(), torch.Generator().manual_seed(0))
    assert clip["video"].shape == (4, 3, 24, 40)


def test_image_clips_without_a_size_keep_the_images() -> None:
    transform = build.image_clips(PseudoClipConfig(num_frames=2, size=None))
    clip = transform(image_sample(), torch.Generator().manual_seed(0))
    assert clip["video"].shape == (2, 3, HEIGHT, WIDTH)


def test_joint_image_clips_are_cropped_and_resized_as_videos_are() -> None:
    clip = build.joint_image_clips(CLIPS)(image_sample(), torch.Generator().manual_seed(0))
    assert clip["video"].shape[:2] == (4, 3)
    assert min(clip["video"].shape[2:]) <= 20
    assert max(clip["video"].shape[2:]) <= 30


def test_real_clips_are_not_rotated() -> None:
    still = {"video": torch.zeros(4, 3, HEIGHT, WIDTH, dtype=torch.uint8)}
    still["video"][:, :, :, WIDTH // 2 :] = 255  # an upright edge stays upright
    sample = {
        **still,
        "masks": torch.ones(1, 4, HEIGHT, WIDTH, dtype=torch.bool),
        "labels": torch.zeros(1, dtype=torch.int64),
        "ids": torch.zeros(1, dtype=torch.int64),
    }
    clip = build.video_clips(CLIPS)(sample, torch.Generator().manual_seed(1))
    assert (clip["video"] == clip["video"][:, :, :1]).all()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\x80", b"\0" * 9], ids=repr)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_broken_backbone_weights_are_named(tmp_path: Path, content: bytes, suffix: str) -> None:
    (tmp_path / f"broken.{suffix}").write_bytes(content)
    with pytest.raises(InputError, match=r"model\.backbone_weights: .*") as caught:
        build.load_backbone(make_model(), str(tmp_path / f"broken.{suffix}"))
    assert str(tmp_path / f"broken.{suffix}") in str(caught.value)


def test_what_a_package_refuses_is_a_mistake_of_the_section() -> None:
    with pytest.raises(ConfigError, match=r"model: .*got 'resnet5000'") as caught:
        make_model(backbone="resnet5000")
    assert caught.value.exit_code == 2
    with pytest.raises(ConfigError, match="temporal: num_heads must divide"):
        make_model(temporal=replace(TEMPORAL, num_heads=5))


def test_backbone_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.backbone_weights: .*nowhere\.pth"):
        build.load_backbone(make_model(), str(tmp_path / "nowhere.pth"))


def test_the_criterion_takes_every_setting() -> None:
    criterion = build.criterion(LossConfig(num_points=7, mask_weight=3.0), MODEL, 2)
    assert isinstance(criterion, Criterion)
    assert criterion.point_losses.num_points == 7
    assert (criterion.weights["mask"], criterion.num_classes) == (3.0, 2)
    assert (criterion.weights["class"], criterion.no_instance_weight) == (2.0, 0.1)
    loss = LossConfig(giou_weight=3.0)
    criterion = build.criterion(loss, replace(MODEL, architecture="mask_dino"), 2)
    assert isinstance(criterion, MaskDINOCriterion)
    wanted = {"class": 4.0, "mask": 5.0, "dice": 5.0, "box": 5.0, "giou": 3.0}
    assert criterion.weights == wanted


def test_a_loss_that_the_network_has_not_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"loss.giou_weight: .*mask2former has no such loss"):
        build.criterion(LossConfig(giou_weight=1.0), MODEL, 2)
    dino = replace(MODEL, architecture="mask_dino")
    with pytest.raises(ConfigError, match=r"loss.no_instance_weight: .*mask_dino has no such"):
        build.criterion(LossConfig(no_instance_weight=1.0), dino, 2)
    with pytest.raises(ConfigError, match=r"model.anchors: wanted null unless .* got 'bitmask'"):
        replace(MODEL, anchors="bitmask")


def test_each_network_has_its_own_defaults() -> None:
    bare = replace(MODEL, num_queries=None, encoder_ffn_channels=None)
    config = build.segmenter(bare, None, 2).config
    assert (config["num_queries"], config["encoder_ffn_channels"]) == (100, 1024)
    dino = build.segmenter(replace(bare, architecture="mask_dino"), TEMPORAL, 2)
    assert isinstance(dino, MaskDINO)
    assert (dino.config["num_queries"], dino.config["encoder_ffn_channels"]) == (300, 2048)
    assert dino.temporal.config["num_scales"] == 4


def test_joint_networks_have_their_criteria_and_settings() -> None:
    joint = replace(MODEL, architecture="mask2former_vis")
    assert type(build.criterion(LossConfig(), joint, 2)) is ClipCriterion
    with pytest.raises(ConfigError, match=r"loss.box_weight: .*mask2former_vis has no such loss"):
        build.criterion(LossConfig(box_weight=1.0), joint, 2)
    with pytest.raises(ConfigError, match=r"model.strides: wanted null unless .*seqformer, got"):
        replace(joint, strides=(8, 16, 32))
    former = replace(MODEL, architecture="seqformer", strides=(8, 16, 32), num_queries=None)
    criterion = build.criterion(LossConfig(box_weight=3.0), former, 2)
    assert isinstance(criterion, SeqFormerCriterion)
    assert (criterion.weights["box"], criterion.weights["giou"]) == (3.0, 2.0)
    model = build.segmenter(former, TEMPORAL, 2)
    assert (model.config["strides"], model.config["num_queries"]) == ([8, 16, 32], 300)
    assert model.temporal.config["num_scales"] == 3


def test_queries_of_joint_networks_are_not_told_apart_by_contrast() -> None:
    with pytest.raises(ValueError, match=r"queries must be each frame's own .* a joint decoder"):
        ContrastiveUnit(make_model(), ClipCriterion(2), build.contrastive_loss(ContrastConfig()))


def test_what_a_model_is_built_with_reaches_it() -> None:
    settings = {"label_noise": 0.1, "box_noise": 0.2, "num_denoising": 3, "coarse_first": True}
    model = make_model(
        architecture="mask_dino",
        embedding_dim=7,
        full_precision_pixel_decoder=False,
        gradient_checkpointing=True,
        **settings,
    )
    assert settings.items() <= model.config.items()
    assert model.config["embedding_dim"] == 7
    assert not model.pixel_decoder.full_precision
    assert model.pixel_decoder.layers[0].gradient_checkpointing
    assert not make_model().pixel_decoder.layers[0].gradient_checkpointing


def test_the_arms_of_the_ablations_reach_the_transforms() -> None:
    config = PseudoClipConfig(size=None, auto_augment="image", copy_paste=None, rotation="image")
    assert {type(member).__name__ for member in build.image_clips(config).transforms} == {
        "PseudoClip",
        "VideoAutoAugment",
        "ClipFlip",
    }
    joint = build.joint_image_clips(replace(CLIPS, copy_paste="image", paste_probability=1.0))
    clip = joint(image_sample(), torch.Generator().manual_seed(0))
    assert clip["ids"].tolist()[:2] == [0, 1]
    assert "per=image" in repr(joint)
    assert "VideoCopyPaste(probability=1.0" in repr(joint)
