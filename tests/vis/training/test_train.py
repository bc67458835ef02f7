"""The loop: never silent about a loss gone wrong, and the same whatever the workers."""

from __future__ import annotations

import json
import logging
import signal
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import nn
from vis.support.tiny_runs import (
    TRAIN,
    assert_bit_equal,
    pretrain_config,
    weights_of,
)

from vidgap_segmenter import ClipOutput, ClipTargets, Losses
from vidgap_vis import build
from vidgap_vis.config import PretrainConfig
from vidgap_vis.config.reading import to_mapping
from vidgap_vis.data import PseudoClipDataset
from vidgap_vis.errors import ConfigError, InputError, TrainingError
from vidgap_vis.formats import read_coco
from vidgap_vis.training import loop as train
from vidgap_vis.training.finetune import with_classes
from vidgap_vis.training.metrics import MetricsLog
from vidgap_vis.training.pretrain import pretrain
from vidgap_vis.training.profile import StepProfile
from vidgap_vis.training.run_folder import Parent, Provenance
from vidgap_vis.training.schedule import learning_rate_factor
from vidgap_vis.training.stopping import StopRequest
from vidgap_vis.training.units import SegmentationUnit


def test_a_mean_is_over_the_steps_that_had_the_number(tmp_path: Path) -> None:
    with MetricsLog(tmp_path, "test", start=0, steps=4, every=4) as log:
        for step in range(1, 5):
            sometimes = {"denoising class": 3.0} if step == 2 else {}
            log.add(step, {"loss": float(step), **sometimes}, 1e-3)
    line = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert (line["loss"], line["denoising class"]) == (2.5, 3.0)


def test_gradient_checkpointing_gives_the_same_run(
    images: Path, straight: Path, tmp_path: Path
) -> None:
    config = pretrain_config(images)
    config = replace(config, model=replace(config.model, gradient_checkpointing=True))
    pretrain(config, tmp_path / "run")
    assert_bit_equal(tmp_path / "run", straight)


