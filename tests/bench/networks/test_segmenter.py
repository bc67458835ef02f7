"""The benchmark of whole networks: the same step for both, and a time for every stage."""

from __future__ import annotations

import dataclasses
import time

import pytest
import torch

from bench.harness import stages
from bench.harness.agreement import SMALL, verdicts
from bench.harness.benchmark import Options
from bench.harness.contender import Contenders, Work
from bench.harness.session import Session
from bench.networks import models, segmenter

pytest.importorskip("transformers")

WORK = Work(SMALL, 2, torch.float32, "cpu")
FORWARD, STEP = segmenter.BENCHMARK.ops[:2]


@pytest.fixture(autouse=True)
def few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare masks on few points; Hugging Face reads the number from its criterion."""
    monkeypatch.setattr(models, "NUM_POINTS", 100)
    theirs, _ = models.theirs("resnet50", "cpu")
    assert theirs is not None
    monkeypatch.setattr(theirs.criterion, "num_points", 100)
    monkeypatch.setattr(theirs.criterion.matcher, "num_points", 100)


def test_training_steps_give_the_same_loss_and_gradients() -> None:
    found = verdicts(STEP, WORK)
    assert set(found) >= {"hugging face"}
    assert all(verdict.agrees for verdict in found.values()), found


def test_a_step_with_other_points_is_not_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agreement would notice: here the points of one side are mirrored."""
    theirs = [one for one in STEP.contenders(WORK).available if one.name == "hugging face"]
    op = dataclasses.replace(STEP, contenders=lambda _: Contenders(theirs))
    draw = models.frame_by_frame
    monkeypatch.setattr(
        models, "frame_by_frame", lambda shape, device: 1 - draw(shape, device=device)
    )
    assert not verdicts(op, WORK)["hugging face"].agrees


def test_a_step_leaves_no_gradients_behind() -> None:
    for one in STEP.contenders(WORK).available:
        with one.around():
            one.run(STEP.inputs(WORK, 0))
    model = models.ours("resnet50", "cpu", torch.float32, True)
    theirs, _ = models.theirs("resnet50", "cpu")
    assert theirs is not None
    assert all(p.grad is None for one in (model, theirs) for p in one.parameters())


def test_stages_of_both_networks_cover_a_step() -> None:
    wanted = ["backbone", "encoder", "mask features", "decoder", "criterion"]
    tensors = STEP.inputs(WORK, 0)
    for one in STEP.contenders(WORK).available:
        assert list(one.stages) == wanted
        start = time.process_time()
        found = stages.measured(lambda one=one: one.run(tensors), one.stages, 1)
        total = 1000 * (time.process_time() - start)
        parts = [part for stage in found.values() for part in dataclasses.astuple(stage)]
        assert all(part is not None and part >= 0 for part in parts)
        assert 0.5 * total < sum(parts) <= total  # one step beside other work: a wide margin


@pytest.mark.slow
def test_quick_run_writes_rows_and_stages() -> None:
    scope = segmenter.BENCHMARK.scope(Options(quick=True, sizes=((40, 50),)))
    session = Session([FORWARD, STEP], scope, None)
    session.run()
    assert session.all_agree
    assert {row.direction for row in session.rows} == {"forward", "training step"}
    kept = session.report["stages"]
    assert {entry["stage"] for entry in kept} >= {"backbone", "criterion"}
    assert {entry["implementation"] for entry in kept} >= {"hugging face"}


def test_each_network_has_its_own_size_unless_asked() -> None:
    assert segmenter.BENCHMARK.scope(Options()).sizes is None
    sizes = [op.sizes for op in segmenter.BENCHMARK.ops]
    assert sizes == [((360, 640),)] * 2 + [((480, 864),)] * 2
    assert segmenter.BENCHMARK.scope(Options(sizes=((41, 50),))).sizes == ((41, 50),)


def test_compiled_networks_take_part_when_asked_and_have_no_stages() -> None:
    scope = segmenter.BENCHMARK.scope(Options(compile=True))
    work = Session([FORWARD], scope, None).work(SMALL, 2, torch.float32)
    found = {one.name: one for one in FORWARD.contenders(work).available}
    compiled = {name for name in found if name.endswith(", compiled")}
    assert {name.removesuffix(", compiled") for name in compiled} == set(found) - compiled - {
        "reference"
    }
    assert not any(found[name].stages for name in compiled)
