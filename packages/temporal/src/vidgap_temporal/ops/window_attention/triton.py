"""Window attention on a GPU, in Triton: operators of torch, what they launch, and obstacles.

`vidgap_temporal::window_attention` and its backward run the kernels of `kernels.py`. Triton itself
is imported at the first call, as that takes a while. The operators read no tensor's values and
wait for nothing, so CUDA graphs can hold them, after a first call that compiles. There are no
atomics: results have the same bits every time on the same kind of GPU. The backward pass needs the
inputs alone, and room for the bias gradients of every program: 4.3 MB on an H200 for windows of 8,
whatever the size of the maps.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import torch
from torch import Tensor

from vidgap_temporal.ops.backend import Obstacle
from vidgap_temporal.ops.window_attention.settings import WindowSettings
from vidgap_temporal.ops.window_attention.tiles import obstacle_of_size

DTYPES = (torch.float32, torch.float16, torch.bfloat16)

IS_INSTALLED = importlib.util.find_spec("triton") is not None

LIBRARY = torch.library.Library("vidgap_temporal", "FRAGMENT")
SETTINGS = "int num_heads, int window_size, int shift, int[] partner"
LIBRARY.define(f"window_attention(Tensor q, Tensor k, Tensor v, Tensor bias, {SETTINGS}) -> Tensor")
LIBRARY.define(
    "window_attention_backward(Tensor grad, Tensor q, Tensor k, Tensor v, Tensor bias, "
    f"{SETTINGS}, bool bias_grad) -> (Tensor, Tensor, Tensor, Tensor)"
)

Four = tuple[Tensor, Tensor, Tensor, Tensor]


def window_attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, settings: WindowSettings
) -> Tensor:
    """Compute `vidgap_temporal.ops.window_attention`, which states and checks the arguments.

    In autocast `k` and `v` may have other dtypes and are cast to that of `q`; `bias` is read in
    any dtype, and added in float32.
    """
    k, v, partner = k.to(q.dtype), v.to(q.dtype), list(settings.partner or ())
    return torch.ops.vidgap_temporal.window_attention(q, k, v, bias, *settings[:3], partner)


def obstacle(
    device: torch.device, dtype: torch.dtype, window_size: int, head_channels: int, num_frames: int
) -> Obstacle | None:
    """Say what keeps the kernels from running on `device`, and for such arguments."""
    if not IS_INSTALLED:
        if device.type != "cuda":
            return Obstacle("runs on GPUs, and Triton is not installed")
        return Obstacle("Triton is not installed", "pip install triton")
    is_interpreted = device.type == "cpu" and os.environ.get("TRITON_INTERPRET") == "1"
    if device.type != "cuda" and not is_interpreted:
        return Obstacle(f"runs on GPUs, not on {device.type}")
    if dtype not in DTYPES:
        return Obstacle(f"made for float32, float16 and bfloat16, not for {dtype}")
    if is_interpreted and dtype == torch.bfloat16:
        return Obstacle("Triton's interpreter takes the bits of bfloat16 for integers in products")
    if not is_interpreted and is_too_old(device):
        return Obstacle(f"made for GPUs of sm_80 and later, not for {device}")
    return obstacle_of_size(window_size, head_channels, num_frames)


def is_too_old(device: torch.device) -> bool:
    """Say whether a GPU is older than sm_80; False where there is none to ask."""
    # torch.compile knows this call as a constant, and not `torch.cuda.get_device_capability`.
    return torch.cuda.is_available() and torch.cuda.get_device_properties(device).major < 8


def _forward(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, *settings: Any) -> Tensor:
    from vidgap_temporal.ops.window_attention.launch import forward

    return forward(q, k, v, bias, _settings(*settings))


def _backward(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, *others: Any) -> Four:
    from vidgap_temporal.ops.window_attention.launch import backward

    *settings, wants_bias = others
    return backward(grad, q, k, v, bias, _settings(*settings), wants_bias)


def _settings(num_heads: int, window_size: int, shift: int, partner: list[int]) -> WindowSettings:
    return WindowSettings(num_heads, window_size, shift, tuple(partner))


def _fake_forward(q: Tensor, *_: Any) -> Tensor:
    return q.new_empty(q.shape)


def _fake_backward(_grad: Tensor, q: Tensor, *others: Any) -> Four:
    bias, wants_bias = others[2], others[-1]
    q_grad, k_grad, v_grad = (q.new_empty(q.shape) for _ in range(3))
    return q_grad, k_grad, v_grad, bias.new_empty(bias.shape if wants_bias else 0)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001 - torch names it
    q, k, v, bias, *ctx.settings = inputs
    ctx.save_for_backward(q, k, v, bias)


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    wants_bias = ctx.needs_input_grad[3]
    *grads, bias_grad = torch.ops.vidgap_temporal.window_attention_backward(
        grad, *ctx.saved_tensors, *ctx.settings, wants_bias
    )
    return *grads, bias_grad if wants_bias else None, None, None, None, None


def _no_second_derivative(*_: Any) -> None:
    raise RuntimeError(
        "window_attention: the backend in Triton has no second derivative; use backend='reference'"
    )


for _name, _kernel, _fake in (
    ("window_attention", _forward, _fake_forward),
    ("window_attention_backward", _backward, _fake_backward),
):
    for _device in ("CPU", "CUDA"):
        LIBRARY.impl(_name, _kernel, _device)
    torch.library.register_fake(f"vidgap_temporal::{_name}", _fake, lib=LIBRARY)
torch.library.register_autograd(
    "vidgap_temporal::window_attention", _gradients, setup_context=_save, lib=LIBRARY
)
torch.library.register_autograd(
    "vidgap_temporal::window_attention_backward", _no_second_derivative, lib=LIBRARY
)
