"""Small networks of every kind that is converted, and files as Detectron2 writes them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from segmenter.support import randomise, small_mask2former_vis, small_mask_dino, small_model
from torch import Tensor

from vidgap_segmenter import ClipSegmenter

MODELS: dict[str, Callable[[], ClipSegmenter]] = {
    "mask2former resnet26": lambda: small_model("resnet26"),
    "mask2former resnet18": lambda: small_model("resnet18"),
    "mask2former swin_tiny": lambda: small_model("swin_tiny"),
    "mask2former embeddings": lambda: small_model("resnet26", embedding_dim=48),
    "mask2former_vis resnet26": lambda: small_mask2former_vis("resnet26"),
    "mask_dino resnet26": lambda: small_mask_dino("resnet26", strides=(8, 16, 32, 64)),
    "mask_dino swin_tiny": lambda: small_mask_dino(
        "swin_tiny", strides=(4, 8, 16, 32, 64), anchors="bitmask"
    ),
    "mask_dino coarse first": lambda: small_mask_dino(
        "resnet26", strides=(8, 16, 32), coarse_first=True, anchors="bitmask", embedding_dim=32
    ),
}
TOLD_BY_NOTHING = {
    "mask_dino": {"num_queries": 12, "num_denoising": 9},
    "mask2former": {},
    "mask2former_vis": {},
}


@cache
def model(name: str) -> ClipSegmenter:
    torch.manual_seed(0)
    network = MODELS[name]().eval()
    randomise(network)
    return network


def save(path: Path, state: dict[str, Tensor]) -> Path:
    """Write weights as Detectron2's checkpointer does."""
    optimizer = {"state": {0: {"step": 3}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
    torch.save({"model": state, "optimizer": optimizer, "iteration": 3}, path)
    return path


def same_weights(one: ClipSegmenter, other: ClipSegmenter) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)
