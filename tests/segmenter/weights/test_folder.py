"""A network's folder: round trips, what it must hold, atomic writing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from segmenter.support import MixFrames, random_frames, small_model
from torch import Tensor, nn

from vidgap_segmenter import Mask2Former, MaskDINO, weights

CLASSES = [
    {"index": index, "category_id": 10 + index, "name": name}
    for index, name in enumerate(["disc", "square", "triangle", "star"])
]


def with_temporal(model: Mask2Former) -> Mask2Former:
    other = small_model(temporal=MixFrames()).eval()
    weights.load_checked(other, model.state_dict(), allow_missing=("temporal.",))
    return other


@torch.no_grad()
def test_a_saved_model_comes_back_to_the_bit(model: Mask2Former, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "first"
    model.save_pretrained(folder, CLASSES)
    again = Mask2Former.from_pretrained(folder)
    assert not again.training
    assert again.config == model.config
    frames = random_frames(1, 2, 3, 40, 50)
    assert torch.equal(again(frames).mask_logits, model(frames).mask_logits)
    config = json.loads((folder / "config.json").read_text())
    settings = {"architecture": "mask2former", **model.config}
    assert config == {"segmenter": settings, "temporal": None, "classes": CLASSES}
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_a_temporal_module_is_saved_with_its_config(model: Mask2Former, tmp_path: Path) -> None:
    mixed = with_temporal(model)
    mixed.save_pretrained(tmp_path, CLASSES)
    assert weights.read_config(tmp_path)["temporal"] == {"channels": 64}
    again = Mask2Former.from_pretrained(tmp_path, temporal=MixFrames())
    state = mixed.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in again.state_dict().items())


class Set(MixFrames):
    """Has settings that change none of its weights."""

    def __init__(self, **settings: object) -> None:
        super().__init__()
        self.settings = settings

    @property
    def config(self) -> dict[str, object]:
        return {"channels": self.channels, **self.settings}


class Bare(nn.Module):
    """What a temporal module must have, and no `config`."""

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        return features

    def step(
        self, features: list[Tensor], state: list[Tensor] | None
    ) -> tuple[list[Tensor], list[Tensor]]:
        return features, state or []


@torch.no_grad()
def test_a_temporal_module_without_config_runs_but_is_not_saved(tmp_path: Path) -> None:
    model = small_model(temporal=Bare()).eval()
    model(random_frames(1, 2, 3, 32, 32))
    with pytest.raises(ValueError, match=r"temporal must have a property `config`, .* Bare has"):
        model.save_pretrained(tmp_path / "weights", CLASSES)
    assert not (tmp_path / "weights").exists()


def test_temporal_weights_need_their_module(model: Mask2Former, tmp_path: Path) -> None:
    with_temporal(model).save_pretrained(tmp_path / "mixed", CLASSES)
    with pytest.raises(ValueError, match=r"model.safetensors holds temporal.\* weights: pass"):
        Mask2Former.from_pretrained(tmp_path / "mixed")
    with pytest.raises(ValueError, match=r"temporal must have channels=64, as .*, got 32"):
        Mask2Former.from_pretrained(tmp_path / "mixed", temporal=MixFrames(32))
    model.save_pretrained(tmp_path / "plain", CLASSES)
    with pytest.raises(ValueError, match=r"missing +temporal.now.weight"):
        Mask2Former.from_pretrained(tmp_path / "plain", temporal=MixFrames())


def test_a_temporal_module_is_set_up_as_the_one_that_was_saved(tmp_path: Path) -> None:
    """Settings may change no weight's shape; `init` matters to none that is loaded."""
    small_model(temporal=Set(pairing="half", init="identity")).save_pretrained(tmp_path, CLASSES)
    for same in (Set(pairing="half"), Set(pairing="half", init="default"), Set(pairing=None)):
        Mask2Former.from_pretrained(tmp_path, temporal=same)
    with pytest.raises(ValueError, match=r"pairing='half', as .*config.json says, got 'adja"):
        Mask2Former.from_pretrained(tmp_path, temporal=Set(pairing="adjacent"))


def test_saving_again_replaces_and_leaves_other_files(model: Mask2Former, tmp_path: Path) -> None:
    (tmp_path / "provenance.json").write_text("{}")
    (tmp_path / "config.json").write_text("old")
    model.save_pretrained(tmp_path, CLASSES)
    assert (tmp_path / "provenance.json").read_text() == "{}"
    assert Mask2Former.from_pretrained(tmp_path).num_classes == 4


def test_a_failed_save_leaves_what_was_there(
    model: Mask2Former, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.save_pretrained(tmp_path, CLASSES)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(_state: object, path: Path, _metadata: object) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(weights.files, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        model.save_pretrained(tmp_path, CLASSES)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_numbers_of_numpy_are_saved_and_what_json_cannot_hold_changes_nothing(
    model: Mask2Former, tmp_path: Path
) -> None:
    numbered = [info | {"category_id": np.int64(info["category_id"])} for info in CLASSES]
    model.save_pretrained(tmp_path, numbered)
    assert json.loads((tmp_path / "config.json").read_text())["classes"] == CLASSES
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for parameter in model.parameters():
        parameter.data += 1
    with pytest.raises(ValueError, match=r"must hold what JSON can, got \{3\}"):
        model.save_pretrained(tmp_path, [info | {"category_id": {3}} for info in CLASSES])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_classes_and_sections_must_be_complete(model: Mask2Former, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="classes must list 4 classes, got 3"):
        model.save_pretrained(tmp_path, CLASSES[:3])
    for wrong in ("disc", {"id": 1, "name": "disc"}, CLASSES[1]):
        with pytest.raises(ValueError, match=r'classes\[0\] must be \{"index": 0, "category_id": '):
            model.save_pretrained(tmp_path, [wrong, *CLASSES[1:]])
    (tmp_path / "config.json").write_text('{"segmenter": {}, "temporal": null}')
    with pytest.raises(ValueError, match=r"config.json: section 'classes' is missing"):
        Mask2Former.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json: not JSON: Expecting property name"):
        Mask2Former.from_pretrained(tmp_path)


def test_a_damaged_file_of_weights_is_named(model: Mask2Former, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path, CLASSES)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"model.safetensors: damaged \(Error while deserializing"):
        Mask2Former.from_pretrained(tmp_path)


def test_another_network_or_an_unknown_setting_is_named(model: Mask2Former, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path, CLASSES)
    with pytest.raises(ValueError, match=r"config.json describes a mask2former, not a mask_dino"):
        MaskDINO.from_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["segmenter"]["num_heeds"] = 8
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config.json: .*unexpected .*num_heeds"):
        Mask2Former.from_pretrained(tmp_path)
