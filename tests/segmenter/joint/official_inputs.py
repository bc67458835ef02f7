"""Seeded inputs whose official Mask2Former-VIS and SeqFormer numbers stand in the JSON files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from vis.support.dvis_inputs import blobs
from vis.support.official_numbers import Array, as_float32, generator


def draw_inputs(method: str, constants: Mapping[str, Any]) -> dict[str, Array]:
    """Draw the inputs of "m2f_vis", "m2f_vis_loss" or "seqformer", official axes."""
    inputs = INPUTS[method](generator(constants["seed"], "inputs"), constants)
    return {
        name: array if array.dtype.kind == "i" else as_float32(array)
        for name, array in inputs.items()
    }


def decoder_inputs(rng: np.random.RandomState, sizes: Mapping[str, Any]) -> dict[str, Array]:
    """Draw maps of strides 32, 16, 8 and mask features (T, C, h, w).

    Two channels of the mask features are constant in a frame, one of them with a sign that
    alternates: so some queries see nothing in every other frame, and some nothing at all.
    """
    frames, channels, height, width = (sizes[name] for name in "TChw")
    inputs = {
        f"x{level}": rng.standard_normal((frames, channels, height // scale, width // scale))
        for level, scale in enumerate((8, 4, 2))
    }
    features = blobs(rng, (frames, channels, height, width))
    sign = 1.0 - 2.0 * (1 - np.arange(frames) % 2)
    features[:, 0] = sizes["offset"] * sign[:, None, None]
    features[:, 1] = sizes["offset"]
    return {**inputs, "mask_features": features}


def loss_inputs(rng: np.random.RandomState, sizes: Mapping[str, Any]) -> dict[str, Array]:
    """Draw moving ellipses as targets, and predictions of two levels that resemble them."""
    frames, queries, classes, objects = (sizes[name] for name in "TQKN")
    height, width = sizes["size"]
    masks = moving_ellipses(rng, objects, frames, height, width)
    labels = rng.randint(0, classes, objects)
    small = masks.reshape(objects, frames, height // 4, 4, width // 4, 4).mean((3, 5))
    inputs = {"labels": labels, "masks": masks.astype(np.float64)}
    for level in ("", "aux0_"):
        logits = rng.standard_normal((1, queries, classes + 1))
        found = 2 * rng.standard_normal((1, queries, frames, height // 4, width // 4))
        for one, query in enumerate(rng.permutation(queries)[:objects]):
            found[0, query] += 6 * (small[one] - 0.5)
            logits[0, query, labels[one]] += 2
        inputs |= {level + "pred_logits": logits, level + "pred_masks": found}
    return inputs


def moving_ellipses(
    rng: np.random.RandomState, objects: int, frames: int, height: int, width: int
) -> Array:
    """Draw masks (N, T, H, W), bool."""
    side = np.array([[height], [width]])
    centre = rng.uniform(0.25, 0.75, (2, objects)) * side
    radius = rng.uniform(0.12, 0.25, (2, objects)) * side
    speed = 0.03 * rng.standard_normal((2, objects)) * side
    times = np.arange(frames)[None, :, None, None]

    def away(axis: int, cells: Array) -> Array:
        start, step, reach = (part[axis][:, None, None, None] for part in (centre, speed, radius))
        return ((cells + 0.5 - (start + times * step)) / reach) ** 2

    inside = away(0, np.arange(height)[:, None]) + away(1, np.arange(width)[None, :]) <= 1
    return np.asarray(inside)


def seqformer_inputs(rng: np.random.RandomState, sizes: Mapping[str, Any]) -> dict[str, Array]:
    """Draw queries, where they look first (the same in each frame), and the maps' tokens."""
    frames, queries, channels = (sizes[name] for name in "TQC")
    cells = sum(height * width for height, width in sizes["levels"])
    content, position = (rng.standard_normal((1, queries, channels)) for _ in range(2))
    reference = rng.uniform(0.1, 0.9, (1, 1, queries, 2)).repeat(frames, 1)
    return {
        "tgt": content,
        "query_pos": position,
        "reference_points": reference,
        "memory": rng.standard_normal((1, frames, cells, channels)),
    }


INPUTS: dict[str, Callable[[np.random.RandomState, Mapping[str, Any]], dict[str, Array]]] = {
    "m2f_vis": decoder_inputs,
    "m2f_vis_loss": loss_inputs,
    "seqformer": seqformer_inputs,
}
