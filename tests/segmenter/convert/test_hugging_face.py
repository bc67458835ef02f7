"""Folders of Hugging Face's Mask2Former become ours with the same outputs, and ours theirs."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cache
from math import isnan, nan
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from segmenter.convert_cases import model, same_weights
from segmenter.support import random_frames
from tolerances import PARITY_FLOAT64
from torch import Tensor, nn

from vidgap_segmenter import convert

transformers = pytest.importorskip("transformers")

STAGES = ["stage1", "stage2", "stage3", "stage4"]
BACKBONES: dict[str, Callable[[], Any]] = {
    "resnet26": lambda: transformers.ResNetConfig(depths=[2, 2, 2, 2], out_features=STAGES),
    "swin_tiny": lambda: transformers.SwinConfig(out_features=STAGES),
}


@cache
def theirs(backbone: str) -> nn.Module:
    """A small network of theirs, made by them, no weight of which is a constant."""
    config = transformers.Mask2FormerConfig(
        backbone_config=BACKBONES[backbone](),
        feature_size=64,
        mask_feature_size=64,
        hidden_dim=64,
        encoder_feedforward_dim=96,
        encoder_layers=1,
        dim_feedforward=128,
        decoder_layers=4,
        num_attention_heads=4,
        num_queries=12,
        id2label={0: "cat", 1: "dog", 2: "cow"},
    )
    torch.manual_seed(0)
    network = transformers.Mask2FormerForUniversalSegmentation(config)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                tensor += 0.1 * (torch.rand_like(tensor) if "var" in name else _noise(tensor))
    return network.eval()


def _noise(tensor: Tensor) -> Tensor:
    return torch.randn_like(tensor) * (0.2 if tensor.ndim > 1 else 1)


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The network as transformers saves it; `request.param` is its backbone (ResNet)."""
    theirs(getattr(request, "param", "resnet26")).save_pretrained(tmp_path / "theirs")
    return tmp_path / "theirs"


def change_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def with_backbone(folder: Path, **changes: object) -> dict[str, object]:
    return json.loads((folder / "config.json").read_text())["backbone_config"] | changes


@torch.no_grad()
@pytest.mark.parametrize("folder", BACKBONES, indirect=True, ids=str)
def test_their_folder_becomes_the_same_network(folder: Path) -> None:
    converted = convert.read(folder)
    assert converted.class_names == ("cat", "dog", "cow")
    assert converted.unknown == ()
    ours, report = converted.build()
    assert str(report) == "all weights loaded"
    assert ours.config["num_heads"] == 4
    ours = ours.double()
    network = transformers.Mask2FormerForUniversalSegmentation.from_pretrained(
        folder, dtype=torch.float64
    )
    frames = random_frames(1, 2, 3, 64, 96)  # no padding is needed
    wanted = network((frames[0] - ours.pixel_mean) / ours.pixel_std)
    found = ours(frames)
    for one, other in [
        (found.class_logits, wanted.class_queries_logits),
        (found.mask_logits, wanted.masks_queries_logits),
    ]:
        assert (one[0].transpose(0, 1) - other).abs().max() / other.std() <= PARITY_FLOAT64
    assert convert.parity(ours, folder).worst <= PARITY_FLOAT64


def test_a_swin_has_the_old_names_on_disk_and_the_new_ones_in_memory(tmp_path: Path) -> None:
    network = theirs("swin_tiny")
    network.save_pretrained(tmp_path)
    on_disk, in_memory = load_file(tmp_path / "model.safetensors"), network.state_dict()
    block = "model.pixel_level_module.encoder.{}encoder.layers.0.blocks.1."
    assert block.format("") + "attention.self.query.weight" in on_disk
    assert block.format("swin.") + "attention.q_proj.weight" in in_memory
    states = []
    for state in (on_disk, in_memory):
        state = {name: tensor.clone() for name, tensor in state.items()}
        save_file(state, tmp_path / "w.safetensors")
        converted = convert.read(tmp_path / "w.safetensors", num_heads=4)
        assert converted.unknown == ()
        states.append(converted.state)
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], tensor) for name, tensor in states[1].items())


def test_what_needs_no_place_is_left_out_with_the_reason(folder: Path) -> None:
    reasons = dict(convert.read(folder).left_out)
    assert reasons["criterion.empty_weight"] == "belongs to the loss"
    assert set(reasons.values()) == {"belongs to the loss", "batch norms are frozen"}


