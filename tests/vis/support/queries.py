"""Queries of a made-up network: objects that look alike or not, among background."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidgap_vis.trackers import Detections

NUM_QUERIES, NUM_CLASSES, CHANNELS, SIZE = 12, 3, 32, (6, 12)


class Scene:
    """Objects with an embedding each among queries of background, in any order of queries.

    A background query looks like itself over time, as the network's do.
    """

    def __init__(self, num_objects: int, seed: int = 0, similarity: float = 0.0) -> None:
        self.rng = np.random.default_rng(seed)
        self.background = self.rng.normal(size=(NUM_QUERIES, CHANNELS))
        common = self.rng.normal(size=CHANNELS)
        own = self.rng.normal(size=(num_objects, CHANNELS))
        self.looks = np.sqrt(similarity) * common + np.sqrt(1 - similarity) * own

    def frame(
        self,
        scores: dict[int, float],
        order: Sequence[int] | None = None,
        cells: dict[int, int] | None = None,
        noise: float = 0.1,
    ) -> tuple[Detections, dict[int, int]]:
        """Show objects (name -> class score); return the frame and the query of each object.

        Object i stands in query i before `order` permutes the queries, its mask is the column
        `cells[i]` (default i).
        """
        embeddings = self.background.copy()
        probabilities = np.full((NUM_QUERIES, NUM_CLASSES), 0.01, np.float32)
        masks = np.zeros((NUM_QUERIES, *SIZE), np.bool_)
        masks[:, 0, 0] = True
        for name, score in scores.items():
            embeddings[name] = self.looks[name]
            probabilities[name, name % NUM_CLASSES] = score
            masks[name] = False
            masks[name, :, (cells or {}).get(name, name)] = True
        embeddings += noise * self.rng.normal(size=embeddings.shape)
        order = np.arange(NUM_QUERIES) if order is None else np.asarray(order)
        detections = Detections(
            probabilities[order], embeddings[order].astype(np.float32), masks[order]
        )
        return detections, {name: int(np.flatnonzero(order == name)[0]) for name in scores}
