"""Who is who: identities under permuted queries, crossings, gaps, births and ends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from vidgap_vis.tracking import (
    Detections,
    IndexTracker,
    QueryTracker,
    Tracker,
    TrackerOptions,
    mask_iou,
)

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


def identities(tracker: Tracker, frame: tuple[Detections, dict[int, int]]) -> dict[int, int]:
    """Return the track id of each object that the tracker shows."""
    detections, queries = frame
    by_query = {track.query: track.track_id for track in tracker.update(detections)}
    return {name: by_query[query] for name, query in queries.items() if query in by_query}


ALL = {0: 0.9, 1: 0.8, 2: 0.7}


@pytest.mark.parametrize("seed", range(5))
def test_ids_are_stable_when_queries_are_permuted(seed: int) -> None:
    scene, tracker = Scene(3, seed, similarity=0.6), QueryTracker()
    for _ in range(20):
        order = scene.rng.permutation(NUM_QUERIES)
        assert identities(tracker, scene.frame(ALL, order)) == {0: 1, 1: 2, 2: 3}


def test_no_matching_switches_when_queries_are_permuted() -> None:
    scene, tracker = Scene(3), IndexTracker()
    assert identities(tracker, scene.frame(ALL)) == {0: 1, 1: 2, 2: 3}
    swapped = [1, 0, *range(2, NUM_QUERIES)]
    assert identities(tracker, scene.frame(ALL, swapped)) == {0: 2, 1: 1, 2: 3}


def test_first_ids_go_by_score_and_not_by_query() -> None:
    scene = Scene(3)
    for order in (None, scene.rng.permutation(NUM_QUERIES)):
        shown = {0: 0.5, 1: 0.9, 2: 0.7}
        assert identities(QueryTracker(), scene.frame(shown, order)) == {1: 1, 2: 2, 0: 3}


@pytest.mark.parametrize("iou_weight", [0.0, 0.25])
def test_two_objects_that_cross_keep_their_ids(iou_weight: float) -> None:
    scene, tracker = Scene(2, similarity=0.5), QueryTracker(TrackerOptions(iou_weight=iou_weight))
    for step in range(8):
        order = scene.rng.permutation(NUM_QUERIES)
        frame = scene.frame({0: 0.9, 1: 0.8}, order, cells={0: step, 1: 7 - step})
        assert identities(tracker, frame) == {0: 1, 1: 2}


def test_mask_overlap_separates_objects_that_look_the_same() -> None:
    scene = Scene(2)
    scene.looks[1] = scene.looks[0]
    tracker = QueryTracker(TrackerOptions(iou_weight=1.0))
    for _ in range(20):
        order = scene.rng.permutation(NUM_QUERIES)
        assert identities(tracker, scene.frame({0: 0.9, 1: 0.8}, order)) == {0: 1, 1: 2}


@pytest.mark.parametrize("query_moves", [False, True], ids=["same query", "another query"])
@pytest.mark.parametrize(("hidden", "kept"), [(1, True), (5, True), (6, False), (30, False)])
def test_hidden_object_returns_with_its_id_within_max_gap(
    hidden: int, kept: bool, query_moves: bool
) -> None:
    scene, tracker = Scene(3), QueryTracker(TrackerOptions(max_gap=5))
    for _ in range(3):
        identities(tracker, scene.frame(ALL))
    for _ in range(hidden):
        assert identities(tracker, scene.frame({0: 0.9, 1: 0.8})) == {0: 1, 1: 2}
    order = scene.rng.permutation(NUM_QUERIES) if query_moves else None
    found = identities(tracker, scene.frame(ALL, order))
    assert found == {0: 1, 1: 2, 2: 3 if kept else 4}


def test_newcomer_does_not_take_the_id_of_a_hidden_track() -> None:
    scene, tracker = Scene(4), QueryTracker()
    identities(tracker, scene.frame(ALL))
    for _ in range(3):
        identities(tracker, scene.frame({0: 0.9, 1: 0.8}))
    found = identities(tracker, scene.frame({0: 0.9, 1: 0.8, 3: 0.9}))
    assert found == {0: 1, 1: 2, 3: 4}
    assert identities(tracker, scene.frame(ALL | {3: 0.9})) == {0: 1, 1: 2, 2: 3, 3: 4}


def test_memory_of_a_hidden_track_does_not_drift() -> None:
    """The background query in its place must not be learnt, or the object would be lost."""
    scene, tracker = Scene(1), QueryTracker(TrackerOptions(momentum=0.0, max_gap=50))
    identities(tracker, scene.frame({0: 0.9}))
    for _ in range(40):
        assert identities(tracker, scene.frame({})) == {}
    assert identities(tracker, scene.frame({0: 0.9}, scene.rng.permutation(NUM_QUERIES))) == {0: 1}


def test_an_empty_mask_is_not_visible() -> None:
    scene, tracker = Scene(1), QueryTracker()
    detections, _ = scene.frame({0: 0.9})
    empty = Detections(
        detections.class_probabilities, detections.embeddings, np.zeros_like(detections.masks)
    )
    assert tracker.update(empty) == []
    assert len(tracker.update(detections)) == 1


def test_newcomers_in_every_query_leave_the_hidden_tracks_alone() -> None:
    scene, tracker = Scene(0), QueryTracker()
    everyone = dict.fromkeys(range(NUM_QUERIES), 0.9)
    scene.looks = np.eye(CHANNELS)[:NUM_QUERIES]
    first = identities(tracker, scene.frame(everyone, noise=0.0))
    assert sorted(first.values()) == [*range(1, 13)]
    scene.looks = np.eye(CHANNELS)[NUM_QUERIES:]
    tracker.update(scene.frame({})[0])  # out of sight: overlap does not count
    found = identities(tracker, scene.frame(everyone, noise=0.0))
    assert sorted(found.values()) == [*range(NUM_QUERIES + 1, 2 * NUM_QUERIES + 1)]


def test_class_scores_are_the_mean_over_visible_frames() -> None:
    scene, tracker = Scene(1), QueryTracker(TrackerOptions(min_score=0.3))
    for score in (0.4, 0.0, 0.8):
        tracks = tracker.update(scene.frame({0: score})[0])
    (track,) = tracks
    np.testing.assert_allclose(track.class_scores, [0.6, 0.01, 0.01], rtol=1e-6)
    assert track.label == 0


@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_memory_is_a_mean_first_and_exponential_later(momentum: float) -> None:
    scene, tracker = Scene(1), QueryTracker(TrackerOptions(momentum=momentum))
    seen = []
    for _ in range(30):
        detections, _ = scene.frame({0: 0.9}, noise=0.3)
        tracker.update(detections)
        seen.append(detections.embeddings[0] / np.linalg.norm(detections.embeddings[0]))
    wanted = seen[0]
    for count, unit in enumerate(seen[1:], start=2):
        share = max(1 / count, 1 - momentum)
        wanted = (1 - share) * wanted + share * unit
    np.testing.assert_allclose(tracker._tracks.living[0].memory, wanted, atol=1e-5)
    if momentum == 1:
        np.testing.assert_allclose(
            tracker._tracks.living[0].memory, np.mean(seen, axis=0), atol=1e-5
        )


def test_state_does_not_grow_with_the_video() -> None:
    scene, tracker = Scene(8), QueryTracker(TrackerOptions(max_gap=1, iou_weight=0.5))
    for step in range(300):
        tracker.update(scene.frame({step % 8: 0.9})[0])
    assert tracker._tracks.num_born > 100
    assert len(tracker._tracks.living) <= 2


def test_a_track_does_not_keep_the_masks_of_other_queries_alive() -> None:
    scene, tracker = Scene(2), QueryTracker()
    tracker.update(scene.frame({0: 0.9, 1: 0.8})[0])
    tracker.update(scene.frame({0: 0.9})[0])
    for track in tracker._tracks.living:
        for array in (track.mask, track.memory):
            assert array.base is None or array.base.size == array.size


def test_a_query_below_the_least_score_shows_nothing() -> None:
    scene, tracker = Scene(1), QueryTracker(TrackerOptions(min_score=0.5))
    shown = [identities(tracker, scene.frame({0: score})) for score in (0.4, 0.6, 0.3, 0.5)]
    assert shown == [{}, {0: 1}, {}, {0: 1}]


def test_of_two_queries_on_one_mask_only_the_surer_is_tracked() -> None:
    scene, tracker = Scene(2), QueryTracker()
    for _ in range(3):
        assert identities(tracker, scene.frame({0: 0.7, 1: 0.9}, cells={0: 4, 1: 4})) == {1: 1}


def test_a_query_that_is_neither_alike_nor_near_begins_a_track() -> None:
    scene, tracker = Scene(2), QueryTracker()
    assert identities(tracker, scene.frame({0: 0.9}, cells={0: 2})) == {0: 1}
    assert identities(tracker, scene.frame({1: 0.9}, cells={1: 6})) == {1: 2}


def test_a_mask_that_stays_carries_the_id_over_a_changed_look() -> None:
    scene, tracker = Scene(2), QueryTracker()
    assert identities(tracker, scene.frame({0: 0.9}, cells={0: 2})) == {0: 1}
    assert identities(tracker, scene.frame({1: 0.9}, cells={1: 2})) == {1: 1}


def test_every_embedding_counts_the_same_whatever_its_length() -> None:
    scene, tracker = Scene(2), QueryTracker()
    for factor in (1.0, 100.0, 0.01):
        detections, queries = scene.frame({0: 0.9, 1: 0.8})
        scaled = Detections(
            detections.class_probabilities,
            detections.embeddings * np.float32(factor),
            detections.masks,
        )
        assert identities(tracker, (scaled, queries)) == {0: 1, 1: 2}


def test_mask_iou_against_loops() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((3, 5, 7)) > 0.5, rng.random((4, 5, 7)) > 0.3
    first[0] = second[0] = False
    wanted = [[(a & b).sum() / max((a | b).sum(), 1) for b in second] for a in first]
    np.testing.assert_allclose(mask_iou(first, second), wanted, rtol=1e-6)
    assert mask_iou(first[:0], second).shape == (0, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_score": 1.2}, r"min_score must be in \[0, 1\], got 1.2"),
        ({"duplicate_iou": -0.1}, r"duplicate_iou must be in \[0, 1\], got -0.1"),
        ({"max_gap": -1}, "max_gap must be at least 0, got -1"),
        ({"momentum": 1.5}, r"momentum must be in \[0, 1\], got 1.5"),
        ({"iou_weight": -1.0}, "iou_weight must be at least 0, got -1.0"),
    ],
)
def test_wrong_options_are_named(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrackerOptions(**options)


def make(num: int = 4, classes: int = 2, channels: int = 3) -> Detections:
    return Detections(
        np.zeros((num, classes), np.float32),
        np.zeros((num, channels), np.float32),
        np.zeros((num, 2, 2), np.bool_),
    )


@pytest.mark.parametrize("tracker", [QueryTracker(), IndexTracker()])
def test_other_numbers_of_queries_or_classes_are_named(tracker: Tracker) -> None:
    tracker.update(make())
    with pytest.raises(ValueError, match=r"must be \(4, 2, 3\), as .*, got \(5, 2, 3\)"):
        tracker.update(make(num=5))
    with pytest.raises(ValueError, match=r"must be \(4, 2, 3\), as .*, got \(4, 3, 3\)"):
        tracker.update(make(classes=3))


def test_other_channels_are_named() -> None:
    tracker = QueryTracker()
    tracker.update(make())
    with pytest.raises(ValueError, match=r"must be \(4, 2, 3\), as .*, got \(4, 2, 5\)"):
        tracker.update(make(channels=5))


@pytest.mark.parametrize(
    ("probabilities", "embeddings", "masks", "message"),
    [
        ((4,), (4, 3), (4, 2, 2), r"class_probabilities must be \(Q, K\), got \(4,\)"),
        ((4, 0), (4, 3), (4, 2, 2), r"class_probabilities must be \(Q, K\), got \(4, 0\)"),
        ((4, 2), (5, 3), (4, 2, 2), r"embeddings must be \(4, C\), got \(5, 3\)"),
        ((4, 2), (4, 3), (4, 2), r"masks must be \(4, h, w\) bool, got \(4, 2\) bool"),
    ],
)
def test_wrong_shapes_are_named(
    probabilities: tuple[int, ...],
    embeddings: tuple[int, ...],
    masks: tuple[int, ...],
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        Detections(
            np.zeros(probabilities, np.float32),
            np.zeros(embeddings, np.float32),
            np.zeros(masks, np.bool_),
        )
