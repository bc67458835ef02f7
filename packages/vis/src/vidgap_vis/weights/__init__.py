"""Weights folders: `config.json`, `model.safetensors`, `provenance.json`."""

from vidgap_vis.weights.folder import load, save
from vidgap_vis.weights.initialise import initialise
from vidgap_vis.weights.usage import Test, Usage

__all__ = ["Test", "Usage", "initialise", "load", "save"]