def test_a_batch_that_processes_cannot_share_claims_no_folder(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Accelerator, "num_processes", property(lambda _: 4))
    with pytest.raises(
        ConfigError, match=r"train\.batch_size: wanted a multiple of the 4 processes"
    ):
        pretrain(pretrain_config(images), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_do_not_depend_on_workers(
    images: Path, straight: Path, tmp_path: Path, workers: int
) -> None:
    pretrain(pretrain_config(images, num_workers=workers), tmp_path / "run")
    assert_bit_equal(tmp_path / "run", straight)


def test_another_seed_gives_other_weights(images: Path, straight: Path, tmp_path: Path) -> None:
    pretrain(pretrain_config(images, seed=1), tmp_path / "run")
    name = "decoder.class_embed.weight"
    assert not torch.equal(weights_of(tmp_path / "run")[name], weights_of(straight)[name])


def test_a_run_says_what_it_was_made_from(images: Path, straight: Path) -> None:
    said = json.loads((straight / "weights" / "provenance.json").read_text())
    assert (said["stage"], said["steps"], said["seed"], said["parent"]) == ("pretrain", 6, 0, None)
    assert said["config"] == to_mapping(pretrain_config(images))
    assert len(said["data"]["data.annotations"]) == 64
    assert {"python", "torch", "vidgap-vis"} <= said["versions"].keys()


def test_a_loss_that_is_not_finite_names_itself_and_the_step(images: Path, tmp_path: Path) -> None:
    config = pretrain_config(images, lr=1e30, checkpoint_every=1)
    with pytest.raises(TrainingError, match=r"step 2: .*must be finite, got nan or inf in the"):
        pretrain(config, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run/checkpoint").iterdir()] == ["step_000001"]


class Watched(nn.Module):
    """A criterion that remembers the dtypes it saw and gave."""

    def __init__(self, criterion: nn.Module) -> None:
        super().__init__()
        self.criterion = criterion
        self.seen: set[torch.dtype] = set()
        self.given: set[torch.dtype] = set()

    def forward(self, output: ClipOutput, targets: tuple[ClipTargets, ...]) -> Losses:
        losses: Losses = self.criterion(output, targets)
        self.seen.add(output.mask_logits.dtype)
        parts = (losses.total, *losses.parts.values())
        self.given.update(part.dtype for part in parts)
        return losses


def make_task(config: PretrainConfig) -> tuple[train.Task, Watched]:
    path = config.data.root / config.data.annotations
    found = read_coco(path, config.data.root / config.data.images)
    torch.manual_seed(config.train.seed)
    model = build.segmenter(config.model, config.temporal, len(found.classes))
    criterion = Watched(build.criterion(config.loss, config.model, len(found.classes)))
    task = train.Task(
        SegmentationUnit(model, criterion),
        PseudoClipDataset(found, build.image_clips(config.clip), config.train.seed),
        found.classes,
        Provenance.of("pretrain", config, {}, Parent()),
    )
    return task, criterion


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_losses_are_float32_in_any_precision(images: Path, tmp_path: Path, precision: str) -> None:
    """Runs of different precision follow one another in one process, too."""
    config = pretrain_config(images, steps=2, precision=precision)
    task, criterion = make_task(config)
    accelerator = train.make_accelerator(config.train, tmp_path / "run")
    train.train(accelerator, task, config.train, tmp_path / "run")
    assert criterion.seen == {torch.bfloat16 if precision == "bf16" else torch.float32}
    assert criterion.given == {torch.float32}
    assert all(tensor.dtype == torch.float32 for tensor in weights_of(tmp_path / "run").values())


def test_fp16_on_a_cpu_is_refused(images: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.precision: fp16 needs a GPU"):
        pretrain(pretrain_config(images, precision="fp16"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_log_gets_the_numbers_of_the_metrics_file(images: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    config = pretrain_config(images, steps=2, log_every=1, log_with="tensorboard")
    pretrain(config, tmp_path / "run")
    (path,) = (tmp_path / "run" / "pretrain").glob("events*")
    seen = [(v.tag, v.simple_value) for e in events(path) for v in e.summary.value]
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    wanted = [json.loads(line)["loss"] for line in lines]
    assert [value for tag, value in seen if tag == "loss"] == pytest.approx(wanted)
    assert {"lr", "seconds_per_step"} <= {tag for tag, _ in seen}


def events(path: Path) -> Iterator[Any]:
    """Read a TensorBoard file: length, its checksum, an event, its checksum, and so on."""
    from tensorboardX.proto.event_pb2 import Event

    data = path.read_bytes()
    while data:
        (length,) = struct.unpack_from("<Q", data)
        yield Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


def test_a_run_log_that_is_not_installed_claims_no_folder(images: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.log_with: aim is not installed"):
        pretrain(pretrain_config(images, log_with="aim"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_gradients_are_clipped_as_one(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: list[float] = []
    step = torch.optim.AdamW.step

    def watch(optimizer: torch.optim.AdamW, closure: None = None) -> None:
        gradients = [
            p.grad for g in optimizer.param_groups for p in g["params"] if p.grad is not None
        ]
        norms.append(float(torch.stack([gradient.norm() for gradient in gradients]).norm()))
        step(optimizer, closure)

    monkeypatch.setattr(torch.optim.AdamW, "step", watch)
    pretrain(pretrain_config(images, steps=2, clip_norm=0.01), tmp_path / "run")
    assert norms == pytest.approx([0.01, 0.01], rel=1e-3)


def test_a_frozen_backbone_stays_as_it_was(images: Path, tmp_path: Path) -> None:
    config = pretrain_config(images, steps=2)
    config = replace(config, model=replace(config.model, train_backbone=False))
    pretrain(config, tmp_path / "run")
    torch.manual_seed(0)
    fresh = build.segmenter(config.model, config.temporal, 2).state_dict()
    after = weights_of(tmp_path / "run")
    names = [name for name in after if name.startswith("backbone.")]
    assert names
    assert all(torch.equal(after[name], fresh[name]) for name in names)


def test_a_second_ctrl_c_stops_at_once_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        assert not stop.wanted
        signal.raise_signal(signal.SIGTERM)
        assert stop.wanted
        signal.raise_signal(signal.SIGTERM)  # a scheduler's and a parent's are one wish
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_learning_rates_follow_the_schedules() -> None:
    steps = replace(TRAIN, schedule="step", steps=10, milestones=(4, 8), warmup_steps=2)
    factors = [learning_rate_factor(step, steps) for step in range(10)]
    assert factors == pytest.approx([0.5, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])
    cosine = replace(TRAIN, schedule="cosine", steps=10, warmup_steps=2)
    factors = [learning_rate_factor(step, cosine) for step in range(11)]
    assert factors[:3] == pytest.approx([0.5, 1, 1])
    assert factors[6] == pytest.approx(0.5)
    assert factors[10] == pytest.approx(0)
    assert factors[1:] == sorted(factors[1:], reverse=True)


class Slow(nn.Module):
    """Takes some milliseconds."""

    def __init__(self, time_ms: int) -> None:
        super().__init__()
        self.time_ms = time_ms

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(self.time_ms / 1000)
        return x


def test_the_profile_tells_shares_that_sum_to_the_step() -> None:
    profile = StepProfile(True, torch.device("cpu"), warmup=1)
    backbone = nn.Identity()
    model = nn.Sequential(backbone, Slow(2))
    criterion = Slow(1)
    profile.watch({"forward": model, "loss": criterion, "forward/backbone": backbone})
    for step in range(3):
        criterion.time_ms = 1 if step else 50  # the first does not count
        criterion(model(torch.zeros(1)))
        for name in ("data", "backward", "optimiser"):
            with profile.part(name):
                time.sleep(0.001)
        profile.end_step()
    table = profile.table().splitlines()
    assert [line.split()[0] for line in table[2:]] == [
        *("data", "forward", "backbone", "everything", "loss", "backward", "optimiser", "whole"),
    ]
    times = {line.split()[0]: float(line.split()[-2]) for line in table[2:]}
    assert 1 <= times["loss"] < 20
    shares = [float(line.split()[-1].rstrip("%")) for line in table[2:] if line[0] != " "]
    assert sum(shares[:-1]) == pytest.approx(100, abs=0.5)


def test_images_take_the_videos_classes_by_name_or_by_map(
    images: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="vidgap_vis")
    found = read_coco(images / "images.json", images / "images")
    classes = tuple(reversed([replace(i, index=1 - i.index) for i in found.classes]))
    by_name = with_classes(found, classes, None)
    assert [i.label for i in by_name.images[0].instances] == [1, 0]
    mapped = with_classes(found, classes, {3: 7})
    assert [i.label for i in mapped.images[0].instances] == [0]
    assert mapped.classes == classes
    assert "1 of 2 classes are none of the videos and left out: blue" in caplog.text
    with pytest.raises(InputError, match=r"category_map: 8 is no category of the videos"):
        with_classes(found, classes, {3: 8})
    with pytest.raises(InputError, match="categories: none is a class of the videos"):
        with_classes(found, (replace(classes[0], name="green"),), None)
