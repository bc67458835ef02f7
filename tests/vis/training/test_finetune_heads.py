"""Fine-tuning what follows instances: heads and IDOL's contrast, by their configurations."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from vis.support.head_runs import (
    FROZEN,
    HEAD_MODEL,
    HEADS,
    PARENTS,
    association,
    config_of,
    followed,
)
from vis.support.stream_model import moving_squares
from vis.support.tiny_runs import (
    weights_of,
    write_shuffled_squares,
    write_videos,
)

from vidgap_vis import VideoSegmenter, build
from vidgap_vis.cli.main import main
from vidgap_vis.cli.parser import Parser
from vidgap_vis.config import ContrastConfig, FinetuneConfig, TrackerConfig
from vidgap_vis.config.reading import to_mapping, write_yaml
from vidgap_vis.data import ClipBatch, collate
from vidgap_vis.errors import ConfigError, InputError
from vidgap_vis.trackers.genvis import GenVISTracker
from vidgap_vis.training.finetune import finetune, make_dataset
from vidgap_vis.training.make_unit import make_unit
from vidgap_vis.weights import Usage
from vidgap_vis.weights.heads import HEAD_FILE

CONFIGS = Path(__file__).parents[3] / "configs"
Runs = Callable[[str], Path]


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shuffled_squares(tmp_path_factory.mktemp("squares") / "videos")


@pytest.fixture(scope="module")
def runs(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Train by name, what it starts from first, each once."""
    folder = tmp_path_factory.mktemp("runs")

    @cache
    def run(name: str) -> Path:
        init = run(PARENTS[name]) / "weights" if name in PARENTS else None
        finetune(config_of(name, squares), init, folder / name)
        return folder / name

    return run


@pytest.fixture
def batch(squares: Path) -> ClipBatch:
    dataset, _ = make_dataset(config_of("dvis", squares))
    model = build.segmenter(HEAD_MODEL, None, 2)
    return collate([dataset[100, index] for index in range(8)], model.padding_colour)


def head_of(run: Path) -> dict[str, Tensor]:
    return load_file(run / "weights" / HEAD_FILE)


def logged(run: Path, part: str) -> list[float]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)[part] for line in lines]


@pytest.mark.parametrize("name", ["idol", *HEADS])
def test_forty_steps_lower_the_loss(name: str, runs: Runs) -> None:
    losses = logged(runs(name), "loss")
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])


@pytest.mark.parametrize("name", HEADS)
def test_what_is_frozen_does_not_move_by_a_bit(name: str, runs: Runs) -> None:
    parent = runs(PARENTS[name])
    before, after = weights_of(parent), weights_of(runs(name))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before) == (name in FROZEN)
    if name == "dvis_offline":
        tracker, whole = head_of(parent), head_of(runs(name))
        assert {key for key in whole if not key.startswith("refiner.")} == tracker.keys()
        assert all(torch.equal(whole[key], value) for key, value in tracker.items())
    if name == "genvis":
        vita, whole = head_of(parent), head_of(runs(name))
        assert not any(torch.equal(whole[f"vita.{key}"], value) for key, value in vita.items())


@pytest.mark.parametrize("name", ["dvis", "dvis_offline"])
def test_a_trained_head_follows_better_than_a_fresh_one(
    name: str, squares: Path, runs: Runs, batch: ClipBatch
) -> None:
    config, trained = config_of(name, squares), runs(name) / "weights"
    found = association(config, trained, batch)
    assert found > 0.55  # 0.61 to 0.84 over seeds; fresh 0.2 to 0.6
    assert found > 0.1 + association(config, trained, batch, fresh=True)


@pytest.mark.parametrize("name", ["vita", "genvis"])
def test_queries_of_videos_follow_better_than_fresh_ones(
    name: str, squares: Path, runs: Runs, batch: ClipBatch, tmp_path: Path
) -> None:
    config = config_of(name, squares)
    settings = replace(config.train, steps=1, lr=1e-12, milestones=())
    finetune(replace(config, train=settings), runs("idol") / "weights", tmp_path / "fresh")
    found = followed(runs(name) / "weights", batch)
    fresh = followed(tmp_path / "fresh" / "weights", batch)
    assert found > 0.2 + fresh


