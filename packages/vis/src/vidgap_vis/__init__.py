"""Video instance segmentation: pre-train on pseudo-clips, fine-tune, track, evaluate."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidgap_vis.inference.frame_result import FrameResult
    from vidgap_vis.inference.segmenter import VideoSegmenter
    from vidgap_vis.inference.track_stream import TrackStream

__all__ = ["FrameResult", "TrackStream", "VideoSegmenter"]

_HOMES = {
    "FrameResult": "vidgap_vis.inference.frame_result",
    "TrackStream": "vidgap_vis.inference.track_stream",
    "VideoSegmenter": "vidgap_vis.inference.segmenter",
}


def __getattr__(name: str) -> object:
    """Import the public names when they are asked for, so that importing the package is cheap."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
