"""How well embeddings tell the instances of a video apart, given where each one is.

The queries that stand for the true instances are found by their masks, so that neither a missed
detection nor a tracker's rules count: what is left is whether an instance's embedding is nearest to
its own of another frame. Beside it stands the nearest centre of the true masks, which learns
nothing: an embedding that is worth something beats it where instances cross or return.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch

from vidgap_vis.formats.youtube_vis import VideoInfo, VideoSet
from vidgap_vis.inference.segmenter import VideoSegmenter
from vidgap_vis.trackers.bits import mask_iou
from vidgap_vis.trackers.detections import Bools, Detections, detections_of, normalised

Doubles = npt.NDArray[np.float64]

DISTANCES = (1, 5, 10)
"""Frames between the two sights that are compared."""


@dataclass(frozen=True)
class Sights:
    """The instances of a video as the network shows them.

    Attributes:
        embeddings: (N, T, C) float32, at length 1, of the query that covers each instance best; 0
            where it has none.
        queries: the same of the queries themselves.
        centres: (N, T, 2) float64, (x, y) of the true masks, in pixels.
        visible: (N, T) bool, where the instance has a mask.
        found: (N, T) bool, where a query covers it, by an IoU of a half or more.
    """

    embeddings: npt.NDArray[np.float32]
    queries: npt.NDArray[np.float32]
    centres: Doubles
    visible: Bools
    found: Bools


@dataclass
class Hits:
    """How many of some comparisons were right, by what was compared."""

    embedding: int = 0
    queries: int = 0
    centre: int = 0
    chance: float = 0.0
    num: int = 0
    num_asked: int = 0

    def shares(self, *, with_queries: bool) -> dict[str, float | None]:
        """Return the shares of right ones, of right guesses, and of what was found at all."""
        counts = {"embedding": self.embedding, "centre": self.centre, "chance": self.chance}
        if with_queries:
            counts["queries"] = self.queries
        shares = {name: hits / self.num if self.num else None for name, hits in counts.items()}
        return shares | {"found": self.num / self.num_asked if self.num_asked else None}


def association_accuracy(
    segmenter: VideoSegmenter, videos: VideoSet, latency: int = 1, *, with_queries: bool = False
) -> dict[str, dict[str, float | None]]:
    """Measure top-1 association between frames of videos with exact masks.

    An instance of a frame is looked for among all instances that a later frame shows. Questions
    count where a query covers it in both frames.

    Args:
        segmenter: the network; its tracker is not used.
        videos: with truth.
        latency: frames that the network sees at once.
        with_queries: ask the normed queries of the last decoder level, too, from which an embedding
            head makes embeddings.

    Returns:
        For each of "1", "5", "10" frames later and "re-entry" (the last sight before and the first
        after an absence): the shares of right answers by "embedding", by "centre" and by "chance"
        (and by "queries"), and of the questions that count, "found"; None where there are none.
    """
    hits = {name: Hits() for name in (*map(str, DISTANCES), "re-entry")}
    for video in videos.videos:
        sights = see(segmenter, videos, video, latency, with_queries)
        for distance in DISTANCES:
            for time in range(sights.visible.shape[1] - distance):
                both = sights.visible[:, time] & sights.visible[:, time + distance]
                for instance in np.flatnonzero(both).tolist():
                    compare(sights, instance, time, time + distance, hits[str(distance)])
        for instance, before, after in re_entries(sights.visible):
            compare(sights, instance, before, after, hits["re-entry"])
    return {name: one.shares(with_queries=with_queries) for name, one in hits.items()}


def see(
    segmenter: VideoSegmenter,
    videos: VideoSet,
    video: VideoInfo,
    latency: int,
    with_queries: bool,
) -> Sights:
    """Run the network over a video and find the queries of the true instances.

    Without `with_queries` the embeddings stand for them.
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
    found = visible & (overlap[np.arange(len(best)), best] >= 0.5)
    vectors = (
        (normalised(one)[best] * found[:, None]).astype(np.float32)
        for one in (frame.embeddings, queries)
    )
    y, x = np.mgrid[: masks.shape[1], : masks.shape[2]]
    areas = np.maximum(masks.sum(axis=(1, 2)), 1)
    centres = np.stack([(masks * x).sum((1, 2)), (masks * y).sum((1, 2))], axis=1) / areas[:, None]
    return *vectors, centres, visible, found


def at_cells(masks: Bools, cells: tuple[int, ...]) -> Bools:
    """Return masks (N, H, W) at the cells (h, w) of mask logits that cover the frame."""
    sides = zip(masks.shape[1:], cells, strict=True)
    y, x = (((np.arange(cells) + 0.5) * side / cells).astype(int) for side, cells in sides)
    return masks[:, y[:, None], x]


def compare(sights: Sights, instance: int, before: int, after: int, hits: Hits) -> None:
    """Look for an instance of one frame among those of another."""
    candidates = np.flatnonzero(sights.visible[:, after])
    if len(candidates) < 2:
        return
    near, near_queries = (
        vectors[candidates, after] @ vectors[instance, before]
        for vectors in (sights.embeddings, sights.queries)
    )
    gaps = sights.centres[candidates, after] - sights.centres[instance, before]
    hits.num_asked += 1
    if not (sights.found[instance, before] and sights.found[instance, after]):
        return
    hits.num += 1
    hits.chance += 1 / len(candidates)
    hits.embedding += bool(candidates[near.argmax()] == instance)
    hits.queries += bool(candidates[near_queries.argmax()] == instance)
    hits.centre += bool(candidates[(gaps**2).sum(axis=1).argmin()] == instance)


def re_entries(visible: Bools) -> Iterable[tuple[int, int, int]]:
    """Yield (instance, last frame before, first frame after) of each absence in a video."""
    for instance, row in enumerate(visible):
        times: Sequence[int] = np.flatnonzero(row).tolist()
        for before, after in pairwise(times):
            if after > before + 1:
                yield instance, before, after
