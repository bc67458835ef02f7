"""MaskTrack R-CNN (Yang et al., ICCV 2019): its track head and its association."""

from vidgap_vis.trackers.masktrack.associator import MaskTrackAssociator
from vidgap_vis.trackers.masktrack.network import RegionFeatures, TrackHead, with_track_embeddings
from vidgap_vis.trackers.masktrack.options import MaskTrackOptions

__all__ = [
    "MaskTrackAssociator",
    "MaskTrackOptions",
    "RegionFeatures",
    "TrackHead",
    "with_track_embeddings",
]
