"""Where the Triton kernels of window attention find what they read: tokens, frames, channels."""
# mypy: disable-error-code="no-untyped-def,untyped-decorator,import-untyped,misc"
# ruff: noqa: N803 - what is known when a kernel is compiled stands in capitals

from __future__ import annotations

import triton
import triton.language as tl

BITS = tl.constexpr(15)
LOWEST = tl.constexpr((1 << 15) - 1)
FRAMES_A_WORD = tl.constexpr(4)


@triton.jit
def locate(token, block, height, width, shift, WINDOW: tl.constexpr, PACK: tl.constexpr):
    """Return y, x, whether they are on the map, and the region of the slots `token` of a block.

    `block` counts within the frame, and windows in the map that was padded and rolled by -shift.
    Tokens may attend to each other within a region: those of a window on one side of the seams.
    """
    padded_height = tl.cdiv(height, WINDOW) * WINDOW
    padded_width = tl.cdiv(width, WINDOW) * WINDOW
    windows_wide = padded_width // WINDOW
    windows = windows_wide * (padded_height // WINDOW)
    if PACK == 1:
        part = 0  # known to the compiler, which spares two divisions a token
        whole = token < WINDOW * WINDOW
    else:
        part = token // (WINDOW * WINDOW)
        whole = part < PACK
    window = block * PACK + part
    y = (window // windows_wide) * WINDOW + token // WINDOW % WINDOW + shift
    x = (window % windows_wide) * WINDOW + token % WINDOW + shift
    below = y >= padded_height
    right = x >= padded_width
    region = part * 4 + below.to(tl.int32) * 2 + right.to(tl.int32)
    y = tl.where(below, y - padded_height, y)
    x = tl.where(right, x - padded_width, x)
    valid = whole & (window < windows) & (y < height) & (x < width)
    return y, x, valid, region


@triton.jit
def partner_of(frame, words):
    """Return the frame whose keys `frame` reads: by `words` of `launch.pack`, or its own."""
    if len(words) == 0:
        partner = frame
    else:
        word = words[0]
        for index in tl.static_range(1, len(words)):
            word = tl.where(frame // FRAMES_A_WORD == index, words[index], word)
        shift = 1 + BITS * (frame % FRAMES_A_WORD)
        partner = ((word >> shift) & LOWEST).to(tl.int32)
    return partner


@triton.jit
def rows_of(strides, batch, frame, y, x):
    """Return where tokens start in a tensor of `strides` over B, T, H, W: (tokens, 1) int64."""
    start = batch.to(tl.int64) * strides[0] + frame.to(tl.int64) * strides[1]
    return (start + y.to(tl.int64) * strides[2] + x.to(tl.int64) * strides[3])[:, None]


@triton.jit
def mask_of(valid, channel, D: tl.constexpr):
    """Return (tokens, channels) or, where no channel is too many, (tokens, 1) to broadcast."""
    mask = valid[:, None]
    if channel.shape[0] != D:
        mask = mask & (channel < D)[None, :]
    return mask
