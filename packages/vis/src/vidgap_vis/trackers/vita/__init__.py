"""VITA: whole videos from the queries of their frames (docs/trackers/vita.md)."""

from vidgap_vis.trackers.vita.encoder import ObjectEncoder
from vidgap_vis.trackers.vita.network import VITA, ClipPrediction, VITAOutput
from vidgap_vis.trackers.vita.result import VideoResult

__all__ = ["VITA", "ClipPrediction", "ObjectEncoder", "VITAOutput", "VideoResult"]
