"""Other implementations of windowed attention."""

from __future__ import annotations

import functools

import pytest
import torch
from torch.nn.attention.flex_attention import flex_attention

from bench.harness.agreement import SMALL, doubled, ratio
from bench.harness.contender import Work
from bench.ops import window_attention as windows
from bench.ops.peers import window_attention as peers

FLOAT32 = Work(SMALL, 2, torch.float32, "cpu")


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
@pytest.mark.parametrize("cross", [False, True])
def test_flex_attention_gets_the_same_windows(cross: bool) -> None:
    op = windows.BENCHMARK.ops[cross]
    with torch.no_grad():
        tensors = op.inputs(FLOAT32, 0)
        flex = functools.partial(peers.flex, windows.settings(FLOAT32, cross), flex_attention)
        got = windows.each_scale(flex)({name: t.detach() for name, t in tensors.items()})
        expected = op.oracle(FLOAT32, doubled(tensors))
    assert ratio(got, expected) <= op.tolerance[torch.float32]
