"""The commands: every mistake of a user is one line on stderr and an exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from vis.support.tiny_runs import (
    MODEL,
    finetune_config,
    write_images,
)

from vidgap_vis import build
from vidgap_vis.classes import from_categories
from vidgap_vis.cli.main import main
from vidgap_vis.config.reading import to_mapping, write_yaml
from vidgap_vis.weights import save

Fails = Callable[..., str]


def test_runs_do_not_overwrite_each_other(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    command = ["pretrain", "-c", str(config), "--train.steps", "2"]
    assert main([*command, "--out", run]) == 0
    assert capsys.readouterr().out == f"{run}/weights\n"
    assert main([*command, "--out", run]) == 1
    assert f"vidgap: {run}: holds another run" in capsys.readouterr().err
    assert main(["pretrain", "--resume", run]) == 0
    assert main(["pretrain", "--resume", run, "--train.lr", "3"]) == 1
    assert "train.lr: was 0.001 in the run to resume, now 3.0" in capsys.readouterr().err
    assert main(["finetune", "--resume", run]) == 1
    assert "holds a run of pretrain, wanted one of finetune" in capsys.readouterr().err
    assert main(["pretrain", "--resume", run, "--out", "other"]) == 2
    assert "is another folder than --resume" in capsys.readouterr().err
    assert main(["pretrain", "--resume", str(tmp_path)]) == 1
    assert "holds no run to resume" in capsys.readouterr().err


def test_weights_that_do_not_fit_come_with_one_table(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = finetune_config(videos)
    torch.manual_seed(0)
    parent = build.segmenter(replace(MODEL, num_queries=7), config.temporal, 2)
    save(tmp_path / "w", parent, from_categories([(3, "red"), (7, "blue")]), {})
    write_yaml(tmp_path / "f.yaml", to_mapping(config))
    words = [
        "finetune",
        "-c",
        tmp_path / "f.yaml",
        "--init",
        tmp_path / "w",
        "--out",
        tmp_path / "r",
    ]
    assert main([str(word) for word in words]) == 1
    line, *table = capsys.readouterr().err.splitlines()
    assert line.endswith("model.safetensors: weights do not fit the model: 2 mismatched")
    assert all(re.fullmatch(r"mismatched +\S+ +wanted \(5, 32\), got \(7, 32\)", x) for x in table)
    assert len(table) == 2
    assert not (tmp_path / "r").exists()


def test_predict_says_what_is_wrong(tmp_path: Path, fails: Fails) -> None:
    assert fails(2, "predict", "x.mp4") == "--model: missing"
    assert fails(1, "predict", "x.mp4", "--model", tmp_path, "--out", "o.mp4") == (
        f"{tmp_path}: not a weights folder (config.json is missing)"
    )
    model = build.segmenter(MODEL, None, 2)
    save(tmp_path / "w", model, from_categories([(3, "red"), (7, "blue")]), {})
    known = ["predict", "x.mp4", "--model", tmp_path / "w", "--out", tmp_path / "o.mp4"]
    assert fails(1, *known).startswith("x.mp4: ")
    assert fails(2, *known, "--classes", "red, green") == (
        "--classes: unknown class 'green', wanted one of red, blue"
    )
    assert fails(1, *known, "--classes", "red, blue").startswith("x.mp4: ")
    assert fails(2, *known, "--latency", 0) == "latency must be 1 frame or more, got 0"
    assert fails(2, *known, "--score", 7) == "score must be in 0..1, got 7.0"
    for flag in ("--short_edge", "--batch_videos"):
        assert fails(2, *known, flag, 0) == f"{flag}: wanted 1 or more, got 0"
    assert "invalid choice: 'no'" in fails(2, *known, "--pipeline", "no")
    for device in ("nonsense", "meta", "mps", "cuda:x", "cpu:0"):
        wanted = f"--device: wanted auto, cpu, cuda or cuda:N, got {device!r}"
        assert fails(2, *known, "--device", device) == wanted
    assert fails(2, *known, "--device", "cuda:99").startswith("--device: cuda:99 is not there")


def test_weights_at_odds_with_themselves_are_one_line(tmp_path: Path, fails: Fails) -> None:
    folder = tmp_path / "w"
    save(folder, build.segmenter(MODEL, None, 2), from_categories([(3, "a"), (7, "b")]), {})
    config = json.loads((folder / "config.json").read_text())
    words = ["predict", "x.mp4", "--model", folder, "--json", tmp_path / "r.json"]
    (folder / "config.json").write_text(json.dumps({**config, "classes": config["classes"][:1]}))
    assert fails(1, *words) == (
        f"{folder}/config.json: classes: wanted indices 0 to 1 in order, got [0]"
    )
    settings = {**config["segmenter"], "num_heads": 0}
    (folder / "config.json").write_text(json.dumps({**config, "segmenter": settings}))
    assert fails(1, *words).startswith(f"{folder}/config.json: describes no model that can be")


def test_a_tracker_is_named_and_told_by_flags(tmp_path: Path, fails: Fails) -> None:
    folder = tmp_path / "w"
    save(folder, build.segmenter(MODEL, None, 2), from_categories([(3, "a"), (7, "b")]), {})
    words = ["predict", "x.mp4", "--model", folder, "--json", tmp_path / "r.json"]
    wanted = "ctvis wants weights with an embedding head"
    assert fails(2, *words, "--tracker", "ctvis").startswith(f"tracker.name: {wanted}")
    said = fails(2, *words, "--tracker.match_threshold", 0.2)
    assert said.startswith("--tracker.match_threshold: tracker query has no such option")
    assert fails(2, *words, "--tracker.max_gap", -1) == (
        "--tracker.max_gap: wanted 0 or more, or null, got -1"
    )
    assert "sort" in fails(2, *words, "--tracker", "sort")
    assert fails(2, *words, "--top_k", 5000) == "--top_k: wanted 1000 at most, got 5000"
    config = json.loads((folder / "config.json").read_text())
    for top_k, wanted in ((0, "a whole number above 0"), (1001, "1000 at most")):
        (folder / "config.json").write_text(json.dumps({**config, "test": {"top_k": top_k}}))
        said = f"{folder}/config.json: test.top_k: wanted {wanted}, got {top_k}"
        assert fails(1, *words) == said
    (folder / "config.json").write_text(json.dumps({**config, "tracker": {"name": "sort"}}))
    assert fails(1, *words) == (
        f"{folder}/config.json: tracker.name: wanted one of ctvis, minvis, idol, masktrack, query, "
        "index, dvis, dvis_offline, vita, genvis, joint, got 'sort'"
    )


def test_broken_backbone_weights_are_one_line(config: Path, tmp_path: Path, fails: Fails) -> None:
    (tmp_path / "broken.pth").write_text("hello")
    words = ["--model.backbone_weights", tmp_path / "broken.pth", "--out", tmp_path / "run"]
    said = fails(1, "pretrain", "-c", config, *words)
    assert said.startswith(f"model.backbone_weights: {tmp_path}/broken.pth: cannot be read")


def test_inputs_are_not_overwritten(videos: Path, tmp_path: Path, fails: Fails) -> None:
    truth, results, folder = videos / "clips.json", tmp_path / "results.json", tmp_path / "w"
    results.write_text("[]")
    for path in (truth, results):
        words = ["evaluate", results, "--gt", truth, "--json", path]
        assert fails(2, *words) == f"--json: {path} is an input, and would be overwritten"
    assert results.read_text() == "[]"
    save(folder, build.segmenter(MODEL, None, 2), from_categories([(3, "a"), (7, "b")]), {})
    words = ["predict", truth, "--images", videos, "--model", folder, "--json", truth]
    assert fails(2, *words) == f"--json: {truth} is an input, and would be overwritten"


def test_a_negative_seed_makes_no_demo(tmp_path: Path, fails: Fails) -> None:
    words = ["demo", "--out", tmp_path / "d", "--seed", -1]
    assert fails(2, *words) == "--seed: wanted 0 or more, got -1"
    assert not (tmp_path / "d").exists()


def test_a_damaged_image_is_one_line_from_a_worker_too(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_images(tmp_path / "images", count=2)
    for path in (root / "images").iterdir():
        path.write_bytes(b"no picture")
    words = ["--data.root", str(root), "--train.num_workers", "1", "--out", str(tmp_path / "run")]
    assert main(["pretrain", "-c", str(config), *words]) == 1
    said = capsys.readouterr().err
    assert re.search(r"^vidgap: .*\.png: .*$", said, re.MULTILINE)
    assert "Traceback" not in said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_a_checkpoint_that_resumes_to_the_same_bits(
    number: signal.Signals, code: int, config: Path, tmp_path: Path
) -> None:
    """A real process with data workers, a real signal to all of them."""
    steps = ["--train.steps", "20", "--train.log_every", "1", "--train.num_workers", "1"]
    steps += ["--train.num_threads", "1"]
    out = tmp_path / "run"
    words = [sys.executable, "-m", "vidgap_vis", "pretrain", "-c", str(config), *steps]
    process = subprocess.Popen(
        [*words, "--out", str(out)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not (out / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert "Traceback" not in said
    assert f"go on with: vidgap pretrain --resume {out}" in said
    assert main(["pretrain", "--resume", str(out)]) == 0
    assert main(["pretrain", "-c", str(config), *steps, "--out", str(tmp_path / "straight")]) == 0
    resumed, straight = (
        load_file(run / "weights" / "model.safetensors") for run in (out, tmp_path / "straight")
    )
    assert all(torch.equal(resumed[name], straight[name]) for name in straight)
