"""Segmenters on the stand-in model, and what their streams give."""

from __future__ import annotations

import numpy as np
from vis.support.stream_model import CLASSES, ColourModel

from vidgap_vis.inference.frame_result import FrameResult
from vidgap_vis.inference.segmenter import Stream, VideoSegmenter
from vidgap_vis.trackers import IndexAssociator, OnlineTracker, Tracker


def index_tracker() -> Tracker:
    return OnlineTracker(IndexAssociator())


def make(**options: object) -> VideoSegmenter:
    return VideoSegmenter(ColourModel(), CLASSES, device="cpu", **options)


def assert_same(one: FrameResult, other: FrameResult) -> None:
    assert (one.frame_index, one.size, one.rles) == (other.frame_index, other.size, other.rles)
    for name in ("track_ids", "labels", "scores", "class_scores", "mask_scores"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def collect(stream: Stream, frames: list[np.ndarray]) -> list[FrameResult]:
    results = [result for frame in frames if (result := stream(frame)) is not None]
    return results + stream.flush()
