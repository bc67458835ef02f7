"""What a step computes stands between the loop and the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed
from torch.nn.parallel import DistributedDataParallel
from vis.support.tiny_runs import (
    MODEL,
    TEMPORAL,
    TRAIN,
    finetune_config,
    pretrain_config,
    write_videos,
)

from vidgap_segmenter import Losses, Mask2Former
from vidgap_vis import build
from vidgap_vis.config import ContrastConfig, LossConfig, TemporalConfig
from vidgap_vis.data import ClipBatch, collate
from vidgap_vis.errors import ConfigError
from vidgap_vis.training.finetune import finetune, make_dataset
from vidgap_vis.training.make_unit import make_unit
from vidgap_vis.training.optimizer import make_optimizer
from vidgap_vis.training.units import SegmentationUnit


@pytest.fixture
def unit() -> SegmentationUnit:
    torch.manual_seed(0)
    model = build.segmenter(MODEL, TEMPORAL, 2)
    return SegmentationUnit(model, build.criterion(LossConfig(num_points=32), MODEL, 2))


@pytest.fixture
def batch(tmp_path: Path, unit: SegmentationUnit) -> ClipBatch:
    dataset, _ = make_dataset(finetune_config(write_videos(tmp_path / "videos")))
    return collate([dataset[0, 0], dataset[0, 1]], unit.model.padding_colour)


def test_a_step_is_the_criterion_of_the_model(unit: SegmentationUnit, batch: ClipBatch) -> None:
    torch.manual_seed(1)
    got = unit(batch, 0.0)
    torch.manual_seed(1)
    wanted = unit.criterion(unit.model(batch.frames), batch.targets)
    assert torch.equal(got.total, wanted.total)
    for clip, targets in enumerate(batch.targets):
        table = got.matchings[0].table(clip)
        assert table.shape == targets.masks.shape[:2]
        assert ((table >= 0) == targets.masks.flatten(2).any(-1)).all()


def test_frames_apart_are_clips_of_one_frame(batch: ClipBatch) -> None:
    apart = batch.frames_apart()
    num_clips, num_frames = batch.frames.shape[:2]
    assert apart.frames.shape == (num_clips * num_frames, 1, *batch.frames.shape[2:])
    for clip in range(num_clips):
        for t in range(num_frames):
            row = clip * num_frames + t
            assert torch.equal(apart.frames[row, 0], batch.frames[clip, t])
            assert torch.equal(apart.targets[row].masks[:, 0], batch.targets[clip].masks[:, t])
            assert torch.equal(apart.targets[row].labels, batch.targets[clip].labels)
            assert apart.sizes[row] == batch.sizes[clip]


@pytest.mark.parametrize("temporal", [None, TEMPORAL])
def test_apart_the_temporal_module_sees_no_other_frame(
    temporal: TemporalConfig | None, batch: ClipBatch
) -> None:
    """Without a module it is the same training; with one it is that of stills."""
    torch.manual_seed(0)
    model = build.segmenter(MODEL, temporal, 2)
    criterion = build.criterion(LossConfig(num_points=32), MODEL, 2)
    together, apart = (
        SegmentationUnit(model, criterion, frames_apart=apart) for apart in (False, True)
    )
    totals = []
    for unit, given in ((together, batch), (apart, batch), (together, batch.frames_apart())):
        torch.manual_seed(1)
        totals.append(unit(given, 0.0).total)
    assert torch.equal(totals[1], totals[2])
    assert torch.allclose(totals[0], totals[1]) == (temporal is None)


def test_frames_apart_have_nothing_to_contrast(tmp_path: Path) -> None:
    config = pretrain_config(tmp_path)
    with pytest.raises(ConfigError, match="frames_apart: wanted off beside a section contrast"):
        replace(config, frames_apart=True, contrast=ContrastConfig())
    assert make_unit(build.segmenter(MODEL, TEMPORAL, 2), config, 2).frames_apart is False
    config = replace(config, frames_apart=True)
    assert make_unit(build.segmenter(MODEL, TEMPORAL, 2), config, 2).frames_apart is True


def test_all_that_learns_is_in_one_group(unit: SegmentationUnit) -> None:
    grouped = [id(p) for group in unit.parameter_groups(TRAIN) for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in unit.parameters() if p.requires_grad)


def test_the_optimiser_keeps_base_rates_by_group(unit: SegmentationUnit) -> None:
    optimizer = make_optimizer(unit, TRAIN)
    rates = {group["initial_lr"] for group in optimizer.param_groups}
    assert rates == {TRAIN.lr, TRAIN.lr * TRAIN.backbone_multiplier}


# DDP says once a process, of some layouts of gradients, that they cost it a copy.
@pytest.mark.filterwarnings("ignore:Grad strides do not match bucket view strides:UserWarning")
def test_a_distributed_run_wraps_it_as_a_whole(
    unit: SegmentationUnit, batch: ClipBatch, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    unit(batch, 0.0).total.backward()
    wanted = {name: p.grad.clone() for name, p in unit.named_parameters() if p.grad is not None}
    unit.zero_grad()
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    try:
        wrapped = DistributedDataParallel(unit)
        torch.manual_seed(1)
        losses: Losses = wrapped(batch, 0.5)
        losses.total.backward()
    finally:
        torch.distributed.destroy_process_group()
    got = {name: p.grad for name, p in unit.named_parameters() if p.grad is not None}
    assert got.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(got[name], gradient, msg=name)


def test_the_loop_says_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    forward = SegmentationUnit.forward

    def watch(self: SegmentationUnit, batch: ClipBatch, progress: float) -> Losses:
        seen.append(progress)
        return forward(self, batch, progress)

    monkeypatch.setattr(SegmentationUnit, "forward", watch)
    config = finetune_config(write_videos(tmp_path / "videos"), steps=4)
    finetune(config, None, tmp_path / "run")
    assert seen == [0.0, 0.25, 0.5, 0.75]


def test_an_embedding_head_that_no_loss_reads_does_not_learn(batch: ClipBatch) -> None:
    # Processes that train together would wait for its gradients.
    model = build.segmenter(replace(MODEL, embedding_dim=8), TEMPORAL, 2)
    unit = SegmentationUnit(model, build.criterion(LossConfig(num_points=32), MODEL, 2))
    unit(batch, 0.0).total.backward()
    without = {name for name, p in unit.named_parameters() if p.requires_grad and p.grad is None}
    assert without == set()


def test_a_frozen_backbone_stays_in_eval_mode() -> None:
    model = Mask2Former("test_resnet", 2, channels=32, num_queries=5, train_backbone=False)
    unit = SegmentationUnit(model, torch.nn.Identity()).train()
    assert not model.backbone.training
    assert model.decoder.training
    assert not any(p.requires_grad for p in unit.model.backbone.parameters())
