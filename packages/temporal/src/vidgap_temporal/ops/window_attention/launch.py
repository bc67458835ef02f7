"""What the operators of `triton.py` launch. Imports Triton.

The kernels' settings are fixed, so that a call never stops to try several: those of `tiles.py`,
and as many programs as a GPU holds at once, each with its share of the blocks.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vidgap_temporal.ops.window_attention.addressing import BITS, FRAMES_A_WORD
from vidgap_temporal.ops.window_attention.kernels import (
    backward_kernel,
    bias_gradient_kernel,
    forward_kernel,
)
from vidgap_temporal.ops.window_attention.settings import WindowSettings
from vidgap_temporal.ops.window_attention.tiles import Tiles, power_of_two, tiles_of

WARPS_FORWARD, WARPS_BACKWARD = 16, 8
"""Warps of a multiprocessor: what its registers hold of the kernels (docs/kernels.md)."""


def forward(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, settings: WindowSettings) -> Tensor:
    """Compute the operator: (B, T, H, W, C), contiguous."""
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    if out.numel():
        maps = [with_dense_channels(x) for x in (q, k, v)]
        launch = launch_for(q, WARPS_FORWARD, settings)
        launch.run(forward_kernel, *maps, bias.contiguous(), out, maps=maps)
    return out


def backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor,
    settings: WindowSettings,
    wants_bias: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute the backward operator: gradients of q, k, v, and of `bias` or an empty tensor."""
    q_grad, k_grad, v_grad = (torch.empty_like(q, memory_format=CONTIGUOUS) for _ in range(3))
    if not q.numel():
        return q_grad, k_grad, v_grad, bias.new_zeros(bias.shape if wants_bias else 0)
    launch = launch_for(q, WARPS_BACKWARD, settings)
    partial = launch.partial(wants_bias)
    maps = [with_dense_channels(x) for x in (q, k, v)]
    tensors = (*maps, bias.contiguous(), grad.to(q.dtype).contiguous())
    tensors = (*tensors, q_grad, k_grad, v_grad, partial)
    launch.run(backward_kernel, *tensors, maps=maps, BIAS_GRAD=wants_bias)
    bias_grad = launch.sum(partial, bias) if wants_bias else bias.new_empty(0)
    return q_grad, k_grad, v_grad, bias_grad


CONTIGUOUS = torch.contiguous_format


@dataclass(frozen=True)
class Launch:
    """One pass over maps.

    Attributes:
        device: that of the maps.
        groups: programs a head.
        arguments: what both kernels take, beside tensors and the strides of q, k and v.
        tiles: how they split their work.
    """

    device: torch.device
    groups: int
    arguments: dict[str, Any]
    tiles: Tiles

    @classmethod
    @functools.lru_cache(maxsize=1024)  # a third of what a call costs the host
    def of(
        cls,
        shape: tuple[int, ...],
        itemsize: int,
        device: torch.device,
        warps: int,
        settings: WindowSettings,
    ) -> Launch:
        """Return the launch for maps of `shape` with `warps` warps a multiprocessor."""
        num_heads, window_size, shift, partner = settings
        batch, num_frames, height, width, channels = shape
        head_channels = channels // num_heads
        tiles = tiles_of(window_size, head_channels, itemsize)
        windows = -(-height // window_size) * -(-width // window_size)
        num_blocks = batch * num_frames * -(-windows // tiles.pack)
        programs = multiprocessors(device) * (warps // tiles.num_warps)
        groups = min(num_blocks, max(1, programs // num_heads))
        row = width * channels
        arguments = {
            "out_strides": (num_frames * height * row, height * row, row, channels),
            "partner": pack(partner or ()),
            "num_frames": num_frames,
            "height": height,
            "width": width,
            "shift": shift,
            "num_blocks": num_blocks,
            "groups": groups,
            "scale": head_channels**-0.5,
            "HEADS": num_heads,
            "D": head_channels,
            "WINDOW": window_size,
            "PACK": tiles.pack,
            "KEYS": tiles.keys,
            "QUERIES": tiles.queries,
            "DEPTH": tiles.depth,
            "num_warps": tiles.num_warps,
            "num_stages": tiles.num_stages,
        }
        return cls(device, groups, arguments, tiles)

    def run(self, kernel: Any, *tensors: Tensor, maps: Sequence[Tensor], **others: Any) -> None:
        """Launch `kernel` on `tensors`, where `maps` are q, k and v."""
        names = ("q_strides", "k_strides", "v_strides")
        strides = {name: x.stride()[:4] for name, x in zip(names, maps, strict=True)}
        with current(self.device):
            kernel[(self.groups * self.arguments["HEADS"],)](
                *tensors, **strides, **self.arguments, **others
            )

    def partial(self, wants_bias: bool) -> Tensor:
        """Return memory for the bias gradients of every program, (groups, M, keys, keys)."""
        groups = self.groups if wants_bias else 0
        keys = self.tiles.keys
        # A program adds piece by piece to what is there, or writes all of it at its end.
        allocate = torch.empty if self.tiles.queries == keys else torch.zeros
        return allocate(groups, self.arguments["HEADS"], keys, keys, device=self.device)

    def sum(self, partial: Tensor, bias: Tensor) -> Tensor:
        """Return the gradient of `bias`, in its dtype."""
        bias_grad = torch.empty_like(bias, memory_format=CONTIGUOUS)
        heads, window = self.arguments["HEADS"], self.arguments["WINDOW"]
        with current(self.device):
            bias_gradient_kernel[(heads * (2 * window - 1),)](
                partial,
                bias_grad,
                self.groups,
                HEADS=heads,
                WINDOW=window,
                PACK=self.tiles.pack,
                KEYS=self.tiles.keys,
                SIDE=max(2, power_of_two(window)),
                num_warps=8,
            )
        return bias_grad


def launch_for(q: Tensor, warps: int, settings: WindowSettings) -> Launch:
    """Return the launch for maps like `q`."""
    return Launch.of(tuple(q.shape), q.element_size(), q.device, warps, settings)


def current(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Return what makes `device` the current one, where Triton launches."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def multiprocessors(device: torch.device) -> int:
    """Return how many a GPU has; 1 for the interpreter."""
    if device.type == "cpu":
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count


def with_dense_channels(x: Tensor) -> Tensor:
    """Return `x` or, where its channels do not lie side by side, a copy."""
    return x if x.stride(-1) == 1 or x.shape[-1] == 1 else x.contiguous()


def pack(partner: tuple[int, ...]) -> tuple[int, ...]:
    """Pack a permutation into words of four frames, the number of words a power of two.

    As arguments of the kernel they need no memory of the device, which a capture of a CUDA graph
    could not fill. Triton compiles anew for ints that are 1, that 16 divides, or that fit into 32
    bits: bits 0 and 62 are set, so that a kernel fits all permutations with as many words.
    """
    if not partner:
        return ()
    bits, frames_a_word = BITS.value, FRAMES_A_WORD.value
    words = [1 << 62 | 1] * power_of_two(-(-len(partner) // frames_a_word))
    for frame, other in enumerate(partner):
        words[frame // frames_a_word] |= other << (1 + bits * (frame % frames_a_word))
    return tuple(words)
