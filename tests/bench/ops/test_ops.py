"""Inputs and costs of the ops, and settings that hold while a contender runs."""

from __future__ import annotations

import dataclasses

import torch

from bench.harness.agreement import SMALL
from bench.harness.contender import CHANNELS, Work
from bench.ops import conv_gru, ms_deform_attn
from bench.ops import window_attention as windows
from vidgap_segmenter.ops.ms_deform_attn import call

FLOAT32 = Work(SMALL, 2, torch.float32, "cpu")


def test_a_kernel_is_taken_for_one_run_alone() -> None:
    with ms_deform_attn.variant(2):
        assert call.variant == 2
    assert call.variant == 0


def test_samples_keep_away_from_where_their_gradient_jumps() -> None:
    work = dataclasses.replace(FLOAT32, dtype=torch.bfloat16)
    locations, _ = ms_deform_attn.glue(work, ms_deform_attn.fused_inputs(work, 0))
    pixel = locations * ms_deform_attn.sizes(work) - 0.5
    assert (pixel - pixel.round()).abs().min() > 0.01


def test_costs_are_those_of_the_shapes() -> None:
    """The figures of T = 3 at 384x640 in bfloat16, worked out by hand."""
    work = Work((384, 640), 3, torch.bfloat16, "cpu")
    positions = 3 * (48 * 80 + 24 * 40 + 12 * 20)
    attention = windows.cost(work, False)
    assert attention.bytes == 4 * positions * CHANNELS * 2
    assert ms_deform_attn.cost(work, False).lines == positions * 8 * 3 * 4 * 4
    gru = conv_gru.cost(work, False)
    assert gru.flops == positions * 2 * 9 * CHANNELS * 6 * CHANNELS