def test_idols_contrast_tells_instances_apart(
    squares: Path, runs: Runs, batch: ClipBatch, tmp_path: Path
) -> None:
    config = config_of("idol", squares)
    settings = replace(config.train, steps=1, lr=1e-12, milestones=())
    finetune(replace(config, train=settings), None, tmp_path / "fresh")
    assert association(config, runs("idol") / "weights", batch) > 0.65  # 0.67 to 0.84 over seeds
    assert association(config, tmp_path / "fresh" / "weights", batch) < 0.55


def test_the_track_head_finds_what_is_remembered(
    squares: Path, runs: Runs, batch: ClipBatch
) -> None:
    losses = logged(runs("masktrack"), "track")
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert association(config_of("masktrack", squares), runs("masktrack") / "weights", batch) > 0.8


@pytest.mark.parametrize("name", ["idol", *HEADS])
def test_weights_follow_with_the_tracker_that_was_trained(name: str, runs: Runs) -> None:
    segmenter = VideoSegmenter.from_pretrained(
        runs(name) / "weights", device="cpu", score_threshold=0.0
    )
    kinds = {
        "idol": "IDOLAssociator",
        "dvis": "DVISTracker",
        "dvis_offline": "DVISOfflineTracker",
        "vita": "VITATracker",
        "genvis": "GenVISTracker",
        "masktrack": "MaskTrackAssociator",
    }
    tracker = segmenter.make_tracker()
    assert type(getattr(tracker, "associator", tracker)).__name__ == kinds[name]
    frames = moving_squares(4, size=(32, 48))
    assert len(list(segmenter.track(frames))) == 4


def test_clips_of_genvis_are_followed_as_they_were_trained(
    squares: Path, runs: Runs, tmp_path: Path
) -> None:
    config = config_of("genvis", squares, steps=1)
    clip = replace(config.clip, num_frames=4)
    config = replace(config, clip=clip, head=replace(HEADS["genvis"], clip_frames=2))
    finetune(config, runs("vita") / "weights", tmp_path / "run")
    assert Usage.read(tmp_path / "run" / "weights").tracker == {"name": "genvis", "clip_frames": 2}
    segmenter = VideoSegmenter.from_pretrained(tmp_path / "run" / "weights", device="cpu")
    tracker = segmenter.make_tracker()
    assert isinstance(tracker, GenVISTracker)
    assert tracker.clip_frames == 2


def test_an_offline_model_may_be_used_online(squares: Path, runs: Runs, tmp_path: Path) -> None:
    config = replace(config_of("dvis_offline", squares, steps=1), tracker=TrackerConfig("dvis"))
    finetune(config, runs("dvis") / "weights", tmp_path / "run")
    segmenter = VideoSegmenter.from_pretrained(tmp_path / "run" / "weights", device="cpu")
    assert type(segmenter.make_tracker()).__name__ == "DVISTracker"


def test_the_command_trains_and_predict_follows(squares: Path, runs: Runs, tmp_path: Path) -> None:
    write_yaml(tmp_path / "run.yaml", to_mapping(config_of("dvis", squares, steps=2)))
    options = ["-c", str(tmp_path / "run.yaml"), "--init", str(runs("idol") / "weights")]
    assert main(["finetune", *options, "--out", str(tmp_path / "run")]) == 0
    video = squares / "frames" / "0"
    weights, results = str(tmp_path / "run" / "weights"), tmp_path / "results.json"
    settings = ["--model", weights, "--device", "cpu", "--json", str(results)]
    assert main(["predict", str(video), *settings]) == 0
    assert results.exists()


