"""From annotated files to batches of clips."""

from vidgap_vis.data.datasets import (
    ClipDataset,
    MixedDataset,
    PseudoClipDataset,
    VideoClipDataset,
    choose_frames,
    clip_generator,
)
from vidgap_vis.data.loader import ClipBatch, ClipLoader, EpochSampler, collate, make_loader

__all__ = [
    "ClipBatch",
    "ClipDataset",
    "ClipLoader",
    "EpochSampler",
    "MixedDataset",
    "PseudoClipDataset",
    "VideoClipDataset",
    "choose_frames",
    "clip_generator",
    "collate",
    "make_loader",
]
