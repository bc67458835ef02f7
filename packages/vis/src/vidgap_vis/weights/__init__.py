"""Weights folders: `config.json`, `model.safetensors`, `provenance.json`."""

from vidgap_vis.weights.folder import load, save
from vidgap_vis.weights.initialise import initialise

__all__ = ["initialise", "load", "save"]
