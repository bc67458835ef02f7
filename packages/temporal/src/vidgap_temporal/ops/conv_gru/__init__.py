"""The op `conv_gru`: a convolutional GRU over the frames of a clip (paper §3.2, eq. 3)."""

from __future__ import annotations

import torch
from torch import Tensor

from vidgap_temporal.ops.about import Backend
from vidgap_temporal.ops.backend import Obstacles, choose
from vidgap_temporal.ops.checks import check_alike, check_floating, check_shape, describe
from vidgap_temporal.ops.conv_gru import cuda_gates, native, reference
from vidgap_temporal.ops.conv_gru.weights import GRUWeights


def conv_gru(
    x: Tensor, h: Tensor | None, weights: GRUWeights, *, backend: Backend = "auto"
) -> tuple[Tensor, Tensor]:
    """Run a convolutional GRU over the frames of `x`, starting from the state `h`.

    For every frame, with 3x3 convolutions padded by one zero:
    r, z = sigmoid(conv(x) + conv(h) + b); c = tanh(conv(x) + conv(r*h) + b); h' = (1-z)*h + z*c.

    Args:
        x: frames, (B, T, C, H, W), any floating dtype and strides; T, C, H, W are at least 1.
        h: the state before the first frame, (B, C, H, W), or None for zeros.
        weights: see `GRUWeights`; of the dtype and on the device of `x` (any dtype in autocast).
        backend: 'auto', 'native' (on GPUs) or 'reference'.

    Returns:
        The state after each frame, (B, T, C, H, W), and the last of them, (B, C, H, W), both of
        the dtype of `x`. In memory the channels lie last.

    Raises:
        ValueError: an argument does not fit (said before any work), or `backend` cannot run.
    """
    check_inputs(x, h, weights)
    chosen = choose("conv_gru", backend, obstacles(x.device, x.dtype))
    return (native if chosen == "native" else reference).conv_gru(x, h, weights)


def obstacles(device: torch.device, dtype: torch.dtype = torch.float32) -> Obstacles:
    """Return what keeps each backend from running on `device` (None: nothing), best first."""
    return {"native": cuda_gates.obstacle(device, dtype), "reference": None}


def check_inputs(x: Tensor, h: Tensor | None, weights: GRUWeights) -> None:
    """Raise ValueError where the arguments of `conv_gru` do not fit together."""
    if x.ndim != 5 or 0 in x.shape[1:]:
        raise ValueError(f"x must be (B, T, C, H, W) with T, C, H, W >= 1, got {describe(x)}")
    check_floating("x", x)
    batch, _, channels, height, width = x.shape
    to_match = f"to match x with C={channels}"
    for name, weight in (("input", weights.input), ("hidden", weights.hidden)):
        check_shape(f"weights.{name}", weight, (3 * channels, channels, 3, 3), to_match)
        check_alike(f"weights.{name}", weight, "x", x)
    check_shape("weights.bias", weights.bias, (3 * channels,), to_match)
    check_alike("weights.bias", weights.bias, "x", x)
    if h is not None:
        check_shape("h", h, (batch, channels, height, width), "to match x")
        check_alike("h", h, "x", x)


__all__ = ["GRUWeights", "conv_gru"]
