"""How well embeddings tell the instances of a video apart, given where each one is.

The queries that stand for the true instances are found by their masks, so that neither a missed
detection nor a tracker's rules count: what is left is whether an instance's embedding is nearest to
its own of another frame. Beside it stands the nearest centre of the true masks, which learns
nothing: an embedding that is worth something beats it where instances cross or return. Instances
that no query covers are rivals of neither, so a network that covers fewer has easier questions:
`chance` says how easy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vidgap_vis.inference.sights import Sights
from vidgap_vis.trackers.detections import Bools

DISTANCES = (1, 5, 10)
"""Frames between the two sights that are compared."""


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
    videos: Iterable[Sights], *, with_queries: bool = False
) -> dict[str, dict[str, float | None]]:
    """Measure top-1 association between frames of videos with exact masks.

    An instance of a frame is looked for among those of a later frame that a query covers there.
    Questions count where one covers it in both frames, and another instance in the later one.

    Args:
        videos: as the network shows them.
        with_queries: ask the queries, too.

    Returns:
        For each of "1", "5", "10" frames later and "re-entry" (the last sight before and the first
        after an absence): the shares of right answers by "embedding", by "centre" and by "chance"
        (and by "queries"), and of the questions that count, "found"; None where there are none.
    """
    hits = {name: Hits() for name in (*map(str, DISTANCES), "re-entry")}
    for sights in videos:
        for distance in DISTANCES:
            for time in range(sights.visible.shape[1] - distance):
                both = sights.visible[:, time] & sights.visible[:, time + distance]
                for instance in np.flatnonzero(both).tolist():
                    compare(sights, instance, time, time + distance, hits[str(distance)])
        for instance, before, after in re_entries(sights.visible):
            compare(sights, instance, before, after, hits["re-entry"])
    return {name: one.shares(with_queries=with_queries) for name, one in hits.items()}


def compare(sights: Sights, instance: int, before: int, after: int, hits: Hits) -> None:
    """Look for an instance of one frame among those of another."""
    if sights.visible[:, after].sum() < 2:
        return
    hits.num_asked += 1
    candidates = np.flatnonzero(sights.found[:, after])
    if not (sights.found[instance, before] and sights.found[instance, after]):
        return
    if len(candidates) < 2:
        return
    near, near_queries = (
        vectors[candidates, after] @ vectors[instance, before]
        for vectors in (sights.embeddings, sights.queries)
    )
    gaps = sights.centres[candidates, after] - sights.centres[instance, before]
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
