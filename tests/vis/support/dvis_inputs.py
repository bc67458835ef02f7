"""Seeded inputs whose official DVIS numbers are kept in `trackers/dvis/*.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from vis.support.official_numbers import Array, as_float32, generator


def draw_inputs(method: str, constants: Mapping[str, Any]) -> dict[str, Array]:
    """Draw the inputs of "dvis_tracker", "dvis_refiner" or "dvis_offline", official axes."""
    rng = generator(constants["seed"], "inputs")
    frames, num, channels = (constants[name] for name in "TQC")
    if method == "dvis_refiner":
        shape = (1, channels, frames, num)
        track = rng.standard_normal((1, channels, 1, num))
        inputs = {"instance_embeds": track + 0.5 * rng.standard_normal(shape)}
        inputs["frame_embeds"] = rng.standard_normal(shape)
    else:
        swaps = constants.get("swaps", False)
        queries = draw_queries(rng, frames, num, channels, constants["noise"], swaps=swaps)
        inputs = {"frame_embeds": queries.transpose(2, 0, 1)[None]}
    inputs["mask_features"] = blobs(rng, (1, frames, channels, constants["h"], constants["w"]))
    return {name: as_float32(array) for name, array in inputs.items()}


def draw_queries(
    rng: np.random.RandomState, frames: int, num: int, channels: int, noise: float, *, swaps: bool
) -> Array:
    """Draw queries (T, Q, C) of things that drift, in another order in each frame.

    One in six is new in each frame. With `swaps` none is, and orders are the first frame's with
    pairs exchanged, so that each is its own inverse.
    """
    things = rng.standard_normal((num, channels))
    queries = np.zeros((frames, num, channels))
    for time in range(frames):
        things = things + 0.15 * rng.standard_normal((num, channels))
        new = rng.random_sample(num) < 1 / 6
        others = rng.standard_normal((num, channels))
        order = rng.permutation(num)
        if swaps:
            one, other = order[: num // 2 * 2].reshape(-1, 2).T
            order = np.arange(num)
            if time:
                order[one], order[other] = other, one
        else:
            things[new] = others[new]
        queries[time] = (things + noise * rng.standard_normal((num, channels)))[order]
    return queries


def blobs(rng: np.random.RandomState, shape: tuple[int, ...], cell: int = 4) -> Array:
    """Draw maps that are constant in cells, and some noise."""
    *leading, height, width = shape
    coarse = rng.standard_normal((*leading, -(-height // cell), -(-width // cell)))
    fine = coarse.repeat(cell, -2).repeat(cell, -1)[..., :height, :width]
    return np.asarray(fine + 0.3 * rng.standard_normal(shape))
