"""Weights of a backbone alone, in the names of Detectron2, torchvision and Hugging Face."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
import torch
import torchvision
from segmenter.support import randomise
from tolerances import PARITY_FLOAT32
from torch import Tensor

from vidgap_segmenter import build_backbone, load_backbone_weights

STAGES = ["stage1", "stage2", "stage3", "stage4"]

DETECTRON2 = [
    (r"^(?!layer)", "stem."),
    (r"layer(\d)", lambda match: f"res{int(match[1]) + 1}"),
    (r"bn(\d)", r"conv\1.norm"),
    (r"downsample\.0", "shortcut"),
    (r"downsample\.1", "shortcut.norm"),
]
"""What Detectron2's `convert-torchvision-to-d2.py` replaces, in its order."""


def detectron2_name(name: str) -> str:
    for pattern, replacement in DETECTRON2:
        name = re.sub(pattern, replacement, name)
    return name


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_detectron2_holds_the_weights_of_torchvision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = torchvision.models.resnet50().state_dict()
    state = {key: t + 0.1 * torch.rand(t.shape) for key, t in state.items() if t.ndim}
    torch.save(state, tmp_path / "torchvision.pth")
    arrays = {detectron2_name(key): tensor.numpy() for key, tensor in state.items()}
    assert "res2.0.conv2.norm.running_var" in arrays
    content = {"model": arrays, "__author__": "torchvision", "matching_heuristics": True}
    (tmp_path / "R.pkl").write_bytes(pickle.dumps(content, protocol=2))
    ours, theirs = build_backbone("resnet50"), build_backbone("resnet50")
    load_backbone_weights(ours, tmp_path / "torchvision.pth")
    report = load_backbone_weights(theirs, tmp_path / "R.pkl")
    assert report.unexpected == ("stem.fc.weight", "stem.fc.bias")
    assert report.missing == ()
    assert same(ours.state_dict(), theirs.state_dict())


def test_a_name_that_detectron2_has_not_is_told(tmp_path: Path) -> None:
    arrays = {"res2.0.conv1.weight": torch.ones(64, 64, 3, 3), "res2.0.conv9.weight": torch.ones(1)}
    torch.save(arrays, tmp_path / "R.pth")
    with pytest.raises(ValueError, match=r"unexpected +res2.0.conv9.weight"):
        load_backbone_weights(build_backbone("resnet18"), tmp_path / "R.pth")


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet26", "swin_tiny"])
@pytest.mark.parametrize("classifier", [True, False], ids=["classifier", "backbone"])
def test_a_folder_of_hugging_face_gives_the_same_maps(
    name: str, classifier: bool, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    if name == "resnet26":
        config = transformers.ResNetConfig(depths=[2, 2, 2, 2], out_features=STAGES)
        kinds = (transformers.ResNetBackbone, transformers.ResNetForImageClassification)
    else:
        config = transformers.SwinConfig(out_features=STAGES)
        kinds = (transformers.SwinBackbone, transformers.SwinForImageClassification)
    theirs = kinds[classifier](config).eval()
    randomise(theirs)
    theirs.save_pretrained(tmp_path)
    ours = build_backbone(name).eval()
    report = load_backbone_weights(ours, tmp_path)
    norms = {weight for weight in ours.state_dict() if weight.startswith("norms.")}
    assert set(report.missing) == (norms if classifier else set())
    images = torch.randn(1, 3, 256, 256)  # their classifier shifts no window on smaller maps
    if classifier:
        output = theirs(images, output_hidden_states=True)
        hidden = getattr(output, "reshaped_hidden_states", None) or output.hidden_states
        wanted = [hidden[-1]]  # after the last stage, before any output norm
        for norm in getattr(ours, "norms", []):
            norm.register_forward_hook(lambda _, inputs, __: inputs[0])
    else:
        wanted = theirs(images).feature_maps
    for found, map_ in zip(ours(images)[-len(wanted) :], wanted, strict=True):
        assert (found - map_).abs().max() / map_.std() <= PARITY_FLOAT32
