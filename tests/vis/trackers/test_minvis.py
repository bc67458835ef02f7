"""MinVIS's tracker on exact detections."""

from __future__ import annotations

import numpy as np
import pytest
from vis.support.queries import NUM_QUERIES, Scene

from vidgap_vis.trackers import Detections, MinVISAssociator


def detections(embeddings: np.ndarray) -> Detections:
    num = len(embeddings)
    return Detections(
        np.zeros((num, 2), np.float32), embeddings.astype(np.float32), np.zeros((num, 2, 2), bool)
    )


def test_every_query_is_a_track_in_every_frame_whatever_the_order() -> None:
    """Objects change places, queries are shuffled, look-alikes are among them."""
    scene, associator = Scene(4, similarity=0.6), MinVISAssociator()
    tracks = []
    for time in range(12):
        order = scene.rng.permutation(NUM_QUERIES)
        places = {0: time % 2, 1: 1 - time % 2}
        frame, _ = scene.frame(dict.fromkeys(range(4), 0.9), order, places, noise=0.05)
        ids = associator.update(frame).ids
        assert sorted(ids.tolist()) == list(range(1, NUM_QUERIES + 1))
        tracks.append(ids[np.argsort(order)])  # in the order of the scene's queries
    assert all(np.array_equal(ids, tracks[0]) for ids in tracks)


def test_the_length_of_an_embedding_does_not_count() -> None:
    rng, associator = np.random.default_rng(0), MinVISAssociator()
    base = rng.normal(size=(6, 8))
    associator.update(detections(base))
    ids = associator.update(detections(base[::-1] * rng.uniform(0.1, 9, (6, 1)))).ids
    assert ids.tolist() == [6, 5, 4, 3, 2, 1]


def test_the_assignment_is_the_best_one_not_a_greedy_one() -> None:
    """Query 0 is nearest to track 2, but the sum is greater if track 2 has query 1."""
    angles = np.deg2rad([0.0, 30.0])
    associator = MinVISAssociator()
    associator.update(detections(np.stack([np.cos(angles), np.sin(angles)], 1)))
    angles = np.deg2rad([20.0, 95.0])
    ids = associator.update(detections(np.stack([np.cos(angles), np.sin(angles)], 1))).ids
    assert ids.tolist() == [1, 2]


def test_a_newcomer_takes_the_track_that_is_left() -> None:
    associator = MinVISAssociator()
    associator.update(detections(np.eye(4)[:3]))
    assert associator.update(detections(np.eye(4)[[3, 2, 0]])).ids.tolist() == [2, 3, 1]


@pytest.mark.parametrize("num", [0, 1, 3])
def test_frames_without_anything_and_without_queries(num: int) -> None:
    associator = MinVISAssociator()
    for _ in range(3):
        ids = associator.update(detections(np.zeros((num, 4)))).ids
        assert sorted(ids.tolist()) == list(range(1, num + 1))


def test_what_cannot_be_compared_is_named() -> None:
    associator = MinVISAssociator()
    with pytest.raises(ValueError, match="embeddings must be finite, got nan or inf"):
        associator.update(detections(np.full((2, 3), np.nan)))
    associator.update(detections(np.ones((2, 3))))
    with pytest.raises(ValueError, match=r"embeddings must be \(2, 3\), as before, got \(4, 3\)"):
        associator.update(detections(np.ones((4, 3))))
