"""The benchmark of inference: both sides do what they are timed for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

pytest.importorskip("transformers")

from bench.inference import times
from bench.inference.hugging_face import milliseconds, replaced
from vidgap_vis.speed import END_TO_END, STAGES, Case
from vidgap_vis.speed.scene import Scene


class Output:
    """What Hugging Face's network returns."""

    class_queries_logits: Tensor = torch.randn(1, 6, 5)
    masks_queries_logits: Tensor = torch.randn(1, 6, 24, 32)


def test_predictions_are_the_scenes() -> None:
    scene = Scene(4)
    found = replaced(Output(), scene, 3)
    labels = found.class_queries_logits[0].argmax(-1)
    assert labels.tolist() == [0, 0, 0, 0, 4, 4]
    assert ((found.masks_queries_logits[0, :4] > 0) == (scene.distances(3, (24, 32)) > 0)).all()
    assert not (found.masks_queries_logits[0, 4:] > 0).any()


def test_a_run_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tiny = {"tiny": {"test_resnet": (Case(96, (96, 128), 1, 3, steps=1),)}}
    monkeypatch.setattr(times, "CASES", tiny)
    monkeypatch.setattr(times, "milliseconds", lambda *_: 1000.0)
    assert times.measure("tiny", tmp_path / "numbers.json")
    with_module, without = json.loads((tmp_path / "numbers.json").read_text())["rows"]
    assert list(without["ms"]) == [*STAGES, END_TO_END]
    assert with_module["ms"]["temporal"] > 0 == without["ms"]["temporal"]
    assert without["hugging_face"] == 1000.0
    assert 0 < without["ours"] < sum(without["ms"][name] for name in STAGES)


def test_hugging_faces_side_runs() -> None:
    network = times.network("resnet50", module=False)
    assert milliseconds(network, Case(64, (64, 96), 1, 2, steps=1)) > 0
