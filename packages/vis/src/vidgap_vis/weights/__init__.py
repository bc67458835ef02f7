"""Weights folders: `config.json`, `model.safetensors`, `provenance.json`, a head's weights."""

from vidgap_vis.weights.folder import load, save
from vidgap_vis.weights.heads import load_head
from vidgap_vis.weights.initialise import initialise
from vidgap_vis.weights.initialise_head import initialise_head
from vidgap_vis.weights.opening import Weights, open_weights, usage_of
from vidgap_vis.weights.usage import Test, Usage

__all__ = [
    "Test",
    "Usage",
    "Weights",
    "initialise",
    "initialise_head",
    "load",
    "load_head",
    "open_weights",
    "save",
    "usage_of",
]