def said(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


def test_what_a_head_starts_from_is_said(
    squares: Path, runs: Runs, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def start(name: str, parent: str, **head: Any) -> str:
        config = config_of(name, squares, steps=1)
        config = replace(config, head=replace(HEADS[name], **head))
        init, out = runs(parent) / "weights", tmp_path / f"{name}_of_{parent}"
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="vidgap_vis"):
            finetune(config, init, out)
        return said(caplog)

    assert "weights: no head; the head dvis starts afresh" in start("dvis", "idol")
    assert "weights: the head vita; the head dvis starts afresh" in start("dvis", "vita")
    again = start("vita", "vita", window=2)
    assert f"{len(head_of(runs('vita')))} weights of a head taken over, 0 start afresh" in again
    assert "head.window: the parent had 6, now 2" in again
    of_vita = start("genvis", "vita")
    assert "taken over, 8 start afresh" in of_vita
    assert "head.vita.window: the parent had 6, now 0" in of_vita
    offline = start("dvis_offline", "dvis")
    assert f"{len(head_of(runs('dvis')))} weights of a head taken over" in offline
    assert "  refiner  " in offline
    alone = start("dvis", "dvis_offline")
    assert f"{len(head_of(runs('dvis')))} weights of a head taken over, 0 start afresh" in alone


def test_a_head_that_is_left_out_is_said(
    squares: Path, runs: Runs, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = replace(config_of("dvis", squares, steps=1), head=None)
    with caplog.at_level(logging.INFO, logger="vidgap_vis"):
        finetune(config, runs("dvis") / "weights", tmp_path / "run")
    assert "weights: its head is left out, as this run trains none" in said(caplog)
    assert not (tmp_path / "run" / "weights" / HEAD_FILE).exists()


def test_class_layers_start_afresh_where_the_classes_differ(
    runs: Runs, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    videos = write_videos(tmp_path / "videos")
    content = json.loads((videos / "clips.json").read_text())
    content["categories"][0]["name"] = "crimson"
    (videos / "clips.json").write_text(json.dumps(content))
    with caplog.at_level(logging.INFO, logger="vidgap_vis"):
        finetune(config_of("vita", videos, steps=1), runs("vita") / "weights", tmp_path / "run")
    count = len(head_of(runs("vita")))
    assert f"{count - 2} weights of a head taken over, 2 start afresh" in said(caplog)
    for name, missing in (("dvis", r"decoder\.class_embed\.weight"), ("genvis", "decoder")):
        message = rf"{missing}.* is missing \(the classes differ\), and this run leaves the segment"
        with pytest.raises(InputError, match=message):
            finetune(config_of(name, videos), runs(PARENTS[name]) / "weights", tmp_path / name)


BAD_STARTS: dict[str, tuple[str, str | None, dict[str, Any], str]] = {
    "no parent": ("dvis", None, {}, r"--init: missing, wanted the weights of the segmenter"),
    "no tracker": (
        "dvis_offline",
        "vita",
        {},
        r"weights: head: tracker is missing \(the parent has none\), and this run leaves it as",
    ),
    "another tracker": (
        "dvis_offline",
        "dvis",
        {"num_heads": 4},
        r"head\.tracker\.num_heads: the parent had 2, now 4, and this run leaves the tracker as",
    ),
    "another alignment": (
        "dvis_offline",
        "dvis",
        {"inverse_alignment": True},
        r"head\.tracker\.inverse_alignment: the parent had False, now True",
    ),
    "other sizes": (
        "vita",
        "vita",
        {"num_queries": 5, "window": 2},
        r"weights: head: does not fit this run's: num_queries: the parent had 8, now 5",
    ),
}


@pytest.mark.parametrize(("name", "parent", "head", "message"), BAD_STARTS.values(), ids=BAD_STARTS)
def test_weights_that_a_head_cannot_start_from_are_refused(
    name: str,
    parent: str | None,
    head: dict[str, Any],
    message: str,
    squares: Path,
    runs: Runs,
    tmp_path: Path,
) -> None:
    config = config_of(name, squares)
    config = replace(config, head=replace(HEADS[name], **head))
    init = None if parent is None else runs(parent) / "weights"
    with pytest.raises(InputError, match=message):
        finetune(config, init, tmp_path / "run")
    assert not (tmp_path / "run" / "weights").exists()


def test_options_of_another_tracker_are_refused(squares: Path, runs: Runs, tmp_path: Path) -> None:
    config = replace(config_of("dvis", squares), tracker=TrackerConfig("dvis", match_threshold=0.5))
    with pytest.raises(ConfigError, match=r"tracker\.match_threshold: tracker dvis has no such"):
        finetune(config, runs("idol") / "weights", tmp_path / "run")


def test_settings_reach_what_they_are_of(squares: Path) -> None:
    def unit(name: str, **head: Any) -> Any:
        config = config_of(name, squares)
        config = replace(config, head=replace(HEADS[name], **head))
        return make_unit(build.segmenter(HEAD_MODEL, None, 2), config, 2)

    dvis = unit("dvis", inverse_alignment=True, reuse_queries=True)
    assert (dvis.tracker.inverse_alignment, dvis.loss.reuse_queries) == (True, True)
    assert len(dvis.tracker.layers) == 2
    genvis = unit("genvis", clip_frames=1, forget_absent=True, num_levels=2, similarity_weight=0.1)
    assert (genvis.loss.forget_absent, genvis.num_levels, genvis.clip_frames) == (True, 2, 1)
    assert genvis.loss.weights["similarity"] == 0.1
    assert genvis.genvis.vita.config["window"] == 0
    vita = unit("vita", window=3)
    assert vita.vita.config["window"] == 3
    assert vita.loss.criterion.point_losses.num_points == 32
    assert unit("masktrack", weight=0.5).weight == 0.5
    contrast = ContrastConfig("idol", weight=1.0, negatives=3, idol_compat=True)
    config = replace(config_of("idol", squares), contrast=contrast)
    idol: Any = make_unit(build.segmenter(HEAD_MODEL, None, 2), config, 2)
    assert (idol.contrast.negatives, idol.contrast.weights["contrast"]) == (3, 1.0)
    assert idol.idol_compat


def test_idol_wants_queries_of_frames(squares: Path) -> None:
    config = config_of("idol", squares)
    config = replace(config, model=replace(HEAD_MODEL, architecture="mask2former_vis"))
    model = build.segmenter(config.model, None, 2)
    with pytest.raises(ConfigError, match=r"contrast: queries must be each frame's own to be told"):
        make_unit(model, config, 2)


SIZES = {
    "dvis": 9_680_937,
    "dvis_offline": 14_415_146,
    "vita": 13_175_081,
    "genvis": 13_175_081 + 263_168,
}
"""Weights of the official heads with 40 classes."""


@pytest.mark.parametrize("name", SIZES)
def test_the_projects_runs_train_heads_of_the_official_sizes(name: str) -> None:
    parser = Parser("vidgap")
    parser.add_section(FinetuneConfig)
    parser.parse(["-c", str(CONFIGS / f"finetune_ytvis19_{name}_r50.yaml")])
    config = parser.configuration(FinetuneConfig)
    unit = make_unit(build.segmenter(config.model, None, 40), config, 40)
    own = unit.model.parameters()
    learned = sum(p.numel() for p in unit.parameters() if p.requires_grad)
    assert learned - sum(p.numel() for p in own if p.requires_grad) == SIZES[name]


def test_damaged_heads_of_parents_are_named(squares: Path, runs: Runs, tmp_path: Path) -> None:
    folder = shutil.copytree(runs("dvis") / "weights", tmp_path / "weights")
    (folder / HEAD_FILE).unlink()
    with pytest.raises(InputError, match=r"head\.safetensors is missing"):
        finetune(config_of("dvis", squares), folder, tmp_path / "run")
