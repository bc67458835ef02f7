"""Video instance segmentation: pre-train on pseudo-clips, fine-tune, track, evaluate."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidgap_vis.segmenter import FrameResult, VideoSegmenter

__all__ = ["FrameResult", "VideoSegmenter"]


def __getattr__(name: str) -> object:
    """Import the public names when they are asked for, so that importing the package is cheap."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vidgap_vis import segmenter

    return getattr(segmenter, name)
