"""Checks that the ops share: each names the argument, what is wanted and what came."""

from __future__ import annotations

import torch
from torch import Tensor


def describe(tensor: Tensor) -> str:
    """Return 'shape (2, 3) float32', for error messages."""
    return f"shape {tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def check_floating(name: str, tensor: Tensor) -> None:
    """Raise ValueError unless `tensor` is of a floating dtype."""
    if not tensor.is_floating_point():
        raise ValueError(f"{name} must be of a floating dtype, got {describe(tensor)}")


def check_shape(name: str, tensor: Tensor, shape: tuple[int, ...], why: str) -> None:
    """Raise ValueError unless `tensor` has `shape`; `why` says what it follows from."""
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name} must be {shape} {why}, got {describe(tensor)}")


def autocasts(device: torch.device) -> bool:
    """Return whether autocast is on for a device; there is none for some, as `meta`."""
    kind = device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def check_alike(name: str, tensor: Tensor, like_name: str, like: Tensor) -> None:
    """Raise ValueError unless `tensor` is on the device and of the dtype of `like`.

    Under autocast any floating dtype is taken, since autocast casts it.
    """
    if tensor.device != like.device:
        raise ValueError(
            f"{name} must be on {like.device} like {like_name}, got a tensor on {tensor.device}"
        )
    if autocasts(like.device):
        check_floating(name, tensor)
    elif tensor.dtype != like.dtype:
        wanted = str(like.dtype).removeprefix("torch.")
        raise ValueError(f"{name} must be {wanted} like {like_name}, got {describe(tensor)}")
