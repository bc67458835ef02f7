"""Seeded inputs whose official VITA and GenVIS numbers are kept in `trackers/*/*.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vis.support.dvis_inputs import blobs, draw_queries
from vis.support.official_numbers import Array, as_float32, generator


def draw_inputs(constants: Mapping[str, Any]) -> dict[str, Array]:
    """Draw frame queries (1, T, fQ, C), maps (T, C, h, w) and, if trained, (L, B*T', fQ, C)."""
    rng = generator(constants["seed"], "inputs")
    frames, num, channels = (constants[name] for name in ("T", "fQ", "C"))
    queries = draw_queries(rng, frames, num, channels, constants["noise"], swaps=False)
    inputs = {"frame_query": queries[None]}
    inputs["mask_features"] = blobs(rng, (frames, channels, constants["h"], constants["w"]))
    if "train" in constants:
        levels, clips, length = (constants["train"][name] for name in "LBT")
        inputs["train_frame_query"] = rng.standard_normal((levels, clips * length, num, channels))
    return {name: as_float32(array) for name, array in inputs.items()}
