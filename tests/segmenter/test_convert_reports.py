"""What becomes of converted weights is told: left out, afresh, missing, unknown, misshapen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from segmenter.convert_cases import TOLD_BY_NOTHING, model, same_weights, save
from torch import Tensor

from vidgap_segmenter import convert


def test_what_needs_no_place_is_left_out_with_the_reason(tmp_path: Path) -> None:
    state = convert.to_official(model("mask2former swin_tiny"))
    state["pixel_mean"] = torch.ones(3, 1, 1)
    state["backbone.stem.conv1.norm.num_batches_tracked"] = torch.tensor(0)
    state["backbone.layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49)
    converted = convert.read(save(tmp_path / "swin.pth", state))
    assert [reason for _, reason in converted.left_out] == [
        "comes with the backbone",
        "batch norms are frozen",
        "is computed",
    ]
    network, report = converted.build()
    said = converted.describe(network, report)
    assert said.startswith("the official Mask2Former: swin_tiny, 4 classes; ")
    assert "3 left out, 0 start afresh" in said
    lines = [line.split(maxsplit=3) for line in said.splitlines()]
    assert ["left", "out", "pixel_mean", "comes with the backbone"] in lines
    assert ["assumed", "num_heads=8", "no", "weight tells"] in lines


@pytest.mark.parametrize("name", ["mask2former resnet26", "mask_dino resnet26"])
def test_another_number_of_classes_starts_their_weights_afresh(name: str, tmp_path: Path) -> None:
    before = model(name)
    converted = convert.read(save(tmp_path / "m.pth", convert.to_official(before)))
    told = TOLD_BY_NOTHING[before.architecture]
    after, report = converted.build(num_classes=7, **told)
    assert after.num_classes == 7
    fresh = {name for name in after.state_dict() if "class_embed" in name or "label_embed" in name}
    assert set(report.missing) == fresh
    state = before.state_dict()
    assert all(
        torch.equal(tensor, state[weight])
        for weight, tensor in after.state_dict().items()
        if weight not in fresh
    )
    said = converted.describe(after, report)
    assert f"{len(fresh)} start afresh" in said
    for weight in fresh:
        assert any(
            line.split()[:3] == ["starts", "afresh", weight]
            and line.endswith("the source has 4 classes, not 7")
            for line in said.splitlines()
        )
    same, report = converted.build(num_classes=4, **told)
    assert not report.missing
    assert same_weights(before, same)


def broken(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The official weights with one missing, one unknown and one of another shape."""
    state["sem_seg_head.predictor.extra.weight"] = state.pop("backbone.stem.conv1.weight")
    state["sem_seg_head.predictor.decoder_norm.weight"] = torch.ones(3)
    return state


def test_what_does_not_fit_stands_in_one_table(tmp_path: Path) -> None:
    state = broken(convert.to_official(model("mask2former resnet26")))
    converted = convert.read(save(tmp_path / "m.pth", state))
    with pytest.raises(ValueError) as caught:
        converted.build()
    headline, *table = str(caught.value).splitlines()
    assert headline == "weights of the official Mask2Former do not fit Mask2Former:"
    assert [line.split()[:2] for line in table] == [
        ["missing", "backbone.body.conv1.weight"],
        ["unexpected", "sem_seg_head.predictor.extra.weight"],
        ["mismatched", "decoder.norm.weight"],
    ]
    assert table[2].endswith("wanted (64,), got (3,)")


def test_only_what_is_asked_for_may_lack(tmp_path: Path) -> None:
    state = broken(convert.to_official(model("mask2former resnet26")))
    state["sem_seg_head.predictor.decoder_norm.weight"] = torch.ones(64)
    converted = convert.read(save(tmp_path / "m.pth", state))
    extra = "sem_seg_head.predictor.extra."
    with pytest.raises(ValueError, match=r"fit Mask2Former:\nmissing +backbone.body.conv1.weight$"):
        converted.build(allow_unexpected=[extra])
    network, report = converted.build(
        allow_missing=["backbone.body.conv1."], allow_unexpected=[extra]
    )
    assert report.missing == ("backbone.body.conv1.weight",)
    said = converted.describe(network, report)
    assert "no table knows it" in said
    assert "the source has none" in said


def test_names_of_one_tensor_must_agree(tmp_path: Path) -> None:
    state = dict(convert.to_official(model("mask_dino resnet26")))
    state["sem_seg_head.predictor.bbox_embed.1.layers.0.bias"] = torch.ones(64)
    with pytest.raises(ValueError, match=r"m.pth: .*bbox_embed.* must hold the same values"):
        convert.read(save(tmp_path / "m.pth", state))


def test_unknown_sizes_are_named(tmp_path: Path) -> None:
    state = dict(convert.to_official(model("mask2former resnet26")))
    for name in [name for name in state if name.startswith("backbone.res4.1.")]:
        del state[name]
    with pytest.raises(ValueError, match=r"no backbone has stages of \[2, 2, 1, 2\] bottlenecks"):
        convert.read(save(tmp_path / "m.pth", state))
    state = dict(convert.to_official(model("mask2former swin_tiny")))
    for name in [name for name in state if name.startswith("backbone.layers.1.blocks.1.")]:
        del state[name]
    with pytest.raises(ValueError, match=r"no Swin has width 96, \[2, 1, 6, 2\] blocks and window"):
        convert.read(save(tmp_path / "m.pth", state))
    with pytest.raises(ValueError, match="num_heads must divide the 32 samples of a scale, got 7"):
        convert.read(
            save(tmp_path / "m.pth", convert.to_official(model("mask2former resnet26"))),
            num_heads=7,
        )


def test_other_files_are_refused_by_what_they_hold(tmp_path: Path) -> None:
    for state, holds in [
        ({"layer1.0.conv1.weight": torch.ones(1)}, "layer1.0.conv1"),
        ({}, "noth"),
    ]:
        path = save(tmp_path / "m.pth", state)
        with pytest.raises(ValueError, match=rf"m.pth: wanted weights of .* it holds {holds}"):
            convert.read(path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        convert.read(tmp_path / "nowhere.pkl")
