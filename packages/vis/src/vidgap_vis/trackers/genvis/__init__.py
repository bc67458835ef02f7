"""GenVIS: VITA clip by clip, with a memory (docs/trackers/genvis.md)."""

from vidgap_vis.trackers.genvis.network import GenVIS, GenVISState

__all__ = ["GenVIS", "GenVISState"]
