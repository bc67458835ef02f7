"""Units of learned trackers: what learns, what stays as it is, and that it helps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from vis.support.tiny_runs import MODEL, TRAIN, finetune_config, write_videos

from vidgap_segmenter import ClipCriterion, ClipSegmenter
from vidgap_vis import build
from vidgap_vis.config import LossConfig
from vidgap_vis.data import ClipBatch, collate
from vidgap_vis.trackers.dvis import (
    ReferringLoss,
    ReferringTracker,
    RefinerLoss,
    TemporalRefiner,
)
from vidgap_vis.trackers.genvis import GenVIS, UnifiedLoss
from vidgap_vis.trackers.idol import ReidLoss
from vidgap_vis.trackers.masktrack import TrackHead
from vidgap_vis.trackers.vita import VITA, VITALoss
from vidgap_vis.training.finetune import make_dataset
from vidgap_vis.training.optimizer import make_optimizer
from vidgap_vis.training.units import (
    DVISRefinerUnit,
    DVISTrackerUnit,
    GenVISUnit,
    HeadUnit,
    IDOLUnit,
    MaskTrackUnit,
    TrainingUnit,
    VITAUnit,
)
from vidgap_vis.training.units.identities import track_loss

CHANNELS, NUM_CLASSES, NUM_QUERIES = MODEL.channels, 2, MODEL.num_queries
SIZES = {"num_layers": 2, "num_heads": 2, "ffn_channels": 32}
STEPS = 40


def segmenter() -> ClipSegmenter:
    return build.segmenter(replace(MODEL, embedding_dim=8), None, NUM_CLASSES)


def vita() -> VITA:
    counts = {"num_frame_queries": NUM_QUERIES, "num_queries": 6, "num_encoder_layers": 1}
    return VITA(NUM_CLASSES, channels=CHANNELS, window=0, **counts, **SIZES)


def dvis_tracker() -> DVISTrackerUnit:
    tracker = ReferringTracker(CHANNELS, NUM_CLASSES, **SIZES)
    return DVISTrackerUnit(segmenter(), tracker, ReferringLoss(criterion()))


def dvis_refiner() -> DVISRefinerUnit:
    tracker = ReferringTracker(CHANNELS, NUM_CLASSES, **SIZES)
    refiner = TemporalRefiner(CHANNELS, NUM_CLASSES, **SIZES)
    return DVISRefinerUnit(segmenter(), tracker, refiner, RefinerLoss(criterion()))


def genvis_unit() -> GenVISUnit:
    return GenVISUnit(
        segmenter(), criterion(), GenVIS(vita()), UnifiedLoss(clip_criterion()), num_levels=2
    )


def vita_unit() -> VITAUnit:
    return VITAUnit(segmenter(), criterion(), vita(), VITALoss(clip_criterion()), num_levels=2)


def idol_unit() -> IDOLUnit:
    return IDOLUnit(segmenter(), criterion(), ReidLoss())


def masktrack_unit() -> MaskTrackUnit:
    return MaskTrackUnit(segmenter(), criterion(), TrackHead(8, 16))


def criterion() -> torch.nn.Module:
    return build.criterion(LossConfig(num_points=64), MODEL, NUM_CLASSES)


def clip_criterion() -> ClipCriterion:
    return ClipCriterion(NUM_CLASSES, num_points=64)


UNITS: dict[str, Callable[[], TrainingUnit]] = {
    "dvis_tracker": dvis_tracker,
    "dvis_refiner": dvis_refiner,
    "genvis": genvis_unit,
    "vita": vita_unit,
    "idol": idol_unit,
    "masktrack": masktrack_unit,
}
FROZEN = ("dvis_tracker", "dvis_refiner", "genvis")


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> ClipBatch:
    videos = write_videos(tmp_path_factory.mktemp("world") / "videos")
    dataset, _ = make_dataset(finetune_config(videos))
    return collate([dataset[0, 0], dataset[0, 1]], segmenter().padding_colour)


def loss_of(unit: TrainingUnit, batch: ClipBatch, progress: float = 0.9) -> float:
    torch.manual_seed(1)
    with torch.no_grad():
        return float(unit(batch, progress).total)


@pytest.mark.parametrize("name", UNITS)
def test_forty_steps_lower_the_loss_and_move_only_what_learns(name: str, batch: ClipBatch) -> None:
    torch.manual_seed(0)
    unit = UNITS[name]()
    optimizer = make_optimizer(unit, replace(TRAIN, lr=2e-3))
    learned = {id(p) for group in optimizer.param_groups for p in group["params"]}
    state = {key: value.clone() for key, value in unit.model.state_dict().items()}
    before = loss_of(unit, batch)
    for step in range(STEPS):
        losses = unit(batch, step / STEPS)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
    assert loss_of(unit, batch) < 0.9 * before
    assert learned == {id(p) for p in unit.parameters() if p.requires_grad}
    same = all(torch.equal(value, state[key]) for key, value in unit.model.state_dict().items())
    assert same == (name in FROZEN)


@pytest.mark.parametrize("name", UNITS)
def test_all_that_learns_gets_a_gradient_in_every_step(name: str, batch: ClipBatch) -> None:
    """Or else processes that train together would wait for it."""
    torch.manual_seed(0)
    unit = UNITS[name]()
    unit(batch, 0.0).total.backward()
    lacking = [n for n, p in unit.named_parameters() if p.requires_grad and p.grad is None]
    assert not lacking


def test_the_refiners_tracker_stays_too(batch: ClipBatch) -> None:
    unit = dvis_refiner()
    assert not any(p.requires_grad for p in unit.tracker.parameters())
    assert not unit.tracker.training
    unit(batch, 0.0).total.backward()
    assert all(p.grad is None for p in unit.tracker.parameters())
    assert all(p.grad is not None for p in unit.refiner.parameters())


@pytest.mark.parametrize("name", FROZEN)
def test_frozen_parts_stay_in_eval_mode(name: str) -> None:
    unit = UNITS[name]()
    assert isinstance(unit, HeadUnit)
    for mode in (True, False, True):
        unit.train(mode)
        assert not any(part.training for part in unit.model.children())
        assert unit.head.training == mode


@pytest.mark.parametrize("name", ["dvis_tracker", "dvis_refiner"])
def test_a_guide_leads_the_first_half_alone(name: str, batch: ClipBatch) -> None:
    torch.manual_seed(0)
    unit = UNITS[name]()
    guided = loss_of(unit, batch, 0.0), loss_of(unit, batch, 0.49)
    alone = loss_of(unit, batch, 0.5), loss_of(unit, batch, 0.9)
    assert guided[0] == guided[1]
    assert alone[0] == alone[1]
    with torch.no_grad():
        first, second = unit(batch, 0.0), unit(batch, 0.9)
    tables = [m.tables() for m in first.matchings]
    assert all(torch.equal(table, tables[0]) for table in tables)
    assert len(second.matchings) == len(tables)


def test_frame_queries_of_a_level_go_with_its_matching(batch: ClipBatch) -> None:
    torch.manual_seed(0)
    unit = vita_unit()
    output = unit.segmenter(batch.frames, with_head_inputs=True)
    decoder = unit.segmenter.decoder
    for number in range(3):
        queries = output.head_inputs.queries[number]
        torch.testing.assert_close(
            decoder.class_embed(queries), output.levels[-number].class_logits
        )


def test_more_levels_than_there_are_is_an_error(batch: ClipBatch) -> None:
    unit = genvis_unit()
    unit.num_levels = 9
    with pytest.raises(ValueError, match=r"num_levels must be at most 3, .* got 9"):
        unit(batch, 0.0)


def test_a_clip_of_one_frame_has_no_reference(batch: ClipBatch) -> None:
    targets = tuple(replace(clip, masks=clip.masks[:, :1]) for clip in batch.targets)
    with pytest.raises(ValueError, match="clips of 2 frames or more, got 1"):
        idol_unit()(replace(batch, frames=batch.frames[:, :1], targets=targets), 0.0)


def test_instances_that_were_not_there_are_new() -> None:
    head = TrackHead(4, 4)
    with torch.no_grad():
        for layer in head.fcs:
            layer.weight.copy_(torch.eye(4))
            layer.bias.zero_()
    embeddings = torch.eye(4)[None, :, None].repeat(1, 1, 2, 1) * 8  # (B, Q, T, C)
    known = track_loss(head, embeddings, torch.tensor([[[0, 0], [1, 1], [-1, -1]]]))
    assert known < 1e-3
    late = track_loss(head, embeddings, torch.tensor([[[0, 0], [-1, 1]]]))
    assert late.item() == pytest.approx(torch.tensor(2.0).log().item() / 2, abs=1e-3)
    nothing = track_loss(head, embeddings, torch.full((1, 2, 2), -1))
    assert nothing == 0
