"""The baseline of all association, "no matching": a query's index is its identity."""

from __future__ import annotations

import numpy as np

from vidgap_vis.trackers.base import Assignment, Need, StateDict
from vidgap_vis.trackers.detections import Detections, normalised
from vidgap_vis.trackers.memory import Memory, MemoryOptions, visible_queries


class IndexAssociator:
    """A query continues the last track that it showed, while that track lives."""

    needs: frozenset[Need] = frozenset()

    def __init__(self, options: MemoryOptions | None = None) -> None:
        self.options = options or MemoryOptions()
        self._memory = Memory(self.options)
        self._of_query: dict[int, int] = {}  # query -> id of its last track

    def update(self, frame: Detections) -> Assignment:
        queries, masks = visible_queries(frame, self.options)
        living = {track.id: track for track in self._memory.living}
        matched = [living.get(self._of_query.get(query, 0)) for query in queries.tolist()]
        units = normalised(frame.embeddings)
        assignment = self._memory.advance(units, queries, masks, matched)
        self._of_query.update((query, int(assignment.ids[query])) for query in queries.tolist())
        return assignment

    def state_dict(self) -> StateDict:
        pairs = np.array(sorted(self._of_query.items()), np.int64).reshape(-1, 2)
        return {"memory": self._memory.state_dict(), "of_query": pairs}

    def load_state_dict(self, state: StateDict) -> None:
        self._memory.load_state_dict(state["memory"])
        self._of_query = dict(state["of_query"].tolist())
