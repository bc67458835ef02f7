"""The library's convolutions as the ConvGRU uses them: 3x3, padded by one zero, channels last.

Maps are dense (N, H, W, C) here; the library sees views (N, C, H, W) of the same memory.
"""

from __future__ import annotations

import torch
from torch import Tensor


def split(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Split (3C, ...) to the part of the gates r, z and that of the candidate."""
    gates, candidate = weight.tensor_split([weight.shape[0] // 3 * 2])
    return gates, candidate


def join(gates: Tensor, candidate: Tensor) -> Tensor:
    """Undo `split`, with the channels last in memory."""
    return torch.cat([gates, candidate]).contiguous(memory_format=torch.channels_last)


def rows(maps: Tensor) -> Tensor:
    """Return (N, C, H, W) as dense (N, H, W, C)."""
    return maps.permute(0, 2, 3, 1).contiguous()


def nchw(maps: Tensor) -> Tensor:
    """Return (N, H, W, C) as (N, C, H, W), channels last in memory, without a copy."""
    return maps.permute(0, 3, 1, 2)


ONE, ZERO = [1, 1], [0, 0]


def convolve(maps: Tensor, weight: Tensor) -> Tensor:
    """Convolve (N, H, W, C) with 3x3 weights (K, C, 3, 3), padded by one zero: (N, H, W, K)."""
    convolution = torch.ops.aten.convolution.default
    return rows(convolution(nchw(maps), weight, None, ONE, ONE, ONE, False, ZERO, 1))


def convolve_back(grad: Tensor, weight: Tensor) -> Tensor:
    """Return the gradient (N, H, W, C) of what `convolve` took, from that of its result."""
    convolution = torch.ops.aten.convolution.default
    return rows(convolution(nchw(grad), weight, None, ONE, ONE, ONE, True, ZERO, 1))


def convolution_backward(
    maps: Tensor, grad: Tensor, weight: Tensor, mask: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of maps (T, B, H, W, C) as (N, C, H, W), weight and bias, as masked."""
    grad, maps = nchw(grad.flatten(0, 1)), nchw(maps.flatten(0, 1))
    return torch.ops.aten.convolution_backward.default(
        grad, maps, weight, [len(weight)], ONE, ONE, ONE, False, ZERO, 1, mask
    )


def weight_grad(maps: Tensor, grad: Tensor, weight: Tensor) -> Tensor:
    """Return the gradient of `weight`, which turned maps (T, B, H, W, C) to those of `grad`."""
    if not len(maps):
        return torch.zeros_like(weight)
    return convolution_backward(maps, grad, weight, [False, True, False])[1]
