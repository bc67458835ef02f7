"""The straightforward kernel, as loops on the CPU."""

from __future__ import annotations

import functools

import pytest
import torch

from bench.harness.agreement import SMALL, doubled, results, verdict
from bench.harness.contender import Contender, Work
from bench.ops import ms_deform_attn
from bench.ops.peers import naive_kernel

FLOAT32 = Work(SMALL, 2, torch.float32, "cpu")


def test_the_naive_kernel_computes_the_op() -> None:
    kernel, why = naive_kernel.compiled("g++")
    if kernel is None:
        pytest.skip(why)
    op, sample = ms_deform_attn.BENCHMARK.ops[0], naive_kernel.sampler(kernel)
    tensors = op.inputs(FLOAT32, 0)
    expected = results(
        Contender("", functools.partial(op.oracle, FLOAT32)), doubled(tensors), torch.float32
    )
    naive = Contender("naive", lambda t: sample(FLOAT32, t["value"], t["locations"], t["weights"]))
    found = verdict(naive, tensors, expected, torch.float32, op.tolerance[torch.float32])
    assert found.agrees, str(found)
