"""What becomes of converted weights is told: left out, afresh, missing, unknown, misshapen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from segmenter.convert_cases import TOLD_BY_NOTHING, model, same_weights, save
from torch import Tensor

from vidgap_segmenter import WeightsMismatch, convert


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
    assert [
        "assumed",
        "num_heads=8",
        "no",
        "weight tells; as in the official configuration",
    ] in lines


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
    with pytest.raises(WeightsMismatch) as caught:
        converted.build()
    headline, *table = str(caught.value).splitlines()
    assert table == str(caught.value.report).splitlines()
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


BOX = "sem_seg_head.predictor.{}bbox_embed.{}layers.{}.weight"


def test_unknown_names_are_the_source_s_own(tmp_path: Path) -> None:
    before = model("mask_dino resnet26")
    state = {
        name: tensor
        for name, tensor in convert.to_official(before).items()
        if "._bbox_embed." not in name
    }
    extra = [BOX.format("", "0.", 3), BOX.format("decoder.", "1.", 3)]
    state |= dict.fromkeys(extra, torch.ones(2))
    converted = convert.read(save(tmp_path / "m.pth", state))
    assert converted.unknown == tuple(extra)
    after, report = converted.build(allow_unexpected=extra, num_queries=12)
    assert report.unexpected == tuple(extra)
    assert same_weights(before, after)


@pytest.mark.parametrize(
    "prefix", ["sem_seg_head.predictor.reid_embed", "decoder.embedding_head"], ids=str
)
def test_what_may_be_left_out_has_the_source_s_names_or_ours(prefix: str, tmp_path: Path) -> None:
    state = convert.to_official(model("mask2former embeddings"))
    converted = convert.read(save(tmp_path / "ctvis.pth", state))
    with pytest.raises(ValueError, match=r"unexpected +decoder.embedding_head.0.weight"):
        converted.build(embedding_dim=None, allow_unexpected=["backbone."])
    network, report = converted.build(embedding_dim=None, allow_unexpected=[prefix])
    assert len(report.unexpected) == 6
    said = converted.describe(network, report)
    assert "decoder.embedding_head.0.weight and 5 more  the network has no place" in said
    assert "no table knows it" not in said
    with pytest.raises(ValueError, match="unexpected"):
        converted.build(embedding_dim=None, allow_unexpected=[prefix + ".0", prefix + ".layers.0"])


def changed(name: str, change: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """Official weights of a small network, one of them changed."""
    state = convert.to_official(model("mask2former resnet26"))
    return state | {name: change(state[name])}


PIXEL = "sem_seg_head.pixel_decoder."
ODD: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "flat level_embed": (PIXEL + "transformer.level_embed", torch.flatten),
    "no level": (PIXEL + "transformer.level_embed", lambda t: t[:0]),
    "one number": (PIXEL + "transformer.encoder.layers.0.linear1.weight", lambda t: t[0, 0]),
    "matrix": (PIXEL + "input_proj.0.0.weight", lambda t: t.flatten(1)),
    "no class": ("sem_seg_head.predictor.class_embed.weight", lambda t: t[:0]),
    "whole numbers": ("backbone.stem.conv1.weight", lambda t: t.int()),
    "complex numbers": ("backbone.stem.conv1.weight", lambda t: t + 1j),
    "sparse": ("backbone.stem.conv1.weight", lambda t: t.to_sparse()),
    "no values": ("backbone.stem.conv1.weight", lambda t: t.to("meta")),
}


@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants")
@pytest.mark.parametrize("odd", ODD)
def test_odd_weights_are_the_file_s_mistake(odd: str, tmp_path: Path) -> None:
    path = save(tmp_path / "m.pth", changed(*ODD[odd]))
    with pytest.raises(ValueError, match=r"mismatched|must hold|no backbone"):
        convert.read(path).build()


def test_every_weight_may_have_any_number_of_axes(tmp_path: Path) -> None:
    state = convert.to_official(model("mask_dino resnet26"))
    odd = {name: tensor.flatten()[0] for name, tensor in state.items()}
    with pytest.raises(ValueError, match="mismatched"):
        convert.read(save(tmp_path / "m.pth", odd)).build(num_queries=12)


def test_a_number_in_a_name_makes_no_giant(tmp_path: Path) -> None:
    name = "sem_seg_head.predictor.transformer_ffn_layers.{}.norm.bias"
    state = convert.to_official(model("mask2former resnet26"))
    state[name.format(10**9)] = state[name.format(0)]
    with pytest.raises(ValueError, match=r"unexpected +decoder.layers.1000000000.ffn_norm.bias$"):
        convert.read(save(tmp_path / "m.pth", state)).build()


def test_parts_of_one_weight_have_one_shape(tmp_path: Path) -> None:
    state = convert.to_hugging_face(model("mask2former resnet26"))
    attention = "model.transformer_module.decoder.layers.0.self_attn."
    query, key = (state[f"{attention}{part}_proj.weight"] for part in "qk")
    for one, other in [
        (query[:, :-1], key),
        (query[:-1], torch.cat((key, key[-1:]))),  # as many rows together as they should be
    ]:
        odd = {f"{attention}q_proj.weight": one, f"{attention}k_proj.weight": other}
        with pytest.raises(ValueError, match=r"m.pth: parts of one weight must have one shape"):
            convert.read(save(tmp_path / "m.pth", state | odd))
