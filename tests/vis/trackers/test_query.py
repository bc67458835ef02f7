"""Who is who: identities under permuted queries, crossings, gaps, births and ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from vis.support.queries import CHANNELS, NUM_QUERIES, Scene

from vidgap_vis.trackers import (
    Associator,
    Detections,
    IndexAssociator,
    QueryAssociator,
    QueryOptions,
)
from vidgap_vis.trackers.base import NO_TRACK


def identities(associator: Associator, frame: tuple[Detections, dict[int, int]]) -> dict[int, int]:
    """Return the track id of each object that is a track."""
    detections, queries = frame
    ids = associator.update(detections).ids
    return {name: int(ids[query]) for name, query in queries.items() if ids[query] != NO_TRACK}


ALL = {0: 0.9, 1: 0.8, 2: 0.7}


def test_a_state_may_have_been_in_a_file_of_arrays(tmp_path: Path) -> None:
    scene, before, after = Scene(3), QueryAssociator(), QueryAssociator()
    before.update(scene.frame({0: 0.9})[0])
    np.savez(tmp_path / "state.npz", **before.state_dict())
    with np.load(tmp_path / "state.npz") as state:
        after.load_state_dict(state)
    for _ in range(2):
        frame = scene.frame(ALL)
        assert identities(after, frame) == identities(before, frame) == {0: 1, 1: 2, 2: 3}


@pytest.mark.parametrize("name", ["iou_weight", "min_affinity", "reacquire_similarity"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_thresholds_are_numbers(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be .*, got {value}"):
        QueryOptions(**{name: value})


@pytest.mark.parametrize("seed", range(5))
def test_ids_are_stable_when_queries_are_permuted(seed: int) -> None:
    scene, associator = Scene(3, seed, similarity=0.6), QueryAssociator()
    for _ in range(20):
        order = scene.rng.permutation(NUM_QUERIES)
        assert identities(associator, scene.frame(ALL, order)) == {0: 1, 1: 2, 2: 3}


def test_no_matching_switches_when_queries_are_permuted() -> None:
    scene, associator = Scene(3), IndexAssociator()
    assert identities(associator, scene.frame(ALL)) == {0: 1, 1: 2, 2: 3}
    swapped = [1, 0, *range(2, NUM_QUERIES)]
    assert identities(associator, scene.frame(ALL, swapped)) == {0: 2, 1: 1, 2: 3}


def test_first_ids_go_by_score_and_not_by_query() -> None:
    scene = Scene(3)
    for order in (None, scene.rng.permutation(NUM_QUERIES)):
        shown = {0: 0.5, 1: 0.9, 2: 0.7}
        assert identities(QueryAssociator(), scene.frame(shown, order)) == {1: 1, 2: 2, 0: 3}


@pytest.mark.parametrize("iou_weight", [0.0, 0.25])
def test_two_objects_that_cross_keep_their_ids(iou_weight: float) -> None:
    scene, associator = (
        Scene(2, similarity=0.5),
        QueryAssociator(QueryOptions(iou_weight=iou_weight)),
    )
    for step in range(8):
        order = scene.rng.permutation(NUM_QUERIES)
        frame = scene.frame({0: 0.9, 1: 0.8}, order, cells={0: step, 1: 7 - step})
        assert identities(associator, frame) == {0: 1, 1: 2}


def test_mask_overlap_separates_objects_that_look_the_same() -> None:
    scene = Scene(2)
    scene.looks[1] = scene.looks[0]
    associator = QueryAssociator(QueryOptions(iou_weight=1.0))
    for _ in range(20):
        order = scene.rng.permutation(NUM_QUERIES)
        assert identities(associator, scene.frame({0: 0.9, 1: 0.8}, order)) == {0: 1, 1: 2}


@pytest.mark.parametrize("query_moves", [False, True], ids=["same query", "another query"])
@pytest.mark.parametrize(("hidden", "kept"), [(1, True), (5, True), (6, False), (30, False)])
def test_hidden_object_returns_with_its_id_within_max_gap(
    hidden: int, kept: bool, query_moves: bool
) -> None:
    scene, associator = Scene(3), QueryAssociator(QueryOptions(max_gap=5))
    for _ in range(3):
        identities(associator, scene.frame(ALL))
    for _ in range(hidden):
        assert identities(associator, scene.frame({0: 0.9, 1: 0.8})) == {0: 1, 1: 2}
    order = scene.rng.permutation(NUM_QUERIES) if query_moves else None
    found = identities(associator, scene.frame(ALL, order))
    assert found == {0: 1, 1: 2, 2: 3 if kept else 4}


def test_newcomer_does_not_take_the_id_of_a_hidden_track() -> None:
    scene, associator = Scene(4), QueryAssociator()
    identities(associator, scene.frame(ALL))
    for _ in range(3):
        identities(associator, scene.frame({0: 0.9, 1: 0.8}))
    found = identities(associator, scene.frame({0: 0.9, 1: 0.8, 3: 0.9}))
    assert found == {0: 1, 1: 2, 3: 4}
    assert identities(associator, scene.frame(ALL | {3: 0.9})) == {0: 1, 1: 2, 2: 3, 3: 4}


def test_memory_of_a_hidden_track_does_not_drift() -> None:
    """The background query in its place must not be learnt, or the object would be lost."""
    scene, associator = Scene(1), QueryAssociator(QueryOptions(momentum=0.0, max_gap=50))
    identities(associator, scene.frame({0: 0.9}))
    for _ in range(40):
        assert identities(associator, scene.frame({})) == {}
    assert identities(associator, scene.frame({0: 0.9}, scene.rng.permutation(NUM_QUERIES))) == {
        0: 1
    }


def test_an_empty_mask_is_not_visible() -> None:
    scene, associator = Scene(1), QueryAssociator()
    detections, _ = scene.frame({0: 0.9})
    empty = Detections(
        detections.class_probabilities, detections.embeddings, np.zeros_like(detections.masks)
    )
    assert not associator.update(empty).ids.any()
    assert (associator.update(detections).ids != NO_TRACK).sum() == 1


def test_newcomers_in_every_query_leave_the_hidden_tracks_alone() -> None:
    scene, associator = Scene(0), QueryAssociator()
    everyone = dict.fromkeys(range(NUM_QUERIES), 0.9)
    scene.looks = np.eye(CHANNELS)[:NUM_QUERIES]
    first = identities(associator, scene.frame(everyone, noise=0.0))
    assert sorted(first.values()) == [*range(1, 13)]
    scene.looks = np.eye(CHANNELS)[NUM_QUERIES:]
    associator.update(scene.frame({})[0])  # out of sight: overlap does not count
    found = identities(associator, scene.frame(everyone, noise=0.0))
    assert sorted(found.values()) == [*range(NUM_QUERIES + 1, 2 * NUM_QUERIES + 1)]


@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_memory_is_a_mean_first_and_exponential_later(momentum: float) -> None:
    scene, associator = Scene(1), QueryAssociator(QueryOptions(momentum=momentum))
    seen = []
    for _ in range(30):
        detections, _ = scene.frame({0: 0.9}, noise=0.3)
        associator.update(detections)
        seen.append(detections.embeddings[0] / np.linalg.norm(detections.embeddings[0]))
    wanted = seen[0]
    for count, unit in enumerate(seen[1:], start=2):
        share = max(1 / count, 1 - momentum)
        wanted = (1 - share) * wanted + share * unit
    np.testing.assert_allclose(associator._memory.living[0].embedding, wanted, atol=1e-5)
    if momentum == 1:
        np.testing.assert_allclose(
            associator._memory.living[0].embedding, np.mean(seen, axis=0), atol=1e-5
        )


def test_state_does_not_grow_with_the_video() -> None:
    scene, associator = Scene(8), QueryAssociator(QueryOptions(max_gap=1, iou_weight=0.5))
    for step in range(300):
        associator.update(scene.frame({step % 8: 0.9})[0])
    assert associator._memory.num_begun > 100
    assert len(associator._memory.living) <= 2


def test_a_track_does_not_keep_the_masks_of_other_queries_alive() -> None:
    scene, associator = Scene(2), QueryAssociator()
    associator.update(scene.frame({0: 0.9, 1: 0.8})[0])
    associator.update(scene.frame({0: 0.9})[0])
    for track in associator._memory.living:
        for array in (track.words, track.embedding):
            assert array.base is None or array.base.size == array.size


def test_a_query_below_the_least_score_shows_nothing() -> None:
    scene, associator = Scene(1), QueryAssociator(QueryOptions(min_score=0.5))
    shown = [identities(associator, scene.frame({0: score})) for score in (0.4, 0.6, 0.3, 0.5)]
    assert shown == [{}, {0: 1}, {}, {0: 1}]


def test_of_two_queries_on_one_mask_only_the_surer_is_tracked() -> None:
    scene, associator = Scene(2), QueryAssociator()
    for _ in range(3):
        assert identities(associator, scene.frame({0: 0.7, 1: 0.9}, cells={0: 4, 1: 4})) == {1: 1}


def test_a_query_that_is_neither_alike_nor_near_begins_a_track() -> None:
    scene, associator = Scene(2), QueryAssociator()
    assert identities(associator, scene.frame({0: 0.9}, cells={0: 2})) == {0: 1}
    assert identities(associator, scene.frame({1: 0.9}, cells={1: 6})) == {1: 2}


def test_a_mask_that_stays_carries_the_id_over_a_changed_look() -> None:
    scene, associator = Scene(2), QueryAssociator()
    assert identities(associator, scene.frame({0: 0.9}, cells={0: 2})) == {0: 1}
    assert identities(associator, scene.frame({1: 0.9}, cells={1: 2})) == {1: 1}


def test_every_embedding_counts_the_same_whatever_its_length() -> None:
    scene, associator = Scene(2), QueryAssociator()
    for factor in (1.0, 100.0, 0.01):
        detections, queries = scene.frame({0: 0.9, 1: 0.8})
        scaled = Detections(
            detections.class_probabilities,
            detections.embeddings * np.float32(factor),
            detections.masks,
        )
        assert identities(associator, (scaled, queries)) == {0: 1, 1: 2}


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
        QueryOptions(**options)
