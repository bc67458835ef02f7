"""The whole command line on tiny data: data, pre-train, fine-tune, predict, evaluate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidgap_vis.cli.main import main
from vidgap_vis.video.read import open_video
from vidgap_vis.weights import load

CONFIG = """
{stage}
model:
  backbone: test_resnet
  channels: 32
  num_queries: 6
  num_encoder_layers: 1
  encoder_ffn_channels: 32
  num_decoder_layers: 2
  decoder_ffn_channels: 32
  num_heads: 2
  num_points: 2
temporal: {{window_size: 4, num_heads: 2, ffn_channels: 32, num_short_layers: 1, num_gru_layers: 1}}
loss: {{num_points: 64}}
train:
  steps: 4
  batch_size: 2
  lr: 1e-3
  schedule: cosine
  num_workers: 0
  precision: bf16
  device: cpu
"""

PRETRAIN = """
data: {root: ROOT, annotations: images_train.json, images: images}
clip: {num_frames: 2, size: [32, 48], scale_range: [0.8, 1.2]}
"""

FINETUNE = """
data:
  root: ROOT
  annotations: clips_train.json
  frames: frames
  pseudo: {root: ROOT, annotations: images_train.json, images: images, ratio: 0.5}
clip: {num_frames: 3, frame_range: 2, crop_probability: 0, short_edges: [32], max_size: 48}
"""


def run(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


def test_from_generated_data_to_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    counts = [
        f"--num_{split}_{kind}=2" for split in ("train", "valid") for kind in ("images", "clips")
    ]
    run("data", "synthetic", "--out", data, "--size", "[32, 48]", "--num_frames", 4, *counts)
    for name, stage in (("pretrain", PRETRAIN), ("finetune", FINETUNE)):
        text = CONFIG.format(stage=stage.replace("ROOT", str(data)))
        (tmp_path / f"{name}.yaml").write_text(text)

    run("pretrain", "-c", tmp_path / "pretrain.yaml", "--out", tmp_path / "one", "--profile")
    assert "backbone" in capsys.readouterr().err
    parent = tmp_path / "one" / "weights"
    child = tmp_path / "two" / "weights"
    run("finetune", "-c", tmp_path / "finetune.yaml", "--init", parent, "--out", tmp_path / "two")
    assert "0 start afresh" in capsys.readouterr().err
    said = json.loads((child / "provenance.json").read_text())
    assert set(said["data"]) == {"data.annotations", "data.pseudo.annotations"}
    assert len(said["parent"]) == 64
    assert [info.name for info in load(child)[1]] == [info.name for info in load(parent)[1]]

    truth, results = data / "clips_valid.json", tmp_path / "results.json"
    run(
        *("predict", truth, "--images", data / "frames", "--model", child, "--latency", 3),
        *("--json", results, "--out", tmp_path / "overlays", "--device", "cpu"),
    )
    overlays = sorted((tmp_path / "overlays").glob("*.mp4"))
    assert len(overlays) == 2
    assert len(list(open_video(overlays[0]))) == 4
    videos = {video["id"] for video in json.loads(truth.read_text())["videos"]}
    assert {entry["video_id"] for entry in json.loads(results.read_text())} <= videos

    capsys.readouterr()
    run("evaluate", results, "--gt", truth, "--json", tmp_path / "metrics.json")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert {"AP", "AP50", "AP75", "AR1", "AR10"} <= metrics.keys()
    assert 0 <= metrics["AP"] <= metrics["AP50"] <= 1
    assert "AP50" in capsys.readouterr().out
