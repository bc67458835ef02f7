"""GenVIS: VITA clip by clip, with a memory (docs/trackers/genvis.md)."""

from vidgap_vis.trackers.genvis.loss import UnifiedLoss, UnifiedState
from vidgap_vis.trackers.genvis.network import GenVIS, GenVISState
from vidgap_vis.trackers.genvis.options import GenVISOptions
from vidgap_vis.trackers.genvis.tracker import GenVISTracker

__all__ = [
    "GenVIS",
    "GenVISOptions",
    "GenVISState",
    "GenVISTracker",
    "UnifiedLoss",
    "UnifiedState",
]
