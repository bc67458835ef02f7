"""VITA: whole videos from the queries of their frames (docs/trackers/vita.md)."""

from vidgap_vis.trackers.vita.encoder import ObjectEncoder, window_edges
from vidgap_vis.trackers.vita.loss import SimilarityInputs, VITALoss
from vidgap_vis.trackers.vita.network import VITA, ClipPrediction, VITAOutput
from vidgap_vis.trackers.vita.result import VideoResult
from vidgap_vis.trackers.vita.tracker import VITATracker

__all__ = [
    "VITA",
    "ClipPrediction",
    "ObjectEncoder",
    "SimilarityInputs",
    "VITALoss",
    "VITAOutput",
    "VITATracker",
    "VideoResult",
    "window_edges",
]
