"""What `predict` writes, in the thread that opens it: a sink for each kind of file."""

from vidgap_vis.inference.outputs.crops import CropSink
from vidgap_vis.inference.outputs.events import Ended, Event, Looked, Saved, Shown
from vidgap_vis.inference.outputs.lines import LineSink
from vidgap_vis.inference.outputs.mots import MotsSink
from vidgap_vis.inference.outputs.outputs import Outputs
from vidgap_vis.inference.outputs.overlays import OverlaySink
from vidgap_vis.inference.outputs.results import ResultSink
from vidgap_vis.inference.outputs.sink import Sink
from vidgap_vis.inference.outputs.tables import TableSink

__all__ = [
    "CropSink",
    "Ended",
    "Event",
    "LineSink",
    "Looked",
    "MotsSink",
    "Outputs",
    "OverlaySink",
    "ResultSink",
    "Saved",
    "Shown",
    "Sink",
    "TableSink",
]
