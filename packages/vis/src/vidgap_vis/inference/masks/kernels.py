"""The kernel of `triton.py`. Imports Triton.

A program has WORDS times 32 pixels of a mask, counted down the columns: a bit each, and the sum of
their probabilities. Neighbours read the same logits, which the cache holds. There are no atomics:
results have the same bits every time.
"""
# mypy: disable-error-code="no-untyped-def,untyped-decorator,import-untyped,misc"
# ruff: noqa: N803 - what is known when a kernel is compiled stands in capitals

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from vidgap_vis.formats.rle import Size

WORDS = 32
"""A program."""

SIZES = ["height", "width", "out_height", "pixels", "num_words", "programs"]


@triton.jit(do_not_specialize=SIZES)
def bits_kernel(
    logits,
    row_index,
    row_weight,
    column_index,
    column_weight,
    bits,
    partial,
    height,
    width,
    out_height,
    pixels,
    num_words,
    programs,
    ROW_TAPS: tl.constexpr,
    COLUMN_TAPS: tl.constexpr,
    WORDS: tl.constexpr,
):
    """Write bits (N, words) and partial sums (N, programs) of logits (N, height, width).

    All taps of a pixel are read, those with weights of 0 too: infinite logits make the NaN that
    they make in PyTorch.
    """
    mask = tl.program_id(0) // programs
    part = tl.program_id(0) % programs
    word = part * WORDS + tl.arange(0, WORDS)
    bit = tl.arange(0, 32)
    pixel = word[:, None] * 32 + bit[None, :]
    exists = pixel < pixels
    row = pixel % out_height
    column = pixel // out_height
    plane = logits + mask.to(tl.int64) * height * width
    value = tl.zeros((WORDS, 32), tl.float32)
    for tap in tl.static_range(ROW_TAPS):
        line = tl.load(row_index + row * ROW_TAPS + tap, exists, 0) * width
        share = tl.load(row_weight + row * ROW_TAPS + tap, exists, 0.0)
        for other in tl.static_range(COLUMN_TAPS):
            x = tl.load(column_index + column * COLUMN_TAPS + other, exists, 0)
            weight = tl.load(column_weight + column * COLUMN_TAPS + other, exists, 0.0)
            value += share * weight * tl.load(plane + line + x, exists, 0.0)
    inside = value > 0.0
    packed = tl.sum(inside.to(tl.int32) << bit[None, :], 1)
    tl.store(bits + mask.to(tl.int64) * num_words + word, packed, word < num_words)
    nan = tl.where(value == value, 0.0, value)
    probability = 1.0 / (1.0 + tl.exp(-tl.where(inside, value, 0.0)))
    probability = tl.where(inside, probability, nan)
    tl.store(partial + tl.program_id(0), tl.sum(tl.sum(probability, 1), 0))


def launch(maps: Tensor, taps: Sequence[Tensor], size: Size) -> tuple[Tensor, Tensor]:
    """Run the kernel.

    Args:
        maps: (N, h, w) float32, contiguous.
        taps: index and weight of rows, then of columns, each (size, taps).
        size: (H, W) of the masks.

    Returns:
        Masks as bits, (N, words) int32, and partial sums of probabilities, (N, parts) float32.
    """
    num_words = -(-size[0] * size[1] // 32)
    programs = -(-num_words // WORDS)
    bits = torch.empty((len(maps), num_words), dtype=torch.int32, device=maps.device)
    partial = torch.empty((len(maps), programs), device=maps.device)
    if not len(maps):
        return bits, partial
    on_cuda = maps.device.type == "cuda"
    with torch.cuda.device(maps.device) if on_cuda else contextlib.nullcontext():
        bits_kernel[(len(maps) * programs,)](
            maps,
            *taps,
            bits,
            partial,
            *maps.shape[1:],
            size[0],
            size[0] * size[1],
            num_words,
            programs,
            ROW_TAPS=taps[0].shape[1],
            COLUMN_TAPS=taps[2].shape[1],
            WORDS=WORDS,
        )
    return bits, partial
