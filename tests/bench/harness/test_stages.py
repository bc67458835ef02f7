"""A time for every stage of a network, forward and backward."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.harness import stages


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
    """`Slow` twice, each for half of the time; returns what is in between, too, as decoders do."""

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
