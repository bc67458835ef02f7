"""The benchmark of whole networks: the same step for both, and a time for every stage."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench import run, segmenter, segmenter_networks, stages
from bench.agreement import SMALL, verdicts
from bench.contender import Field, Work
from bench.session import Session

pytest.importorskip("transformers")

WORK = Work(SMALL, 2, torch.float32, "cpu")
FORWARD, STEP = segmenter.OPS[:2]


@pytest.fixture(autouse=True)
def few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare masks on few points; Hugging Face reads the number from its criterion."""
    monkeypatch.setattr(segmenter_networks, "NUM_POINTS", 100)
    theirs, _ = segmenter_networks.theirs("resnet50", "cpu")
    assert theirs is not None
    monkeypatch.setattr(theirs.criterion, "num_points", 100)
    monkeypatch.setattr(theirs.criterion.matcher, "num_points", 100)


def test_training_steps_give_the_same_loss_and_gradients() -> None:
    found = verdicts(STEP, WORK)
    assert set(found) >= {"hugging face"}
    assert all(verdict.agrees for verdict in found.values()), found


def test_a_step_with_other_points_is_not_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agreement would notice: here the points of one side are mirrored."""
    theirs = [one for one in STEP.field(WORK).contenders if one.name == "hugging face"]
    op = dataclasses.replace(STEP, field=lambda _: Field(theirs))
    draw = segmenter_networks.frame_by_frame
    monkeypatch.setattr(
        segmenter_networks, "frame_by_frame", lambda shape, device: 1 - draw(shape, device=device)
    )
    assert not verdicts(op, WORK)["hugging face"].agrees


def test_a_step_leaves_no_gradients_behind() -> None:
    for one in STEP.field(WORK).contenders:
        with one.around():
            one.run(STEP.inputs(WORK, 0))
    model = segmenter_networks.ours("resnet50", "cpu", torch.float32, True)
    theirs, _ = segmenter_networks.theirs("resnet50", "cpu")
    assert theirs is not None
    assert all(p.grad is None for one in (model, theirs) for p in one.parameters())


def test_stages_of_both_networks_cover_a_step() -> None:
    wanted = ["backbone", "encoder", "mask features", "decoder", "criterion"]
    tensors = STEP.inputs(WORK, 0)
    for one in STEP.field(WORK).contenders:
        assert list(one.stages) == wanted
        start = time.process_time()
        found = stages.measured(lambda one=one: one.run(tensors), one.stages, 1)
        total = 1000 * (time.process_time() - start)
        parts = [part for stage in found.values() for part in dataclasses.astuple(stage)]
        assert all(part is not None and part >= 0 for part in parts)
        assert 0.8 * total < sum(parts) <= total


class Slow(torch.autograd.Function):
    """Takes a while, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, forward_s: float, backward_s: float) -> Tensor:
        ctx.seconds = backward_s
        busy(forward_s)
        return x * 1

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        busy(ctx.seconds)
        return gradient, None, None


class SlowModule(nn.Module):
    """The same twice, each for half of the time; gives what is between, too, as decoders do."""

    def __init__(self, forward_s: float, backward_s: float) -> None:
        super().__init__()
        self.halves = (forward_s / 2, backward_s / 2)

    def forward(self, x: Any) -> dict[str, list[Tensor]]:
        given = x["out"][0] if isinstance(x, dict) else x
        between = Slow.apply(given, *self.halves)
        return {"out": [Slow.apply(between, *self.halves)], "between": [between]}


def busy(seconds: float) -> None:
    stop = time.process_time() + seconds
    while time.process_time() < stop:
        pass


def test_stages_are_told_apart_forward_and_backward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    first, last = SlowModule(0.02, 0.06), SlowModule(0.04, 0.01)
    parts: stages.Stages = {"first": (first, first), "last": (last, last)}
    x = torch.ones(1, requires_grad=True)
    found = stages.measured(lambda: last(first(x))["out"][0].backward(), parts, 3)
    assert found["first"].forward_ms == pytest.approx(20, abs=8)
    assert found["last"].forward_ms == pytest.approx(40, abs=8)
    assert found["first"].backward_ms == pytest.approx(60, abs=8)
    assert found["last"].backward_ms == pytest.approx(10, abs=8)
    with torch.no_grad():
        found = stages.measured(lambda: last(first(x.detach())), parts, 1)
    assert found["first"].backward_ms is None


def test_quick_run_writes_rows_and_stages() -> None:
    scope = run.scope_of("segmenter", run.parse(["segmenter", "--quick", "--sizes", "40x50"]))
    session = Session([FORWARD, STEP], scope, None)
    session.run()
    assert session.all_agree
    assert {row.direction for row in session.rows} == {"forward", "training step"}
    kept = session.report["stages"]
    assert {entry["stage"] for entry in kept} >= {"backbone", "criterion"}
    assert {entry["implementation"] for entry in kept} >= {"hugging face"}


def test_each_network_has_its_own_size_unless_asked() -> None:
    scope = run.scope_of("segmenter", run.parse(["segmenter"]))
    assert scope.sizes is None
    assert [op.sizes for op in segmenter.OPS] == [((360, 640),)] * 2 + [((480, 864),)] * 2
    assert run.scope_of("segmenter", run.parse(["segmenter", "--sizes", "41x50"])).sizes == [
        (41, 50)
    ]


def test_compiled_networks_take_part_when_asked_and_have_no_stages() -> None:
    scope = run.scope_of("segmenter", run.parse(["segmenter", "--compile"]))
    work = Session([FORWARD], scope, None).work(SMALL, 2, torch.float32)
    found = {one.name: one for one in FORWARD.field(work).contenders}
    compiled = {name for name in found if name.endswith(", compiled")}
    assert {name.removesuffix(", compiled") for name in compiled} == set(found) - compiled - {
        "reference"
    }
    assert not any(found[name].stages for name in compiled)
