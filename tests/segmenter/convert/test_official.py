"""Official weights become ours and go back to the bit."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
import torch
from segmenter.convert_cases import MODELS, TOLD_BY_NOTHING, model, same_weights, save
from segmenter.support import MixFrames, small_model, small_seqformer

from vidgap_segmenter import Mask2Former, Mask2FormerVIS, convert
from vidgap_segmenter.backbones.swin import SWIN_SIZES
from vidgap_segmenter.convert.sizes import RESNETS, mask2former_settings


@pytest.mark.parametrize("name", MODELS)
def test_official_names_and_back_is_the_same_network(name: str, tmp_path: Path) -> None:
    before = model(name)
    convert.write_official(before, tmp_path / "model.pkl")
    converted = convert.read(tmp_path / "model.pkl", architecture=before.architecture)
    assert (converted.left_out, converted.unknown, converted.class_names) == ((), (), None)
    after, report = converted.build(**TOLD_BY_NOTHING[before.architecture])
    assert str(report) == "all weights loaded"
    assert type(after) is type(before)
    assert after.config == before.config
    assert same_weights(before, after)
    assert not after.training


def taken_by_the_official_head(name: str) -> str:
    """What `MaskFormerHead` makes of a name of a file that has no version, as of any `.pkl`."""
    old = name.startswith("sem_seg_head.") and not name.startswith("sem_seg_head.predictor")
    return name.replace("sem_seg_head.", "sem_seg_head.pixel_decoder.") if old else name


@pytest.mark.parametrize("name", MODELS)
def test_detectron2_finds_every_weight_under_its_name(name: str, tmp_path: Path) -> None:
    network = model(name)
    convert.write_official(network, tmp_path / "model.pkl")
    content = pickle.loads((tmp_path / "model.pkl").read_bytes())
    assert content.keys() == {"model", "__author__"}  # by name, not by heuristics
    names = content["model"].keys()
    if network.architecture.startswith("mask2former"):
        names = {taken_by_the_official_head(name) for name in names}
    assert names == convert.to_official(network).keys()


PAIRS = """
backbone.body.conv1.weight = backbone.stem.conv1.weight
backbone.body.bn1.running_mean = backbone.stem.conv1.norm.running_mean
backbone.body.layer1.0.conv1.weight = backbone.res2.0.conv1.weight
backbone.body.layer4.1.bn3.running_var = backbone.res5.1.conv3.norm.running_var
backbone.body.layer2.0.downsample.0.weight = backbone.res3.0.shortcut.weight
backbone.body.layer2.0.downsample.1.bias = backbone.res3.0.shortcut.norm.bias
pixel_decoder.level_embed = sem_seg_head.pixel_decoder.transformer.level_embed
pixel_decoder.input_proj.0.1.bias = sem_seg_head.pixel_decoder.input_proj.0.1.bias
pixel_decoder.layers.0.norm2.weight = \
sem_seg_head.pixel_decoder.transformer.encoder.layers.0.norm2.weight
pixel_decoder.lateral.0.weight = sem_seg_head.pixel_decoder.adapter_1.weight
pixel_decoder.lateral.1.weight = sem_seg_head.pixel_decoder.adapter_1.norm.weight
pixel_decoder.smooth.1.bias = sem_seg_head.pixel_decoder.layer_1.norm.bias
pixel_decoder.mask_proj.bias = sem_seg_head.pixel_decoder.mask_features.bias
decoder.class_embed.bias = sem_seg_head.predictor.class_embed.bias
decoder.mask_embed.4.weight = sem_seg_head.predictor.mask_embed.layers.2.weight
"""
MASK2FORMER_PAIRS = """
decoder.query_feat.weight = sem_seg_head.predictor.query_feat.weight
decoder.query_embed.weight = sem_seg_head.predictor.query_embed.weight
decoder.level_embed.weight = sem_seg_head.predictor.level_embed.weight
decoder.layers.2.cross_attn.in_proj_weight = \
sem_seg_head.predictor.transformer_cross_attention_layers.2.multihead_attn.in_proj_weight
decoder.layers.2.cross_norm.bias = \
sem_seg_head.predictor.transformer_cross_attention_layers.2.norm.bias
decoder.layers.1.self_attn.out_proj.weight = \
sem_seg_head.predictor.transformer_self_attention_layers.1.self_attn.out_proj.weight
decoder.layers.1.self_norm.weight = \
sem_seg_head.predictor.transformer_self_attention_layers.1.norm.weight
decoder.layers.0.linear1.weight = sem_seg_head.predictor.transformer_ffn_layers.0.linear1.weight
decoder.layers.0.ffn_norm.bias = sem_seg_head.predictor.transformer_ffn_layers.0.norm.bias
decoder.norm.weight = sem_seg_head.predictor.decoder_norm.weight
decoder.embedding_head.2.weight = sem_seg_head.predictor.reid_embed.layers.1.weight
"""
MASK_DINO_PAIRS = """
decoder.proposal_proj.weight = sem_seg_head.predictor.enc_output.weight
decoder.proposal_norm.bias = sem_seg_head.predictor.enc_output_norm.bias
decoder.label_embed.weight = sem_seg_head.predictor.label_enc.weight
decoder.box_embed.2.weight = sem_seg_head.predictor._bbox_embed.layers.1.weight
decoder.box_embed.4.bias = sem_seg_head.predictor.bbox_embed.1.layers.2.bias
decoder.box_embed.0.bias = sem_seg_head.predictor.decoder.bbox_embed.0.layers.0.bias
decoder.norm.weight = sem_seg_head.predictor.decoder_norm.weight
decoder.norm.bias = sem_seg_head.predictor.decoder.norm.bias
decoder.place_embed.2.weight = sem_seg_head.predictor.decoder.ref_point_head.layers.1.weight
decoder.layers.1.self_norm.weight = sem_seg_head.predictor.decoder.layers.1.norm2.weight
decoder.layers.1.cross_norm.weight = sem_seg_head.predictor.decoder.layers.1.norm1.weight
decoder.layers.1.ffn_norm.weight = sem_seg_head.predictor.decoder.layers.1.norm3.weight
decoder.layers.1.cross_attn.value_proj.weight = \
sem_seg_head.predictor.decoder.layers.1.cross_attn.value_proj.weight
decoder.layers.0.self_attn.in_proj_bias = \
sem_seg_head.predictor.decoder.layers.0.self_attn.in_proj_bias
"""
SWIN_PAIRS = """
backbone.norms.3.weight = backbone.norm3.weight
backbone.patch_embed.norm.bias = backbone.patch_embed.norm.bias
backbone.layers.2.blocks.5.attn.qkv.weight = backbone.layers.2.blocks.5.attn.qkv.weight
backbone.layers.0.downsample.reduction.weight = backbone.layers.0.downsample.reduction.weight
"""


@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        ("mask2former embeddings", PAIRS + MASK2FORMER_PAIRS),
        ("mask_dino resnet26", PAIRS + MASK_DINO_PAIRS),
        ("mask2former swin_tiny", SWIN_PAIRS),
    ],
)
def test_official_names_are_those_of_the_official_code(name: str, pairs: str) -> None:
    ours, theirs = model(name).state_dict(), convert.to_official(model(name))
    for mine, official_name in re.findall(r"(\S+) = (\S+)", pairs):
        assert torch.equal(ours[mine], theirs[official_name]), official_name


def test_both_old_spellings_are_read(tmp_path: Path) -> None:
    before = model("mask2former resnet26")
    old = {
        name.replace("sem_seg_head.pixel_decoder.", "sem_seg_head.").replace(
            "query_feat", "static_query"
        ): tensor
        for name, tensor in convert.to_official(before).items()
    }
    assert "sem_seg_head.adapter_1.weight" in old
    assert "sem_seg_head.predictor.static_query.weight" in old
    old["criterion.empty_weight"] = torch.ones(5)
    converted = convert.read(save(tmp_path / "old.pth", old))
    assert converted.left_out == (("criterion.empty_weight", "belongs to the loss"),)
    after, _ = converted.build()
    assert same_weights(before, after)
    old["sem_seg_head.predictor.query_feat.weight"] = torch.ones(12, 64)
    with pytest.raises(ValueError, match=r"static_query.weight and .*query_feat.weight are both"):
        convert.read(save(tmp_path / "old.pth", old))


def test_ctvis_brings_its_embedding_head(tmp_path: Path) -> None:
    before = model("mask2former embeddings")
    converted = convert.read(save(tmp_path / "ctvis.pth", convert.to_official(before)))
    assert converted.origin == "CTVIS"
    after, _ = converted.build()
    assert after.config["embedding_dim"] == 48
    assert same_weights(before, after)


def test_weights_of_a_mask2former_are_those_of_frames_unless_clips_are_asked_for(
    tmp_path: Path,
) -> None:
    official = convert.to_official(model("mask2former_vis resnet26"))
    path = save(tmp_path / "m.pth", official)
    assert convert.read(path).architecture == "mask2former"
    network, _ = convert.read(path, architecture="mask2former_vis").build()
    assert isinstance(network, Mask2FormerVIS)
    wanted = "architecture must be mask2former or mask2former_vis .* Mask2Former, got 'mask_dino'"
    with pytest.raises(ValueError, match=wanted):
        convert.read(path, architecture="mask_dino")
    path = save(tmp_path / "d.pth", convert.to_official(model("mask_dino resnet26")))
    with pytest.raises(ValueError, match=r"architecture must be mask_dino for .*, got 'seqformer'"):
        convert.read(path, architecture="seqformer")


def test_seqformer_has_no_official_names() -> None:
    with pytest.raises(ValueError, match="there are no official names for SeqFormer"):
        convert.to_official(small_seqformer())


def test_arrays_serve_as_tensors(tmp_path: Path) -> None:
    before = model("mask2former resnet26")
    arrays = {name: tensor.numpy() for name, tensor in convert.to_official(before).items()}
    after, _ = convert.read(save(tmp_path / "m.pth", arrays)).build()
    assert same_weights(before, after)


def test_one_name_of_a_tensor_is_enough(tmp_path: Path) -> None:
    before = model("mask_dino resnet26")
    few = {
        name: tensor
        for name, tensor in convert.to_official(before).items()
        if "bbox_embed" not in name or ".decoder.bbox_embed.1." in name
    }
    after, _ = convert.read(save(tmp_path / "m.pth", few)).build(num_queries=12)
    assert same_weights(before, after)


@pytest.mark.parametrize("backbone", [*RESNETS.values(), *SWIN_SIZES])
def test_shapes_tell_every_backbone(backbone: str) -> None:
    with torch.device("meta"):
        network = Mask2Former(backbone, num_classes=3, num_encoder_layers=1, num_decoder_layers=2)
    settings = mask2former_settings(network.state_dict(), num_heads=8)
    assert network.config == {**network.config, **settings}
    assert settings["backbone"] == backbone


def test_heads_that_are_given_are_taken(tmp_path: Path) -> None:
    path = save(tmp_path / "m.pth", convert.to_official(model("mask2former resnet26")))
    network, _ = convert.read(path, num_heads=4).build()
    assert (network.config["num_heads"], network.config["num_points"]) == (4, 8)


def test_a_temporal_module_comes_beside_the_weights(tmp_path: Path) -> None:
    before = model("mask2former resnet26")
    converted = convert.read(save(tmp_path / "m.pth", convert.to_official(before)))
    after, report = converted.build(temporal=MixFrames())
    assert {name.split(".")[0] for name in report.missing} == {"temporal"}
    with pytest.raises(ValueError, match="there has no temporal module, this model has one"):
        convert.to_official(after)
    with pytest.raises(ValueError, match=r"official names: backbone.*has no name there"):
        convert.to_official(small_model())
