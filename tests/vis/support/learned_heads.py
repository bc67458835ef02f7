"""Small heads of each kind, for the tiny network."""

from __future__ import annotations

from typing import Any

import torch

from vidgap_segmenter import ClipSegmenter
from vidgap_vis.trackers.heads import LearnedHead, make_head

SIZES: dict[str, Any] = {"num_layers": 2, "num_heads": 8, "ffn_channels": 16}


def config_of(kind: str, model: ClipSegmenter) -> tuple[str, dict[str, Any]]:
    """Return the name and the configuration of a small head for a model.

    Args:
        kind: a head's name, or "dvis_offline".
        model: the segmenter.
    """
    channels, num_classes = model.config["channels"], model.num_classes
    dvis = {"channels": channels, "num_classes": num_classes, **SIZES}
    vita = {
        "num_classes": num_classes,
        "num_frame_queries": model.config["num_queries"],
        "channels": channels,
        "num_queries": 4,
        "num_encoder_layers": 2,
        "window": 0 if kind == "genvis" else 6,
        **SIZES,
    }
    width = model.config["embedding_dim"] or channels
    return {
        "dvis": ("dvis", {"tracker": dvis | {"inverse_alignment": True}, "refiner": None}),
        "dvis_offline": (
            "dvis",
            {"tracker": dvis | {"inverse_alignment": True}, "refiner": dict(dvis)},
        ),
        "vita": ("vita", vita),
        "genvis": ("genvis", {"vita": vita}),
        "masktrack": ("masktrack", {"in_channels": width, "channels": 8}),
    }[kind]


def small_head(kind: str, model: ClipSegmenter, seed: int = 0) -> LearnedHead:
    """Make such a head with random weights, in eval mode."""
    torch.manual_seed(seed)
    name, config = config_of(kind, model)
    return make_head(name, config).eval()


KINDS = ("dvis", "dvis_offline", "vita", "genvis", "masktrack")
OFFLINE = ("dvis_offline", "vita")
