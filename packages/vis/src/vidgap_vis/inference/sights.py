"""True instances as a network shows them: the query of each in each frame, found by its mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from vidgap_segmenter import ClipOutput
from vidgap_vis.formats.youtube_vis import VideoInfo, VideoSet
from vidgap_vis.inference.segmenter import VideoSegmenter
from vidgap_vis.trackers.bits import mask_iou
from vidgap_vis.trackers.detections import Bools, Detections, detections_of, normalised

Doubles = npt.NDArray[np.float64]

FOUND = 0.5
"""IoU of a query's mask that covers an instance."""


@dataclass(frozen=True)
class Sights:
    """The instances of a video as the network shows them.

    Attributes:
        embeddings: (N, T, C) float32, at length 1, of the query that covers each instance best; 0
            where it has none.
        queries: the same of the queries themselves.
        centres: (N, T, 2) float64, (x, y) of the true masks, in pixels.
        visible: (N, T) bool, where the instance has a mask.
        best: (N, T) int64, the query that covers it best.
        ious: (N, T) float64, of that query's mask and the instance's, at the cells of the masks.
    """

    embeddings: npt.NDArray[np.float32]
    queries: npt.NDArray[np.float32]
    centres: Doubles
    visible: Bools
    best: npt.NDArray[np.int64]
    ious: Doubles

    @property
    def found(self) -> Bools:
        """(N, T) bool, where a query covers it, by an IoU of a half or more."""
        return self.visible & (self.ious >= FOUND)


def see(
    segmenter: VideoSegmenter,
    videos: VideoSet,
    video: VideoInfo,
    latency: int = 1,
    *,
    with_queries: bool = False,
    beside: Callable[[ClipOutput, Bools], object] | None = None,
) -> Sights:
    """Run the network over a video and find the queries of the true instances.

    Args:
        segmenter: the network; its tracker is not used.
        videos: with truth.
        video: of them.
        latency: frames that the network sees at once.
        with_queries: take the normed queries of the last decoder level, from which an embedding
            head makes embeddings; without, the embeddings stand for them.
        beside: called with each output (with head inputs, if `with_queries`) and the true masks of
            its frames, (N, T, H, W).
    """
    state, found = None, []
    for first in range(0, len(video), latency):
        times = range(first, min(first + latency, len(video)))
        frames = [torch.from_numpy(videos.read_frame(video, time)) for time in times]
        output, state = segmenter.step(frames, state, with_head_inputs=with_queries)
        queries = output.embeddings[0]  # (Q, T, C)
        if with_queries:
            assert output.head_inputs is not None
            queries = output.head_inputs.queries[0, 0]
        masks = videos.read_masks(video, video.instances, list(times))  # (N, T, H, W)
        if beside is not None:
            beside(output, masks)
        found += [
            sights_of(frame, queries[:, index].float().cpu().numpy(), masks[:, index])
            for index, frame in enumerate(detections_of(output))
        ]
    return Sights(*(np.stack(column, axis=1) for column in zip(*found, strict=True)))


def sights_of(
    frame: Detections, queries: npt.NDArray[np.float32], masks: Bools
) -> tuple[npt.NDArray, ...]:
    """Return what `Sights` has of one frame; queries are (Q, C), masks the true ones, (N, H, W)."""
    visible: Bools = np.asarray(masks.any(axis=(1, 2)))
    overlap = mask_iou(at_cells(masks, frame.masks.shape[1:]), np.asarray(frame.masks))  # (N, Q)
    best = overlap.argmax(axis=1)
    ious = overlap[np.arange(len(best)), best]
    found = visible & (ious >= FOUND)
    vectors = (
        (normalised(one)[best] * found[:, None]).astype(np.float32)
        for one in (frame.embeddings, queries)
    )
    y, x = np.mgrid[: masks.shape[1], : masks.shape[2]]
    areas = np.maximum(masks.sum(axis=(1, 2)), 1)
    centres = np.stack([(masks * x).sum((1, 2)), (masks * y).sum((1, 2))], axis=1) / areas[:, None]
    return *vectors, centres, visible, best, ious


def at_cells(masks: Bools, cells: tuple[int, ...]) -> Bools:
    """Return masks (N, H, W) at the cells (h, w) of mask logits that cover the frame."""
    sides = zip(masks.shape[1:], cells, strict=True)
    y, x = (((np.arange(cells) + 0.5) * side / cells).astype(int) for side, cells in sides)
    return masks[:, y[:, None], x]
