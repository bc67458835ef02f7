"""Heads that learned to follow instances, by name, and whether one fits a segmenter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from vidgap_segmenter import ClipSegmenter
from vidgap_vis.trackers.dvis import DVIS
from vidgap_vis.trackers.genvis import GenVIS
from vidgap_vis.trackers.masktrack import TrackHead
from vidgap_vis.trackers.vita import VITA

LearnedHead: TypeAlias = DVIS | VITA | GenVIS | TrackHead
"""A module whose `config` makes another one of the same sizes."""

HEADS: dict[str, tuple[type[LearnedHead], Callable[..., LearnedHead]]] = {
    "dvis": (DVIS, DVIS.of),
    "vita": (VITA, VITA),
    "genvis": (GenVIS, GenVIS.of),
    "masktrack": (TrackHead, TrackHead),
}
"""The type of each head, and what makes it of its `config`."""


def name_of(head: LearnedHead) -> str:
    """Return a head's name."""
    return next(name for name, (kind, _) in HEADS.items() if isinstance(head, kind))


def make_head(name: str, config: Mapping[str, Any]) -> LearnedHead:
    """Make a head with random weights.

    Raises:
        ValueError: no head has this name.
        KeyError, TypeError, ValueError, RuntimeError: the configuration is not one of it.
    """
    if name not in HEADS:
        raise ValueError(f"name: wanted one of {', '.join(HEADS)}, got {name!r}")
    return HEADS[name][1](**config)


def check_head(head: LearnedHead, model: ClipSegmenter) -> None:
    """Raise ValueError where a head is made for other channels, queries or classes than a model."""
    config = model.config
    width = config["embedding_dim"] or config["channels"]
    wanted = {
        "channels": config["channels"],
        "num_frame_queries": config["num_queries"],
        "num_classes": model.num_classes,
        "in_channels": width,
    }
    if isinstance(head, DVIS):
        parts = [head.tracker.config, *([head.refiner.config] if head.refiner else [])]
    elif isinstance(head, GenVIS):
        parts = [head.vita.config]
    else:
        parts = [head.config]
    if isinstance(head, TrackHead):
        del wanted["channels"]  # its embeddings may have any number
    for part in parts:
        for name, value in wanted.items():
            if part.get(name, value) != value:
                raise ValueError(f"{name} must be {value}, as the segmenter has, got {part[name]}")
