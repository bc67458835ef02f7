"""The kernels of window attention, forward and backward (paper §3.2; Swin's windows and masks).

A block is the tokens that are computed together: one window of a frame, or several where they are
small, in KEYS slots (a power of two). A program has one head and every `groups`-th block. It
holds the keys of a block and takes the queries in pieces of QUERIES, so that a row of scores is
always whole and the softmax needs no second pass, in the backward kernel neither: no sum of the
forward kernel is kept. Maps are read and written where they lie. With one piece a block, the
position biases are read once a program, and their gradients stay in registers until its end.

Scores, softmax and sums are float32. Scores are in units of log(2), whose exponential is cheaper.
"""
# mypy: disable-error-code="no-untyped-def,untyped-decorator,import-untyped,misc"
# ruff: noqa: N803 - what is known when a kernel is compiled stands in capitals

from __future__ import annotations

import triton
import triton.language as tl

from vidgap_temporal.ops.window_attention.addressing import locate, mask_of, partner_of, rows_of

LOG2E = tl.constexpr(1.4426950408889634)
MASKED = tl.constexpr(-1e30)  # finite, so that a row without any key makes no NaN
ROWS_AT_ONCE = tl.constexpr(32)
# Kernels are compiled anew for strides that vectors divide, but not for the size of a map.
SIZES = ["num_frames", "height", "width", "shift", "num_blocks", "groups"]


