"""What `predict` writes, in the thread that opens it: a sink for each kind of file."""

from vidgap_vis.inference.outputs.choice import sinks_of
from vidgap_vis.inference.outputs.events import Ended, Event, Looked, Saved, Shown
from vidgap_vis.inference.outputs.outputs import Outputs
from vidgap_vis.inference.outputs.overlays import OverlaySink
from vidgap_vis.inference.outputs.sink import Sink

__all__ = [
    "Ended",
    "Event",
    "Looked",
    "Outputs",
    "OverlaySink",
    "Saved",
    "Shown",
    "Sink",
    "sinks_of",
]
