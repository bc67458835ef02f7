"""What joins the packages: transforms, models, weights folders, and starting from a parent."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torchvision import tv_tensors
from vis.tiny_runs import HEIGHT, MODEL, TEMPORAL, TRAIN, WIDTH

from vidgap_segmenter import NETWORKS, ClipSegmenter, Criterion, MaskDINO, MaskDINOCriterion
from vidgap_segmenter.weights import CLASS_HEAD, CLASS_WEIGHTS
from vidgap_vis import build
from vidgap_vis.classes import ClassList, from_categories
from vidgap_vis.config import LossConfig, PseudoClipConfig, VideoClipConfig
from vidgap_vis.errors import ConfigError, InputError
from vidgap_vis.failures import WeightsError

CLASSES = from_categories([(3, "red"), (7, "blue")])
OTHERS = from_categories([(1, "cat"), (2, "dog"), (3, "owl")])
CLIPS = VideoClipConfig(
    num_frames=4,
    crop_probability=1.0,
    crop_range=(16, 24),
    pseudo_crop_short_edges=(40,),
    short_edges=(20,),
    max_size=30,
)


def make_model(seed: int = 0, classes: ClassList = CLASSES, **settings: object) -> ClipSegmenter:
    torch.manual_seed(seed)
    temporal = settings.pop("temporal", TEMPORAL)
    model = replace(MODEL, **settings)  # type: ignore[arg-type]
    return build.segmenter(model, temporal, len(classes)).eval()  # type: ignore[arg-type]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder of weights for `CLASSES`."""
    build.save(tmp_path / "weights", make_model(), CLASSES, {"stage": "test"})
    return tmp_path / "weights"


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


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize("temporal", [TEMPORAL, None], ids=["temporal", "baseline"])
def test_a_folder_gives_back_the_model_and_its_classes(
    tmp_path: Path, temporal: object, architecture: str
) -> None:
    model = make_model(temporal=temporal, architecture=architecture)
    build.save(tmp_path / "w", model, CLASSES, {"stage": "test"})
    loaded, classes = build.load(tmp_path / "w")
    frames = torch.randint(0, 256, (1, 2, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    with torch.inference_mode():
        ours, theirs = model(frames), loaded(frames)
    assert classes == CLASSES
    assert not loaded.training
    assert torch.equal(ours.class_logits, theirs.class_logits)
    assert torch.equal(ours.mask_logits, theirs.mask_logits)
    assert json.loads((tmp_path / "w" / "provenance.json").read_text()) == {"stage": "test"}


def test_saving_again_replaces_the_whole_folder(weights: Path) -> None:
    (weights / "left_over").write_text("")
    build.save(weights, make_model(), CLASSES, {"stage": "again"})
    names = sorted(path.name for path in weights.iterdir())
    assert names == ["config.json", "model.safetensors", "provenance.json"]


def test_a_parent_of_the_same_classes_is_taken_over_whole(weights: Path) -> None:
    child = make_model(seed=1)
    said = build.initialise(child, CLASSES, weights)
    parent = make_model().state_dict()
    assert all(torch.equal(tensor, parent[name]) for name, tensor in child.state_dict().items())
    assert said.endswith("0 start afresh")


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize(
    "classes",
    [OTHERS, from_categories([(3, "cat"), (7, "dog")])],
    ids=["another number", "other names"],
)
def test_the_class_head_starts_afresh_where_the_classes_differ(
    tmp_path: Path, classes: ClassList, architecture: str
) -> None:
    parent = make_model(architecture=architecture)
    build.save(tmp_path / "weights", parent, CLASSES, {})
    child = make_model(seed=1, classes=classes, architecture=architecture)
    before = {name: tensor.clone() for name, tensor in child.state_dict().items()}
    said = build.initialise(child, classes, tmp_path / "weights")
    weights = parent.state_dict()
    for name, tensor in child.state_dict().items():
        assert torch.equal(tensor, before[name] if name in CLASS_WEIGHTS else weights[name]), name
    fresh = [name for name in CLASS_WEIGHTS if name in before]
    assert fresh[:2] == list(CLASS_HEAD)
    for name in fresh:
        assert re.search(rf"{re.escape(name)} +the classes differ", said)


def test_a_parent_without_temporal_module_gives_the_rest(tmp_path: Path) -> None:
    build.save(tmp_path / "w", make_model(temporal=None), CLASSES, {})
    child = make_model(seed=1, temporal=replace(TEMPORAL, init="identity"))
    said = build.initialise(child, CLASSES, tmp_path / "w")
    frames = torch.randint(0, 256, (1, 2, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    with torch.inference_mode():
        ours, parents = child(frames), make_model(temporal=None)(frames)
    assert "the parent has no temporal module" in said
    torch.testing.assert_close(ours.class_logits, parents.class_logits, rtol=0, atol=0)


def test_settings_that_change_no_shape_are_said(weights: Path) -> None:
    child = make_model(seed=1, temporal=replace(TEMPORAL, pairing="adjacent"))
    said = build.initialise(child, CLASSES, weights)
    assert "temporal.pairing: the parent had 'half', now 'adjacent'" in said


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        ({"num_queries": 6}, "2 mismatched"),
        ({"temporal": None}, r"\d+ unexpected"),
        ({"temporal": replace(TEMPORAL, num_short_layers=2)}, r"\d+ missing"),
        ({"num_decoder_layers": 1, "num_queries": 6}, r"\d+ unexpected, 2 mismatched"),
    ],
    ids=["shape", "temporal given up", "temporal deeper", "two kinds"],
)
def test_weights_that_do_not_fit_change_nothing_and_give_one_table(
    weights: Path, settings: dict[str, object], counts: str
) -> None:
    child = make_model(seed=1, **settings)
    before = {name: tensor.clone() for name, tensor in child.state_dict().items()}
    message = rf"model\.safetensors: weights do not fit the model: {counts}$"
    with pytest.raises(WeightsError, match=message) as caught:
        build.initialise(child, CLASSES, weights)
    assert all(torch.equal(tensor, before[name]) for name, tensor in child.state_dict().items())
    lines = caught.value.table.splitlines()
    assert all(re.match(r"(missing|unexpected|mismatched) +[\w.]+", line) for line in lines)
    assert len(lines) == sum(map(int, re.findall(r"\d+", str(caught.value).partition(": ")[2])))


def test_what_is_no_weights_folder_is_said(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(InputError, match=r"not a weights folder \(config\.json is missing\)"):
        build.load(tmp_path / "nowhere")
    (weights / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0broken!!")
    with pytest.raises(InputError, match=r"model\.safetensors: damaged"):
        build.load(weights)
    (weights / "config.json").write_text('{"segmenter": {}}')
    with pytest.raises(InputError, match=r"config\.json: .*section 'temporal' is missing"):
        build.load(weights)
    (weights / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json: "):
        build.load(weights)


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("classes", [], r"classes: wanted indices 0 to 1 in order, got \[\]"),
        ("num_classes", 3, r"classes: wanted indices 0 to 2 in order, got \[0, 1\]"),
        ("num_heads", 0, "describes no model that can be built"),
        ("channels", -32, "describes no model that can be built"),
    ],
)
def test_a_folder_that_contradicts_itself_is_said(
    weights: Path, section: str, value: object, message: str
) -> None:
    config = json.loads((weights / "config.json").read_text())
    (config if section in config else config["segmenter"])[section] = value
    (weights / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=rf"config\.json: {message}"):
        build.load(weights)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\x80", b"\0" * 9], ids=repr)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_broken_backbone_weights_are_named(tmp_path: Path, content: bytes, suffix: str) -> None:
    (tmp_path / f"broken.{suffix}").write_bytes(content)
    with pytest.raises(InputError, match=r"model\.backbone_weights: .*") as caught:
        build.load_backbone(make_model(), str(tmp_path / f"broken.{suffix}"))
    assert str(tmp_path / f"broken.{suffix}") in str(caught.value)


def test_settings_that_no_model_has_are_said(weights: Path) -> None:
    config = json.loads((weights / "config.json").read_text())
    config["segmenter"]["num_querys"] = 3
    (weights / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"config\.json: .*num_querys"):
        build.load(weights)


def test_what_a_package_refuses_is_a_mistake_of_the_section() -> None:
    with pytest.raises(ConfigError, match=r"model: .*got 'resnet5000'") as caught:
        make_model(backbone="resnet5000")
    assert caught.value.exit_code == 2
    with pytest.raises(ConfigError, match="temporal: num_heads must divide"):
        make_model(temporal=replace(TEMPORAL, num_heads=5))


def test_backbone_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.backbone_weights: .*nowhere\.pth"):
        build.load_backbone(make_model(), str(tmp_path / "nowhere.pth"))


def test_the_optimiser_keeps_base_rates_by_group() -> None:
    optimizer = build.optimizer(make_model(), TRAIN)
    rates = {group["initial_lr"] for group in optimizer.param_groups}
    assert rates == {TRAIN.lr, TRAIN.lr * TRAIN.backbone_multiplier}


def test_the_criterion_takes_every_setting() -> None:
    criterion = build.criterion(LossConfig(num_points=7, mask_weight=3.0), MODEL, 2)
    assert isinstance(criterion, Criterion)
    assert criterion.point_losses.num_points == 7
    assert (criterion.mask_weight, criterion.num_classes) == (3.0, 2)
    assert (criterion.class_weight, criterion.no_instance_weight) == (2.0, 0.1)
    loss = LossConfig(giou_weight=3.0)
    criterion = build.criterion(loss, replace(MODEL, architecture="mask_dino"), 2)
    assert isinstance(criterion, MaskDINOCriterion)
    weights = (criterion.class_weight, criterion.box_weight, criterion.giou_weight)
    assert weights == (4.0, 5.0, 3.0)


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


def test_a_parent_that_lacks_a_setting_has_its_default(weights: Path) -> None:
    path = weights / "config.json"
    config = json.loads(path.read_text())
    del config["segmenter"]["full_precision_pixel_decoder"]
    path.write_text(json.dumps(config))
    assert "full_precision" not in build.initialise(make_model(), CLASSES, weights)


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


def test_a_parent_of_another_network_is_refused(weights: Path) -> None:
    with pytest.raises(InputError, match=r"segmenter.architecture: wanted mask_dino, as this run"):
        build.initialise(make_model(architecture="mask_dino"), CLASSES, weights)


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