@triton.jit
def bias_of(bias, head, query, key, WINDOW: tl.constexpr):
    """Return the biases of slots, (queries, keys) in units of log(2)."""
    dy = (query // WINDOW % WINDOW)[:, None] - (key // WINDOW % WINDOW)[None, :]
    dx = (query % WINDOW)[:, None] - (key % WINDOW)[None, :]
    side: tl.constexpr = 2 * WINDOW - 1
    entry = (dy + (WINDOW - 1)) * side + dx + (WINDOW - 1)
    return tl.load(bias + head * side * side + entry).to(tl.float32) * LOG2E


@triton.jit
def multiply(left, right):
    """Return the matrix product in float32, without shortening float32 to TF32."""
    return tl.dot(left, right, input_precision="ieee")


@triton.jit
def weights_of(q, k, biases, attention_mask, scale):
    """Return exp(scores), (queries, keys), and what makes their sums 1, (queries, 1)."""
    scores = multiply(q, tl.trans(k)) * (scale * LOG2E) + biases
    scores = tl.where(attention_mask, scores, MASKED)
    weights = tl.exp2(scores - tl.max(scores, 1)[:, None])
    return weights, (1.0 / tl.sum(weights, 1))[:, None]


@triton.jit(do_not_specialize=SIZES)
def forward_kernel(
    q_map,
    k_map,
    v_map,
    bias,
    out_map,
    q_strides,
    k_strides,
    v_strides,
    out_strides,
    partner,
    num_frames,
    height,
    width,
    shift,
    num_blocks,
    groups,
    scale,
    HEADS: tl.constexpr,
    D: tl.constexpr,
    WINDOW: tl.constexpr,
    PACK: tl.constexpr,
    KEYS: tl.constexpr,
    QUERIES: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """Write (B, T, H, W, C); maps are (B, T, H, W, C) of any strides but 1 for C."""
    # Neighbours have the heads of the same tokens, which share lines of the cache.
    head = tl.program_id(0) % HEADS
    group = tl.program_id(0) // HEADS
    blocks = tl.cdiv(tl.cdiv(height, WINDOW) * tl.cdiv(width, WINDOW), PACK)
    channel = tl.arange(0, DEPTH)
    column = head * D + channel[None, :]
    key = tl.arange(0, KEYS)
    piece = tl.arange(0, QUERIES)
    if QUERIES == KEYS:
        biases = bias_of(bias, head, piece, key, WINDOW)
    for block in range(group, num_blocks, groups):
        batch = block // blocks // num_frames
        frame = block // blocks % num_frames
        ky, kx, is_key, key_region = locate(key, block % blocks, height, width, shift, WINDOW, PACK)
        key_region = tl.where(is_key, key_region, -1)
        key_mask = mask_of(is_key, channel, D)
        source = partner_of(frame, partner)
        k = tl.load(k_map + rows_of(k_strides, batch, source, ky, kx) + column, key_mask, 0.0)
        v = tl.load(v_map + rows_of(v_strides, batch, source, ky, kx) + column, key_mask, 0.0)
        for first in range(0, PACK * WINDOW * WINDOW, QUERIES):
            query = first + piece
            y, x, valid, region = locate(query, block % blocks, height, width, shift, WINDOW, PACK)
            mask = mask_of(valid, channel, D)
            if QUERIES != KEYS:
                biases = bias_of(bias, head, query, key, WINDOW)
            q = tl.load(q_map + rows_of(q_strides, batch, frame, y, x) + column, mask, 0.0)
            attention_mask = region[:, None] == key_region[None, :]
            weights, norm = weights_of(q, k, biases, attention_mask, scale)
            out = multiply(weights.to(v.dtype), v) * norm
            rows = rows_of(out_strides, batch, frame, y, x)
            tl.store(out_map + rows + column, out.to(q.dtype), mask)


@triton.jit(do_not_specialize=SIZES)
def backward_kernel(
    q_map,
    k_map,
    v_map,
    bias,
    grad_map,
    q_grad,
    k_grad,
    v_grad,
    partial,
    q_strides,
    k_strides,
    v_strides,
    out_strides,
    partner,
    num_frames,
    height,
    width,
    shift,
    num_blocks,
    groups,
    scale,
    HEADS: tl.constexpr,
    D: tl.constexpr,
    WINDOW: tl.constexpr,
    PACK: tl.constexpr,
    KEYS: tl.constexpr,
    QUERIES: tl.constexpr,
    DEPTH: tl.constexpr,
    BIAS_GRAD: tl.constexpr,
):
    """Write the gradients of q, k and v, and of the biases what this group of blocks gives.

    `grad_map` and the gradients have `out_strides`. `partial` is (groups, M, KEYS, KEYS) float32,
    zeros where a block has several pieces. A frame is the partner of one other, so that every
    element of a gradient is written by one program: there are no atomics.
    """
    head = tl.program_id(0) % HEADS
    group = tl.program_id(0) // HEADS
    blocks = tl.cdiv(tl.cdiv(height, WINDOW) * tl.cdiv(width, WINDOW), PACK)
    channel = tl.arange(0, DEPTH)
    column = head * D + channel[None, :]
    key = tl.arange(0, KEYS)
    piece = tl.arange(0, QUERIES)
    partial += tl.program_id(0).to(tl.int64) * KEYS * KEYS + key[None, :]  # the order is (group, M)
    if QUERIES == KEYS:
        biases = bias_of(bias, head, piece, key, WINDOW)
    bias_grad = tl.zeros((QUERIES, KEYS), tl.float32)
    for block in range(group, num_blocks, groups):
        batch = block // blocks // num_frames
        frame = block // blocks % num_frames
        ky, kx, is_key, key_region = locate(key, block % blocks, height, width, shift, WINDOW, PACK)
        key_region = tl.where(is_key, key_region, -1)
        key_mask = mask_of(is_key, channel, D)
        source = partner_of(frame, partner)
        k = tl.load(k_map + rows_of(k_strides, batch, source, ky, kx) + column, key_mask, 0.0)
        v = tl.load(v_map + rows_of(v_strides, batch, source, ky, kx) + column, key_mask, 0.0)
        dk = tl.zeros((KEYS, DEPTH), tl.float32)
        dv = tl.zeros((KEYS, DEPTH), tl.float32)
        for first in range(0, PACK * WINDOW * WINDOW, QUERIES):
            query = first + piece
            y, x, valid, region = locate(query, block % blocks, height, width, shift, WINDOW, PACK)
            mask = mask_of(valid, channel, D)
            if QUERIES != KEYS:
                biases = bias_of(bias, head, query, key, WINDOW)
            q = tl.load(q_map + rows_of(q_strides, batch, frame, y, x) + column, mask, 0.0)
            rows = rows_of(out_strides, batch, frame, y, x) + column
            # Where there is no query, the gradient is 0, and so is all that comes of it.
            grad = tl.load(grad_map + rows, mask, 0.0)
            attention_mask = region[:, None] == key_region[None, :]
            weights, norm = weights_of(q, k, biases, attention_mask, scale)
            weights *= norm
            dv += multiply(tl.trans(weights.to(v.dtype)), grad)
            change = multiply(grad, tl.trans(v))
            change = weights * (change - tl.sum(weights * change, 1)[:, None])
            if BIAS_GRAD:
                if QUERIES == KEYS:
                    bias_grad += change
                else:
                    sums = partial + query[:, None] * KEYS
                    tl.store(sums, tl.load(sums) + change)
            short = change.to(q.dtype)
            dk += multiply(tl.trans(short), q)
            tl.store(q_grad + rows, (multiply(short, k) * scale).to(q.dtype), mask)
        key_rows = rows_of(out_strides, batch, source, ky, kx) + column
        tl.store(k_grad + key_rows, (dk * scale).to(k.dtype), key_mask)
        tl.store(v_grad + key_rows, dv.to(v.dtype), key_mask)
        if BIAS_GRAD and QUERIES != KEYS:
            tl.debug_barrier()  # before other threads add to what this block has stored
    if BIAS_GRAD and QUERIES == KEYS:
        tl.store(partial + piece[:, None] * KEYS, bias_grad)


@triton.jit(do_not_specialize=["groups"])
def bias_gradient_kernel(
    partial,
    bias_grad,
    groups,
    HEADS: tl.constexpr,
    WINDOW: tl.constexpr,
    PACK: tl.constexpr,
    KEYS: tl.constexpr,
    SIDE: tl.constexpr,
):
    """Sum `partial`, (groups, M, KEYS, KEYS), to (M, (2w-1)**2), in an order that is fixed.

    A program has one head and one row of its table, a distance dy of query and key; it reads every
    element of `partial` with that distance once. SIDE is a power of two from WINDOW up.
    """
    head = tl.program_id(0) % HEADS
    row = tl.program_id(0) // HEADS
    dy = row - (WINDOW - 1)
    pair = tl.arange(0, SIDE * SIDE)
    x, kx = pair // SIDE, pair % SIDE
    total = tl.zeros((ROWS_AT_ONCE, SIDE * SIDE), tl.float32)
    for first in range(0, groups * PACK * WINDOW, ROWS_AT_ONCE):
        item = first + tl.arange(0, ROWS_AT_ONCE)  # a group, a window of its blocks, a row of keys
        ky = item % WINDOW
        part = item // WINDOW % PACK
        group = item // (WINDOW * PACK)
        query = ((part * WINDOW + ky + dy) * WINDOW)[:, None] + x[None, :]
        key = ((part * WINDOW + ky) * WINDOW)[:, None] + kx[None, :]
        slab = (group.to(tl.int64) * HEADS + head)[:, None] * (KEYS * KEYS)
        mask = (group < groups) & (ky + dy >= 0) & (ky + dy < WINDOW)
        mask = mask[:, None] & ((x < WINDOW) & (kx < WINDOW))[None, :]
        total += tl.load(partial + slab + query * KEYS + key, mask, 0.0)
    sums = tl.sum(total, 0)
    column = tl.arange(0, 2 * SIDE)
    chosen = column[:, None] == (x - kx + (WINDOW - 1))[None, :]
    entry = tl.sum(tl.where(chosen, sums[None, :], 0.0), 1)
    target = bias_grad + (head * (2 * WINDOW - 1) + row) * (2 * WINDOW - 1) + column
    tl.store(target, entry.to(bias_grad.dtype.element_ty), column < 2 * WINDOW - 1)
