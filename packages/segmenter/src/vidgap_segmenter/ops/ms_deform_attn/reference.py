"""Multi-scale deformable attention in PyTorch: the definition every backend agrees with."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

OUTSIDE = -5.0
"""A coordinate of `grid_sample` (-1 to 1 over the map) that lies outside a map of any size."""


def ms_deform_attn(
    value: Tensor,
    spatial_shapes: list[tuple[int, int]],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Compute the op of the same name, whose contract states and checks the arguments."""
    weights = attention_weights.to(sampling_locations.dtype).permute(0, 2, 3, 4, 1)
    return _sum_samples(value, spatial_shapes, 2 * sampling_locations - 1, weights)


def ms_deform_attn_fused(
    value: Tensor,
    spatial_shapes: list[tuple[int, int]],
    reference: Tensor,
    offsets: Tensor,
    logits: Tensor,
) -> Tensor:
    """Compute the op of the same name, whose contract states and checks the arguments."""
    levels, points = offsets.shape[3:5]
    # (B, Q, M, L*P) -> (B, M, L*P, Q): a softmax over so few numbers is slow along the last axis.
    weights = logits.to(reference.dtype).permute(0, 2, 3, 1).contiguous().softmax(2)
    centre = reference[:, :, None, :, None, :2]  # (B, Q, 1, L, 1, 2)
    offsets = offsets.to(reference.dtype)
    if reference.shape[-1] == 2:
        shift = offsets * (2 / _level_sizes(spatial_shapes, reference)[:, None])  # (L, 1, 2)
    else:
        shift = _product(offsets, reference[:, :, None, :, None, 2:] / points)
    coordinates = (2 * centre - 1) + shift
    return _sum_samples(value, spatial_shapes, coordinates, weights.unflatten(2, (levels, points)))


def _sum_samples(
    value: Tensor, spatial_shapes: list[tuple[int, int]], coordinates: Tensor, weights: Tensor
) -> Tensor:
    """Sum samples over levels and points.

    Args:
        value: (B, S, M, D).
        spatial_shapes: (H_l, W_l) of each level.
        coordinates: -1 to 1 over each map, (B, Q, M, L, P, 2).
        weights: (B, M, L, P, Q).

    Returns:
        (B, Q, M*D) in the dtype of `value`.
    """
    batch, _, heads, channels = value.shape
    queries = coordinates.shape[1]
    # Queries come last inside, where arithmetic over them is fast. A head is an image of its own.
    maps = value.to(coordinates.dtype).permute(0, 2, 3, 1).flatten(0, 1)  # (B*M, D, S)
    finite = coordinates.nan_to_num(nan=OUTSIDE, posinf=OUTSIDE, neginf=OUTSIDE)
    grids = finite.permute(3, 0, 2, 4, 1, 5).flatten(1, 2)  # (L, B*M, P, Q, 2)
    shares = weights.permute(2, 0, 1, 3, 4).flatten(1, 2)  # (L, B*M, P, Q)
    areas = [height * width for height, width in spatial_shapes]
    per_level = zip(
        maps.split(areas, -1), spatial_shapes, grids.unbind(), shares.unbind(), strict=True
    )
    out = maps.new_zeros(batch * heads, channels, queries)
    for map_, size, grid, share in per_level:
        samples = F.grid_sample(map_.unflatten(-1, size), grid, align_corners=False)
        out = out + (samples * share[:, None]).sum(2)  # (B*M, D, P, Q) -> (B*M, D, Q)
    # (B*M, D, Q) -> (B, Q, M*D)
    return out.view(batch, heads * channels, queries).transpose(1, 2).to(value.dtype)


def _product(offsets: Tensor, sizes: Tensor) -> Tensor:
    """Multiply; where a factor is not finite, give nan to the result and 0 to both gradients."""
    poison = (offsets * 0 + sizes * 0).detach()  # 0, or nan where a factor is not finite
    zeros = {"nan": 0.0, "posinf": 0.0, "neginf": 0.0}
    return offsets.nan_to_num(**zeros) * sizes.nan_to_num(**zeros) + poison


def _level_sizes(spatial_shapes: list[tuple[int, int]], like: Tensor) -> Tensor:
    """Return (W_l, H_l) of each level, (L, 2), filled on the device: no copy from the host."""
    sizes = like.new_empty(len(spatial_shapes), 2)
    for row, (height, width) in zip(sizes, spatial_shapes, strict=True):
        row[0].fill_(width)
        row[1].fill_(height)
    return sizes
