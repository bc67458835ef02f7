"""Joint networks through both stages: the loss falls, runs resume, weights predict."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
from vis.support.networks import same_weights
from vis.support.stream_model import moving_squares
from vis.support.tiny_runs import (
    CLASSES,
    assert_bit_equal,
    finetune_config,
    make_model,
    pretrain_config,
    write_videos,
)

from vidgap_vis.config import ContrastConfig, TrackerConfig
from vidgap_vis.config.reading import to_mapping, write_yaml
from vidgap_vis.errors import ConfigError, InputError, TrainingInterrupted
from vidgap_vis.inference.segmenter import VideoSegmenter
from vidgap_vis.trackers.joint import JointOptions, JointTracker
from vidgap_vis.training.finetune import finetune
from vidgap_vis.training.metrics import MetricsLog
from vidgap_vis.training.pretrain import pretrain
from vidgap_vis.weights import initialise, load, save

ARCHITECTURES = ("mask2former_vis", "seqformer")

joint = pytest.mark.parametrize("architecture", ARCHITECTURES)


def of(architecture: str, config: Any, **changes: Any) -> Any:
    """Return a run's configuration with another network."""
    return replace(config, model=replace(config.model, architecture=architecture), **changes)


def losses_of(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


@joint
@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_forty_steps_lower_the_loss_and_the_weights_predict(
    stage: str, architecture: str, images: Path, run: Callable[..., list[str]], tmp_path: Path
) -> None:
    train = {"steps": 40, "log_every": 5, "lr": 1e-3, "clip_norm": 1.0}
    words: list[object] = []
    if stage == "pretrain":
        config = of(architecture, pretrain_config(images, **train))
    else:
        config = of(architecture, finetune_config(write_videos(tmp_path / "videos"), **train))
        model = make_model(architecture=architecture)
        save(tmp_path / "parent", model, CLASSES, {})
        words = ["--init", tmp_path / "parent"]
    write_yaml(tmp_path / "run.yaml", to_mapping(config))
    out = tmp_path / "run"
    (said,) = run(stage, "-c", tmp_path / "run.yaml", "--out", out, *words)
    weights = Path(said)
    losses = losses_of(out)
    assert losses[-1] < 0.8 * losses[0]
    network, _ = load(weights)
    assert network.architecture == architecture

    clip, results = tmp_path / "clip", tmp_path / "results.json"
    clip.mkdir()
    for index, frame in enumerate(moving_squares(5, (32, 48))):
        cv2.imwrite(str(clip / f"{index}.png"), frame[:, :, ::-1])
    flags = ("--tracker.clip_frames", 3, "--tracker.repeated", 1, "--device", "cpu")
    run("predict", clip, "--model", weights, "--json", results, *flags)
    written = json.loads(results.read_text())
    assert written
    assert {len(entry["segmentations"]) for entry in written} == {5}


@joint
def test_fine_tuning_resumes_to_the_same_bits(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = of(architecture, finetune_config(write_videos(tmp_path / "videos"), steps=4))
    finetune(config, None, tmp_path / "straight")
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(TrainingInterrupted):
            finetune(config, None, tmp_path / "run")
    finetune(config, None, tmp_path / "run", resume=True)
    assert_bit_equal(tmp_path / "run", tmp_path / "straight")


def stop_after(patch: pytest.MonkeyPatch, wanted: int) -> None:
    """Send a real SIGINT when a step is logged."""
    add = MetricsLog.add

    def add_and_stop(log: MetricsLog, step: int, losses: dict[str, float], lr: float) -> None:
        add(log, step, losses, lr)
        if step == wanted:
            signal.raise_signal(signal.SIGINT)

    patch.setattr(MetricsLog, "add", add_and_stop)


@joint
def test_gradient_checkpointing_gives_the_same_run(
    architecture: str, images: Path, tmp_path: Path
) -> None:
    config = of(architecture, pretrain_config(images, steps=2))
    pretrain(config, tmp_path / "plain")
    checkpointed = replace(config, model=replace(config.model, gradient_checkpointing=True))
    pretrain(checkpointed, tmp_path / "run")
    assert_bit_equal(tmp_path / "run", tmp_path / "plain")


def test_what_is_for_queries_of_frames_is_refused_before_a_run(tmp_path: Path) -> None:
    config = of("mask2former_vis", finetune_config(write_videos(tmp_path / "videos")))
    for name in ("ctvis", "query"):
        wrong = replace(config, tracker=TrackerConfig(name=name))
        if name == "ctvis":
            wrong = replace(wrong, model=replace(wrong.model, embedding_dim=8))
        with pytest.raises(ConfigError, match=rf"tracker\.name: {name} follows queries from frame"):
            finetune(wrong, None, tmp_path / "run")
    with pytest.raises(ConfigError, match="contrast: queries must be each frame's own"):
        finetune(replace(config, contrast=ContrastConfig()), None, tmp_path / "run")
    frames = finetune_config(config.data.root)
    with pytest.raises(ConfigError, match=r"tracker\.name: joint links clips whose queries"):
        finetune(replace(frames, tracker=TrackerConfig(name="joint")), None, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_fine_tuning_says_of_clips_is_what_predicting_does(tmp_path: Path) -> None:
    config = of(
        "seqformer",
        finetune_config(write_videos(tmp_path / "videos"), steps=1),
        tracker=TrackerConfig(clip_frames=3, repeated=1),
    )
    weights = finetune(config, None, tmp_path / "run")
    tracker = VideoSegmenter.from_pretrained(weights, device="cpu").stream().tracker
    assert isinstance(tracker, JointTracker)
    assert tracker.options == JointOptions(clip_frames=3, repeated=1)


def test_mask2former_vis_starts_from_the_weights_of_a_mask2former(tmp_path: Path) -> None:
    parent = make_model()
    save(tmp_path / "parent", parent, CLASSES, {})
    child = make_model(seed=1, architecture="mask2former_vis")
    said = initialise(child, CLASSES, tmp_path / "parent")
    assert "0 start afresh" in said
    assert same_weights(child, parent)
    for wrong in ("seqformer", "mask_dino"):
        with pytest.raises(InputError, match=f"wanted {wrong}, as this run's model, got mask2f"):
            initialise(make_model(architecture=wrong), CLASSES, tmp_path / "parent")
    save(tmp_path / "joint", child, CLASSES, {})
    with pytest.raises(InputError, match="wanted mask2former, as this run's model, got mask2form"):
        initialise(parent, CLASSES, tmp_path / "joint")