def test_numbers_are_no_class_names(folder: Path) -> None:
    change_config(folder, id2label={"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"})
    assert convert.read(folder).class_names is None
    change_config(folder, id2label={"0": "cat", "2": "dog"})
    with pytest.raises(ValueError, match=r"theirs: id2label must name 0 to 1, got \[0, 2\]"):
        convert.read(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pre_norm": True}, "pre_norm must be False, got True"),
        ({"feature_strides": [8, 16, 32]}, r"feature_strides must be \[4, 8, 16, 32\]"),
        ({"backbone_config": [1]}, "backbone_config must be an object, got list"),
        ({"num_attention_heads": "many"}, "num_attention_heads must be a whole number, got 'many'"),
        ({"num_attention_heads": 0}, "num_heads must be 1 or more, got 0"),
        ({"id2label": ["cat"]}, "id2label must hold names by number"),
        ({"id2label": {"first": "cat"}}, "id2label must hold names by number"),
        ({"id2label": {"0": 3}}, "id2label must hold names by number"),
        ({"model_type": "maskformer"}, "model_type must be 'mask2former', got 'maskformer'"),
    ],
    ids=str,
)
def test_settings_that_make_another_network_are_refused(
    changes: dict[str, object], message: str, folder: Path
) -> None:
    change_config(folder, **changes)
    with pytest.raises(ValueError, match=message):
        convert.read(folder)


def test_strides_of_another_backbone_are_refused(folder: Path) -> None:
    change_config(folder, backbone_config=with_backbone(folder, downsample_in_bottleneck=True))
    with pytest.raises(ValueError, match="downsample_in_bottleneck must be False, got True"):
        convert.read(folder)


def test_weights_in_several_files_and_of_torch_are_read(folder: Path) -> None:
    whole = convert.read(folder).state
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"theirs: holds none of model.safetensors, pytorch_model"):
        convert.read(folder)
    shards = {name: f"part-{len(name) % 2}.safetensors" for name in state}
    for shard in set(shards.values()):
        save_file({name: state[name] for name in state if shards[name] == shard}, folder / shard)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": shards}))
    assert _same(convert.read(folder).state, whole)
    index.write_text(json.dumps({"weight_map": dict.fromkeys(state, "../part-0.safetensors")}))
    with pytest.raises(ValueError, match=r"wanted names of files beside it, got \.\./part-0"):
        convert.read(folder)
    index.write_text(json.dumps([]))
    with pytest.raises(ValueError, match=r"index.json: no index of weight files"):
        convert.read(folder)
    torch.save(state, folder / "pytorch_model.bin")
    assert _same(convert.read(folder).state, whole)


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_damage_is_named(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"model.safetensors: damaged"):
        convert.read(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json: not JSON: "):
        convert.read(folder)
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"config.json"):
        convert.read(folder)


def test_a_folder_of_ours_needs_no_conversion(tmp_path: Path) -> None:
    classes = [{"index": i, "category_id": i, "name": str(i)} for i in range(4)]
    model("mask2former resnet26").save_pretrained(tmp_path, classes)
    with pytest.raises(ValueError, match=r"got None \(the folder is vidgap's own: it needs no"):
        convert.read(tmp_path)


@pytest.mark.parametrize("name", ["mask2former resnet26", "mask2former swin_tiny"])
def test_our_folder_for_them_is_loaded_by_them_and_back_by_us(name: str, tmp_path: Path) -> None:
    before = model(name)
    convert.write_hugging_face(before, tmp_path, ["a", "b", "c", "d"])
    assert convert.obstacle(before) is None
    assert convert.parity(before, tmp_path).worst <= PARITY_FLOAT64
    converted = convert.read(tmp_path)
    assert converted.class_names == ("a", "b", "c", "d")
    after, _ = converted.build()
    assert same_weights(before, after)


def test_parity_notices_other_weights(tmp_path: Path) -> None:
    before = model("mask2former resnet26")
    convert.write_hugging_face(before, tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    state["model.transformer_module.decoder.layernorm.bias"][0] += 1e-4
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    found = convert.parity(before, tmp_path)
    assert found.worst > 1000 * PARITY_FLOAT64
    assert f"class logits {found.class_logits:.0e}, mask logits" in str(found)
    del state["class_predictor.bias"]
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"and the weights differ in \['class_predictor.bias'\]"):
        convert.parity(before, tmp_path)


@pytest.mark.parametrize("pair", [(1e-14, nan), (nan, 1e-14)], ids=str)
def test_no_number_is_the_worst_of_all(pair: tuple[float, float]) -> None:
    assert isnan(convert.Parity(*pair).worst)


def test_parity_notices_weights_that_are_no_numbers() -> None:
    network = copy.deepcopy(model("mask2former resnet26"))
    network.pixel_decoder.mask_proj.bias.data[0] = nan
    assert isnan(convert.parity(network).worst)


def test_an_embedding_head_is_compared_without_and_not_written(tmp_path: Path) -> None:
    network = model("mask2former embeddings")
    assert convert.obstacle(network) is None
    assert convert.parity(network).worst <= PARITY_FLOAT64
    with pytest.raises(ValueError, match=r"Hugging Face's names: decoder.embedding_head.0.weight"):
        convert.write_hugging_face(network, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_they_do_not_have_is_said(tmp_path: Path) -> None:
    mask_dino = model("mask_dino resnet26")
    assert convert.obstacle(mask_dino) == "it has no MaskDINO"
    with pytest.raises(ValueError, match="Hugging Face has no MaskDINO"):
        convert.write_hugging_face(mask_dino, tmp_path)
