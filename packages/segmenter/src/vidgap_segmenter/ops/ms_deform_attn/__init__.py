"""Multi-scale deformable attention (Deformable DETR §4.1): the contract of the op.

`reference.py` is its definition. Shapes and indices are Python ints and no tensor's values are
read, so every check runs before any work. The native backend has first derivatives only.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vidgap_segmenter.ops.about import Backend
from vidgap_segmenter.ops.backend import Obstacle, Obstacles, choose
from vidgap_segmenter.ops.extension import obstacle as obstacle_of_extension
from vidgap_segmenter.ops.ms_deform_attn import native
from vidgap_segmenter.ops.ms_deform_attn import reference as _reference

SpatialShapes = Sequence[tuple[int, int]]

MOST_TOKENS = {"cpu": 2**30, "cuda": 2**27}
MOST_LEVELS = 16
MOST_SAMPLES = 256
"""What the kernels take (csrc/ms_deform_attn)."""


def ms_deform_attn(
    value: Tensor,
    spatial_shapes: SpatialShapes,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    *,
    backend: Backend = "auto",
) -> Tensor:
    """Sum weighted bilinear samples of several maps for each query and head.

    Maps are sampled as `grid_sample` does with zero padding and `align_corners=False`
    (pixel = location * size - 0.5). A sample with a non-finite location contributes 0 and has
    gradients 0.

    Args:
        value: the maps' tokens, level after level, (B, S, M, D), any floating dtype.
        spatial_shapes: (H_l, W_l) of each level; their areas sum to S.
        sampling_locations: (x, y) in [0, 1] over each map, (B, Q, M, L, P, 2), float32 (float64
            where `value` is float64).
        attention_weights: (B, Q, M, L, P), floating.
        backend: "auto", or the backend that must run.

    Returns:
        (B, Q, M*D) in the dtype of `value`.

    Raises:
        ValueError: a shape or dtype is wrong, or the backend asked for cannot run.
    """
    shapes = _check_value(value, spatial_shapes)
    batch, _, heads, _ = value.shape
    levels = len(shapes)
    locations = sampling_locations
    if locations.ndim != 6 or _without(locations, 1, 4) != (batch, heads, levels, 2):
        raise ValueError(
            f"sampling_locations must be (B={batch}, Q, M={heads}, L={levels}, P, 2), "
            f"got shape {tuple(locations.shape)}"
        )
    if attention_weights.shape != locations.shape[:-1]:
        raise ValueError(
            f"attention_weights must be {tuple(locations.shape[:-1])} to match "
            f"sampling_locations, got shape {tuple(attention_weights.shape)}"
        )
    _check_coordinates("sampling_locations", locations, value)
    _check_numbers("attention_weights", attention_weights, value)
    if choose("ms_deform_attn", backend, _obstacles_to(value, locations)) == "native":
        return native.ms_deform_attn(value, shapes, locations, attention_weights)
    return _reference.ms_deform_attn(value, shapes, locations, attention_weights)


def ms_deform_attn_fused(
    value: Tensor,
    spatial_shapes: SpatialShapes,
    reference: Tensor,
    offsets: Tensor,
    logits: Tensor,
    *,
    backend: Backend = "auto",
) -> Tensor:
    """Run `ms_deform_attn` on what a network predicts: offsets and logits.

    Weights are the softmax of a head's logits over its L*P samples. Locations are
    reference + offset / (W_l, H_l), or for boxes (x, y, w, h) centre + offset / P * (w, h) / 2.

    Args:
        value: the maps' tokens, level after level, (B, S, M, D), any floating dtype.
        spatial_shapes: (H_l, W_l) of each level; their areas sum to S.
        reference: points (B, Q, L, 2) or boxes (B, Q, L, 4), normalised, float32 (float64 where
            `value` is float64).
        offsets: (B, Q, M, L, P, 2), floating, (x, y) in pixels of each level.
        logits: (B, Q, M, L*P), floating.
        backend: "auto", or the backend that must run.

    Returns:
        (B, Q, M*D) in the dtype of `value`.

    Raises:
        ValueError: a shape or dtype is wrong, or the backend asked for cannot run.
    """
    shapes = _check_value(value, spatial_shapes)
    batch, _, heads, _ = value.shape
    levels = len(shapes)
    if offsets.ndim != 6 or _without(offsets, 1, 4) != (batch, heads, levels, 2):
        raise ValueError(
            f"offsets must be (B={batch}, Q, M={heads}, L={levels}, P, 2), "
            f"got shape {tuple(offsets.shape)}"
        )
    queries, points = offsets.shape[1], offsets.shape[4]
    if reference.ndim != 4 or reference.shape[:3] != (batch, queries, levels):
        raise ValueError(
            f"reference must be (B={batch}, Q={queries}, L={levels}, 2 or 4), "
            f"got shape {tuple(reference.shape)}"
        )
    if reference.shape[3] not in (2, 4):
        raise ValueError(f"reference must hold 2 or 4 numbers a point, got {reference.shape[3]}")
    if logits.shape != (batch, queries, heads, levels * points):
        raise ValueError(
            f"logits must be {(batch, queries, heads, levels * points)} to match offsets, "
            f"got shape {tuple(logits.shape)}"
        )
    _check_coordinates("reference", reference, value)
    _check_numbers("offsets", offsets, value)
    _check_numbers("logits", logits, value)
    if choose("ms_deform_attn_fused", backend, _obstacles_to(value, offsets)) == "native":
        return native.ms_deform_attn_fused(value, shapes, reference, offsets, logits)
    return _reference.ms_deform_attn_fused(value, shapes, reference, offsets, logits)


def obstacles(
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    tokens: int = 1,
    levels: int = 1,
    samples: int = 1,
) -> Obstacles:
    """Return what keeps each backend from running (None: nothing), best first.

    Args:
        device: of the tensors.
        dtype: of the values.
        tokens: S.
        levels: L.
        samples: of a query and head, L*P.
    """
    native_obstacle = obstacle_of_extension(device, dtype)
    if native_obstacle is None:
        native_obstacle = _obstacle_of_size(device, tokens, levels, samples)
    return {"native": native_obstacle, "reference": None}


def _obstacle_of_size(
    device: torch.device, tokens: int, levels: int, samples: int
) -> Obstacle | None:
    """Say what is too large for the kernels, whose indices of tokens have 32 bits."""
    most = MOST_TOKENS[device.type]
    if tokens >= most:
        return Obstacle(f"takes less than {most} tokens on {device.type}, not {tokens}")
    if device.type == "cuda" and levels > MOST_LEVELS:
        return Obstacle(f"takes up to {MOST_LEVELS} levels on cuda, not {levels}")
    if device.type == "cuda" and samples > MOST_SAMPLES:
        return Obstacle(f"takes up to {MOST_SAMPLES} samples a head on cuda, not {samples}")
    return None


def _obstacles_to(value: Tensor, locations: Tensor) -> Obstacles:
    levels, points = locations.shape[3:5]
    return obstacles(value.device, value.dtype, value.shape[1], levels, levels * points)


def _check_value(value: Tensor, spatial_shapes: SpatialShapes) -> list[tuple[int, int]]:
    if value.ndim != 4:
        raise ValueError(f"value must be (B, S, M, D), got shape {tuple(value.shape)}")
    _check_numbers("value", value, value)
    shapes = [(height, width) for height, width in spatial_shapes]
    if not shapes or min(min(shape) for shape in shapes) < 1:
        raise ValueError(f"spatial_shapes must be (H, W) of at least one map, got {shapes}")
    area = sum(height * width for height, width in shapes)
    if area != value.shape[1]:
        raise ValueError(f"spatial_shapes {shapes} cover {area} tokens, value has {value.shape[1]}")
    return shapes


def _check_coordinates(name: str, coordinates: Tensor, value: Tensor) -> None:
    wanted = torch.float64 if value.dtype == torch.float64 else torch.float32
    if coordinates.dtype != wanted:
        raise ValueError(
            f"{name} must be {wanted} for {value.dtype} value, got {coordinates.dtype}"
        )
    _check_numbers(name, coordinates, value)


def _check_numbers(name: str, tensor: Tensor, value: Tensor) -> None:
    if not tensor.is_floating_point():
        raise ValueError(f"{name} must be floating, got {tensor.dtype}")
    if tensor.device != value.device:
        raise ValueError(f"{name} must be on {value.device} as value is, got {tensor.device}")


def _without(tensor: Tensor, *axes: int) -> tuple[int, ...]:
    return tuple(size for axis, size in enumerate(tensor.shape) if axis not in axes)
