"""Stopping and resuming: without a trace, without losing a step, and never another run."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from vis.support.tiny_runs import (
    MODEL,
    assert_bit_equal,
    finetune_config,
    pretrain_config,
    weights_of,
    write_images,
    write_videos,
)

from vidgap_vis import build
from vidgap_vis.config import HeadConfig
from vidgap_vis.errors import InputError, TrainingError, TrainingInterrupted
from vidgap_vis.training import loop as train
from vidgap_vis.training.finetune import finetune
from vidgap_vis.training.metrics import MetricsLog
from vidgap_vis.training.pretrain import pretrain
from vidgap_vis.training.run_folder import sha256
from vidgap_vis.weights.heads import HEAD_FILE


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Send a real SIGINT when the step in the list is logged."""
    steps: list[int] = []
    add = MetricsLog.add

    def add_and_stop(log: MetricsLog, step: int, losses: dict[str, float], lr: float) -> None:
        add(log, step, losses, lr)
        if step in steps:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(MetricsLog, "add", add_and_stop)
    return steps


def logged(run: Path) -> list[dict[str, float]]:
    """What a run logged, but for what time has to do with."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["time"], line["seconds_per_step"]
    return lines


def steps_logged(run: Path) -> list[float]:
    return [line["step"] for line in logged(run)]


def test_an_interrupted_run_resumes_to_the_same_bits(
    images: Path, straight: Path, tmp_path: Path, stop_after: list[int]
) -> None:
    config, out = pretrain_config(images), tmp_path / "run"
    stop_after.append(3)
    with pytest.raises(TrainingInterrupted, match=r"after step 3 of 6; go on with: .*--resume"):
        pretrain(config, out)
    assert [path.name for path in (out / "checkpoint").iterdir()] == ["step_000003"]
    assert not (out / "weights").exists()
    stop_after.clear()
    torch.rand(7)  # whatever else this process draws does not matter
    pretrain(config, out, resume=True)
    assert_bit_equal(out, straight)
    assert steps_logged(out) == [2, 4, 6]
    assert logged(out) == logged(straight)


@pytest.mark.parametrize("every", [1, 5])
def test_a_gradient_that_is_not_finite_changes_nothing(
    every: int, images: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, steps = Accelerator.clip_grad_norm_, count(1)

    def broken(accelerator: Accelerator, weights: list[torch.Tensor], norm: float) -> torch.Tensor:
        if next(steps) == 4:
            gradient = next(weight.grad for weight in weights if weight.grad is not None)
            gradient[0] = torch.nan
        return clip(accelerator, weights, norm)

    config = pretrain_config(images, checkpoint_every=every)
    with monkeypatch.context() as patch:
        patch.setattr(Accelerator, "clip_grad_norm_", broken)
        with pytest.raises(TrainingError, match="step 4: the gradient is not finite"):
            pretrain(config, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run/checkpoint").iterdir()] == ["step_000003"]
    pretrain(config, tmp_path / "run", resume=True)
    assert_bit_equal(tmp_path / "run", straight)
    assert logged(tmp_path / "run") == logged(straight)


def test_fine_tuning_resumes_to_the_same_bits(tmp_path: Path, stop_after: list[int]) -> None:
    config = finetune_config(write_videos(tmp_path / "videos"), steps=4)
    finetune(config, None, tmp_path / "straight")
    stop_after.append(2)
    with pytest.raises(TrainingInterrupted):
        finetune(config, None, tmp_path / "run")
    stop_after.clear()
    finetune(config, None, tmp_path / "run", resume=True)
    assert_bit_equal(tmp_path / "run", tmp_path / "straight")


HEADS = {
    "masktrack": HeadConfig("masktrack", embedding_dim=8),
    "vita": HeadConfig("vita", num_layers=1, num_heads=2, ffn_channels=16, num_queries=4),
    "dvis": HeadConfig("dvis", num_layers=1, num_heads=2, ffn_channels=16),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_head_resumes_to_the_same_bits(name: str, tmp_path: Path, stop_after: list[int]) -> None:
    config = finetune_config(write_videos(tmp_path / "videos"), steps=4)
    finetune(replace(config, train=replace(config.train, steps=1)), None, tmp_path / "parent")
    config, parent = replace(config, head=HEADS[name]), tmp_path / "parent" / "weights"
    finetune(config, parent, tmp_path / "straight")
    stop_after.append(2)
    with pytest.raises(TrainingInterrupted):
        finetune(config, parent, tmp_path / "run")
    stop_after.clear()
    torch.rand(7)
    finetune(config, None, tmp_path / "run", resume=True)
    assert_bit_equal(tmp_path / "run", tmp_path / "straight")
    straight, resumed = (
        load_file(tmp_path / run / "weights" / HEAD_FILE) for run in ("straight", "run")
    )
    assert straight.keys() == resumed.keys()
    assert all(torch.equal(resumed[key], value) for key, value in straight.items())


def test_resuming_refuses_another_parents_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = finetune_config(write_videos(tmp_path / "videos"), steps=1)
    config = replace(config, head=HEADS["dvis"])
    finetune(replace(config, head=None), None, tmp_path / "frames")
    for seed in (1, 2):  # two trackers on one segmenter
        other = replace(config, train=replace(config.train, seed=seed))
        finetune(other, tmp_path / "frames" / "weights", tmp_path / str(seed))
    assert_bit_equal(tmp_path / "1", tmp_path / "2")
    with monkeypatch.context() as patch:
        fail_at(patch, 0, MemoryError())
        with pytest.raises(MemoryError):
            finetune(config, tmp_path / "1" / "weights", tmp_path / "run")
    with pytest.raises(InputError, match="--init: holds other weights than those the run began"):
        finetune(config, tmp_path / "2" / "weights", tmp_path / "run", resume=True)
    finetune(config, tmp_path / "1" / "weights", tmp_path / "run", resume=True)
    said = json.loads((tmp_path / "run" / "weights" / "provenance.json").read_text())
    assert said["parent_head"] == sha256(tmp_path / "1" / "weights" / HEAD_FILE)


def test_resuming_refuses_another_head(tmp_path: Path) -> None:
    config = finetune_config(write_videos(tmp_path / "videos"), steps=1)
    run = tmp_path / "run"
    finetune(replace(config, head=HEADS["vita"]), None, run)
    other = replace(config, head=replace(HEADS["vita"], num_heads=None))
    with pytest.raises(InputError, match=r"head\.num_heads: was 2 in the run to resume, now None"):
        finetune(other, None, run, resume=True)


def test_mask_dino_trains_and_resumes_to_the_same_bits(
    images: Path, tmp_path: Path, stop_after: list[int]
) -> None:
    config = pretrain_config(images, steps=4)
    config = replace(config, model=replace(config.model, architecture="mask_dino"))
    pretrain(config, tmp_path / "straight")
    lines = (tmp_path / "straight" / "metrics.jsonl").read_text().splitlines()
    named = json.loads(lines[-1]).keys()
    assert {"class", "mask", "dice", "box", "giou", "denoising class", "denoising giou"} <= named
    stop_after.append(2)
    with pytest.raises(TrainingInterrupted):
        pretrain(config, tmp_path / "run")
    stop_after.clear()
    pretrain(config, tmp_path / "run", resume=True)
    assert_bit_equal(tmp_path / "run", tmp_path / "straight")


def test_a_run_killed_without_warning_goes_on_from_its_last_checkpoint(
    images: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, out = pretrain_config(images, checkpoint_every=2), tmp_path / "run"
    step = train.Loop._step

    def die(loop: train.Loop, number: int, batch: object) -> object:
        if number == 5:
            raise MemoryError
        return step(loop, number, batch)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(train.Loop, "_step", die)
        with pytest.raises(MemoryError):
            pretrain(config, out)
    (out / "checkpoint" / ".partial").mkdir()  # what dying while writing leaves
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "loss": 1.0}\n{"step": 6, "lo')
    pretrain(config, out, resume=True)
    assert_bit_equal(out, straight)
    assert steps_logged(out) == [2, 4, 6]
    assert [path.name for path in (out / "checkpoint").iterdir()] == ["step_000006"]


def fail_at(monkeypatch: pytest.MonkeyPatch, number: int, error: Exception) -> None:
    """Make a step of every run raise; it counts from 0."""
    step = train.Loop._step

    def fail(loop: train.Loop, current: int, batch: object) -> object:
        if current == number:
            raise error
        return step(loop, current, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(train.Loop, "_step", fail)


def test_a_run_without_checkpoint_begins_again_from_its_backbone_weights(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(7)
    backbone = build.segmenter(MODEL, None, 2).backbone
    torch.save(backbone.body.state_dict(), tmp_path / "backbone.pth")
    model = replace(MODEL, backbone_weights=str(tmp_path / "backbone.pth"))
    config = replace(pretrain_config(images, steps=2), model=model)
    pretrain(config, tmp_path / "straight")
    with monkeypatch.context() as patch:
        fail_at(patch, 0, MemoryError())
        with pytest.raises(MemoryError):
            pretrain(config, tmp_path / "run")
    pretrain(config, tmp_path / "run", resume=True)
    assert_bit_equal(tmp_path / "run", tmp_path / "straight")


def test_a_finetuning_without_checkpoint_begins_again_from_its_parent(
    straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = finetune_config(write_videos(tmp_path / "videos"), steps=2)
    parent, run = straight / "weights", tmp_path / "run"
    finetune(config, parent, tmp_path / "straight")
    with monkeypatch.context() as patch:
        fail_at(patch, 0, MemoryError())
        with pytest.raises(MemoryError):
            finetune(config, parent, run)
    with pytest.raises(InputError, match=r"run: has no checkpoint yet; give the weights .* --init"):
        finetune(config, None, run, resume=True)
    finetune(config, parent, run, resume=True)
    assert_bit_equal(run, tmp_path / "straight")


def test_a_resumed_finetuning_keeps_its_parent(
    straight: Path, tmp_path: Path, stop_after: list[int]
) -> None:
    config, run = finetune_config(write_videos(tmp_path / "videos"), steps=2), tmp_path / "run"
    stop_after.append(1)
    with pytest.raises(TrainingInterrupted):
        finetune(config, straight / "weights", run)
    stop_after.clear()
    finetune(config, None, run, resume=True)
    parent = json.loads((run / "weights" / "provenance.json").read_text())["parent"]
    assert parent == sha256(straight / "weights" / "model.safetensors")
    with pytest.raises(InputError, match="--init: holds other weights than those the run began"):
        finetune(config, run / "weights", run, resume=True)


@pytest.mark.parametrize("error", [InputError("7.png", "", "bad"), TrainingError("bad")], ids=str)
def test_a_step_that_fails_loses_none_before_it(
    images: Path,
    straight: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    config, out = pretrain_config(images), tmp_path / "run"
    with monkeypatch.context() as patch:
        fail_at(patch, 3, error)
        with pytest.raises(type(error), match="bad"):
            pretrain(config, out)
    assert [path.name for path in (out / "checkpoint").iterdir()] == ["step_000003"]
    pretrain(config, out, resume=True)
    assert_bit_equal(out, straight)


def test_weights_that_are_not_finite_replace_no_checkpoint(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_rates = train.set_learning_rates
    factors: list[float] = []

    def break_third_step(optimizer: torch.optim.Optimizer, factor: float) -> None:
        factors.append(factor)
        set_rates(optimizer, float("nan") if len(factors) == 3 else factor)

    monkeypatch.setattr(train, "set_learning_rates", break_third_step)
    with pytest.raises(TrainingError, match="step 4: "):
        pretrain(pretrain_config(images, checkpoint_every=2), tmp_path / "run")
    assert [path.name for path in (tmp_path / "run/checkpoint").iterdir()] == ["step_000002"]


def test_a_finished_run_resumes_to_itself(images: Path, tmp_path: Path) -> None:
    config = pretrain_config(images, steps=2)
    pretrain(config, tmp_path / "run")
    before = weights_of(tmp_path / "run")
    pretrain(config, tmp_path / "run", resume=True)
    after = weights_of(tmp_path / "run")
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_an_output_folder_of_another_run_is_refused(
    images: Path, straight: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"holds another run; .* --resume"):
        pretrain(pretrain_config(images), straight)
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(InputError, match="the output folder is not empty"):
        pretrain(pretrain_config(images), tmp_path)
    assert (tmp_path / "mine.txt").exists()


def test_resuming_refuses_another_run(images: Path, straight: Path, tmp_path: Path) -> None:
    config = pretrain_config(images)
    changed = replace(config, temporal=None)
    with pytest.raises(InputError, match=r"temporal\.window_size: was 4 in the run to resume"):
        pretrain(changed, straight, resume=True)
    with pytest.raises(InputError, match=r"train\.steps: was 6 .*, now 9"):
        pretrain(pretrain_config(images, steps=9), straight, resume=True)
    with pytest.raises(InputError, match=r"holds no run to resume"):
        pretrain(config, tmp_path, resume=True)
    videos = write_videos(tmp_path / "videos")
    with pytest.raises(InputError, match=r"holds a run of pretrain, wanted one of finetune"):
        finetune(finetune_config(videos), None, straight, resume=True)


def test_resuming_refuses_changed_data_and_allows_what_changes_nothing(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images")
    pretrain(pretrain_config(root, steps=1), tmp_path / "run")
    pretrain(pretrain_config(root, steps=1, log_every=5), tmp_path / "run", resume=True)
    content = json.loads((root / "images.json").read_text())
    content["annotations"].pop()
    (root / "images.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"data\.annotations: the file has changed"):
        pretrain(pretrain_config(root, steps=1), tmp_path / "run", resume=True)
