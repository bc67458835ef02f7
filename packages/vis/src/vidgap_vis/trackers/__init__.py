"""From the predictions for each frame to identities over a video."""

from vidgap_vis.trackers.base import Assignment, Associator, ClipTracks, Tracker, VideoTracks
from vidgap_vis.trackers.detections import Detections, detections_of
from vidgap_vis.trackers.index import IndexAssociator
from vidgap_vis.trackers.memory import MemoryOptions
from vidgap_vis.trackers.minvis import MinVISAssociator, MinVISOptions
from vidgap_vis.trackers.online import OnlineTracker
from vidgap_vis.trackers.query import QueryAssociator, QueryOptions
from vidgap_vis.trackers.ranking import ScoreRecipe

__all__ = [
    "Assignment",
    "Associator",
    "ClipTracks",
    "Detections",
    "IndexAssociator",
    "MemoryOptions",
    "MinVISAssociator",
    "MinVISOptions",
    "OnlineTracker",
    "QueryAssociator",
    "QueryOptions",
    "ScoreRecipe",
    "Tracker",
    "VideoTracks",
    "detections_of",
]
