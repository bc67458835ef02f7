"""The op `window_attention`: attention in windows, within a frame or to a partner frame (§3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vidgap_temporal.ops.about import Backend
from vidgap_temporal.ops.backend import Obstacles, choose
from vidgap_temporal.ops.checks import check_alike, check_floating, check_shape, describe
from vidgap_temporal.ops.window_attention import reference, triton
from vidgap_temporal.ops.window_attention.settings import WindowSettings


def window_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor,
    *,
    num_heads: int,
    window_size: int,
    shift: int,
    partner: Sequence[int] | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """Attend within windows of w x w tokens, as Swin does, in each frame of a clip.

    The map is padded right and bottom to a multiple of w and rolled by (-shift, -shift). Padded
    keys are never attended, nor are keys across the seam that the roll makes. The window is never
    shrunk for a small map. Heads are consecutive blocks of C/M channels; scores are scaled by
    (C/M)**-0.5.

    Args:
        q: queries, (B, T, H, W, C), any floating dtype and strides; T, H, W, C are at least 1.
        k: keys, the shape, dtype and device of `q`.
        v: values, likewise.
        bias: what is added to the scores, (M, (2w-1)**2): entry (dy+w-1)*(2w-1) + dx+w-1 for a
            query dy rows below and dx columns right of the key (in autocast of any dtype).
        num_heads: M, a divisor of C.
        window_size: w, in tokens.
        shift: 0 to w-1, in tokens.
        partner: a permutation of 0..T-1: frame t reads `k` and `v` of frame partner[t]. None: its
            own.
        backend: 'auto', 'triton' or 'reference'. Triton takes float32, float16 and bfloat16 on
            GPUs, windows up to 16x16, and any strides without a copy while channels lie side by
            side; 'auto' takes the reference for the rest, float64 and CPUs above all. With
            TRITON_INTERPRET=1 'triton' can be asked for on a CPU too, not in bfloat16.

    Returns:
        (B, T, H, W, C), of the dtype of `q`.

    Raises:
        ValueError: an argument does not fit (said before any work), or `backend` cannot run.
    """
    of_frames = None if partner is None else tuple(partner)
    settings = WindowSettings(num_heads, window_size, shift, of_frames)
    check_inputs(q, k, v, bias, settings)
    num_frames, head_channels = q.shape[1], q.shape[4] // num_heads
    size = (window_size, head_channels, num_frames)
    chosen = choose("window_attention", backend, obstacles(q.device, q.dtype, *size))
    run = triton.window_attention if chosen == "triton" else reference.window_attention
    return run(q, k, v, bias, settings).to(q.dtype)  # in autocast the reference has its own


def obstacles(
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    window_size: int = 8,
    head_channels: int = 32,
    num_frames: int = 1,
) -> Obstacles:
    """Return what keeps each backend from running on `device` (None: nothing), best first."""
    fused = triton.obstacle(device, dtype, window_size, head_channels, num_frames)
    if device.type == "cpu":
        # There Triton can only be interpreted, which is for tests: by name alone.
        return {"reference": None, "triton": fused}
    return {"triton": fused, "reference": None}


def check_inputs(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, settings: WindowSettings) -> None:
    """Raise ValueError where the arguments of `window_attention` do not fit together."""
    if q.ndim != 5 or 0 in q.shape[1:]:
        raise ValueError(f"q must be (B, T, H, W, C) with T, H, W, C >= 1, got {describe(q)}")
    check_floating("q", q)
    for name, tensor in (("k", k), ("v", v)):
        check_shape(name, tensor, tuple(q.shape), "to match q")
        check_alike(name, tensor, "q", q)
    num_heads, window_size, shift, partner = settings
    num_frames, channels = q.shape[1], q.shape[4]
    if num_heads < 1 or channels % num_heads:
        raise ValueError(f"num_heads must divide the {channels} channels of q, got {num_heads}")
    if window_size < 1:
        raise ValueError(f"window_size must be at least 1, got {window_size}")
    if not 0 <= shift < window_size:
        raise ValueError(f"shift must be in 0..{window_size - 1} (window_size - 1), got {shift}")
    offsets = (num_heads, (2 * window_size - 1) ** 2)
    check_shape("bias", bias, offsets, f"for {num_heads} heads and windows of {window_size}")
    check_alike("bias", bias, "q", q)
    if partner is not None and sorted(partner) != list(range(num_frames)):
        raise ValueError(f"partner must be a permutation of 0..{num_frames - 1}, got {partner}")


__all__ = ["window_attention"]
